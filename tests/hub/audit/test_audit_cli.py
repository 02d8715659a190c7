"""What people type about the audit log."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner
from lxml import etree

from crypto import keystore
from hub import home as hub_home
from hub.audit import growth
from hub.cli import main
from runtime.database import open_engine, transact
from tests.hub.audit.logs import attack, deliver, take_in
from tests.hub.hubs import EPOCH_MS, message_id
from tests.hub.test_cli import facts, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with two invitations (entries 1, 2), a delivered message (3), and a checkpoint."""
    home = tmp_path_factory.mktemp("made") / "hub"
    assert run(home, "init", "--name", "alger").exit_code == 0
    for facility in ("chu-oran", "chu-alger"):
        assert run(home, "invite", facility).exit_code == 0
    engine = open_engine(f"sqlite:///{home / 'hub.db'}")
    key = hub_home.load_keys(home).audit
    assert key is not None
    transact(engine, lambda c: deliver(c, 1))
    transact(engine, take_in)
    transact(engine, lambda c: growth.seal(c, key, "alger", EPOCH_MS))
    engine.dispose()
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Return a copy of it."""
    return copytree(made, tmp_path / "hub")


def outside(*arguments: str) -> tuple[int, Any]:
    """Run a command that has no home."""
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def test_list(home: Path) -> None:
    listed = facts(home, "audit", "list")
    assert [(one["number"], one["action"], one["subject"]) for one in listed[1:]] == [
        (2, "facility.invited", "chu-alger"),
        (1, "facility.invited", "chu-oran"),
    ]
    assert [one["number"] for one in facts(home, "audit", "list", "--subject", "chu-oran")] == [1]
    assert [one["number"] for one in facts(home, "audit", "list", "--action", "messages")] == [3]
    assert facts(home, "audit", "list", "--from", "2100-01-01") == []
    assert run(home, "audit", "list", "--from", "monday").exit_code == 2


def test_verify(home: Path) -> None:
    found = facts(home, "audit", "verify")
    assert (found["valid"], found["entries"], found["signed"], found["rows"]) == (True, 3, 3, 2)
    attack(home / "hub.db", "UPDATE audit SET subject = 'chu-x' WHERE number = 1")
    result = run(home, "audit", "verify")
    assert result.exit_code == 1
    assert "WRONG  entry 1: its content is not what" in result.stdout


def test_prove_and_check_offline(home: Path, tmp_path: Path) -> None:
    keys = facts(home, "audit", "key")
    for identifier, name in (("1", "entry"), (message_id(1).hex(), "message")):
        file = tmp_path / name
        assert run(home, "audit", "prove", identifier, "--out", str(file)).exit_code == 0
        assert file.stat().st_mode & 0o077 == 0
        assert run(home, "audit", "prove", identifier, "--out", str(file)).exit_code == 1  # never replaced
        code, proved = outside("audit", "check", str(file), "--key", keys["audit_key"])
        assert (code, proved["valid"], proved["hub"]) == (0, True, "alger")
        code, proved = outside("audit", "check", str(file), "--key", keys["authority_key"])
        assert (code, proved["valid"]) == (1, False)
    assert run(home, "audit", "prove", "99").exit_code == 1
    assert run(home, "audit", "prove", "monday").exit_code == 2


def test_export_fhir(home: Path) -> None:
    result = run(home, "audit", "export", "--format", "fhir")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["id"] for event in events] == ["entry-1", "entry-2", "entry-3"]
    first = events[0]
    assert first["resourceType"] == "AuditEvent"
    assert (first["action"], first["outcome"]) == ("C", "0")
    assert first["agent"][0]["requestor"] is True
    assert first["recorded"].endswith("Z")
    assert {"type", "recorded", "agent", "source"} <= set(first)  # R4 requires these
    assert all(detail["valueString"] for event in events for detail in event["entity"][0]["detail"])


def test_export_atna(home: Path) -> None:
    result = run(home, "audit", "export", "--format", "atna", "--until", "2100-01-01")
    document = etree.fromstring(result.stdout.encode())
    assert [one.tag for one in document] == ["AuditMessage"] * 3
    assert [one.tag for one in document[0]] == [
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    assert document[0][0].get("EventDateTime", "").endswith("Z")
    assert document[0][1].get("UserID", "").startswith("cli:")


def test_an_export_is_itself_recorded(home: Path) -> None:
    run(home, "audit", "export", "--format", "fhir")
    assert facts(home, "audit", "list")[0]["action"] == "audit.exported"


def test_a_home_without_an_audit_key_gets_one(home: Path) -> None:
    file = keystore.parse((home / "keys").read_bytes())
    (home / "keys").write_bytes(keystore.encode({k: v for k, v in file.keys.items() if k != "audit"}))
    made = facts(home, "audit", "key")
    assert made["audit_key"] != bytes(file.keys["audit"].public).hex()
    assert facts(home, "audit", "key") == made
    assert hub_home.load_keys(home).authority == file.authority
