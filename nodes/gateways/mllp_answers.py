"""What a local system is told about its message, and when that may be said. Pure.

Codes. ``A`` (AA, CA): what ``acknowledge`` asks for has happened. ``E`` (AE, CE): this message will not do,
repair it; sending the same again gives the same. ``R`` (AR, CR): not now; the same bytes again are harmless
and may fare better. Senders differ in what they repeat: silence is repeated by all, AR and CR by most that
tell codes apart (HL7 v2.5.1 section 2.9.2.2: "not because of the message's content"), AE and CE by none. So a
message that is kept but has not come as far as ``acknowledge`` wants in time is answered R: the sender asks
again with the same bytes, its MSH-10 is known, and it gets its A (or E) then. AE would make a person send it
once more under a new MSH-10, which is a second message; AA would be a lie.

Original mode (MSH-15 and MSH-16 empty): one application acknowledgement. Enhanced mode: the accept
acknowledgement at ``acknowledge``, and after it the application's own if MSH-16 asks and it came in time; if
MSH-15 asks for none, the application acknowledgement takes its place and comes at ``acknowledge``.

An answer made here follows from the stored message alone (its time and control id from the message's id), so
a repeat is answered with the same bytes. With ``processed`` and one recipient the answer of the recipient's
application goes back as it came.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Final

from config.node import Acknowledge
from crypto.primitives import blake2b
from nodes.link.tracking import FINAL, RecipientState, Sent
from protocols import mllp
from protocols.errors import ProtocolError
from protocols.hl7 import batch
from protocols.hl7.acks import AcknowledgementMode, ErrorLocation, Outcome, build_ack, read_ack, timestamp
from protocols.hl7.header import Header
from protocols.link.envelope import State
from protocols.link.limits import DETAIL_BYTES

LEVELS: Final = {
    Acknowledge.STORED: State.QUEUED,
    Acknowledge.ACCEPTED: State.ACCEPTED,
    Acknowledge.DELIVERED: State.DELIVERED,
    Acknowledge.PROCESSED: State.PROCESSED,
}
_CONTROL_ID_HASH_BYTES: Final = 10  # 20 characters: the length of MSH-10 before v2.7
_TIME_BYTES: Final = 6  # of a UUID version 7


class Standing(Enum):
    """Whether a message has come as far as was asked."""

    REACHED = Outcome.ACCEPTED
    FAILED = Outcome.ERROR
    PENDING = Outcome.REJECTED


@dataclass(frozen=True, slots=True)
class Answer:
    """An acknowledgement: its MSA-1 and its bytes."""

    code: str
    payload: bytes


def made(
    header: Header, code: str, identifier: bytes, text: str = "", error: ErrorLocation | None = None
) -> Answer:
    """Return the acknowledgement ``code`` of the message with this id (a UUID version 7)."""
    control_id = blake2b(identifier + code.encode("ascii"))[:_CONTROL_ID_HASH_BYTES].hex().upper()
    now = _moment(int.from_bytes(identifier[:_TIME_BYTES], "big") // 1000)
    return Answer(code, build_ack(header, code, now=now, control_id=control_id, text=text, error=error))


@lru_cache(maxsize=16)
def _moment(second: int) -> str:
    return timestamp(datetime.fromtimestamp(second, UTC))


def refusal(
    header: Header,
    outcome: Outcome,
    identifier: bytes,
    text: str,
    error: ErrorLocation | None = None,
    *,
    always: bool = False,
) -> list[Answer]:
    """Return the answer to a message that was not taken; none if MSH-15 and MSH-16 want none.

    ``always``: answer all the same, for a header so broken that its wishes mean nothing.
    """
    mode = AcknowledgementMode.from_header(header)
    code = mode.accept_ack_due(outcome) or mode.application_ack_due(outcome)
    if code is None and always:
        code = f"C{outcome.value}"
    return [made(header, code, identifier, text, error)] if code else []


def awaited(header: Header, acknowledge: Acknowledge) -> State:
    """Return how far a message must have come before there is something to say; QUEUED: say it now."""
    if acknowledge is Acknowledge.STORED:
        return State.QUEUED
    return LEVELS[acknowledge] if AcknowledgementMode.from_header(header).anything_due() else State.QUEUED


def wants_both(header: Header) -> bool:
    """Whether the accept acknowledgement is to be followed by the application's own."""
    mode = AcknowledgementMode.from_header(header)
    return mode.accept_ack_due(Outcome.ACCEPTED) is not None and any(
        mode.application.wants(outcome) for outcome in Outcome
    )


def waiting_ends(level: State) -> frozenset[State]:
    """Return the states of the whole message at which nothing more needs to be waited for."""
    return frozenset(state for state in State if state >= level and state is not State.DELAYED) | FINAL


def answers(header: Header, identifier: bytes, sent: Sent | None, acknowledge: Acknowledge) -> list[Answer]:
    """Return what is to be said now, in order; ``sent`` None: all that is known is that it is stored."""
    mode = AcknowledgementMode.from_header(header)
    level = LEVELS[acknowledge]
    found = standing(sent, level)
    accept = mode.accept_ack_due(found.value)
    if accept is None:
        code = mode.application_ack_due(found.value)
        return [_application(header, code, identifier, sent, level)] if code else []
    said = [made(header, accept, identifier, _text(sent, level, found))]
    processed = standing(sent, State.PROCESSED)
    if found is Standing.REACHED and processed is not Standing.PENDING:
        code = mode.application_ack_due(processed.value)
        if code:
            said.append(_application(header, code, identifier, sent, State.PROCESSED))
    return said


def standing(sent: Sent | None, level: State) -> Standing:
    """Return where the message is, measured by ``level``, all recipients taken together.

    What was once reached stays so, whatever came later: a repeat must not get another answer.
    """
    if level is State.QUEUED:
        return Standing.REACHED
    if sent is None:
        return Standing.PENDING
    found = {_standing_of(sent, recipient, level) for recipient in sent.recipients}
    if Standing.PENDING in found:
        return Standing.PENDING
    return Standing.FAILED if Standing.FAILED in found else Standing.REACHED


def reached(sent: Sent | None, level: State) -> bool:
    """Whether all recipients have come as far as ``level``."""
    return standing(sent, level) is Standing.REACHED


def _standing_of(sent: Sent, recipient: RecipientState, level: State) -> Standing:
    if recipient.state in (State.REFUSED, State.RETURNED):
        once = any(
            moment.recipient in ("", recipient.recipient)
            and moment.state is not State.DELAYED
            and level <= moment.state <= State.PROCESSED
            for moment in sent.history
        )
        return Standing.REACHED if once else Standing.FAILED
    state = State.ACCEPTED if recipient.state is State.DELAYED else recipient.state
    return Standing.REACHED if state >= level else Standing.PENDING


def _application(header: Header, code: str, identifier: bytes, sent: Sent | None, level: State) -> Answer:
    if sent is not None and level is State.PROCESSED and len(sent.recipients) == 1:
        theirs = _passed_through(header, sent.recipients[0])
        if theirs is not None:
            return theirs
    return made(header, code, identifier, _text(sent, level, standing(sent, level)))


def _passed_through(header: Header, recipient: RecipientState) -> Answer | None:
    """Return the application's own answer, if it is one to this very message, whole and fit to be sent on."""
    raw = recipient.answer
    if not raw or len(raw) >= DETAIL_BYTES or recipient.state not in (State.PROCESSED, State.REFUSED):
        return None
    try:
        answer = read_ack(raw)
        mllp.frame(raw)
    except ProtocolError:
        return None
    positive = recipient.state is State.PROCESSED
    ours = answer.answers(header.control_id, header.control_id_bytes)
    fits = ours and not answer.accept_level and answer.positive is positive
    return Answer(answer.code, raw) if fits and not batch.is_batch(raw) else None


def _text(sent: Sent | None, level: State, found: Standing) -> str:
    if found is Standing.REACHED or sent is None:
        return ""
    if found is Standing.PENDING:
        return f"kept, still on its way ({sent.state.word}, not yet {level.word}): repeat it to ask again"
    failed = [r for r in sent.recipients if _standing_of(sent, r, level) is Standing.FAILED]
    return "; ".join(f"{r.recipient}: {r.state.word}, {r.code or 'no reason given'}" for r in failed)
