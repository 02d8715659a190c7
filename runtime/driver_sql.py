"""Statements of the hot path: written with SQLAlchemy, compiled once, executed as the driver's own text.

Building a statement costs more than executing it, and so does what SQLAlchemy does around each execution
(measured, one row looked up by its key: 155 µs built and executed by Core, 56 built once, 30 by
``exec_driver_sql``, 4 by the driver's own cursor). A :class:`PreparedSql` is written once, at import; it is
compiled when it first meets a kind of database, and executed on the driver's cursor, inside the transaction
that SQLAlchemy has begun. The same code serves SQLite (``?``) and PostgreSQL (``%s``).

An ``IN`` over a list (``bindparam("ids", expanding=True)``) is spelled out for lists of 1, 4, 16, 64, ...:
the last value is repeated until the list is as long, so that few texts are ever made. Rows to insert go
16, 4 or 1 to a statement (measured: a quarter less a row, and the driver lets other threads run
between any two statements, and under load waits for its turn again each time). PostgreSQL gets up to
``ARRAY_ROWS`` in one statement, as an array for each column (measured: 51 µs a row against 174 in sixteens
and 102 by ``executemany``, and of our own CPU 9 against 60 and 28).

Not done: conversion of values. The driver gets and gives what is in the row, so only columns whose values
mean the same on both sides are let through: integers, floats, strings, bytes; a boolean that is read is 0 or
1 on SQLite. Errors are the driver's own; :func:`runtime.transactions.translated` knows them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Float, Insert, Integer, LargeBinary, String, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ColumnClause
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import Enum, NullType

_PLAIN = (Integer, Float, String, LargeBinary, NullType)


Row = tuple[Any, ...]
ROWS_AT_ONCE: Final = 16
"""The most rows of one insertion, a power of 4 (measured: more gain nothing)."""
ARRAY_ROWS: Final = 1_024
"""The most rows that PostgreSQL gets at once: 64 MiB of the longest messages; a value of its has 1 GiB."""
LIST_VALUES: Final = 1_024
"""The longest list for an ``IN``; who has more asks more often."""
_ROW: Final = re.compile(r"^INSERT INTO .* VALUES (\((?:[^()]|\([^()]*\))*\))")
_LIST: Final = re.compile(r"__\[POSTCOMPILE_(\w+)\]")


class PreparedSql:
    """One statement; ``suffix`` is what Core has no words for, appended as it is."""

    __slots__ = ("_statement", "_suffix", "_texts")

    def __init__(self, statement: ClauseElement, suffix: str = "") -> None:
        self._statement, self._suffix = statement, suffix
        self._texts: dict[str, _Text] = {}

    def all(self, connection: Connection, **values: Any) -> list[Row]:
        """Return the rows found."""
        found: list[Row] = self._execute(connection, values).fetchall()
        return found

    def one(self, connection: Connection, **values: Any) -> Row | None:
        """Return the first row, None if there is none."""
        found: Row | None = self._execute(connection, values).fetchone()
        return found

    def run(self, connection: Connection, **values: Any) -> int:
        """Execute, and return how many rows it changed."""
        changed: int = self._execute(connection, values).rowcount
        return changed

    def run_many(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Execute for each row, values in the order of :meth:`names`; returns how many rows it changed."""
        text = self._text(connection)
        cursor: Any = connection.connection.cursor()
        if text.unnested is not None:
            changed = 0
            for begin in range(0, len(rows), ARRAY_ROWS):
                columns = zip(*rows[begin : begin + ARRAY_ROWS], strict=True)
                cursor.execute(text.unnested, list(map(list, columns)))
                changed += cursor.rowcount
            return changed
        if text.row is None:
            cursor.executemany(text.text, rows)
            return int(cursor.rowcount)
        changed, begin = 0, 0
        for count in _pieces(len(rows)):
            values = [value for row in rows[begin : begin + count] for value in row]
            cursor.execute(text.of_rows(count), values)
            changed += cursor.rowcount
            begin += count
        return changed

    def names(self, connection: Connection) -> tuple[str, ...]:
        """Return the parameters, in the order of a row."""
        return self._text(connection).names

    def _execute(self, connection: Connection, values: dict[str, Any]) -> Any:
        text = self._text(connection)
        cursor: Any = connection.connection.cursor()
        if text.lists:
            return cursor.execute(*text.with_lists(values))
        return cursor.execute(text.text, [values[name] for name in text.names])

    def _text(self, connection: Connection) -> "_Text":
        text = self._texts.get(connection.dialect.name)
        if text is None:
            text = _Text(hot_sql(connection.dialect, self._statement), self._suffix)
            text.unnested = _unnested(self._statement, connection.dialect, text.names, self._suffix)
            self._texts[connection.dialect.name] = text
        return text


class _Text:
    """A statement in one database's words."""

    __slots__ = ("_by_count", "_mark", "lists", "names", "row", "text", "unnested")

    def __init__(self, compiled: "DriverText", suffix: str) -> None:
        self.text = str(compiled) + suffix
        self.names = compiled.names
        self.lists = frozenset(_LIST.findall(self.text))
        self._mark = compiled.mark
        found = _ROW.search(self.text)
        self.row = None if found is None else found[1]
        self._by_count: dict[int, str] = {}
        self.unnested: str | None = None

    def of_rows(self, count: int) -> str:
        """Return an insertion's text for so many rows."""
        text = self._by_count.get(count)
        if text is None:
            assert self.row is not None
            text = self.text.replace(self.row, ", ".join([self.row] * count), 1)
            self._by_count[count] = text
        return text

    def with_lists(self, values: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return the text with its lists spelled out, and the row."""
        row: list[Any] = []
        lengths: dict[str, int] = {}
        for name in self.names:
            if name in self.lists:
                padded = _padded(name, values[name])
                lengths[name] = len(padded)
                row += padded
            else:
                row.append(values[name])
        text = _LIST.sub(lambda found: ", ".join([self._mark] * lengths[found[1]]), self.text)
        return text, row


def _pieces(rows: int) -> Iterator[int]:
    """Yield how many rows go into each statement."""
    count = ROWS_AT_ONCE
    while rows:
        while count > rows:
            count //= 4
        yield count
        rows -= count


def _unnested(statement: ClauseElement, dialect: Dialect, names: tuple[str, ...], suffix: str) -> str | None:
    """Return PostgreSQL's text that inserts an array for each column; None where that is not possible.

    It wants all columns, none of them null (an array of nulls has no type), and no row twice over for a
    ``DO UPDATE``.
    """
    if dialect.name != "postgresql" or not isinstance(statement, Insert) or "DO UPDATE" in suffix:
        return None
    columns = list(statement.table.columns)
    if names != tuple(column.name for column in columns) or any(column.nullable for column in columns):
        return None
    quote = dialect.identifier_preparer.quote
    arrays = ", ".join(f"%b::{column.type.compile(dialect)}[]" for column in columns)
    into = ", ".join(quote(column.name) for column in columns)
    return f"INSERT INTO {quote(statement.table.name)} ({into}) SELECT * FROM unnest({arrays}){suffix}"  # noqa: S608 - names of our own tables


def _padded(name: str, values: Sequence[Any]) -> list[Any]:
    if not 1 <= len(values) <= LIST_VALUES:
        raise ValueError(f'"{name}" is a list of {len(values)} values, 1 to {LIST_VALUES} are possible')
    length = 1
    while length < len(values):
        length *= 4
    return [*values, *[values[-1]] * (length - len(values))]


class DriverText(str):
    """SQL in the driver's paramstyle (``mark``); ``names`` are its parameters, in the order of a row."""

    __slots__ = ("mark", "names")
    names: tuple[str, ...]
    mark: str

    def __new__(cls, text: str, names: tuple[str, ...], mark: str) -> "DriverText":  # noqa: PYI034 - str cannot be subclassed further
        """Make the text of one statement."""
        made = super().__new__(cls, text)
        made.names = names
        made.mark = mark
        return made


def hot_sql(engine: Engine | Dialect, statement: ClauseElement) -> DriverText:
    """Compile a Core statement for the driver of ``engine``.

    Integer and text constants of the statement become literals; every ``bindparam("name")`` and every
    inserted column becomes a positional parameter. Raises TypeError for a type that needs conversion,
    ValueError for a constant of another type, and for a ``limit`` on SQLite without an ``offset``.
    """
    dialect = engine.dialect if isinstance(engine, Engine) else engine
    if dialect.paramstyle not in {"qmark", "format"}:
        dialect = type(dialect)(paramstyle="format")  # type: ignore[call-arg]  # every dialect's constructor takes it
    if isinstance(statement, Insert):
        statement = statement.inline()  # a list of rows answers with no generated keys
    with_literals = visitors.replacement_traverse(statement, {}, _as_literal)
    assert isinstance(with_literals, ClauseElement)
    compiled = with_literals.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    names = tuple(compiled.positiontup or ())
    for name in names:
        bind = compiled.binds[name]
        if compiled.params.get(name) is not None:
            raise ValueError(
                f'parameter "{name}" of hot SQL has a value: write a bindparam or'
                f" literal_column, and both limit and offset\n{compiled}"
            )
        if not isinstance(bind.type, _PLAIN) or isinstance(bind.type, Enum):
            raise TypeError(
                f'parameter "{name}" of hot SQL is {bind.type!r}, which needs conversion\n{compiled}'
            )
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    return DriverText(str(compiled), names, mark)


def _as_literal(element: object, **_options: object) -> ColumnClause[Any] | None:
    """Return an integer or text constant of the statement as literal SQL; None leaves the element alone."""
    if not isinstance(element, BindParameter) or element.required or isinstance(element.type, Enum):
        return None
    if isinstance(element.type, Integer) and type(element.value) is int:
        return literal_column(str(element.value), element.type)
    if isinstance(element.type, String) and type(element.value) is str:
        return literal_column("'" + element.value.replace("'", "''") + "'", element.type)
    return None
