"""The drop folder with programs not perfect, or of another user: names, leftovers, lost files, groups."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.gateways.folder import bounds
from nodes.gateways.folder.leftovers import LEFT_S
from nodes.gateways.folder.unclaimed import NAMED, UNCLAIMED_S
from nodes.link import tracking
from protocols.link.envelope import State
from tests.nodes.fixtures import Station
from tests.nodes.gateways.folders import Desk, hl7, open_folder

TO = 'to = "labo@chu-oran"\nfrom = "labo"\n'


@pytest.fixture
def desk(station: Station) -> Iterator[Desk]:
    with open_folder(station) as opened:
        yield opened


# ── what travels under which name ──────────────────────────────────────────────────────────


def said(desk: Desk) -> tuple[str, bytes, list[tuple[str, str]]]:
    """Return the kind, the body and the files (name, type) of the one message that was sent."""
    (sent,) = desk.station.sent()
    content, body = desk.station.do(lambda c: tracking.open_content(c, sent.id, desk.station.home))
    return sent.kind, body, [(file.name, file.media_type) for file in content.files]


def test_a_payload_that_is_no_hl7_keeps_its_name_and_type(desk: Desk) -> None:
    """A body has no name: the recipient would get a report.pdf as ID.dat."""
    desk.drop("report.pdf", b"%PDF-1.7 ...")
    desk.drop("scan.dcm", b"picture")
    desk.drop("report.toml", TO + 'payload = "report.pdf"\nattachments = ["scan.dcm"]')
    desk.polls()
    assert said(desk) == ("file", b"", [("report.pdf", "application/pdf"), ("scan.dcm", "application/dicom")])


def test_a_large_payload_that_is_no_hl7_is_not_read_into_memory(desk: Desk) -> None:
    with desk.drop("big.mp4", b"").open("r+b") as file:
        file.truncate(bounds.PAYLOAD_BYTES + 1)
    desk.drop("big.toml", TO + 'payload = "big.mp4"')
    desk.polls()
    assert said(desk)[2] == [("big.mp4", "video/mp4")]


@pytest.mark.parametrize(
    ("content", "control", "kind"),
    [(hl7(), "", "ADT^A01"), (b"<ORU_R01/>", 'kind = "ORU^R01"', "ORU^R01")],
)
def test_a_payload_that_is_hl7_is_the_body(desk: Desk, content: bytes, control: str, kind: str) -> None:
    desk.drop("m.dat", content)
    desk.drop("m.toml", TO + 'payload = "m.dat"\n' + control)
    desk.polls()
    assert said(desk) == (kind, content, [])


def test_an_unknown_key_brings_the_list_of_known_ones(desk: Desk) -> None:
    desk.drop("p", b"x")
    desk.drop("x.toml", TO + 'payload = "p"\nvalid_fro = "2d"')
    desk.polls()
    assert "valid_fro" in desk.reason()
    assert "to, from, subject, patient, id, kind, payload, attachments, priority, valid_for" in desk.reason()


def test_the_alarm_names_the_file(desk: Desk) -> None:
    desk.drop("lettre\x1b.toml", "nonsense")
    desk.polls()
    ((code, text),) = desk.alarms
    assert (code, "lettre?.toml" in text) == ("folder-failed", True)


# ── what nobody names ──────────────────────────────────────────────────────────────────────


def test_a_payload_without_a_control_file_is_spoken_of_once(desk: Desk) -> None:
    desk.drop("report.pdf", b"x")
    desk.drop("report.tml", "wrongly named")
    desk.drop("growing.part", b"x")
    desk.drop(".hidden", b"x")
    desk.station.advance(UNCLAIMED_S - 20, step_s=10)
    assert desk.alarms == []
    desk.station.advance(40, step_s=10)
    ((code, text),) = desk.alarms
    assert code == "folder-unclaimed"
    assert "'report.pdf', 'report.tml' for 10 minutes" in text
    desk.station.advance(2 * UNCLAIMED_S, step_s=20)
    assert len(desk.alarms) == 1


def test_a_file_that_still_grows_is_not_spoken_of(desk: Desk) -> None:
    path = desk.drop("slow.pdf", b"")
    for _ in range(4):
        desk.station.advance(UNCLAIMED_S / 2, step_s=10)
        path.write_bytes(path.read_bytes() + b"x")
    assert desk.alarms == []
    path.unlink()
    desk.station.advance(2 * UNCLAIMED_S, step_s=20)
    assert desk.alarms == []


def test_many_such_files_are_counted(desk: Desk) -> None:
    for number in range(NAMED + 3):
        desk.drop(f"{number}.pdf", b"x")
    desk.station.advance(UNCLAIMED_S + 20, step_s=10)
    ((_, text),) = desk.alarms
    assert "'4.pdf' and 3 more for" in text


# ── what programs leave ────────────────────────────────────────────────────────────────────


def test_what_a_program_leaves_is_removed_after_an_hour(desk: Desk) -> None:
    """Only names that the node gives, and only of messages that were taken."""
    desk.station.receive(hl7(), quietly=True)
    taken = desk.station.receive(b"text", quietly=True)
    desk.polls(2)
    (control,) = (desk.root / "in").glob(f"{taken:010d}-*.json")
    payload = desk.root / "in" / json.loads(control.read_text())["payload"]
    kept = control.rename(control.with_suffix(".taken"))
    others = [payload.with_name(name) for name in ("notes.txt", f"{payload.stem}.bak")]
    for path in others:
        path.write_bytes(b"the program's")
    desk.station.advance(LEFT_S - 240, step_s=20)
    assert payload.exists()
    desk.station.advance(600, step_s=20)
    assert not payload.exists()
    assert all(path.exists() for path in (kept, *others))
    assert len(desk.shown()) == 2 + 3
    assert [State(desk.station.inbox_row(seq).state) for seq in (taken - 1, taken)] == [
        State.DELIVERED,
        State.PROCESSED,
    ]


# ── another user's program ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mode", "file_mode"), [(0o700, 0o600), (0o770, 0o660), (0o2770, 0o660), (0o750, 0o640)]
)
def test_directories_that_are_there_keep_their_mode_and_files_are_for_their_group(
    station: Station, mode: int, file_mode: int
) -> None:
    """An operator lets a hospital system of another user in by a group that may enter the directories."""
    root = station.home / "exchange"
    root.mkdir()
    for name in ("out", "in", "sent", "failed"):
        (root / name).mkdir()
        (root / name).chmod(mode)
    with open_folder(station) as desk:
        desk.station.receive(hl7(), quietly=True)
        desk.drop("x.toml", "nonsense")
        before = os.umask(0o077)
        try:
            desk.polls()
        finally:
            os.umask(before)
        written = [*(root / "in").iterdir(), *(root / "failed").glob("*.reason.txt")]
        assert {path.stat().st_mode & 0o777 for path in written} == {file_mode}
        assert {path.stat().st_mode & 0o7777 for path in Path(root).iterdir()} == {mode}
