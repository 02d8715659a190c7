"""Attachments on their way out: what is asked for is sent, in turns, and nothing else."""

from __future__ import annotations

import pytest

from hub.spool import store
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.envelope import AttachmentRef
from tests.hub.attachments import message_with, stored_file
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import ORAN, NodeKeys, Rest, entry

ONE = NodeKeys.numbered(1)
MANY = 3 * limits.TRANSFERS


@pytest.fixture
def refs(rest: Rest) -> list[AttachmentRef]:
    """Return the attachments of one message that waits for chu-oran; each has three chunks."""
    enrol(rest, "chu-alger", NodeKeys.numbered(2), "labo")
    enrol(rest, "chu-oran", ONE, "cardio")
    refs = [stored_file(rest, number, chunks=3) for number in range(1, MANY + 1)]
    sealed = message_with(*refs, number=99)
    one = entry(99, ORAN, files=len(refs), message=sealed)
    rest.sql(lambda connection: store.accept(connection, [one], rest.clock.now_ms()))
    return refs


@pytest.fixture
def caller(rest: Rest, refs: list[AttachmentRef]) -> Caller:
    caller = Caller(rest, ONE)
    caller.turn()
    assert len(caller.heard(f.Deliver)) == 1
    return caller


def chunks(caller: Caller) -> list[tuple[bytes, int]]:
    return [(chunk.id, chunk.index) for chunk in caller.heard(f.Chunk)]


def test_what_is_asked_for_is_sent_once(caller: Caller, refs: list[AttachmentRef]) -> None:
    one = refs[0].id
    caller.say(f.Want(one, 0, 2))
    assert chunks(caller) == [(one, 0), (one, 1)]
    caller.say(f.Want(one, 1, 3))
    assert chunks(caller) == [(one, 2)]


@pytest.mark.parametrize("until", [4, 64])
def test_a_range_beyond_the_end_is_refused_for_good(
    caller: Caller, refs: list[AttachmentRef], until: int
) -> None:
    caller.say(f.Want(refs[0].id, 0, until))
    (refused,) = caller.heard(f.FileRefused)
    assert (refused.id, refused.code, refused.retry_after_ms) == (refs[0].id, "past-end", 0)
    assert chunks(caller) == []


def test_fetches_that_the_node_gave_up_keep_no_other_waiting(
    caller: Caller, refs: list[AttachmentRef]
) -> None:
    """The hub cannot know that they were: an honest node asks for the next, many times over."""
    for ref in refs:
        caller.say(f.Want(ref.id, 0, 1))
        assert chunks(caller) == [(ref.id, 0)]


def test_many_at_once_are_sent_in_turns(rest: Rest, caller: Caller, refs: list[AttachmentRef]) -> None:
    for ref in refs:
        caller.session._writer.put(f.encode_frame(f.Want(ref.id, 0, 3)))
    caller.tell()
    (session,) = rest.core.sessions.everyone()
    assert session._downloads is not None
    reading = [download.reading for download in session._downloads._downloads.values()]
    assert (len(reading), sum(reading)) == (MANY, limits.TRANSFERS)
    caller.turn()
    assert sorted(chunks(caller)) == sorted((ref.id, index) for ref in refs for index in range(3))
    assert session._downloads._downloads == {}


def test_what_is_named_by_no_message_any_more_is_not_sent_on(
    rest: Rest, caller: Caller, refs: list[AttachmentRef]
) -> None:
    (session,) = rest.core.sessions.everyone()
    one = refs[0].id
    caller.say(f.Want(one, 0, 2))
    assert len(chunks(caller)) == 2
    caller.session._writer.put(f.encode_frame(f.Want(one, 2, 3)))
    caller.tell()
    assert session._downloads is not None
    session.no_longer_offered(one)  # while the next chunk is being read
    caller.turn()
    assert (chunks(caller), caller.heard(f.FileRefused)) == ([], [])
    assert session._downloads._downloads == {}
    caller.say(f.Want(one, 0, 1))
    assert chunks(caller) == [(one, 0)], "another message may name it later"


def test_what_is_gone_from_the_disk_is_refused_and_its_message_returned(
    rest: Rest, caller: Caller, refs: list[AttachmentRef]
) -> None:
    async def lose() -> None:
        await rest.core.files.delete("chu-alger", refs[0].id)

    rest.run(lose())
    caller.say(f.Want(refs[0].id, 0, 1))
    (refused,) = caller.heard(f.FileRefused)
    assert (refused.code, refused.retry_after_ms) == ("damaged", 0)
    assert rest.sql(lambda c: store.queue(c, "chu-oran", 0, 0, 10)) == []
