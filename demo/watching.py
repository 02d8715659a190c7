"""What is on its way, read from the nodes' own tables: who sent it, how far it came, and when.

:class:`Watch` looks at each node's outbox as ``wasl-node track`` does, from outside the daemon: new rows,
and the unfinished ones again. Milliseconds are counted from the moment the message was committed at its
sender, by that node's clock. Calls block: run them in a thread.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine, select

from demo.network import Network
from nodes import home as node_home
from nodes.link import tracking
from nodes.link.ids import id_text
from nodes.link.tables import outbox as outbox_table
from protocols.hl7.acks import read_ack
from protocols.hl7.errors import MalformedMessage
from protocols.link.envelope import Priority, State
from runtime.transactions import read

KEPT_ROWS: Final = 1_000
STEPS: Final = (State.QUEUED, State.ACCEPTED, State.DELIVERED, State.PROCESSED)


@dataclass(frozen=True, slots=True)
class Row:
    """One message as it stands. ``steps_ms`` holds the time of each of ``STEPS`` that was reached."""

    id: str
    key: str
    kind: str
    sender: str
    recipient: str
    urgent: bool
    created_ms: int
    state: State
    settled: bool
    reason: str
    steps_ms: dict[State, int]
    answer: bytes

    @property
    def answered(self) -> str:
        """The application's answer in short, as in ``ORL^O22 AA``; empty while there is none."""
        try:
            ack = read_ack(self.answer)
        except MalformedMessage:
            return ""
        return f"{ack.header.message_type} {ack.code}"

    @property
    def took_ms(self) -> int:
        """Milliseconds from the first step to the last that was reached."""
        return max(self.steps_ms.values(), default=0)


class Watch:
    """Eyes on all nodes' outboxes; ``rows`` are the latest messages, by id, in order of appearance."""

    def __init__(self, network: Network) -> None:
        self.rows: dict[str, Row] = {}
        self._engines: list[Engine] = [node_home.open_database(node.home) for node in network.nodes.values()]
        self._seen = [0] * len(self._engines)
        self._open: list[set[bytes]] = [set() for _ in self._engines]

    def look(self) -> list[Row]:
        """Read what is new; returns the rows that changed, oldest message first."""
        changed: list[Row] = []
        for number, engine in enumerate(self._engines):
            fresh, found = read(engine, partial(self._unfinished, number))
            self._seen[number] += fresh
            for sent in found:
                row = _row(sent)
                if row != self.rows.get(row.id):
                    changed.append(row)
                    self.rows[row.id] = row
                if row.settled:
                    self._open[number].discard(sent.id)
        while len(self.rows) > KEPT_ROWS:
            del self.rows[next(iter(self.rows))]
        return sorted(changed, key=lambda row: (row.created_ms, row.id))

    def close(self) -> None:
        """Give the databases back."""
        for engine in self._engines:
            engine.dispose()

    def _unfinished(self, number: int, connection: Connection) -> tuple[int, list[tracking.Sent]]:
        last = self._seen[number]
        query = select(outbox_table.c.seq, outbox_table.c.id).where(outbox_table.c.seq > last)
        fresh = connection.execute(query.order_by(outbox_table.c.seq)).all()
        self._open[number].update(row.id for row in fresh)
        newest = fresh[-1].seq if fresh else last
        return newest - last, [tracking.find(connection, identifier) for identifier in self._open[number]]


def _row(sent: tracking.Sent) -> Row:
    first: dict[State, int] = {}
    for moment in sorted(sent.history, key=lambda one: one.state):
        if moment.state in STEPS:
            # A delivery is timed where it happens, an acceptance when its news comes, which may be later.
            after_ms = max(first.values(), default=0)
            first.setdefault(moment.state, max(after_ms, moment.at_ms - sent.created_ms))
    recipient = sent.recipients[0]
    return Row(
        id=id_text(sent.id), key=sent.key or "", kind=sent.kind, sender=sent.sender,
        recipient=recipient.recipient, urgent=sent.priority is Priority.STAT, created_ms=sent.created_ms,
        state=sent.state, settled=sent.settled, reason=sent.reason, steps_ms=first, answer=recipient.answer,
    )  # fmt: skip
