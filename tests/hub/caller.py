"""A node's end of a link to a whole hub in memory: real keys and frames, no sockets, no node.

The test says what a node would say, or what none would, and reads what the hub answered.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from crypto.keys import LinkPublicKey, SigningPrivateKey
from hub.directory import service
from hub.listener import HubListener
from protocols.link import frames as f
from protocols.link import payloads
from protocols.link.joincode import decode_joincode, join_proof
from protocols.link.session import LinkEvent, LinkSession, PeerLeft
from runtime.link import TwistedLink
from tests.hub.hubs import DAY_MS, HUB_KEY, ISSUER, NodeKeys, Rest

_Frame = TypeVar("_Frame")
_TURNS = 1_000


def invite(rest: Rest, facility: str, *mailboxes: str) -> tuple[bytes, bytes]:
    """Invite a facility; returns the invitation's id and its secret as the handshake wants it."""
    invited = rest.sql(
        lambda connection: service.invite(
            connection, ISSUER, facility, title=None, mailboxes=mailboxes, valid_for_ms=DAY_MS,
            now_ms=rest.clock.now_ms(),
        )
    )  # fmt: skip
    code = decode_joincode(invited.code)
    return code.invitation, code.psk


def enrol(rest: Rest, facility: str, keys: NodeKeys, *mailboxes: str) -> None:
    """Let a facility in, as if its node had joined."""
    invitation, _ = invite(rest, facility, *mailboxes)
    rest.sql(
        lambda connection: service.grant(
            connection, ISSUER, invitation, keys.link.public, keys.signing, keys.sealing, rest.clock.now_ms()
        )
    )
    rest.run(rest.core.reload_directory())


class Caller:
    """One connection. Nothing moves between the two ends but in :meth:`turn`."""

    def __init__(
        self,
        rest: Rest,
        keys: NodeKeys,
        *,
        joining: tuple[bytes, bytes] | None = None,
        software: str = "test",
        hub_key: LinkPublicKey | None = None,
        trust: int = 0,
        credential: bytes = b"",
    ) -> None:
        invitation, psk = joining or (b"", None)
        self._rest = rest
        self.session = LinkSession.node(
            static=keys.link,
            hub_key=hub_key or HUB_KEY.public,
            hub_name=rest.core.name,
            hello=payloads.Hello(software, rest.clock.now_ms(), 512, invitation, trust, credential),
            now_ms=rest.clock.now_ms,
            psk=psk,
        )
        protocol = HubListener(rest.core).buildProtocol(IPv4Address("TCP", "10.0.0.1", 1))
        assert isinstance(protocol, TwistedLink)
        self._link: Any = protocol
        self._wire: Any = StringTransport()  # type: ignore[no-untyped-call]  # Twisted's
        self._heard: list[LinkEvent] = []
        protocol.makeConnection(self._wire)  # type: ignore[no-untyped-call]  # Twisted's

    def tell(self) -> None:
        """Bring what this end has to say to the hub, and let nothing follow yet."""
        data = self.session.data_to_send(64)
        if data and not self._wire.disconnecting:
            self._link.dataReceived(data)

    def listen(self) -> bool:
        """Let the hub work for a moment and read what it says; returns whether it said anything."""
        self._rest.time.advance(0)
        data = self._wire.value()
        self._wire.clear()
        self._heard += self.session.receive(data)
        return bool(data)

    def turn(self) -> None:
        """Let both ends talk until nobody has anything to say; no time passes."""
        silent = 0
        for _ in range(_TURNS):
            self.tell()
            # The hub's stores answer a few turns of the clock later.
            silent = 0 if self.listen() else silent + 1
            if silent > 20:
                return
        raise AssertionError("the two ends never stop talking")

    def say(self, *frames: f.AnyFrame) -> None:
        """Say frames, allowed or not, and let everything happen that follows at once."""
        for frame in frames:
            self.session._writer.put(f.encode_frame(frame))
        self.turn()

    def join_frame(self, invitation: bytes, number: int) -> f.Join:
        """Return what the node with the ``number``-th keys says to join."""
        keys = NodeKeys.numbered(number)
        publics = bytes(keys.signing), bytes(keys.sealing)
        proof = SigningPrivateKey(bytes((number,)) * 32).sign(
            join_proof(invitation, bytes(keys.link.public), *publics)
        )
        return f.Join(*publics, proof)

    def heard(self, kind: type[_Frame]) -> list[_Frame]:
        """Return what the hub said of one kind since the last call."""
        found: list[_Frame] = [one for one in self._heard if isinstance(one, kind)]
        self._heard = [one for one in self._heard if not isinstance(one, kind)]
        return found

    def ended(self) -> f.End:
        """Return the hub's goodbye; it has to be there."""
        (left,) = self.heard(PeerLeft)
        return left.end

    def lose(self) -> None:
        """Cut the connection."""
        self._link.connectionLost()
        self.turn()
