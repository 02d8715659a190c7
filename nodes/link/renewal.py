"""New keys for this node, made before they are needed and taken into use without a message noticing.

Wanted by ``wasl-node rotate``, which writes ``renewed-keys/keys-next``, or because the credential ends soon.
In order:

1. the new keys are on the disk, and open whatever is sealed for them;
2. RENEW asks the hub to have them certified; asked again, the answer is the same;
3. RENEWED brings the credential. Others were told of it before; we wait ``SETTLE_S`` more for hubs that look
   at their tables every few seconds;
4. one rename makes them the present keys. The session ends, and the next one begins with the new link key.

The keys before stay for what was sealed for them, and the credential before stays in every address book
for what was signed with it. What was submitted and not answered is signed anew in the next session: the hub
knows it by its digest, which no signature is part of. A crash anywhere begins again at 1.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crypto import identity as statements
from crypto.errors import CryptoError
from nodes.link import identity as identities
from nodes.link import keyfiles
from nodes.link.core import LinkCore
from nodes.link.identity import Identity
from nodes.link.keyfiles import NEXT, NodeKeys
from protocols.link import frames as f
from protocols.link.errors import RemoteError
from protocols.link.joincode import renewal_text
from runtime import crash
from runtime.clock import sleep
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from nodes.link.session import NodeSession

DAY_MS: Final = 86_400_000
RENEW_BEFORE_MS: Final = 60 * DAY_MS
"""New keys are asked for when the credential ends so soon."""
WARN_BEFORE_MS: Final = 30 * DAY_MS
"""By then it should have been done: the operator is told, once a session."""
SETTLE_S: Final = 5.0
ASK_AGAIN_S: Final = 600.0
"""Between two questions for keys that wait for the authority."""
REFUSED_AGAIN_S: Final = 6 * 3_600.0

_LOG = logging.getLogger(__name__)


class Renewal:
    """The RENEW side of one session."""

    def __init__(self, core: LinkCore, session: NodeSession) -> None:
        self._core = core
        self._session = session
        self._looking = False
        self._asked: NodeKeys | None = None
        self._not_before_s = 0.0
        self._warned = False

    def look(self) -> None:
        """Ask for new keys if they are wanted; cheap."""
        if not self._looking and self._core.clock.monotonic_s() >= self._not_before_s:
            self._looking = True
            spawn(self._look(), self._session.failed)

    async def _look(self) -> None:
        core = self._core
        try:
            keys = await core.file_worker.run(lambda: keyfiles.load_keys(core.home, NEXT))
            if keys == core.identity.keys:  # a crash came right behind the change
                await core.file_worker.run(lambda: keyfiles.forget_upcoming(core.home))
                keys = None
            if keys is None and await self._ending():
                keys = NodeKeys.generate()
                await core.file_worker.run(lambda: keyfiles.save_upcoming(core.home, keys))
            if keys is not None and self._session.ready:
                self._ask(keys)
        finally:
            self._looking = False

    async def _ending(self) -> bool:
        """Whether our credential ends soon, by the hub's clock and by ours."""
        now_ms = self._core.agreed_ms()
        if now_ms is None:
            return False
        left_ms = self._core.identity.credential.not_after_ms - now_ms
        if left_ms < WARN_BEFORE_MS and not self._warned:
            self._warned = True
            days = max(0, left_ms // DAY_MS)
            await self._session.alarm("key-expires", f"this node's credential ends in {days} days")
        return left_ms < RENEW_BEFORE_MS

    def _ask(self, keys: NodeKeys) -> None:
        core = self._core
        core.post.identity = replace(core.identity, upcoming=keys)
        mine = core.identity
        publics = bytes(keys.link.public), bytes(keys.signing.public), bytes(keys.sealing.public)
        text = renewal_text(mine.facility, mine.credential.serial, *publics)
        self._asked = keys
        self._not_before_s = core.clock.monotonic_s() + ASK_AGAIN_S
        self._session.say(f.Renew(*publics, keys.signing.sign(text), mine.keys.signing.sign(text)))

    def renewed(self, frame: f.Renewed) -> None:
        """Take the hub's answer."""
        keys, self._asked = self._asked, None
        if keys is None:
            raise RemoteError("out-of-turn", "RENEWED without RENEW")
        if frame.code:
            spawn(self._refused(frame), self._session.failed)
        elif frame.credential:
            credential = _checked(frame.credential, self._core.identity, keys)
            spawn(self._switch(credential, frame.credential), self._session.failed)
        else:
            event(_LOG, logging.INFO, "renewal-waits", text=frame.text)

    async def _refused(self, frame: f.Renewed) -> None:
        core = self._core
        self._not_before_s = core.clock.monotonic_s() + REFUSED_AGAIN_S
        core.post.identity = replace(core.identity, upcoming=None)
        await core.file_worker.run(lambda: keyfiles.forget_upcoming(core.home))
        await self._session.alarm("renewal-refused", f"the hub gives this node no new keys: {frame.text}")

    async def _switch(self, credential: statements.Credential, blob: bytes) -> None:
        core = self._core
        crash.reached("node-renewed-before-switch")
        await sleep(core.clock, SETTLE_S)
        if not self._session.link.session.open:
            return  # the next session asks again
        await core.identity_lock.acquire()
        try:
            before = core.identity
            core.post.identity = await core.file_worker.run(
                lambda: identities.switch(core.home, before, credential, blob)
            )
        finally:
            core.identity_lock.release()
        event(_LOG, logging.INFO, "keys-renewed", serial=credential.serial)
        self._session.link.end(f.Goodbye.DONE, "this node has new keys")


def _checked(blob: bytes, mine: Identity, keys: NodeKeys) -> statements.Credential:
    """Return the credential if the authority gave it to these keys; :class:`RemoteError`."""
    try:
        credential = statements.verify_by_any(blob, mine.authorities)
    except CryptoError as fault:
        raise RemoteError("malformed", f"RENEWED: {fault}") from None
    publics = keys.link.public, keys.signing.public, keys.sealing.public
    if (
        not isinstance(credential, statements.Credential)
        or credential.facility != mine.facility
        or (credential.link_key, credential.signing_key, credential.sealing_key) != publics
        or credential.serial <= mine.credential.serial
    ):
        raise RemoteError("malformed", "RENEWED: the credential is not for the keys that were asked for")
    return credential
