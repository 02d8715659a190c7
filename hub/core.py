"""What the parts of a running hub share: its stores, its directory, its clock, its sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.errors import SettingsError
from config.hub import HubSettings, Policy
from crypto.keys import SigningPrivateKey
from hub import home as hub_home
from hub.audit.rounds import Auditor
from hub.directory import store as directory
from hub.directory.policies import policy_in_force
from hub.directory.service import Issuer
from hub.directory.view import DirectoryView
from hub.files.store import AttachmentStore
from hub.home import attachments
from hub.keys import HubKeys, InForce, in_force
from hub.metrics import HubMetrics
from hub.peers.following import Follower
from hub.peers.store import Position
from hub.routing.policy import Rules
from hub.routing.route import Routes
from hub.sessions.commits import Commits
from hub.sessions.holding import Holding
from hub.spool.epoch import Epoch
from protocols.link import payloads
from protocols.link.session import HubStatic
from runtime.clock import Clock
from runtime.database import Database
from runtime.home import free_bytes
from runtime.logs import RepeatLimit, event
from runtime.version import VERSION

if TYPE_CHECKING:
    from hub.sessions.registry import Sessions

SOFTWARE: Final = f"wasl-hub/{VERSION}"
ROOM_CACHE_S: Final = 1.0
STRANGERS_LOGGED_S: Final = 10.0
"""Each kind of refused caller is logged once in this time, with how many there were."""


_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class HubCore:
    """One running hub. ``view`` is replaced, as a whole, when the directory changes."""

    name: str
    home: Path
    holds: InForce
    """Its keys; replaced, as a whole, when others hold."""
    key_file: Callable[[], HubKeys]
    """Reads them again when the tables say that others hold now."""
    issuer: Issuer
    settings: HubSettings
    policy: Policy
    rules: Rules
    clock: Clock
    database: Database
    files: AttachmentStore
    view: DirectoryView
    sessions: Sessions
    metrics: HubMetrics
    number: int
    """Of this process among those on the same database; another one if it was taken for dead."""
    shared: bool
    """Other processes may be on the same database."""
    position: InitVar[Position]
    epoch: Epoch
    audit_key: SigningPrivateKey | None = None
    """Signs checkpoints of the audit log; without it there are none."""
    first: bool = True
    """This process does what one of them is enough for."""
    keys_hold: Callable[[InForce], None] = lambda _holds: None
    """Is told when other keys hold."""
    leap_ms: Callable[[], int] = lambda: 0
    """By how much the wall clock is ahead of what is believed of it (:mod:`hub.sweeper`)."""
    auditor: Auditor = field(init=False)
    commits: Commits = field(init=False)
    follower: Follower = field(init=False)
    holding: Holding = field(init=False)
    routes: Routes = field(init=False)
    statics: tuple[HubStatic, ...] = field(init=False)
    """By which keys nodes may call."""
    strangers: RepeatLimit = field(init=False)
    """Logs callers that have not shown who they are: anybody may call, and each line costs disk."""
    free: Callable[[Path], int] = free_bytes
    _room: tuple[float, bool] = field(default=(-ROOM_CACHE_S, True))

    def __post_init__(self, position: Position) -> None:
        self.auditor = Auditor(self)
        self.commits = Commits(self)
        self.follower = Follower(self, position)
        self.holding = Holding(self)
        self.routes = Routes(self.view, self.rules)
        self.statics = tuple(map(HubStatic, self.holds.links))
        self.strangers = RepeatLimit(self.clock, interval_s=STRANGERS_LOGGED_S)

    def welcome(self) -> payloads.Welcome:
        """Return what a node is told on arrival."""
        return payloads.Welcome(
            software=SOFTWARE,
            now_ms=self.clock.now_ms(),
            submit_window=self.settings.limits.credit_messages,
            max_attachment_bytes=self.settings.limits.max_attachment_bytes,
            directory_version=self.view.version,
            epoch=self.epoch.at_ms,
            epoch_from_ms=self.epoch.from_ms,
        )

    async def reload_directory(self) -> None:
        """Take up changes of the directory and let every session act on them."""
        version = await self.database.read(directory.version)
        if version != self.view.version:
            await self._reload_keys()
            self.view = await self.database.read(DirectoryView.load)
            await self._reload_policy()
            self.routes = Routes(self.view, self.rules)
            self.sessions.directory_changed(self.view)

    async def _reload_keys(self) -> None:
        """Take up keys that hold now instead of others; without a readable key file those before go on."""
        try:
            holds = await self.database.read(lambda c: in_force(c, self.key_file()))
        except hub_home.HubHomeError as error:
            event(_LOG, logging.ERROR, "keys-unreadable", error=str(error))
            return
        if holds == self.holds:
            return
        if holds.lacking:
            text = f"the key file lacks the announced link key {holds.lacking}"
            event(_LOG, logging.ERROR, "keys-lacking", error=text, advice="copy it from the hub that drew it")
        keys = holds.keys
        self.holds, self.audit_key = holds, keys.audit
        self.statics = tuple(map(HubStatic, holds.links))
        self.issuer = replace(
            self.issuer, authority=keys.authority, hub_key=keys.link.public, trust_serial=holds.serial
        )
        self.keys_hold(holds)
        event(_LOG, logging.INFO, "keys-in-force", link_key=keys.link.fingerprint(), trust=holds.serial)

    async def _reload_policy(self) -> None:
        """Take up the policy that holds; one that cannot be read changes nothing."""
        try:
            policy = await self.database.read(lambda c: policy_in_force(c, self.settings.policy))
        except SettingsError as error:
            event(_LOG, logging.ERROR, "policy-unreadable", error=str(error))
            return
        if policy != self.policy:
            self.policy, self.rules = policy, Rules(policy)

    def has_room(self) -> bool:
        """Return whether the disk is above its floor; looked up once a second at most."""
        now_s = self.clock.monotonic_s()
        looked_s, room = self._room
        if now_s - looked_s >= ROOM_CACHE_S:
            places = self.home, attachments(self.home, self.settings)
            room = min(map(self.free, places)) >= self.settings.disk.floor_bytes
            self._room = now_s, room
        return room
