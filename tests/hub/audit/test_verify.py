"""Whoever owns the database's file cannot change the log unnoticed, not by flip, drop or truncation."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from crypto.keys import SigningPrivateKey
from hub.audit import growth, messages
from hub.audit.journal import AuditBroken
from hub.audit.tables import audit, checkpoints
from hub.audit.verify import Report, Trusted
from hub.spool import ageing, store
from protocols.audit import tree
from protocols.audit.entry import NO_ENTRY, Entry
from runtime.transactions import open_engine, read, transact
from tests.hub.audit.logs import TRUSTED, act, attack, deliver, make_history, seal, take_in, verified
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, open_store


def after(home: Path, *statements: str, trusted: Trusted = TRUSTED) -> Report:
    """Return what is found in a history that was attacked."""
    with open_store(home) as engine:
        make_history(engine)
        assert verified(engine).valid
    attack(home / "hub.db", *statements)
    engine = open_engine(f"sqlite:///{home / 'hub.db'}")
    try:
        return verified(engine, trusted)
    finally:
        engine.dispose()


def first(report: Report) -> str:
    assert not report.valid
    return str(report.faults[0])


def test_an_honest_log_is_valid(hub_url: str) -> None:
    engine = open_engine(hub_url)
    make_history(engine)
    report = verified(engine)
    assert report.faults == []
    assert (report.entries, report.checkpoints, report.signed, report.batches) == (11, 3, 11, 1)
    assert report.rows == 12
    engine.dispose()


def test_an_empty_log_is_valid(connection: Connection) -> None:
    from hub.audit.verify import verify  # noqa: PLC0415 - beside its only use

    assert verify(connection, TRUSTED).valid


@pytest.mark.parametrize(
    "column", ["at_ms = at_ms + 1", "actor = 'hub'", "action = 'x'", "subject = 'chu-x'", "details = '{}x'"]
)
def test_flip(tmp_path: Path, column: str) -> None:
    found = first(after(tmp_path, f"UPDATE audit SET {column} WHERE number = 3"))
    assert found.startswith("entry 3: its content is not what its hash was computed over")


def test_flip_with_its_hash_computed_again(tmp_path: Path) -> None:
    changed = "cli:eve"
    with open_store(tmp_path) as engine:
        make_history(engine)
        row = read(engine, lambda c: c.execute(select(audit).where(audit.c.number == 3)).one())
    forged = Entry(3, row.at_ms, changed, row.action, row.subject, row.details, bytes(row.previous)).hash()
    attack(
        tmp_path / "hub.db",
        f"UPDATE audit SET actor = '{changed}', hash = x'{forged.hex()}' WHERE number = 3",
    )
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    assert first(verified(engine)).startswith("entry 4: it carries another hash for entry 3")
    engine.dispose()


def test_drop(tmp_path: Path) -> None:
    assert first(after(tmp_path, "DELETE FROM audit WHERE number = 4")).startswith(
        "entry 4: entry 4 is missing"
    )


def test_drop_and_number_again(tmp_path: Path) -> None:
    found = first(
        after(
            tmp_path,
            "DELETE FROM audit WHERE number = 4",
            "UPDATE audit SET number = number - 1 WHERE number > 4",
        )
    )
    assert found.startswith("entry 4: its content is not what")


def test_reorder(tmp_path: Path) -> None:
    found = first(
        after(
            tmp_path,
            "UPDATE audit SET number = 99 WHERE number = 4",
            "UPDATE audit SET number = 4 WHERE number = 5",
            "UPDATE audit SET number = 5 WHERE number = 99",
        )
    )
    assert found.startswith("entry 4: its content is not what")


def test_truncate(tmp_path: Path) -> None:
    found = first(after(tmp_path, "DELETE FROM audit WHERE number > 9"))
    assert found.startswith("checkpoint 11: the log ends with entry 9")


def test_truncate_with_checkpoints(tmp_path: Path) -> None:
    report = after(tmp_path, "DELETE FROM audit WHERE number > 9", "DELETE FROM checkpoints WHERE size > 9")
    assert first(report) == "entry 10: 11 entries were written, 9 are there: entries were removed"


def forge(home: Path, key: SigningPrivateKey | None) -> None:
    """Write the whole log anew with another actor in entry 3, hashes and all; sign it, if there is a key."""
    with open_store(home) as engine:
        make_history(engine)
        rows = read(engine, lambda c: c.execute(select(audit).order_by(audit.c.number)).all())
        signed = read(engine, lambda c: c.execute(select(checkpoints.c.size)).scalars().all())
    previous, statements, leaves = NO_ENTRY, [], []
    for row in rows:
        actor = "cli:eve" if row.number == 3 else row.actor
        one = Entry(row.number, row.at_ms, actor, row.action, row.subject, row.details, previous)
        statements.append(
            f"UPDATE audit SET actor = '{actor}', previous = x'{previous.hex()}',"
            f" hash = x'{one.hash().hex()}' WHERE number = {row.number}"
        )
        previous = one.hash()
        leaves.append(previous)
    if key is not None:
        from protocols.audit import checkpoint  # noqa: PLC0415 - the forger's

        for size in signed:
            root = tree.root_of(leaves[:size])
            blob = checkpoint.issue(key, origin="hub", size=size, root=root, at_ms=EPOCH_MS)
            statements.append(
                f"UPDATE checkpoints SET root = x'{root.hex()}', statement = x'{blob.hex()}'"
                f" WHERE size = {size}"
            )
    attack(home / "hub.db", *statements)


def test_rewritten_chain(tmp_path: Path) -> None:
    forge(tmp_path, None)
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    assert first(verified(engine)).startswith("checkpoint 6: entries 1 to 6 are not those that were signed")
    engine.dispose()


def test_rewritten_chain_signed_by_another_key(tmp_path: Path) -> None:
    forge(tmp_path, SigningPrivateKey(bytes(range(3, 35))))
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    assert first(verified(engine)).startswith("checkpoint 6: the checkpoint is signed by key")
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE checkpoints SET root = zeroblob(32) WHERE size = 9", "checkpoint 9: what was signed"),
        ("UPDATE checkpoints SET size = 10 WHERE size = 9", "checkpoint 10: what was signed"),
        ("UPDATE ledger SET sender = 'x@chu-y' WHERE seq = 2", "ledger 2: the row was changed"),
        ("UPDATE events SET state = 5 WHERE seq = 3", "events 3: the row was changed"),
        ("UPDATE events SET receipt = x'00' WHERE seq = 3", "events 3: the row was changed"),
        ("DELETE FROM ledger WHERE seq = 2", "ledger 2: the row was removed"),
        ("DELETE FROM events WHERE seq = 6", "events 6: the row was removed"),
        ("DELETE FROM audit_batches", "batch of entry 6: the leaves that the entry speaks of were removed"),
        ("UPDATE audit_batches SET leaves = zeroblob(384)", "batch of entry 6: its numbers and leaves"),
        ("UPDATE audit_batches SET leaves = x''", "batch of entry 6: 12 leaves expected, 0 found"),
        ("UPDATE audit_batches SET number = 5", "batch of entry 5: its entry is missing"),
    ],
)
def test_what_else_can_be_changed(tmp_path: Path, statement: str, expected: str) -> None:
    assert first(after(tmp_path, statement)).startswith(expected)


def test_retention_is_no_attack(hub_url: str) -> None:
    engine = open_engine(hub_url)
    make_history(engine)
    transact(engine, lambda c: store.read_up_to(c, {"chu-alger": 6}))
    removed, _ = transact(engine, lambda c: ageing.forget(c, EPOCH_MS + 1, 100))
    assert removed == 6
    old = Trusted(TRUSTED.key, AUTHORITY.public, EPOCH_MS + DAY_MS)
    assert verified(engine, old).valid
    assert not verified(engine).valid
    engine.dispose()


def test_nothing_is_signed_on_top_of_a_shortened_log(tmp_path: Path) -> None:
    with open_store(tmp_path) as engine:
        make_history(engine)
    attack(tmp_path / "hub.db", "DELETE FROM audit WHERE number > 8")
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with pytest.raises(AuditBroken, match="checkpoint 11 was signed"):
        transact(engine, seal)
    engine.dispose()


def test_rows_are_taken_in_once_and_gaps_are_told(connection: Connection) -> None:
    for number in (1, 2, 3):
        deliver(connection, number)
    connection.exec_driver_sql("DELETE FROM ledger WHERE seq = 2")
    take_in(connection)
    assert messages.gather(connection) is None
    deliver(connection, 4)
    batch = messages.gather(connection)
    assert batch is not None
    assert (batch.ledger, batch.events) == (messages.Span(4, 4), messages.Span(4, 4))
    late = messages.gather(connection)
    assert late is not None
    assert messages.enter(connection, batch, batch.root, EPOCH_MS) == 2
    assert messages.enter(connection, late, late.root, EPOCH_MS) is None


def test_proofs_from_the_table_hold_for_every_checkpoint(connection: Connection) -> None:
    sizes = []
    for number in range(1, 40):
        act(connection, number)
        if number % 5 in (0, 3):
            made = seal(connection)
            assert made is not None
            sizes.append(made)
    assert seal(connection) is not None
    leaves = [
        bytes(one) for one in connection.execute(select(audit.c.hash).order_by(audit.c.number)).scalars()
    ]
    for made in sizes:
        assert made.root == tree.root_of(leaves[: made.size])
        for index in range(made.size):
            path = growth.proof(connection, tree.inclusion_path(index, made.size))
            assert tree.included(leaves[index], index, made.size, path, made.root)
        newest = growth.newest(connection)
        assert newest is not None
        path = growth.proof(connection, tree.consistency_path(made.size, newest.size))
        assert tree.consistent(made.size, made.root, newest.size, newest.root, path)
