"""``doctor`` and ``db`` on real homes: what is broken is named with its remedy, and nothing else is."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from typing import Any

from tests.integration.daemons import Daemon, command
from tests.integration.network import Network


def checks(daemon: Daemon) -> dict[str, Any]:
    """Return what doctor found, by check; every finding that is not ok says what to do."""
    ran = daemon.run("doctor", "--json")
    value = ran.json()
    assert (ran.code == 0) == value["ok"], ran
    for one in value["checks"]:
        assert bool(one["remedy"]) == (one["result"] != "ok"), one
    return {one["check"]: (one["result"], one["text"]) for one in value["checks"]}


def results(daemon: Daemon, wanted: str) -> set[str]:
    return {check for check, (result, _) in checks(daemon).items() if result == wanted}


def test_a_sound_network_has_nothing_to_mend_but_a_backup(network: Network) -> None:
    network.start()
    for daemon in network.daemons():
        assert results(daemon, "fail") == set()
        assert results(daemon, "warn") <= {"backup", "files"}
        assert checks(daemon)["daemon"][0] == "ok"
    alger = network.nodes["chu-alger"]
    assert alger.get("/readyz")[0] == 200, "the daemon's session was disturbed"
    network.close()
    for daemon in network.daemons():
        assert results(daemon, "warn") >= {"daemon", "backup"}
    assert checks(network.hub)["hub.listen"] == (
        "ok",
        f"127.0.0.1:{network.hub_port} is free; the daemon does not run",
    )
    assert results(alger, "fail") == {"hub"}


def test_what_is_broken_is_named(network: Network) -> None:
    """A foreign process on the port, another hub's keys, a full disk, a damaged database, a lost one."""
    hub, alger = network.hub, network.nodes["chu-alger"]
    with socket.create_server(("127.0.0.1", network.hub_port)):
        assert results(hub, "fail") == {"hub.listen"}
    network.configure_hub(floor="100TiB")
    assert results(hub, "fail") == {"disk"}
    network.configure_hub()
    other = network.root / "other"
    assert command("hub", "init", "--home", other).code == 0
    kept = (hub.home / "keys").read_bytes()
    (hub.home / "keys").write_bytes((other / "keys").read_bytes())
    assert results(hub, "fail") == {"keys"}
    (hub.home / "keys").write_bytes(kept)
    hub.change("UPDATE credentials SET not_after_ms = 1")
    assert results(hub, "warn") >= {"credentials"}
    (hub.home / "keys").chmod(0o644)
    assert "keys has mode 0644" in checks(hub)["files"][1]
    with (alger.home / "node.db").open("r+b") as file:
        file.seek(4096)
        file.write(bytes(8192))
    assert "database" in results(alger, "fail")
    (hub.home / "hub.db").unlink()
    assert results(hub, "fail") == {"database"}
    assert not (hub.home / "hub.db").exists(), "doctor changes nothing"
    (hub.home / "hub.toml").write_text("[hub]\nlisten = 3\n")
    assert list(checks(hub)) == ["settings"]


def test_a_node_that_is_not_let_in_hears_why(network: Network) -> None:
    network.hub.start()
    alger = network.nodes["chu-alger"]
    assert checks(alger)["hub"][0] == "ok"
    assert network.hub.run("suspend", "chu-alger").code == 0
    assert "suspended" in checks(alger)["hub"][1]


def test_a_dry_run_tells_the_steps_and_changes_nothing(network: Network) -> None:
    """An older database is upgraded as a copy; the real one stays as it was until db upgrade."""
    old = network.root / "old"
    shutil.copytree(network.hub.home, old)
    hub = Daemon("hub", old, "hub.db", 0)
    assert command("hub", "db", "status", "--home", old, "--json").json()["steps"] == []
    before = hub.rows("SELECT version_num FROM alembic_version")
    with closing(sqlite3.connect(old / "hub.db")) as tables, tables:
        tables.execute("DELETE FROM alembic_version")
        for (name,) in tables.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if not name.startswith("sqlite_"):
                tables.execute(f'DROP TABLE "{name}"')
    found = command("hub", "db", "upgrade", "--home", old, "--dry-run", "--json").json()
    assert (found["schema"], found["tried"]) == (None, True)
    assert found["steps"][0]["revision"] == "0001"
    assert any(line.startswith("CREATE TABLE spool") for line in found["sql"])
    assert hub.rows("SELECT count(*) FROM sqlite_schema WHERE name = 'spool'") == [(0,)]
    assert not list(old.glob(".hub.db.*"))
    assert command("hub", "db", "upgrade", "--home", old).code == 0
    assert hub.rows("SELECT version_num FROM alembic_version") == before


def test_a_newer_schema_is_refused_with_the_version_that_reads_it(network: Network) -> None:
    hub = network.hub
    hub.change("UPDATE alembic_version SET version_num = '0999'")
    hub.change("PRAGMA user_version = 1002003")
    for words in (("run",), ("facilities",), ("db", "status"), ("db", "upgrade", "--dry-run")):
        ran = command("hub", *words, "--home", hub.home)
        assert ran.code == 1, (words, ran)
        assert "install wasl 1.2.3 or newer" in ran.err, (words, ran)
    assert "schema" in results(hub, "fail")
