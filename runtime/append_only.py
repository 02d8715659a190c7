"""Audit logs that only grow: the database itself refuses to change or remove an entry.

A fresh database gets this with its tables, here; one that is older got the same statements by its migration.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import DDL, Table, event

_GUARDS: Final = {
    "sqlite": (
        (
            "CREATE TRIGGER {0}_never_changed BEFORE UPDATE ON {0}"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        ),
        (
            "CREATE TRIGGER {0}_never_removed BEFORE DELETE ON {0}"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION {0}_append_only() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER {0}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {0}"
            " FOR EACH STATEMENT EXECUTE FUNCTION {0}_append_only()"
        ),
    ),
}


def guard(table: Table) -> None:
    """Let ``table`` be guarded wherever it is created."""
    for dialect, statements in _GUARDS.items():
        for statement in statements:
            made = DDL(statement.format(table.name))  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare
            event.listen(table, "after_create", made.execute_if(dialect=dialect))
