"""The link's bytes: first packets, records, frames, envelopes, messages, receipts."""

from __future__ import annotations

from typing import Any, Final

from crypto import sealing
from crypto.noise import Handshake, Pattern
from crypto.primitives import blake2b
from protocols.link import frames as f
from protocols.link import limits, opening
from tests.fuzz import targets as t
from tests.fuzz.bad.making import broken, each, pack, swapped

_ID, _HASH, _SIGNATURE = bytes(range(16)), bytes(range(32)), bytes(range(64))
_FROM, _TO = "labo@chu-alger", "cardio@chu-oran"
_DAY_MS: Final = 86_400_000
_HELLO: Final[list[Any]] = ["fuzz", t.NOW_MS, 8, b""]
_ENVELOPE: Final[list[Any]] = [1, _ID, _FROM, [_TO], "ADT^A01", 0, t.NOW_MS, _DAY_MS, _HASH, False, []]
_CONTENT: Final[list[Any]] = [b"MSH|", "subject", "patient", "key", []]
_RECEIPT: Final[list[Any]] = [1, _ID, _HASH, _FROM, _TO, 3, "", t.NOW_MS, 1, b""]


def _first_packet(noise: bytes, **wrong: Any) -> bytes:
    head = opening._PREAMBLE.pack(
        wrong.get("magic", b"WASL"), wrong.get("version", 1), wrong.get("pattern", 1),
        wrong.get("size", len(noise)),
    )  # fmt: skip
    return head + noise + blake2b(head + noise, size=16, key=opening.mac1_key(t.HUB.public))


def _noise(payload: bytes) -> bytes:
    shake = Handshake.initiator(Pattern.IK, prologue=t.PROLOGUE, static=t.NODE, remote_static=t.HUB.public)
    return shake.write_message(payload)


def _frame(*values: Any) -> bytes:
    return _framed(pack(list(values)))


def _framed(body: bytes) -> bytes:
    body = body[:60_000]
    return len(body).to_bytes(2, "big") + body


def _entry(name: str, statements: int, *, active: Any = True) -> bytes:
    return _framed(pack([61, [[1, name, "", active, [b""] * statements, []]], True]))


def _message() -> bytes:
    key = sealing.ContentKey(bytes(32))
    inner = pack([*_ENVELOPE[:8], sealing.key_commitment(key), *_ENVELOPE[9:]])
    sealed = sealing.seal_body(key, inner, pack(_CONTENT))
    digest = sealing.message_digest(inner, sealed)
    wrap = ["chu-oran", 1, sealing.wrap_key(key, t.SEALING.public)]
    return pack([inner, sealed, [wrap], 1, sealing.sign_message(t.AUTHORITY, digest)])


def _receipt(fields: list[Any] | bytes) -> bytes:
    body = fields if isinstance(fields, bytes) else pack(fields)
    return pack([body, sealing.sign_receipt(t.AUTHORITY, body)])


_HELLO_BYTES: Final = pack(_HELLO)
_NOISE: Final = _noise(_HELLO_BYTES)
_PACKET: Final = _first_packet(_NOISE)
_MESSAGE: Final = _message()
_PING: Final = _frame(2, 7)
_GOOD_DETAIL: Final = sealing.seal_detail(t.SEALING.public, b"done")

GOOD: Final = {
    "first_packet": _PACKET,
    "noise_message": _NOISE,
    "wire_to_hub": _PACKET,
    "said_to_hub": _PING,
    "said_to_node": _PING,
    "frame": _PING + _frame(5, 0, "bye", 0),
    "message": _MESSAGE,
    "an_envelope": pack(_ENVELOPE),
    "content": pack(_CONTENT),
    "receipt": _receipt([*_RECEIPT[:9], _GOOD_DETAIL]),
}

_FIRST: Final = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "MLLP": b"\x0bMSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5\r\x1c\r",
    "magic in small letters": _first_packet(_NOISE, magic=b"wasl"),
    "version 0": _first_packet(_NOISE, version=0),
    "version 2": _first_packet(_NOISE, version=2),
    "version 255": _first_packet(_NOISE, version=255),
    "pattern 0": _first_packet(_NOISE, pattern=0),
    "pattern 3": _first_packet(_NOISE, pattern=3),
    "the pattern of joining around a message of the other": _first_packet(_NOISE, pattern=2),
    "no Noise message": _first_packet(b""),
    "a Noise message one byte too short": _first_packet(_NOISE[:95]),
    "a Noise message of 65,535 bytes": _first_packet(bytes(65_535)),
    "a Noise message one byte too long": _first_packet(bytes(opening.HELLO_PACKET_BYTES + 1)),
    "a wrong mac1": _PACKET[:-1] + bytes((_PACKET[-1] ^ 1,)),
    "mac1 of zeros": _PACKET[:-16] + bytes(16),
    "a bit of the ciphertext flipped under a right mac1": _first_packet(
        _NOISE[:40] + bytes((_NOISE[40] ^ 1,)) + _NOISE[41:]
    ),
    "an ephemeral key of zeros": _first_packet(bytes(32) + _NOISE[32:]),
    "an ephemeral key of low order": _first_packet(b"\x01" + bytes(31) + _NOISE[32:]),
    "random bytes where keys should be": _first_packet(bytes(range(200))),
}
_WRONG_HELLO: Final = swapped(
    _HELLO,
    {
        "a software name of 41 characters": (0, "x" * 41),
        "a software name of bytes": (0, b"fuzz"),
        "a time before 1970": (1, -1),
        "a time of text": (1, "now"),
        "a window of 0": (2, 0),
        "a window beyond the bound": (2, limits.WINDOW_MAX + 1),
        "a window of 2^64 - 1": (2, (1 << 64) - 1),
        "an invitation of 17 bytes": (3, bytes(17)),
    },
)
_TAGS: Final = {
    f"a {name} to the wrong end": _frame(*values)
    for name, values in {
        "welcome back": (11, "chu-alger", b"", [1, "a", "", True, [], []]),
        "deliver": (30, []),
        "receipts stored": (41, 1),
        "events": (42, []),
        "directory": (61, [], False),
        "checkpoint": (70, b"", []),
    }.items()
}
_FRAMES: Final = {
    "a length and nothing behind it": b"\x00\x05",
    "half a length": b"\x00",
    "a length of zero": b"\x00\x00",
    "a frame that ends behind its record": b"\xff\xff" + pack([2, 7]),
    **each(broken(pack([2, 7])), _framed),
    "a checkpoint of 513 bytes": _frame(70, bytes(513), []),
    "a checkpoint with 65 hashes": _frame(70, b"", [bytes(32)] * 65),
    "a checkpoint with a hash of 31 bytes": _frame(70, b"", [bytes(31)]),
    "a witness's signature of 65 bytes": _frame(71, b"", 0, bytes(65)),
    "a witness's serial below zero": _frame(71, b"", -1, b""),
    "a tag that nobody knows": _frame(99, 1),
    "a negative tag": _frame(-1),
    "a tag of text": _frame("ping", 1),
    "a tag of 2^63": _frame(1 << 63),
    "a ping without its token": _frame(2),
    "a ping with a token of text": _frame(2, "seven"),
    "a ping with a negative token": _frame(2, -7),
    "a ping with a token of 2^63": _frame(2, 1 << 63),
    "a goodbye for a reason that nobody knows": _frame(5, 200, "", 0),
    "a goodbye that says wait for ever": _frame(5, 1, "", 86_401),
    "a goodbye with a text of 60,000 characters": _frame(5, 1, "x" * 60_000, 0),
    "an offer without a root": _frame(50, _ID, 5),
    "an offer with an id of 15 bytes": _frame(50, _ID[:15], 5, _HASH),
    "an offer with a root of 31 bytes": _frame(50, _ID, 5, _HASH[:31]),
    "an offer of a negative size": _frame(50, _ID, -1, _HASH),
    "an offer of 2^64 - 1 bytes": _frame(50, _ID, (1 << 64) - 1, _HASH),
    "a chunk with an index beyond all bounds": _frame(52, _ID, 1 << 62, b""),
    "a chunk with a negative index": _frame(52, _ID, -1, b""),
    "a chunk of text": _frame(52, _ID, 0, "text"),
    "a want from beyond all bounds": _frame(51, _ID, 1 << 63, 1 << 63),
    "a submit that is no list": _frame(20, 5),
    "a submission of a negative age": _frame(20, [[b"", -1]]),
    "a submission without a message": _frame(20, [[]]),
    "a busy of two hours": _frame(23, 7_200_000, ""),
    "a taking in a state that nobody knows": _frame(31, [[1, 9, "", b""]]),
    "a taking with a code of 4,000 characters": _frame(31, [[1, 3, "x" * 4_000, b""]]),
    "a receipt from somebody without a facility": _frame(40, [[1, "labo", _ID, _TO, 3, b""]]),
    "a receipt of 60,000 bytes": _frame(40, [[1, _FROM, _ID, _TO, 3, bytes(60_000)]]),
    "a join with a proof of 63 bytes": _frame(10, _HASH, _HASH, bytes(63)),
    "a directory entry with five statements": _entry("a", 5),
    "a directory entry with a name in capitals and spaces": _entry("A B", 0),
    "a directory entry that is active by number": _entry("a", 0, active=1),
    "a good frame and a broken one behind it": _PING + b"\x00\x03\xff",
}
_SAID: Final = {
    "ready, again": _frame(1),
    "a join in a session that is open": _frame(10, _HASH, _HASH, _SIGNATURE),
    "an answer to nothing": _frame(31, [[1, 3, "", b""]]),
    "receipts that run backwards": _frame(40, [[2, _FROM, _ID, _TO, 3, b""], [1, _FROM, _ID, _TO, 3, b""]]),
    "more messages than the window has room for": _frame(20, [[b"m", 0]] * 9),
    **_TAGS,
}
_WRONG_ENVELOPE: Final = {
    **broken(pack(_ENVELOPE)),
    **swapped(
        _ENVELOPE,
        {
            "version 0": (0, 0),
            "version 2": (0, 2),
            "an id of 15 bytes": (1, _ID[:15]),
            "an id of 17 bytes": (1, bytes(17)),
            "an id of text": (1, "id"),
            "a sender without a mailbox": (2, "@chu-alger"),
            "a sender without a facility": (2, "labo@"),
            "a sender without an @": (2, "labo"),
            "a sender with two @": (2, "labo@chu@alger"),
            "a sender in capitals": (2, "LABO@CHU-ALGER"),
            "a sender with a path in it": (2, "../labo@chu-alger"),
            "a sender with a zero byte": (2, "labo\0@chu-alger"),
            "a sender with a line end": (2, "labo@chu-alger\n"),
            "a sender in Arabic digits": (2, "labo٣@chu-alger"),
            "a sender of 200 characters": (2, "l" * 100 + "@" + "c" * 99),
            "no recipient": (3, []),
            "recipients that are one text": (3, _TO),
            "a recipient that is no address": (3, ["everybody"]),
            "more recipients than allowed": (3, [_TO] * (limits.RECIPIENTS + 1)),
            "a kind with a line end": (4, "ADT^A01\n"),
            "a kind of 1,000 characters": (4, "A" * 1_000),
            "an empty kind": (4, ""),
            "a kind with a space": (4, "ADT A01"),
            "a priority that nobody knows": (5, 7),
            "a priority of text": (5, "stat"),
            "made before 1970": (6, -1),
            "made at 2^63": (6, 1 << 63),
            "valid for no time": (7, 0),
            "valid for longer than allowed": (7, limits.VALID_FOR_MAX_MS + 1),
            "a commitment of 31 bytes": (8, _HASH[:31]),
            "a body outside by number": (9, 1),
            "more attachments than allowed": (10, [[_ID, 1, _HASH]] * (limits.ATTACHMENTS + 2)),
            "an attachment of a negative size": (10, [[_ID, -1, _HASH]]),
            "an attachment of 2^62 bytes": (10, [[_ID, 1 << 62, _HASH]]),
            "an attachment without a root": (10, [[_ID, 1]]),
        },
    ),
}
_WRONG_RECEIPT: Final = swapped(
    _RECEIPT,
    {
        "version 2 of a receipt": (0, 2),
        "a receipt for an id of 15 bytes": (1, _ID[:15]),
        "a receipt with a digest of 33 bytes": (2, bytes(33)),
        "a receipt for a sender that is no address": (3, "labo"),
        "a receipt from a recipient that is no address": (4, "cardio"),
        "a receipt in state 77": (5, 77),
        "a receipt with a code of 5,000 characters": (6, "c" * 5_000),
        "a receipt at a negative time": (7, -5),
        "a receipt by serial -1": (8, -1),
        "a receipt with a detail of 60,000 bytes": (9, bytes(60_000)),
        "a receipt with a detail that opens with no key": (9, _GOOD_DETAIL[:-1] + b"\0"),
        "a receipt with a detail of three bytes": (9, b"abc"),
    },
)
BAD: Final[dict[str, dict[str, bytes]]] = {
    "first_packet": {**_FIRST, **each(_WRONG_HELLO, lambda data: b"X" + _first_packet(_noise(data)))},
    "noise_message": {
        "nothing": b"",
        "one byte": b"x",
        "95 bytes": _NOISE[:95],
        "cut by one byte": _NOISE[:-1],
        "a key of zeros": bytes(len(_NOISE)),
        "the same message to another hub": _NOISE[::-1],
    },
    "hello": {**broken(_HELLO_BYTES), **_WRONG_HELLO, "too large": pack([*_HELLO, bytes(60_000)])},
    "wire_to_hub": _FIRST,
    "record": {
        "an empty record": b"\x00\x00",
        "a record of 15 bytes": b"\x00\x0f" + bytes(15),
        "a record of zeros": b"\x00\x20" + bytes(32),
        "a record of 65,535 zeros": b"\xff\xff" + bytes(65_535),
    },
    "frame": {**_FRAMES},
    "said_to_hub": {**_FRAMES, **_SAID},
    "message": {
        **broken(_MESSAGE),
        "a signature of zeros": _MESSAGE[:-64] + bytes(64),
        "an envelope that is no envelope": pack([b"x", b"", [], 1, _SIGNATURE]),
        "a wrap of 79 bytes": pack([pack(_ENVELOPE), b"", [["chu-oran", 1, bytes(79)]], 1, _SIGNATURE]),
        "a wrap that opens with no key": pack(
            [pack(_ENVELOPE), b"", [["chu-oran", 1, bytes(80)]], 1, _SIGNATURE]
        ),
        "a signature of 63 bytes": pack([pack(_ENVELOPE), b"", [], 1, bytes(63)]),
        "a body that is not sealed": pack([pack(_ENVELOPE), b"MSH|", [], 1, _SIGNATURE]),
    },
    "an_envelope": _WRONG_ENVELOPE,
    "content": {
        **broken(pack(_CONTENT)),
        **swapped(
            _CONTENT,
            {
                "a body of text": (0, "MSH|"),
                "a subject that is too long": (1, "s" * 10_000),
                "a patient of a number": (2, 5),
                "a key that is too long": (3, "k" * 10_000),
                "a file without a name": (4, [["", "image/png", _HASH]]),
                "a file with a name that is too long": (4, [["n" * 5_000, "image/png", _HASH]]),
                "a file with a digest of 5 bytes": (4, [["n", "image/png", b"short"]]),
            },
        ),
    },
    "receipt": {
        **broken(_receipt(_RECEIPT)),
        **each(_WRONG_RECEIPT, _receipt),
        "a receipt signed by nobody": pack([pack(_RECEIPT), _SIGNATURE]),
        "a receipt inside a receipt": _receipt(_receipt(_RECEIPT)),
    },
}
ODD: Final[dict[str, dict[str, bytes]]] = {
    "record": {"a first packet in the middle of a session": _PACKET},
    "said_to_node": {**_FRAMES, **_SAID},
    "wire_to_hub": {
        "one byte of a good packet": _PACKET[:1],
        "all but the last byte of a good packet": _PACKET[:-1],
        "two good packets in a row": _PACKET * 2,
        "a good packet and a record that it does not know": _PACKET + b"\x00\x20" + bytes(32),
    },
    "said_to_hub": {"5,000 pings at once": b"".join(f.encode_frame(f.Ping(n)) for n in range(5_000))},
}
