"""One message handed to a local system: which frames are its answer, and what they mean. Pure.

The story is told in :mod:`nodes.gateways.mllp_out`; here are its rules.
"""

from enum import Enum, auto

from protocols.hl7.acks import Acknowledgement, AcknowledgementMode, Outcome, read_ack
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import Header, read_header

NO_ANSWER_CODE = "none"
"""The code of a message whose success was not to be acknowledged."""


class Verdict(Enum):
    """What became of a message."""

    TAKEN = auto()
    REFUSED = auto()
    AGAIN = auto()


class Exchange:
    """The state of one sending: fed with frames by ``is_answer``, read when the answer came or time is up."""

    def __init__(self, header: Header, *, fresh: bool) -> None:
        """Take the message's header, and whether its connection has carried nothing before."""
        mode = AcknowledgementMode.from_header(header)
        self.verdict = Verdict.AGAIN
        self.code = ""
        self.answer = b""
        self.unnamed = False
        """The answer had no MSA-2: its connection must carry nothing more."""
        self.strays = 0
        self._asked = header.control_id, header.control_id_bytes
        self._fresh = fresh
        self._more_asked = mode.enhanced and mode.application.wants(Outcome.ACCEPTED)
        due = mode.accept_ack_due(Outcome.ACCEPTED) or mode.application_ack_due(Outcome.ACCEPTED)
        self._silence_is_success = due is None

    def is_answer(self, frame: bytes) -> bool:
        """Take a frame; True if it is the last word on this message."""
        first, self._fresh = self._fresh, False
        try:
            ack = read_ack(frame)
        except MalformedMessage:
            self.strays += 1
            return False
        self.unnamed = first and not ack.control_id.strip()
        if not self.unnamed and not ack.answers(*self._asked):
            self.strays += 1
            return False
        self.code, self.answer, self.verdict = ack.code, frame, _verdict(ack)
        return not (ack.accept_level and ack.positive and self._more_asked)

    def time_is_up(self) -> None:
        """Note that nothing more came while the connection stood."""
        if self.verdict is Verdict.AGAIN and not self.code and self._silence_is_success:
            self.verdict, self.code = Verdict.TAKEN, NO_ANSWER_CODE


def exchange_of(body: bytes, *, fresh: bool) -> Exchange:
    """Return the exchange for a message; :class:`MalformedMessage` if no answer could be matched with it."""
    return Exchange(read_header(body), fresh=fresh)


def _verdict(ack: Acknowledgement) -> Verdict:
    if ack.positive:
        return Verdict.TAKEN
    return Verdict.AGAIN if ack.repeatable else Verdict.REFUSED
