"""Logs: a machine reads them, ids and facilities are in them, and nothing of what is sealed, at any level."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import NewNetwork
from tests.integration.localsystems import Receiver, Sender, acknowledge
from tests.integration.network import Network
from tests.integration.ports import free_port
from tests.integration.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALGER, ORAN = "chu-alger", "chu-oran"
MARKS = ("MARKBODY", "MARKPATIENT", "MARKSUBJECT", "MARKFILE", "MARKNAME", "MARKANSWER", "MARKDROP")
DEBUG = '[log]\nlevel = "debug"\n'


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    opened = Receiver(acknowledge("AE", "MARKANSWER"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def talking(module_network: NewNetwork, receiver: Receiver) -> Network:
    """Return daemons that log everything they can."""
    network = module_network()
    network.configure_hub(DEBUG)
    folder = "[folder]\n"
    network.nodes[ALGER].configure(DEBUG + folder, acknowledge="stored")
    network.nodes[ORAN].configure(
        DEBUG + f'[api]\nlisten = "127.0.0.1:{free_port()}"\n', deliver={"cardio": receiver.port}
    )
    network.start()
    return network


def hl7(control: str, to: str) -> bytes:
    return (
        f"MSH|^~\\&|labo|{ALGER}|{to}|{ORAN}|20260101||ORU^R01|{control}|P|2.5\r"
        "PID|1||MARKPATIENT^^^X||MARKNAME^MARKNAME\rOBX|1|ST|||MARKBODY\r"
    ).encode()


def lines(network: Network) -> list[dict[str, object]]:
    return [json.loads(line) for one in network.daemons() for line in one.said().splitlines()]


def test_a_marked_message_leaves_no_mark_in_any_log(
    talking: Network, receiver: Receiver, tmp_path: Path
) -> None:
    """Every door, a refusal by the local system, broken messages, a file: at debug level."""
    alger, oran = talking.nodes[ALGER], talking.nodes[ORAN]
    scan = tmp_path / "MARKNAME.pdf"
    scan.write_bytes(b"MARKFILE" * 20_000)
    letter = tmp_path / "MARKNAME.hl7"
    letter.write_bytes(hl7("C1", "labo"))
    sent = alger.ask(
        "send", "--to", f"labo@{ORAN}", "--subject", "MARKSUBJECT", "--patient", "MARKPATIENT",
        "--hl7", letter, "--file", scan, "--wait", "delivered", "--timeout", "60s",
    )  # fmt: skip
    assert alger.run("send", "--to", f"labo@{ORAN}", "--id", "k", "--hl7", letter).code == 0
    assert alger.run("send", "--to", "labo@nowhere", "--subject", "MARKSUBJECT", "--hl7", letter).code == 1
    with Sender(alger.mllp_port) as sender:
        sender.send(hl7("C2", "cardio"))
        sender.once(hl7("C3", "nobody"))
        sender.once(b"MSH|^~\\&|MARKBODY|" + b"MARKNAME" * 200)
    out = alger.home / "exchange" / "out"
    (out / "MARKDROP-1.hl7").write_bytes(hl7("C4", "cardio"))
    (out / "MARKDROP-2.hl7").write_bytes(hl7("C5", "nobody"))
    wait_until("the drop folder has refused one", lambda: "folder-failed" in dict(alger.alarms()), 60)
    assert "MARKDROP-2" in dict(alger.alarms())["folder-failed"]
    wait_until("the local system has refused two", lambda: len(receiver.distinct()) >= 2, 60)
    oran.ask("fetch", sent["id"], "--into", tmp_path / "in")
    alger.wait_state(sent["id"], "processed")
    for one in talking.daemons():
        said = one.said().decode()
        assert '"level": "debug"' in said or '"level": "info"' in said
        found = {mark for mark in MARKS if mark in said}
        assert not found, [line for line in said.splitlines() if any(mark in line for mark in found)]


def test_a_machine_reads_them_and_finds_ids_and_facilities(talking: Network) -> None:
    found = lines(talking)
    assert all({"time", "level", "event", "logger"} <= line.keys() for line in found)
    facilities = {line["facility"] for line in found if "facility" in line}
    assert {ALGER, ORAN} <= facilities
