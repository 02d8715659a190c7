"""The published vectors are what this code makes and reads."""

from __future__ import annotations

import json

import pytest

from crypto import identity, sealing
from crypto.keys import LinkPublicKey, SigningPublicKey
from crypto.trust import Anchors
from protocols.audit import succession
from protocols.link import frames as f
from protocols.link import payloads
from protocols.link.envelope import State, decode_envelope, decode_message, decode_receipt
from protocols.link.joincode import decode_joincode
from protocols.link.session import HelloReceived, LinkSession, Opened, PeerLeft
from tests.protocols.link import make_vectors
from tests.protocols.link.make_vectors import HUB, HUB_EPHEMERAL, HUB_NAME, NODE, NODE_EPHEMERAL, NOW_MS

VECTORS = json.loads(make_vectors.PATH.read_text(encoding="utf-8"))


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def test_the_file_is_what_this_code_makes() -> None:
    """After a change that is meant, ``python -m tests.protocols.link.make_vectors`` writes it anew."""
    assert make_vectors.PATH.read_text(encoding="utf-8") == make_vectors.text()


@pytest.mark.parametrize("name", ["handshake_ik", "handshake_ikpsk2"])
def test_the_real_session_says_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = VECTORS[name]
    psk = None if vector["psk"] is None else raw(vector["psk"])
    monkeypatch.setattr("crypto.noise.LinkPrivateKey.generate", lambda: NODE_EPHEMERAL)
    hello = payloads.decode_hello(raw(vector["hello_payload"]))
    node = LinkSession.node(
        static=NODE, hub_key=HUB.public, hub_name=HUB_NAME, hello=hello, now_ms=lambda: NOW_MS, psk=psk
    )
    assert node.data_to_send().hex() == vector["first_packet"]

    monkeypatch.setattr("crypto.noise.LinkPrivateKey.generate", lambda: HUB_EPHEMERAL)
    hub = LinkSession.hub(static=HUB, hub_name=HUB_NAME, now_ms=lambda: NOW_MS, submit_window=512)
    (event,) = hub.receive(raw(vector["first_packet"]))
    assert event == HelloReceived(NODE.public, hello, psk is not None)
    welcome = payloads.decode_welcome(raw(vector["welcome_payload"]))
    if psk is None:
        hub.welcome(welcome)
    else:
        hub.welcome_to_join(welcome, psk)
    assert hub.data_to_send().hex() == vector["second_packet"]
    assert node.receive(raw(vector["second_packet"])) == [Opened(welcome)]


def test_the_real_session_reads_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = VECTORS["handshake_ik"]
    monkeypatch.setattr("crypto.noise.LinkPrivateKey.generate", lambda: NODE_EPHEMERAL)
    hello = payloads.decode_hello(raw(vector["hello_payload"]))
    node = LinkSession.node(
        static=NODE, hub_key=HUB.public, hub_name=HUB_NAME, hello=hello, now_ms=lambda: NOW_MS
    )
    monkeypatch.setattr("crypto.noise.LinkPrivateKey.generate", lambda: HUB_EPHEMERAL)
    hub = LinkSession.hub(static=HUB, hub_name=HUB_NAME, now_ms=lambda: NOW_MS, submit_window=512)
    hub.receive(raw(vector["first_packet"]))
    hub.welcome(payloads.decode_welcome(raw(vector["welcome_payload"])))
    node.receive(raw(vector["second_packet"]))
    records = [raw(record["record"]) for record in VECTORS["records_ik"]]
    assert hub.receive(records[0]) == [Opened(None), f.DirectoryWanted(7)]
    assert node.receive(records[1]) == [f.Directory((), complete=True)]
    assert hub.receive(records[2]) == []
    hub.send(f.Events((f.Event(3, bytes(16), "a@b", State.RETURNED, "expired", 1, b""),)))
    assert hub.receive(records[3]) == [f.EventsTaken(3)]
    assert node.receive(records[4]) == [
        f.Pong(1, NOW_MS),
        PeerLeft(f.End(f.Goodbye.RESTARTING, "", 1)),
    ]


def test_the_message_opens() -> None:
    vector = VECTORS["message"]
    message = decode_message(raw(vector["message_bytes"]))
    envelope = decode_envelope(message.envelope)
    key = sealing.unwrap_key(message.wraps[0].key, make_vectors.RECIPIENT_SEALING)
    assert sealing.key_commitment(key) == envelope.commitment
    assert sealing.open_body(key, message.envelope, message.sealed).hex() == vector["content_bytes"]
    digest = sealing.message_digest(message.envelope, message.sealed)
    sealing.verify_message(make_vectors.SENDER.public, digest, message.signature)


def test_the_receipt_verifies_and_its_answer_opens() -> None:
    vector = VECTORS["receipt"]
    receipt, signed = decode_receipt(raw(vector["signed_receipt"]))
    sealing.verify_receipt(make_vectors.RECIPIENT.public, signed.receipt, signed.signature)
    assert sealing.open_detail(make_vectors.SENDER_SEALING, receipt.detail).hex() == vector["answer"]


def test_the_statements_verify() -> None:
    authority = SigningPublicKey(raw(VECTORS["keys"]["authority"]["public"]))
    kinds = [type(identity.verify(raw(one["statement"]), authority)) for one in VECTORS["statements"]]
    assert kinds == [identity.Credential, identity.Revocation, identity.Group]


def test_the_changes_of_keys_are_followed() -> None:
    hub, authority = (raw(VECTORS["keys"][name]["public"]) for name in ("hub", "authority"))
    now = Anchors("wasl-dz", 0, LinkPublicKey(hub), SigningPublicKey(authority))
    *chain, audit = [raw(one["change"]) for one in VECTORS["key_changes"]]
    for blob in chain:
        now = now.follow(blob)
    assert (now.serial, now.before, now.retired) == (3, (), (SigningPublicKey(authority),))
    assert succession.follow(SigningPublicKey(authority), [audit], "wasl-dz")[-1] == now.authority


def test_the_join_code_reads() -> None:
    vector = VECTORS["join_code"]
    code = decode_joincode(vector["line"])
    assert make_vectors.plain(code) == vector["fields"]
    make_vectors.RECIPIENT.public.verify(raw(vector["proof"]), raw(vector["proof_text"]))
