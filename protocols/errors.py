"""Whose fault it is, and what the other side is told.

Every exception that a protocol core raises descends from :class:`ProtocolError` and is either
*local* (our own caller asked for what the protocol forbids: a bug on this side) or *remote*
(the peer's bytes were wrong: expected, refused, counted). Bytes from a peer raise nothing but
:class:`RemoteProtocolError` and its children.
"""

from typing import ClassVar


class ProtocolError(Exception):
    """Base of all protocol faults; raise one of the two children below."""

    #: What is put on the wire, in a report or in a metric's label: stable, lower case, no spaces.
    wire_code: ClassVar[str] = "protocol-error"


class LocalProtocolError(ProtocolError):
    """This side tried something that the protocol does not allow."""

    wire_code = "local-fault"


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""

    wire_code = "remote-fault"
