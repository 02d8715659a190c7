"""The station that other tests stand on does what it says."""

import pytest

from nodes.link import files, inbox, outbox
from nodes.link.errors import UnknownRecipient
from protocols.link.envelope import State
from tests.nodes.fixtures import Station


async def _send(station: Station, to: str, body: bytes = b"MSH|") -> outbox.Put:
    prepared = await station.post.prepare(body)
    return await station.post.put(outbox.Draft("labo@chu-alger", (to,), "ORU^R01", prepared))


def test_a_message_is_put_marked_and_waited_for(station: Station) -> None:
    put = station.run(_send(station, "cardio@chu-oran"))
    waiting = station.start(station.post.wait_for(put.id, frozenset({State.PROCESSED}), 60))
    assert not waiting.called
    station.mark(put.id, "cardio@chu-oran", State.PROCESSED, code="AA", answer=b"answer")
    station.settle()
    assert station.run(waiting).recipients[0].answer == b"answer"
    assert station.body_of(put.id) == b"MSH|"


def test_a_large_body_is_sealed_outside(station: Station) -> None:
    body = b"x" * 100_000
    put = station.run(_send(station, "garde@group", body))
    assert station.body_of(put.id) == body
    assert len(list((station.home / files.OUTGOING).iterdir())) == 1


def test_the_directory_is_known(station: Station) -> None:
    with pytest.raises(UnknownRecipient):
        station.run(_send(station, "nobody@chu-oran"))


def test_a_message_arrives_and_is_concluded(station: Station) -> None:
    seq = station.receive(b"MSH|...")
    found = station.run(station.post.read(lambda c: inbox.waiting(c, limit=10)))
    assert [(one.seq, one.body) for one in found] == [(seq, b"MSH|...")]
    assert station.run(station.post.conclude(seq, State.PROCESSED, code="AA", answer=b"x"))
    assert station.inbox_row(seq).state == State.PROCESSED
    assert len(station.receipts()) == 1
