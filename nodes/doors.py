"""The doors that the settings open: MLLP, the drop folder, the local API; and the desk's, always.

Each is given the same post, clock, metrics and alarm, and gives back how it is stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry

from config.fields import HostPort
from config.node import Folder, Mllp, NodeSettings
from nodes import home as node_home
from nodes.gateways.api import LocalApi
from nodes.gateways.desk import DeskDoor
from nodes.gateways.folder import FolderGateway
from nodes.gateways.mllp_in import MllpInbound
from nodes.gateways.mllp_out import MllpOutbound
from nodes.link.core import LinkCore
from nodes.link.inbox import Received
from nodes.link.uplink import Uplink
from protocols.link.envelope import FILE_KIND, mailbox_of
from runtime.logs import event
from runtime.mllp_client import MllpClient
from runtime.service import Life
from runtime.tasks import spawn

ANY: Final = "*"

_LOG = logging.getLogger(__name__)

Close = Callable[[], Awaitable[None]]
"""Bring what was opened to rest; called once, in the reactor's thread."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What every door of a running node is made of."""

    core: LinkCore
    settings: NodeSettings
    reactor: Any
    registry: CollectorRegistry
    life: Life
    uplink: Uplink

    def open(self) -> list[Close]:
        """Open every door of the settings; return what closes them, in the order of opening.

        Raises NodeError, StartError.
        """
        settings = self.settings
        closes: list[Close] = [self._open_desk()]
        if settings.mllp is not None:
            closes += self._open_mllp(settings.mllp)
        if settings.folder is not None:
            closes.append(self._open_folder(settings.folder))
        if settings.api is not None:
            closes.append(self._open_api(settings.api.listen))
        return closes

    def _open_desk(self) -> Close:
        desk = DeskDoor(self.core.post)
        desk.start()
        return desk.stop

    def _open_mllp(self, settings: Mllp) -> list[Close]:
        core, facility = self.core, self.core.identity.facility
        inbound = MllpInbound(
            core.post, settings, facility, self._valid_for, self._alarm, core.clock, self.registry
        )
        outbound = MllpOutbound(
            core.post,
            settings,
            self._alarm,
            core.clock,
            self.registry,
            lambda target: MllpClient.to(self.reactor, target.host, target.port, clock=core.clock),
            core.random,
            frozenset(self.settings.desk.mailboxes),
        )
        inbound.start(self.reactor)
        outbound.start()
        return [outbound.stop, inbound.stop]

    def _open_folder(self, settings: Folder) -> Close:
        core = self.core
        folder = FolderGateway(
            post=core.post,
            settings=settings,
            mllp=self.settings.mllp or Mllp(),
            facility=core.identity.facility,
            valid_for=self._valid_for,
            covers=lambda received: _for_folder(self.settings, received),
            floor_bytes=self.settings.disk.floor_bytes,
            executor=core.file_worker,
            clock=core.clock,
            registry=self.registry,
            alarm=self._alarm,
        )
        folder.start()
        return folder.stop

    def _open_api(self, listen: HostPort) -> Close:
        """Start the local API on an engine of its own: its threads must not wait for the daemon's."""
        core = self.core
        engine = node_home.open_database(core.home)
        local = LocalApi(
            reactor=self.reactor,
            engine=engine,
            identity=core.identity,
            home=core.home,
            listen=listen,
            valid_for=self._valid_for,
            floor_bytes=self.settings.disk.floor_bytes,
            clock=core.clock,
            wake=core.post.poked,
            connected=lambda: self.uplink.connected,
            on_fatal=lambda error: self.life.fail("storage failed", error),
            alarm=self._alarm,
        )
        local.start()

        async def close() -> None:
            await local.stop()
            engine.dispose()

        return close

    def _valid_for(self, kind: str) -> int:
        return node_home.valid_for_ms(self.settings.messages, kind)

    def _alarm(self, code: str, text: str) -> None:
        spawn(
            self.core.post.alarm(code, text),
            lambda error: event(_LOG, logging.ERROR, "alarm-not-kept", cause=error),
        )


def _for_folder(settings: NodeSettings, received: Received) -> bool:
    """Return whether the drop folder may have this message: neither MLLP nor the desk does."""
    at_desk = mailbox_of(received.recipient) in settings.desk.mailboxes
    return not at_desk and not _over_mllp(settings, received)


def _over_mllp(settings: NodeSettings, received: Received) -> bool:
    """Return whether the MLLP gateway delivers this message."""
    if settings.mllp is None or received.kind == FILE_KIND:
        return False
    deliver, mailbox = settings.mllp.deliver, mailbox_of(received.recipient)
    return mailbox in deliver or (ANY in deliver and mailbox not in settings.desk.mailboxes)
