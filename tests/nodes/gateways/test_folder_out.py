"""The drop folder, outwards: what is dropped is sent once, or comes back with a reason; hostile names too."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.node import Mllp
from nodes.gateways.folder import FolderGateway, bounds, moving
from nodes.gateways.folder.places import open_places
from nodes.link import outbox, tracking
from nodes.link.ids import id_text
from protocols.link.envelope import Priority
from runtime import crash
from runtime.storage_errors import DatabaseBusy
from tests.nodes.fixtures import Station, open_station
from tests.nodes.gateways.folders import DAY_MS, Desk, crashed_folder, hl7, open_folder


@pytest.fixture
def desk(station: Station) -> Iterator[Desk]:
    with open_folder(station) as opened:
        yield opened


CONTROL = """
to = ["labo@chu-oran", "accueil@clinique-sud"]
from = "urgences"
subject = "Compte rendu — تقرير"
patient = "77"
payload = "letter.dat"
attachments = ["scan.dcm", "image.png"]
priority = "stat"
valid_for = "2d"
kind = "MDM^T02"
"""


def drop_pair(desk: Desk, control: str = CONTROL, name: str = "letter.toml") -> None:
    desk.drop("letter.dat", b"the letter")
    desk.drop("scan.dcm", b"s" * 300_000)
    desk.drop("image.png", b"")
    desk.drop(name, control)


def test_the_folder_is_private(desk: Desk) -> None:
    assert desk.names("") == ["failed", "in", "out", "sent"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [desk.root, *desk.root.iterdir()])


@pytest.mark.parametrize("name", ["letter.toml", "letter.json", "LETTER.TOML"])
def test_a_pair_is_sent_with_all_that_its_control_file_says(desk: Desk, name: str) -> None:
    import tomllib  # noqa: PLC0415 - only here

    text = CONTROL if name.lower().endswith("toml") else json.dumps(tomllib.loads(CONTROL))
    drop_pair(desk, text, name)
    desk.polls()
    (sent,) = desk.station.sent()
    assert (sent.sender, sent.kind, sent.subject, sent.patient, sent.priority) == (
        "urgences@chu-alger", "MDM^T02", "Compte rendu — تقرير", "77", Priority.STAT,
    )  # fmt: skip
    assert [one.recipient for one in sent.recipients] == ["accueil@clinique-sud", "labo@chu-oran"]
    assert sent.expires_ms - sent.created_ms == 2 * DAY_MS
    content, body = desk.station.do(lambda c: tracking.open_content(c, sent.id, desk.station.home))
    assert body == b"the letter"
    assert [(file.name, file.media_type) for file in content.files] == [
        ("scan.dcm", "application/dicom"), ("image.png", "image/png"),
    ]  # fmt: skip
    assert desk.names("out") == []
    assert desk.names("sent") == sorted(
        f"{id_text(sent.id)}-{file}" for file in ("letter.dat", "scan.dcm", "image.png", name)
    )
    assert desk.names("") == ["failed", "in", "out", "sent"]


def test_an_hl7_file_addresses_itself(desk: Desk) -> None:
    desk.drop("a.hl7", hl7("7"))
    desk.drop("b.ER7", hl7("8"))
    desk.polls()
    first, second = desk.station.sent()
    assert (first.sender, first.recipients[0].recipient) == ("urgences@chu-alger", "labo@chu-oran")
    assert (first.kind, first.patient) == ("ADT^A01", "77")
    assert desk.station.body_of(first.id) == hl7("7")
    assert desk.names("sent") == sorted([f"{id_text(first.id)}-a.hl7", f"{id_text(second.id)}-b.ER7"])


def test_order_is_that_of_writing_not_of_names(desk: Desk) -> None:
    for number, name in enumerate(["c.hl7", "a.hl7", "b.hl7"]):
        path = desk.drop(name, hl7(str(number)))
        os.utime(path, ns=(1, 1_000_000 * (number + 1)))
    desk.polls()
    assert [desk.station.body_of(sent.id) for sent in desk.station.sent()] == [hl7("0"), hl7("1"), hl7("2")]


def test_the_routes_of_mllp_hold_here_too(station: Station) -> None:
    with open_folder(station, mllp=Mllp(sender="cardio")) as desk:
        desk.drop("a.hl7", hl7("7", sender="X|Y"))
        desk.polls()
    assert [sent.sender for sent in station.sent()] == ["cardio@chu-alger"]


def test_a_batch_is_taken_apart(desk: Desk) -> None:
    parts = [hl7("1"), hl7("2"), hl7("3")]
    desk.drop("batch.hl7", b"FHS|^~\\&\rBHS|^~\\&\r" + b"".join(parts) + b"BTS|3\rFTS|1\r")
    desk.polls()
    assert [desk.station.body_of(sent.id) for sent in desk.station.sent()] == parts
    assert len(desk.names("sent")) == 1


def test_a_batch_with_a_bad_message_sends_the_good_ones_and_says_which_is_bad(desk: Desk) -> None:
    batch = hl7("1") + hl7("2", to="labo|nowhere") + hl7("3")
    desk.drop("batch.hl7", batch)
    desk.polls()
    assert len(desk.station.sent()) == 2
    assert desk.names("failed") == ["batch.hl7", "batch.hl7.reason.txt"]
    reason = desk.reason()
    assert "message 2 of 3" in reason
    assert "nowhere" in reason
    assert all(id_text(sent.id) in reason for sent in desk.station.sent())
    (desk.root / "failed" / "batch.hl7").rename(desk.root / "out" / "batch.hl7")
    desk.polls()
    assert len(desk.station.sent()) == 2, "what was sent is not sent again"


def test_what_is_being_written_is_left_alone(desk: Desk) -> None:
    path = desk.drop("slow.hl7", b"")
    for piece in (hl7()[:10], hl7()[10:20], hl7()[20:]):
        desk.station.advance(0.8)
        with path.open("ab") as file:
            file.write(piece)
    assert desk.station.sent() == []
    desk.polls()
    assert len(desk.station.sent()) == 1


def test_arrivals_do_not_make_a_half_written_file_look_settled(desk: Desk) -> None:
    desk.polls(2)
    desk.drop("slow.hl7", hl7())
    for _ in range(10):
        desk.station.receive(b"x")
    desk.station.advance(0.2)
    assert desk.station.sent() == []


@pytest.mark.parametrize("name", [".hidden.hl7", "x.hl7.tmp", "x.hl7.part", ".x.toml", "readme.txt", "x.pdf"])
def test_other_names_are_left_alone(desk: Desk, name: str) -> None:
    desk.drop(name, hl7())
    desk.polls(5)
    assert desk.names("out") == [name]
    assert desk.station.sent() == []


def test_a_payload_that_is_hl7_is_not_sent_on_its_own(desk: Desk) -> None:
    desk.drop("order.hl7", hl7("1"))
    desk.drop("other.hl7", hl7("2"))
    desk.drop(
        "order.toml",
        'to = ["cardio@chu-oran"]\nfrom="labo"\npayload = "other.hl7"\nattachments=["order.hl7"]',
    )
    desk.polls()
    (sent,) = desk.station.sent()
    assert [one.recipient for one in sent.recipients] == ["cardio@chu-oran"]
    assert sent.kind == "ADT^A01"
    assert desk.names("out") == []


def test_a_hidden_payload_can_be_named(desk: Desk) -> None:
    desk.drop(".report.json", b"{}")
    desk.drop("x.json", json.dumps({"to": "labo@chu-oran", "from": "labo", "payload": ".report.json"}))
    desk.polls()
    (sent,) = desk.station.sent()
    assert sent.kind == "file"
    assert desk.names("out") == []


# ── refusals ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("to = ", "Invalid value"),
        ("", "missing required field `to`"),
        ('to = ["labo@chu-oran"]\nfrom = "labo"', "neither a payload nor an attachment"),
        ('to = ["labo@chu-oran"]\nvalid_fore = "1d"', "valid_fore"),
        ("to = 7", "`$.to`"),
        ('to = ["labo"]\nfrom = "labo"\npayload = "p"', "'labo' is not an address"),
        ('to = ["labo@chu-0ran"]\nfrom = "labo"\npayload = "p"', "chu-0ran"),
        ('to = ["nobody@chu-oran"]\nfrom = "labo"\npayload = "p"', "it has: labo, cardio"),
        ('to = []\nfrom = "labo"\npayload = "p"', "at least one recipient"),
        ('to = "labo@chu-oran"\nfrom = "nobody"\npayload = "p"', "no mailbox of chu-alger"),
        ('to = "labo@chu-oran"\nfrom = "labo@chu-oran"\npayload = "p"', "for chu-alger only"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\nkind = "a b"', "the kind 'a b'"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\nvalid_for = "5 days"', "needs a duration"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\nvalid_for = "900d"', "90 days"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\npriority = "high"', "high"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "q"', "there is no file 'q'"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "../in/.wasl"', "no plain file name"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "/etc/passwd"', "no plain file name"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = ".."', "no plain file name"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = ""', "no plain file name"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "a\\u0000b"', "no plain file name"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "' + "x" * 300 + '"', "300 bytes"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\nattachments = ["p"]', "one file twice"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "p.toml"', "names itself"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "link"', "a symbolic link"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "fifo"', "a FIFO"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "socket"', "a socket"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "directory"', "a directory"),
        ('to = "labo@chu-oran"\nfrom = "labo"\npayload = "bad.dat"', "MSH-10"),
        (f'to = "labo@chu-oran"\nfrom = "labo"\npayload = "p"\nsubject = "{"s" * 201}"', "at most 200"),
        (f'to = "labo@chu-oran"\nfrom = "labo"\nattachments = {[f"f{n}" for n in range(33)]}', "at most 32"),
        ("a = " + "[" * 5_000, "nested"),
        ("\udcff\udcfe", "not UTF-8"),
    ],
)
def test_what_cannot_be_right_comes_back_with_a_reason(desk: Desk, control: str, says: str) -> None:
    desk.drop("p", b"payload")
    desk.drop("bad.dat", b"MSH|^~\\&|a|b|c|d|||ADT^A01||P|2.5\r")
    out = desk.root / "out"
    (out / "link").symlink_to("p")
    (out / "directory").mkdir()
    os.mkfifo(out / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(out / "socket"))
    desk.drop("p.toml", control.encode("utf-8", "surrogateescape"))
    desk.polls()
    assert desk.station.sent() == []
    assert says in desk.reason()
    assert "p.toml" in desk.names("failed")
    assert "p.toml" not in desk.names("out")
    assert [code for code, _ in desk.alarms] == ["folder-failed"]


def test_what_failed_is_not_overwritten_by_what_fails_later(desk: Desk) -> None:
    for text in ("first", "second"):
        desk.drop("x.hl7", text)
        desk.polls()
    assert desk.names("failed") == ["1-x.hl7", "1-x.hl7.reason.txt", "x.hl7", "x.hl7.reason.txt"]
    assert (desk.root / "failed/x.hl7").read_text() == "first"
    assert (desk.root / "failed/1-x.hl7").read_text() == "second"


def test_a_payload_beside_a_broken_control_file_is_not_sent_on_its_own(desk: Desk) -> None:
    desk.drop("x.hl7", hl7())
    desk.drop("x.toml", "to = [")
    desk.polls()
    assert desk.station.sent() == []
    assert desk.names("failed") == ["x.hl7", "x.toml", "x.toml.reason.txt"]


@pytest.mark.parametrize("suffix", [".hl7", ".toml", ".json"])
def test_links_fifos_and_directories_are_put_aside_unopened(desk: Desk, suffix: str) -> None:
    out = desk.root / "out"
    secret = desk.station.home / "secret"
    secret.write_bytes(hl7())
    (out / f"a{suffix}").symlink_to(secret)
    os.mkfifo(out / f"b{suffix}")
    (out / f"c{suffix}").mkdir()
    desk.polls()
    assert desk.station.sent() == []
    assert desk.names("out") == []
    assert len([name for name in desk.names("failed") if name.endswith(".reason.txt")]) == 3
    assert secret.read_bytes() == hl7()


@pytest.mark.parametrize(
    "raw_name",
    [b"a\nb.hl7", b"\xff\xfe.hl7", b"x" * 251 + b".hl7", "وصفة.hl7".encode() * 12, b"-rf.hl7", b"a;b|c.hl7"],
)
def test_odd_names_are_sent_and_made_harmless(desk: Desk, raw_name: bytes) -> None:
    path = (
        os.fsencode(desk.root / "out")
        + b"/"
        + raw_name[-255:].lstrip(b"\x80\x81\x82\x83\x84\x85\x88\x8a\xb1\xb5")
    )
    with open(path, "wb") as file:  # noqa: PTH123 - a name that is not text
        file.write(hl7())
    desk.polls()
    assert len(desk.station.sent()) == 1
    (name,) = desk.names("sent")
    assert name.isprintable()
    assert name.startswith(id_text(desk.station.sent()[0].id))


def test_odd_names_that_fail_are_made_harmless_too(desk: Desk) -> None:
    with open(os.fsencode(desk.root / "out") + b"/\xff\n" + b"y" * 240 + b".hl7", "wb") as file:  # noqa: PTH123
        file.write(b"nothing")
    desk.polls()
    assert all(name.isprintable() for name in desk.names("failed"))
    assert len(desk.names("failed")) == 2


@pytest.mark.parametrize(
    ("name", "size"), [("x.toml", bounds.CONTROL_BYTES), ("x.hl7", bounds.PAYLOAD_BYTES)]
)
def test_what_is_too_large_is_not_read(desk: Desk, name: str, size: int) -> None:
    with (desk.root / "out" / name).open("wb") as file:
        file.truncate(size * 64)
    desk.polls()
    assert "too large" in desk.reason()


def test_a_body_beyond_one_record_goes_too(desk: Desk) -> None:
    body = hl7() + b"NTE|1||" + b"x" * 300_000 + b"\r"
    desk.drop("large.hl7", body)
    desk.polls()
    assert desk.station.body_of(desk.station.sent()[0].id) == body


def test_thousands_of_files_are_all_sent_in_bounded_turns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "TAKEN_A_TURN", 10)
    for number in range(65):
        desk.drop(f"{number}.hl7", hl7(str(number)))
    desk.polls(4)
    assert len(desk.station.sent()) == 65
    assert len(desk.names("sent")) == 65


# ── once ───────────────────────────────────────────────────────────────────────────────────


def test_the_same_again_is_the_same_message(desk: Desk) -> None:
    for _ in range(2):
        drop_pair(desk)
        desk.drop("a.hl7", hl7())
        desk.polls()
    assert len(desk.station.sent()) == 2
    assert desk.names("failed") == []


def test_the_same_key_for_other_content_is_refused(desk: Desk) -> None:
    for content in ("first", "second"):
        desk.drop("p", content)
        desk.drop("c.toml", 'to="labo@chu-oran"\nfrom="labo"\npayload="p"\nid="key-1"')
        desk.polls()
    assert len(desk.station.sent()) == 1
    assert "key-conflict" in desk.reason()


@pytest.mark.parametrize("place", ["folder-put", "folder-move-noted", "folder-moved-one"])
@pytest.mark.parametrize("visit", [1, 2, 3])
def test_a_crash_at_any_step_sends_once_and_loses_nothing(
    station: Station, monkeypatch: pytest.MonkeyPatch, place: str, visit: int
) -> None:
    """After a commit and before the files have moved, and between any two of the moves."""
    visits: list[str] = []
    gateways: list[FolderGateway] = []

    def reached(name: str) -> None:
        if name == place:
            visits.append(name)
            if len(visits) == visit:
                gateways[0]._stopping = True
                raise RuntimeError("crash")

    with open_folder(station) as first:
        drop_pair(first)
        first.drop("a.hl7", hl7())
    monkeypatch.setattr(crash, "reached", reached)
    with crashed_folder(station) as second:
        gateways.append(second.gateway)
        second.station.advance(2.2)
    assert visits, "the place was never reached"
    monkeypatch.setattr(crash, "reached", lambda _: None)
    with open_folder(station) as third:
        third.polls(4)
        assert len(station.sent()) == 2
        assert third.names("out") == []
        assert third.names("failed") == []
        assert len(third.names("sent")) == 5
        assert third.names("") == ["failed", "in", "out", "sent"]


def test_trouble_leaves_everything_in_its_place_and_is_tried_again(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_folder(station) as desk:
        desk.drop("a.hl7", hl7())
        real = station.post.put

        async def busy(_draft: outbox.Draft) -> outbox.Put:
            raise DatabaseBusy("too much to do")

        monkeypatch.setattr(station.post, "put", busy)
        desk.polls(5)
        assert desk.names("out") == ["a.hl7"]
        assert [code for code, _ in desk.alarms] == ["folder-trouble"], "once, not at every poll"
        monkeypatch.setattr(station.post, "put", real)
        desk.polls(2)
        assert len(station.sent()) == 1
        assert desk.names("out") == []


def test_a_full_disk_leaves_everything_in_its_place(tmp_path: Path) -> None:
    with open_station(tmp_path, floor_bytes=1 << 62) as station, open_folder(station) as desk:
        drop_pair(desk)
        desk.polls()
        assert len(desk.names("out")) == 4
        assert desk.names("failed") == []
        assert station.sent() == []
        assert list((station.home / "outgoing").glob("*")) == []


def test_a_note_that_is_not_ours_moves_nothing_out_of_the_folder(desk: Desk) -> None:
    desk.drop("x", b"x")
    with open_places(desk.root) as places:
        for note in (
            b"{",
            b'{"to":"sent","files":[["../in/.wasl","y"]]}',
            b'{"to":"failed","files":[["x","../y"]]}',
        ):
            (desk.root / moving.NOTE).write_bytes(note)
            moving.finish(places)
            assert not (desk.root / moving.NOTE).exists()
    assert desk.names("out") == ["x"]
    assert (desk.root / "in/.wasl").exists()
