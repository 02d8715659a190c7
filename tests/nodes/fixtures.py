"""A node's stores on a clock that stands still: real SQLite, real keys, a verified directory, no network.

:func:`open_station` makes one node's home. Everything asynchronous in it runs on one ``task.Clock``, so a
test says ``station.run(post.put(draft))`` and gets the result, or moves time with ``station.advance``.
What the link to the hub would do is done by hand: :meth:`Station.mark` for a receipt that came back,
:meth:`Station.receive` for a message that arrived.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, insert, select, update
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

from crypto import identity as statements
from crypto.keys import LinkPrivateKey, SealingPublicKey, SigningPrivateKey
from crypto.primitives import blake2b
from nodes.link import addressbook, inbox, outbox, tables, tracking
from nodes.link.identity import Identity
from nodes.link.ids import new_id
from nodes.link.keyfiles import NodeKeys
from nodes.link.metrics import LinkMetrics
from nodes.link.post import Post
from protocols.link.entries import DirectoryEntry, Mailbox
from protocols.link.envelope import Priority, State
from runtime.clock import SimulatedClock
from runtime.database import ClockExecutor, Database, open_engine, transact
from tests.databases.files import make_file

EPOCH_MS: Final = 1_790_000_000_000
HERE: Final = "chu-alger"
FACILITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "chu-alger": ("labo", "urgences", "cardio"),
    "chu-oran": ("labo", "cardio"),
    "clinique-sud": ("accueil",),
}
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {"garde": ("labo@chu-oran", "accueil@clinique-sud")}
_YEAR_MS: Final = 365 * 86_400_000
_STEP_S: Final = 0.05
_PATIENCE_S: Final = 3_600

_T = TypeVar("_T")


@dataclass
class Network:
    """The authority and the keys of every facility; what it issues verifies."""

    authority: SigningPrivateKey = field(default_factory=SigningPrivateKey.generate)
    hub: LinkPrivateKey = field(default_factory=LinkPrivateKey.generate)
    keys: dict[str, NodeKeys] = field(default_factory=dict)

    def keys_of(self, facility: str) -> NodeKeys:
        """Return the facility's keys, made at first use."""
        return self.keys.setdefault(facility, NodeKeys.generate())

    def credential(self, facility: str, *, serial: int = 1, keys: NodeKeys | None = None) -> bytes:
        """Return a signed credential, good for a year around the epoch."""
        keys = keys or self.keys_of(facility)
        return statements.issue(
            self.authority,
            statements.Credential(
                facility, serial, keys.link.public, keys.signing.public, keys.sealing.public,
                EPOCH_MS - _YEAR_MS, EPOCH_MS + _YEAR_MS,
            ),
        )  # fmt: skip

    def unusable(self, facility: str) -> statements.Credential:
        """Return the facility's credential with a sealing key for which nothing can be sealed (order 1)."""
        credential = statements.verify(self.credential(facility), self.authority.public)
        assert isinstance(credential, statements.Credential)
        msgspec.structs.force_setattr(credential, "sealing_key", SealingPublicKey(bytes(32)))
        return credential

    def entry(self, facility: str, mailboxes: tuple[str, ...], *, version: int = 1) -> DirectoryEntry:
        """Return a facility as the hub's directory shows it."""
        boxes = tuple(Mailbox(name) for name in mailboxes)
        signed = (self.credential(facility),)
        return DirectoryEntry(
            version, facility, facility.upper(), active=True, statements=signed, mailboxes=boxes
        )

    def group(self, name: str, members: tuple[str, ...], *, version: int = 1) -> DirectoryEntry:
        """Return a named group as the hub's directory shows it."""
        blob = statements.issue(self.authority, statements.Group(name, 1, members))
        return DirectoryEntry(version, name, name.upper(), active=True, statements=(blob,))

    def identity(self, facility: str) -> Identity:
        """Return who the node of ``facility`` is, as ``join`` leaves it."""
        blob = self.credential(facility)
        public = self.authority.public
        credential = statements.verify(blob, public)
        assert isinstance(credential, statements.Credential)
        return Identity(
            facility, "127.0.0.1:7600", "hub", self.hub.public, public, credential, blob,
            self.keys_of(facility),
        )  # fmt: skip


@dataclass
class Station:
    """One node's home with its stores open; close it by leaving :func:`open_station`."""

    home: Path
    network: Network
    identity: Identity
    time: TaskClock
    clock: SimulatedClock
    engine: Engine
    database: Database
    post: Post
    url: str

    # ── time ───────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Let everything happen that needs no time to pass (SQL included)."""
        self.time.advance(0)

    def advance(self, seconds: float, step_s: float = _STEP_S) -> None:
        """Let ``seconds`` pass in small steps."""
        self.settle()
        steps = max(1, round(seconds / step_s))
        for _ in range(steps):
            self.time.advance(seconds / steps)

    def start(self, awaitable: Awaitable[_T]) -> Deferred[_T]:
        """Start something and let it go as far as it gets without time passing."""
        running: Deferred[_T] = (
            awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)  # type: ignore[arg-type]  # an async def's coroutine
        )
        self.settle()
        return running

    def run(self, awaitable: Awaitable[_T]) -> _T:
        """Return the result of something, time passing as it needs (at most an hour); raise its error."""
        results: list[Any] = []
        running = self.start(awaitable)
        running.addBoth(results.append)
        while not results:
            assert self.time.seconds() < _PATIENCE_S, "it never ended"
            self.time.advance(_STEP_S)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]  # a Failure was raised above

    # ── stores ─────────────────────────────────────────────────────────────────────────

    def do(self, operation: Callable[[Connection], _T]) -> _T:
        """Run a store function in a transaction of its own, as another process would."""
        return transact(self.engine, operation)

    def sent(self) -> list[tracking.Sent]:
        """Return everything in the outbox, oldest first."""
        return self.do(lambda connection: tracking.latest(connection, 10_000))[::-1]

    def body_of(self, identifier: bytes) -> bytes:
        """Return what a message in the outbox says, opened again from what is stored."""
        return self.do(lambda connection: tracking.open_content(connection, identifier, self.home))[1]

    def mark(
        self, identifier: bytes, recipient: str, state: State, *, code: str = "", answer: bytes = b""
    ) -> None:
        """Do what a receipt from the hub does: move one recipient's state, and tell who waits."""

        def operation(connection: Connection) -> None:
            seq = connection.execute(
                select(tables.outbox.c.seq).where(tables.outbox.c.id == identifier)
            ).scalar_one()
            done = connection.execute(
                update(tables.outbox_recipients)
                .where(
                    tables.outbox_recipients.c.outbox_seq == seq,
                    tables.outbox_recipients.c.recipient == recipient,
                )
                .values(state=int(state), code=code, at_ms=self.clock.now_ms(), detail=answer)
            )
            assert done.rowcount == 1
            outbox.add_history(connection, [(seq, recipient, state, code, "", self.clock.now_ms())])
            outbox.settle(connection, [seq])

        self.do(operation)
        self.post.moved([identifier])

    def receive(
        self,
        body: bytes,
        *,
        recipient: str = f"labo@{HERE}",
        sender: str = "labo@chu-oran",
        kind: str = "ORU^R01",
        priority: Priority = Priority.ROUTINE,
        quietly: bool = False,
        body_path: str | None = None,
        identifier: bytes | None = None,
    ) -> int:
        """Lay a message into the inbox as the link does, wake the gateways unless ``quietly``; return seq.

        With ``body_path`` (relative to the home) ``body`` is what that file holds, or will.
        """
        now_ms = self.clock.now_ms()
        identifier = identifier or new_id(now_ms)
        body_digest = blake2b(body) if body_path is not None else None
        body = body if body_path is None else b""

        def operation(connection: Connection) -> int:
            row = connection.execute(
                insert(tables.inbox).values(
                    id=identifier, sender=sender, recipient=recipient, digest=blake2b(body), kind=kind,
                    priority=int(priority), subject="", patient="", key="", body=body, body_path=body_path,
                    created_ms=now_ms, received_ms=now_ms, state=int(State.DELIVERED), handed_ms=None,
                    code="", receipt=b"receipt", body_digest=body_digest,
                    content_digest=inbox.content_digest(
                        identifier, sender, recipient, kind, "", "", "", body_digest or blake2b(body)
                    ),
                )
            )  # fmt: skip
            assert row.inserted_primary_key is not None
            return int(row.inserted_primary_key[0])

        seq = self.do(operation)
        if not quietly:
            self.post.inbox_changed({recipient})
            self.settle()
        return seq

    @contextmanager
    def counting_reads(self) -> Iterator[list[object]]:
        """Yield a list of what the stores are asked from now on, each in a transaction of its own."""
        asked: list[object] = []
        read = self.database.read

        def counted(operation: Callable[[Connection], _T]) -> Deferred[_T]:
            asked.append(operation)
            return read(operation)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.database, "read", counted)
            yield asked

    def inbox_row(self, seq: int) -> Any:
        """Return one row of the inbox as it stands."""
        return self.do(
            lambda connection: connection.execute(select(tables.inbox).where(tables.inbox.c.seq == seq)).one()
        )

    def receipts(self) -> list[Any]:
        """Return the receipts that wait for the hub, oldest first."""
        return self.do(
            lambda connection: list(
                connection.execute(select(tables.receipts).order_by(tables.receipts.c.seq)).all()
            )
        )


def fill_directory(
    connection: Connection,
    network: Network,
    facilities: Mapping[str, tuple[str, ...]] = FACILITIES,
    groups: Mapping[str, tuple[str, ...]] = GROUPS,
) -> None:
    """Merge every facility and group, verified, and set the directory's version."""
    for name, mailboxes in facilities.items():
        addressbook.merge(connection, network.entry(name, mailboxes), network.authority.public)
    for name, members in groups.items():
        addressbook.merge(connection, network.group(name, members), network.authority.public)
    connection.execute(insert(tables.facts).values(name="directory_version", value=1))


def fail_syncs(monkeypatch: pytest.MonkeyPatch, call: str = "fdatasync") -> None:
    """Have every sync of a file (or, by ``fsync``, of a directory) fail from now on, as a dying disk does."""

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)


@contextmanager
def open_station(
    directory: Path,
    *,
    facility: str = HERE,
    network: Network | None = None,
    time: TaskClock | None = None,
    with_directory: bool = True,
    floor_bytes: int = 0,
    on_fatal: Callable[[BaseException], None] | None = None,
    url: str | None = None,
) -> Iterator[Station]:
    """Make (or open again) the home ``directory/facility`` and yield its stores; closes the database.

    ``url`` names another database than SQLite in the home.
    """
    network = network or Network()
    time = time or TaskClock()
    home = directory / facility
    fresh = not home.exists()
    home.mkdir(mode=0o700, exist_ok=True)
    elsewhere = url is not None
    if fresh and not elsewhere:
        make_file(home / "node.db", tables.metadata)
    url = url or f"sqlite:///{home / 'node.db'}"
    engine = open_engine(url)
    if fresh and elsewhere:
        transact(engine, tables.metadata.create_all)
    if fresh and with_directory:
        transact(engine, lambda connection: fill_directory(connection, network))

    def fatal(error: BaseException) -> None:
        raise error

    clock = SimulatedClock(time, EPOCH_MS)
    database = Database(
        engine, writer=ClockExecutor(time), reader=ClockExecutor(time), on_fatal=on_fatal or fatal
    )
    identity = network.identity(facility)
    post = Post(
        home=home, identity=identity, database=database, clock=clock, sealer=ClockExecutor(time),
        metrics=LinkMetrics(CollectorRegistry()), floor_bytes=floor_bytes,
    )  # fmt: skip
    station = Station(home, network, identity, time, clock, engine, database, post, url)
    try:
        yield station
    finally:
        engine.dispose()
