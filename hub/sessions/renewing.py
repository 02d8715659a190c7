"""New keys for a connected node: RENEW becomes a credential; everybody hears of it before the node does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hub.core import HubCore
from hub.directory.renewal import RenewalRefused, renew
from hub.directory.requests import Request
from protocols.link import frames as f
from protocols.link.errors import RemoteError
from runtime.logs import event
from runtime.tasks import spawn

if TYPE_CHECKING:
    from hub.sessions.session import HubSession

RENEWALS_PER_SESSION: Final = 16
"""Each costs three signatures and a commit."""

_LOG = logging.getLogger(__name__)


class Renewing:
    """The RENEW side of one session."""

    def __init__(self, hub: HubCore, session: HubSession, link_key: bytes) -> None:
        self._hub = hub
        self._session = session
        self._link_key = link_key
        self._asked = 0

    def renew(self, frame: f.Renew) -> None:
        """Certify new keys of this session's facility."""
        self._asked += 1
        if self._asked > RENEWALS_PER_SESSION:
            raise RemoteError("out-of-turn", f"RENEW more than {RENEWALS_PER_SESSION} times in one session")
        spawn(self._renew(frame), self._session.failed)

    async def _renew(self, frame: f.Renew) -> None:
        hub, now_ms = self._hub, self._hub.clock.now_ms()
        try:
            found = await hub.database.write(
                lambda connection: renew(connection, hub.issuer, self._link_key, frame, now_ms)
            )
        except RenewalRefused as refused:
            self._session.say(f.Renewed(b"", refused.code, str(refused)))
            return
        if isinstance(found, Request):
            self._session.say(f.Renewed(b"", "", "the keys wait for the authority to sign them"))
            return
        await hub.reload_directory()
        event(_LOG, logging.INFO, "keys-renewed", facility=found.facility, serial=found.serial)
        self._session.say(f.Renewed(found.statement))
