"""Attachments on their way in: what the hub says when its own disk is the trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto import filestream
from hub.files.layout import storage_key
from protocols.link import frames as f
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import NodeKeys, Rest, message_id

ONE = NodeKeys.numbered(1)
ID = message_id(7)
CHUNKS = [
    filestream.ChunkSealer(bytes(32)).seal(0, last=False, plain=bytes(filestream.CHUNK_BYTES)),
    filestream.ChunkSealer(bytes(32)).seal(1, last=True, plain=b"scan"),
]
SIZE_BYTES = filestream.CHUNK_BYTES + 4


def offer() -> f.Offer:
    root = filestream.RootHash()
    for index, chunk in enumerate(CHUNKS):
        root.add(filestream.leaf_hash(index, chunk))
    return f.Offer(ID, SIZE_BYTES, root.digest())


@pytest.fixture
def caller(rest: Rest) -> Caller:
    enrol(rest, "chu-oran", ONE, "cardio")
    caller = Caller(rest, ONE)
    caller.turn()
    return caller


def path_of(rest: Rest, suffix: str) -> Path:
    """Return the attachment's file, as nobody has it open."""
    rest.core.files._files.close()
    (found,) = rest.core.home.rglob(storage_key("chu-oran", ID).hex() + suffix)
    return found


def test_an_attachment_is_asked_for_and_stored(caller: Caller) -> None:
    caller.say(offer())
    assert caller.heard(f.Want) == [f.Want(ID, 0, 2)]
    caller.say(*(f.Chunk(ID, index, chunk) for index, chunk in enumerate(CHUNKS)))
    assert caller.heard(f.Stored) == [f.Stored(ID)]


@pytest.mark.parametrize("suffix", [".part", ".sealed"])
def test_what_is_damaged_at_the_hub_is_asked_for_again(rest: Rest, caller: Caller, suffix: str) -> None:
    """The sender did nothing wrong: its message is not to come back for that."""
    caller.say(offer())
    caller.say(
        *(f.Chunk(ID, index, chunk) for index, chunk in enumerate(CHUNKS[: 1 + (suffix == ".sealed")]))
    )
    caller.lose()
    path_of(rest, suffix).write_bytes(b"\xff" * 100)
    again = Caller(rest, ONE)
    again.turn()
    again.say(offer())
    (refused,) = again.heard(f.FileRefused)
    assert (refused.code, refused.retry_after_ms > 0) == ("try-later", True)
    again.say(offer())
    assert again.heard(f.Want) == [f.Want(ID, 0, 2)]


def test_an_upload_that_is_gone_from_the_disk_begins_again(rest: Rest, caller: Caller) -> None:
    caller.say(offer())
    path_of(rest, ".part").unlink()
    caller.say(f.Chunk(ID, 0, CHUNKS[0]))
    (refused,) = caller.heard(f.FileRefused)
    assert (refused.code, refused.retry_after_ms > 0) == ("try-later", True)
    caller.say(offer())
    assert caller.heard(f.Want)[-1] == f.Want(ID, 0, 2)


def test_a_wrong_root_is_final(caller: Caller) -> None:
    wrong = f.Offer(ID, SIZE_BYTES, bytes(32))
    caller.say(wrong)
    caller.say(*(f.Chunk(ID, index, chunk) for index, chunk in enumerate(CHUNKS)))
    (refused,) = caller.heard(f.FileRefused)
    assert (refused.code, refused.retry_after_ms) == ("bad-attachment", 0)
