"""What a recipient's node has signed about a message of ours, on paper, with the receipt itself inside.

The page is for people and proves nothing by itself. The file in it (``receipt.json``) holds the signed
receipt and the recipient's credentials with the authority's signature: whoever knows the authority's key can
check that this facility stated it, of this very message (``docs/link-protocol.md``, receipts).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from nodes.desk.errors import NotThere
from nodes.desk.sent.store import Sent
from nodes.link.ids import id_text
from nodes.link.tables import addressbook, outbox, outbox_recipients
from protocols.link.envelope import Receipt, State, decode_receipt, facility_of
from protocols.link.errors import RemoteError
from runtime.printed import Sheet, moment

FILE: Final = "receipt.json"
_FRENCH: Final = {
    "title": "Reçu signé", "id": "Message", "from": "De", "to": "À", "state": "Déclaré", "at": "Le",
    "digest": "Empreinte du message", "serial": "Numéro du certificat du destinataire",
    "how": "Le fichier joint à ce document (receipt.json) porte le reçu, signé par le nœud du destinataire.",
    "states": {State.DELIVERED: "remis", State.PROCESSED: "ouvert", State.REFUSED: "refusé",
               State.RETURNED: "retourné"},
}  # fmt: skip
_ARABIC: Final = {
    "title": "إيصال موقّع", "id": "الرسالة", "from": "من", "to": "إلى", "state": "المصرّح به", "at": "في",
    "digest": "بصمة الرسالة", "serial": "رقم شهادة المستلم",
    "how": "الملف المرفق بهذه الوثيقة (receipt.json) يحمل الإيصال موقّعًا من عقدة المستلم.",
    "states": {State.DELIVERED: "مسلّمة", State.PROCESSED: "مفتوحة", State.REFUSED: "مرفوضة",
               State.RETURNED: "معادة"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """A receipt with what it takes to check it; ``signed`` is an encoded SignedReceipt."""

    receipt: Receipt
    signed: bytes
    credential: bytes
    earlier: bytes


def proof(connection: Connection, one: Sent, recipient: str) -> Proof:
    """Return what the recipient's node signed last. Raises NotThere."""
    blob = connection.execute(
        select(outbox_recipients.c.receipt)
        .join(outbox, outbox.c.seq == outbox_recipients.c.outbox_seq)
        .where(outbox.c.id == one.id, outbox_recipients.c.recipient == recipient)
    ).scalar()
    try:
        receipt, _ = decode_receipt(blob or b"")
    except RemoteError:
        raise NotThere("no-receipt", "this recipient's node has signed nothing yet") from None
    known = connection.execute(
        select(addressbook.c.statement, addressbook.c.earlier)
        .where(addressbook.c.name == facility_of(recipient), addressbook.c.is_group.is_(False))
    ).one_or_none()  # fmt: skip
    credential, earlier = (known.statement, known.earlier) if known is not None else (b"", b"")
    return Proof(receipt, bytes(blob or b""), bytes(credential), bytes(earlier))


def page(found: Proof, font: Path | None = None) -> bytes:
    """Return the PDF."""
    receipt = found.receipt
    sheet = Sheet(f"{_FRENCH['title']}: {id_text(receipt.message_id)}", receipt.at_ms, font)
    sheet.write(str(_FRENCH["title"]), _lines(receipt, _FRENCH))
    if sheet.arabic:
        sheet.write(str(_ARABIC["title"]), _lines(receipt, _ARABIC), rtl=True)
    return sheet.finish(FILE, _file(found), "wasl-receipt-1", "application/json")


def _lines(receipt: Receipt, words: Mapping[str, object]) -> list[str]:
    states = words["states"]
    assert isinstance(states, dict)
    facts = (
        ("id", id_text(receipt.message_id)),
        ("from", receipt.sender),
        ("to", receipt.recipient),
        ("state", f"{states.get(receipt.state, receipt.state.word)} {receipt.code}".strip()),
        ("at", moment(receipt.at_ms)),
        ("digest", receipt.digest.hex()),
        ("serial", str(receipt.signer_serial)),
    )
    return [*(f"{words[name]}: {value}" for name, value in facts), "", str(words["how"])]


def _file(found: Proof) -> bytes:
    receipt = found.receipt
    value = {
        "form": "wasl-receipt-1",
        "message": id_text(receipt.message_id),
        "sender": receipt.sender,
        "recipient": receipt.recipient,
        "state": receipt.state.word,
        "at_ms": receipt.at_ms,
        "digest": receipt.digest.hex(),
        "signed_receipt": _text(found.signed),
        "credentials": [_text(one) for one in (found.credential, found.earlier) if one],
    }
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
