"""A machine: a disk that survives, a clock that may be wrong, and a process that may die and come back.

The engines live as long as the machine does, so that SQLAlchemy compiles each statement once in thousands of
worlds; the files under them are replaced by fresh copies of a template for each world.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from twisted.internet.protocol import Protocol

from config.hub import Effect, HubSettings, PolicyRule
from crypto import identity as statements
from crypto.keys import LinkPrivateKey, SigningPrivateKey
from hub import compose as hub_compose
from hub import home as hub_home
from hub.core import HubCore
from hub.directory import service as admission
from hub.directory import store as directory_store
from hub.files.layout import storage_key
from hub.keys import HubKeys
from hub.listener import HubListener
from hub.sessions.registry import Sessions
from hub.spool import ageing
from hub.sweeper import ROUND_S, Sweeper
from nodes import compose as node_compose
from nodes.link import identity as identities
from nodes.link.core import LinkCore
from nodes.link.identity import Identity
from nodes.link.keyfiles import NodeKeys, save_keys
from nodes.link.uplink import Uplink
from protocols.link.envelope import decode_envelope, decode_message
from runtime import migrations
from runtime.clock import SimulatedClock, sleep
from runtime.database import open_engine, transact
from runtime.link import TwistedLink
from runtime.logs import event
from runtime.storage_errors import StorageError
from runtime.tasks import spawn
from runtime.transactions import close_engine
from tests.simulation.lives import Disk, Life, Pace
from tests.simulation.pipes import Address

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH_MS: Final = 1_600_000_000_000
"""Before any real clock: what a crash kept from being touched looks new to the hub, and is not swept."""
FACILITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "alger": ("labo", "urgences"),
    "oran": ("labo", "cardio"),
    "sud": ("accueil", "labo"),
    "tlemcen": ("labo",),
}
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "garde": ("labo@oran", "accueil@sud"),
    "tous": ("labo@alger", "urgences@alger", "labo@oran", "cardio@oran"),
}
DENIED_KIND: Final = "ZZZ^Z01"
SPOOLED: Final = 1_000_000
"""More messages than ever wait at a simulated hub."""
ATTACHMENTS_KEPT_S: Final = 900.0
FLOOR_BYTES: Final = 1 << 20
_RESTART_S: Final = (0.01, 4.0)

_LOG = logging.getLogger("tests.simulation")


class Machine(ABC):
    """What hub and nodes have in common."""

    def __init__(self, name: str, directory: Path, template: Path) -> None:
        self.name = name
        self.home = directory / name
        self.database = self.home / template.name
        self._template = template
        self.home.mkdir(parents=True)
        shutil.copyfile(template, self.database)
        self.engine: Engine = open_engine(f"sqlite:///{self.database}")
        self.world: World
        self.life: Life
        self.clock: SimulatedClock
        self.pace: Pace
        self.crash_after_commits: int | None = None

    def install(self, world: World, random: Random) -> None:
        """Put a fresh disk into the machine, for a new world."""
        self.engine.dispose()
        for path in self.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copyfile(self._template, self.database)
        self.world = world
        self.life = Life(world.clock, self.name)
        self.life.end()
        self.clock = SimulatedClock(world.clock, EPOCH_MS)
        self.pace = Pace(random)
        self.crash_after_commits = None
        self.random = random
        self.skew_ms = 0
        self.slept_s = 0.0

    @property
    def up(self) -> bool:
        """The process runs."""
        return self.life.alive

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self.up:
            return
        self.life = Life(self.world.clock, self.name)
        self.world.lives.append(self.life)
        self.clock = SimulatedClock(cast("Any", self.life), EPOCH_MS)
        self.clock.skew_ms, self.clock.slept_s = self.skew_ms, self.slept_s
        self.world.trace.note(self.name, "starts", count="start")
        self.life.enter(self._compose)

    def crash(self, why: str) -> None:
        """Kill the process; it comes back by itself after a while."""
        if not self.up:
            return
        self.world.trace.note(self.name, f"crashes: {why}", count="crash")
        self.life.end()
        self._let_go()
        self.world.network.crashed(self.life)
        self.engine.dispose()
        self.crash_after_commits = None
        self.world.clock.callLater(self.random.uniform(*_RESTART_S), self.start)

    def stop(self) -> None:
        """End the process for good: the world ends."""
        if self.up:
            self.life.end()
            self._let_go()
        self.engine.dispose()

    def disks(self) -> tuple[Disk, Disk, Disk]:
        """Return writer, reader and file worker of a new process."""
        return (
            Disk(self.life, self.pace, self._written),
            Disk(self.life, self.pace),
            Disk(self.life, self.pace),
        )

    def _written(self) -> None:
        self.world.written(self)
        if self.crash_after_commits is not None:
            self.crash_after_commits -= 1
            if self.crash_after_commits < 0:
                self.crash("after a commit, before its result is known")

    def fatal(self, error: BaseException) -> None:
        """Nothing in a world damages a disk for good."""
        if self.up:
            self.world.fail(f"{self.name} gave its store up: {error!r}")

    @abstractmethod
    def _compose(self) -> None:
        """Make the process, as the daemon does."""

    @abstractmethod
    def _let_go(self) -> None:
        """Close what the operating system closes when a process dies."""


class _InOrder(Sessions):
    """Wakes facilities in the order of their names: the hub's sets have an order of their own in each run."""

    def mail_for(self, facilities: Any) -> None:
        super().mail_for(sorted(facilities))

    def news_for(self, facilities: Any) -> None:
        super().news_for(sorted(facilities))


class HubMachine(Machine):
    """The hub."""

    def __init__(self, directory: Path, template: Path, keys: HubKeys) -> None:
        super().__init__("hub", directory, template)
        self._keys = keys
        self.settings = HubSettings()
        self.full = False
        self.core: HubCore
        self.change: Callable[[HubCore], None] = lambda _core: None
        """What a test breaks in each new hub."""

    def install(self, world: World, random: Random) -> None:
        """Put a fresh disk into the machine, for a new world."""
        super().install(world, random)
        self.full = False
        self.settings = settings(random)

    def _compose(self) -> None:
        writer, reader, files = self.disks()
        core = hub_compose.compose(
            home=self.home,
            settings=self.settings,
            keys=self._keys,
            engine=self.engine,
            clock=self.clock,
            writer=writer,
            reader=reader,
            file_worker=files,
            on_fatal=self.fatal,
            registry=CollectorRegistry(),
        )
        core.sessions = _InOrder()
        core.free = lambda _home: 0 if self.full else 1 << 40
        self.change(core)
        self.core = core
        listener = HubListener(core)
        self.life.kept += [core, listener]
        life = self.life

        def answer(caller: Address) -> tuple[Life, Protocol] | None:
            made: list[Protocol | None] = []
            life.enter(lambda: made.append(listener.buildProtocol(caller)))
            return (life, made[0]) if made and made[0] is not None else None

        self.world.network.answer = answer
        spawn(self._rounds(core), lambda error: self.world.fail(f"the hub's rounds ended: {error!r}"))

    async def _rounds(self, core: HubCore) -> None:
        """Do what ``hub.daemon`` does on its own account."""
        sweeper = Sweeper(core)
        while self.life.alive:
            try:
                await core.reload_directory()
                await sweeper.round()
            except StorageError as error:
                event(_LOG, logging.WARNING, "round-failed", error=str(error))
            await sleep(core.clock, ROUND_S)

    def _let_go(self) -> None:
        self.world.network.answer = lambda _caller: None
        self.core.database._kept.close()
        for file in self.core.files._files._open.values():
            file.close()

    def forget_uploads(self) -> None:
        """Remove the attachments that no waiting message names, as the hub does with old ones."""
        keep: set[str] = set()
        rows = transact(self.engine, lambda c: ageing.messages_with_files(c, (b"", 0), SPOOLED))
        for row in rows:
            envelope = decode_envelope(decode_message(row.message).envelope)
            keep.update(storage_key(envelope.sender_facility, ref.id).hex() for ref in envelope.attachments)
        for path in (self.home / hub_home.ATTACHMENTS).rglob("*"):
            if path.is_file() and path.stem not in keep:
                path.unlink()

    def set_suspended(self, facility: str, *, suspended: bool) -> None:
        """Do what the administrator's command does, in a process of its own."""
        transact(self.engine, lambda c: directory_store.suspend(c, facility, suspended=suspended))


class NodeMachine(Machine):
    """One facility's node."""

    def __init__(self, directory: Path, template: Path, identity: Identity) -> None:
        super().__init__(identity.facility, directory, template)
        self.identity = identity
        self.core: LinkCore
        self.uplink: Uplink
        self.change: Callable[[LinkCore], None] = lambda _core: None
        """What a test breaks in each new node."""

    def install(self, world: World, random: Random) -> None:
        """Put a fresh disk into the machine, with the keys and the credential that it joined with."""
        super().install(world, random)
        save_keys(self.home, self.identity.keys)
        identities.save_identity(self.home, self.identity)

    def _compose(self) -> None:
        writer, reader, files = self.disks()
        self.core = node_compose.compose(
            home=self.home,
            identity=identities.load_identity(self.home),
            engine=self.engine,
            clock=self.clock,
            writer=writer,
            reader=reader,
            file_worker=files,
            on_fatal=self.fatal,
            registry=CollectorRegistry(),
            random=self.random,
            floor_bytes=0,
        )
        self.change(self.core)
        life = self.life

        def connect(link: TwistedLink, failed: Callable[[str], object]) -> None:
            self.world.network.connect(life, self.name, link, failed)

        self.uplink = Uplink(self.core, connect)
        self.life.kept += [self.core, self.uplink]
        spawn(self.uplink.start(), lambda error: self.crash(f"it could not start: {error!r}"))

    def _let_go(self) -> None:
        self.core.database._kept.close()  # attachments that were being written stay as they are


@dataclass(frozen=True)
class Machines:
    """Everything that has a disk."""

    hub: HubMachine
    nodes: tuple[NodeMachine, ...]

    @property
    def all(self) -> tuple[Machine, ...]:
        """The hub and the nodes."""
        return (self.hub, *self.nodes)


def settings(random: Random) -> HubSettings:
    """Return a hub's settings: windows down to one message, and one kind that nobody may send."""
    plain = HubSettings()
    return dataclasses.replace(
        plain,
        limits=dataclasses.replace(plain.limits, credit_messages=random.choice((1, 2, 7, 512))),
        retention=dataclasses.replace(plain.retention, attachments_s=ATTACHMENTS_KEPT_S),
        disk=dataclasses.replace(plain.disk, floor_bytes=FLOOR_BYTES),
        policy=dataclasses.replace(
            plain.policy, rules=(PolicyRule(effect=Effect.DENY, sender="*", kind=DENIED_KIND, to="*"),)
        ),
    )


def boxes_of(facility: str) -> tuple[str, ...]:
    """Return the mailboxes of a simulated facility, one of the four or any other."""
    return FACILITIES.get(facility, ("labo", "cardio"))


def make_machines(directory: Path, more: Sequence[str] = ()) -> Machines:
    """Make the machines under ``directory``: keys, templates of the databases, enrolled facilities.

    ``more`` are facilities besides the four of ``FACILITIES``.
    """
    facilities = (*FACILITIES, *more)
    keys = HubKeys(LinkPrivateKey.generate(), SigningPrivateKey.generate())
    templates = directory / "templates"
    templates.mkdir(parents=True)
    issuer = hub_home.issuer(HubSettings(), keys)
    node_keys = {facility: NodeKeys.generate() for facility in facilities}

    def enroll(connection: Any) -> list[directory_store.CredentialRow]:
        rows = []
        for facility in facilities:
            directory_store.put_facility(connection, facility, facility.title(), boxes_of(facility), EPOCH_MS)
            own = node_keys[facility]
            publics = own.link.public, own.signing.public, own.sealing.public
            rows.append(admission.certify(connection, issuer, facility, *publics, EPOCH_MS))
        for name, members in GROUPS.items():
            admission.define_group(connection, issuer, name, name.title(), members)
        return rows

    hub_engine = open_engine(f"sqlite:///{templates / hub_home.DATABASE}")
    migrations.upgrade(hub_engine, "hub")
    rows = transact(hub_engine, enroll)
    close_engine(hub_engine)
    node_engine = open_engine(f"sqlite:///{templates / 'node.db'}")
    migrations.upgrade(node_engine, "nodes")
    close_engine(node_engine)
    nodes = []
    for row in rows:
        credential = statements.verify(row.statement, keys.authority_key)
        assert isinstance(credential, statements.Credential)
        identity = Identity(
            row.facility, "hub:7600", HubSettings().hub.name, keys.link.public, keys.authority_key,
            credential, row.statement, node_keys[row.facility],
        )  # fmt: skip
        nodes.append(NodeMachine(directory, templates / "node.db", identity))
    return Machines(HubMachine(directory, templates / hub_home.DATABASE, keys), tuple(nodes))
