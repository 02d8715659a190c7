"""Prepared statements: compiled once, run on the driver's cursor, with values in their place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Enum,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from runtime.driver_sql import ARRAY_ROWS, LIST_VALUES, PreparedSql, hot_sql
from runtime.transactions import open_engine, transact

METADATA = MetaData()
BED = Table(
    "bed",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("id", LargeBinary),
    Column("note", String),
    Column("state", Integer),
    Column("at", DateTime),
    Column("kind", Enum("a", "b", name="kind")),
)
WARD = Table(
    "ward",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("beds", Integer, nullable=False),
)
OPEN = PreparedSql(insert(WARD), " ON CONFLICT DO NOTHING")
WARDS = PreparedSql(select(WARD).order_by(WARD.c.seq))
PUT = PreparedSql(
    insert(BED).values(id=bindparam("id"), note=bindparam("note"), state=literal_column("1")),
)
TAKE = PreparedSql(
    select(BED.c.id, BED.c.note)
    .where(BED.c.state == 1, BED.c.seq > bindparam("after"), BED.c.note != "it's %")
    .order_by(BED.c.seq)
    .limit(bindparam("most"))
    .offset(bindparam("skip"))
)
MARK = PreparedSql(update(BED).where(BED.c.id == bindparam("key")).values(state=bindparam("state")))
DROP = PreparedSql(delete(BED).where(BED.c.id.in_(bindparam("ids", expanding=True)), BED.c.state == 1))
FIND = PreparedSql(
    select(BED.c.seq).where(
        BED.c.note != bindparam("note"),
        BED.c.id.in_(bindparam("ids", expanding=True)),
        BED.c.seq < bindparam("before"),
    )
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    transact(engine, METADATA.create_all)
    with engine.begin() as connection:
        PUT.run_many(connection, [(b"%d" % n, f"n{n}") for n in range(9)])
        yield connection
    engine.dispose()


def test_rows_go_in_and_come_out_in_place(connection: Connection) -> None:
    assert PUT.names(connection) == ("id", "note")
    assert PUT.run(connection, id=b"quoted", note="it's %") == 1
    assert MARK.names(connection) == ("state", "key")
    assert MARK.run_many(connection, [(2, b"0"), (2, b"1"), (2, b"none")]) == 2
    assert DROP.run(connection, ids=[b"2", b"1"]) == 1
    assert TAKE.all(connection, after=0, most=3, skip=1) == [(b"4", "n4"), (b"5", "n5"), (b"6", "n6")]
    assert TAKE.one(connection, after=9, most=3, skip=0) is None
    assert TAKE.one(connection, after=8, most=1, skip=0) == (b"8", "n8")


@pytest.mark.parametrize("count", [1, 2, 4, 5, 64, 65, LIST_VALUES])
def test_a_list_may_have_any_length(connection: Connection, count: int) -> None:
    ids = [b"7", b"3", *(b"x%d" % n for n in range(count))][:count]
    found = FIND.all(connection, note="n3", ids=ids, before=9)
    assert found == [(8,)]
    assert FIND.all(connection, note="", ids=ids, before=8) == ([(4,)] if count > 1 else [])


@pytest.mark.parametrize("ids", [[], [b"1"] * (LIST_VALUES + 1)])
def test_a_list_has_bounds(connection: Connection, ids: list[bytes]) -> None:
    with pytest.raises(ValueError, match='"ids" is a list of'):
        FIND.all(connection, note="", ids=ids, before=9)


def test_it_belongs_to_the_transaction(tmp_path: Path) -> None:
    """What a prepared statement wrote is undone with the rest, and seen by Core before."""
    engine: Engine = open_engine(f"sqlite:///{tmp_path / 'undone.db'}")
    transact(engine, METADATA.create_all)

    def count(connection: Connection) -> int:
        return len(connection.execute(select(BED.c.seq)).all())

    def fails(connection: Connection) -> None:
        PUT.run(connection, id=b"1", note="")
        assert count(connection) == 1
        raise RuntimeError

    with pytest.raises(RuntimeError):
        transact(engine, fails)
    assert transact(engine, count) == 0
    engine.dispose()


def test_the_words_for_postgresql() -> None:
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
    put = hot_sql(dialect, insert(BED).values(id=bindparam("id"), note=bindparam("note")))
    assert put == "INSERT INTO bed (id, note) VALUES (%s, %s::VARCHAR)"
    take = hot_sql(dialect, select(BED.c.id).where(BED.c.note == "100%", BED.c.seq > bindparam("after")))
    assert take.names == ("after",)
    assert "note = '100%%' AND bed.seq > %s" in take


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        (insert(BED).values(at=bindparam("at")), TypeError),
        (insert(BED).values(kind=bindparam("kind")), TypeError),
        (update(BED).values(state=3), ValueError),
        (select(BED.c.id).where(BED.c.id == b"constant"), ValueError),
    ],
)
def test_what_is_not_plain_is_refused(connection: Connection, statement: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="hot SQL"):
        PreparedSql(statement).names(connection)


def test_a_limit_on_sqlite_wants_an_offset() -> None:
    with pytest.raises(ValueError, match="both limit and offset"):
        hot_sql(SQLiteDialect_pysqlite(), select(BED.c.id).limit(bindparam("limit")))


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 700])
def test_many_rows_go_in_at_once_and_those_that_are_there_are_not_counted(
    connection: Connection, count: int
) -> None:
    """Whatever the driver makes of many rows: all values as they were, and the number of new ones."""
    rows = [(1 << 40 if n == 3 else n, b"\0%d" % n, f"جناح {n} 'a' \\", -n) for n in range(count)]
    rows[:1] = [(0, b"", "", 0)] if rows else []
    assert OPEN.run_many(connection, rows) == count
    assert OPEN.run_many(connection, [*rows, (9_999, b"new", "new", 1)]) == 1
    assert OPEN.run_many(connection, [(10_000 + n, b"same", "same", n) for n in range(5)]) == 1
    found = [row for row in WARDS.all(connection) if row[2] not in {"new", "same"}]
    assert found == sorted(rows)


def test_so_many_rows_go_into_one_statement_that_the_server_can_take_it(connection: Connection) -> None:
    """One value of PostgreSQL's has 1 GiB at most, and each statement's values are in memory twice over."""
    if connection.dialect.name != "postgresql":
        pytest.skip("SQLite gets 16 rows at a time")
    connection.exec_driver_sql("CREATE TABLE statements (rows BIGINT)")
    connection.exec_driver_sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO statements SELECT count(*) FROM new; RETURN NULL; END'"
    )
    connection.exec_driver_sql(
        "CREATE TRIGGER note AFTER INSERT ON ward REFERENCING NEW TABLE AS new EXECUTE FUNCTION note()"
    )
    rows = [(n, b"%d" % n, "", n) for n in range(2 * ARRAY_ROWS + 1)]
    assert OPEN.run_many(connection, rows) == len(rows)
    taken = connection.exec_driver_sql("SELECT rows FROM statements").scalars().all()
    assert taken == [ARRAY_ROWS, ARRAY_ROWS, 1]
    assert WARDS.all(connection) == rows
