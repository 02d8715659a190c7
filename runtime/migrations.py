"""Schemas that move forward: numbered migrations in each daemon's package, run by Alembic, no ini file.

A package that owns tables has a subpackage ``migrations``::

    hub/migrations/__init__.py             HEAD = "0002": the revision that this code was written for
    hub/migrations/versions/0001_first.py  an Alembic revision whose id is the number before the underscore
    hub/migrations/versions/0002_….py

Every start, of a daemon or of a command that opens the database, calls :func:`upgrade`. If the schema is that
of the code, it reads one row and imports no Alembic. A database that is newer than the code is refused: the
older program would write what the newer one no longer understands. One that is older is brought up: all
missing steps in one transaction, so a crash in the middle leaves the old schema, whole.

Not promised: a way back. Downgrades are restores of a backup.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect

from runtime import transactions
from runtime.storage_errors import StorageError

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
    _require_known(engine, package, found := current(engine))
    if found == head(package):
        return
    with transactions.translated(engine), _without_foreign_keys(engine) as connection, connection.begin():
        found = _current(connection)  # another process may have been faster
        _require_known(engine, package, found)
        if found != head(package):
            _run(connection, package)
            _check_foreign_keys(connection)


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


def _require_known(engine: Engine, package: str, found: str | None) -> None:
    known = {path.name.partition("_")[0] for path in (_directory(package) / "versions").glob("*_*.py")}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f'{_name(engine)} has schema "{found}", this version of {package} knows up to "{head(package)}":'
            f" install the version of {package} that wrote it, or restore the backup made before that upgrade"
        )


def _run(connection: Connection, package: str) -> None:
    from alembic.config import Config  # noqa: PLC0415 - as above
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - as above

    script = script_directory(package)

    def steps(revision: Any, _context: object) -> Any:
        return script._upgrade_revs(head(package), revision)  # noqa: SLF001 - the documented commands need an env.py

    with EnvironmentContext(Config(), script, fn=steps) as environment:
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
