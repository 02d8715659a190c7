"""The hub's and the node's database at work, for :mod:`tests.powerfail.databases`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from sqlalchemy import Connection, select

from hub.routing.route import Reason
from hub.spool import store
from hub.spool.store import Entry, News
from hub.spool.tables import events, ledger, spool
from nodes.link import arrivals, files, inbox, outbox, progress
from nodes.link.arrivals import Arrival
from nodes.link.inbox import ReceivedFile
from nodes.link.opening import open_delivery
from nodes.link.outbox import Draft
from nodes.link.tables import inbox as inbox_table
from nodes.link.tables import outbox as outbox_table
from nodes.link.trust import Trust
from protocols.link.envelope import Priority, State, facility_of
from runtime import migrations, transactions
from tests.hub.hubs import ALGER, ORAN, SUD, entry
from tests.nodes.fixtures import EPOCH_MS, HERE, Network, fill_directory
from tests.nodes.link.letters import Letter
from tests.powerfail.databases import Operation, Promise, Store

_BODY_BYTES: Final = (0, 40, 700, 4_000, 24_000)


class HubStore(Store):
    """Spool, ledger, events, cursors: messages accepted, delivered, returned, read about."""

    package, file = "hub", "hub.db"

    def __init__(self) -> None:
        self._number = 0

    def make(self, database: Path) -> None:
        engine = transactions.open_engine(f"sqlite:///{database}")
        migrations.upgrade(engine, "hub")
        transactions.close_engine(engine)

    def batch(self, random: Random) -> tuple[list[Operation], list[Promise]]:
        operations: list[Operation] = []
        promises: list[Promise] = []
        for _ in range(random.randint(1, 3)):
            chance = random.random()
            if chance < 0.6:
                entries = [self._entry(random) for _ in range(random.randint(1, 4))]
                operations.append(partial(store.accept, batch=entries, now_ms=EPOCH_MS))
                promises += [Promise(e.id, to, e.message) for e in entries for to in e.deliveries]
                promises += [Promise(e.id, to, b"") for e in entries for to, _ in e.returns]
            elif chance < 0.9:
                recipient, most = random.choice((ALGER, ORAN, SUD)), random.randint(1, 6)
                operations.append(partial(self._conclude, recipient=recipient, most=most))
            else:
                operations.append(partial(self._note_processed, random=Random(random.random())))
        return operations, promises

    def _entry(self, random: Random) -> Entry:
        self._number += 1
        deliveries = random.sample((ALGER, ORAN, SUD), random.randint(0, 2))
        return entry(
            self._number,
            *deliveries,
            digest=random.randbytes(32),
            returns=() if deliveries else (("nobody@chu-oran", Reason.UNKNOWN_MAILBOX),),
            priority=random.randint(0, 1),
            message=random.randbytes(random.choice(_BODY_BYTES)),
        )

    def _conclude(self, connection: Connection, *, recipient: str, most: int) -> None:
        """Do what TAKEN does."""
        queue = store.queue(connection, facility_of(recipient), int(Priority.ROUTINE), 0, most)
        news = [
            News(0, facility_of(row.sender), row.id, row.recipient, State.DELIVERED, "", 1, row.id)
            for row in queue
        ]
        store.conclude(connection, [(row.seq, one) for row, one in zip(queue, news, strict=True)])

    def _note_processed(self, connection: Connection, *, random: Random) -> None:
        """Do what RECEIPTS do: an event more about what was delivered."""
        delivered = connection.execute(
            select(events.c.facility, events.c.id, events.c.recipient).where(
                events.c.state == int(State.DELIVERED)
            )
        ).all()
        chosen = random.sample(list(delivered), min(3, len(delivered)))
        store.add_events(
            connection,
            [News(0, r.facility, r.id, r.recipient, State.PROCESSED, "AA", 2, r.id) for r in chosen],
        )

    def broken(self, connection: Connection, promises: Sequence[Promise]) -> list[str]:
        known = set(connection.execute(select(ledger.c.id)).scalars())
        waiting = {
            (row.id, row.recipient): row.message
            for row in connection.execute(select(spool.c.id, spool.c.recipient, spool.c.message))
        }
        told = {
            (row.id, row.recipient) for row in connection.execute(select(events.c.id, events.c.recipient))
        }
        faults = []
        for promise in promises:
            name = f"{promise.id.hex()} for {promise.recipient}"
            key = promise.id, promise.recipient
            if promise.id not in known:
                faults.append(f"{name} is not in the ledger")
            if (key in waiting) == (key in told):
                faults.append(f"{name} waits: {key in waiting}, is concluded: {key in told}")
            if key in waiting and waiting[key] != promise.body:
                faults.append(f"{name} is not what was accepted")
        return faults


class NodeStore(Store):
    """Outbox and inbox: messages put, accepted by the hub, arrived, concluded."""

    package, file = "nodes", "node.db"

    def __init__(self) -> None:
        self._network = Network()
        self._identity = self._network.identity(HERE)
        self._trust: Trust
        self._puts = 0

    def make(self, database: Path) -> None:
        engine = transactions.open_engine(f"sqlite:///{database}")
        migrations.upgrade(engine, "nodes")
        transactions.transact(engine, lambda connection: fill_directory(connection, self._network))
        authority = self._network.authority.public
        self._trust = transactions.read(engine, lambda connection: Trust.load(connection, authority))
        transactions.close_engine(engine)

    def batch(self, random: Random) -> tuple[list[Operation], list[Promise]]:
        operations: list[Operation] = []
        promises: list[Promise] = []
        for _ in range(random.randint(1, 3)):
            body = random.randbytes(random.choice(_BODY_BYTES))
            chance = random.random()
            if chance < 0.4:
                self._puts += 1
                key = f"key-{self._puts}"
                recipients = random.sample((ORAN, SUD), random.randint(1, 2))
                operations.append(partial(self._put, key=key, recipients=tuple(recipients), body=body))
                promises.append(Promise(b"", key, body))
            elif chance < 0.8:
                arrival = self._arrival(random, body)
                operations.append(partial(arrivals.accept, arrivals=[arrival], now_ms=EPOCH_MS))
                opened = arrival.opened
                promises.append(Promise(opened.envelope.id, opened.recipient, body))
            elif chance < 0.9:
                operations.append(partial(self._conclude, random=Random(random.random())))
            else:
                operations.append(_note_accepted)
        return operations, promises

    def _put(self, connection: Connection, *, key: str, recipients: tuple[str, ...], body: bytes) -> None:
        prepared = files.prepare(Path("/"), body, floor_bytes=0)
        outbox.put(connection, Draft(f"labo@{HERE}", recipients, "ORU^R01", prepared, key), EPOCH_MS)

    def _arrival(self, random: Random, body: bytes) -> Arrival:
        letter = Letter(self._network, body=body, id=random.randbytes(16))
        opened = open_delivery(letter.delivery(), self._identity, self._trust)
        scan = ReceivedFile("scan.bin", "image/png", 4, random.randbytes(32), f"incoming/{letter.id.hex()}-0")
        return Arrival(opened, None, (scan,) if random.random() < 0.3 else (), b"receipt", b"expired")

    def _conclude(self, connection: Connection, *, random: Random) -> None:
        for received in inbox.waiting(connection, limit=random.randint(1, 3)):
            state = random.choice((State.PROCESSED, State.REFUSED))
            inbox.conclude(connection, self._identity, received.seq, state, EPOCH_MS, answer=b"MSA|AA")

    def broken(self, connection: Connection, promises: Sequence[Promise]) -> list[str]:
        arrived = {
            (row.id, row.recipient): row.body
            for row in connection.execute(
                select(inbox_table.c.id, inbox_table.c.recipient, inbox_table.c.body)
            )
        }
        put = set(connection.execute(select(outbox_table.c.key)).scalars())
        return [
            f"{promise.id.hex()} for {promise.recipient} is not here as it was"
            for promise in promises
            if (not promise.id and promise.recipient not in put)
            or (promise.id and arrived.get((promise.id, promise.recipient)) != promise.body)
        ]


def _note_accepted(connection: Connection) -> None:
    queued = progress.queued(connection, Priority.ROUTINE, 0, 4)
    progress.accepted(connection, [message.seq for message in queued], EPOCH_MS)
