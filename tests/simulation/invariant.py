"""What must hold after every commit, read from the tables of all machines by an outsider.

For each message and each of its recipients:

- it is in the inbox at most once, as it was put: body, files, sender, kind, key;
- it is never both there and returned to its sender, nor returned and still on its way;
- in each lane (sender, recipient, priority) the inbox has the order of the outbox;
- what the sender's node calls accepted is in the hub's ledger; what it calls delivered is in the inbox; what
  it calls processed or refused was concluded so;
- what the hub has accepted is in its spool, or delivered, or returned;
- a state never goes back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from nodes.link.outbox import Put
from nodes.link.tracking import FINAL
from protocols.link import limits
from protocols.link.envelope import State
from tests.simulation.letters import Letter
from tests.simulation.machines import HubMachine, Machine, Machines, NodeMachine
from tests.simulation.trace import Broken, Trace

_GONE: Final = frozenset({State.PROCESSED, State.REFUSED})
_Copy = tuple[bytes, str]
"""(message id, recipient)"""


@dataclass(frozen=True, slots=True)
class _Sent:
    seq: int
    token: str
    sender: str
    priority: int


class _Tables:
    """A machine's database as the disk has it, for reading."""

    def __init__(self, machine: Machine) -> None:
        self._connection = sqlite3.connect(f"file:{machine.database}?mode=ro", uri=True, isolation_level=None)
        self._version = -1

    def changed(self) -> bool:
        """Return whether anything was committed since this was asked last."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(before != version)

    def all(self, query: str, *values: object) -> list[Any]:
        return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        self._connection.close()


class Invariant:
    """Remembers what it saw, so that each look is at what is new."""

    def __init__(self, machines: Machines, trace: Trace) -> None:
        self._machines = machines
        self._trace = trace
        self._tables = {machine.name: _Tables(machine) for machine in machines.all}
        self._letters: dict[str, Letter] = {}
        self._ids: dict[str, bytes] = {}
        self._sent: dict[bytes, _Sent] = {}
        self._told: dict[_Copy, State] = {}
        self._came: dict[_Copy, State] = {}
        self._lanes: dict[tuple[str, str, int], int] = {}
        self._outbox_seen = {node.name: 0 for node in machines.nodes}
        self._inbox_seen = {node.name: 0 for node in machines.nodes}
        self._ledger: dict[bytes, tuple[str, ...]] = {}
        self._spool: set[_Copy] = set()
        self._news: dict[_Copy, set[State]] = {}

    def close(self) -> None:
        """Let go of the files."""
        for tables in self._tables.values():
            tables.close()

    # ── what applications know ─────────────────────────────────────────────────────────

    def meant(self, letter: Letter) -> None:
        """Take note of a message before it is put."""
        self._letters[letter.token] = letter

    def put_returned(self, letter: Letter, put: Put) -> None:
        """Check the answer of a put."""
        if letter.id not in (None, put.id):
            raise Broken(f"{letter.token}: the same key and content got two ids")
        if self._ids.get(letter.token) != put.id:
            raise Broken(f"{letter.token}: the put returned and the outbox does not have it")
        letter.id = put.id

    def put_refused(self, letter: Letter) -> None:
        """Check that a refused put changed nothing."""
        if letter.token in self._ids:
            raise Broken(f"{letter.token}: the put was refused and the outbox has it")

    # ── after each commit ──────────────────────────────────────────────────────────────

    def after(self, machine: Machine) -> None:
        """Look at what ``machine`` has just committed."""
        tables = self._tables[machine.name]
        if not tables.changed():
            return
        if isinstance(machine, HubMachine):
            self._hub(tables)
        elif isinstance(machine, NodeMachine):
            self._outbox(machine.name, tables)
            self._recipients(machine.name, tables)
            self._inbox(machine, tables)

    def _outbox(self, node: str, tables: _Tables) -> None:
        rows = tables.all(
            "SELECT seq, id, subject, sender, priority FROM outbox WHERE seq > ? ORDER BY seq",
            self._outbox_seen[node],
        )
        for seq, identifier, token, sender, priority in rows:
            self._outbox_seen[node] = seq
            if token in self._ids:
                raise Broken(f"{token} is in the outbox twice")
            self._ids[token] = identifier
            self._sent[identifier] = _Sent(seq, token, sender, priority)

    def _recipients(self, node: str, tables: _Tables) -> None:
        rows = tables.all(
            "SELECT o.id, r.recipient, r.state, r.code FROM outbox_recipients r"
            " JOIN outbox o ON o.seq = r.outbox_seq ORDER BY o.seq, r.recipient"
        )
        for identifier, recipient, number, code in rows:
            copy, state = (identifier, recipient), State(number)
            before = self._told.get(copy)
            if before == state:
                continue
            what = self._name(copy)
            self._trace.note(node, f"{what} is {state.name} {code}", count=state.name.lower())
            if before is not None and (state < before or before in FINAL):
                raise Broken(f"{what}: its sender's node said {before.name}, now {state.name}")
            self._told[copy] = state
            self._check_told(copy, state, code)

    def _check_told(self, copy: _Copy, state: State, code: str) -> None:
        what = self._name(copy)
        if state is State.RETURNED:
            if not code:
                raise Broken(f"{what} was returned without a reason")
            self._check_not_both(copy)
            return
        if state > State.QUEUED and copy[0] not in self._ledger:
            raise Broken(f"{what}: its sender's node says {state.name}, the hub's ledger does not have it")
        if state >= State.DELIVERED and copy not in self._came:
            raise Broken(f"{what}: its sender's node says {state.name}, no inbox has it")
        if state in _GONE and self._came[copy] is not state:
            raise Broken(f"{what}: its sender's node says {state.name}, the inbox {self._came[copy].name}")

    def _inbox(self, node: NodeMachine, tables: _Tables) -> None:
        rows = tables.all(
            "SELECT seq, id, sender, recipient, kind, priority, subject, key, body, body_path FROM inbox"
            " WHERE seq > ? ORDER BY seq",
            self._inbox_seen[node.name],
        )
        for row in rows:
            self._inbox_seen[node.name] = row[0]
            self._arrived(node, tables, row)
        for identifier, recipient, number in tables.all(
            "SELECT id, recipient, state FROM inbox ORDER BY seq"
        ):
            copy, state = (identifier, recipient), State(number)
            before = self._came[copy]
            if before is not state:
                if before is not State.DELIVERED:
                    raise Broken(f"{self._name(copy)} was concluded twice, {before.name}, {state.name}")
                self._came[copy] = state
                self._trace.note(node.name, f"{self._name(copy)} concluded {state.name}")

    def _arrived(self, node: NodeMachine, tables: _Tables, row: Any) -> None:
        seq, identifier, sender, recipient, kind, priority, token, key, body, body_path = row
        copy = identifier, recipient
        self._trace.note(node.name, f"{token} for {recipient} arrived", count="arrived")
        letter = self._letters.get(token)
        if letter is None or self._ids.get(token) != identifier:
            raise Broken(f"{token} arrived at {recipient} and was never put with this id")
        if copy in self._came:
            raise Broken(f"{token} came to {recipient} twice")
        if body_path is not None:
            body = (node.home / body_path).read_bytes()
        found = sender, kind, priority, key, body
        if found != (letter.sender, letter.kind, letter.priority, letter.key or "", letter.body):
            raise Broken(f"{token} arrived at {recipient} and is not what was put")
        if copy not in self._told:
            raise Broken(f"{token} arrived at {recipient}, who is none of its recipients")
        files = tables.all("SELECT name, path FROM inbox_files WHERE inbox_seq = ? ORDER BY position", seq)
        if [(name, (node.home / path).read_bytes()) for name, path in files] != list(letter.files.items()):
            raise Broken(f"{token} arrived at {recipient} with other files than it was put with")
        self._came[copy] = State.DELIVERED
        self._check_not_both(copy)
        lane = sender, recipient, priority
        mine = self._sent[identifier].seq
        if mine < self._lanes.get(lane, 0):
            raise Broken(f"{token} came to {recipient} after what was put later")
        self._lanes[lane] = mine

    # ── the hub ────────────────────────────────────────────────────────────────────────

    def _hub(self, tables: _Tables) -> None:
        for identifier, recipients in tables.all("SELECT id, recipients FROM ledger ORDER BY rowid"):
            if identifier not in self._ledger:
                self._ledger[identifier] = tuple(recipients.split())
                self._trace.note("hub", f"{self._sent[identifier].token} accepted")
        waiting = tables.all("SELECT id, recipient FROM spool")
        self._spool = {(identifier, recipient) for identifier, recipient in waiting}
        if len(waiting) != len(self._spool):
            raise Broken("a message is in the hub's spool twice for one recipient")
        fresh: list[_Copy] = []
        for identifier, recipient, state in tables.all(
            "SELECT id, recipient, state FROM events ORDER BY seq"
        ):
            copy = identifier, recipient
            states = self._news.setdefault(copy, set())
            if State(state) not in states:
                states.add(State(state))
                fresh.append(copy)
                self._trace.note("hub", f"{self._name(copy)}: news {State(state).name}")
        self._check_held(fresh)

    def _check_held(self, fresh: Iterable[_Copy]) -> None:
        nothing: set[State] = set()
        for identifier, recipients in self._ledger.items():
            for recipient in recipients:
                copy = identifier, recipient
                news = self._news.get(copy, nothing)
                if copy not in self._spool and not news & {State.DELIVERED, State.RETURNED}:
                    raise Broken(f"{self._name(copy)} was accepted and is lost: not held, no news of it")
        for copy in fresh:
            if State.DELIVERED in self._news[copy] and copy not in self._came:
                raise Broken(f"{self._name(copy)}: the hub says delivered, no inbox has it")
            self._check_not_both(copy)

    def _check_not_both(self, copy: _Copy) -> None:
        news = self._news.get(copy, set())
        returned = State.RETURNED in news or self._told.get(copy) is State.RETURNED
        if returned and copy in self._came:
            raise Broken(f"{self._name(copy)} is both delivered and returned")
        if returned and copy in self._spool:
            raise Broken(f"{self._name(copy)} was returned, and the hub still holds it")

    def waits(self, node: str) -> bool:
        """Return whether something in the inbox of ``node`` was not taken yet."""
        return any(
            state is State.DELIVERED and recipient.endswith(f"@{node}")
            for (_, recipient), state in self._came.items()
        )

    @property
    def with_attachments(self) -> bool:
        """Some message has, or may have had, chunks at the hub."""
        return any(
            letter.files or len(letter.body) > limits.INLINE_BODY_BYTES for letter in self._letters.values()
        )

    # ── at rest ────────────────────────────────────────────────────────────────────────

    def unfinished(self) -> list[str]:
        """Return what is not final yet, by name; empty at rest."""
        found = [f"{self._name(copy)} is {s.name}" for copy, s in self._told.items() if s not in FINAL]
        found += [f"the spool has {self._name(copy)}" for copy in sorted(self._spool)]
        for node in self._machines.nodes:
            tables = self._tables[node.name]
            for (count,) in tables.all("SELECT count(*) FROM receipts HAVING count(*) > 0"):
                found.append(f"{node.name} has {count} receipts")
            for (token,) in tables.all("SELECT subject FROM outbox WHERE state = 0 OR NOT settled"):
                found.append(f"{token} is queued or not settled at {node.name}")
            for (token,) in tables.all("SELECT subject FROM inbox WHERE state = 3"):
                found.append(f"{token} was not taken from the inbox of {node.name}")
        return found

    def at_rest(self) -> None:
        """Check what only holds in the end: every put that returned came to an end, and both sides agree."""
        for letter in self._letters.values():
            if letter.id is not None and letter.id not in self._sent:
                raise Broken(f"{letter.token} was put, and the outbox has forgotten it")
        for copy, state in self._told.items():
            if state in _GONE and self._came.get(copy) is not state:
                raise Broken(f"{self._name(copy)}: the two nodes do not agree what became of it")
            if state is State.RETURNED and copy in self._came:
                raise Broken(f"{self._name(copy)} is both delivered and returned")

    def _name(self, copy: _Copy) -> str:
        sent = self._sent.get(copy[0])
        return f"{sent.token if sent else copy[0].hex()} for {copy[1]}"
