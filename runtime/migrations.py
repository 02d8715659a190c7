"""Schemas that move forward: numbered migrations in each daemon's package, run by Alembic, no ini file.

A package that owns tables has a subpackage ``migrations``::

    hub/migrations/__init__.py             HEAD = "0002": the revision that this code was written for
    hub/migrations/versions/0001_first.py  an Alembic revision whose id is the number before the underscore
    hub/migrations/versions/0002_….py

Every start, of a daemon or of a command that opens the database, calls :func:`upgrade`. If the schema is that
of the code, it reads one row and imports no Alembic. A database that is newer than the code is refused: the
older program would write what the newer one no longer understands. One that is older is brought up: all
missing steps in one transaction, so a crash in the middle leaves the old schema, whole.

Whoever moves a schema forward leaves its program's version in the database (SQLite's ``user_version``, a
comment on PostgreSQL's table), so that an older program can name the version that is wanted.

Not promised: a way back. Downgrades are restores of a backup.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, MetaData, inspect, select
from sqlalchemy.exc import DBAPIError, ProgrammingError

from runtime import transactions
from runtime.storage_errors import DatabaseCorrupt, StorageError
from runtime.version import VERSION

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

VERSION_TABLE = "alembic_version"
"""Alembic's own table: one row, the revision of the schema."""


class SchemaTooNew(StorageError):  # noqa: N818 - it names a state, as a caller reads it
    """The database was written by a newer version of the program."""


def head(package: str) -> str:
    """Return the revision that the code of ``package`` (``"hub"``) was written for."""
    value = importlib.import_module(f"{package}.migrations").HEAD
    assert isinstance(value, str)
    return value


def current(engine: Engine) -> str | None:
    """Return the revision of the database, None if no migration ever ran; raises StorageError."""
    return transactions.read(engine, _current)


def upgrade(engine: Engine, package: str) -> None:
    """Bring the database to :func:`head` in one transaction; does nothing if it is there.

    Two processes may call it at once: the second waits for the first, then finds nothing to do. Raises
    SchemaTooNew, or another StorageError; nothing is changed then.
    """
    require_known(engine, package, found := current(engine))
    if found == head(package):
        return
    with transactions.translated(engine), _without_foreign_keys(engine) as connection, connection.begin():
        found = _current(connection)  # another process may have been faster
        require_known(engine, package, found)
        if found != head(package):
            _run(connection, package)
            _leave_version(connection)
            _check_foreign_keys(connection)


def require_tables(engine: Engine, metadata: MetaData) -> None:
    """Raise DatabaseCorrupt unless the database has every table and column of ``metadata``.

    A bit that turned in the schema's own page may leave a database that opens and lacks a column: without
    this look, each statement that names it would fail one day, and not as what it is.
    """
    with transactions.translated(engine), engine.connect() as connection:
        for table in metadata.sorted_tables:
            try:
                connection.execute(select(table).limit(0))
            except DBAPIError as error:
                if engine.dialect.name != "sqlite" and not isinstance(error, ProgrammingError):
                    raise
                said = f"table {table.name} is not as migrations made it: {str(error.orig).splitlines()[0]}"
                raise DatabaseCorrupt(
                    f"{_name(engine)}: {said}; stop, keep a copy, and restore a backup"
                ) from error


def found_by(connection: Connection) -> str | None:
    """Return the revision of the database as a transaction sees it; None if no migration ever ran."""
    return _current(connection)


def script_directory(package: str) -> "ScriptDirectory":
    """Return Alembic's view of the package's migrations."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - 150 ms that a start without migrations saves

    return ScriptDirectory(_directory(package))


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar_one_or_none()  # noqa: S608 - a constant
    assert found is None or isinstance(found, str)
    return found


def require_known(engine: Engine, package: str, found: str | None) -> None:
    """Raise SchemaTooNew if this program has no step called ``found``, the database's revision."""
    known = {path.name.partition("_")[0] for path in (_directory(package) / "versions").glob("*_*.py")}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f'{_name(engine)} has schema "{found}", this version of {package} knows up to "{head(package)}":'
            f" install {_wanted(engine)}, or restore the backup made before that upgrade"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that is still to come."""

    revision: str
    text: str
    """The first line of its docstring."""


def steps(package: str, found: str | None) -> list[Step]:
    """Return what :func:`upgrade` would do to a database of revision ``found``, in order."""
    script = script_directory(package)
    missing = list(script.iterate_revisions(head(package), found or "base"))
    return [Step(one.revision, (one.doc or "").splitlines()[0]) for one in reversed(missing)]


def _wanted(engine: Engine) -> str:
    version = transactions.read(engine, left_version)
    return f"wasl {version} or newer" if version else "the version of wasl that wrote it"


def left_version(connection: Connection) -> str:
    """Return the version of the program that brought the schema where it is; empty if it said nothing."""
    if connection.dialect.name == "sqlite":
        number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        return (
            ".".join(map(str, (number // 10**6, number // 1_000 % 1_000, number % 1_000))) if number else ""
        )
    query = f"SELECT obj_description('{VERSION_TABLE}'::regclass)"
    return (connection.exec_driver_sql(query).scalar_one() or "").removeprefix("wasl ")


def _leave_version(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        major, minor, patch = map(int, VERSION.split("."))
        connection.exec_driver_sql(f"PRAGMA user_version = {major * 10**6 + minor * 1_000 + patch}")
    else:
        connection.exec_driver_sql(f"COMMENT ON TABLE {VERSION_TABLE} IS 'wasl {VERSION}'")


def _run(connection: Connection, package: str) -> None:
    from alembic.config import Config  # noqa: PLC0415 - as above
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - as above

    script = script_directory(package)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a large table takes its time

    def missing(revision: Any, _context: object) -> Any:
        return script._upgrade_revs(head(package), revision)  # noqa: SLF001 - the documented commands need an env.py

    with EnvironmentContext(Config(), script, fn=missing) as environment:
        environment.configure(connection=connection, render_as_batch=True)
        environment.run_migrations()


@contextmanager
def _without_foreign_keys(engine: Engine) -> Iterator[Connection]:
    """Give a connection on which SQLite can rebuild a table that others refer to, without cascading deletes.

    The switch works outside transactions only, so it stands around the whole; it is checked at the end
    instead.
    """
    with engine.connect() as connection:
        on_sqlite = engine.dialect.name == "sqlite"
        cursor = connection.connection.cursor()
        if on_sqlite:
            cursor.execute("PRAGMA foreign_keys=OFF")
        try:
            yield connection
        finally:
            if on_sqlite:
                cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise StorageError(
                f"the migration would leave row {broken[1]} of table {broken[0]} without its {broken[2]};"
                " nothing was changed, report this"
            )


def _directory(package: str) -> Path:
    file = importlib.import_module(f"{package}.migrations").__file__
    assert file is not None
    return Path(file).parent


def _name(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
