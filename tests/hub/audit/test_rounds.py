"""The hub's rounds over its log: what they take in, sign, and notice."""

from __future__ import annotations

import contextlib

import pytest

from hub.audit import growth, messages
from hub.audit.journal import Act, record
from hub.audit.rounds import INTERVAL_S
from tests.hub.audit.logs import attack, deliver, make_history, verified
from tests.hub.hubs import EPOCH_MS, Rest


def gauge(rest: Rest, name: str) -> float:
    return float(getattr(rest.core.metrics.audit, name)._value.get())


def minute(rest: Rest) -> None:
    rest.time.advance(INTERVAL_S)
    rest.run(rest.core.auditor.round())


def test_a_round_takes_in_signs_and_checks(rest: Rest) -> None:
    rest.sql(lambda c: deliver(c, 1))
    rest.run(rest.core.auditor.round())
    newest = rest.sql(growth.newest)
    assert newest is not None
    assert newest.size == 1
    assert rest.sql(messages.cursors) == (1, 1)
    assert (gauge(rest, "valid"), gauge(rest, "entries"), gauge(rest, "unsigned")) == (1, 1, 0)
    assert gauge(rest, "signed_at") == EPOCH_MS // 1000


def test_nothing_new_makes_no_entry_and_no_checkpoint(rest: Rest) -> None:
    rest.sql(lambda c: deliver(c, 1))
    for _ in range(3):
        minute(rest)
    assert rest.sql(growth.size_of) == 1
    assert len(rest.sql(lambda c: growth.recent(c, 10))) == 1


def test_a_checkpoint_a_minute_at_most(rest: Rest) -> None:
    for number in range(1, 4):
        rest.sql(lambda c, n=number: record(c, Act("hub", "a.b", str(n)), EPOCH_MS))  # type: ignore[misc]  # bound now
        rest.run(rest.core.auditor.round())
    assert len(rest.sql(lambda c: growth.recent(c, 10))) == 1
    minute(rest)
    assert [one.size for one in rest.sql(lambda c: growth.recent(c, 10))] == [3, 1]


def test_a_changed_entry_is_noticed_within_a_walk(rest: Rest) -> None:
    make_history(rest.engine)
    rest.run(rest.core.auditor.round())
    assert gauge(rest, "valid") == 1
    if rest.engine.dialect.name == "sqlite":
        attack(rest.core.home / "hub.db", "UPDATE audit SET actor = 'cli:eve' WHERE number = 2")
    else:
        rest.sql(lambda c: c.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        rest.sql(lambda c: c.exec_driver_sql("UPDATE audit SET actor = 'cli:eve' WHERE number = 2"))
    minute(rest)
    assert gauge(rest, "valid") == 0
    assert not verified(rest.engine).valid


def test_a_log_that_was_shortened_is_noticed_and_not_signed(rest: Rest) -> None:
    make_history(rest.engine)
    if rest.engine.dialect.name == "sqlite":
        attack(rest.core.home / "hub.db", "DELETE FROM audit WHERE number > 8")
    else:
        rest.sql(lambda c: c.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        rest.sql(lambda c: c.exec_driver_sql("DELETE FROM audit WHERE number > 8"))
    rest.run(rest.core.auditor.round())
    assert gauge(rest, "valid") == 0


def test_without_a_key_there_are_entries_and_no_checkpoints(rest: Rest) -> None:
    rest.core.audit_key = None
    rest.sql(lambda c: deliver(c, 1))
    rest.run(rest.core.auditor.round())
    assert (gauge(rest, "entries"), gauge(rest, "unsigned"), gauge(rest, "valid")) == (1, 1, 1)


@pytest.mark.parametrize("column", ["hash", "previous"])
@pytest.mark.parametrize("value", ["'text'", "7"])
def test_an_entry_that_cannot_be_read_is_noticed_and_does_not_stop_the_rounds(
    rest: Rest, column: str, value: str
) -> None:
    """SQLite keeps anything in any column."""
    if rest.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's columns hold what they are for")
    make_history(rest.engine)
    attack(rest.core.home / "hub.db", f"UPDATE audit SET {column} = {value} WHERE number = 11")
    rest.sql(lambda c: deliver(c, 99))
    for _ in range(2):
        with contextlib.suppress(Exception):  # the daemon's loop logs it and goes on
            minute(rest)
    assert gauge(rest, "valid") == 0
    report = verified(rest.engine)
    assert "entry 11" in str(report.faults[0])
