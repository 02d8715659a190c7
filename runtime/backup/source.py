"""What of a home goes into a backup, all of one moment, while the daemon works.

The database is of the moment in which a reading transaction began: SQLite's writers and checkpoints go on
beside it, and its pages are copied in slices through that same transaction, so no writer waits and nothing
begins again. (A backup *without* such a transaction begins again at every commit of another process.)

Files are the difficult part. Those that the database names (attachments) never change once they are named,
but they vanish: a delivered attachment is deleted while we copy. Those that it does not name yet are half
written. So only named ones are taken, and they are *held*: in the very moment each gets a second name (a
hard link) in a directory of ours, before a page is copied; the daemon may delete its own name then. If one
vanished between the moment and the link, the moment is taken again: in the next one nothing names it any
more. One that is named again and again and is not there was lost before, and is told, not hidden. A moment is
taken again as well if PostgreSQL went away in it; what is held by then stays held.

Everything else in the home (settings, keys, identity, tokens) is small and replaced as a whole by whoever
writes it; it is copied in the same moment. Not taken: locks, sockets, temporary files, SQLite's own side
files, earlier backups, and what a daemon says it can do without (:attr:`Kept.left_out`).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, inspect

from crypto.keys import LinkPrivateKey
from runtime import migrations, transactions
from runtime.backup.archive import BackupError
from runtime.home import LOCK_NAME

STAGING: Final = ".backup-"
"""What a directory of ours begins with; one that is left over is removed by the next backup."""
BACKUPS: Final = "backups"
"""Where backups go that were not told where; never backed up themselves."""
REPORT: Final = "backup.json"
LOCK: Final = "backup.lock"
PAGES_PER_SLICE: Final = 256
REST_S: Final = 0.001
"""Between two slices of a SQLite database, so that the disk is not only ours."""
BETWEEN_MOMENTS_S: Final = 0.05
MOMENTS: Final = 25
"""Attempts at a moment in which everything that is named is there."""
LOST_AFTER: Final = 3
"""Moments in which a file was named and missing, until it counts as lost before."""
POSTGRES_DUMP: Final = "database.pgdump"
_SKIPPED_NAMES: Final = frozenset({LOCK_NAME, LOCK, REPORT, BACKUPS, "poke"})
_SKIPPED_ENDS: Final = ("-wal", "-shm", "-journal", ".tmp", ".part")


@dataclass(frozen=True, slots=True)
class Kept:
    """A home as backups see it; made by each daemon for its own."""

    what: str
    """``hub`` or ``node``."""
    name: str
    home: Path
    link: LinkPrivateKey
    software: str
    engine: Engine
    package: str
    """Whose migrations (:mod:`runtime.migrations`)."""
    named: Callable[[Connection], set[str]]
    """Paths in the backup of all files that the database names."""
    place: Callable[[str], Path]
    """Where such a file lies."""
    staging: Path
    """A directory on the file system of those files."""
    secrets: Mapping[str, Path] = field(default_factory=dict)
    """Files of the home that lie elsewhere (keys that systemd hands over), by their path in the home."""
    left_out: frozenset[str] = frozenset()
    """First parts of paths in the home that are not copied, besides what is named."""


@dataclass(slots=True)
class Moment:
    """What was taken, ready to be written: path in the backup, and where its bytes lie meanwhile."""

    directory: Path
    database: str = ""
    schema: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Named by the database and not there."""
    held: int = 0


def remove_leftovers(kept: Kept) -> None:
    """Remove what earlier backups left that were cut off; the caller holds the backup lock."""
    for place in {kept.staging, kept.home}:
        for path in place.glob(f"{STAGING}*"):
            shutil.rmtree(path, ignore_errors=True)


def take(kept: Kept, directory: Path) -> Moment:
    """Take a moment of the home into ``directory`` (new, on the files' system). Blocking.

    Raises StorageError, OSError, :class:`BackupError` (no such moment; no tool for this database).
    """
    directory.mkdir(mode=0o700)
    moment = Moment(directory)
    missing: dict[str, int] = {}

    def attempt(connection: Connection) -> bool:
        _unbound(connection)
        named = kept.named(connection)
        gone = {path for path in named - moment.files.keys() if not _hold(kept, moment, path)}
        counted = {path: missing.get(path, 0) + 1 for path in gone}
        missing.clear()
        missing.update(counted)
        if any(times < LOST_AFTER for times in missing.values()):
            return False
        moment.lost = gone
        moment.files = {path: held for path, held in moment.files.items() if path in named}
        _take_home(kept, moment)
        _take_database(kept, moment, connection)
        return True

    for _ in range(MOMENTS):
        if transactions.read(kept.engine, attempt):
            return moment
        time.sleep(BETWEEN_MOMENTS_S)
    raise BackupError(
        f"no moment was found in {MOMENTS} attempts in which all attachments that wait were there: try again"
        " when less is going on"
    )


def _unbound(connection: Connection) -> None:
    """Let this transaction last: it is idle while files are held and while pg_dump runs."""
    if connection.dialect.name == "postgresql":
        for bound in ("idle_in_transaction_session_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {bound} = 0")


def _hold(kept: Kept, moment: Moment, path: str) -> bool:
    """Give a named file a second name; False if it is not there."""
    held = moment.directory / f"f{moment.held}"
    source = kept.place(path)
    try:
        try:
            held.hardlink_to(source)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
                raise
            shutil.copyfile(source, held)
    except FileNotFoundError:
        return False
    moment.held += 1
    moment.files[path] = held
    return True


def _take_home(kept: Kept, moment: Moment) -> None:
    """Copy the small files of the home; one that vanishes meanwhile was temporary."""
    copies = moment.directory / "home"
    shutil.rmtree(copies, ignore_errors=True)  # of a moment that was lost with its database
    copies.mkdir(mode=0o700)
    small = {path.relative_to(kept.home).as_posix(): path for path in _small_files(kept)}
    for number, (name, path) in enumerate((small | dict(kept.secrets)).items()):
        copy = copies / str(number)
        try:
            shutil.copyfile(path, copy, follow_symlinks=False)
        except FileNotFoundError:
            continue
        moment.files[name] = copy


def _small_files(kept: Kept) -> Iterator[Path]:
    own = kept.engine.url.database if kept.engine.dialect.name == "sqlite" else None
    for root, directories, names in os.walk(kept.home):
        place = Path(root)
        if place == kept.home:
            directories[:] = [
                one for one in directories
                if one not in _SKIPPED_NAMES | kept.left_out and not one.startswith(STAGING)
            ]  # fmt: skip
        for name in sorted(names):
            path = place / name
            if name in _SKIPPED_NAMES or name.endswith(_SKIPPED_ENDS) or (own and path == Path(own)):
                continue
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except FileNotFoundError:
                continue


# ── the database ───────────────────────────────────────────────────────────────────────────


def count_rows(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    names = sorted(inspect(connection).get_table_names())
    quote = connection.dialect.identifier_preparer.quote
    return {
        name: connection.exec_driver_sql(f"SELECT count(*) FROM {quote(name)}").scalar_one()  # noqa: S608 - a name of the schema, quoted
        for name in names
    }


def _take_database(kept: Kept, moment: Moment, connection: Connection) -> None:
    moment.schema = migrations.found_by(connection) or ""
    if connection.dialect.name == "sqlite":
        assert kept.engine.url.database is not None
        moment.database = Path(kept.engine.url.database).name
        copy = moment.directory / "database"
        copy.unlink(missing_ok=True)
        _copy_sqlite(connection, copy)
    else:
        moment.database = POSTGRES_DUMP
        copy = moment.directory / POSTGRES_DUMP
        _dump_postgresql(connection, copy)
    moment.rows = count_rows(connection)
    moment.files = {moment.database: copy} | moment.files


def _copy_sqlite(connection: Connection, copy: Path) -> None:
    source: Any = connection.connection.driver_connection
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=PAGES_PER_SLICE, progress=lambda *_: time.sleep(REST_S))
        target.execute("PRAGMA journal_mode=DELETE")


def _dump_postgresql(connection: Connection, copy: Path) -> None:
    """Run pg_dump in the very moment of our own transaction."""
    program = shutil.which("pg_dump")
    if program is None:
        raise BackupError(
            "this hub's tables are in PostgreSQL and there is no pg_dump here: install postgresql-client of"
            " the server's version (Debian: apt install postgresql-client), then repeat"
        )
    snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
    options = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={copy}")
    run_postgresql((program, *options), connection)


def run_postgresql(command: tuple[str, ...], connection: Connection) -> None:
    """Run a program of PostgreSQL's on the server and database of this connection."""
    info = connection.connection.driver_connection.info  # type: ignore[union-attr]  # psycopg's, on PostgreSQL
    environment = os.environ | {
        "PGHOST": info.host, "PGPORT": str(info.port), "PGUSER": info.user, "PGDATABASE": info.dbname,
        "PGPASSWORD": info.password,
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed program
    if done.returncode != 0:
        raise BackupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def restore_postgresql(engine: Engine, dump: Path) -> None:
    """Fill an empty database from a dump; raises :class:`BackupError` if it is not empty, or it fails."""
    program = shutil.which("pg_restore")
    if program is None:
        raise BackupError("there is no pg_restore here: apt install postgresql-client, then repeat")
    with engine.connect() as connection:
        if inspect(connection).get_table_names():
            where = engine.url.render_as_string()
            raise BackupError(
                f"{where} has tables already: a restore replaces nothing, name an empty database"
            )
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
        database = connection.connection.driver_connection.info.dbname  # type: ignore[union-attr]  # psycopg's
        run_postgresql((program, *options, f"--dbname={database}", str(dump)), connection)


def read_rows(engine: Engine) -> tuple[str, dict[str, int]]:
    """Return schema and row counts of a database."""
    return transactions.read(engine, lambda c: (migrations.found_by(c) or "", count_rows(c)))
