"""Migrations on a small package made here: forward in one step or not at all, and never backward."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Index, Integer, MetaData, String, Table, inspect
from sqlalchemy.exc import IntegrityError

from runtime.database import StorageError, open_engine, transact
from runtime.migrations import SchemaTooNew, current, head, require_tables, upgrade
from runtime.storage_errors import DatabaseCorrupt
from tests.databases.urls import NewUrl
from tests.runtime.migration_checks import check_migrations

FIRST = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0001"
    down_revision = None

    def upgrade():
        op.create_table("ward", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String))
        op.create_table(
            "bed",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("ward", sa.Integer, sa.ForeignKey("ward.id", ondelete="CASCADE"), nullable=False),
        )
        op.execute("INSERT INTO ward VALUES (1, 'maternity')")
        op.execute("INSERT INTO bed VALUES (7, 1)")
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op

    revision = "0002"
    down_revision = "0001"

    def upgrade():
        with op.batch_alter_table("ward") as ward:
            ward.alter_column("name", existing_type=sa.String(), nullable=False)
        op.add_column("bed", sa.Column("note", sa.String))
        op.create_index("bed_by_ward", "bed", ["ward"])
        {extra}
"""


class Package:
    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.root = directory
        self.migrations = directory / name / "migrations"
        (self.migrations / "versions").mkdir(parents=True)
        (directory / name / "__init__.py").write_text("")
        self.set_head("0001")
        self.add("0001_first.py", FIRST)

    def add(self, name: str, text: str) -> None:
        (self.migrations / "versions" / name).write_text(textwrap.dedent(text))

    def set_head(self, revision: str) -> None:
        (self.migrations / "__init__.py").write_text(f'HEAD = "{revision}"\n')
        for module in [m for m in sys.modules if m.startswith(self.name)]:
            del sys.modules[module]

    def add_second(self, extra: str = "pass") -> None:
        self.add("0002_names.py", SECOND.format(extra=extra))
        self.set_head("0002")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # versions of one second share a cached file
    made = Package(tmp_path, "clinic")
    yield made
    made.set_head("0000")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_engine(database_url)
    yield made
    made.dispose()


def schema(engine: Engine) -> list[tuple[str, str]]:
    found = transact(engine, lambda c: inspect(c).get_multi_columns())
    return sorted((str(name), str(columns)) for name, columns in found.items())


def tables() -> MetaData:
    metadata = MetaData()
    Table("ward", metadata, Column("id", Integer, primary_key=True), Column("name", String, nullable=False))
    bed = Table(
        "bed",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("note", String),
        Column("ward", Integer, ForeignKey("ward.id", ondelete="CASCADE"), nullable=False),
    )
    Index("bed_by_ward", bed.c.ward)
    return metadata


def test_upgrade_from_nothing_and_step_by_step(package: Package, engine: Engine) -> None:
    assert current(engine) is None
    upgrade(engine, "clinic")
    assert current(engine) == head("clinic") == "0001"
    package.add_second()
    upgrade(engine, "clinic")
    upgrade(engine, "clinic")
    assert current(engine) == head("clinic") == "0002"


def test_rebuilding_a_table_keeps_what_refers_to_it(package: Package, engine: Engine) -> None:
    upgrade(engine, "clinic")
    package.add_second()
    upgrade(engine, "clinic")
    assert transact(engine, lambda c: c.exec_driver_sql("SELECT id, ward FROM bed").all()) == [(7, 1)]
    with pytest.raises(IntegrityError):  # foreign keys are looked at again
        transact(engine, lambda c: c.exec_driver_sql("INSERT INTO bed (id, ward) VALUES (8, 77)"))


ORPHAN = 'op.execute("INSERT INTO bed (id, ward) VALUES (9, 99)")'


@pytest.mark.parametrize("extra", ["raise ZeroDivisionError", ORPHAN])
def test_a_failing_migration_changes_nothing(package: Package, engine: Engine, extra: str) -> None:
    upgrade(engine, "clinic")
    before = schema(engine)
    package.add_second(extra)
    with pytest.raises((ZeroDivisionError, StorageError, IntegrityError)):
        upgrade(engine, "clinic")
    after = schema(engine)
    assert (before, current(engine)) == (after, "0001")
    assert transact(engine, lambda c: c.exec_driver_sql("SELECT count(*) FROM ward").scalar_one()) == 1


@pytest.mark.parametrize("table", ["ward", "bed"])
def test_tables_that_are_not_the_schemas_are_named(package: Package, engine: Engine, table: str) -> None:
    package.add_second()
    upgrade(engine, "clinic")
    require_tables(engine, tables())
    column = "name" if table == "ward" else "note"
    transact(engine, lambda c: c.exec_driver_sql(f"ALTER TABLE {table} RENAME COLUMN {column} TO nbme"))
    with pytest.raises(DatabaseCorrupt, match=rf"table {table} is not.*restore a backup"):
        require_tables(engine, tables())


def test_a_newer_schema_is_refused(package: Package, engine: Engine) -> None:
    upgrade(engine, "clinic")
    transact(engine, lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'"))
    with pytest.raises(SchemaTooNew, match=r'schema "0009".*knows up to "0001".*restore the backup'):
        upgrade(engine, "clinic")
    assert current(engine) == "0009"


def test_a_normal_start_does_not_import_alembic(package: Package, engine: Engine) -> None:
    upgrade(engine, "clinic")
    code = (
        "import sys; from runtime.database import open_engine;"
        "from runtime.migrations import upgrade;"
        f"e = open_engine({str(engine.url)!r}); upgrade(e, 'clinic');"
        "sys.exit('alembic' in sys.modules)"
    )
    path = [str(package.root), str(Path(__file__).parents[2])]
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(path)})


def test_two_processes_upgrade_at_once(package: Package, engine: Engine) -> None:
    package.add_second("import time; time.sleep(0.5)")
    code = (
        "from runtime.database import open_engine; from runtime.migrations import upgrade;"
        f"e = open_engine({str(engine.url)!r}); upgrade(e, 'clinic')"
    )
    path = [str(package.root), str(Path(__file__).parents[2])]
    command = [sys.executable, "-W", "error", "-c", code]
    processes = [subprocess.Popen(command, env={"PYTHONPATH": ":".join(path)}) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert current(engine) == head("clinic")


def test_the_check_accepts_equal_schemas(package: Package, new_url: NewUrl) -> None:
    package.add_second()
    check_migrations("clinic", tables(), new_url)


ONE_CHECK_MORE = (
    'op.execute("DROP TABLE bed");'
    'op.execute("CREATE TABLE bed (id INTEGER NOT NULL, note VARCHAR, ward INTEGER NOT NULL, '
    'PRIMARY KEY (id), CHECK (id > 0), FOREIGN KEY(ward) REFERENCES ward (id) ON DELETE CASCADE)");'
    'op.create_index("bed_by_ward", "bed", ["ward"])'
)


@pytest.mark.parametrize(
    "extra",
    [
        'op.add_column("bed", sa.Column("colour", sa.String))',
        'op.create_index("beds", "bed", ["note"])',
        'op.create_table("kitchen", sa.Column("id", sa.Integer, primary_key=True))',
        ONE_CHECK_MORE,
    ],
)
def test_the_check_finds_differences(package: Package, new_url: NewUrl, extra: str) -> None:
    package.add_second(extra)
    with pytest.raises(AssertionError):
        check_migrations("clinic", tables(), new_url)


def test_the_check_finds_a_forgotten_head(package: Package, new_url: NewUrl) -> None:
    package.add_second()
    package.set_head("0001")
    with pytest.raises(AssertionError):
        check_migrations("clinic", tables(), new_url)
