"""The test vectors of the link protocol: every byte string that a second implementation must get right.

``python -m tests.protocols.link.make_vectors`` writes ``docs/vectors/link-v1.json``; a test makes them again
and compares. Keys and ephemeral keys are fixed; nothing here is secret. Bytes are lower-case hex.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
from nacl import bindings

from crypto import filestream, identity, primitives, sealing, trust
from crypto.fingerprint import WORDS, in_words, node_fingerprint
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SealingPublicKey, SigningPrivateKey
from crypto.noise import CipherState, Handshake, Pattern
from crypto.trust import Subject, TrustChange
from protocols.audit import succession
from protocols.link import frames as f
from protocols.link import opening, payloads
from protocols.link.envelope import (
    AttachmentRef,
    Content,
    Envelope,
    NamedFile,
    Priority,
    Receipt,
    SealedMessage,
    SignedReceipt,
    State,
    Wrap,
    encode,
)
from protocols.link.joincode import JoinCode, encode_joincode, join_proof, join_psk
from tests.protocols.link.samples import SAMPLES

SEED_LINK: Final = bytes(range(128, 160))
SEED_AUTHORITY: Final = bytes(range(160, 192))
PATH: Final = Path(__file__).parents[3] / "docs" / "vectors" / "link-v1.json"
HUB_NAME: Final = "wasl-dz"
NOW_MS: Final = 1_790_000_000_000

Vectors = dict[str, Any]


def _raw(start: int) -> bytes:
    return bytes((start + n) % 256 for n in range(32))


HUB: Final = LinkPrivateKey(_raw(0x01))
HUB_EPHEMERAL: Final = LinkPrivateKey(_raw(0x21))
NODE: Final = LinkPrivateKey(_raw(0x41))
NODE_EPHEMERAL: Final = LinkPrivateKey(_raw(0x61))
AUTHORITY: Final = SigningPrivateKey(_raw(0x81))
SENDER: Final = SigningPrivateKey(_raw(0xA1))
RECIPIENT: Final = SigningPrivateKey(_raw(0xC1))
RECIPIENT_SEALING: Final = SealingPrivateKey(_raw(0xE1))
SENDER_SEALING: Final = SealingPrivateKey(_raw(0x11))
BOX_EPHEMERAL: Final = _raw(0x31)
CONTENT_KEY: Final = sealing.ContentKey(_raw(0x51))
MESSAGE_ID: Final = bytes.fromhex("01a20636ffff7b4ea88c847805be16e0")
ATTACHMENT_ID: Final = bytes.fromhex("0badcafe0badcafe0badcafe0badcafe")
INVITATION: Final = bytes(range(16))
SECRET: Final = _raw(0x71)

HELLO: Final = payloads.Hello("wasl-node/0.1.0", NOW_MS, 512)
WELCOME: Final = payloads.Welcome("wasl-hub/0.1.0", NOW_MS + 5, 512, 1 << 36, 7)


def plain(value: Any) -> Any:
    """Return a value as JSON can show it: bytes as hex, arrays as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def keys() -> Vectors:
    named = {
        "hub": HUB, "hub_ephemeral": HUB_EPHEMERAL, "node": NODE, "node_ephemeral": NODE_EPHEMERAL,
        "authority": AUTHORITY, "sender_signing": SENDER, "recipient_signing": RECIPIENT,
        "recipient_sealing": RECIPIENT_SEALING, "sender_sealing": SENDER_SEALING,
    }  # fmt: skip
    return {name: {"private": key.raw.hex(), "public": key.public.raw.hex()} for name, key in named.items()}


def handshake(pattern: Pattern) -> tuple[Vectors, Handshake, Handshake]:
    """Return the vectors of one handshake, and both ends of it, finished."""
    psk = join_psk(INVITATION, SECRET) if pattern is Pattern.IKPSK2 else None
    hello = HELLO if psk is None else msgspec.structs.replace(HELLO, invitation=INVITATION)
    prologue = opening.prologue(pattern, HUB_NAME)
    node = Handshake.initiator(
        pattern, prologue=prologue, static=NODE, remote_static=HUB.public, psk=psk, ephemeral=NODE_EPHEMERAL
    )
    hub = Handshake.responder(pattern, prologue=prologue, static=HUB, psk=psk, ephemeral=HUB_EPHEMERAL)
    first = node.write_message(payloads.encode_payload(hello))
    assert hub.read_message(first) == payloads.encode_payload(hello)
    second = hub.write_message(payloads.encode_payload(WELCOME))
    assert node.read_message(second) == payloads.encode_payload(WELCOME)
    vectors = {
        "protocol": pattern.value.decode(),
        "hub_name": HUB_NAME,
        "prologue": prologue.hex(),
        "psk": None if psk is None else psk.hex(),
        "hello": plain(hello),
        "hello_payload": payloads.encode_payload(hello).hex(),
        "message_1": first.hex(),
        "mac1_key": opening.mac1_key(HUB.public).hex(),
        "mac1": opening.first_packet(pattern, HUB.public, first)[-opening.MAC1_BYTES :].hex(),
        "first_packet": opening.first_packet(pattern, HUB.public, first).hex(),
        "welcome": plain(WELCOME),
        "welcome_payload": payloads.encode_payload(WELCOME).hex(),
        "message_2": second.hex(),
        "second_packet": (len(second).to_bytes(2, "big") + second).hex(),
        "handshake_hash": node.handshake_hash.hex(),
    }
    return vectors, node, hub


def records() -> list[Vectors]:
    """Return records of the IK session above, in both directions, around a change of keys."""
    _, node, hub = handshake(Pattern.IK)
    up, down = node.split(), hub.split()
    found = [
        _record("node to hub", up.send, (f.Ready(), f.DirectoryWanted(7))),
        _record("hub to node", down.send, (f.Directory((), complete=True),)),
        _record("node to hub", up.send, (f.Ping(1), f.Rekey())),
    ]
    up.send.rekey()
    found.append(_record("node to hub, under the next key", up.send, (f.EventsTaken(3),)))
    found.append(_record("hub to node", down.send, (f.Pong(1, NOW_MS), f.End(f.Goodbye.RESTARTING, "", 1))))
    return found


def _record(direction: str, cipher: CipherState, frames: tuple[f.AnyFrame, ...]) -> Vectors:
    body = b"".join(f.encode_frame(frame) for frame in frames)
    nonce = cipher.nonce
    record = cipher.encrypt(body)
    return {
        "direction": direction,
        "nonce": nonce,
        "frames": [type(frame).__name__ for frame in frames],
        "plaintext": body.hex(),
        "record": (len(record).to_bytes(2, "big") + record).hex(),
    }


def sealed_box(public: SealingPublicKey, text: bytes) -> bytes:
    """Seal as libsodium's ``crypto_box_seal`` does, with a given ephemeral key instead of a random one."""
    ephemeral = bindings.crypto_scalarmult_base(BOX_EPHEMERAL)
    nonce = primitives.blake2b(ephemeral + public.raw, size=24)
    return ephemeral + bindings.crypto_box(text, nonce, public.raw, BOX_EPHEMERAL)


def attachments() -> Vectors:
    """Return a file of two chunks and one of none: the large parts as digests only."""
    content = bytes(n % 251 for n in range(filestream.CHUNK_BYTES + 5))
    key = sealing.attachment_key(CONTENT_KEY, ATTACHMENT_ID)
    sealer = filestream.ChunkSealer(key)
    first = sealer.seal(0, last=False, plain=content[: filestream.CHUNK_BYTES])
    last = sealer.seal(1, last=True, plain=content[filestream.CHUNK_BYTES :])
    leaves = [filestream.leaf_hash(0, first), filestream.leaf_hash(1, last)]
    empty = sealer.seal(0, last=True, plain=b"")
    return {
        "content_key": CONTENT_KEY.raw.hex(),
        "attachment_id": ATTACHMENT_ID.hex(),
        "attachment_key": key.hex(),
        "plain": f"byte n is n mod 251, {len(content)} bytes",
        "plain_digest": primitives.blake2b(content).hex(),
        "nonces": [(bytes(12)).hex(), (bytes(10) + b"\x01\x01").hex()],
        "first_chunk_digest": primitives.blake2b(first).hex(),
        "last_chunk": last.hex(),
        "leaves": [leaf.hex() for leaf in leaves],
        "root": _root(leaves).hex(),
        "empty_file_chunk": empty.hex(),
        "empty_file_root": _root([filestream.leaf_hash(0, empty)]).hex(),
    }


def _root(leaves: list[bytes]) -> bytes:
    root = filestream.RootHash()
    for leaf in leaves:
        root.add(leaf)
    return root.digest()


def message() -> Vectors:
    """Return one message with one attachment, from its content to its bytes in SUBMIT."""
    file = attachments()
    envelope = Envelope(
        version=1,
        id=MESSAGE_ID,
        sender="labo@chu-alger",
        recipients=("cardio@chu-oran",),
        kind="ORU^R01",
        priority=Priority.STAT,
        created_ms=NOW_MS,
        valid_for_ms=432_000_000,
        commitment=sealing.key_commitment(CONTENT_KEY),
        attachments=(AttachmentRef(ATTACHMENT_ID, filestream.CHUNK_BYTES + 5, bytes.fromhex(file["root"])),),
    )
    content = Content(
        body=b"MSH|^~\\&|labo|chu-alger|cardio|chu-oran|20260921||ORU^R01|42|P|2.5\r",
        subject="نتيجة",
        patient="100200300",
        files=(NamedFile("scan.pdf", "application/pdf", bytes.fromhex(file["plain_digest"])),),
    )
    head, body = encode(envelope), encode(content)
    sealed = sealing.seal_body(CONTENT_KEY, head, body)
    digest = sealing.message_digest(head, sealed)
    signature = sealing.sign_message(SENDER, digest)
    wrap = Wrap("chu-oran", 1, sealed_box(RECIPIENT_SEALING.public, CONTENT_KEY.raw))
    whole = SealedMessage(head, sealed, (wrap,), 1, signature)
    return {
        "envelope": plain(envelope),
        "envelope_bytes": head.hex(),
        "content": plain(content),
        "content_bytes": body.hex(),
        "content_key": CONTENT_KEY.raw.hex(),
        "body_key": primitives.blake2b(b"", key=CONTENT_KEY.raw, person=b"wasl body").hex(),
        "commitment": envelope.commitment.hex(),
        "nonce": primitives.blake2b(head, size=24, person=b"wasl nonce").hex(),
        "sealed": sealed.hex(),
        "digest": digest.hex(),
        "signed": (sealing.MESSAGE_DOMAIN + digest).hex(),
        "signature": signature.hex(),
        "box_ephemeral_private": BOX_EPHEMERAL.hex(),
        "wrap": wrap.key.hex(),
        "message_bytes": encode(whole).hex(),
    }


def receipt() -> Vectors:
    """Return the recipient's signed word on that message, with an answer sealed for the sender."""
    answer = b"MSA|AA|42\r"
    padded = len(answer).to_bytes(4, "big") + answer
    padded += bytes(-len(padded) % 64)
    detail = sealed_box(SENDER_SEALING.public, padded)
    assert sealing.open_detail(SENDER_SEALING, detail) == answer
    value = Receipt(
        version=1,
        message_id=MESSAGE_ID,
        digest=bytes.fromhex(message()["digest"]),
        sender="labo@chu-alger",
        recipient="cardio@chu-oran",
        state=State.PROCESSED,
        code="AA",
        at_ms=NOW_MS + 1_000,
        signer_serial=1,
        detail=detail,
    )
    data = encode(value)
    signature = sealing.sign_receipt(RECIPIENT, data)
    return {
        "receipt": plain(value),
        "receipt_bytes": data.hex(),
        "answer": answer.hex(),
        "padded": padded.hex(),
        "signed": (sealing.RECEIPT_DOMAIN + data).hex(),
        "signature": signature.hex(),
        "signed_receipt": encode(SignedReceipt(data, signature)).hex(),
    }


def statements() -> list[Vectors]:
    """Return one statement of each type, signed by the authority."""
    values: tuple[identity.Statement, ...] = (
        identity.Credential(
            facility="chu-oran",
            serial=1,
            link_key=NODE.public,
            signing_key=RECIPIENT.public,
            sealing_key=RECIPIENT_SEALING.public,
            not_before_ms=NOW_MS,
            not_after_ms=NOW_MS + 63_072_000_000,
        ),
        identity.Revocation(facility="chu-oran", serial=1, at_ms=NOW_MS + 5_000, reason="key lost"),
        identity.Group(name="garde", serial=1, members=("cardio@chu-oran", "labo@chu-alger")),
    )
    return [
        {"type": type(value).__name__, "statement": identity.issue(AUTHORITY, value).hex()}
        for value in values
    ]


def key_changes() -> list[Vectors]:
    """Return a chain of changes of the network's own keys, and of the audit log's."""
    link, authority, audit = LinkPrivateKey(SEED_LINK), SigningPrivateKey(SEED_AUTHORITY), AUTHORITY
    changes = (
        (AUTHORITY, TrustChange(HUB_NAME, 1, Subject.LINK, bytes(link.public), NOW_MS)),
        (AUTHORITY, TrustChange(HUB_NAME, 2, Subject.AUTHORITY, bytes(authority.public), NOW_MS)),
        (authority, TrustChange(HUB_NAME, 3, Subject.RETIRED, bytes(AUTHORITY.public), NOW_MS)),
    )
    chain = [{"type": one.subject.name, "change": trust.issue(key, one).hex()} for key, one in changes]
    named = succession.issue(audit, authority.public, origin=HUB_NAME, at_ms=NOW_MS)
    return [*chain, {"type": "audit key", "change": named.hex()}]


def joining() -> Vectors:
    """Return a join code with what follows from it."""
    code = JoinCode(
        hub="hub.example:7600",
        hub_name=HUB_NAME,
        hub_key=HUB.public.raw,
        authority_key=AUTHORITY.public.raw,
        facility="chu-oran",
        invitation=INVITATION,
        secret=SECRET,
    )
    proof = join_proof(INVITATION, NODE.public.raw, RECIPIENT.public.raw, RECIPIENT_SEALING.public.raw)
    return {
        "fields": plain(code),
        "line": encode_joincode(code),
        "psk": code.psk.hex(),
        "proof_text": proof.hex(),
        "proof": RECIPIENT.sign(proof).hex(),
    }


def fingerprint() -> Vectors:
    """Return what people compare of the joining node's keys."""
    found = node_fingerprint(NODE.public, RECIPIENT.public, RECIPIENT_SEALING.public)
    return {"bytes": found.hex(), "words": in_words(found), "list": " ".join(WORDS)}


def frames() -> list[Vectors]:
    """Return one frame of each type, its 2-byte length included."""
    return [
        {
            "name": type(frame).__name__,
            "type": type(frame).__struct_config__.tag,
            "fields": plain(frame),
            "bytes": f.encode_frame(frame).hex(),
        }
        for frame in SAMPLES
    ]


def make() -> Vectors:
    """Return all vectors."""
    return {
        "version": 1,
        "keys": keys(),
        "handshake_ik": handshake(Pattern.IK)[0],
        "handshake_ikpsk2": handshake(Pattern.IKPSK2)[0],
        "records_ik": records(),
        "frames": frames(),
        "attachments": attachments(),
        "message": message(),
        "receipt": receipt(),
        "statements": statements(),
        "key_changes": key_changes(),
        "join_code": joining(),
        "fingerprint": fingerprint(),
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(make(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
