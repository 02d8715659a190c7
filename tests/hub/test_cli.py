"""What people type at a hub: exit codes, shapes of JSON, words instead of tracebacks for damaged homes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from hub import home as hub_home
from hub.admin.queues import SILENT_MS
from hub.cli import COMMANDS, main
from hub.directory import service
from hub.home import DATABASE, KEYS, SETTINGS
from hub.spool import ageing
from hub.spool.ageing import Presence
from hub.spool.store import accept, news_for
from protocols.link.envelope import State
from protocols.link.joincode import decode_joincode
from runtime.cli import moment
from tests.hub.hubs import EPOCH_MS, ORAN, SUD, entry


def run(home: Path, *arguments: str) -> Result:
    """Run a command; whatever it raises but an exit is a traceback that a person would see."""
    result = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts(home: Path, *arguments: str) -> Any:
    result = run(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home as ``init`` makes it; only to be copied."""
    home = tmp_path_factory.mktemp("made") / "hub"
    assert run(home, "init", "--name", "alger").exit_code == 0
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return copytree(made, tmp_path / "hub")


def test_init_makes_a_home_for_this_user_only(home: Path) -> None:
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in home.iterdir()} == {0}
    assert facts(home, "check-config") == {"ok": True, "faults": []}


def test_init_never_replaces_a_hub(home: Path) -> None:
    before = (home / KEYS).read_bytes()
    result = run(home, "init")
    assert (result.exit_code, bool(result.stderr.strip())) == (1, True)
    assert (home / KEYS).read_bytes() == before


@pytest.mark.parametrize("gone", [(SETTINGS,), (SETTINGS, DATABASE), (SETTINGS, KEYS)])
def test_a_home_without_its_settings_is_never_made_anew(home: Path, gone: tuple[str, ...]) -> None:
    """A lost hub.toml is put back; ``init`` would make another authority, which no node believes."""
    for name in gone:
        (home / name).unlink()
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    for command in ("init", "facilities"):
        result = run(home, command)
        assert (result.exit_code, "hub.toml is missing: put it back" in result.stderr) == (1, True)
        assert "wasl-hub init" not in result.stderr
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


def test_an_empty_settings_file_brings_a_home_back(home: Path) -> None:
    (home / SETTINGS).unlink()
    (home / SETTINGS).touch()
    assert facts(home, "facilities") == []


@pytest.mark.parametrize("name", ["node.toml", "identity.json", "node.db", "incoming"])
def test_init_leaves_a_node_s_home_alone(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    for file in (KEYS, name):
        (tmp_path / file).write_bytes(b"the node's")
    result = run(tmp_path, "init")
    assert (result.exit_code, "a node's home" in result.stderr, name in result.stderr) == (1, True, True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        KEYS: b"the node's",
        name: b"the node's",
    }


def test_init_makes_no_hub_among_other_things(tmp_path: Path) -> None:
    """In a clone of this project ``hub`` is where its source lies; keys were once made beside that."""
    tmp_path.chmod(0o700)
    (tmp_path / "daemon.py").write_bytes(b"")
    result = run(tmp_path, "init")
    assert (result.exit_code, "holds something else (daemon.py)" in result.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["daemon.py"]
    (tmp_path / "daemon.py").rename(tmp_path / "lost+found")
    assert run(tmp_path, "init").exit_code == 0


def test_init_where_it_may_not_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for home in (tmp_path / "file" / "hub", Path("/proc/nowhere/hub")):
        result = run(home, "init")
        assert (result.exit_code, bool(result.stderr.strip())) == (1, True)


@pytest.mark.parametrize("option", [("--listen", "nonsense"), ("--http", "127.0.0.1:99999")])
def test_init_with_wrong_settings_ends_with_2_and_can_be_repeated(
    tmp_path: Path, option: tuple[str, str]
) -> None:
    assert run(tmp_path / "hub", "init", *option).exit_code == 2
    assert not (tmp_path / "hub").exists()
    assert run(tmp_path / "hub", "init").exit_code == 0


def test_invite_prints_a_code_that_reads(home: Path) -> None:
    value = facts(home, "invite", "chu-oran", "--mailbox", "labo", "--valid-for", "1h")
    assert set(value) == {"facility", "code", "expires"}
    code = decode_joincode(value["code"])
    assert (code.facility, code.hub_name) == ("chu-oran", "alger")
    plain = run(home, "invite", "chu-alger")
    assert decode_joincode(plain.stdout).facility == "chu-alger"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("invite", "BAD NAME"), 1),
        (("invite", "chu-x", "--mailbox", "BAD"), 1),
        (("invite", "group"), 1),
        (("invite", "chu-x", "--valid-for", "banana"), 2),
        (("suspend", "chu-mars"), 1),
        (("revoke", "chu-mars", "--reason", "stolen"), 1),
        (("group", "garde", "no-address"), 1),
        (("track", "nonsense"), 2),
        (("track", "00000000-0000-0000-0000-000000000000"), 1),
        (("invite",), 2),
        (("nonsense",), 2),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(home: Path, arguments: tuple[str, ...], code: int) -> None:
    result = run(home, *arguments)
    assert (result.exit_code, bool(result.stderr.strip()), result.stdout) == (code, True, "")


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", " ")])
@pytest.mark.parametrize("command", [("revoke",), ("reject", "--fingerprint", "any")])
def test_nobody_is_revoked_or_turned_down_without_a_reason(
    home: Path, command: tuple[str, ...], reason: tuple[str, ...]
) -> None:
    run(home, "invite", "chu-oran")
    result = run(home, command[0], "chu-oran", *command[1:], *reason)
    assert (result.exit_code, "--reason" in result.stderr, result.stdout) == (2, True, "")
    assert [one["action"] for one in facts(home, "audit", "list")] == ["facility.invited"]


def test_facilities_and_queue_have_their_shapes(home: Path) -> None:
    assert facts(home, "facilities") == []
    assert facts(home, "queue") == []
    run(home, "invite", "chu-oran", "--mailbox", "labo", "--title", "CHU d'Oran")
    (value,) = facts(home, "facilities")
    assert value["facility"] == "chu-oran"
    assert (value["title"], value["mailboxes"], value["state"]) == ("CHU d'Oran", ["labo"], "invited")
    assert (value["connected"], value["seen"]) == (False, None)
    assert "chu-oran" in run(home, "facilities").stdout


def test_a_suspended_facility_comes_back(home: Path) -> None:
    run(home, "invite", "chu-oran")
    assert run(home, "suspend", "chu-oran").exit_code == 0
    assert facts(home, "facilities")[0]["state"] == "suspended"
    again = run(home, "suspend", "chu-oran")
    assert (again.exit_code, "suspended already" in again.stderr) == (1, True)
    assert run(home, "resume", "chu-oran").exit_code == 0
    assert facts(home, "facilities")[0]["state"] == "invited"


def test_a_backup_replaces_nothing_and_says_what_is_wrong(home: Path, tmp_path: Path) -> None:
    keygen = CliRunner().invoke(main, ["backup", "keygen", "--out", str(tmp_path / "key")])
    public = keygen.stdout.strip()
    into = tmp_path / "hub.wasl-backup"
    assert run(home, "backup", "create", "--key", public, "--to", str(into)).exit_code == 0
    assert into.stat().st_mode & 0o777 == 0o600
    again = run(home, "backup", "create", "--key", public, "--to", str(into))
    assert (again.exit_code, "replaces nothing" in again.stderr) == (1, True)
    nowhere = run(home, "backup", "create", "--key", public, "--to", str(tmp_path / "no" / "where"))
    assert (nowhere.exit_code, bool(nowhere.stderr.strip())) == (1, True)
    private = run(home, "backup", "create", "--key", str(tmp_path / "key"))
    assert (private.exit_code, "private recovery key" in private.stderr) == (2, True)
    there = run(home, "backup", "restore", str(into), "--key", str(tmp_path / "key"))
    assert (there.exit_code, "exists" in there.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda home: (home / name).write_bytes(content)


def _directory(name: str) -> Callable[[Path], object]:
    def change(home: Path) -> None:
        (home / name).unlink()
        (home / name).mkdir()

    return change


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_write(DATABASE, b"no database at all, and long enough to be one" * 100), 1),
        (_directory(DATABASE), 1),
        (_write(SETTINGS, b"[hub\n"), 2),
        (_write(SETTINGS, b"\xff\xfe"), 2),
        (lambda home: (home / SETTINGS).unlink(), 1),
        (lambda home: home.chmod(0o755), 1),
    ],
)
def test_a_damaged_home_is_named_in_words(home: Path, damage: Callable[[Path], object], code: int) -> None:
    damage(home)
    for command in (("facilities",), ("queue",), ("invite", "chu-x")):
        result = run(home, *command)
        assert (result.exit_code, str(home) in result.stderr, result.stdout) == (code, True, "")


@pytest.mark.parametrize(
    "damage", [_write(KEYS, b"x"), _directory(KEYS), lambda home: (home / KEYS).unlink()]
)
def test_damaged_keys_are_named_in_words(home: Path, damage: Callable[[Path], object]) -> None:
    damage(home)
    result = run(home, "invite", "chu-x")
    assert (result.exit_code, str(home / KEYS) in result.stderr) == (1, True)
    assert facts(home, "facilities") == []


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "--home" in result.stdout or "Commands:" in result.stdout


def test_what_a_recipient_never_takes_is_given_up(home: Path) -> None:
    """Returned to its sender with a reason of its own; a recipient that is connected settles it itself."""
    engine = hub_home.open_database(home, hub_home.load_settings(home))
    gone = str(uuid.UUID(int=1))
    with engine.begin() as connection:
        ageing.note_presences(
            connection, [Presence("chu-oran", connected=True, software="node")], EPOCH_MS, 1
        )
        accept(connection, [entry(1, ORAN, SUD)], EPOCH_MS)
    refused = run(home, "give-up", gone)
    assert (refused.exit_code, "suspend" in refused.stderr) == (1, True)
    assert facts(home, "track", gone)["waiting"] == [ORAN]
    with engine.begin() as connection:
        ageing.note_presences(
            connection, [Presence("chu-oran", connected=False, software="node")], EPOCH_MS, 1
        )
    assert run(home, "give-up", gone, "--recipient", "labo@chu-mars").exit_code == 1
    done = run(home, "give-up", gone)
    assert (done.exit_code, "may have been delivered" in done.stderr) == (0, True)
    with engine.begin() as connection:
        told = [(one.recipient, one.state, one.code) for one in news_for(connection, "chu-alger", 0, 9)]
    engine.dispose()
    assert set(told) == {(ORAN, State.RETURNED, "given-up"), (SUD, State.RETURNED, "given-up")}
    assert facts(home, "track", gone)["waiting"] == []
    assert run(home, "give-up", gone).exit_code == 1


def test_what_was_just_sent_is_given_up_when_its_recipient_has_been_away_or_is_out(home: Path) -> None:
    """A node that left a moment ago may have taken it, and be back to say so."""
    engine = hub_home.open_database(home, hub_home.load_settings(home))
    assert run(home, "invite", "chu-oran").exit_code == 0
    now_ms = time.time_ns() // 1_000_000
    gone = str(uuid.UUID(int=1))

    def leave(at_ms: int, *, before: bool = False) -> None:
        with engine.begin() as connection:
            if before:
                accept(connection, [entry(1, ORAN, SUD)], EPOCH_MS)
            for connected in (True, False):
                one = Presence("chu-oran", connected=connected, software="node")
                ageing.note_presences(connection, [one], at_ms, 1)

    leave(now_ms, before=True)
    refused = run(home, "give-up", gone)
    assert (refused.exit_code, facts(home, "track", gone)["waiting"]) == (1, [ORAN]), "the other one goes"
    for said in (moment(now_ms), moment(now_ms + SILENT_MS), "suspended or revoked"):
        assert said in refused.stderr
    assert run(home, "suspend", "chu-oran").exit_code == 0
    assert run(home, "give-up", gone).exit_code == 0
    with engine.begin() as connection:
        accept(connection, [entry(2, ORAN)], EPOCH_MS)
    assert run(home, "resume", "chu-oran").exit_code == 0
    leave(now_ms - SILENT_MS)
    assert run(home, "give-up", str(uuid.UUID(int=2))).exit_code == 0
    engine.dispose()


def test_an_invitation_of_a_facility_that_has_joined_says_what_it_means(home: Path) -> None:
    assert "joined already" not in run(home, "invite", "chu-oran").stderr
    settings = hub_home.load_settings(home)
    engine = hub_home.open_database(home, settings)
    issuer = hub_home.issuer(settings, hub_home.load_keys(home))
    link, signing, sealing = (
        LinkPrivateKey.generate().public,
        SigningPrivateKey.generate().public,
        SealingPrivateKey.generate().public,
    )
    with engine.begin() as connection:
        service.certify(connection, issuer, "chu-oran", link, signing, sealing, EPOCH_MS)
    engine.dispose()
    result = run(home, "invite", "chu-oran", "--mailbox", "labo")
    assert (result.exit_code, "joined already" in result.stderr) == (0, True)
    assert "wasl-hub revoke chu-oran --reason WHY" in result.stderr
    run(home, "revoke", "chu-oran", "--reason", "stolen")
    assert "joined already" not in run(home, "invite", "chu-oran").stderr


def test_capitals_are_said_to_be_the_fault(home: Path) -> None:
    assert "'CHU-Oran' has capitals" in run(home, "invite", "CHU-Oran").stderr
