"""Taking files of several messages apart, each message keeping its exact bytes.

Two shapes: the batch protocol (FHS [BHS message... BTS]... FTS, HL7 v2.5.1 section 2.10.3) and the
plain stream of messages one after the other, with or without MLLP marks left between them. A
message goes from its MSH to the end of its last segment; blank lines and marks after it belong to
nobody. What the trailers count is compared with what is there, and a difference is reported, not
refused: the messages are whole, and their sender must be told rather than left without.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Final

from protocols.hl7.errors import MalformedMessage

#: Messages in one file.
MAX_MESSAGES: Final = 10_000
#: Headers and trailers for each of them, if each stands in a file of its own: FHS BHS MSH BTS FTS.
_MARKERS_A_MESSAGE: Final = 5

#: A segment that begins or ends something, at the start of a line or behind an MLLP mark.
_MARKER: Final = re.compile(
    rb"(?:\A|(?<=[\r\n\x0b]))(?:\xef\xbb\xbf)?[ \t]*(FHS|BHS|MSH|BTS|FTS)(?![A-Za-z0-9])"
)
#: What :data:`_MARKER` finds behind the first one, for MSH alone, in a quarter of its time.
_NEXT_MESSAGE: Final = re.compile(rb"[\r\n\x0b](?:\xef\xbb\xbf)?[ \t]*MSH(?![A-Za-z0-9])")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n|")
_AFTER_LAST_SEGMENT: Final = b" \t\r\n\x0b\x0c\x1c\x00"
_BLANK: Final = b" \t\r\n\x0b\x0c\x1c\x00\xef\xbb\xbf"
_LINE: Final = re.compile(rb"[^\r\n]*")
_SHOWN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of a file in order, and what is not right about their wrapping."""

    messages: tuple[bytes, ...]
    notes: tuple[str, ...] = ()


def is_batch(raw: bytes) -> bool:
    """Whether ``raw`` is anything but one message: begins with FHS or BHS, or holds a second MSH."""
    first = _MARKER.search(raw)
    if first is None or first.group(1) != b"MSH":
        return first is not None and first.group(1) in {b"FHS", b"BHS"}
    # Most messages hold the letters once; in text or in base64 they begin nothing.
    return raw.find(b"MSH", first.end()) >= 0 and _NEXT_MESSAGE.search(raw, first.end()) is not None


def split(raw: bytes) -> list[bytes]:
    """Messages of ``raw``, which is returned as it came if it is a single one; see :func:`read_batch`."""
    return list(read_batch(raw).messages) if is_batch(raw) else [raw]


def read_batch(raw: bytes) -> Batch:
    """Take ``raw`` apart.

    Raises :class:`MalformedMessage` if it begins with something else than a header segment, holds
    no message, or holds more than ``MAX_MESSAGES`` or than the headers and trailers of so many.
    """
    most = _MARKERS_A_MESSAGE * MAX_MESSAGES
    markers = list(islice(_MARKER.finditer(raw), most + 1))
    if not markers or raw[: markers[0].start()].strip(_BLANK):
        raise MalformedMessage(
            "FHS", None, "no file, batch or message header at the start", "begin with FHS, BHS or MSH"
        )
    ends = [*(match.start() for match in markers[1:]), len(raw)]
    taking = _Taking()
    for match, end in zip(markers, ends, strict=True):
        taking.take(match.group(1), raw[match.start(1) : end])
    if len(markers) > most:
        kind = markers[most].group(1).decode()
        raise MalformedMessage(
            kind, None, f"more than {most} headers and trailers in one file", "send several files"
        )
    return taking.finish()


def _to_last_segment(part: bytes) -> bytes:
    """Return ``part`` up to the end of its last segment and the line end that directly follows."""
    line_end = _LINE_END.match(part, len(part.rstrip(_AFTER_LAST_SEGMENT)))
    assert line_end is not None
    return part[: line_end.end()]


class _Taking:
    """Counts while a file is walked through."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._notes: list[str] = []
        self._separator = b"|"
        self._in_batch = 0
        self._batches = 0
        self._open: Counter[str] = Counter()

    def take(self, kind: bytes, part: bytes) -> None:
        """Take the part of the file that begins with a segment of this kind."""
        if kind == b"MSH":
            if len(self._messages) == MAX_MESSAGES:
                raise MalformedMessage(
                    "MSH", None, f"more than {MAX_MESSAGES} messages in one file", "send several files"
                )
            self._messages.append(_to_last_segment(part))
            self._in_batch += 1
            return
        line = _LINE.match(part)
        assert line is not None
        if part[line.end() :].strip(_BLANK):
            self._notes.append(f"segments after {kind.decode()} belong to no message and were left out")
        if kind in {b"FHS", b"BHS"}:
            self._separator = part[3:4] or b"|"
            self._begin(kind.decode())
        else:
            self._end(kind.decode(), line.group())

    def _begin(self, kind: str) -> None:
        self._open[kind] += 1
        if kind == "BHS":
            self._batches += 1
            self._in_batch = 0

    def _end(self, kind: str, line: bytes) -> None:
        counted = self._in_batch if kind == "BTS" else self._batches
        header = "BHS" if kind == "BTS" else "FHS"
        if self._open[header]:
            self._open[header] -= 1
        else:
            self._notes.append(f"{kind} without {header}")
        declared = (*line.split(self._separator), b"", b"")[1].strip()
        what = "messages" if kind == "BTS" else "batches"
        if declared.isdigit() and len(declared) <= _SHOWN_BYTES:
            if int(declared) != counted:
                self._notes.append(f"{kind}-1 declares {int(declared)} {what}, there are {counted}")
        elif declared:
            self._notes.append(
                f"{kind}-1 is {declared[:_SHOWN_BYTES].decode('latin-1')!a}, not a number of {what}"
            )

    def finish(self) -> Batch:
        """Give the result, once the end was reached."""
        trailers = {"FHS": "FTS", "BHS": "BTS"}
        self._notes += [f"{header} without {trailers[header]}" for header in self._open.elements()]
        if not self._messages:
            raise MalformedMessage(
                "MSH", None, "the batch holds no message", "a batch must hold at least one MSH"
            )
        return Batch(tuple(self._messages), tuple(dict.fromkeys(self._notes)))
