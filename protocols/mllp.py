r"""MLLP framing: where one message ends and the next begins on a stream of bytes.

A frame is ``VT payload FS CR`` (0x0B … 0x1C 0x0D; HL7 "Transport Specification: MLLP, Release 1").
:class:`FrameReader` is fed whatever TCP delivers and tells what it saw as events; the same bytes
give the same events however they were cut. It promises bounded memory (the limit, plus what one
``feed`` brought) and linear time, a byte at a time included. It has no clock: the adapter that
owns the connection decides how long a frame may stay unfinished, and calls :meth:`FrameReader.flush`
when the peer has gone quiet.

What real senders do, and what is made of it:

- CR and LF between frames (``FS CR LF`` is common) are dropped without a word; any other byte
  between frames is dropped and reported as :class:`GarbageSkipped`.
- The final CR is missing: FS directly followed by VT ends a frame, and so does FS followed by
  silence or by the end of the connection (``flush``). Any other FS belongs to the payload.
- The sender restarted inside a frame: VT directly followed by ``MSH``, ``FHS`` or ``BHS`` starts
  anew and the unfinished bytes, which nobody acknowledged, are reported as garbage. Any other VT
  belongs to the payload: a sloppy text field must not cut its message in two.
- A frame over the limit is reported once, as soon as it is known, and skipped up to its end.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from protocols.errors import LocalProtocolError

START: Final = b"\x0b"
END: Final = b"\x1c\r"

#: Garbage is reported at the next frame, or each time this much of it has come.
GARBAGE_REPORT_BYTES: Final = 65_536
#: How much of the garbage a report shows: enough to recognise it, too little to leak a record.
GARBAGE_SAMPLE_BYTES: Final = 16

_VT: Final = 0x0B
_FS: Final = 0x1C
_LINE_ENDS: Final = b"\r\n"
#: What ends a frame, or starts another one inside it.
_BOUNDARY: Final = re.compile(rb"\x1c[\r\x0b]|\x0b(?:MSH|FHS|BHS)")
#: A boundary may have begun in this many last bytes without being whole yet.
_BOUNDARY_OVERLAP_BYTES: Final = 3


class UnframeablePayload(LocalProtocolError):  # noqa: N818 (reads as what it is)
    """The payload contains what would end its own frame or start another inside it."""

    wire_code = "mllp-unframeable"


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole frame came; ``payload`` is what stood between VT and FS, byte for byte."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class GarbageSkipped:
    """Bytes that belong to no whole frame were dropped; ``sample`` is how they began."""

    size_bytes: int
    sample: bytes


@dataclass(frozen=True, slots=True)
class FrameTooLarge:
    """A frame exceeded the limit; none of its bytes are kept and reading goes on after its end."""

    limit_bytes: int


Event = MessageReceived | GarbageSkipped | FrameTooLarge


def frame(payload: bytes) -> bytes:
    """Put ``payload`` into a frame.

    Raises :class:`UnframeablePayload` if a reader of the other side could not get it back:
    MLLP has no escape for its own marks.
    """
    rare = _VT in payload or _FS in payload
    found = _BOUNDARY.search(payload) if rare else None
    if found is not None:
        raise UnframeablePayload(
            f"payload cannot travel over MLLP: {found.group().hex(' ')} (hex) at offset {found.start()} "
            "end a frame or start one; a payload must not contain FS CR, FS VT or VT MSH"
        )
    return START + payload + END


class _Place(Enum):
    BETWEEN = auto()
    INSIDE = auto()
    SKIPPING = auto()


class FrameReader:
    """Takes frames out of a stream, one instance per connection and direction.

    ``max_frame_bytes`` bounds a payload (its marks not counted).
    """

    def __init__(self, max_frame_bytes: int) -> None:
        if max_frame_bytes < 1:
            raise ValueError(f"max_frame_bytes is {max_frame_bytes}; it must be at least 1")
        self._limit_bytes = max_frame_bytes
        self._place = _Place.BETWEEN
        self._buffer = bytearray()
        self._scanned = 0
        self._garbage_bytes = 0
        self._garbage_sample = b""

    @property
    def inside_frame(self) -> bool:
        """Whether a frame has begun and not ended: the adapter's timer runs while it is true."""
        return self._place is not _Place.BETWEEN

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for the unfinished frame."""
        return len(self._buffer)

    @property
    def ended_but_for_cr(self) -> bool:
        """Whether the last byte is an FS inside a frame: the end, if nothing follows (see ``flush``)."""
        return self.inside_frame and self._buffer[-1:] == b"\x1c"

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream; return what became known, in order."""
        events: list[Event] = []
        self._buffer += data
        while self._step(events):
            pass
        return events

    def flush(self) -> list[Event]:
        """Say that the peer has gone quiet or closed: release a frame that FS alone ended.

        Reports garbage not reported yet. A frame without FS stays unfinished: more may come.
        """
        events: list[Event] = []
        if self._place is _Place.BETWEEN:
            self._report_garbage(events)
        elif self._buffer and self._buffer[-1] == _FS:
            self._end_frame(len(self._buffer) - 1, len(self._buffer), events)
        return events

    def _step(self, events: list[Event]) -> bool:
        """Make one step; True if there may be another in what is buffered."""
        if self._place is _Place.BETWEEN:
            return self._seek_start(events)
        at = self._find_boundary()
        if at < 0:
            self._scanned = max(self._scanned, len(self._buffer) - _BOUNDARY_OVERLAP_BYTES)
            self._bound(self._scanned, events)
            return False
        self._bound(at, events)
        if self._place is _Place.SKIPPING:
            at = 0  # what stood before the boundary has just been dropped
        if self._buffer[at] == _FS:
            after_cr = self._buffer[at + 1] == _LINE_ENDS[0]
            self._end_frame(at, at + (2 if after_cr else 1), events)
        else:
            self._restart(at, events)
        return True

    def _find_boundary(self) -> int:
        """Offset of the next boundary, or -1; plain frames never reach the pattern, ten times as dear."""
        buffer, start = self._buffer, self._scanned
        at = buffer.find(_FS, start)
        if at < 0:
            if buffer.find(_VT, start) < 0:
                return -1
        elif buffer.find(_VT, start, at) < 0 and buffer[at + 1 : at + 2] == b"\r":
            return at
        found = _BOUNDARY.search(buffer, start)
        return -1 if found is None else found.start()

    def _seek_start(self, events: list[Event]) -> bool:
        at = self._buffer.find(START)
        end = len(self._buffer) if at < 0 else at
        if end:
            self._count_garbage(bytes(self._buffer[:end].translate(None, _LINE_ENDS)), events)
        if at < 0:
            self._buffer.clear()
            return False
        self._report_garbage(events)
        del self._buffer[: at + 1]
        self._place, self._scanned = _Place.INSIDE, 0
        return True

    def _bound(self, known: int, events: list[Event]) -> None:
        """``known`` bytes certainly belong to this frame: too many of them, and none is kept."""
        if self._place is _Place.INSIDE and known > self._limit_bytes:
            self._place = _Place.SKIPPING
            events.append(FrameTooLarge(self._limit_bytes))
        if self._place is _Place.SKIPPING:
            del self._buffer[:known]
            self._scanned = 0

    def _end_frame(self, payload_end: int, frame_end: int, events: list[Event]) -> None:
        if self._place is _Place.INSIDE:
            if payload_end > self._limit_bytes:
                events.append(FrameTooLarge(self._limit_bytes))
            else:
                events.append(MessageReceived(bytes(memoryview(self._buffer)[:payload_end])))
        del self._buffer[:frame_end]
        self._place, self._scanned = _Place.BETWEEN, 0

    def _restart(self, at: int, events: list[Event]) -> None:
        if self._place is _Place.INSIDE and at:
            events.append(GarbageSkipped(at, bytes(self._buffer[:GARBAGE_SAMPLE_BYTES][:at])))
        del self._buffer[: at + 1]
        self._place, self._scanned = _Place.INSIDE, 0

    def _count_garbage(self, garbage: bytes, events: list[Event]) -> None:
        taken = 0
        while taken < len(garbage):
            part = garbage[taken : taken + GARBAGE_REPORT_BYTES - self._garbage_bytes]
            taken += len(part)
            self._garbage_bytes += len(part)
            if len(self._garbage_sample) < GARBAGE_SAMPLE_BYTES:
                self._garbage_sample = (self._garbage_sample + part)[:GARBAGE_SAMPLE_BYTES]
            if self._garbage_bytes == GARBAGE_REPORT_BYTES:
                self._report_garbage(events)

    def _report_garbage(self, events: list[Event]) -> None:
        if self._garbage_bytes:
            events.append(GarbageSkipped(self._garbage_bytes, self._garbage_sample))
        self._garbage_bytes, self._garbage_sample = 0, b""
