"""A first message by the commands alone: what they print and how they exit, as the interface says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.localsystems import message
from tests.integration.network import Network
from tests.integration.waiting import wait_until

TO = "cardio@chu-oran"


@pytest.fixture(scope="module")
def running(module_network: NewNetwork) -> Network:
    network = module_network()
    network.start()
    return network


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.hl7"
    path.write_bytes(message("labo@chu-alger", TO, "L1"))
    return path


def test_sent_delivered_shown_fetched_processed(running: Network, letter: Path, tmp_path: Path) -> None:
    """A message with a file arrives byte for byte; fetching it tells its sender that it was processed."""
    alger, oran = running.nodes["chu-alger"], running.nodes["chu-oran"]
    scan = tmp_path / "scan é.bin"
    scan.write_bytes(b"\0\xff" * 40_000)
    ran = alger.run(
        "send", "--to", TO, "--from", "labo", "--id", "order-1", "--subject", "bilan", "--patient", "P 1",
        "--priority", "stat", "--hl7", letter, "--file", scan, "--wait", "delivered", "--timeout", "20s",
        "--valid-for", "2d", "--json",
    )  # fmt: skip
    sent = ran.json()
    assert (ran.code, ran.err) == (0, f"Queued as {sent['id']}.\n")
    assert sent.keys() == {"id", "state", "recipients"}
    assert sent["recipients"] == [{"recipient": TO, "state": "delivered", "reason": None}]
    assert sent["state"] == "delivered"

    found = [one for one in oran.ask("inbox", "--mailbox", "cardio") if one["id"] == sent["id"]]
    assert len(found) == 1
    arrived = found[0]
    assert arrived.items() >= {
        "from": "labo@chu-alger", "to": TO, "kind": "ADT^A01", "subject": "bilan", "patient": "P 1",
    }.items()  # fmt: skip
    assert arrived["received"].endswith("Z")
    (file,) = arrived["attachments"]
    assert file.keys() == {"name", "size", "digest"}
    assert (file["name"], file["size"]) == (scan.name, scan.stat().st_size)
    assert file["digest"] == hashlib.blake2b(scan.read_bytes(), digest_size=32).hexdigest()
    assert [one for one in oran.ask("inbox", "--mailbox", "labo") if one["id"] == sent["id"]] == []

    assert oran.ask("show", sent["id"])["body"].encode() == letter.read_bytes()
    fetched = oran.ask("fetch", sent["id"], "--into", tmp_path / "in")
    assert {Path(path).read_bytes() for path in fetched["files"]} == {letter.read_bytes(), scan.read_bytes()}

    alger.wait_state(sent["id"], "processed")
    track = alger.ask("track", sent["id"])
    assert (track["id"], track["state"], track["reason"]) == (sent["id"], "processed", None)
    assert [line["state"] for line in track["history"]] == ["queued", "accepted", "delivered", "processed"]
    assert all(line["at"].endswith("Z") for line in track["history"])


def test_text_output_is_for_people_and_json_for_programs(running: Network, letter: Path) -> None:
    """Without --json stdout is the id alone, and show is readable; stdout of --json is one JSON value."""
    alger = running.nodes["chu-alger"]
    ran = alger.run("send", "--to", TO, "--hl7", letter)
    assert (ran.code, ran.err) == (0, "")
    shown = alger.run("show", ran.out.strip())
    assert shown.code == 0
    assert "PID|1||L1" in shown.out
    assert "\x1b[" not in shown.out
    assert json.loads(alger.run("sent", "--json").out)[0]["id"] == ran.out.strip()


def test_directory_names_everybody(running: Network) -> None:
    """The directory lists every facility with its mailboxes, as the node verified them."""
    entries = {one["facility"]: one for one in running.nodes["chu-alger"].ask("directory") if one["facility"]}
    assert entries.keys() == {"chu-alger", "chu-oran", "chu-setif"}
    assert [box["name"] for box in entries["chu-oran"]["mailboxes"]] == ["cardio", "labo"]
    assert all(one["active"] for one in entries.values())


def test_several_recipients_and_a_group(running: Network, letter: Path) -> None:
    """One message to two mailboxes and a group: one id, one state for each recipient, each address once."""
    alger, oran = running.nodes["chu-alger"], running.nodes["chu-oran"]
    ran = running.hub.run("group", "nuit", "labo@chu-oran", "labo@chu-alger")
    assert ran.code == 0, ran
    wait_until(
        "alger knows the group", lambda: alger.rows("SELECT 1 FROM addressbook WHERE name = 'nuit'"), 20
    )
    sent = alger.send(TO, "--to", "nuit@group", "--to", TO, "--hl7", letter, "--wait", "delivered")
    recipients = {one["to"]: one["state"] for one in alger.ask("track", sent["id"])["recipients"]}
    assert recipients == dict.fromkeys((TO, "labo@chu-oran", "labo@chu-alger"), "delivered")
    assert sorted(one["to"] for one in oran.ask("inbox") if one["id"] == sent["id"]) == [TO, "labo@chu-oran"]
    assert [one["to"] for one in alger.ask("inbox") if one["id"] == sent["id"]] == ["labo@chu-alger"]


def test_the_senders_own_key(running: Network, letter: Path, tmp_path: Path) -> None:
    """--id again with the same content is the same message; with other content it is refused (1)."""
    alger, oran = running.nodes["chu-alger"], running.nodes["chu-oran"]
    first = alger.send(TO, "--id", "K7", "--hl7", letter, "--wait", "delivered")
    again = alger.send(TO, "--id", "K7", "--hl7", letter, "--wait", "delivered")
    assert again["id"] == first["id"]
    other = tmp_path / "other.hl7"
    other.write_bytes(message("labo@chu-alger", TO, "L1", "changed"))
    ran = alger.run("send", "--to", TO, "--id", "K7", "--hl7", other, "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert "K7" in ran.err
    assert len([one for one in oran.ask("inbox") if one["id"] == first["id"]]) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("send", "--to", TO), "nothing to send"),
        (("send", "--hl7", "LETTER"), "--to"),
        (("send", "--to", TO, "--hl7", "missing.hl7"), "missing.hl7"),
        (("send", "--to", TO, "--hl7", "LETTER", "--valid-for", "5 days"), "duration"),
        (("send", "--to", TO, "--hl7", "LETTER", "--wait", "read"), "accepted"),
        (("track", "not-an-id"), "no message id"),
        (("show", "not-an-id"), "no message id"),
        (("nonsense",), "No such command"),
        (("send", "--to", "labo", "--hl7", "LETTER"), "labo@chu-alger"),
    ],
)
def test_wrong_usage_is_2(running: Network, letter: Path, arguments: tuple[str, ...], text: str) -> None:
    """Wrong usage exits 2 and says on stderr what is wrong; stdout stays empty."""
    words = [str(letter) if word == "LETTER" else word for word in arguments]
    ran = running.nodes["chu-alger"].run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("urology@chu-oran", "cardio, labo"),
        ("labo@chu-nowhere", "chu-nowhere"),
        ("nobody@group", "nobody"),
    ],
)
def test_an_unknown_recipient_is_1(running: Network, letter: Path, to: str, text: str) -> None:
    """What does not exist is refused at once (1), with what is wrong and what exists; nothing is queued."""
    alger = running.nodes["chu-alger"]
    before = alger.rows("SELECT count(*) FROM outbox")
    ran = alger.run("send", "--to", to, "--hl7", letter, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert text in ran.err
    assert alger.rows("SELECT count(*) FROM outbox") == before


@pytest.mark.parametrize("name", ["track", "show", "fetch"])
def test_an_unknown_message_is_1(running: Network, name: str, tmp_path: Path) -> None:
    """An id that nothing has exits 1 and says so."""
    words = ["--into", str(tmp_path)] if name == "fetch" else []
    ran = running.nodes["chu-oran"].run(name, "019a0000-0000-7000-8000-000000000000", *words, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.strip()


def test_without_the_daemon(network: Network, letter: Path) -> None:
    """Without the daemon a message is queued (0); --wait says 3 and it is queued too; both go later."""
    alger = network.nodes["chu-alger"]
    queued = alger.run("send", "--to", TO, "--hl7", letter, "--json")
    assert queued.code == 0
    assert queued.json()["state"] == "queued"
    assert "not running" in queued.err
    waited = alger.run("send", "--to", TO, "--hl7", letter, "--wait", "delivered", "--json")
    assert waited.code == 3
    assert waited.json()["state"] == "queued"
    status = alger.ask("status")
    assert (status["running"], status["queued"]) == (False, 2)
    network.start()
    for ran in (queued, waited):
        alger.wait_state(ran.json()["id"], "delivered")


def test_timed_out_waiting_is_4(network: Network, letter: Path) -> None:
    """A wait that ends too early exits 4, and the message goes on by itself."""
    alger = network.nodes["chu-alger"]
    network.hub.start()
    alger.start()
    ran = alger.run(
        "send", "--to", TO, "--hl7", letter, "--wait", "delivered", "--timeout", "1500ms", "--json"
    )
    assert ran.code == 4
    assert ran.json()["state"] in ("queued", "accepted")
    network.nodes["chu-oran"].start()
    alger.wait_state(ran.json()["id"], "delivered")
