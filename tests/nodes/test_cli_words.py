"""What a node's commands say: of several recipients, while waiting, and of what others wrote."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, update

from crypto.primitives import blake2b
from nodes.cli import main
from nodes.cli.reasons import SENTENCES
from nodes.home import POKE
from nodes.link import facts, tables
from protocols.link.envelope import State
from protocols.link.frames import Goodbye
from tests.nodes.homes import HL7, TO, Node

EVIL = "\x1b[2Jx\ny\u202egpj"


@pytest.fixture
def hl7(tmp_path: Path) -> str:
    (tmp_path / "m.hl7").write_bytes(HL7)
    return str(tmp_path / "m.hl7")


class Running:
    """What the command line takes for a running daemon: it acts on the first poke, in another thread."""

    def __init__(self, node: Node, act: Callable[[Connection], object]) -> None:
        self._node, self._act = node, act

    def __enter__(self) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.settimeout(30)
        self._ear.bind(str(self._node.home / POKE))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._ear.recv(1)
        self._node.write(self._act)

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._ear.close()


def news(**states: tuple[State, str]) -> Callable[[Connection], object]:
    """Return what notes a state for each recipient, by mailbox."""

    def act(connection: Connection) -> None:
        for mailbox, (state, code) in states.items():
            connection.execute(
                update(tables.outbox_recipients)
                .where(tables.outbox_recipients.c.recipient == f"{mailbox}@chu-oran")
                .values(state=int(state), code=code)
            )

    return act


# ── recipients ─────────────────────────────────────────────────────────────────────────────


def test_every_wrong_recipient_is_named_at_once(node: Node, hl7: str) -> None:
    wrong = node.run("send", "--to", "Cardio@chu-oran", "--to", TO, "--to", "nowhere", "--hl7", hl7)
    assert wrong.exit_code == 2
    assert "'Cardio@chu-oran' has capitals" in wrong.stderr
    assert "'nowhere'" in wrong.stderr
    unknown = node.run("send", "--to", "nobody@chu-oran", "--to", "cardio@chu-mars", "--hl7", hl7)
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error [unknown-mailbox]: ")
    assert "nobody@chu-oran" in unknown.stderr
    assert "cardio@chu-mars" in unknown.stderr


def test_a_mailbox_that_is_not_ours_is_no_empty_inbox(node: Node) -> None:
    result = node.run("inbox", "--mailbox", "nope")
    assert (result.exit_code, "it has: " in result.stderr) == (1, True)


# ── sending ────────────────────────────────────────────────────────────────────────────────


def test_a_message_can_come_from_stdin(node: Node) -> None:
    arguments = ["send", "--home", str(node.home), "--to", TO, "--hl7", "-", "--json"]
    result = CliRunner().invoke(main, arguments, input=HL7)
    assert result.exit_code == 0, result.stderr
    assert node.facts("show", json.loads(result.stdout)["id"])["body"].encode() == HL7
    nothing = CliRunner().invoke(main, arguments, input=b"")
    assert (nothing.exit_code, "empty" in nothing.stderr) == (1, True)


def test_show_names_the_files_of_what_was_sent(node: Node, hl7: str, tmp_path: Path) -> None:
    (tmp_path / "scan.bin").write_bytes(b"12345")
    mine = node.send("--hl7", hl7, "--file", str(tmp_path / "scan.bin"))["id"]
    (file,) = node.facts("show", mine)["attachments"]
    assert (file["name"], file["size"], file["digest"]) == ("scan.bin", 5, blake2b(b"12345").hex())
    assert "scan.bin (5 bytes)" in node.run("show", mine).stdout


# ── waiting ────────────────────────────────────────────────────────────────────────────────


def test_waiting_for_several_fails_if_one_came_back(node: Node, hl7: str) -> None:
    """The message counts as delivered; that one recipient did not get it must not be overlooked."""
    both = ("--to", TO, "--to", "labo@chu-oran", "--hl7", hl7)
    with Running(node, news(cardio=(State.DELIVERED, ""), labo=(State.RETURNED, "given-up"))):
        result = node.run("send", *both, "--wait", "delivered", "--timeout", "10s", "--json")
    assert result.exit_code == 1
    value = json.loads(result.stdout)
    assert (value["state"], value["reason"]) == ("delivered", "given-up")
    assert {one["recipient"]: (one["state"], one["reason"]) for one in value["recipients"]} == {
        TO: ("delivered", None),
        "labo@chu-oran": ("returned", "given-up"),
    }
    assert "Came back from labo@chu-oran (given-up: the hub's administrator gave it up" in result.stderr
    assert f"Queued as {value['id']}." in result.stderr


def test_waiting_ends_with_0_if_all_have_it(node: Node, hl7: str) -> None:
    with Running(node, news(cardio=(State.DELIVERED, ""))):
        result = node.run("send", "--to", TO, "--hl7", hl7, "--wait", "delivered", "--timeout", "10s")
    assert (result.exit_code, "Came back" in result.stderr) == (0, False)


def test_waiting_says_that_the_hub_refuses_this_node(node: Node, hl7: str) -> None:
    node.write(lambda connection: facts.put(connection, facts.REFUSED, Goodbye.SUSPENDED))
    with Running(node, news()):
        result = node.run("send", "--to", TO, "--hl7", hl7, "--wait", "delivered", "--timeout", "0s")
    assert (result.exit_code, "its facility is suspended" in result.stderr) == (4, True)
    assert node.facts("status")["refused"] == "its facility is suspended"
    assert "not connected: its facility is suspended" in node.run("status").stdout


def test_ctrl_c_stops_the_waiting_and_leaves_the_id(node: Node, hl7: str) -> None:
    command = [sys.executable, "-m", "nodes", "send", "--home", str(node.home), "--to", TO, "--hl7", hl7]
    # A shell's background job ignores SIGINT, and so would all that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        Running(node, news()),
        subprocess.Popen([*command, "--wait", "delivered"], stderr=subprocess.PIPE, text=True) as sending,
    ):
        signal.signal(signal.SIGINT, before)
        assert sending.stderr is not None
        first = sending.stderr.readline()
        sending.send_signal(signal.SIGINT)
        rest = sending.stderr.read()
    assert sending.returncode == 130
    (mine,) = node.facts("sent")
    assert mine["id"] in first
    assert mine["id"] in rest
    assert "Traceback" not in rest


def test_every_code_of_a_message_that_came_back_has_its_sentence() -> None:
    text = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text(encoding="utf-8")
    told: set[str] = set()
    for heading in ("### The hub returns", "### The hub refuses a", "### The recipient's node does"):
        part = text.split(f"\n{heading}")[1].split("\n### ")[0]
        told |= set(re.findall(r"^\| `([a-z-]+)` \|", part, re.MULTILINE))
    assert len(told) > 15
    assert told - set(SENTENCES) == set()


# ── what others wrote ──────────────────────────────────────────────────────────────────────


def test_what_others_wrote_does_not_command_the_terminal(node: Node) -> None:
    raw = node.receive(HL7 + b"NTE|1||\x1b[31m\x00\r", {EVIL: b"x"}, subject=EVIL, patient=EVIL)
    for command in (("inbox",), ("show", raw)):
        shown = node.run(*command).stdout
        assert not set(shown) & {"\x1b", "\x00", "\u202e"}
        assert r"\x1b[2Jx\ny\u202egpj" in shown
    assert json.loads(node.run("show", raw, "--json").stdout)["subject"] == EVIL


def test_a_body_that_is_no_text_is_not_shown(node: Node) -> None:
    body = b"%PDF\xff\x00" * 1_024
    raw = node.receive(body, kind="report")
    assert "6 KiB, not text; use fetch" in node.run("show", raw).stdout
    assert base64.b64decode(node.facts("show", raw)["body_base64"]) == body
    assert "body_base64" not in node.facts("show", node.receive(HL7))
