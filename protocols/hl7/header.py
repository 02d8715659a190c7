"""The MSH segment alone: all that routing and acknowledging need, in about a microsecond.

:func:`read_header` finds MSH (after a byte order mark, white space or a stray VT), takes its
delimiters at their word, checks the two fields nobody can do without (MSH-9, MSH-10) and splits
nothing else. :class:`Header` turns single fields into text when asked. Field numbers and meanings:
HL7 v2.5.1 section 2.15.9.
"""

from typing import Final

import msgspec

from protocols.hl7 import charsets
from protocols.hl7.encoding import STANDARD, Delimiters, declared_delimiters, unescape
from protocols.hl7.errors import MalformedMessage

#: The whole MSH segment, and one of its fields. MSH-10 has 199 at most since v2.7.
MAX_HEADER_BYTES: Final = 16_384
MAX_HEADER_FIELD_BYTES: Final = 1_024
MAX_CONTROL_ID_BYTES: Final = 199
#: Blank bytes tolerated before MSH.
MAX_LEADING_BYTES: Final = 1_024

_BLANK: Final = b" \t\r\n\x0b\x0c\x00"
_UTF_8_BOM: Final = b"\xef\xbb\xbf"
_UTF_16_STARTS: Final = (b"\xff\xfe", b"\xfe\xff", b"M\x00S\x00", b"\x00M\x00S")
_MESSAGE_TYPE: Final = 9
_CONTROL_ID: Final = 10


class HierarchicDesignator(msgspec.Struct, frozen=True):
    """An HD field (MSH-3 to MSH-6): its bytes as they came, and its components as text."""

    field: bytes
    namespace_id: str
    universal_id: str
    universal_id_type: str


class Header(msgspec.Struct, frozen=True):
    """MSH as it came. ``fields[0]`` is ``MSH``, ``fields[n - 1]`` is MSH-n from MSH-2 on.

    Text properties are decoded by MSH-18 (or by guess, see :mod:`protocols.hl7.charsets`) and
    unescaped; they never raise, and are empty where the field is absent.
    """

    delimiters: Delimiters
    fields: tuple[bytes, ...]

    def raw(self, number: int) -> bytes:
        """Bytes of MSH-``number`` (2 or more), empty if absent."""
        return self.fields[number - 1] if number <= len(self.fields) else b""

    def components(self, number: int) -> list[str]:
        """Components of the first repetition of MSH-``number``, as text; never an empty list."""
        delimiters, first = self.delimiters, self.raw(number)
        if delimiters.repetition and delimiters.repetition in first:
            first = first[: first.index(delimiters.repetition)]
        if first.isascii() and (not delimiters.escape or delimiters.escape not in first):
            return first.decode("ascii").split(delimiters.component.decode("ascii"))
        return [self._text(part) for part in first.split(delimiters.component)]

    def _text(self, value: bytes) -> str:
        value = unescape(value, self.delimiters)
        if value.isascii():
            return value.decode("ascii")
        return charsets.decode(value, self.character_sets).text

    def _designator(self, number: int) -> HierarchicDesignator:
        parts = self.components(number)
        if len(parts) == 1:
            return HierarchicDesignator(self.raw(number), parts[0].strip(), "", "")
        namespace, universal, kind = (*parts, "")[:3]
        return HierarchicDesignator(self.raw(number), namespace.strip(), universal.strip(), kind.strip())

    @property
    def field_separator(self) -> bytes:
        """MSH-1."""
        return self.delimiters.field

    @property
    def sending_application(self) -> HierarchicDesignator:
        """MSH-3."""
        return self._designator(3)

    @property
    def sending_facility(self) -> HierarchicDesignator:
        """MSH-4."""
        return self._designator(4)

    @property
    def receiving_application(self) -> HierarchicDesignator:
        """MSH-5."""
        return self._designator(5)

    @property
    def receiving_facility(self) -> HierarchicDesignator:
        """MSH-6."""
        return self._designator(6)

    @property
    def timestamp(self) -> str:
        """MSH-7 as it stands, ``YYYYMMDD[HHMM[SS[.S…]]][+ZZZZ]`` if its sender keeps to the standard."""
        return self.components(7)[0].strip()

    @property
    def message_code(self) -> str:
        """MSH-9.1, like ``ORU``."""
        return self.components(_MESSAGE_TYPE)[0].strip()

    @property
    def trigger_event(self) -> str:
        """MSH-9.2, like ``R01``."""
        return (*self.components(_MESSAGE_TYPE), "")[1].strip()

    @property
    def message_type(self) -> str:
        """MSH-9.1 and MSH-9.2, like ``ORU^R01`` whatever the delimiters, or the one that is there."""
        code, event = (*self.components(_MESSAGE_TYPE), "")[:2]
        return f"{code.strip()}^{event.strip()}".strip("^")

    @property
    def structure(self) -> str:
        """MSH-9.3, like ``ORU_R01``."""
        return (*self.components(_MESSAGE_TYPE), "", "")[2].strip()

    @property
    def control_id(self) -> str:
        """MSH-10, whole."""
        return self._text(self.raw(_CONTROL_ID))

    @property
    def control_id_bytes(self) -> bytes:
        """MSH-10 as it came: what MSA-2 repeats."""
        return self.raw(_CONTROL_ID)

    @property
    def version(self) -> str:
        """MSH-12.1, like ``2.5.1``; whatever the sender wrote."""
        return self.components(12)[0].strip()

    @property
    def accept_ack(self) -> str:
        """MSH-15 in capitals: AL, NE, ER, SU, or something else."""
        return self.components(15)[0].strip().upper()

    @property
    def application_ack(self) -> str:
        """MSH-16, likewise."""
        return self.components(16)[0].strip().upper()

    @property
    def character_sets(self) -> tuple[str, ...]:
        """MSH-18, its non-empty repetitions."""
        raw = self.raw(18)
        if not raw:
            return ()
        parts = raw.split(self.delimiters.repetition) if self.delimiters.repetition else [raw]
        return tuple(part.decode("latin-1").strip() for part in parts if part.strip())


def find_header(raw: bytes) -> int:
    """Offset of ``MSH``, which only blank bytes and a byte order mark may precede."""
    if raw[:3] == b"MSH":
        return 0
    head = raw[:MAX_LEADING_BYTES]
    rest = head.lstrip(_BLANK).removeprefix(_UTF_8_BOM).lstrip(_BLANK)
    if rest.startswith(b"MSH"):
        return len(head) - len(rest)
    remedy = "a message must begin with MSH"
    if not raw.strip(_BLANK):
        raise MalformedMessage("MSH", None, "the message is empty", remedy)
    if raw.startswith(_UTF_16_STARTS):
        raise MalformedMessage(
            "MSH", None, "the message is UTF-16", "send UTF-8 or a set with one byte a character"
        )
    raise MalformedMessage("MSH", None, f"no MSH segment at the start, but {_start(rest[:8])}", remedy)


def _start(raw: bytes) -> str:
    """Return the first bytes for people: as they are if they can be printed, else in hex."""
    if raw.isascii() and raw.decode("ascii").isprintable():
        return f"'{raw.decode('ascii')}'"
    return f"0x{raw.hex()}"


def read_header(raw: bytes) -> Header:
    """Read MSH of ``raw``; :class:`MalformedMessage` names the field that makes it unusable."""
    start = find_header(raw)
    limit = start + MAX_HEADER_BYTES
    end = raw.find(b"\r", start, limit)
    if end < 0:
        end = min(len(raw), limit)
    line_feed = raw.find(b"\n", start, end)
    if line_feed >= 0:
        end = line_feed
    if end == limit:
        raise MalformedMessage(
            "MSH", None, f"longer than {MAX_HEADER_BYTES} bytes", "end each segment with a carriage return"
        )
    separator = raw[start + 3 : start + 4]
    if end <= start + 3:
        raise MalformedMessage("MSH", 1, "the message ends after MSH", "it must go on like MSH|^~\\&|")
    fields = tuple(raw[start:end].split(separator))
    header = Header(_delimiters(separator, fields), fields)
    if end - start > MAX_CONTROL_ID_BYTES:
        _check_lengths(header)
    if len(fields) < _MESSAGE_TYPE or not (
        fields[8][:1].isalnum() or fields[8].strip(b" " + header.delimiters.component)
    ):
        raise MalformedMessage(
            "MSH",
            _MESSAGE_TYPE,
            "message type is missing",
            "name message and event, like ADT^A01",
            partial=header,
        )
    if len(fields) < _CONTROL_ID or not fields[9].strip():
        raise MalformedMessage(
            "MSH",
            _CONTROL_ID,
            "message control id is missing",
            "give each message an id of its own",
            partial=header,
        )
    return header


def _delimiters(separator: bytes, fields: tuple[bytes, ...]) -> Delimiters:
    """Return what MSH declares. If only MSH-2 is wrong, the fault's ``partial`` still says who asked what."""
    try:
        return declared_delimiters(separator, fields[1])
    except MalformedMessage as fault:
        if separator != STANDARD.field:
            raise
        kept = tuple(field if len(field) <= MAX_CONTROL_ID_BYTES else b"" for field in fields[2:])
        partial = Header(STANDARD, (b"MSH", STANDARD.declaration, *kept))
        raise MalformedMessage(
            fault.segment, fault.field, fault.problem, fault.remedy, partial=partial
        ) from None


def _check_lengths(header: Header) -> None:
    for index, field in enumerate(header.fields):
        limit = MAX_CONTROL_ID_BYTES if index + 1 == _CONTROL_ID else MAX_HEADER_FIELD_BYTES
        if len(field) > limit:
            kept = Header(
                header.delimiters, tuple(part if len(part) <= limit else b"" for part in header.fields)
            )
            raise MalformedMessage(
                "MSH",
                index + 1,
                f"{len(field)} bytes long",
                f"at most {limit} bytes are accepted",
                partial=kept,
            )


def bare_header(delimiters: Delimiters = STANDARD) -> Header:
    """Make a header that knows nothing but its delimiters, to answer what had none."""
    return Header(delimiters, (b"MSH", delimiters.declaration))
