"""What time does to messages, on a clock that the test moves and a real database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.event import listen
from twisted.internet.defer import Deferred

import hub.sweeper
from config.hub import HubSettings, Retention
from hub.files.errors import AttachmentMissing
from hub.routing.route import Reason
from hub.spool import ageing, store, tracking
from hub.spool.ageing import Presence
from hub.spool.store import Entry, News
from hub.sweeper import HOLD_S, HOUSEKEEPING_ROUNDS, ROUND_S, Sweeper
from protocols.link.envelope import AttachmentRef, State
from tests.hub.attachments import message_with, stored_file
from tests.hub.hubs import DAY_MS, EPOCH_MS, ORAN, SUD, Rest, entry, message_id, open_hub

MOST = 1_000
_T = TypeVar("_T")


@pytest.fixture
def sweeper(rest: Rest) -> Sweeper:
    return Sweeper(rest.core)


def accept(rest: Rest, *entries: Entry) -> None:
    rest.sql(lambda connection: store.accept(connection, entries, rest.clock.now_ms()))


def presence(rest: Rest, facility: str, *, connected: bool) -> None:
    change = Presence(facility, connected=connected, software="node")
    rest.sql(lambda c: ageing.note_presences(c, [change], EPOCH_MS, 1))


def told(rest: Rest) -> list[tuple[int, str, State, str]]:
    found: Sequence[News] = rest.sql(lambda c: store.news_for(c, "chu-alger", 0, MOST))
    return [(int.from_bytes(one.id, "big"), one.recipient, one.state, one.code) for one in found]


def waiting(rest: Rest, facility: str = "chu-oran") -> list[int]:
    rows = rest.sql(lambda c: store.queue(c, facility, 0, 0, MOST))
    return [int.from_bytes(row.id, "big") for row in rows]


def test_nothing_happens_before_its_time(rest: Rest, sweeper: Sweeper) -> None:
    accept(rest, entry(1, ORAN))
    rest.time.advance(DAY_MS * 0.79 / 1000)
    rest.run(sweeper.round())
    assert (told(rest), waiting(rest)) == ([], [1])


def test_a_clock_that_leaps_ahead_returns_nothing_for_an_hour(
    rest: Rest, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    """Set back within the hour, it has cost nobody's mail; after it, it is the time."""
    accept(rest, entry(1, ORAN))
    rest.clock.skew_ms = 365 * DAY_MS
    for _ in range(3):
        rest.time.advance(HOLD_S / 4)
        rest.run(sweeper.round())
    assert (told(rest), waiting(rest)) == ([], [1])
    rest.clock.skew_ms = 0
    rest.run(sweeper.round())
    rest.clock.skew_ms = 365 * DAY_MS
    rest.run(sweeper.round())
    rest.time.advance(HOLD_S - 1)
    rest.run(sweeper.round())
    assert (told(rest), waiting(rest)) == ([], [1])
    rest.time.advance(1)
    for _ in range(2):
        rest.run(sweeper.round())
    assert [(number, code) for number, _, _, code in told(rest)] == [(1, "expired")]
    assert [record.getMessage() for record in caplog.records].count("clock-leapt") == 2


def test_late_is_warned_once_and_expired_comes_back_once(rest: Rest, sweeper: Sweeper) -> None:
    accept(rest, entry(1, ORAN))
    rest.time.advance(DAY_MS * 0.8 / 1000)
    for _ in range(3):
        rest.run(sweeper.round())
    warning = (1, ORAN, State.DELAYED, "recipient-offline")
    assert (told(rest), waiting(rest)) == ([warning], [1])
    assert rest.sql(lambda c: ageing.unwarned(c, rest.clock.now_ms(), MOST)) == [], "looked at every round"
    rest.time.advance(DAY_MS * 0.2 / 1000)
    for _ in range(3):
        rest.run(sweeper.round())
    assert told(rest) == [warning, (1, ORAN, State.RETURNED, "expired")]
    assert waiting(rest) == []


def test_a_connected_recipient_settles_it_itself(rest: Rest, sweeper: Sweeper) -> None:
    presence(rest, "chu-oran", connected=True)
    accept(rest, entry(1, ORAN), entry(2, SUD))
    rest.time.advance(2 * DAY_MS / 1000)
    rest.run(sweeper.round())
    assert waiting(rest) == [1]
    assert (2, SUD, State.RETURNED, "expired") in told(rest)


def test_what_may_have_been_delivered_is_never_returned_by_the_clock(rest: Rest, sweeper: Sweeper) -> None:
    presence(rest, "chu-oran", connected=True)
    accept(rest, entry(1, ORAN))
    presence(rest, "chu-oran", connected=False)
    accept(rest, entry(2, ORAN))
    rest.time.advance(2 * DAY_MS / 1000)
    for _ in range(3):
        rest.run(sweeper.round())
    assert waiting(rest) == [1]
    assert (1, ORAN, State.DELAYED, "in-doubt") in told(rest)
    assert (2, ORAN, State.RETURNED, "expired") in told(rest)
    assert not any(number == 1 and state is State.RETURNED for number, _, state, _ in told(rest))


def test_a_round_whose_work_vanishes_between_look_and_write_does_nothing(
    rest: Rest, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipient connects just then. A round that failed here would be the sweeper's last."""
    accept(rest, entry(1, ORAN))
    rest.time.advance(2 * DAY_MS / 1000)
    look = rest.core.database.read

    def connecting(operation: Callable[[Connection], _T]) -> Deferred[_T]:
        def connects(due: _T) -> _T:
            presence(rest, "chu-oran", connected=True)
            return due

        return look(operation).addCallback(connects)

    with monkeypatch.context() as race:
        race.setattr(rest.core.database, "read", connecting)
        rest.run(sweeper._return_expired())
    assert (told(rest), waiting(rest)) == ([], [1])


def test_a_cut_between_rounds_loses_nothing(rest: Rest) -> None:
    """A new sweeper, as after a restart, does what is left, and nothing twice."""
    accept(rest, *(entry(number, ORAN) for number in range(5)))
    rest.time.advance(2 * DAY_MS / 1000)
    rest.run(Sweeper(rest.core)._return_expired())
    rest.run(Sweeper(rest.core).round())
    assert sorted(number for number, _, state, _ in told(rest) if state is State.RETURNED) == [0, 1, 2, 3, 4]


def test_a_clock_that_jumps_back_returns_nothing_early(rest: Rest, sweeper: Sweeper) -> None:
    accept(rest, entry(1, ORAN))
    rest.time.advance(2 * DAY_MS / 1000)
    rest.clock.skew_ms = -2 * DAY_MS
    rest.run(sweeper.round())
    assert (told(rest), waiting(rest)) == ([], [1])


def test_traces_are_forgotten_after_their_time_and_only_if_finished(rest: Rest, sweeper: Sweeper) -> None:
    returned = entry(2, returns=((SUD, Reason.EXPIRED),))
    accept(rest, entry(1, ORAN, valid_for_ms=1_000 * DAY_MS), returned)
    rest.sql(lambda c: store.read_up_to(c, {"chu-alger": 1}))
    rest.run(sweeper.round())
    assert rest.sql(lambda c: len(tracking.track(c, message_id(2)))) == 1
    rest.time.advance(401 * DAY_MS / 1000)
    for _ in range(HOUSEKEEPING_ROUNDS):
        rest.run(sweeper.round())
    assert rest.sql(lambda c: len(tracking.track(c, message_id(2)))) == 0
    assert rest.sql(lambda c: len(tracking.track(c, message_id(1)))) == 1
    assert waiting(rest) == [1]


# ── attachments ────────────────────────────────────────────────────────────────────────────


def has(rest: Rest, ref: AttachmentRef) -> bool:
    async def ask() -> bool:
        try:
            return len(await rest.core.files.read("chu-alger", ref.id, 0, 1)) == 1
        except AttachmentMissing:
            return False

    return rest.run(ask())


def test_files_go_only_when_old_and_no_waiting_message_names_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = HubSettings(retention=Retention(attachments_s=3_600.0))
    with open_hub(tmp_path_factory.mktemp("hub"), settings) as rest:
        wanted, orphan = stored_file(rest, 1), stored_file(rest, 2)
        long_ms = 10 * DAY_MS
        accept(rest, entry(1, ORAN, files=1, message=message_with(wanted, number=1), valid_for_ms=long_ms))
        rest.run(Sweeper(rest.core).sweep_files())
        assert (has(rest, wanted), has(rest, orphan)) == (True, True), "the message may still be on its way"
        rest.time.advance(3 * 3_600)
        rest.run(Sweeper(rest.core).sweep_files())
        assert (has(rest, wanted), has(rest, orphan)) == (True, False)


@pytest.mark.parametrize("page", [1, 2, 100])
def test_files_are_kept_whichever_page_of_the_spool_names_them(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(hub.sweeper, "MESSAGES_PER_READ", page)
    wanted = [stored_file(rest, number) for number in range(1, 6)]
    long_ms = 10 * DAY_MS
    for number, ref in zip((3, 1, 2, 5, 4), wanted, strict=True):
        sealed = message_with(ref, number=number)
        accept(rest, entry(number, ORAN, SUD, files=1, message=sealed, valid_for_ms=long_ms))
    accept(rest, entry(6, ORAN, valid_for_ms=long_ms))
    rest.time.advance(2 * DAY_MS / 1000)
    rest.run(Sweeper(rest.core).sweep_files())
    assert all(has(rest, ref) for ref in wanted)


def test_a_damaged_message_keeps_no_file_and_spoils_no_sweep(
    rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, orphan = stored_file(rest, 1), stored_file(rest, 2)
    long_ms = 10 * DAY_MS
    accept(rest, entry(1, ORAN, files=1, message=b"no message", valid_for_ms=long_ms))
    accept(rest, entry(2, ORAN, files=1, message=message_with(wanted, number=2), valid_for_ms=long_ms))
    rest.time.advance(2 * DAY_MS / 1000)
    rest.run(Sweeper(rest.core).sweep_files())
    assert (has(rest, wanted), has(rest, orphan)) == (True, False)
    assert "spooled-message-unreadable" in caplog.text


def test_paging_looks_at_no_message_without_files(rest: Rest) -> None:
    """The spool may hold a million of those."""
    asked: list[tuple[str, Any]] = []

    def operation(connection: Connection) -> list[str]:
        listen(connection, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
        ageing.messages_with_files(connection, (b"", 0), 10)
        statement, values = asked[0]
        if rest.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the table is empty here
            return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]

    plan = "\n".join(rest.sql(operation))
    assert "spool_files" in plan
    assert "SCAN spool" not in plan


def test_rounds_come_often_enough() -> None:
    assert ROUND_S * HOUSEKEEPING_ROUNDS <= 3_600
