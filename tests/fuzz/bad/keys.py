"""Statements of the authority, join codes, key files, attachment heads, chunks."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from crypto import filestream, identity, keystore
from hub.files import layout
from protocols.link import joincode
from tests.fuzz import targets as t
from tests.fuzz.bad.making import broken, each, pack, swapped

_HASH: Final = bytes(range(32))
_LINK, _SIGN, _SEAL = bytes(t.NODE.public), bytes(t.AUTHORITY.public), bytes(t.SEALING.public)
_CREDENTIAL: Final[list[Any]] = ["chu-alger", 1, _LINK, _SIGN, _SEAL, 1, 2]
_REVOCATION: Final[list[Any]] = ["chu-alger", 1, 5, "stolen"]
_GROUP: Final[list[Any]] = ["garde", 1, ["labo@chu-alger"]]
_CODE: Final[list[Any]] = ["hub.example:7600", "hub", _HASH, _HASH, "chu-alger", bytes(16), _HASH]
_CODE_LINE: Final = joincode.encode_joincode(
    joincode.JoinCode("hub.example:7600", "hub", _HASH, _HASH, "chu-alger", bytes(16), _HASH)
).encode()
_KEYS: Final = keystore.encode({"link": t.NODE, "signing": t.AUTHORITY, "sealing": t.SEALING})
_HEADER: Final = layout.Header("chu-alger", bytes(range(16)), 100_000, _HASH).encode()
_STATEMENT: Final = identity.issue(t.AUTHORITY, identity.Group("garde", 1, ("labo@chu-alger",)))
_CHUNK: Final = filestream.ChunkSealer(t.KEY).seal(0, True, b"x" * 100)  # noqa: FBT003 - the last one


def _typed(number: int) -> Any:
    return lambda payload: bytes((number,)) + payload


def _head(**wrong: Any) -> bytes:
    """Return an attachment's head, without its check sum, with fields that are wrong."""
    return layout._FIELDS.pack(
        wrong.get("magic", b"WASLATT1"), wrong.get("size", 5), _HASH, bytes(16), wrong.get("length", 3),
        wrong.get("facility", b"abc"),
    )  # fmt: skip


GOOD: Final = {
    "statement": _STATEMENT,
    "signed_statement": b"\x03" + pack(_GROUP),
    "join_code": _CODE_LINE,
    "join_code_content": pack(_CODE),
    "key_file": _KEYS,
    "attachment_header": _HEADER,
    "chunk": _CHUNK,
}

_WRONG_CREDENTIAL: Final = swapped(
    _CREDENTIAL,
    {
        "a credential for a facility in capitals": (0, "CHU"),
        "a credential for a facility with a path": (0, "../chu"),
        "a credential for nobody": (0, ""),
        "a credential with serial -1": (1, -1),
        "a credential with a serial of 2^64 - 1": (1, (1 << 64) - 1),
        "a credential with a link key of 31 bytes": (2, _LINK[:31]),
        "a credential with a link key of low order": (2, bytes(32)),
        "a credential with a sealing key of low order": (4, b"\x01" + bytes(31)),
        "a credential with a signing key of text": (3, "key"),
        "a credential that ends before it begins": (6, 0),
        "a credential that begins at a negative time": (5, -1),
    },
)
_WRONG_REVOCATION: Final = swapped(
    _REVOCATION,
    {
        "a revocation of nobody": (0, ""),
        "a revocation at a negative time": (2, -1),
        "a revocation with a reason of 5,000 characters": (3, "r" * 5_000),
        "a revocation with a reason of a number": (3, 3),
    },
)
_WRONG_GROUP: Final = swapped(
    _GROUP,
    {
        "a group with a name in Arabic": (0, "مناوبة"),
        "a group that names a member twice": (2, ["a@b", "a@b"]),
        "a group with a member that is no address": (2, ["labo"]),
        "a group of 65 members": (2, [f"m{n}@chu" for n in range(65)]),
        "a group of members in one text": (2, "a@b"),
    },
)
BAD: Final[dict[str, dict[str, bytes]]] = {
    "statement": {
        **broken(_STATEMENT),
        "a signature of zeros": pack([3, pack(_GROUP), bytes(64)]),
        "a signature of 63 bytes": pack([3, pack(_GROUP), bytes(63)]),
        "a type that nobody knows": pack([9, pack(_GROUP), bytes(64)]),
        "a group signed as a credential": pack([1, *msgspec.msgpack.decode(_STATEMENT)[1:]]),
        "larger than a statement may be": pack([3, bytes(9_000), bytes(64)]),
    },
    "signed_statement": {
        "type 0": b"\x00" + pack(_GROUP),
        "type 4": b"\x04" + pack(_GROUP),
        "a credential read as a group": b"\x03" + pack(_CREDENTIAL),
        "a group in longer MessagePack than needed": b"\x03\xdd\x00\x00\x00\x03" + pack(_GROUP)[1:],
        **each(broken(pack(_GROUP)), _typed(3)),
        **each(_WRONG_CREDENTIAL, _typed(1)),
        **each(_WRONG_REVOCATION, _typed(2)),
        **each(_WRONG_GROUP, _typed(3)),
    },
    "join_code": {
        "nothing": b"",
        "only its beginning": b"wasl1-",
        "of a later version": b"wasl2-" + _CODE_LINE[6:],
        "without its beginning": _CODE_LINE[6:],
        "in capitals": _CODE_LINE.upper(),
        "cut by a character": _CODE_LINE[:-1],
        "a character too many": _CODE_LINE + b"A",
        "two characters swapped": _CODE_LINE[:20] + _CODE_LINE[21:22] + _CODE_LINE[20:21] + _CODE_LINE[22:],
        "a character that base64 has not": _CODE_LINE[:30] + b"!" + _CODE_LINE[31:],
        "a slash for an underscore": _CODE_LINE[:30] + b"/" + _CODE_LINE[31:],
        "with padding": _CODE_LINE + b"==",
        "an Arabic letter": _CODE_LINE[:30] + "م".encode(),
        "bytes that are no text": _CODE_LINE[:30] + b"\xff\xfe",
        "a zero byte in it": _CODE_LINE[:30] + b"\0",
        "twice": _CODE_LINE + _CODE_LINE,
        "a megabyte": b"wasl1-" + b"A" * 1_000_000,
        "a web address": b"https://hub.example/join?code=1",
    },
    "join_code_content": {
        **broken(pack(_CODE)),
        **swapped(
            _CODE,
            {
                "a hub without a port": (0, "hub.example"),
                "a hub with a port of six digits": (0, "hub:123456"),
                "a hub of nothing": (0, ":1"),
                "a hub name of nothing": (1, ""),
                "a hub key of 31 bytes": (2, _HASH[:31]),
                "a facility with spaces": (4, "chu alger"),
                "an invitation of 15 bytes": (5, bytes(15)),
                "a secret of text": (6, "secret"),
            },
        ),
    },
    "key_file": {
        "nothing": b"",
        "only a comment": b"# keys\n",
        "no UTF-8": b"\xff\xfe",
        "a zero byte": b"\0" * 100,
        "fewer keys than it says": b"keys = 3\n",
        "more keys than it says": _KEYS.replace(b"keys = 3", b"keys = 2"),
        "without its count": _KEYS.replace(b"keys = 3\n", b""),
        "a count of text": b'keys = "three"\n',
        "its count twice": _KEYS + b"keys = 3\n",
        "a key twice": _KEYS + _KEYS[_KEYS.index(b"link") :],
        "a key that nobody knows": b'keys = 1\nmaster = "AAAA"\n',
        "a key without quotes": b"keys = 1\nlink = AAAA\n",
        "a key that is not base64": b'keys = 1\nlink = "!!!!"\n',
        "a key that is too short": b'keys = 1\nlink = "AAAA"\n',
        "a key of nothing": b'keys = 1\nlink = ""\n',
        "a key with a character changed": _KEYS.replace(b"A", b"B", 1),
        "cut in the middle": _KEYS[: len(_KEYS) * 2 // 3],
        "a line of a megabyte": b"link = " + b"A" * 1_000_000,
        "private keys of another program": b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
        "TOML with a table": b"[keys]\nlink = 'x'\n",
    },
    "attachment_header": {
        "another magic": _head(magic=b"WASLATT2"),
        "of nothing": b"",
        "a facility that is no UTF-8": _head(facility=b"\xff\xfe\xfd"),
        "a facility of no length": _head(length=0),
        "a size of 2^64 - 1": _head(size=(1 << 64) - 1),
        "a size of 2^63": _head(size=1 << 63),
    },
    "chunk": {
        "nothing": b"",
        "15 bytes": bytes(15),
        "a bit flipped": _CHUNK[:-1] + bytes((_CHUNK[-1] ^ 1,)),
        "a byte short": _CHUNK[:-1],
        "a byte too long": _CHUNK + b"\0",
        "zeros": bytes(116),
        "larger than a chunk": bytes(70_000),
        "of another place": filestream.ChunkSealer(t.KEY).seal(1, True, b"x"),  # noqa: FBT003 - likewise
        "not the last": filestream.ChunkSealer(t.KEY).seal(0, False, bytes(filestream.CHUNK_BYTES)),  # noqa: FBT003
    },
}
ODD: Final[dict[str, dict[str, bytes]]] = {
    "attachment_header": {
        "a facility longer than its field": _head(length=255),
        "cut in the middle": _HEADER[:50],
        "a bit flipped under its check sum": _HEADER[:20] + b"\x01" + _HEADER[21:],
        "a facility with a path": _head(facility=b"../", length=3),
    },
}
