"""A receipt: entries of the log, or what became of a message, with all that proves it. Checked without a hub.

A receipt is a JSON object (bytes are base64). ``checkpoint`` is signed by the hub; each item has an
``entry`` of the log and the RFC 6962 proof that the checkpoint's root contains it; an item about a message
has also the row that the hub took in (:mod:`protocols.audit.rows`) with the proof that the entry's own root
contains that. Where a recipient's node signed what became of the message, its signed receipt is there too,
and the row holds its hash.

:func:`check` needs nothing but the hub's public audit key. The authority's public key, if it is given, adds
which nodes countersigned; if it was replaced, give those that were in force.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from crypto.errors import CryptoError
from crypto.identity import Credential, verify_by_any
from crypto.keys import SigningPublicKey
from protocols.audit import checkpoint, rows, succession, tree
from protocols.audit.entry import Entry
from protocols.errors import RemoteProtocolError
from protocols.link.envelope import State
from protocols.link.limits import AUDIT_KEYS, PROOF_HASHES

FORMAT: Final = "wasl-audit-receipt-1"
RECEIPT_BYTES: Final = 16 * 1_024 * 1_024
ITEMS: Final = 1_000
WITNESSES: Final = 10_000
Proof = Annotated[tuple[bytes, ...], Meta(max_length=PROOF_HASHES)]


class ReceiptFault(RemoteProtocolError):  # noqa: N818 - as its base says it
    """A file that is no receipt, or one that proves nothing; the text says what is wrong and where."""

    wire_code = "bad-receipt"


class Row(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row of the hub's tables: leaf ``index`` of the ``size`` leaves whose root the entry carries."""

    leaf: bytes
    index: int
    size: int
    proof: Proof
    receipt: bytes = b""
    """The recipient's signed receipt, of which the leaf has the SHA-256."""


class Item(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry, its proof from the checkpoint's root, and the row in it, if that is what it is about."""

    entry: Entry
    proof: Proof
    row: Row | None = None


class Witness(Struct, frozen=True, forbid_unknown_fields=True):
    """A node's countersignature; ``credential`` is the authority's statement of the key."""

    facility: str
    credential: bytes
    signature: bytes


class Receipt(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file. ``about``: a message's id, or ``entry N``. ``keys``: from others to who signed."""

    format: Literal["wasl-audit-receipt-1"]
    about: str
    checkpoint: bytes
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=ITEMS)]
    witnesses: Annotated[tuple[Witness, ...], Meta(max_length=WITNESSES)] = ()
    keys: Annotated[tuple[bytes, ...], Meta(max_length=AUDIT_KEYS)] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What a receipt proves. ``witnesses``: facilities whose countersignature was checked as well."""

    about: str
    signed: checkpoint.Checkpoint
    items: tuple[dict[str, Any], ...]
    witnesses: tuple[str, ...]


def encode(receipt: Receipt) -> bytes:
    """Return the file's bytes."""
    return msgspec.json.format(msgspec.json.encode(receipt), indent=1) + b"\n"


def parse(data: bytes) -> Receipt:
    """Read a file; :class:`ReceiptFault` for what is none."""
    if len(data) > RECEIPT_BYTES:
        raise ReceiptFault(f"a receipt has at most {RECEIPT_BYTES} bytes, not {len(data)}")
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ReceiptFault(f"this is no receipt of the audit log: {problem}") from None


def check(receipt: Receipt, key: SigningPublicKey, *authorities: SigningPublicKey) -> Checked:
    """Return what a receipt proves; :class:`ReceiptFault` names the first thing that does not hold.

    ``key``: any audit key of the hub, the one that signed or one before it. ``authorities``: whose
    credentials of witnesses are believed; without one they are not looked at.
    """
    try:
        signed = checkpoint.verify(receipt.checkpoint)
        signed = checkpoint.verify(
            receipt.checkpoint, succession.follow(key, receipt.keys, signed.origin)[-1]
        )
    except checkpoint.CheckpointFault as fault:
        raise ReceiptFault(str(fault)) from None
    items = []
    for item in receipt.items:
        entry = item.entry
        place = f"entry {entry.number}"
        try:
            leaf = entry.hash()
        except OverflowError:
            raise ReceiptFault("an entry's number has 64 bits at most") from None
        if not tree.included(leaf, entry.number - 1, signed.size, item.proof, signed.root):
            raise ReceiptFault(f"{place} is not in the log that checkpoint {signed.size} was signed for")
        told: dict[str, Any] = {
            "entry": entry.number,
            "at_ms": entry.at_ms,
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "details": entry.details,
        }
        if item.row is not None:
            told["message"] = _check_row(place, entry, item.row, receipt.about)
        elif receipt.about != place:
            raise ReceiptFault(f"the receipt is about {receipt.about!r}, and has {place}")
        items.append(told)
    names = tuple(_names(receipt, authorities)) if authorities else ()
    return Checked(receipt.about, signed, tuple(items), names)


def _check_row(place: str, entry: Entry, row: Row, about: str) -> dict[str, Any]:
    try:
        root = bytes.fromhex(msgspec.json.decode(entry.details, type=dict[str, str])["root"])
    except (msgspec.MsgspecError, KeyError, ValueError):
        raise ReceiptFault(f"{place} carries no root of rows") from None
    if not tree.included(tree.leaf_hash(row.leaf), row.index, row.size, row.proof, root):
        raise ReceiptFault(f"the row is not one of those that {place} took in")
    told = describe(row.leaf)
    if told.get("id") != about:
        raise ReceiptFault(f"the receipt is about {about!r}, and has a row of {told.get('id')!r}")
    if row.receipt and told.get("receipt_sha256") != hashlib.sha256(row.receipt).hexdigest():
        raise ReceiptFault(f"the recipient's receipt beside {place} is not the one that the row speaks of")
    return told


def describe(leaf: bytes) -> dict[str, Any]:
    """Return what a leaf says, by name; :class:`ReceiptFault` for what is no leaf of a message."""
    try:
        kind, *values = _LEAF.decode(leaf)
        names = _NAMES[kind]
        told = dict(zip(names, values, strict=True))
        told["id"] = str(uuid.UUID(bytes=told["id"]))
        if kind == rows.EVENT:
            told["state"] = State(told["state"]).word
            told["receipt_sha256"] = told.pop("receipt").hex()
        else:
            told["digest"] = told["digest"].hex()
            told["state"] = "accepted"
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, ValueError, TypeError, AttributeError):
        raise ReceiptFault("the row is none of a message") from None
    return told


def _names(receipt: Receipt, authorities: tuple[SigningPublicKey, ...]) -> list[str]:
    names = []
    for one in receipt.witnesses:
        try:
            credential = verify_by_any(one.credential, authorities)
        except CryptoError as fault:
            raise ReceiptFault(f"the credential of witness {one.facility!r}: {fault}") from None
        if not isinstance(credential, Credential) or credential.facility != one.facility:
            raise ReceiptFault(f"the credential beside witness {one.facility!r} is not its own")
        key = credential.signing_key
        if not checkpoint.countersigned(key, one.facility, receipt.checkpoint, one.signature):
            raise ReceiptFault(f"the signature of witness {one.facility!r} is wrong")
        names.append(one.facility)
    return names


_DECODER: Final = msgspec.json.Decoder(Receipt)
_LEAF: Final = msgspec.msgpack.Decoder(list[Any])
_NAMES: Final = {
    rows.ACCEPTED: rows.Acceptance.__struct_fields__,
    rows.EVENT: rows.Outcome.__struct_fields__,
}
