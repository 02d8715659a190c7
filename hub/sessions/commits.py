"""What all sessions write, gathered: one operation of each kind a commit, and what follows from it.

A hub with a thousand busy nodes would spend its time on a thousand small operations, and then on as many
reads to find what the others have just written. So the pieces of all sessions go through the lanes of the
database (see :class:`runtime.database.Lane`), and what was committed is handed straight to the sessions that
it concerns: queued messages to their recipients', news to their senders'. Handing is a hint like any other:
a session that is not up to date, or has no room, reads the table instead.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from hub.spool import ageing, history, store
from hub.spool.ageing import Presence, Waiting
from hub.spool.store import Acceptance, Entry, News, Queued
from protocols.link import frames as f
from protocols.link.envelope import facility_of
from runtime import crash
from runtime.database import Lane
from runtime.logs import event
from runtime.tasks import start

if TYPE_CHECKING:
    from hub.core import HubCore

CURSORS_S: Final = 1.0
"""How long the word of a node that it has its news may wait for company."""

FAULTS_S: Final = 2.0
"""How long the word of something that went wrong may wait for company."""

_LOG = logging.getLogger(__name__)
_Answers = Sequence[tuple[int, News]]


class _Conclusion(NamedTuple):
    """What became of spool rows, and how far senders have read, which is in no hurry."""

    answers: _Answers
    cursors: dict[str, int]


class Commits:
    """The lanes of one hub."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._accept = Lane(hub.database, self._accept_all, self._accepted)
        self._conclude = Lane(hub.database, self._conclude_all, self._concluded)
        self._receipts = Lane(hub.database, self._store_receipts, self._tell)
        self._cursors: dict[str, int] = {}
        self._cursors_due = False
        self._faults: dict[tuple[str, str], tuple[int, str]] = {}
        self._presence = Lane(hub.database, self._note_presences, lambda _none: None)

    def accept(self, entries: list[Entry]) -> Deferred[list[bool]]:
        """Commit messages; fires with what each entry is: accepted, or its id used for another content."""
        return self._accept.write(entries)

    def conclude(self, answers: _Answers) -> Deferred[None]:
        """Commit what became of spool rows: ``(spool seq, event)`` each."""
        return self._conclude.write(_Conclusion(answers, self._take_cursors()))

    def receipts(self, items: tuple[f.ReceiptItem, ...]) -> Deferred[None]:
        """Commit what applications said of messages that were delivered to them."""
        return self._receipts.write(items)

    def read_up_to(self, facility: str, seq: int) -> None:
        """Move a sender's cursor, with the next conclusion or after ``CURSORS_S`` at the latest.

        It says only where a session begins to tell: what it is late by is told again, and known already.
        """
        if not self._cursors_due:  # conclusions take them along all the time
            self._cursors_due = True
            self._hub.clock.call_later(CURSORS_S, self._write_cursors)
        self._cursors[facility] = max(seq, self._cursors.get(facility, 0))

    def _take_cursors(self) -> dict[str, int]:
        cursors, self._cursors = self._cursors, {}
        return cursors

    def _write_cursors(self) -> None:
        self._cursors_due = False
        if self._cursors:
            start(lambda: self.conclude(()), _cursors_failed)

    def fault(self, facility: str, code: str, text: str) -> None:
        """Note that something went wrong on a facility's link; written after ``FAULTS_S``, together."""
        if not facility:  # a stranger's: those are in the log of events
            return
        if not self._faults:
            self._hub.clock.call_later(FAULTS_S, self._write_faults)
        times, _ = self._faults.get((facility, code), (0, ""))
        self._faults[facility, code] = times + 1, text.replace("\0", "")

    def _write_faults(self) -> None:
        faults, self._faults = self._faults, {}
        now_ms = self._hub.clock.now_ms()
        start(
            lambda: self._hub.database.write(lambda c: history.note_faults(c, faults, now_ms)),
            _faults_failed,
        )

    def presence(self, change: Presence) -> Deferred[Waiting | None]:
        """Commit that a session began or ended; fires with what waits for the facility if it began.

        After a restart of this hub thousands begin at once: a look at the table for each would take longer.
        """
        return self._presence.write(change)

    # ── in the database's thread ───────────────────────────────────────────────────────

    def _accept_all(
        self, connection: Connection, pieces: list[list[Entry]]
    ) -> tuple[list[list[bool]], Acceptance]:
        now_ms = self._hub.clock.now_ms()
        done = store.accept(connection, [entry for piece in pieces for entry in piece], now_ms)
        verdicts = iter(done.verdicts)
        return [[next(verdicts) for _ in piece] for piece in pieces], done

    def _conclude_all(
        self, connection: Connection, pieces: list[_Conclusion]
    ) -> tuple[list[None], list[News]]:
        cursors: dict[str, int] = {}
        for piece in pieces:
            cursors.update(piece.cursors)
        if cursors:
            store.read_up_to(connection, dict(sorted(cursors.items())))
        answers = [answer for piece in pieces for answer in piece.answers]
        return [None] * len(pieces), store.conclude(connection, answers)

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
        return [None] * len(pieces), store.add_events(connection, news)

    def _note_presences(
        self, connection: Connection, changes: list[Presence]
    ) -> tuple[list[Waiting | None], None]:
        now_ms = self._hub.clock.now_ms()
        return ageing.note_presences(connection, changes, now_ms, self._hub.number), None

    # ── after the commit ───────────────────────────────────────────────────────────────

    def _accepted(self, done: Acceptance) -> None:
        crash.reached("hub-accepted-before-answer")
        self._hub.metrics.accepted(done.fresh)
        self._hand_queued(done)
        self._tell(done.news)

    def _hand_queued(self, done: Acceptance) -> None:
        if not done.queued:
            return
        if not self._hub.follower.may_hand_queued(done.follows, done.queued[-1].seq):
            return  # somebody else wrote rows meanwhile: what follows them may not overtake them
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
        if not self._hub.follower.may_hand_events(news[0].seq - 1, news[-1].seq):
            return
        by_facility: dict[str, list[News]] = defaultdict(list)
        for one in news:
            by_facility[one.facility].append(one)
        for facility, ours in by_facility.items():
            session = self._hub.sessions.get(facility)
            if session is not None:
                session.news(ours)


def _cursors_failed(error: BaseException) -> None:
    # The nodes are told again what they know, and say so again.
    event(_LOG, logging.WARNING, "cursors-not-moved", cause=error)


def _faults_failed(error: BaseException) -> None:
    # They are in the log of events as well.
    event(_LOG, logging.WARNING, "faults-not-noted", cause=error)
