"""Noise vectors in the shape of the public ones, and a player that holds our code against them.

``OWN`` was made with ``crypto.noise`` and is reproduced by an independent implementation in
``test_noise_interop``; it pins the handshake on machines that lack the public vectors.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from crypto.keys import LinkPrivateKey
from crypto.noise import CipherState, Handshake, Pattern

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "noise"
PATTERNS = {pattern.value.decode(): pattern for pattern in Pattern}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    ciphertext: str


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """One vector, all in hex; messages after the second are transport, alternately from each end."""

    protocol_name: str
    init_prologue: str
    init_static: str
    init_ephemeral: str
    init_remote_static: str
    resp_static: str
    resp_ephemeral: str
    messages: list[Message]
    after_rekey: list[Message] = []
    init_psks: list[str] = []
    handshake_hash: str = ""

    @property
    def pattern(self) -> Pattern:
        return PATTERNS[self.protocol_name]

    @property
    def psk(self) -> bytes | None:
        return bytes.fromhex(self.init_psks[0]) if self.init_psks else None

    def ends(self) -> tuple[Handshake, Handshake]:
        responder = LinkPrivateKey(bytes.fromhex(self.resp_static))
        assert responder.public.raw.hex() == self.init_remote_static
        return (
            Handshake.initiator(
                self.pattern,
                prologue=bytes.fromhex(self.init_prologue),
                static=LinkPrivateKey(bytes.fromhex(self.init_static)),
                remote_static=responder.public,
                psk=self.psk,
                ephemeral=LinkPrivateKey(bytes.fromhex(self.init_ephemeral)),
            ),
            Handshake.responder(
                self.pattern,
                prologue=bytes.fromhex(self.init_prologue),
                static=responder,
                psk=self.psk,
                ephemeral=LinkPrivateKey(bytes.fromhex(self.resp_ephemeral)),
            ),
        )


@dataclass(frozen=True, slots=True)
class Transport:
    """Four ciphers: (sender, receiver) toward the responder and toward the initiator."""

    forth: tuple[CipherState, CipherState]
    back: tuple[CipherState, CipherState]

    def play(self, messages: list[Message]) -> None:
        for number, message in enumerate(messages):
            sender, receiver = self.back if number % 2 else self.forth
            payload, ciphertext = bytes.fromhex(message.payload), bytes.fromhex(message.ciphertext)
            assert sender.encrypt(payload) == ciphertext
            assert receiver.decrypt(ciphertext) == payload

    def rekey(self) -> None:
        for cipher in (*self.forth, *self.back):
            cipher.rekey()


def play(vector: Vector) -> None:
    """Play a whole vector with both ends ours, comparing every byte."""
    initiator, responder = vector.ends()
    for number, message in enumerate(vector.messages[:2]):
        writer, reader = (responder, initiator) if number else (initiator, responder)
        payload, ciphertext = bytes.fromhex(message.payload), bytes.fromhex(message.ciphertext)
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
    assert initiator.handshake_hash == responder.handshake_hash
    if vector.handshake_hash:
        assert initiator.handshake_hash.hex() == vector.handshake_hash
    ours, theirs = initiator.split(), responder.split()
    transport = Transport(forth=(ours.send, theirs.receive), back=(theirs.send, ours.receive))
    transport.play(vector.messages[2:])
    transport.rekey()
    transport.play(vector.after_rekey)


def load_public() -> list[Vector]:
    """Return the public vectors that are for our two patterns, from every file there is."""
    vectors = []
    for path in sorted(CORPUS.glob("*.txt")):
        found = json.loads(path.read_text("utf-8"))
        rows = found["vectors"] if isinstance(found, dict) else found
        vectors += [msgspec.convert(row, Vector) for row in rows if row.get("protocol_name") in PATTERNS]
    return vectors


OWN = msgspec.json.decode((Path(__file__).parent / "noise_vectors.json").read_bytes(), type=list[Vector])
