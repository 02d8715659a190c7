"""Statements of the hot path: written with SQLAlchemy, compiled once, executed as the driver's own text.

Building and compiling a statement costs more than executing it (measured: 16-22 µs a row by Core, 12-18 by
prepared text). :func:`hot_sql` compiles at start; the hot path then calls
``connection.exec_driver_sql(text, rows)`` with positional rows in the order of ``text.names``. The same code
serves SQLite (``?``) and PostgreSQL (``%s``).

Not done: conversion of values. The driver gets and gives what is in the row, so only columns whose values
mean the same on both sides are let through: integers, floats, strings, bytes.
"""

from typing import Any

from sqlalchemy import Engine, Float, Insert, Integer, LargeBinary, String, literal_column
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ColumnClause
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import Enum, NullType

_PLAIN = (Integer, Float, String, LargeBinary, NullType)


class DriverText(str):
    """SQL in the driver's own paramstyle; :attr:`names` are its parameters, in the order of a row."""

    __slots__ = ("names",)
    names: tuple[str, ...]

    def __new__(cls, text: str, names: tuple[str, ...]) -> "DriverText":  # noqa: PYI034 - str cannot be subclassed further
        """Make the text of one statement."""
        made = super().__new__(cls, text)
        made.names = names
        return made


def hot_sql(engine: Engine | Dialect, statement: ClauseElement) -> DriverText:
    """Compile a Core statement for the driver of ``engine``.

    Integer and text constants of the statement become literals; every ``bindparam("name")`` and every
    inserted column becomes a positional parameter. Raises TypeError for a type that needs conversion,
    ValueError for an constant of another type, an ``IN`` over a list, a ``limit`` on SQLite without an
    ``offset``.
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
        if compiled.params.get(name) is not None or bind.expanding:
            raise ValueError(
                f'parameter "{name}" of hot SQL has a value or is a list: write a bindparam or'
                f" literal_column, and both limit and offset\n{compiled}"
            )
        if not isinstance(bind.type, _PLAIN) or isinstance(bind.type, Enum):
            raise TypeError(
                f'parameter "{name}" of hot SQL is {bind.type!r}, which needs conversion\n{compiled}'
            )
    return DriverText(str(compiled), names)


def _as_literal(element: object, **_options: object) -> ColumnClause[Any] | None:
    """Return an integer or text constant of the statement as literal SQL; None leaves the element alone."""
    if not isinstance(element, BindParameter) or element.required or isinstance(element.type, Enum):
        return None
    if isinstance(element.type, Integer) and type(element.value) is int:
        return literal_column(str(element.value), element.type)
    if isinstance(element.type, String) and type(element.value) is str:
        return literal_column("'" + element.value.replace("'", "''") + "'", element.type)
    return None
