"""The drop folder, inwards: every arrival is laid out once, whole, and is taken when a program took it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from config.node import Folder
from crypto.primitives import blake2b
from nodes.gateways.folder import FolderGateway, bounds
from nodes.link import tables
from nodes.link.ids import id_text, new_id
from protocols.link.envelope import Priority, State
from runtime import crash
from runtime.storage_errors import DatabaseBusy, StorageFailed
from tests.nodes.fixtures import EPOCH_MS, Station, fail_syncs, open_station
from tests.nodes.gateways.folders import Desk, attach, crashed_folder, hl7, open_folder, state_of


@pytest.fixture
def desk(station: Station) -> Iterator[Desk]:
    with open_folder(station) as opened:
        yield opened


def control_of(desk: Desk) -> tuple[Path, dict[str, Any]]:
    (path,) = (path for path in (desk.root / "in").glob("*.json") if not path.name.startswith("."))
    return path, json.loads(path.read_text())


def test_a_message_is_laid_out_with_a_control_file_that_tells_all(desk: Desk) -> None:
    seq = desk.station.receive(hl7(), priority=Priority.STAT, quietly=True)
    attach(desk.station, seq, "a.png", b"picture" * 100_000)
    attach(desk.station, seq, "../../x\n.png", b"")
    desk.polls(1)
    row = desk.station.inbox_row(seq)
    path, control = control_of(desk)
    assert path.name == f"{seq:010d}-{id_text(row.id)}.json"
    assert control["id"] == id_text(row.id)
    assert (control["from"], control["to"], control["kind"]) == ("labo@chu-oran", "labo@chu-alger", "ORU^R01")
    assert control["priority"] == "stat"
    assert control["received"] == "2026-09-21T14:13:20.500Z"
    assert (path.parent / control["payload"]).read_bytes() == hl7()
    first, second = control["attachments"]
    assert (path.parent / first["file"]).read_bytes() == b"picture" * 100_000
    assert first["digest"] == blake2b(b"picture" * 100_000).hex()
    assert (path.parent / second["file"]).read_bytes() == b""
    assert second["name"] == "../../x\n.png"
    assert "/" not in second["file"]
    assert second["file"].isprintable()
    assert state_of(desk.station, seq) is State.DELIVERED
    assert row.handed_ms is not None
    assert len(desk.names("in")) == 5
    assert all(path.stat().st_mode & 0o077 == 0 for path in (desk.root / "in").iterdir())


def test_an_outside_body_is_laid_out_whole(desk: Desk) -> None:
    body = hl7() + b"x" * 3_000_000
    (desk.station.home / "body").write_bytes(body)
    desk.station.receive(body, quietly=True, body_path="body")
    desk.polls(1)
    path, control = control_of(desk)
    assert control["payload"].endswith(".hl7")
    assert (path.parent / control["payload"]).read_bytes() == body


def test_a_message_of_files_alone_has_no_payload(desk: Desk) -> None:
    seq = desk.station.receive(b"", kind="file", quietly=True)
    attach(desk.station, seq, "a.png", b"picture")
    desk.polls(1)
    _, control = control_of(desk)
    assert control["payload"] is None


@pytest.mark.parametrize("taking", ["remove", "rename"])
def test_taking_the_control_file_is_the_receipt(desk: Desk, taking: str) -> None:
    seq = desk.station.receive(hl7())
    desk.polls(2)
    assert state_of(desk.station, seq) is State.DELIVERED
    path, control = control_of(desk)
    if taking == "remove":
        path.unlink()
    else:
        path.rename(path.with_suffix(".taken"))
    desk.polls(1)
    assert state_of(desk.station, seq) is State.PROCESSED
    assert len(desk.station.receipts()) == 1
    assert (path.parent / control["payload"]).exists(), "the program may still be reading it"
    desk.polls(3)
    assert desk.shown() == [name for name in desk.shown() if not name.endswith(".json")]


def test_names_are_in_the_order_of_arrival(desk: Desk) -> None:
    for number in range(12):
        desk.station.receive(str(number).encode(), quietly=True)
    desk.polls(1)
    controls = [name for name in desk.shown() if name.endswith(".json")]
    payloads = [json.loads((desk.root / "in" / name).read_text())["payload"] for name in controls]
    assert [(desk.root / "in" / name).read_text() for name in payloads] == [
        str(number) for number in range(12)
    ]


def test_only_what_the_folder_covers_is_laid_out(station: Station) -> None:
    settings = Folder(mailboxes=("labo", "cardio"))
    with open_folder(station, settings=settings, covers=lambda received: received.kind == "file") as desk:
        for mailbox in ("labo", "cardio", "urgences"):
            for kind in ("ORU^R01", "file"):
                station.receive(b"x", recipient=f"{mailbox}@chu-alger", kind=kind)
        desk.polls(1)
        controls = [json.loads(path.read_text()) for path in sorted((desk.root / "in").glob("0*.json"))]
        assert [(one["to"], one["kind"]) for one in controls] == [
            ("labo@chu-alger", "file"), ("cardio@chu-alger", "file"),
        ]  # fmt: skip


def test_what_others_deliver_does_not_stand_in_the_way(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LAID_A_TURN", 5)
    with open_folder(station, covers=lambda received: received.kind == "file") as desk:
        for _ in range(20):
            station.receive(b"x", quietly=True)
        station.receive(b"mine", kind="file", quietly=True)
        desk.polls(1)
        assert len([name for name in desk.shown() if name.endswith(".json")]) == 1


def test_no_more_lie_there_than_the_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LAID_AT_ONCE", 7)
    monkeypatch.setattr(bounds, "LAID_A_TURN", 3)
    for _ in range(20):
        desk.station.receive(b"x", quietly=True)
    taken = 0
    for _ in range(5):
        desk.polls(2)
        controls = sorted((desk.root / "in").glob("0*.json"))
        assert len(controls) <= 7
        for path in controls:
            path.unlink()
            taken += 1
    assert taken == 20


def test_one_id_for_two_mailboxes_or_from_two_senders_is_laid_out_each_time(desk: Desk) -> None:
    one = new_id(EPOCH_MS)
    seqs = [
        desk.station.receive(b"x", recipient=f"{box}@chu-alger", quietly=True, identifier=one)
        for box in ("labo", "cardio")
    ]
    seqs.append(desk.station.receive(b"y", sender="accueil@clinique-sud", quietly=True, identifier=one))
    desk.polls(1)
    controls = sorted((desk.root / "in").glob("0*.json"))
    assert len(controls) == 3
    controls[1].unlink()
    desk.polls(1)
    assert [state_of(desk.station, seq) for seq in seqs] == [
        State.DELIVERED,
        State.PROCESSED,
        State.DELIVERED,
    ]


# ── the folder vanished ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("vanishing", ["marker", "in", "all", "emptied"])
def test_a_vanished_folder_is_no_receipt(desk: Desk, vanishing: str) -> None:
    """A directory that is not there, or is another one, says nothing about what a program took."""
    seq = desk.station.receive(hl7())
    desk.polls(1)
    inside = desk.root / "in"
    match vanishing:
        case "marker":
            for path in inside.iterdir():
                path.unlink()
        case "in":
            shutil.rmtree(inside)
        case "all":
            shutil.rmtree(desk.root)
        case _:
            shutil.rmtree(inside)
            inside.mkdir()
    later = desk.station.receive(hl7("2"))
    desk.polls(5)
    assert state_of(desk.station, seq) is State.DELIVERED
    assert desk.station.receipts() == []
    assert len(desk.alarms) == 1
    assert desk.station.inbox_row(later).handed_ms is None


def test_a_folder_that_comes_back_is_gone_on_with(desk: Desk) -> None:
    seq = desk.station.receive(hl7())
    desk.polls(1)
    hidden = desk.root.with_name("elsewhere")
    desk.root.rename(hidden)
    desk.polls(3)
    hidden.rename(desk.root)
    desk.polls(2)
    assert state_of(desk.station, seq) is State.DELIVERED
    control_of(desk)[0].unlink()
    desk.polls(2)
    assert state_of(desk.station, seq) is State.PROCESSED


def test_after_a_restart_on_an_empty_folder_all_is_laid_out_again(station: Station) -> None:
    with open_folder(station) as desk:
        seqs = [station.receive(hl7(str(number))) for number in range(3)]
        desk.polls(1)
        names = desk.shown()
        shutil.rmtree(desk.root)
    with open_folder(station) as desk:
        assert desk.shown() == names
        assert all(state_of(station, seq) is State.DELIVERED for seq in seqs)


# ── crashes ────────────────────────────────────────────────────────────────────────────────


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("place", ["folder-staged", "folder-handed", "folder-shown"])
def test_a_crash_at_any_step_lays_out_once_and_the_same(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Before, the same message without a crash: the files must come out alike, name by name."""
    seq = station.receive(hl7(), quietly=True)
    attach(station, seq, "a.png", b"picture")
    with open_folder(station) as undisturbed:
        undisturbed.polls(1)
        expected = snapshot(undisturbed.root / "in")
        shutil.rmtree(undisturbed.root)
    station.do(lambda c: c.execute(update(tables.inbox).values(handed_ms=None)))

    gateways: list[FolderGateway] = []
    visited: list[str] = []

    def reached(name: str) -> None:
        if name == place:
            visited.append(name)
            gateways[0]._stopping = True
            raise RuntimeError("crash")

    monkeypatch.setattr(crash, "reached", reached)
    with crashed_folder(station) as crashing:
        gateways.append(crashing.gateway)
        station.advance(2)
        shown = [name for name in crashing.shown() if name.endswith(".json")]
        assert bool(shown) == (place == "folder-shown"), "no program sees it before it is noted as handed out"
    assert visited
    monkeypatch.setattr(crash, "reached", lambda _: None)
    with open_folder(station) as again:
        again.polls(2)
        assert snapshot(again.root / "in") == expected
        assert state_of(station, seq) is State.DELIVERED
        control_of(again)[0].unlink()
        again.polls(2)
        assert state_of(station, seq) is State.PROCESSED
        again.polls(2)
        assert not [name for name in again.shown() if name.endswith(".json")], "not laid out twice"


def test_what_was_taken_while_the_node_was_down_is_concluded(station: Station) -> None:
    with open_folder(station) as desk:
        seq = station.receive(hl7())
        desk.polls(1)
        path, _ = control_of(desk)
    path.unlink()
    with open_folder(station) as desk:
        desk.polls(1)
    assert state_of(station, seq) is State.PROCESSED


def test_a_half_written_file_of_a_crash_is_written_anew(desk: Desk) -> None:
    seq = desk.station.receive(hl7(), quietly=True)
    name = f"{seq:010d}-{id_text(desk.station.inbox_row(seq).id)}.hl7"
    (desk.root / "in" / f".{name}.tmp").write_bytes(b"half")
    desk.polls(1)
    assert (desk.root / "in" / name).read_bytes() == hl7()
    assert not (desk.root / "in" / f".{name}.tmp").exists()


# ── trouble ────────────────────────────────────────────────────────────────────────────────


def test_damaged_files_are_not_handed_on(desk: Desk) -> None:
    seq = desk.station.receive(b"x", quietly=True)
    attach(desk.station, seq, "a.png", b"picture").write_bytes(b"pict0re")
    fine = desk.station.receive(b"y", quietly=True)
    desk.polls(3)
    assert desk.station.inbox_row(seq).handed_ms is None
    assert desk.station.inbox_row(fine).handed_ms is not None
    assert len(desk.alarms) == 1
    assert "a.png" in desk.alarms[0][1]


def test_each_of_several_troubles_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both halves of the folder, and each damaged message of one: the operator sees all at once."""
    for name in ("a.png", "b.png"):
        seq = desk.station.receive(b"x", quietly=True)
        attach(desk.station, seq, name, b"picture").write_bytes(b"pict0re")

    async def busy(_draft: object) -> None:
        raise DatabaseBusy("too much to do")

    monkeypatch.setattr(desk.station.post, "put", busy)
    (desk.root / "out" / "a.hl7").write_bytes(hl7(to="cardio|chu-oran"))
    desk.polls(5)
    texts = [text for _, text in desk.alarms]
    assert len(texts) == len(set(texts)) == 3
    assert sum("too much to do" in text for text in texts) == 1


def test_a_stored_file_that_is_gone_does_not_hold_up_the_others(desk: Desk) -> None:
    seq = desk.station.receive(b"x", quietly=True)
    attach(desk.station, seq, "a.png", b"picture").unlink()
    fine = desk.station.receive(b"y", quietly=True)
    desk.polls(1)
    assert desk.station.inbox_row(seq).handed_ms is None
    assert desk.station.inbox_row(fine).handed_ms is not None


def test_a_sender_whose_clock_is_beyond_all_years_holds_up_nothing(desk: Desk) -> None:
    desk.station.receive(b"x", quietly=True)
    desk.station.do(lambda c: c.execute(update(tables.inbox).values(created_ms=1 << 53)))
    desk.polls(1)
    assert control_of(desk)[1]["created"] == "9999-12-30T23:59:59.000Z"


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_failed_sync_hands_nothing_out_and_ends_the_process(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Not at the next turn either, though the disk says that all is well again."""
    with monkeypatch.context() as patch:
        fail_syncs(patch, call)
        seq = desk.station.receive(hl7())
        desk.polls(1)
    desk.polls(2)
    assert [type(error) for error in desk.fatal] == [StorageFailed]
    assert desk.station.inbox_row(seq).handed_ms is None
    assert desk.shown() in ([], [f"{seq:010d}-{id_text(desk.station.inbox_row(seq).id)}.hl7"])


def test_a_full_disk_lays_nothing_out(tmp_path: Path) -> None:
    with open_station(tmp_path) as station, open_folder(station, floor_bytes=1 << 62) as desk:
        seq = station.receive(b"x")
        desk.polls(2)
        assert station.inbox_row(seq).handed_ms is None
        assert desk.shown() == []
        assert [code for code, _ in desk.alarms] == ["folder-trouble"]


def test_a_link_planted_in_the_way_is_not_written_through(desk: Desk) -> None:
    victim = desk.station.home / "victim"
    victim.write_bytes(b"precious")
    seq = desk.station.receive(hl7(), quietly=True)
    start = f"{seq:010d}-{id_text(desk.station.inbox_row(seq).id)}"
    for name in (f"{start}.hl7", f".{start}.hl7.tmp", f".{start}.json.staged"):
        (desk.root / "in" / name).symlink_to(victim)
    desk.polls(1)
    assert victim.read_bytes() == b"precious"
    assert (desk.root / "in" / f"{start}.hl7").read_bytes() == hl7()
