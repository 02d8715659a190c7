"""A hub's backup on either database: what comes out of it is the hub, and says that it went back in time."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from sqlalchemy import select

from hub import home as hub_home
from hub.admin.tables import ACCOUNTS
from hub.cli import main
from hub.keeping import kept_hub
from hub.spool import epoch
from hub.spool.tables import presence
from runtime.transactions import read, transact
from runtime.web import accounts
from tests.databases.urls import NewUrl


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_restored_hub_is_the_hub_with_a_new_epoch(tmp_path: Path, new_url: NewUrl) -> None:
    home, new = tmp_path / "hub", tmp_path / "new"
    key, file = tmp_path / "key", tmp_path / "hub.wasl-backup"
    with new_url(name="first.db") as url, new_url(name="second.db") as other:
        postgresql = url.startswith("postgresql")
        more = ["--database", url] if postgresql else []
        assert run("init", "--home", home, "--name", "alger", *more).exit_code == 0
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
