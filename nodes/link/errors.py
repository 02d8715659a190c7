"""Why a door of the node refuses something, in words for the person or program in front of it."""

from protocols.link.limits import REASON_TEXT_CHARS


class NodeError(Exception):
    """Base of what the node's own rules refuse. ``code`` is stable, ``text`` is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text[:REASON_TEXT_CHARS]


class Refused(NodeError):  # noqa: N818 - past tense states the outcome
    """Not taken, and nothing was changed: the request is wrong or not allowed here."""


class KeyConflict(Refused):
    """The sender's key was used before for another content."""


class UnknownRecipient(Refused):
    """No such facility, mailbox or group in this node's copy of the directory."""


class NoRoom(NodeError):  # noqa: N818 - states the condition
    """The disk is nearly full: refused before anything was taken; try again later."""


class Damaged(Refused):
    """What the node keeps of a message is not what it was; it is not handed on."""


class NotFound(NodeError):  # noqa: N818 - states the condition
    """Nothing here has that id."""
