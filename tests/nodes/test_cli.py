"""What people type at a node: exit codes, shapes of JSON, words instead of tracebacks for damaged homes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, insert

from crypto.primitives import blake2b
from nodes.cli import COMMANDS, main
from nodes.cli.commands import WAITS
from nodes.cli.outcome import STATES
from nodes.home import DATABASE, SETTINGS, open_database, prepare_home
from nodes.link import inbox, tables
from nodes.link.identity import IDENTITY, KEYS, save_identity, save_keys
from nodes.link.ids import id_text, new_id
from protocols.link.envelope import State
from runtime import migrations
from runtime.database import transact
from runtime.home import write_private
from tests.nodes.fixtures import EPOCH_MS, HERE, Network, fill_directory

HL7 = b"MSH|^~\\&|labo|chu-alger|cardio|chu-oran|20260101||ADT^A01|42|P|2.5\rPID|1||X\r"
TO = "cardio@chu-oran"


class Node:
    """A joined node's home, and its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.network = Network()
        prepare_home(home, None)
        write_private(home / SETTINGS, b'[disk]\nfloor = "1MiB"\n')
        identity = self.network.identity(HERE)
        save_keys(home, identity.keys)
        save_identity(home, identity)
        engine = open_database(home)
        migrations.upgrade(engine, "nodes")
        transact(engine, partial(fill_directory, network=self.network))
        engine.dispose()

    def run(self, *arguments: str, home: Path | None = None) -> Result:
        """Run a command; whatever it raises but an exit is a traceback that a person would see."""
        result = CliRunner().invoke(main, [*arguments, "--home", str(home or self.home)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    def facts(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def send(self, *arguments: str) -> Any:
        return self.facts("send", "--to", TO, *arguments)

    def receive(self, body: bytes, files: dict[str, bytes] | None = None, **change: Any) -> str:
        identifier = change.get("id") or new_id(EPOCH_MS)
        row: dict[str, Any] = {
            "id": identifier, "sender": "labo@chu-oran", "recipient": f"labo@{HERE}", "digest": bytes(32),
            "kind": "ORU^R01", "priority": 0, "subject": "s", "patient": "p", "key": "", "body": body,
            "body_path": None, "created_ms": EPOCH_MS, "received_ms": EPOCH_MS, "state": int(State.DELIVERED),
            "handed_ms": None, "code": "", "receipt": b"r",
        } | change  # fmt: skip
        handed_on = {name: row[name] for name in ("sender", "recipient", "kind", "subject", "patient", "key")}
        digest = inbox.content_digest(identifier, body_digest=blake2b(body), **handed_on)
        row.setdefault("content_digest", digest)
        rows = []
        for position, (name, data) in enumerate((files or {}).items()):
            path = self.home / "incoming" / f"{identifier.hex()}-{position}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            rows.append(
                {
                    "position": position, "name": name, "media_type": "application/octet-stream",
                    "size": len(data), "digest": blake2b(data), "path": str(path.relative_to(self.home)),
                }
            )  # fmt: skip

        def operation(connection: Connection) -> None:
            key = connection.execute(insert(tables.inbox).values(row)).inserted_primary_key
            assert key is not None
            for one in rows:
                connection.execute(insert(tables.inbox_files).values(one | {"inbox_seq": key[0]}))

        self.write(operation)
        return id_text(identifier)

    def write(self, operation: Callable[[Connection], object]) -> None:
        engine = open_database(self.home)
        transact(engine, operation)
        engine.dispose()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "home")


@pytest.fixture
def hl7(tmp_path: Path) -> str:
    (tmp_path / "m.hl7").write_bytes(HL7)
    return str(tmp_path / "m.hl7")


# ── send, track, show ──────────────────────────────────────────────────────────────────────


def test_send_queues_and_says_that_nobody_runs(node: Node, hl7: str) -> None:
    result = node.run("send", "--to", TO, "--hl7", hl7, "--json")
    assert result.exit_code == 0
    value = json.loads(result.stdout)
    assert set(value) == {"id", "state"}
    assert value["state"] == "queued"
    assert "not running" in result.stderr


def test_send_with_wait_and_no_daemon_ends_with_3(node: Node, hl7: str) -> None:
    result = node.run("send", "--to", TO, "--hl7", hl7, "--wait", "delivered", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["state"] == "queued"


def test_the_same_id_again_is_the_same_message_and_another_content_ends_with_1(
    node: Node, hl7: str, tmp_path: Path
) -> None:
    first = node.send("--hl7", hl7, "--id", "k-1")
    assert node.send("--hl7", hl7, "--id", "k-1") == first
    other = tmp_path / "other.hl7"
    other.write_bytes(HL7 + b"PV1|1\r")
    result = node.run("send", "--to", TO, "--hl7", str(other), "--id", "k-1")
    assert (result.exit_code, "another content" in result.stderr) == (1, True)


def test_ctrl_c_just_after_the_commit_leaves_the_message_its_files(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan.bin").write_bytes(b"scan")

    def interrupted(*arguments: Any) -> None:
        transact(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nodes.cli.send.transact", interrupted)
        assert node.run("send", "--to", TO, "--file", str(tmp_path / "scan.bin")).exit_code == 1
    (mine,) = node.facts("sent")
    assert mine["state"] == "queued"
    (sealed,) = (node.home / "outgoing").iterdir()
    assert sealed.stat().st_size > 0


def test_track_has_the_shape_that_scripts_rely_on(node: Node, hl7: str) -> None:
    mine = node.send("--hl7", hl7)["id"]
    value = node.facts("track", mine)
    assert {"id", "state", "reason", "history"} <= set(value)
    assert (value["id"], value["state"], value["reason"]) == (mine, "queued", None)
    assert {"state", "at"} <= set(value["history"][0])
    assert value["history"][0]["at"].endswith("Z")
    assert [one["id"] for one in node.facts("sent")] == [mine]


def test_show_gives_back_what_was_sent(node: Node, hl7: str, tmp_path: Path) -> None:
    (tmp_path / "big.hl7").write_bytes(HL7 + b"NTE|1||" + b"x" * 100_000 + b"\r")
    for path in (hl7, str(tmp_path / "big.hl7")):
        mine = node.send("--hl7", path, "--subject", "عنوان")["id"]
        value = node.facts("show", mine)
        assert (value["body"].encode(), value["subject"]) == (Path(path).read_bytes(), "عنوان")
        assert "PID|1||X" in node.run("show", mine).stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--to", TO), 2),
        (("--to", "nobody@chu-oran", "--hl7", "{hl7}"), 1),
        (("--to", "cardio@chu-mars", "--hl7", "{hl7}"), 1),
        (("--to", "no address", "--hl7", "{hl7}"), 2),
        (("--to", TO, "--hl7", "{hl7}", "--id", ""), 2),
        (("--to", TO, "--hl7", "{hl7}", "--valid-for", "0s"), 2),
        (("--to", TO, "--hl7", "{hl7}", "--timeout", "soon"), 2),
        (("--to", TO, "--hl7", "{hl7}", "--from", "nobody"), 1),
        (("--to", TO, "--hl7", "{hl7}", "--valid-for", "banana"), 2),
        (("--to", TO, "--hl7", "{hl7}", "--valid-for", "900d"), 1),
        (("--to", TO, "--hl7", "{hl7}", "--subject", "x" * 500), 1),
        (("--to", TO, "--hl7", "{hl7}", "--subject", "\udcff"), 1),
        (("--to", TO, "--hl7", "{hl7}", "--id", "\udcff"), 1),
        (("--to", TO, "--hl7", "{hl7}", "--priority", "urgent"), 2),
        (("--to", TO, "--hl7", "/nowhere"), 2),
        (("--hl7", "{hl7}"), 2),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(
    node: Node, hl7: str, arguments: tuple[str, ...], code: int
) -> None:
    result = node.run("send", *(one.replace("{hl7}", hl7) for one in arguments))
    assert result.exit_code == code
    assert result.stderr.strip()
    assert result.stdout == ""
    assert node.facts("sent") == []


@pytest.mark.parametrize("content", [b"", b"MSH", b"MSH|", b"MSH|^~\\&|a|b|c|d|e||\xff\xfe|1|P|2.5\r"])
def test_a_file_that_is_no_hl7_message_is_refused_or_sent_as_it_is(
    node: Node, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bad.hl7"
    path.write_bytes(content)
    assert node.run("send", "--to", TO, "--hl7", str(path)).exit_code in (0, 1)


def test_files_of_any_name_are_sent(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "نتيجة \udcff .pdf"
    path.write_bytes(b"x")
    value = node.facts("show", node.send("--file", str(path))["id"])
    assert value["kind"] == "file"


# ── inbox, fetch ───────────────────────────────────────────────────────────────────────────


def test_inbox_has_the_shape_that_scripts_rely_on(node: Node) -> None:
    raw = node.receive(HL7)
    (value,) = node.facts("inbox")
    assert {"id", "from", "to", "kind", "subject", "patient", "received", "attachments"} <= set(value)
    assert (value["id"], value["to"], value["attachments"]) == (raw, f"labo@{HERE}", [])
    assert node.facts("inbox", "--mailbox", "cardio") == []
    assert raw in node.run("inbox").stdout


def test_fetch_writes_the_bytes_and_takes_the_message(node: Node, tmp_path: Path) -> None:
    raw = node.receive(HL7)
    value = node.facts("fetch", raw, "--into", str(tmp_path / "in"))
    assert [Path(path).read_bytes() for path in value["files"]] == [HL7]
    assert node.facts("inbox")[0]["state"] == "processed"
    assert node.run("fetch", raw, "--into", str(tmp_path / "in")).exit_code == 0


def test_a_message_to_several_mailboxes_is_shown_and_fetched_for_the_one_that_is_named(
    node: Node, tmp_path: Path
) -> None:
    raw = new_id(EPOCH_MS)
    for mailbox in ("labo", "cardio"):
        node.receive(b"MSH|1", id=raw, recipient=f"{mailbox}@{HERE}")
    mine, into = id_text(raw), tmp_path / "into"
    for command in (("show", mine), ("fetch", mine, "--into", str(into))):
        result = node.run(*command)
        assert result.exit_code == 1
        assert "[several-mailboxes]" in result.stderr
        assert "cardio, labo: say which by --mailbox" in result.stderr
    assert not into.exists()
    assert node.facts("show", mine, "--mailbox", "cardio")["to"] == f"cardio@{HERE}"
    node.facts("fetch", mine, "--into", str(into), "--mailbox", "labo")
    states = {one["to"]: one["state"] for one in node.facts("inbox")}
    assert states == {f"labo@{HERE}": "processed", f"cardio@{HERE}": "delivered"}
    for mailbox, why in (("urgences", "not-found"), ("nobody", "unknown-mailbox")):
        for command in (("show", mine), ("fetch", mine, "--into", str(into))):
            assert f"[{why}]" in node.run(*command, "--mailbox", mailbox).stderr


def test_fetch_overwrites_no_file_of_anybody(node: Node, tmp_path: Path) -> None:
    """Two messages with a scan.bin each: the second gets another name, and a repeat the same names again."""
    into = tmp_path / "in"
    first, second = (node.receive(HL7, files={"scan.bin": data}) for data in (b"one", b"two"))
    assert [Path(path).name for path in node.facts("fetch", first, "--into", str(into))["files"]] == [
        f"{first}.hl7",
        "scan.bin",
    ]
    for _ in range(2):
        files = node.facts("fetch", second, "--into", str(into))["files"]
        assert [Path(path).name for path in files] == [f"{second}.hl7", "scan-2.bin"]
    assert ((into / "scan.bin").read_bytes(), (into / "scan-2.bin").read_bytes()) == (b"one", b"two")
    assert len(list(into.iterdir())) == 4


@pytest.mark.parametrize("there", ["other content", "a link", "a directory"])
def test_fetch_leaves_whatever_has_the_name(node: Node, tmp_path: Path, there: str) -> None:
    mine, into = tmp_path / "mine", tmp_path / "in"
    mine.write_bytes(b"mine")
    into.mkdir()
    match there:
        case "a link":
            (into / "scan.bin").symlink_to(mine)
        case "a directory":
            (into / "scan.bin").mkdir()
        case _:
            (into / "scan.bin").write_bytes(b"mine")
    (path,) = node.facts("fetch", node.receive(b"", files={"scan.bin": b"data"}), "--into", str(into))[
        "files"
    ]
    assert (Path(path).name, Path(path).read_bytes()) == ("scan-2.bin", b"data")
    assert mine.read_bytes() == b"mine"


def test_fetch_tells_two_attachments_of_one_name_apart(node: Node, tmp_path: Path) -> None:
    raw = node.receive(b"", files={"a/scan.bin": b"same", "a:scan.bin": b"same"})
    files = node.facts("fetch", raw, "--into", str(tmp_path / "in"))["files"]
    assert [Path(path).name for path in files] == ["a_scan.bin", "a_scan-2.bin"]


def test_what_fetch_writes_is_for_this_user_only(node: Node, tmp_path: Path) -> None:
    node.run("fetch", node.receive(HL7), "--into", str(tmp_path / "in"))
    (path,) = (tmp_path / "in").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("body", "suffix"),
    [(HL7, ".hl7"), ("نتيجة\n".encode(), ".txt"), (b"%PDF\xff", ".dat"), (b"a\0b", ".dat")],
)
def test_fetch_names_a_body_for_what_it_is(node: Node, tmp_path: Path, body: bytes, suffix: str) -> None:
    (path,) = node.facts("fetch", node.receive(body), "--into", str(tmp_path))["files"]
    assert Path(path).suffix == suffix


def test_fetch_hands_on_no_damaged_attachment(node: Node, tmp_path: Path) -> None:
    raw = node.receive(b"", files={"scan.bin": b"data"})
    next((node.home / "incoming").iterdir()).write_bytes(b"dat4")
    result = node.run("fetch", raw, "--into", str(tmp_path / "in"))
    assert (result.exit_code, "not hold what arrived" in result.stderr) == (1, True)
    assert list((tmp_path / "in").iterdir()) == []
    assert node.facts("inbox")[0]["state"] == "delivered"


def test_fetch_into_a_place_that_cannot_be_takes_nothing(node: Node, tmp_path: Path) -> None:
    raw = node.receive(HL7)
    (tmp_path / "file").write_bytes(b"")
    for into in (tmp_path / "file" / "x", Path("/proc/nowhere")):
        assert node.run("fetch", raw, "--into", str(into)).exit_code == 1
    assert node.facts("inbox")[0]["state"] == "delivered"


def test_a_body_that_is_gone_from_the_disk_is_said(node: Node, tmp_path: Path) -> None:
    raw = node.receive(b"", body_path="incoming/gone-0")
    for command in (("show", raw), ("show", raw, "--json"), ("fetch", raw, "--into", str(tmp_path / "in"))):
        result = node.run(*command)
        assert (result.exit_code, bool(result.stderr.strip())) == (1, True)


def test_a_sealed_body_that_is_damaged_is_said(node: Node, tmp_path: Path) -> None:
    (tmp_path / "big.hl7").write_bytes(HL7 + b"x" * 100_000)
    mine = node.send("--hl7", str(tmp_path / "big.hl7"))["id"]
    (sealed,) = (node.home / "outgoing").iterdir()
    sealed.write_bytes(b"damaged")
    assert node.run("show", mine).exit_code == 1
    sealed.unlink()
    assert node.run("show", mine).exit_code == 1
    assert node.run("track", mine).exit_code == 0


@pytest.mark.parametrize("command", ["track", "show"])
@pytest.mark.parametrize(("identifier", "code"), [("nonsense", 2), (id_text(bytes(16)), 1)])
def test_ids_that_are_none_or_not_here(node: Node, command: str, identifier: str, code: int) -> None:
    result = node.run(command, identifier)
    assert (result.exit_code, bool(result.stderr.strip()), result.stdout) == (code, True, "")


def test_directory_and_status(node: Node) -> None:
    names = [entry["facility"] or entry["group"] for entry in node.facts("directory")]
    assert names == ["chu-alger", "chu-oran", "clinique-sud", "garde"]
    value = node.facts("status")
    assert (value["facility"], value["running"], value["connected"], value["queued"]) == (
        HERE,
        False,
        False,
        0,
    )
    assert node.facts("check-config") == {"ok": True, "faults": []}


# ── damaged homes ──────────────────────────────────────────────────────────────────────────

LOOKS = (("inbox",), ("sent",), ("directory",), ("status",), ("track", id_text(bytes(16))))


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
        (_write(KEYS, b"garbage"), 1),
        (_write(IDENTITY, b"{}"), 1),
        (_write(SETTINGS, b"[http\n"), 2),
        (_write(SETTINGS, b"\xff\xfe"), 2),
        (_write(SETTINGS, b'[http]\nlisten = 7\n[nonsense]\nx = "y"\n'), 2),
        (_directory(DATABASE), 1),
        (_directory(KEYS), 1),
        (_directory(IDENTITY), 1),
        (lambda home: (home / KEYS).unlink(), 1),
        (lambda home: (home / IDENTITY).unlink(), 1),
        (lambda home: (home / SETTINGS).unlink(), 1),
        (lambda home: home.chmod(0o755), 1),
    ],
)
def test_a_damaged_home_is_named_in_words(node: Node, damage: Callable[[Path], object], code: int) -> None:
    damage(node.home)
    for look in LOOKS:
        result = node.run(*look)
        assert result.exit_code == code, (look, result.output)
        assert str(node.home) in result.stderr
        assert result.stdout == ""


def test_a_home_that_is_not_there(node: Node, tmp_path: Path) -> None:
    result = node.run("inbox", home=tmp_path / "nowhere")
    assert (result.exit_code, "wasl-node join" in result.stderr) == (1, True)


@pytest.mark.parametrize("code", ["", "garbage", "wasl1-AAAA", "wasl1-" + "A" * 900, "wasl1-ÿ"])
def test_a_join_code_that_is_none_ends_with_2_and_is_not_repeated(tmp_path: Path, code: str) -> None:
    home = tmp_path / "new"
    result = CliRunner().invoke(main, ["join", "--home", str(home), "--", code])
    assert result.exit_code == 2
    assert not home.exists()
    assert len(code) < 10 or code not in result.output


BASE_POINT = bytes([9, *bytes(31)])


def _code(hub_key: bytes = BASE_POINT) -> str:
    """Return a well-formed join code of a hub that is not there."""
    from protocols.link.joincode import JoinCode, encode_joincode  # noqa: PLC0415 - only here

    return encode_joincode(JoinCode("127.0.0.1:1", "hub", hub_key, bytes(32), "x", bytes(16), bytes(32)))


def _join(home: Path, *options: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``join`` in a process of its own: it runs the reactor, which runs once only."""
    command = [sys.executable, "-m", "nodes", "join", code or _code(), "--home", str(home), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_refused_join_leaves_no_settings(tmp_path: Path) -> None:
    """So the next attempt's --http counts; the keys stay, which makes a repeated join the same node."""
    home = tmp_path / "new"
    done = _join(home, "--http", "127.0.0.1:7777")
    assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)
    assert [path.name for path in home.iterdir()] == [KEYS]
    before = (home / KEYS).read_bytes()
    assert _join(home).returncode == 1
    assert (home / KEYS).read_bytes() == before


def test_join_does_not_overlook_http_beside_settings_that_are_there(tmp_path: Path) -> None:
    prepare_home(tmp_path / "new", None)
    (tmp_path / "new" / SETTINGS).write_text('[http]\nlisten = "127.0.0.1:7000"\n')
    done = _join(tmp_path / "new", "--http", "127.0.0.1:7777")
    assert (done.returncode, "http.listen" in done.stderr) == (1, True)
    assert "cannot be reached" in _join(tmp_path / "new", "--http", "127.0.0.1:7000").stderr


def test_a_join_code_whose_key_is_none_is_said_in_words(tmp_path: Path) -> None:
    done = _join(tmp_path / "new", code=_code(hub_key=bytes(32)))
    assert (done.returncode, "Traceback" in done.stderr, "join code" in done.stderr) == (2, False, True)


def test_join_with_a_wrong_http_makes_nothing(tmp_path: Path) -> None:
    assert _join(tmp_path / "new", "--http", "nonsense").returncode == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["hub.toml", "hub.db", "attachments"])
def test_join_leaves_a_hub_s_home_alone(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    for file in (KEYS, name):
        (tmp_path / file).write_bytes(b"the hub's")
    result = CliRunner().invoke(main, ["join", _code(), "--home", str(tmp_path)])
    assert (result.exit_code, "a hub's home" in result.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([KEYS, name])


def test_join_where_it_may_not_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = CliRunner().invoke(main, ["join", _code(), "--home", str(tmp_path / "file" / "node")])
    assert (result.exit_code, bool(result.stderr.strip())) == (1, True)
    assert isinstance(result.exception, SystemExit)


def test_lost_settings_of_a_node_are_put_back(node: Node) -> None:
    (node.home / SETTINGS).unlink()
    result = node.run("inbox")
    assert (result.exit_code, "node.toml is missing: put it back" in result.stderr) == (1, True)
    assert "join" not in result.stderr
    (node.home / SETTINGS).touch()
    assert node.facts("inbox") == []


def test_a_node_joins_one_network_only(node: Node) -> None:
    from protocols.link.joincode import JoinCode, encode_joincode  # noqa: PLC0415 - only here

    code = encode_joincode(JoinCode("h:1", "hub", bytes(32), bytes(32), "x", bytes(16), bytes(32)))
    result = node.run("join", code)
    assert (result.exit_code, "already" in result.stderr) == (1, True)


# ── help ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "--home" in result.stdout


def test_send_can_wait_for_what_has_a_meaning() -> None:
    assert tuple(STATES) == WAITS
