"""What every package with migrations has to pass; called from the tests of the hub and of the nodes."""

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData

from runtime.database import open_engine, transact
from runtime.migrations import VERSION_TABLE, current, head, script_directory, upgrade
from tests.databases.urls import NewUrl


def check_migrations(package: str, metadata: MetaData, new_url: NewUrl) -> None:
    """Check the promises of :mod:`runtime.migrations` for ``package``; ``new_url`` makes empty databases.

    The HEAD constant is Alembic's head; revisions are one line without branches, named after their files;
    and a database migrated from nothing is the one that ``metadata.create_all`` makes, to the last
    constraint.
    """
    script = script_directory(package)
    assert script.get_heads() == [head(package)]
    for revision in script.walk_revisions():
        assert Path(revision.path).name.partition("_")[0] == revision.revision
    with new_url(name="migrated.db") as url, new_url(name="fresh.db") as other_url:
        _compare(package, metadata, open_engine(url), open_engine(other_url))


def _compare(package: str, metadata: MetaData, migrated: Engine, fresh: Engine) -> None:
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


_POSTGRESQL_SCHEMA = """
SELECT c.relname, array_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, pg_get_expr(d.adbin, d.adrelid)))
  || array(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid)
  || array(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY c.oid, c.relname
"""


def _schema(engine: Engine) -> dict[str, list[str]]:
    """Return each table's and index's definition, taken apart so that order and layout do not matter."""
    if engine.dialect.name == "postgresql":
        rows = transact(engine, lambda c: c.exec_driver_sql(_POSTGRESQL_SCHEMA).all())
        return {name: sorted(parts) for name, parts in rows if name != VERSION_TABLE}
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
