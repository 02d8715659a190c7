"""One connection to the hub: news believed only when signed, keys before messages, ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from crypto import identity as statements
from crypto import sealing
from crypto.keys import SigningPrivateKey
from nodes.link import facts, files, inbox, outbox, tables, tracking
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.envelope import Receipt, SignedReceipt, State, decode_receipt, encode
from protocols.link.session import LinkSession
from tests.nodes.fixtures import EPOCH_MS, HERE, Station
from tests.nodes.link.hub_end import HubEnd
from tests.nodes.link.letters import Letter

TO = "cardio@chu-oran"
DAY_MS = 86_400_000


def put(hub: HubEnd, to: str = TO) -> bytes:
    prepared = files.prepare(hub.station.home, b"MSH|", floor_bytes=0)
    draft = outbox.Draft(f"labo@{HERE}", (to,), "ORU^R01", prepared)
    return hub.station.do(partial(outbox.put, draft=draft, now_ms=EPOCH_MS)).id


def sent(hub: HubEnd, identifier: bytes) -> tracking.Sent:
    return hub.station.do(partial(tracking.find, identifier=identifier))


def alarms(hub: HubEnd) -> list[str]:
    return [code for _, code, _ in hub.station.do(partial(facts.latest_alarms, limit=100))]


# ── news ───────────────────────────────────────────────────────────────────────────────────


def receipt_of(hub: HubEnd, identifier: bytes, state: State, detail: bytes = b"") -> Receipt:
    row = hub.station.do(
        lambda c: c.execute(select(tables.outbox).where(tables.outbox.c.id == identifier)).one()
    )
    return Receipt(1, identifier, row.digest, f"labo@{HERE}", TO, state, "", EPOCH_MS + 5, 1, detail)


def signed(hub: HubEnd, receipt: Receipt, key: SigningPrivateKey | None = None) -> bytes:
    data = encode(receipt)
    key = key or hub.station.network.keys_of("chu-oran").signing
    return encode(SignedReceipt(data, sealing.sign_receipt(key, data)))


def event(identifier: bytes, state: State, receipt: bytes, sequence: int = 1) -> f.Events:
    return f.Events((f.Event(sequence, identifier, TO, state, "", EPOCH_MS, receipt),))


def told(hub: HubEnd, frame: f.Events) -> None:
    """Say news; the node answers how far it has them, believed or not."""
    hub.say(frame)
    assert [one.up_to for one in hub.heard(f.EventsTaken)] == [frame.events[-1].sequence]


def test_a_signed_receipt_is_believed(hub: HubEnd) -> None:
    mine = put(hub)
    answer = sealing.seal_detail(hub.station.identity.keys.sealing.public, b"MSA|AA")
    told(hub, event(mine, State.PROCESSED, signed(hub, receipt_of(hub, mine, State.PROCESSED, answer))))
    found = sent(hub, mine).recipients[0]
    assert (found.state, found.answer, found.at_ms) == (State.PROCESSED, b"MSA|AA", EPOCH_MS + 5)
    assert alarms(hub) == []


def _unbelievable(hub: HubEnd, mine: bytes, receipt: bytes, state: State = State.DELIVERED) -> None:
    before = sent(hub, mine)
    told(hub, event(mine, state, receipt))
    assert sent(hub, mine).recipients == before.recipients
    assert alarms(hub) == ["bad-receipt"]
    assert hub.ended is None


@pytest.mark.parametrize("state", [State.ACCEPTED, State.DELIVERED, State.PROCESSED, State.REFUSED])
def test_the_hub_alone_cannot_say_what_only_the_recipient_knows(hub: HubEnd, state: State) -> None:
    _unbelievable(hub, put(hub), b"", state)


@pytest.mark.parametrize("state", [State.RETURNED, State.DELAYED])
def test_the_hub_alone_may_return_and_warn(hub: HubEnd, state: State) -> None:
    mine = put(hub)
    told(hub, event(mine, state, b""))
    assert sent(hub, mine).recipients[0].state is state
    assert alarms(hub) == []


def test_a_forged_receipt_is_an_alarm(hub: HubEnd) -> None:
    mine = put(hub)
    _unbelievable(
        hub, mine, signed(hub, receipt_of(hub, mine, State.DELIVERED), SigningPrivateKey.generate())
    )


@pytest.mark.parametrize("blob", [b"\x00", b"\x92\xc4\x00\xc4\x00", b"x" * 1_000])
def test_what_is_no_receipt_is_an_alarm(hub: HubEnd, blob: bytes) -> None:
    _unbelievable(hub, put(hub), blob)


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.PROCESSED},
        {"recipient": "labo@chu-oran"},
        {"sender": f"cardio@{HERE}"},
        {"digest": bytes(32)},
        {"message_id": bytes(16)},
        {"signer_serial": 2},
    ],
)
def test_a_true_receipt_about_something_else_is_an_alarm(hub: HubEnd, change: dict[str, Any]) -> None:
    mine = put(hub)
    receipt = msgspec.structs.replace(receipt_of(hub, mine, State.DELIVERED), **change)
    _unbelievable(hub, mine, signed(hub, receipt))


def test_the_receipt_of_another_message_is_an_alarm(hub: HubEnd) -> None:
    mine, other = put(hub), put(hub)
    _unbelievable(hub, mine, signed(hub, receipt_of(hub, other, State.DELIVERED)))


def test_an_answer_sealed_for_another_is_an_alarm(hub: HubEnd) -> None:
    mine = put(hub)
    detail = sealing.seal_detail(hub.station.network.keys_of("clinique-sud").sealing.public, b"x")
    receipt = signed(hub, receipt_of(hub, mine, State.PROCESSED, detail))
    _unbelievable(hub, mine, receipt, State.PROCESSED)


def test_a_return_after_a_signed_delivery_is_an_alarm(hub: HubEnd) -> None:
    mine = put(hub)
    told(hub, event(mine, State.DELIVERED, signed(hub, receipt_of(hub, mine, State.DELIVERED))))
    told(hub, event(mine, State.RETURNED, b"", 2))
    assert sent(hub, mine).state is State.DELIVERED
    assert alarms(hub) == ["bad-receipt"]


def test_bad_news_do_not_stop_good_ones(hub: HubEnd) -> None:
    one, two = put(hub), put(hub)
    bad = f.Event(1, one, TO, State.DELIVERED, "", EPOCH_MS, b"")
    good = f.Event(
        2, two, TO, State.DELIVERED, "", EPOCH_MS, signed(hub, receipt_of(hub, two, State.DELIVERED))
    )
    foreign = f.Event(3, bytes(16), TO, State.DELIVERED, "", EPOCH_MS, b"")
    told(hub, f.Events((bad, good, foreign)))
    assert sent(hub, two).state is State.DELIVERED
    assert sent(hub, one).recipients[0].state < State.DELIVERED


def test_no_news_are_no_news(hub: HubEnd) -> None:
    hub.say(f.Events(()))
    assert hub.heard(f.EventsTaken) == []
    assert hub.ended is None


# ── receipts of ours ───────────────────────────────────────────────────────────────────────


def test_receipts_are_passed_on_until_the_hub_has_them(hub: HubEnd) -> None:
    seqs = [hub.station.receive(b"x") for _ in range(3)]
    for seq in seqs[:2]:
        hub.station.run(hub.station.post.conclude(seq, State.PROCESSED))
    hub.turn()
    items = [item for frame in hub.heard(f.Receipts) for item in frame.items]
    assert [item.state for item in items] == [State.PROCESSED] * len(items)
    hub.again()
    again = [item for frame in hub.heard(f.Receipts) for item in frame.items]
    assert [item.sequence for item in again] == [1, 2]
    hub.say(f.ReceiptsStored(2))
    assert hub.station.receipts() == []
    hub.station.run(hub.station.post.conclude(seqs[2], State.REFUSED))
    hub.turn()
    assert [item.sequence for frame in hub.heard(f.Receipts) for item in frame.items] == [3]


def test_what_was_said_is_said_again_of_a_message_that_comes_again_at_once(hub: HubEnd) -> None:
    """A restored hub has a receipt of a message that it does not know, and then gets the message."""
    letter = Letter(hub.station.network)
    message = letter.message()
    hub.say(f.Deliver((letter.delivery(1, message),)))
    seq = hub.station.do(lambda c: c.execute(select(tables.inbox.c.seq)).scalar_one())
    hub.station.run(hub.station.post.conclude(seq, State.PROCESSED))
    hub.turn()
    (first,) = [item for frame in hub.heard(f.Receipts) for item in frame.items]
    hub.say(f.ReceiptsStored(first.sequence))
    hub.say(f.Deliver((letter.delivery(2, message),)))
    hub.turn()
    (again,) = [item for frame in hub.heard(f.Receipts) for item in frame.items]
    assert (again.state, again.id) == (first.state, first.id)


def test_receipts_that_were_never_sent_cannot_be_stored(hub: HubEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that claims receipts that it has not got would make the node forget them."""
    honest, theirs = LinkSession.send, hub._hub

    def send(session: LinkSession, frame: f.AnyFrame) -> None:
        if session is not theirs:  # honest ends refuse to say it
            honest(session, frame)

    monkeypatch.setattr(LinkSession, "send", send)
    session = hub.uplink._session
    assert session is not None
    session.link_event(f.ReceiptsStored(7))
    hub.turn()
    assert hub.ended is not None
    assert hub.ended.reason is f.Goodbye.PROTOCOL_FAULT


# ── arrivals ───────────────────────────────────────────────────────────────────────────────


def takings(hub: HubEnd) -> list[f.Taking]:
    return [taking for frame in hub.heard(f.Taken) for taking in frame.takings]


def bodies(hub: HubEnd) -> list[bytes]:
    return [one.body for one in hub.station.do(inbox.listing)]


def test_a_delivery_is_committed_and_then_answered(hub: HubEnd) -> None:
    letter = Letter(hub.station.network, body=b"one")
    hub.say(f.Deliver((letter.delivery(7),)))
    assert bodies(hub) == [b"one"]
    (taking,) = takings(hub)
    assert (taking.sequence, taking.state) == (7, State.DELIVERED)
    receipt, proof = decode_receipt(taking.receipt)
    assert (receipt.message_id, receipt.state, receipt.recipient) == (
        letter.id, State.DELIVERED, letter.recipient,
    )  # fmt: skip
    sealing.verify_receipt(hub.station.identity.keys.signing.public, proof.receipt, proof.signature)


def test_a_repeat_after_a_cut_gets_the_same_receipt(hub: HubEnd) -> None:
    letter = Letter(hub.station.network)
    hub.say(f.Deliver((letter.delivery(7),)))
    (first,) = takings(hub)
    hub.again()
    hub.station.advance(5)
    hub.say(f.Deliver((letter.delivery(7),)))
    assert takings(hub) == [first]


def test_a_repeat_from_a_sender_who_was_put_out_meanwhile_gets_the_same_receipt(hub: HubEnd) -> None:
    """Delivered is delivered: it must not come back to its sender as well, whatever became of the keys."""
    network = hub.station.network
    letter = Letter(network, sender="labo@chu-oran")
    hub.say(f.Deliver((letter.delivery(7),)))
    (first,) = takings(hub)
    revocation = statements.issue(network.authority, statements.Revocation("chu-oran", 1, EPOCH_MS, ""))
    entry = network.entry("chu-oran", ("cardio", "labo"), version=5)
    entry = msgspec.structs.replace(entry, statements=(*entry.statements, revocation), active=False)
    hub.again()
    hub.station.advance(5)
    hub.say(f.Directory((entry,), complete=True), f.Deliver((letter.delivery(7),)))
    assert takings(hub) == [first]
    fresh = Letter(network, sender="labo@chu-oran", body=b"after")
    hub.say(f.Deliver((fresh.delivery(8),)))
    assert [taking.code for taking in takings(hub)] == ["unknown-signer"]


def test_bad_and_good_deliveries_are_answered_in_order(hub: HubEnd) -> None:
    network = hub.station.network
    good = [Letter(network, body=b"%d" % n) for n in range(2)]
    bad = Letter(network, sender="labo@chu-mars")
    hub.say(f.Deliver((good[0].delivery(1), bad.delivery(2), good[1].delivery(3))))
    assert [(taking.sequence, taking.code) for taking in takings(hub)] == [
        (1, ""), (2, "unknown-signer"), (3, ""),
    ]  # fmt: skip
    assert bodies(hub) == [b"0", b"1"]
    assert alarms(hub) == ["unknown-signer"]


def test_an_id_with_another_content_is_an_alarm_in_every_place(
    hub: HubEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator looks at the log, at the metrics or at the status: it has to be in each."""
    letter = Letter(hub.station.network, body=b"one")
    other = replace(letter, body=b"two", content_key=sealing.ContentKey.generate())
    hub.say(f.Deliver((letter.delivery(1), other.delivery(2))))
    assert [(taking.sequence, taking.code) for taking in takings(hub)] == [(1, ""), (2, "id-conflict")]
    assert bodies(hub) == [b"one"]
    assert alarms(hub) == ["id-conflict"]
    assert "alarm" in [record.message for record in caplog.records]
    (counted,) = hub.station.post.metrics._alarms.collect()
    assert [s.value for s in counted.samples if s.labels == {"code": "id-conflict"} and s.value == 1]


def test_deliveries_wait_for_the_directory(station: Station) -> None:
    hub = HubEnd(station)
    hub.answers_directory = False
    hub.start()
    hub.say(f.Deliver((Letter(station.network).delivery(),)))
    assert takings(hub) == []
    hub.say(f.Directory((), complete=True))
    assert len(takings(hub)) == 1
    hub.uplink.stop()
    hub.lose()


def test_what_comes_after_a_change_of_the_directory_waits_for_it(hub: HubEnd) -> None:
    """A facility that joins and writes at once must not be an unknown signer, nor its receipts forged."""
    network = hub.station.network
    entry = network.entry("chu-mars", ("labo",), version=5)
    letter = Letter(network, sender="labo@chu-mars", body=b"hello")
    hub.say(f.Directory((entry,), complete=True), f.Deliver((letter.delivery(),)))
    assert [taking.code for taking in takings(hub)] == [""]
    assert bodies(hub) == [b"hello"]
    assert alarms(hub) == []


def test_news_signed_with_a_new_key_wait_for_it(hub: HubEnd) -> None:
    mine = put(hub)
    network = hub.station.network
    fresh = network.keys_of("new keys of oran")
    blobs = (network.credential("chu-oran", serial=2, keys=fresh), network.credential("chu-oran"))
    entry = msgspec.structs.replace(
        network.entry("chu-oran", ("cardio", "labo"), version=5), statements=blobs
    )
    receipt = msgspec.structs.replace(receipt_of(hub, mine, State.DELIVERED), signer_serial=2)
    hub.say(
        f.Directory((entry,), complete=True),
        event(mine, State.DELIVERED, signed(hub, receipt, fresh.signing)),
    )
    assert sent(hub, mine).state is State.DELIVERED


def test_a_lie_in_the_directory_is_an_alarm_and_the_truth_stays(hub: HubEnd) -> None:
    network = hub.station.network
    forged = network.credential("chu-oran", serial=1, keys=network.keys_of("thief"))
    entry = msgspec.structs.replace(network.entry("chu-oran", ("cardio",)), statements=(forged,))
    hub.say(f.Directory((entry,), complete=True))
    assert alarms(hub) == ["directory"]
    hub.say(f.Deliver((Letter(network).delivery(),)))
    assert [taking.state for taking in takings(hub)] == [State.DELIVERED]


def test_a_flood_of_directory_pages_is_not_read_on(hub: HubEnd) -> None:
    pages = [f.Directory((), complete=False)] * 200
    hub.interrupt(*pages)
    assert [hub.wire.reading] == [False]
    hub.turn()
    assert [hub.wire.reading] == [True]
    assert hub.ended is None


def test_a_clock_that_is_wrong_by_a_day_is_an_alarm_and_nothing_else(station: Station) -> None:
    hub = HubEnd(station)
    station.clock.skew_ms = -DAY_MS
    hub.answer_hello = lambda session: session.welcome(
        payloads.Welcome("test", station.clock.now_ms() + DAY_MS, limits.SUBMIT_WINDOW, 1 << 40, 1)
    )
    hub.start()
    assert alarms(hub) == ["clock"]
    assert hub.uplink.connected
    hub.uplink.stop()
    hub.lose()
