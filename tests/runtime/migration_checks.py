"""What every package with migrations has to pass; called from the tests of the hub and of the nodes."""

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData

from runtime.database import open_engine, transact
from runtime.migrations import VERSION_TABLE, current, head, script_directory, upgrade


def check_migrations(package: str, metadata: MetaData, directory: Path) -> None:
    """Check the promises of :mod:`runtime.migrations` for ``package``; ``directory`` is empty and writable.

    The HEAD constant is Alembic's head; revisions are one line without branches, named after their files;
    and a database migrated from nothing is the one that ``metadata.create_all`` makes, to the last
    constraint.
    """
    script = script_directory(package)
    assert script.get_heads() == [head(package)]
    for revision in script.walk_revisions():
        assert Path(revision.path).name.partition("_")[0] == revision.revision
    migrated = open_engine(f"sqlite:///{directory / 'migrated.db'}")
    fresh = open_engine(f"sqlite:///{directory / 'fresh.db'}")
    try:
        upgrade(migrated, package)
        assert current(migrated) == head(package)
        transact(fresh, metadata.create_all)
        with migrated.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []
        assert _schema(migrated) == _schema(fresh)
    finally:
        migrated.dispose()
        fresh.dispose()


def _schema(engine: Engine) -> dict[str, list[str]]:
    """Return each table's and index's definition, taken apart so that order and layout do not matter."""
    rows = transact(
        engine,
        lambda c: c.exec_driver_sql("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").all(),
    )
    return {name: _parts(sql) for name, sql in rows if name != VERSION_TABLE}


def _parts(sql: str) -> list[str]:
    """Split ``CREATE … (a, b, c) …`` at its outermost brackets and commas, and sort."""
    sql = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    parts, depth, start = [], 0, 0
    for place, character in enumerate(sql):
        depth += (character == "(") - (character == ")")
        opens, closes = character == "(" and depth == 1, character == ")" and depth == 0
        if opens or closes or (character == "," and depth == 1):
            parts.append(sql[start:place].strip())
            start = place + 1
    return sorted([*parts, sql[start:].strip()])
