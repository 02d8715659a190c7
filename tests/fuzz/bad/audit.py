"""Changes of the network's own keys, and what proves the audit log: checkpoints, its keys, receipts."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from crypto import trust
from crypto.keys import SigningPrivateKey
from protocols.audit import checkpoint, succession, tree
from protocols.audit.entry import NO_ENTRY, Entry
from protocols.link import trustfile
from tests.fuzz import targets as t
from tests.fuzz.bad.making import broken, pack, swapped

_HASH: Final = bytes(range(32))
_NEXT: Final = SigningPrivateKey(bytes(range(9, 41)))
_CHANGE: Final[list[Any]] = ["hub", 1, 2, bytes(_NEXT.public), 5]
_CHANGED: Final = trust.issue(
    t.AUTHORITY, trust.TrustChange("hub", 1, trust.Subject.AUTHORITY, bytes(_NEXT.public), 5)
)
_ENTRY: Final = Entry(1, 5, "cli:a", "facility.invited", "chu-oran", "{}", NO_ENTRY)
_POINT: Final[list[Any]] = [1, "hub", 1, _ENTRY.hash(), 5, bytes(t.AUTHORITY.public)]
_SIGNED: Final = checkpoint.issue(t.AUTHORITY, origin="hub", size=1, root=_ENTRY.hash(), at_ms=5)
_KEYS: Final[list[Any]] = [1, "hub", bytes(t.AUTHORITY.public), bytes(_NEXT.public), 5]
_NAMED: Final = succession.issue(t.AUTHORITY, _NEXT.public, origin="hub", at_ms=5)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _item(**wrong: Any) -> dict[str, Any]:
    entry = {
        "number": 1, "at_ms": 5, "actor": "cli:a", "action": "facility.invited", "subject": "chu-oran",
        "details": "{}", "previous": _text(NO_ENTRY),
    }  # fmt: skip
    return {"entry": {**entry, **wrong}, "proof": []}


def _receipt(**wrong: Any) -> bytes:
    plain = {
        "format": "wasl-audit-receipt-1",
        "about": "entry 1",
        "checkpoint": _text(_SIGNED),
        "items": [_item()],
    }
    return json.dumps({**plain, **wrong}).encode()


_ROW: Final = {"leaf": _text(b"x"), "index": 0, "size": 1, "proof": []}
GOOD: Final = {
    "key_change": _CHANGED,
    "signed_key_change": pack(_CHANGE),
    "trust_file": trustfile.encode_trust_file("hub", (_CHANGED,)),
    "a_checkpoint": _SIGNED,
    "signed_checkpoint": pack(_POINT),
    "audit_key": _NAMED,
    "signed_audit_key": pack(_KEYS),
    "audit_receipt": _receipt(),
}
BAD: Final[dict[str, dict[str, bytes]]] = {
    "key_change": {
        **broken(_CHANGED),
        "signed by another": trust.issue(_NEXT, trust.recall(_CHANGED)),
        "600 bytes": bytes(600),
    },
    "signed_key_change": {
        **broken(pack(_CHANGE)),
        **swapped(
            _CHANGE,
            {
                "of another hub": (0, "other"),
                "of a hub without a name": (0, ""),
                "of a hub with a name of 400 characters": (0, "h" * 400),
                "a serial of 2^64 - 1": (1, (1 << 64) - 1),
                "a subject that nobody knows": (2, 9),
                "a key of 31 bytes": (3, _HASH[:31]),
                "the key of the authority itself": (3, bytes(t.AUTHORITY.public)),
                "a link key of low order": (3, bytes(31)),
                "a time before 1970": (4, -1),
            },
        ),
    },
    "trust_file": {
        "nothing": b"",
        "no JSON": b"\xff\xfe",
        "another format": b'{"format": 2, "hub": "hub", "changes": []}',
        "without a hub": b'{"format": 1, "changes": []}',
        "changes of text": b'{"format": 1, "hub": "hub", "changes": "x"}',
        "a change of nothing": b'{"format": 1, "hub": "hub", "changes": [""]}',
        "more than it should": b'{"format": 1, "hub": "hub", "changes": [], "more": 1}',
        "100,000 arrays in each other": b"[" * 100_000,
        "a megabyte": b" " * 1_000_000,
    },
    "a_checkpoint": {
        **broken(_SIGNED),
        "a bit of the signature flipped": _SIGNED[:-1] + bytes((_SIGNED[-1] ^ 1,)),
        "600 bytes": bytes(600),
    },
    "signed_checkpoint": {
        **broken(pack(_POINT)),
        **swapped(
            _POINT,
            {
                "version 2": (0, 2),
                "of a hub with a name of 64 characters": (1, "h" * 64),
                "a size of 0": (2, 0),
                "a size of 2^63": (2, 1 << 63),
                "a root of 31 bytes": (3, _HASH[:31]),
                "a time before 1970": (4, -1),
                "the key of another": (5, bytes(_NEXT.public)),
            },
        ),
    },
    "audit_key": {
        **broken(_NAMED),
        "a bit of the signature flipped": _NAMED[:-1] + bytes((_NAMED[-1] ^ 1,)),
    },
    "signed_audit_key": {
        **broken(pack(_KEYS)),
        **swapped(
            _KEYS,
            {
                "version 0": (0, 0),
                "of another hub": (1, "other"),
                "signed in the name of another key": (2, bytes(_NEXT.public)),
                "a next key of text": (3, "key"),
                "a time before 1970": (4, -1),
            },
        ),
    },
    "audit_receipt": {
        "nothing": b"",
        "no JSON": b"\xff\xfe",
        "another format": _receipt(format="wasl-audit-receipt-2"),
        "without items": _receipt(items=[]),
        "an entry that was changed": _receipt(items=[_item(actor="cli:eve")]),
        "an entry of number 0": _receipt(items=[_item(number=0)]),
        "an entry of number 2^70": _receipt(items=[_item(number=1 << 70)]),
        "an entry of a negative number": _receipt(items=[_item(number=-5)]),
        "about something else": _receipt(about="entry 2"),
        "a row in an entry that has none": _receipt(items=[{**_item(), "row": _ROW}]),
        "a checkpoint of nothing": _receipt(checkpoint=""),
        "a witness of nothing": _receipt(witnesses=[{"facility": "x", "credential": "", "signature": ""}]),
        "keys of nothing": _receipt(keys=[""]),
        "5,000 hashes in a proof": _receipt(items=[{**_item(), "proof": [_text(_HASH)] * 5_000}]),
        "100,000 arrays in each other": b"[" * 100_000,
        "a lone surrogate": _receipt(about="\ud800"),
    },
}
ODD: Final[dict[str, dict[str, bytes]]] = {
    "audit_receipt": {"a proof of 64 hashes": _receipt(items=[{**_item(), "proof": [_text(_HASH)] * 64}])},
    "a_checkpoint": {"the hash of a leaf": tree.leaf_hash(b"")},
}
