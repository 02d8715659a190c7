"""Settings, control files of the drop folder, and requests to the local API."""

from __future__ import annotations

from typing import Final

_MIB: Final = 1 << 20
_TOML: Final = {
    "no UTF-8": b"\xff\xfe",
    "UTF-16": 'a = "b"'.encode("utf-16"),
    "a zero byte": b"a = 1\0",
    "no TOML": b"this is not TOML",
    "JSON": b'{"hub": {}}',
    "YAML": b"hub:\n  name: x\n",
    "INI": b"[hub]\nname: x\n",
    "a key without a value": b"[hub]\nname =\n",
    "a text that never ends": b'[hub]\nname = "x\n',
    "a table twice": b"[hub]\n[hub]\n",
    "a key twice": b'[http]\nlisten = "127.0.0.1:1"\nlisten = "127.0.0.1:2"\n',
    "a section that nobody knows": b"[hub2]\nname = 'x'\n",
    "a key at the top that nobody knows": b"name = 'x'\n",
    "a number with a thousand digits": b"[http]\nlisten = " + b"1" * 1_000,
    "1,000 arrays in each other": b"a = " + b"[" * 1_000,
    "100,000 arrays in each other": b"a = " + b"[" * 100_000,
    "a date of a 13th month": b"a = 2026-13-01\n",
    "a section that is a number": b"http = 5\n",
    "a section that is a list": b"http = []\n",
    "an address without a port": b'[http]\nlisten = "127.0.0.1"\n',
    "an address with port 65536": b'[http]\nlisten = "127.0.0.1:65536"\n',
    "an address with port -1": b'[http]\nlisten = "h:-1"\n',
    "an address of nothing": b'[http]\nlisten = ""\n',
    "an address of a number": b"[http]\nlisten = 7601\n",
    "an address with a port in Arabic digits": '[http]\nlisten = "127.0.0.1:٧٦٠٠"\n'.encode(),
    "a floor in parsecs": b'[disk]\nfloor = "3 parsecs"\n',
    "a floor below nothing": b'[disk]\nfloor = "-1GiB"\n',
    "a floor of nan": b"[disk]\nfloor = nan\n",
    "a floor of inf": b"[disk]\nfloor = inf\n",
    "a floor of a thousand digits": b'[disk]\nfloor = "' + b"9" * 1_000 + b'GiB"\n',
    "a level of logs that nobody knows": b'[log]\nlevel = "loud"\n',
}
_SIDECAR: Final = b'{"to": "labo@chu-oran", "payload": "a.hl7"}'
_MESSAGE: Final = b'{"to": ["labo@chu-oran"], "from": "labo", "body": "text"}'


def _json(more: bytes) -> bytes:
    """Return a message for the API with something more, or something twice, in it."""
    return _MESSAGE[:-1] + b", " + more + b"}"


def _request(
    path: bytes, query: bytes = b"", media: bytes = b"", span: bytes = b"", body: bytes = b""
) -> bytes:
    return b"\n".join((path, query, media, span, body))


GOOD: Final = {
    "hub_settings": b'[hub]\nname = "hub"\n[disk]\nfloor = "2GiB"\n',
    "node_settings": b'[node]\nhub = "127.0.0.1:7600"\n[mllp]\nlisten = "127.0.0.1:2575"\n',
    "sidecar": _SIDECAR,
    "api_json": _MESSAGE,
    "api_request": _request(b"directory"),
}
_NO_JSON: Final = {
    "nothing": b"",
    "spaces": b"   ",
    "a bare word": b"text",
    "a number": b"5",
    "null": b"null",
    "a list": b"[]",
    "an open brace": b"{",
    "no UTF-8": b'{"to": "\xff"}',
    "half a surrogate": b'{"to": ["\\ud800@chu"]}',
    "NaN": b'{"to": NaN}',
    "a trailing comma": b'{"to": [],}',
    "a comment": b"{} // no",
    "single quotes": b"{'to': []}",
    "100,000 lists in each other": b"[" * 100_000,
    "100,000 objects in each other": b'{"a":' * 100_000,
    "UTF-16": '{"to": []}'.encode("utf-16"),
    "a mark of UTF-8 and nothing": b"\xef\xbb\xbf",
    "a zero byte": b"\0",
    "a number of 5,000 digits": b"1" * 5_000,
    "a number beyond all exponents": b'{"to": 1e999999}',
}
BAD: Final[dict[str, dict[str, bytes]]] = {
    "hub_settings": {
        **_TOML,
        "a hub name with a line end": b'[hub]\nname = "a\\nb"\n',
        "a hub that listens nowhere": b"[hub]\nlisten = []\n",
        "an effect that nobody knows": b'[policy]\ndefault = "perhaps"\n',
        "a rule without an effect": b"[[policy.rule]]\nkind = '*'\n",
        "no sessions at all": b"[limits]\nmax_sessions = 0\n",
        "more credit than the protocol has": b"[limits]\ncredit_messages = 513\n",
        "a number for true": b"[limits]\nmax_sessions = true\n",
        "a database of another kind": b'[database]\nurl = "mongodb://x"\n',
    },
    "node_settings": {
        **_TOML,
        "an acknowledgement that nobody knows": b'[mllp]\nacknowledge = "soon"\n',
        "a route to nobody": b"[[mllp.route]]\nkind = 'ADT^A01'\nto = []\n",
        "a route to somebody without a facility": b"[[mllp.route]]\nto = ['labo']\n",
        "delivery to no address": b'[mllp.deliver]\n"labo" = "there"\n',
        "a retry that ends before it begins": b'[mllp.delivery]\nretry_first = "10s"\nretry_cap = "1s"\n',
        "a folder of nothing": b'[folder]\npath = ""\n',
    },
    "sidecar": {
        **_NO_JSON,
        "no recipient": b'{"payload": "a"}',
        "nothing to send": b'{"to": "labo@chu"}',
        "a key that nobody knows": b'{"to": "labo@chu", "payload": "a", "cc": "x"}',
        "a payload above the folder": b'{"to": "labo@chu", "payload": "../../etc/passwd"}',
        "a payload from the root": b'{"to": "labo@chu", "payload": "/etc/passwd"}',
        "a payload with a zero byte": b'{"to": "labo@chu", "payload": "a\\u0000"}',
        "a payload of nothing": b'{"to": "labo@chu", "payload": ""}',
        "a payload that is a dot": b'{"to": "l@c", "payload": "."}',
        "a payload that is itself": b'{"to": "labo@chu", "payload": "a.json"}',
        "one file twice": b'{"to": "labo@chu", "payload": "a", "attachments": ["a"]}',
        "1,000 attachments": b'{"to": "labo@chu", "attachments": ['
        + b",".join(b'"%d"' % n for n in range(1_000))
        + b"]}",
        "a priority that nobody knows": b'{"to": "labo@chu", "payload": "a", "priority": "asap"}',
        "recipients of numbers": b'{"to": [1, 2], "payload": "a"}',
    },
    "api_json": {
        **_NO_JSON,
        "no recipient": b'{"body": "x"}',
        "an empty list of recipients": b'{"to": [], "body": "x"}',
        "a recipient that is no address": b'{"to": ["labo"], "body": "x"}',
        "a recipient that nobody knows": b'{"to": ["labo@nowhere"], "from": "labo", "body": "x"}',
        "a recipient of 5,000 characters": b'{"to": ["' + b"x" * 5_000 + b'"], "body": "x"}',
        "a key that nobody knows": _json(b'"cc": "x"'),
        "two bodies": _json(b'"body_base64": "QQ=="'),
        "a body that is no base64": b'{"to": ["labo@chu-oran"], "body_base64": "!"}',
        "a sender that is not here": b'{"to": ["labo@chu-oran"], "from": "nobody", "body": "x"}',
        "a subject of a list": _json(b'"subject": []'),
        "a subject that is too long": _json(b'"subject": "' + b"s" * 10_000 + b'"'),
        "a priority that nobody knows": _json(b'"priority": "asap"'),
        "valid for never": _json(b'"valid_for": "0s"'),
        "valid for ten thousand years": _json(b'"valid_for": "3650000d"'),
        "valid for words": _json(b'"valid_for": "long"'),
        "an id of nothing": _json(b'"id": ""'),
        "an id that is too long": _json(b'"id": "' + b"i" * 5_000 + b'"'),
        "an attachment that nobody uploaded": _json(
            b'"attachments": ["00000000-0000-0000-0000-000000000000"]'
        ),
        "an attachment that is no id": _json(b'"attachments": ["zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"]'),
        "1,000 attachments": _json(b'"attachments": [' + b",".join([b'"%032x"' % 1] * 1_000) + b"]"),
        "a kind with a line end": _json(b'"kind": "A\\nB"'),
        "a kind of nothing": _json(b'"kind": ""'),
    },
    "api_request": {
        "a path that is not there": _request(b"nothing"),
        "a path above the root": _request(b"../../etc/passwd"),
        "an id that is no id": _request(b"inbox/zzz"),
        "an id of 5,000 characters": _request(b"inbox/" + b"0" * 5_000),
        "a message that nobody has": _request(b"inbox/00000000000000000000000000000000"),
        "an attachment of a negative number": _request(
            b"inbox/00000000000000000000000000000000/attachments/-1"
        ),
        "an attachment beyond all numbers": _request(
            b"inbox/00000000000000000000000000000000/attachments/" + b"9" * 30
        ),
        "a limit of 0": _request(b"inbox", b"limit=0"),
        "a limit of text": _request(b"inbox", b"limit=many"),
        "a limit beyond all numbers": _request(b"inbox", b"limit=" + b"9" * 400),
        "a parameter that nobody knows": _request(b"inbox", b"a=b"),
        "a zero byte in the path": _request(b"inbox/%00"),
        "bytes that are no UTF-8 in the path": _request(b"inbox/%ff%fe"),
        "a message as a form": _request(
            b"messages", b"", b"application/x-www-form-urlencoded", b"", b"to=labo"
        ),
        "a message as multipart without a boundary": _request(
            b"messages", b"", b"multipart/form-data", b"", b"--\r\n"
        ),
        "a message of a media type of 5,000 characters": _request(b"messages", b"", b"x" * 5_000, b"", b"{}"),
        "an upload with an empty name": _request(
            b"uploads", b"name=", b"application/octet-stream", b"", b"x"
        ),
        "an upload with a name of 5,000 characters": _request(
            b"uploads", b"name=" + b"n" * 5_000, b"", b"", b"x"
        ),
    },
}
_LARGE: Final = {"two megabytes of comment": b"# " + b"x" * (2 * _MIB)}
ODD: Final[dict[str, dict[str, bytes]]] = {
    "hub_settings": _LARGE,
    "node_settings": _LARGE,
    "api_request": {
        "an upload without a name": _request(b"uploads", b"", b"application/octet-stream", b"", b"x"),
        "an upload with a name of dots and slashes": _request(b"uploads", b"name=../../x", b"", b"", b"x"),
        "a range beyond the end": _request(b"directory", b"", b"", b"bytes=5-1"),
        "a range of text": _request(b"directory", b"", b"", b"bytes=a-b"),
        "a thousand ranges": _request(b"directory", b"", b"", b"bytes=" + b"0-1," * 1_000),
    },
}
