"""What is wrong with an HL7 message, said so that its sender can find the place."""

from typing import TYPE_CHECKING

from protocols.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from protocols.hl7.header import Header


class MalformedMessage(RemoteProtocolError):  # noqa: N818 (reads as what it is)
    """Bytes that cannot be taken as an HL7 v2 message.

    ``segment`` and ``field`` (None: the segment as a whole) say where, ``problem`` what is wrong,
    ``remedy`` what would be right. ``partial`` is the header as far as it could be read: enough to
    address a refusal with, nothing more; None where not even the delimiters are known.
    """

    wire_code = "malformed-hl7"

    def __init__(
        self, segment: str, field: int | None, problem: str, remedy: str, *, partial: "Header | None" = None
    ) -> None:
        self.segment = segment
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.partial = partial
        super().__init__(segment, field, problem, remedy)

    @property
    def place(self) -> str:
        """``MSH-9``, or ``MSH`` where the whole segment is meant."""
        return self.segment if self.field is None else f"{self.segment}-{self.field}"

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.remedy}"


class BadPath(LocalProtocolError):  # noqa: N818 (reads as what it is)
    """Our own code asked for a field by a path that is not one."""

    wire_code = "hl7-bad-path"
