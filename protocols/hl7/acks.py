"""Acknowledgements: making them, reading other people's, and knowing which are due.

HL7 v2.5.1 section 2.9.2 (original mode: one application acknowledgement) and 2.9.3 (enhanced mode:
an accept acknowledgement when the message is safe, an application acknowledgement when it was
processed, each only if MSH-15 and MSH-16 ask for it). Errors are located in ERR as the message's
own version has it: ERR-1 before 2.5, ERR-2 to ERR-8 since.

What is mirrored (names, processing id, version, control id) goes back byte for byte in the
message's own delimiters, only control characters are dropped. Reading is tolerant: an MSH-10 of
``ACK``, another version, the request's own MSH-9, a missing final CR or missing MSH-10 are common
and mean no harm. What counts is MSA.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Final

from protocols.hl7 import charsets
from protocols.hl7.build import SegmentFields, build, build_fields
from protocols.hl7.encoding import Delimiters
from protocols.hl7.er7 import Message
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header, read_header

POSITIVE_CODES: Final = frozenset({"AA", "CA"})
ACK_CODES: Final = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})
#: MSA-3 and ERR-8 longer than this are cut (80 characters by the standard; receivers take more).
MAX_TEXT_CHARACTERS: Final = 250
#: Version that an acknowledgement claims where the message claims none.
FALLBACK_VERSION: Final = "2.5"

_VERSION: Final = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2}))?")
_MSH_18: Final = 18
_ECHOED: Final = (3, 4, 5, 6, 9, 11, 12, _MSH_18)
"""The fields of a message's MSH that its answer's MSH is made of."""
_CACHED_WISHES: Final = 256
_NOT_SAID: Final = dict.fromkeys([*range(0x09), *range(0x0A, 0x20), 0x7F])
"""What :mod:`protocols.hl7.build` leaves out of every value: it would break the framing."""
_CACHED_HEADERS: Final = 1_024


class ErrorCode(Enum):
    """What is said of table HL70357: number and standard text."""

    SEGMENT_SEQUENCE = ("100", "Segment sequence error")
    REQUIRED_FIELD_MISSING = ("101", "Required field missing")
    DATA_TYPE = ("102", "Data type error")
    UNKNOWN_KEY = ("204", "Unknown key identifier")
    DUPLICATE_KEY = ("205", "Duplicate key identifier")
    INTERNAL = ("207", "Application internal error")


class Severity(Enum):
    """Table HL70516."""

    ERROR = "E"
    WARNING = "W"
    INFORMATION = "I"


class Outcome(Enum):
    """How it went with a message: taken; an error in it; or not taken at all (it may be sent again)."""

    ACCEPTED = "A"
    ERROR = "E"
    REJECTED = "R"


@dataclass(frozen=True, slots=True)
class ErrorLocation:
    """What ERR says: the place (numbers count from 1, None where not known), the kind, how bad."""

    segment: str = ""
    sequence: int = 1
    field: int | None = None
    component: int | None = None
    code: ErrorCode = ErrorCode.INTERNAL
    severity: Severity = Severity.ERROR

    @classmethod
    def of(cls, fault: MalformedMessage) -> "ErrorLocation":
        """Place and kind of a fault found while reading."""
        missing = "missing" in fault.problem
        code = ErrorCode.REQUIRED_FIELD_MISSING if missing else ErrorCode.DATA_TYPE
        return cls(fault.segment, field=fault.field, code=code if fault.field else ErrorCode.SEGMENT_SEQUENCE)


class AcknowledgementCondition(Enum):
    """Table HL70155: when an acknowledgement is wanted."""

    ALWAYS = "AL"
    NEVER = "NE"
    ON_ERROR = "ER"
    ON_SUCCESS = "SU"

    def wants(self, outcome: Outcome) -> bool:
        """Whether this outcome is to be acknowledged."""
        if self is AcknowledgementCondition.ALWAYS:
            return True
        wanted = AcknowledgementCondition.ON_SUCCESS
        if outcome is not Outcome.ACCEPTED:
            wanted = AcknowledgementCondition.ON_ERROR
        return self is wanted


@dataclass(frozen=True, slots=True)
class AcknowledgementMode:
    """Which acknowledgements a sender waits for.

    ``accept`` None: original mode, the one application acknowledgement always. In enhanced mode an
    empty field means never, and a value outside table 0155 means always: an answer too many is
    ignored, one too few makes the sender repeat for ever.
    """

    accept: AcknowledgementCondition | None
    application: AcknowledgementCondition

    @classmethod
    def from_header(cls, header: Header) -> "AcknowledgementMode":
        """Read MSH-15 and MSH-16."""
        return _mode_of(header.delimiters, header.raw(15), header.raw(16))

    def anything_due(self) -> bool:
        """Whether any outcome is to be acknowledged at all."""
        return any(self.accept_ack_due(outcome) or self.application_ack_due(outcome) for outcome in Outcome)

    @property
    def enhanced(self) -> bool:
        """Whether accept and application acknowledgements are told apart."""
        return self.accept is not None

    def accept_ack_due(self, outcome: Outcome) -> str | None:
        """CA, CE or CR if the sender wants it for this outcome; always None in original mode."""
        if self.accept is None or not self.accept.wants(outcome):
            return None
        return f"C{outcome.value}"

    def application_ack_due(self, outcome: Outcome) -> str | None:
        """AA, AE or AR if the sender wants it for this outcome."""
        return f"A{outcome.value}" if self.application.wants(outcome) else None


@lru_cache(maxsize=_CACHED_WISHES)
def _mode_of(delimiters: Delimiters, accept: bytes, application: bytes) -> AcknowledgementMode:
    said = Header(delimiters, (*[b""] * 14, accept, application))
    return _mode(said.accept_ack, said.application_ack)


def _mode(accept: str, application: str) -> AcknowledgementMode:
    if not accept and not application:
        return AcknowledgementMode(None, AcknowledgementCondition.ALWAYS)
    return AcknowledgementMode(_condition(accept), _condition(application))


def _condition(value: str) -> AcknowledgementCondition:
    if not value:
        return AcknowledgementCondition.NEVER
    try:
        return AcknowledgementCondition(value)
    except ValueError:
        return AcknowledgementCondition.ALWAYS


def build_ack(
    header: Header,
    code: str,
    *,
    now: datetime | str,
    control_id: str,
    text: str = "",
    error: ErrorLocation | None = None,
) -> bytes:
    """Answer the message of ``header`` with ``code`` (AA, AE, AR, CA, CE, CR).

    ``now`` goes into MSH-7 (an aware datetime with its offset), ``control_id`` into MSH-10 (ours,
    not the message's), ``text`` into MSA-3 and, with ``error``, into ERR. Raises ValueError for
    another code: that is our own mistake.
    """
    if code not in ACK_CODES:
        raise ValueError(f"acknowledgement code {code!r} must be one of {', '.join(sorted(ACK_CODES))}")
    now = now if isinstance(now, str) else timestamp(now)
    text = text[:MAX_TEXT_CHARACTERS]
    kept = header.delimiters, tuple(map(header.raw, _ECHOED))
    parts, codec = _ack_header(*kept)
    moment, ours = build_fields(now, control_id, delimiters=header.delimiters, codec=codec)
    mark = header.delimiters.field
    msh = mark.join((parts[0], moment, parts[1], ours, parts[2])).rstrip(mark)
    segments: list[SegmentFields] = [("MSA", code, header.control_id_bytes, text)]
    if error is not None:
        recent = _version(header.version) >= (2, 5)
        segments.append(_err(error, text) if recent else _err_before_2_5(error))
    return msh + b"\r" + build(*segments, delimiters=header.delimiters, codec=codec)


@lru_cache(maxsize=_CACHED_HEADERS)
def _ack_header(delimiters: Delimiters, echoed: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes, bytes], str]:
    """Return what stands before, between and behind MSH-7 and MSH-10 of an answer, and its Python codec."""
    fields = [b""] * _MSH_18
    for number, value in zip(_ECHOED, echoed, strict=True):
        fields[number - 1] = value
    header = Header(delimiters, tuple(fields))
    label = header.raw(_MSH_18)
    codec = charsets.codec_for(next(iter(header.character_sets), "")) or "utf-8"
    if codec.startswith("utf-"):
        codec = "utf-8"
    msh: SegmentFields = (
        "MSH",
        header.raw(5),
        header.raw(6),
        header.raw(3),
        header.raw(4),
        "",
        "",
        _ack_type(header, _version(header.version)),
        "",
        header.raw(11) or "P",
        header.raw(12) or FALLBACK_VERSION,
        *([""] * 5 + [label] if label else []),
    )
    mark = delimiters.field
    made = build(msh, delimiters=delimiters, codec=codec).removesuffix(b"\r").split(mark)
    return (mark.join(made[:6]), mark.join(made[7:9]), mark.join(made[10:])), codec


def timestamp(now: datetime) -> str:
    """Write ``now`` as HL7 does, to the second: ``20260131235959+0100``."""
    return now.strftime("%Y%m%d%H%M%S%z")


@lru_cache(maxsize=64)
def _version(written: str) -> tuple[int, ...]:
    match = _VERSION.match(written) or _VERSION.match(FALLBACK_VERSION)
    assert match is not None
    return tuple(int(part) for part in match.groups() if part)


def _ack_type(header: Header, version: tuple[int, ...]) -> tuple[str, ...]:
    event = header.trigger_event
    if not event:
        return ("ACK",)
    return ("ACK", event, "ACK") if version >= (2, 3, 1) else ("ACK", event)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _err_before_2_5(error: ErrorLocation) -> SegmentFields:
    number, text = error.code.value
    return ("ERR", (error.segment, str(error.sequence), _number(error.field), (number, text, "HL70357")))


def _err(error: ErrorLocation, text: str) -> SegmentFields:
    number, standard_text = error.code.value
    repetition = "1" if error.component else ""
    place = (error.segment, str(error.sequence), _number(error.field), repetition, _number(error.component))
    location = place if error.segment else ""
    return ("ERR", "", location, (number, standard_text, "HL70357"), error.severity.value, "", "", "", text)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody's answer. ``control_id`` is MSA-2 as text: compare it with the request's MSH-10."""

    code: str
    control_id: str
    control_id_bytes: bytes
    text: str
    header: Header

    @property
    def positive(self) -> bool:
        """AA or CA."""
        return self.code in POSITIVE_CODES

    @property
    def accept_level(self) -> bool:
        """CA, CE or CR: the message is safe (or not), its application has not spoken yet."""
        return self.code.startswith("C")

    @property
    def repeatable(self) -> bool:
        """AR or CR: refused for the state that the receiver is in; the same message may be sent again."""
        return self.code.endswith("R")

    def answers(self, control_id: str, control_id_bytes: bytes = b"") -> bool:
        """Whether this is the answer to the message with that MSH-10, as text or as the bytes that came.

        Blanks at the ends and control characters don't count: an answer cannot carry the latter. Without a
        declared charset a text may be read differently in the message and in its answer; bytes may not.
        """
        said, asked = (one.translate(_NOT_SAID).strip() for one in (self.control_id, control_id))
        if said == asked:
            return True
        said_bytes, asked_bytes = (
            one.translate(None, bytes(_NOT_SAID)).strip() for one in (self.control_id_bytes, control_id_bytes)
        )
        return bool(asked_bytes) and said_bytes == asked_bytes


def read_ack(raw: bytes) -> Acknowledgement:
    """Read an answer; :class:`MalformedMessage` if there is no MSA with a code of table 0008."""
    try:
        header = read_header(raw)
    except MalformedMessage as fault:
        if fault.partial is None:
            raise
        header = fault.partial
    message = Message(raw, header)
    if message.segment("MSA") is None:
        raise MalformedMessage("MSA", None, "segment is missing", "an answer must have one", partial=header)
    code = message.get("MSA-1").strip().upper()
    if code not in ACK_CODES:
        raise MalformedMessage(
            "MSA",
            1,
            f"acknowledgement code {code[:8]!a} is unknown",
            "it must be AA, AE, AR, CA, CE or CR",
            partial=header,
        )
    text = message.get("MSA-3") or message.get("ERR-8") or message.get("ERR-1.4.2")
    return Acknowledgement(
        code=code,
        control_id=message.text(message.raw("MSA-2")),
        control_id_bytes=message.raw("MSA-2"),
        text=text[:MAX_TEXT_CHARACTERS],
        header=header,
    )
