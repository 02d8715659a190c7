"""What all sessions write, gathered: one operation of each kind a commit, and what follows from it.

A hub with a thousand busy nodes would spend its time on a thousand small operations, and then on as many
reads to find what the others have just written. So the pieces of all sessions go through four lanes of the
database (see :class:`runtime.database.Lane`), and what was committed is handed straight to the sessions that
it concerns: queued messages to their recipients', news to their senders'. Handing is a hint like any other:
a session that is not up to date, or has no room, reads the table instead.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from hub.spool import store
from hub.spool.store import Acceptance, Entry, News, Queued
from protocols.link import frames as f
from protocols.link.envelope import Priority, facility_of
from runtime import crash
from runtime.database import Lane

if TYPE_CHECKING:
    from hub.core import HubCore

_Answers = Sequence[tuple[int, News]]


class Commits:
    """The lanes of one hub."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._accept = Lane(hub.database, self._accept_all, self._accepted)
        self._conclude = Lane(hub.database, self._conclude_all, self._concluded)
        self._receipts = Lane(hub.database, self._store_receipts, self._tell)
        self._cursors = Lane(hub.database, self._move_cursors, lambda _none: None)
        self._last_queued = self._last_event = -1

    def accept(self, entries: list[Entry]) -> Deferred[list[bool]]:
        """Commit messages; fires with what each entry is: accepted, or its id used for another content."""
        return self._accept.write(entries)

    def conclude(self, answers: _Answers) -> Deferred[None]:
        """Commit what became of spool rows: ``(spool seq, event)`` each."""
        return self._conclude.write(answers)

    def receipts(self, items: tuple[f.ReceiptItem, ...]) -> Deferred[None]:
        """Commit what applications said of messages that were delivered to them."""
        return self._receipts.write(items)

    def read_up_to(self, facility: str, seq: int) -> Deferred[None]:
        """Move a sender's cursor."""
        return self._cursors.write((facility, seq))

    # ── in the database's thread ───────────────────────────────────────────────────────

    def _accept_all(
        self, connection: Connection, pieces: list[list[Entry]]
    ) -> tuple[list[list[bool]], Acceptance]:
        now_ms = self._hub.clock.now_ms()
        done = self._hub.sql.accept(connection, [entry for piece in pieces for entry in piece], now_ms)
        verdicts = iter(done.verdicts)
        return [[next(verdicts) for _ in piece] for piece in pieces], done

    def _conclude_all(self, connection: Connection, pieces: list[_Answers]) -> tuple[list[None], list[News]]:
        answers = [answer for piece in pieces for answer in piece]
        return [None] * len(pieces), self._hub.sql.conclude(connection, answers)

    def _store_receipts(
        self, connection: Connection, pieces: list[tuple[f.ReceiptItem, ...]]
    ) -> tuple[list[None], list[News]]:
        now_ms = self._hub.clock.now_ms()
        items = [item for piece in pieces for item in piece]
        known = store.may_speak_of(connection, [(item.id, item.recipient) for item in items])
        news = [
            News(0, facility_of(item.sender), item.id, item.recipient, item.state, "", now_ms, item.receipt)
            for item in items
            if (item.id, item.recipient, facility_of(item.sender)) in known
        ]
        return [None] * len(pieces), self._hub.sql.add_events(connection, news)

    def _move_cursors(self, connection: Connection, pieces: list[tuple[str, int]]) -> tuple[list[None], None]:
        self._hub.sql.read_up_to(connection, dict(sorted(pieces)))
        return [None] * len(pieces), None

    # ── after the commit ───────────────────────────────────────────────────────────────

    def _accepted(self, done: Acceptance) -> None:
        crash.reached("hub-accepted-before-answer")
        hub = self._hub
        stat = sum(entry.priority for entry in done.fresh)
        hub.metrics.accepted[Priority.ROUTINE].inc(len(done.fresh) - stat)
        hub.metrics.accepted[Priority.STAT].inc(stat)
        self._hand_queued(done)
        self._tell(done.news)

    def _hand_queued(self, done: Acceptance) -> None:
        if not done.queued:
            return
        alone = done.follows == self._last_queued
        self._last_queued = done.queued[-1].seq
        if not alone:  # somebody else wrote rows meanwhile: what follows them may not overtake them
            self._hub.sessions.mail_for_everyone()
            return
        by_facility: dict[str, list[Queued]] = defaultdict(list)
        for row in done.queued:
            by_facility[facility_of(row.recipient)].append(row)
        for facility, rows in by_facility.items():
            session = self._hub.sessions.get(facility)
            if session is not None:
                session.mail(rows)

    def _concluded(self, news: list[News]) -> None:
        crash.reached("hub-concluded")
        self._tell(news)

    def _tell(self, news: list[News]) -> None:
        if not news:
            return
        for state, count in Counter(one.state for one in news).items():
            self._hub.metrics.outcomes[state.name.lower()].inc(count)
        alone = news[0].seq - 1 == self._last_event
        self._last_event = news[-1].seq
        if not alone:
            self._hub.sessions.news_for_everyone()
            return
        by_facility: dict[str, list[News]] = defaultdict(list)
        for one in news:
            by_facility[one.facility].append(one)
        for facility, ours in by_facility.items():
            session = self._hub.sessions.get(facility)
            if session is not None:
                session.news(ours)
