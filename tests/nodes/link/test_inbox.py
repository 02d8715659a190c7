"""The inbox: taken or refused once, told to the sender in the same commit, in order, never lost."""

from __future__ import annotations

from functools import partial

import pytest

from crypto import sealing
from nodes.link import addressbook, facts, inbox, tables
from nodes.link.errors import Damaged, NotFound, Refused
from protocols.link import limits
from protocols.link.envelope import FILE_KIND, Priority, Receipt, SignedReceipt, State, decode_receipt
from tests.nodes.fixtures import EPOCH_MS, HERE, Station


def conclude(
    station: Station, seq: int, state: State = State.PROCESSED, *, code: str = "AA", answer: bytes = b""
) -> bool:
    done = station.do(
        lambda c: inbox.conclude(c, station.identity, seq, state, EPOCH_MS + 9, code=code, answer=answer)
    )
    return done is not None


def receipt(station: Station) -> tuple[Receipt, SignedReceipt]:
    (row,) = station.receipts()
    return decode_receipt(row.receipt)


def test_a_message_is_concluded_once(station: Station) -> None:
    seq = station.receive(b"one")
    assert conclude(station, seq)
    for state in (State.PROCESSED, State.REFUSED):
        assert not conclude(station, seq, state, code="AE")
    assert (station.inbox_row(seq).state, station.inbox_row(seq).code) == (State.PROCESSED, "AA")
    assert [row.state for row in station.receipts()] == [State.PROCESSED]


def test_what_is_not_there_is_not_concluded(station: Station) -> None:
    assert not conclude(station, 99)
    assert station.receipts() == []


@pytest.mark.parametrize("state", [s for s in State if s not in (State.PROCESSED, State.REFUSED)])
def test_nothing_else_is_a_conclusion(station: Station, state: State) -> None:
    seq = station.receive(b"one")
    with pytest.raises(Refused) as caught:
        conclude(station, seq, state)
    assert caught.value.code == "bad-state"
    assert station.inbox_row(seq).state == State.DELIVERED


def test_a_sender_whose_key_is_none_gets_the_receipt_without_the_answer(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address book refuses such a key; were one there, the mailbox must not stand still for it."""
    unusable = station.network.unusable("chu-oran")
    monkeypatch.setattr(addressbook, "credentials_of", lambda *_: (unusable,))
    seq = station.receive(b"one")
    assert station.run(station.post.conclude(seq, State.PROCESSED, code="AA", answer=b"MSA|AA"))
    said, _ = receipt(station)
    assert (said.state, said.code, said.detail) == (State.PROCESSED, "AA", b"")
    ((_, code, text),) = station.do(lambda c: facts.latest_alarms(c, 9))
    assert code == "bad-sealing-key"
    assert "chu-oran" in text


def test_the_receipt_says_it_all_and_is_signed(station: Station) -> None:
    seq = station.receive(b"one", recipient=f"cardio@{HERE}")
    conclude(station, seq, State.REFUSED, code="AE")
    said, signed = receipt(station)
    row = station.inbox_row(seq)
    assert (said.message_id, said.digest, said.sender, said.recipient) == (
        row.id, row.digest, "labo@chu-oran", f"cardio@{HERE}",
    )  # fmt: skip
    assert (said.state, said.code, said.at_ms, said.signer_serial) == (State.REFUSED, "AE", EPOCH_MS + 9, 1)
    sealing.verify_receipt(station.network.keys_of(HERE).signing.public, signed.receipt, signed.signature)


def test_the_answer_is_sealed_for_the_senders_node_alone(station: Station) -> None:
    conclude(station, station.receive(b"one"), answer=b"MSA|AA|SECRET")
    said, _ = receipt(station)
    assert b"SECRET" not in station.receipts()[0].receipt
    opened = sealing.open_detail(station.network.keys_of("chu-oran").sealing, said.detail)
    assert opened == b"MSA|AA|SECRET"


@pytest.mark.parametrize(
    "size", [0, 1, limits.DETAIL_BYTES, limits.DETAIL_BYTES + 1, 3 * limits.DETAIL_BYTES]
)
def test_an_answer_of_any_size_fits(station: Station, size: int) -> None:
    conclude(station, station.receive(b"one"), answer=b"x" * size)
    said, _ = receipt(station)
    assert len(station.receipts()[0].receipt) <= limits.RECEIPT_BYTES
    if size:
        opened = sealing.open_detail(station.network.keys_of("chu-oran").sealing, said.detail)
        assert opened == b"x" * min(size, limits.DETAIL_BYTES)
    else:
        assert said.detail == b""


def test_a_sender_without_a_trusted_key_gets_the_receipt_without_the_answer(station: Station) -> None:
    seq = station.receive(b"one")
    station.do(lambda c: c.execute(tables.addressbook.delete()))
    assert conclude(station, seq, answer=b"answer")
    assert receipt(station)[0].detail == b""


def test_a_long_code_is_cut(station: Station) -> None:
    conclude(station, station.receive(b"one"), code="x" * 100)
    assert receipt(station)[0].code == "x" * limits.REASON_CODE_CHARS


# ── order and choice ───────────────────────────────────────────────────────────────────────


def test_stat_overtakes_and_the_rest_is_in_order(station: Station) -> None:
    one, two = station.receive(b"1"), station.receive(b"2")
    stat = station.receive(b"3", priority=Priority.STAT)
    four = station.receive(b"4")
    found = station.do(lambda c: inbox.waiting(c, limit=9))
    assert [m.seq for m in found] == [stat, one, two, four]
    assert [m.seq for m in station.do(lambda c: inbox.waiting(c, limit=2))] == [stat, one]


def test_a_local_system_gets_hl7_that_was_laid_out_nowhere(station: Station) -> None:
    station.receive(b"", kind=FILE_KIND)
    station.receive(b"other", recipient=f"cardio@{HERE}")
    laid_out, one, two = (station.receive(body) for body in (b"1", b"2", b"3"))
    station.do(lambda c: inbox.hand(c, laid_out, EPOCH_MS))

    def following() -> inbox.Received | None:
        return station.do(lambda c: inbox.next_hl7(c, f"labo@{HERE}"))

    first = following()
    assert first is not None
    (whole,) = station.do(
        lambda c: inbox.waiting(
            c, limit=1, recipients=(f"labo@{HERE}",), kinds=(first.kind,), unhanded_only=True
        )
    )
    assert (first, first.seq) == (whole, one)
    stat = station.receive(b"4", priority=Priority.STAT)
    assert [one.seq for one in (following(),) if one is not None] == [stat]
    post = station.post
    then = station.run(post.conclude_for_next(f"labo@{HERE}", stat, State.PROCESSED, code="AA", answer=b""))
    assert then == first
    then = station.run(post.conclude_for_next(f"labo@{HERE}", one, State.REFUSED, code="AE", answer=b"no"))
    assert then is not None
    assert then.seq == two
    assert (
        station.run(post.conclude_for_next(f"labo@{HERE}", two, State.PROCESSED, code="AA", answer=b""))
        is None
    )


def test_waiting_can_be_narrowed(station: Station) -> None:
    hl7 = station.receive(b"1")
    other = station.receive(b"2", recipient=f"cardio@{HERE}", kind="ADT^A01")
    file = station.receive(b"", kind=FILE_KIND)
    conclude(station, station.receive(b"gone"))
    station.do(lambda c: inbox.hand(c, hl7, EPOCH_MS))

    def seqs(**choice: object) -> list[int]:
        return [m.seq for m in station.do(lambda c: inbox.waiting(c, limit=9, **choice))]  # type: ignore[arg-type]  # the choices of the test

    assert seqs() == [hl7, other, file]
    assert seqs(recipients=(f"cardio@{HERE}",)) == [other]
    assert seqs(recipients=()) == []
    assert seqs(unhanded_only=True) == [other, file]
    assert seqs(kinds=("ADT^A01", FILE_KIND)) == [other, file]
    lots = station.do(inbox.waiting_lots)
    assert lots == [(f"cardio@{HERE}", "ADT^A01"), (f"labo@{HERE}", FILE_KIND)]


def test_what_was_laid_out_stays_until_it_is_taken(station: Station) -> None:
    one, two, three = (station.receive(b"x") for _ in range(3))
    for seq in (one, three):
        station.do(partial(inbox.hand, seq=seq, now_ms=EPOCH_MS))
    assert [seq for seq, _ in station.do(lambda c: inbox.handed(c, limit=9))] == [one, three]
    assert [seq for seq, _ in station.do(lambda c: inbox.handed(c, after_seq=one, limit=9))] == [three]
    conclude(station, one)
    assert [seq for seq, _ in station.do(lambda c: inbox.handed(c, limit=9))] == [three]
    assert station.inbox_row(two).handed_ms is None


def test_the_listing_holds_the_latest_oldest_first(station: Station) -> None:
    seqs = [station.receive(b"x") for _ in range(4)]
    conclude(station, seqs[0])
    listed = station.do(lambda c: inbox.listing(c, limit=3))
    assert [m.seq for m in listed] == seqs[1:]
    taken = station.do(lambda c: inbox.listing(c, states=(State.PROCESSED,)))
    assert [m.seq for m in taken] == seqs[:1]
    assert station.do(lambda c: inbox.listing(c, recipient=f"cardio@{HERE}")) == []


def test_a_message_is_found_by_its_id(station: Station) -> None:
    seq = station.receive(b"x")
    raw = station.inbox_row(seq).id
    assert station.do(lambda c: inbox.find(c, raw)).seq == seq
    assert station.do(lambda c: inbox.recipients_of(c, raw)) == [f"labo@{HERE}"]
    for recipient in (f"cardio@{HERE}", "labo@chu-oran"):
        with pytest.raises(NotFound):
            station.do(partial(inbox.find, identifier=raw, recipient=recipient))
    with pytest.raises(NotFound):
        station.do(lambda c: inbox.find(c, bytes(16)))
    assert station.do(lambda c: inbox.recipients_of(c, bytes(16))) == []


# ── what is kept is what arrived ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "damage",
    [
        {"body": b"onf"}, {"body": b""}, {"sender": "labo@chu-orao"}, {"recipient": f"cardio@{HERE}"},
        {"kind": "ORU^R02"}, {"subject": "s"}, {"patient": "p"}, {"key": "k"}, {"content_digest": bytes(32)},
    ],
)  # fmt: skip
def test_a_message_that_is_not_what_arrived_is_not_handed_on(
    station: Station, damage: dict[str, object]
) -> None:
    seq = station.receive(b"one")
    whole = station.do(inbox.listing)[0]
    assert inbox.read_body(whole, station.home) == b"one"
    station.do(lambda c: c.execute(tables.inbox.update().values(**damage)))
    with pytest.raises(Damaged, match=f"row {seq} in {station.home}") as caught:
        inbox.read_body(station.do(inbox.listing)[0], station.home)
    assert caught.value.code == "damaged"


def test_a_stored_body_that_is_not_what_arrived_is_not_handed_on(station: Station) -> None:
    station.receive(b"x" * 70_000, body_path="body")
    received = station.do(inbox.listing)[0]
    with pytest.raises(Damaged, match="is not there"):
        inbox.read_body(received, station.home)
    (station.home / "body").write_bytes(b"x" * 70_000)
    assert inbox.read_body(received, station.home) == b"x" * 70_000
    (station.home / "body").write_bytes(b"x" * 69_999 + b"y")
    with pytest.raises(Damaged, match="or body in"):
        inbox.read_body(received, station.home)
