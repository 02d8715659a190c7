"""What people type at a node: exit codes, and shapes of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nodes.cli import COMMANDS, main
from nodes.cli.commands import WAITS
from nodes.cli.outcome import STATES
from nodes.link.ids import id_text, new_id
from runtime.database import transact
from tests.nodes.fixtures import EPOCH_MS, HERE
from tests.nodes.homes import HL7, TO, Node


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


# ── help ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    _, _, below = result.stdout.partition("Commands:\n")
    for words in [[command, line.split()[0]] for line in below.splitlines() if line.strip()] or [[command]]:
        said = CliRunner().invoke(main, [*words, "--help"])
        assert (said.exit_code, "--home" in said.stdout or "keygen" in words or "verify" in words) == (
            0,
            True,
        )


def test_send_can_wait_for_what_has_a_meaning() -> None:
    assert tuple(STATES) == WAITS
