"""Faults on the link, each with the code that a GOODBYE or a refusal carries."""

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.link.limits import REASON_TEXT_CHARS


class RemoteError(RemoteProtocolError):
    """The peer's bytes are wrong. ``code`` goes on the wire; ``text`` names what, where and what is right."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text[:REASON_TEXT_CHARS]


class LocalError(LocalProtocolError):
    """This side asked for what the protocol, or the session's present state, does not allow."""
