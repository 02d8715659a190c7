"""A hub's backup on either database: what comes out of it is the hub, and says that it went back in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, select

from hub import home as hub_home
from hub.admin.tables import ACCOUNTS
from hub.cli import main
from hub.keeping import kept_hub
from hub.spool import epoch
from hub.spool.tables import presence
from runtime.backup import source
from runtime.storage_errors import DatabaseLost
from runtime.transactions import read, transact
from runtime.web import accounts
from tests.databases.urls import NewUrl


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def begin(home: Path, url: str) -> None:
    """Make a hub at ``home`` with its tables at ``url``, if that is PostgreSQL's."""
    more = ["--database", url] if url.startswith("postgresql") else []
    assert run("init", "--home", home, "--name", "alger", *more).exit_code == 0


def test_a_restored_hub_is_the_hub_with_a_new_epoch(tmp_path: Path, new_url: NewUrl) -> None:
    home, new = tmp_path / "hub", tmp_path / "new"
    key, file = tmp_path / "key", tmp_path / "hub.wasl-backup"
    with new_url(name="first.db") as url, new_url(name="second.db") as other:
        postgresql = url.startswith("postgresql")
        begin(home, url)
        assert run("invite", "chu-oran", "--home", home).exit_code == 0
        session = accounts.Session("0" * 64, "amina", 1, 1, "127.0.0.1", "")
        with kept_hub(home) as (kept, _):
            transact(kept.engine, lambda c: accounts.put_session(c, ACCOUNTS, session))
        public = run("backup", "keygen", "--out", key).stdout.strip()
        made = run("backup", "create", "--home", home, "--key", public, "--to", file)
        assert made.exit_code == 0, made.stderr
        assert run("backup", "verify", file, "--key", key, "--work", tmp_path).exit_code == 0
        words: list[str | Path] = ["backup", "restore", file, "--key", key, "--home", new]
        if postgresql:
            refused = run(*words)
            assert (refused.exit_code, "has tables already" in refused.stderr) == (1, True)
            assert not new.exists()
            words += ["--database", other]
        restored = run(*words)
        assert restored.exit_code == 0, restored.stderr
        if postgresql:
            settings = (new / "hub.toml").read_text().replace(url, other)
            (new / "hub.toml").write_text(settings)
        assert (
            run("facilities", "--home", new, "--json").stdout
            == run("facilities", "--home", home, "--json").stdout
        )
        with kept_hub(home) as (before, _), kept_hub(new) as (after, _):
            assert read(before.engine, epoch.read) == epoch.Epoch()
            begun = read(after.engine, epoch.read)
            assert begun.at_ms >= begun.from_ms > 0
            assert read(after.engine, epoch.serial_floor) >= epoch.SERIAL_LEAP
            assert read(after.engine, lambda c: c.execute(select(presence)).all()) == []
            assert read(before.engine, lambda c: accounts.sessions(c, ACCOUNTS)) == [session]
            assert read(after.engine, lambda c: accounts.sessions(c, ACCOUNTS)) == []
        assert bytes(hub_home.load_keys(new).link.public) == bytes(hub_home.load_keys(home).link.public)


@pytest.mark.parametrize("at", ["_take_home", "_take_database"])
def test_a_database_that_was_lost_once_is_asked_again(
    tmp_path: Path, new_url: NewUrl, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """What the first attempt left, held files and copies, does no harm to the second."""
    home, key, file = tmp_path / "hub", tmp_path / "key", tmp_path / "hub.wasl-backup"
    lost = [DatabaseLost("the server went away")]
    real = getattr(source, at)

    def once(*given: Any) -> None:
        real(*given)
        if lost:
            raise lost.pop()

    with new_url(name="first.db") as url:
        begin(home, url)
        public = run("backup", "keygen", "--out", key).stdout.strip()
        monkeypatch.setattr(source, at, once)
        answer = run("backup", "create", "--home", home, "--key", public, "--to", file)
        assert (answer.exit_code, lost) == (0, []), answer.stderr
        verified = run("backup", "verify", file, "--key", key, "--work", tmp_path)
        assert verified.exit_code == 0, verified.stderr


def test_taking_hold_of_many_files_may_take_long(tmp_path: Path, new_url: NewUrl) -> None:
    """PostgreSQL ends a transaction that is idle for 20 s, and linking a hundred thousand files is idle."""
    home, bounds = tmp_path / "hub", ("idle_in_transaction_session_timeout", "statement_timeout")
    seen: list[str] = []

    def named(connection: Connection) -> set[str]:
        if connection.dialect.name == "postgresql":
            seen.extend(connection.exec_driver_sql(f"SHOW {bound}").scalar_one() for bound in bounds)
        return set()

    with new_url(name="first.db") as url:
        begin(home, url)
        with kept_hub(home) as (kept, _):
            moment = source.take(replace(kept, named=named), tmp_path / "moment")
            assert moment.rows
            after = read(kept.engine, named)
    assert after == set()
    assert seen == (["0", "0", "20s", "1min"] if url.startswith("postgresql") else [])
