"""Receipts: what they prove, offline, with nothing but the hub's public key; and what they do not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from crypto import identity
from crypto.keys import SigningPrivateKey
from hub.audit import growth, prove
from hub.audit.journal import AuditBroken
from hub.audit.witnesses import Word, keep
from protocols.audit import checkpoint, receipt
from protocols.audit.receipt import Receipt, ReceiptFault
from runtime.transactions import read, transact
from tests.hub.audit.logs import act, deliver, make_history
from tests.hub.hubs import AUDIT, AUTHORITY, EPOCH_MS, NodeKeys, message_id, open_store

SIGNING = SigningPrivateKey(bytes((1,)) * 32)


def credential(facility: str) -> bytes:
    keys = NodeKeys.numbered(1)
    return identity.issue(
        AUTHORITY,
        identity.Credential(
            facility, 1, keys.link.public, SIGNING.public, keys.sealing, EPOCH_MS, EPOCH_MS + 1_000
        ),
    )


def witness(connection: Connection, facility: str) -> None:
    kept = growth.newest(connection)
    assert kept is not None
    signature = checkpoint.countersign(SIGNING, facility, kept.statement)
    keep(connection, Word(facility, 1, kept.size, kept.statement, signature, EPOCH_MS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Receipt, Receipt]]:
    """Yield the receipts of message 3 and of entry 8."""
    with open_store(tmp_path_factory.mktemp("hub")) as engine:
        make_history(engine)
        message = read(engine, lambda c: prove.of_message(c, message_id(3)))
        word = receipt.Witness(
            "chu-oran",
            credential("chu-oran"),
            checkpoint.countersign(SIGNING, "chu-oran", message.checkpoint),
        )
        message = msgspec.structs.replace(message, witnesses=(word,))
        yield message, read(engine, lambda c: prove.of_entry(c, 8))


def test_a_message_is_proved_from_acceptance_to_delivery(made: tuple[Receipt, Receipt]) -> None:
    proved = receipt.check(receipt.parse(receipt.encode(made[0])), AUDIT.public, AUTHORITY.public)
    assert proved.about == str(uuid.UUID(bytes=message_id(3)))
    assert [one["message"]["state"] for one in proved.items] == ["accepted", "delivered"]
    assert (proved.signed.size, proved.witnesses) == (11, ("chu-oran",))
    assert made[0].items[1].row is not None
    assert made[0].items[1].row.receipt == b"receipt"


def test_an_entry_is_proved(made: tuple[Receipt, Receipt]) -> None:
    proved = receipt.check(receipt.parse(receipt.encode(made[1])), AUDIT.public)
    (told,) = proved.items
    assert (told["entry"], told["action"], told["subject"]) == (8, "facility.suspended", "chu-8")


def replaced(made: Receipt, **changes: object) -> Receipt:
    return msgspec.structs.replace(made, **changes)


def first_item(made: Receipt, **changes: object) -> Receipt:
    return replaced(made, items=(msgspec.structs.replace(made.items[0], **changes), *made.items[1:]))


def first_row(made: Receipt, **changes: object) -> Receipt:
    row = made.items[0].row
    assert row is not None
    return first_item(made, row=msgspec.structs.replace(row, **changes))


def another_checkpoint(made: Receipt, key: SigningPrivateKey = AUDIT) -> Receipt:
    blob = checkpoint.issue(key, origin="hub", size=11, root=bytes(32), at_ms=EPOCH_MS)
    return replaced(made, checkpoint=blob)


FORGERIES: dict[str, tuple[Callable[[Receipt], Receipt], str]] = {
    "another checkpoint": (another_checkpoint, "entry 6 is not in the log"),
    "another key": (lambda m: another_checkpoint(m, SIGNING), "is signed by key"),
    "a checkpoint cut short": (lambda m: replaced(m, checkpoint=m.checkpoint[:-1]), "no checkpoint"),
    "another subject": (
        lambda m: first_item(m, entry=msgspec.structs.replace(m.items[0].entry, subject="x")),
        "entry 6 is not in the log",
    ),
    "another number": (
        lambda m: first_item(m, entry=msgspec.structs.replace(m.items[0].entry, number=5)),
        "entry 5 is not in the log",
    ),
    "a number of 65 bits": (
        lambda m: first_item(m, entry=msgspec.structs.replace(m.items[0].entry, number=1 << 64)),
        "64 bits at most",
    ),
    "a shorter proof": (lambda m: first_item(m, proof=m.items[0].proof[1:]), "entry 6 is not in the log"),
    "no row": (lambda m: first_item(m, row=None), "and has entry 6"),
    "another row's place": (lambda m: first_row(m, index=1), "not one of those that entry 6 took in"),
    "another leaf": (lambda m: first_row(m, leaf=b"\x90"), "not one of those that entry 6 took in"),
    "about another message": (lambda m: replaced(m, about=str(uuid.UUID(int=4))), "has a row of"),
    "another signed receipt": (
        lambda m: first_row(m, receipt=b"other"),
        "not the one that the row speaks of",
    ),
    "a witness's signature of something else": (
        lambda m: replaced(m, witnesses=(msgspec.structs.replace(m.witnesses[0], signature=bytes(64)),)),
        "signature of witness 'chu-oran' is wrong",
    ),
    "another's credential": (
        lambda m: replaced(
            m, witnesses=(msgspec.structs.replace(m.witnesses[0], credential=credential("chu-x")),)
        ),
        "is not its own",
    ),
    "a credential of nobody's": (
        lambda m: replaced(m, witnesses=(msgspec.structs.replace(m.witnesses[0], credential=b"x"),)),
        "the credential of witness 'chu-oran'",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_told(made: tuple[Receipt, Receipt], name: str) -> None:
    forge, why = FORGERIES[name]
    forged = receipt.parse(receipt.encode(forge(made[0])))
    with pytest.raises(ReceiptFault, match=why):
        receipt.check(forged, AUDIT.public, AUTHORITY.public)


@given(st.data())
def test_no_flipped_byte_goes_unnoticed(made: tuple[Receipt, Receipt], data: st.DataObject) -> None:
    raw = bytearray(receipt.encode(made[0]))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read_back = receipt.parse(bytes(raw))
        receipt.check(read_back, AUDIT.public, AUTHORITY.public)
    except ReceiptFault:
        return
    assert read_back == made[0]  # white space, or the unused bits of the last base64 digit


@given(st.binary(max_size=300))
def test_anything_else_is_no_receipt(data: bytes) -> None:
    with pytest.raises(ReceiptFault):
        receipt.parse(data)


def test_what_is_not_signed_yet_is_said_to_be(connection: Connection) -> None:
    with pytest.raises(prove.NothingToProve, match="no signed checkpoint yet"):
        prove.of_entry(connection, 1)
    act(connection, 1)
    growth.seal(connection, AUDIT, "hub", EPOCH_MS)
    act(connection, 2)
    deliver(connection, 1)
    with pytest.raises(prove.NothingToProve, match="entry 2 is not signed yet"):
        prove.of_entry(connection, 2)
    with pytest.raises(prove.NothingToProve, match="no entry 3"):
        prove.of_entry(connection, 3)
    with pytest.raises(prove.NothingToProve, match="not signed yet: ask again"):
        prove.of_message(connection, message_id(1))
    with pytest.raises(prove.NothingToProve, match="was never accepted"):
        prove.of_message(connection, message_id(2))


def test_no_receipt_is_made_of_a_changed_row(tmp_path: Path) -> None:
    with open_store(tmp_path) as engine:
        make_history(engine)
        transact(engine, lambda c: c.exec_driver_sql("UPDATE ledger SET sender = 'x@y' WHERE seq = 3"))
        with pytest.raises(AuditBroken, match="changed after entry 6"):
            read(engine, lambda c: prove.of_message(c, message_id(3)))


def test_a_witness_without_a_credential_is_left_out(connection: Connection) -> None:
    act(connection, 1)
    growth.seal(connection, AUDIT, "hub", EPOCH_MS)
    witness(connection, "chu-oran")
    found = prove.of_entry(connection, 1)
    assert found.witnesses == ()  # no credential is known that could tell whose signature it is
