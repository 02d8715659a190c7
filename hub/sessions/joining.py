"""Letting a new node in: the one-time code becomes a signed credential.

The invitation named in HELLO says which secret the caller must hold; the handshake proves
that it does. The code is used up only when JOIN has come through the encrypted link, in
the same commit as the credential; a node whose answer was lost asks again with the same
keys and gets the same credential.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from crypto.errors import CryptoError, MalformedKey
from crypto.keys import SealingPublicKey, SigningPublicKey
from hub.core import HubCore
from hub.directory import service
from hub.directory import store as directory
from hub.directory.requests import Request
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.joincode import join_proof
from protocols.link.session import HelloReceived
from runtime import crash
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

PENDING_RETRY_S: Final = 5
"""When a node whose keys wait may ask again."""

_LOG = logging.getLogger(__name__)


class Joining:
    """One attempt to join."""

    def __init__(self, hub: HubCore, session: HubSession, hello: HelloReceived) -> None:
        self._hub = hub
        self._session = session
        self._key = hello.key
        self._invitation = hello.hello.invitation

    def begin(self) -> None:
        """Look the invitation up and finish the handshake with its secret."""
        spawn(self._begin(), self._session.failed)

    async def _begin(self) -> None:
        hub, link = self._hub, self._session.link
        found = await hub.database.read(
            lambda connection: directory.find_invitation(connection, self._invitation)
        )
        if found is None:
            # There is no secret to answer with: nothing that this hub could say would be believed.
            hub.metrics.handshakes["unknown"].inc()
            link.abort("unknown invitation")
            return
        link.session.welcome_to_join(hub.welcome(), found.psk)
        link.flush_soon()

    def join(self, frame: f.Join) -> None:
        """Certify the caller's keys."""
        spawn(self._join(frame), self._session.failed)

    async def _join(self, frame: f.Join) -> None:
        hub, link = self._hub, self._session.link
        try:
            signing, sealing = SigningPublicKey(frame.signing_key), SealingPublicKey(frame.sealing_key)
            signing.verify(
                frame.proof,
                join_proof(self._invitation, bytes(self._key), frame.signing_key, frame.sealing_key),
            )
            if sealing.low_order:
                raise MalformedKey("the sealing key has low order: nobody could seal anything for it")
        except CryptoError as error:
            link.end(f.Goodbye.PROTOCOL_FAULT, f"malformed: {error}")
            return
        now_ms = hub.clock.now_ms()
        try:
            credential = await hub.database.write(
                lambda connection: service.grant(
                    connection, hub.issuer, self._invitation, self._key, signing, sealing, now_ms
                )
            )
        except service.InvitationRefused as refused:
            link.end(f.Goodbye.INVITATION_REFUSED, str(refused))
            return
        crash.reached("hub-joined-before-answer")
        if isinstance(credential, Request):
            self._wait(credential)
            return
        hub.metrics.handshakes["joined"].inc()
        event(_LOG, logging.INFO, "facility-joined", facility=credential.facility, peer=link.peer)
        await hub.reload_directory()
        entry = hub.view.entry(credential.facility)
        assert entry is not None
        trust = tuple(blob for _, blob in hub.holds.told[-limits.TRUST_CHANGES :])
        self._session.say(f.Joined(credential.facility, credential.statement, entry, trust))

    def _wait(self, request: Request) -> None:
        """Tell the node that its keys are noted, and for whom they wait."""
        self._hub.metrics.handshakes["pending"].inc()
        event(_LOG, logging.INFO, "join-waits", facility=request.facility, peer=self._session.link.peer)
        whom = "the authority to sign them" if request.approved_by else "an administrator to approve them"
        self._session.link.end(f.Goodbye.PENDING, f"these keys wait for {whom}", PENDING_RETRY_S)
