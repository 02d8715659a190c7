"""Joining a network with a one-time code: one short conversation, safe to repeat.

The node's keys are made and written to disk before the first byte is sent, so that a join
whose answer was lost is repeated with the same keys and gets the same credential; so is one whose keys wait
for an approval. The credential is checked against the authority's key that came with the code, not against
anything that the network said.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from crypto import identity as statements
from crypto.errors import CryptoError
from crypto.keys import LinkPublicKey, SigningPublicKey
from crypto.trust import Anchors
from nodes.link.core import SOFTWARE
from nodes.link.identity import Identity
from nodes.link.keyfiles import NodeKeys
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.entries import DirectoryEntry
from protocols.link.joincode import JoinCode, join_proof
from protocols.link.session import Broken, LinkEvent, LinkSession, Opened, PeerLeft
from runtime.clock import Clock
from runtime.link import TwistedLink


class JoinFailed(Exception):  # noqa: N818 - past tense states the outcome
    """The hub did not let this node in; the text says why and what to do."""


class JoinWaits(JoinFailed):
    """The hub has noted this node's keys, and somebody there has to approve or sign them; ask again."""


class Join:
    """One attempt. ``done`` fires with the new identity and the facility's entry, or JoinFailed."""

    def __init__(self, code: JoinCode, keys: NodeKeys, clock: Clock) -> None:
        self._code = code
        self._keys = keys
        self.done: Deferred[tuple[Identity, DirectoryEntry]] = Deferred()
        session = LinkSession.node(
            static=keys.link,
            hub_key=LinkPublicKey(code.hub_key),
            hub_name=code.hub_name,
            hello=payloads.Hello(SOFTWARE, clock.now_ms(), limits.DELIVER_WINDOW, code.invitation),
            now_ms=clock.now_ms,
            psk=code.psk,
        )
        self.link = TwistedLink(session, self, clock)

    def link_event(self, event: LinkEvent) -> None:
        """Ask for the credential once the link is open, and take it."""
        match event:
            case Opened():
                keys = self._keys
                signing, sealing = bytes(keys.signing.public), bytes(keys.sealing.public)
                link_key = bytes(keys.link.public)
                proof = keys.signing.sign(join_proof(self._code.invitation, link_key, signing, sealing))
                self.link.send(f.Join(signing, sealing, proof))
            case f.Joined():
                self._joined(event)
            case PeerLeft() if event.end.reason is f.Goodbye.PENDING:
                if not self.done.called:
                    self.done.errback(JoinWaits(event.end.text))
            case PeerLeft():
                self._fail(event.end.text or event.end.reason.name.lower())
            case Broken():
                self._fail(f"{event.text}: this is not the hub that the code speaks of, or the code is wrong")
            case _:
                pass

    def link_has_room(self) -> None:
        """Nothing more to say."""

    def link_lost(self, reason: str) -> None:
        """Without an answer by now there is none."""
        self._fail(
            f"the hub at {self._code.hub} closed the connection ({reason}): "
            "it is another hub, or it does not know this code"
        )

    def failed(self, reason: str) -> None:
        """No connection could be made."""
        self._fail(f"the hub at {self._code.hub} cannot be reached: {reason}")

    def _joined(self, joined: f.Joined) -> None:
        code, keys = self._code, self._keys
        anchors = Anchors(
            code.hub_name, code.trust, LinkPublicKey(code.hub_key), SigningPublicKey(code.authority_key)
        )
        try:
            for change in joined.trust:  # since the code was given out
                anchors = anchors.follow(change)
            credential = statements.verify_by_any(joined.credential, (anchors.authority, *anchors.before))
        except CryptoError as fault:
            self._fail(f"the credential is not signed by the authority of this code: {fault}")
            return
        mine = keys.link.public, keys.signing.public, keys.sealing.public
        if (
            not isinstance(credential, statements.Credential)
            or (credential.link_key, credential.signing_key, credential.sealing_key) != mine
            or credential.facility != self._code.facility
        ):
            self._fail("the credential is for another node")
            return
        identity = Identity(
            credential.facility,
            self._code.hub,
            self._code.hub_name,
            LinkPublicKey(code.hub_key),
            anchors.authority,
            credential,
            joined.credential,
            keys,
            trust_serial=anchors.serial,
            hub_key_next=None if bytes(anchors.link) == code.hub_key else anchors.link,
            authorities_before=anchors.before,
            authorities_retired=anchors.retired,
        )
        self.link.end(f.Goodbye.DONE)
        if not self.done.called:
            self.done.callback((identity, joined.entry))

    def _fail(self, text: str) -> None:
        if not self.done.called:
            self.done.errback(JoinFailed(text))
