"""The demo: one round of it as people run it, what Ctrl-C leaves behind, and that its checks can fail."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
from base64 import b64decode
from itertools import count
from pathlib import Path

import pytest
from lxml import etree

from demo import cda, checking, dicom, localapi, messages
from demo.hospital import HospitalSystem, Taken
from demo.network import Network, Node, Ports
from demo.people import CHU, EPH, EPSP, PATIENTS, SITES
from demo.scenes import ADMISSIONS, DOCTOR, EMERGENCY, LABORATORY, Country, Sending
from demo.watching import STEPS, Row
from protocols.hl7.er7 import Message
from protocols.link.envelope import State
from tests.integration.daemons import PROJECT
from tests.integration.waiting import wait_until

CDA_SCHEMA = (
    PROJECT / ".." / "shared" / "corpus" / "cda" / "schema" / "infrastructure" / "cda" / "CDA_SDTC.xsd"
)
ROUND_TIMEOUT_S = 110
KINDS = ("ADT^A01", "OML^O21", "ORU^R01", "MDM^T02", "REF^I12")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def daemons_in(directory: Path) -> list[str]:
    """Return the command lines of living processes that name this directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and "-m demo" not in line:
            found.append(line)
    return found


@pytest.mark.slow
def test_once_plays_every_scene_checks_it_and_ends(tmp_path: Path) -> None:
    """Exit 0, every check ticked, every kind shown with its steps; nothing runs on, ``--keep`` keeps."""
    home = tmp_path / "kept"
    running = start("--once", "--keep", home)
    said, _ = running.communicate(timeout=ROUND_TIMEOUT_S)
    assert running.returncode == 0, said
    assert said.count("✓") == 6, said
    assert "✗" not in said
    for kind in KINDS:
        assert any(kind in line and "queued → accepted" in line for line in said.splitlines()), said
    assert "ORL^O22 AA" in said
    assert "RRI^I12 AA" in said
    assert "STAT" in said
    assert "\x1b[" not in said
    assert daemons_in(home) == []
    assert {path.name for path in home.iterdir() if path.is_dir()} == {"hub", *(site.name for site in SITES)}


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_removes_it(tmp_path: Path) -> None:
    """Without --once it runs until SIGINT, then exits 0, with no process and no temporary home left."""
    running = start()
    try:
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        home = Path(next(line for line in lines if line.startswith("hub: ")).split()[1])
        assert home.is_dir()
        assert any("processed" in line for line in lines)
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 0, rest
    assert "Stopped." in rest
    wait_until("no daemon is left", lambda: daemons_in(home.parent) == [])
    assert not home.parent.exists()


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    running = start("--once", "--keep", tmp_path)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "not empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# ── the checks ─────────────────────────────────────────────────────────────────────────────


class Told:
    """A country in which one admission and an overtaken order went right, without any process."""

    def __init__(self, directory: Path) -> None:
        network = Network(directory, SITES)
        network.hub_home.mkdir()
        (network.hub_home / "hub.db").write_bytes(b"ADT^A01 " + ADMISSIONS.encode())
        for site in SITES:
            network.nodes[site.name] = Node(site, directory / site.name, Ports(1, 2, 3, 4, 5))
        self.country = Country(network)
        for node in network.nodes.values():
            self.country.systems[node.site.name] = HospitalSystem(node, self.country._answer)
        self.rows: dict[str, Row] = {}
        self._numbers = count()
        self.send(messages.admission(ADMISSIONS, DOCTOR, PATIENTS[0]), ADMISSIONS, DOCTOR)
        routine = messages.order(DOCTOR, LABORATORY, PATIENTS[1], messages.TESTS[0])
        urgent = messages.order(EMERGENCY, LABORATORY, PATIENTS[2], messages.TROPONIN, urgent=True)
        self.send(routine, DOCTOR, LABORATORY)
        self.send(urgent, EMERGENCY, LABORATORY, urgent=True)
        self.country.systems[CHU.name].taken.reverse()

    def send(self, payload: bytes, sender: str, recipient: str, *, urgent: bool = False) -> None:
        answer = messages.acknowledgement(Message(payload))
        sending = Sending(payload, sender, recipient, urgent, answer)
        self.country.sendings.append(sending)
        self.country.systems[recipient.partition("@")[2]].taken.append(Taken(payload, answer))
        row = Row(
            id=str(next(self._numbers)), key=f"mllp:a/b/{sending.control_id}", kind="", sender=sender,
            recipient=recipient, urgent=urgent, created_ms=0, state=State.PROCESSED, settled=True, reason="",
            steps_ms=dict.fromkeys(STEPS, 1), answer=answer,
        )  # fmt: skip
        self.rows[row.id] = row

    def faults(self) -> str:
        found = checking.findings(self.country, self.rows)
        return "\n".join(fault for one in found for fault in one.faults if "no image" not in fault)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_the_checks_pass_what_is_right(told: Told) -> None:
    assert told.faults() == ""


def test_the_checks_find_a_lost_a_doubled_and_a_changed_message(told: Told) -> None:
    taken = told.country.systems[EPSP.name].taken
    (one,) = taken
    taken.append(one)
    assert "arrived 2 times" in told.faults()
    taken.clear()
    assert "arrived 0 times" in told.faults()
    taken.append(Taken(one.payload + b" ", one.answer))
    assert "arrived 0 times" in told.faults()


def test_the_checks_find_another_answer(told: Told) -> None:
    told.country.sendings[0].answer += b" "
    assert "was told something else" in told.faults()


def test_the_checks_find_what_was_not_processed(told: Told) -> None:
    del told.rows["0"]
    assert "is in no outbox" in told.faults()


def test_the_checks_find_an_urgent_order_served_last(told: Told) -> None:
    told.country.systems[CHU.name].taken.reverse()
    assert "behind all routine orders" in told.faults()


@pytest.mark.parametrize("what", [PATIENTS[0].nin, PATIENTS[0].family_ar, "Pénicilline / بنسلين"])
def test_the_checks_find_content_at_the_hub(told: Told, what: str) -> None:
    with (told.country.network.hub_home / "hub.db").open("ab") as database:
        database.write(b"\0" + what.encode() + b"\0" if "/" not in what else told.country.sendings[0].payload)
    assert "holds" in told.faults()


def test_the_checks_find_that_they_looked_in_the_wrong_place(told: Told) -> None:
    (told.country.network.hub_home / "hub.db").write_bytes(b"")
    assert "does not even find" in told.faults()


# ── what it makes ──────────────────────────────────────────────────────────────────────────


def elements(data: bytes) -> dict[tuple[int, int], bytes]:
    """Read explicit VR little endian data elements (DICOM PS3.5 7.1.2); a reader of this test's own."""
    found: dict[tuple[int, int], bytes] = {}
    at = 0
    while at < len(data):
        group, element, vr = struct.unpack_from("<HH2s", data, at)
        long = vr in {b"OB", b"OW", b"UN", b"SQ", b"UT"}
        (size,) = struct.unpack_from("<I" if long else "<H", data, at + (8 if long else 6))
        at += 12 if long else 8
        assert size % 2 == 0
        assert (group, element) > max(found, default=(0, 0)), "elements stand in ascending order"
        found[group, element] = data[at : at + size]
        at += size
    assert at == len(data)
    return found


def test_the_dicom_file_is_one() -> None:
    """Part 10: preamble, prefix, meta group with its own length, ordered even elements, all the pixels."""
    uid = dicom.new_uid()
    file = dicom.chest_image(PATIENTS[0], uid, number="I1", date="20261123")
    assert file[:132] == bytes(128) + b"DICM"
    read = elements(file[132:])
    (length,) = struct.unpack("<I", read[2, 0])
    assert file[132 + 12 + length :][:4] == struct.pack("<HH", 8, 5)
    assert read[2, 0x10].rstrip(b"\0") == b"1.2.840.10008.1.2.1"
    assert read[2, 3].rstrip(b"\0") == read[8, 0x18].rstrip(b"\0") == uid.encode()
    assert len(uid) <= 64
    rows, columns = (struct.unpack("<H", read[0x28, tag])[0] for tag in (0x10, 0x11))
    assert len(read[0x7FE0, 0x10]) == rows * columns
    assert read[0x10, 0x20].strip() == PATIENTS[0].nin.encode()


def test_the_document_is_arabic_and_travels_in_obx_5() -> None:
    """MDM^T02 carries the CDA in base64; it parses, says ar-DZ, and has the patient's name in Arabic."""
    identifier, document = cda.radiology_report(PATIENTS[0], CHU.name, messages.now())
    message = Message(messages.document("a@b", "c@d", PATIENTS[0], identifier, cda.TITLE, document))
    assert b64decode(message.get("OBX-5.5")) == document
    root = etree.fromstring(document)
    names = {"c": "urn:hl7-org:v3"}
    assert root.xpath("string(c:languageCode/@code)", namespaces=names) == "ar-DZ"
    assert root.xpath("string(//c:patient/c:name/c:family)", namespaces=names) == PATIENTS[0].family_ar
    assert root.xpath("string(c:title)", namespaces=names) == cda.TITLE
    assert str(root.xpath("string(//c:patientRole/c:id/@extension)", namespaces=names)).startswith("9999")


@pytest.mark.corpus
@pytest.mark.skipif(not CDA_SCHEMA.exists(), reason="needs ../shared/corpus")
def test_the_document_fits_the_cda_schema() -> None:
    _, document = cda.radiology_report(PATIENTS[0], EPH.name, messages.now())
    schema = etree.XMLSchema(etree.parse(CDA_SCHEMA))
    schema.assertValid(etree.fromstring(document))


def test_an_image_that_changed_on_the_way_is_found(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.country.sendings[0].file = b"image" * 100
    monkeypatch.setattr(localapi, "attachment", lambda *_: b"image" * 99 + b"imagf")
    assert f"sent was {hashlib.sha256(b'image' * 100).hexdigest()}" in told.faults()
