"""Uploads into a draft: cut and resumed, never taken for what they are not, and only into one's own draft."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import NoReturn

import pytest

from nodes.desk.compose import bounds, receiving, service, store
from nodes.desk.roles import Role
from nodes.gateways.api.uploads import Uploads
from nodes.link import files, tracking
from nodes.link.tracking import SentFile
from protocols.hl7.er7 import Message
from runtime.storage_errors import StorageFull
from tests.nodes.desk.composing import Uploading, begun, sent, written
from tests.nodes.desk.desks import Browser, Ward

PIECE = bounds.PIECE_BYTES
SCAN = bytes(range(256)) * (2 * PIECE // 256) + b"the rest"
"""Three pieces, the last one short."""


def left(ward: Ward) -> list[str]:
    return sorted(path.name for path in (ward.desk.home / receiving.DIRECTORY).iterdir())


def files_of(ward: Ward, identifier: bytes) -> tuple[SentFile, ...]:
    return ward.station.do(lambda c: tracking.open_files(c, identifier))


def code(answer: object) -> str:
    return str(json.loads(answer.data)["code"])  # type: ignore[attr-defined]  # a TestResponse


def test_a_file_comes_in_pieces_and_goes_with_the_message(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    upload = Uploading(writer, draft, "IRM/1\u202e.dcm", SCAN)
    assert upload.all().status_code == 204
    assert upload.finish().status_code == 204, "finished twice is finished"
    assert "IRM_1_.dcm" in writer.get(f"/compose/{draft}/check").text
    assert sent(writer, draft).status_code == 303
    (one,) = ward.station.sent()
    (file,) = files_of(ward, one.id)
    assert (file.name, file.size, file.digest) == (
        "IRM_1_.dcm",
        len(SCAN),
        hashlib.blake2b(SCAN, digest_size=32).digest(),
    )
    message = Message(ward.station.body_of(one.id))
    assert [message.get(f"OBX[2]-5.{n}") for n in (1, 3, 4)] == ["IRM_1_.dcm", "AP", "dicom"]
    assert left(ward) == []


def test_a_cut_upload_goes_on_where_it_was(writer: Browser) -> None:
    draft = begun(writer)
    upload = Uploading(writer, draft, "a.bin", SCAN, mark="a|1|2")
    assert upload.piece(0).headers["Upload-Offset"] == str(PIECE)
    head = writer.client.head(upload.at, base_url=writer.base)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(PIECE), str(len(SCAN)))
    again = Uploading(writer, draft, "a.bin", SCAN, mark="a|1|2")
    assert (again.at, again.received) == (upload.at, PIECE)
    assert again.all().status_code == 204
    another = Uploading(writer, draft, "a.bin", SCAN, mark="a|1|2")
    assert another.at != upload.at, "a whole one is not gone on with"
    assert "a (2).bin" in writer.get(f"/compose/{draft}/files").text


@pytest.mark.parametrize("offset", [1, 2 * PIECE, len(SCAN), bounds.FILE_BYTES])
def test_a_wrong_offset_is_told_the_right_one(other: Browser, offset: int) -> None:
    upload = Uploading(other, begun(other), "a.bin", SCAN)
    upload.piece(0)
    answer = upload.piece(offset, SCAN[PIECE : 2 * PIECE])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, str(PIECE))
    assert upload.piece(0).status_code == 409, "a piece twice"


@pytest.mark.parametrize("offset", ["-1", "1e3", "", "9" * 19, "9" * 400, str(1 << 63), "٣"])
def test_an_offset_that_is_no_number_is_refused(other: Browser, offset: str) -> None:
    upload = Uploading(other, begun(other), "a.bin", SCAN)
    headers = {"Upload-Offset": offset.encode().decode("latin-1"), "X-CSRFToken": other.token("/account")}
    answer = other.client.patch(upload.at, data=SCAN[:PIECE], headers=headers, base_url=other.base)
    assert (answer.status_code, code(answer)) == (422, "bad-number")


@pytest.mark.parametrize("data", [b"", b"short", SCAN[: PIECE + 1]])
def test_a_piece_of_another_length_is_refused(other: Browser, data: bytes) -> None:
    upload = Uploading(other, begun(other), "a.bin", SCAN)
    assert code(upload.piece(0, data)) == "bad-piece"
    assert upload.piece(0).status_code == 204


@pytest.mark.parametrize(
    "checksum", ["sha256 AAAA", "md5 " + "A" * 43 + "=", "sha256 " + "A" * 43 + "=", "sha256 ü"]
)
def test_a_damaged_piece_is_not_kept(other: Browser, checksum: str) -> None:
    upload = Uploading(other, begun(other), "a.bin", SCAN)
    answer = upload.piece(0, checksum=checksum)
    assert (answer.status_code, code(answer)) == (422, "bad-hash")
    assert upload.piece(0, checksum=None).status_code == 204, "who cannot hash says nothing"


def test_another_file_under_the_same_mark_is_found_out_and_begins_anew(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    Uploading(writer, draft, "a.bin", SCAN, mark="m").piece(0)
    other = SCAN[::-1]
    upload = Uploading(writer, draft, "a.bin", other, mark="m")
    for offset in (PIECE, 2 * PIECE):
        assert upload.piece(offset).status_code == 204
    answer = upload.finish()
    assert (answer.status_code, code(answer)) == (422, "bad-root")
    assert sent(writer, draft).status_code == 422, "an unfinished file holds the message back"
    upload.received = 0
    assert upload.all().status_code == 204
    assert sent(writer, draft).status_code == 303
    assert len(ward.station.sent()) == 1


def test_what_is_not_whole_is_not_finished(writer: Browser) -> None:
    upload = Uploading(writer, begun(writer), "a.bin", SCAN)
    upload.piece(0)
    assert code(upload.finish()) == "incomplete"
    assert code(upload.finish("xyz")) == "bad-root"


@pytest.mark.parametrize("size", ["", "0", "-1", "many", str(1 << 63), str(bounds.FILE_BYTES + 1)])
def test_a_size_that_cannot_be_is_refused(shared: Ward, other: Browser, size: str) -> None:
    draft = begun(other)
    answer = other.post(f"/compose/{draft}/files", {"name": "a", "size": size})
    assert answer.status_code == 422
    assert code(answer) in {"bad-number", "empty-file"}
    assert shared.desk.read(lambda c: store.uploads_of(c, draft)) == []


def test_a_disk_without_room_says_so_before_anything_comes(
    ward: Ward, writer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And before deliveries are refused: those have to leave the floor itself, drafts a multiple of it."""
    floor = ward.desk.settings.disk.floor_bytes
    monkeypatch.setattr("nodes.link.files.free_bytes", lambda _home: bounds.DRAFTS_FLOOR * floor + 10)
    draft = begun(writer)
    assert Uploading(writer, draft, "a", b"0123456789").answer.status_code == 201
    answer = writer.post(f"/compose/{draft}/files", {"name": "a", "size": "11"})
    assert (answer.status_code, code(answer)) == (507, "no-room")
    files.check_room(ward.desk.home, 11, floor)


def test_the_drafts_of_an_account_hold_only_so_much(
    ward: Ward, writer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DRAFTS_BYTES", 20)
    first, second = written(writer), begun(writer)
    Uploading(writer, first, "a", b"0123456789").all()
    assert Uploading(writer, second, "b", b"0123456789").answer.status_code == 201, (
        "announced, and not here yet"
    )
    refused = Uploading(writer, second, "c", b"x").answer
    assert (refused.status_code, code(refused)) == (413, "too-much")
    assert "hold too much already" in json.loads(refused.data)["detail"]
    form = writer.post(f"/compose/{second}/files/form", {"file": [(io.BytesIO(b"x"), "c")]})
    assert "hold too much already" in writer.get(form.location.partition("#")[0]).text
    assert len(left(ward)) == 3, "two files, and the note of the one that is whole"
    nurse = ward.browser(Role.NURSE)
    assert Uploading(nurse, begun(nurse), "d", b"x").answer.status_code == 201, "each account for itself"
    assert sent(writer, first).status_code == 303
    assert Uploading(writer, second, "c", b"x").answer.status_code == 201, "what was sent counts no more"


def test_files_are_counted(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    for number in range(bounds.FILES):
        assert Uploading(writer, draft, f"{number}", b"x").answer.status_code == 201
    assert code(Uploading(writer, draft, "one more", b"x").answer) == "too-many-files"
    assert len(left(ward)) == bounds.FILES


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x", ".hidden", "", "a\x01b", "é" * 300, "\u202egnp.exe"]
)
def test_hostile_names_are_made_harmless(shared: Ward, other: Browser, name: str) -> None:
    draft = begun(other)
    upload = Uploading(other, draft, name, b"x")
    assert upload.all().status_code == 204
    (row,) = shared.desk.read(lambda c: store.uploads_of(c, draft))
    assert row.name
    assert len(row.name.encode()) <= 200
    assert not set(row.name) & set("/\\\x01\u202e")
    assert not row.name.startswith(".")


def test_somebody_elses_upload_does_not_exist(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    upload = Uploading(writer, draft, "a.bin", SCAN)
    other = ward.browser(Role.NURSE)
    theirs = begun(other)
    stolen = Uploading(other, theirs, "b.bin", SCAN)
    for at in (upload.at, upload.at.replace(draft, theirs)):
        stolen.at = at
        assert stolen.piece(0).status_code == 404
        assert stolen.finish().status_code == 404
        assert other.get(at).status_code == 404
        assert other.post(f"{at}/remove", {}).status_code == 404
    assert other.post(f"/compose/{draft}/files", {"name": "a", "size": "1"}).status_code == 404
    assert upload.piece(0).status_code == 204


def test_an_upload_into_a_draft_that_is_gone_is_not_found(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    upload = Uploading(writer, draft, "a.bin", SCAN)
    upload.piece(0)
    writer.post(f"/compose/{draft}/discard", {})
    assert upload.piece(PIECE).status_code == 404
    assert left(ward) == []


def test_a_file_that_is_removed_goes_from_the_disk(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    half, whole = Uploading(writer, draft, "a", SCAN), Uploading(writer, draft, "b", b"x")
    half.piece(0)
    whole.all()
    assert len(left(ward)) == 3
    for upload in (half, whole):
        assert writer.post(f"{upload.at}/remove", {}).status_code == 303
    assert left(ward) == []


def test_a_form_without_scripts_attaches_several_files(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    files = [(io.BytesIO(b"one"), "radio.png"), (io.BytesIO(b"x" * 300_000), "radio.png")]
    assert (
        writer.post(f"/compose/{draft}/files/form", {"file": files}).location
        == f"/compose/{draft}/content#files"
    )
    assert sent(writer, draft).status_code == 303
    (one,) = ward.station.sent()
    assert [(file.name, file.size) for file in files_of(ward, one.id)] == [
        ("radio.png", 3), ("radio (2).png", 300_000),
    ]  # fmt: skip


@pytest.mark.parametrize("files", [[], [(io.BytesIO(b""), "empty.png")]])
def test_a_form_without_a_file_says_so(other: Browser, files: list[tuple[io.BytesIO, str]]) -> None:
    draft = begun(other)
    answer = other.post(f"/compose/{draft}/files/form", {"file": files})
    assert "?refused=" in answer.location
    assert 'class="notice bad"' in other.get(answer.location.partition("#")[0]).text


def test_a_disk_that_fills_up_is_no_database_out_of_reach(
    ward: Ward, writer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_room(*_: object, **__: object) -> NoReturn:
        raise StorageFull("No space left on device")

    said = "no room on the node’s disk"
    draft, whole = begun(writer), written(writer)
    files_sent = {"file": [(io.BytesIO(b"one"), "a.bin")]}
    seq = ward.arrive("urgences")
    writer.get(f"/m/{seq}")
    with monkeypatch.context() as full:
        full.setattr(Uploads, "keep", out_of_room)
        answer = writer.post(f"/compose/{draft}/files/form", files_sent)
        assert (answer.status_code, answer.location) == (
            303, f"/compose/{draft}/content?refused=no-room#files",
        )  # fmt: skip
        assert said in writer.get(answer.location.partition("#")[0]).text
        passed_on = writer.post("/compose", {"forward": str(seq)})
        assert (passed_on.status_code, said in passed_on.text) == (422, True)
    monkeypatch.setattr(files, "prepare", out_of_room)
    answer = sent(writer, whole)
    assert (answer.status_code, said in answer.text) == (422, True)
    assert ward.station.sent() == []


def test_what_a_crash_left_behind_is_swept(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    Uploading(writer, draft, "a", SCAN).piece(0)
    whole = Uploading(writer, draft, "b", b"x")
    whole.all()
    own, long_ago_s = left(ward), ward.desk.clock.now_ms() / 1000 - 2 * 86_400
    for name in ("orphan.part", "0" * 32 + ".data"):
        (ward.desk.home / receiving.DIRECTORY / name).write_bytes(b"x")
    for path in (ward.desk.home / receiving.DIRECTORY).iterdir():
        os.utime(path, (long_ago_s, long_ago_s))
    receiving.sweep(ward.desk)
    assert left(ward) == own, "the orphans are gone, the draft's files are not"


def test_a_file_that_is_kept_during_a_sweep_is_no_orphan(ward: Ward, writer: Browser) -> None:
    """A draft that lay for days: its part's time is of then, and the sweep has asked for names already."""
    upload = Uploading(writer, begun(writer), "a", b"x")
    upload.piece(0)
    store_of = receiving.drawer(ward.desk)
    now_ms = ward.desk.clock.now_ms()
    (part,) = (ward.desk.home / receiving.DIRECTORY).iterdir()
    os.utime(part, (now_ms / 1000 - 2 * 86_400,) * 2)
    parts, kept = ward.desk.read(store.names_in_use)
    assert upload.finish().status_code == 204
    assert store_of.others(parts, kept, older_than_ms=now_ms - receiving.ORPHAN_MS) == []


def test_bytes_that_vanished_from_the_disk_are_asked_for_again(ward: Ward, writer: Browser) -> None:
    draft = begun(writer)
    upload = Uploading(writer, draft, "a", SCAN)
    upload.piece(0)
    for path in (ward.desk.home / receiving.DIRECTORY).iterdir():
        path.unlink()
    answer = upload.piece(PIECE)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")
    assert upload.all().status_code == 204


def test_a_kept_file_that_vanished_holds_the_message_back(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    Uploading(writer, draft, "a", b"x").all()
    for path in (ward.desk.home / receiving.DIRECTORY).iterdir():
        path.unlink()
    assert sent(writer, draft).status_code == 422
    assert ward.station.sent() == []
    assert ward.desk.read(lambda c: service.own(c, "clinician", draft)).sent_id is None
