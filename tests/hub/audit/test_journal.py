"""The journal: one entry for each change, with it or not at all, in one chain, never changed."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from hub.audit.journal import Act, AuditBroken, command_line, record
from hub.audit.tables import audit
from hub.directory import service
from protocols.audit.entry import NO_ENTRY, Entry
from runtime.transactions import open_engine, transact
from tests.hub.hubs import EPOCH_MS, ISSUER, NodeKeys

ACT = Act("cli:root", "facility.suspended", "chu-oran", {"reason": "panne"})


def entries(connection: Connection) -> list[Entry]:
    rows = connection.execute(select(audit).order_by(audit.c.number))
    return [Entry(r.number, r.at_ms, r.actor, r.action, r.subject, r.details, r.previous) for r in rows]


def test_entries_make_a_chain_without_gaps(connection: Connection) -> None:
    assert [record(connection, ACT, EPOCH_MS + n) for n in range(3)] == [1, 2, 3]
    found = entries(connection)
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.previous for one in found] == [NO_ENTRY, found[0].hash(), found[1].hash()]
    kept = connection.execute(select(audit.c.hash).order_by(audit.c.number)).scalars().all()
    assert kept == [one.hash() for one in found]


def test_a_change_that_is_undone_leaves_no_entry_and_no_gap(hub_url: str) -> None:
    engine = open_engine(hub_url)

    def fails(connection: Connection) -> None:
        record(connection, ACT, EPOCH_MS)
        raise RuntimeError

    transact(engine, lambda c: record(c, ACT, EPOCH_MS))
    with pytest.raises(RuntimeError):
        transact(engine, fails)
    assert transact(engine, lambda c: record(c, ACT, EPOCH_MS)) == 2
    assert [one.number for one in transact(engine, entries)] == [1, 2]
    engine.dispose()


@pytest.mark.parametrize("statement", [update(audit).values(actor="hub"), delete(audit)])
def test_the_database_refuses_to_change_or_remove_entries(hub_url: str, statement: object) -> None:
    engine = open_engine(hub_url)
    transact(engine, lambda c: record(c, ACT, EPOCH_MS))
    with pytest.raises(DBAPIError, match="append-only"):
        transact(engine, lambda c: c.execute(statement))  # type: ignore[call-overload]  # update or delete
    assert len(transact(engine, entries)) == 1
    engine.dispose()


def test_nothing_is_recorded_on_a_log_without_its_end(connection: Connection, tmp_path: Path) -> None:
    record(connection, ACT, EPOCH_MS)
    if connection.dialect.name == "sqlite":
        connection.execute(text("DROP TRIGGER audit_never_removed"))
    else:
        connection.execute(text("DROP TRIGGER audit_append_only ON audit"))
    connection.execute(delete(audit))
    with pytest.raises(AuditBroken, match="entry 1"):
        record(connection, ACT, EPOCH_MS)


def test_texts_are_bounded_and_hold_no_nul(connection: Connection) -> None:
    record(connection, Act("cli:x", "a.b", "s\x00" + "x" * 300), EPOCH_MS)
    (found,) = entries(connection)
    assert len(found.subject) == 200
    assert found.subject.startswith("s\N{SYMBOL FOR NULL}")
    with pytest.raises(ValueError, match="4096 bytes"):
        record(connection, Act("cli:x", "a.b", "s", {"k": "x" * 5_000}), EPOCH_MS)


def test_joining_is_recorded_once(connection: Connection) -> None:
    service.invite(
        connection, ISSUER, "chu-oran", title=None, mailboxes=(), valid_for_ms=60_000, now_ms=EPOCH_MS
    )
    invitation = connection.execute(text("SELECT invitation FROM invitations")).scalar_one()
    keys = NodeKeys.numbered(1)
    for _ in range(2):
        service.grant(
            connection, ISSUER, bytes(invitation), keys.link.public, keys.signing, keys.sealing, EPOCH_MS
        )
    assert [(one.actor, one.action, one.subject) for one in entries(connection)] == [
        ("node:chu-oran", "facility.joined", "chu-oran")
    ]


def test_a_command_names_its_unix_user() -> None:
    assert command_line().startswith("cli:")
