"""Independent implementations understand us in both roles: noiseprotocol, and dissononce if installed.

dissononce sets the nonce back at a rekey, which Noise section 5.1 does not; so rekey is checked with
noiseprotocol alone.
"""

import pytest
from noise.connection import Keypair, NoiseConnection

from crypto.keys import LinkPrivateKey
from crypto.noise import CipherPair, Handshake, Pattern
from tests.crypto.noise_vectors import OWN, Vector

NODE = LinkPrivateKey(b"\x11" * 32)
HUB = LinkPrivateKey(b"\x22" * 32)
PSK = b"\x33" * 32
PROLOGUE = b"wasl test"
BOTH = pytest.mark.parametrize("pattern", list(Pattern))
TEXTS = [b"", b"text", bytes(65_519)]


def psk_of(pattern: Pattern) -> bytes | None:
    return PSK if pattern is Pattern.IKPSK2 else None


def foreign(pattern: Pattern, *, is_initiator: bool) -> NoiseConnection:
    connection = NoiseConnection.from_name(pattern.value)
    if is_initiator:
        connection.set_as_initiator()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, NODE.raw)
        connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, HUB.public.raw)
    else:
        connection.set_as_responder()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, HUB.raw)
    connection.set_prologue(PROLOGUE)
    if psk_of(pattern):
        connection.set_psks(psk=PSK)
    connection.start_handshake()
    return connection


def ours(pattern: Pattern, *, is_initiator: bool) -> Handshake:
    if is_initiator:
        return Handshake.initiator(
            pattern, prologue=PROLOGUE, static=NODE, remote_static=HUB.public, psk=psk_of(pattern)
        )
    return Handshake.responder(pattern, prologue=PROLOGUE, static=HUB, psk=psk_of(pattern))


def exchange(pair: CipherPair, connection: NoiseConnection) -> None:
    for text in TEXTS:
        assert connection.decrypt(pair.send.encrypt(text)) == text
        assert pair.receive.decrypt(bytes(connection.encrypt(text))) == text


def exchange_with_rekeys(pair: CipherPair, connection: NoiseConnection) -> None:
    exchange(pair, connection)
    pair.send.rekey()
    connection.rekey_inbound_cipher()
    exchange(pair, connection)
    pair.receive.rekey()
    connection.rekey_outbound_cipher()
    exchange(pair, connection)


@BOTH
def test_we_connect_to_noiseprotocol(pattern: Pattern) -> None:
    node, hub = ours(pattern, is_initiator=True), foreign(pattern, is_initiator=False)
    assert hub.read_message(node.write_message(b"one")) == b"one"
    assert node.read_message(bytes(hub.write_message(b"two"))) == b"two"
    assert node.handshake_hash == hub.get_handshake_hash()
    exchange_with_rekeys(node.split(), hub)


@BOTH
def test_noiseprotocol_connects_to_us(pattern: Pattern) -> None:
    node, hub = foreign(pattern, is_initiator=True), ours(pattern, is_initiator=False)
    assert hub.read_message(bytes(node.write_message(b"one"))) == b"one"
    assert hub.remote_static == NODE.public
    assert node.read_message(hub.write_message(b"two")) == b"two"
    assert hub.handshake_hash == node.get_handshake_hash()
    exchange_with_rekeys(hub.split(), node)


@pytest.mark.parametrize("vector", OWN, ids=lambda vector: vector.protocol_name)
def test_noiseprotocol_reproduces_our_vectors(vector: Vector) -> None:
    node, hub = (NoiseConnection.from_name(vector.pattern.value) for _ in range(2))
    node.set_as_initiator()
    hub.set_as_responder()
    hub_static = bytes.fromhex(vector.init_remote_static)
    node.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, hub_static)
    secrets = (
        (node, vector.init_static, vector.init_ephemeral),
        (hub, vector.resp_static, vector.resp_ephemeral),
    )
    for end, static, ephemeral in secrets:
        end.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(static))
        end.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(ephemeral))
        end.set_prologue(bytes.fromhex(vector.init_prologue))
        if vector.psk:
            end.set_psks(psk=vector.psk)
        with pytest.warns(UserWarning, match="ephemeral"):
            end.start_handshake()
    for number, message in enumerate(vector.messages):
        writer, reader = (hub, node) if number % 2 else (node, hub)
        payload = bytes.fromhex(message.payload)
        seal, unseal = (
            (writer.write_message, reader.read_message) if number < 2 else (writer.encrypt, reader.decrypt)
        )
        ciphertext = bytes(seal(payload))
        assert ciphertext.hex() == message.ciphertext
        assert unseal(ciphertext) == payload
    assert node.get_handshake_hash().hex() == vector.handshake_hash
    for end in (node, hub):
        end.rekey_inbound_cipher()
        end.rekey_outbound_cipher()
    for number, message in enumerate(vector.after_rekey):
        writer = hub if number % 2 else node
        assert bytes(writer.encrypt(bytes.fromhex(message.payload))).hex() == message.ciphertext


# ---- dissononce


@BOTH
@pytest.mark.parametrize("we_connect", [True, False])
def test_dissononce_understands_us(pattern: Pattern, we_connect: bool) -> None:
    pytest.importorskip("dissononce", reason="the second independent implementation is not installed")
    from tests.crypto.dissononce_end import make_end  # noqa: PLC0415  only where it is installed

    mine = ours(pattern, is_initiator=we_connect)
    theirs = make_end(
        static=HUB if we_connect else NODE,
        remote_static=None if we_connect else HUB.public,
        prologue=PROLOGUE,
        psk=psk_of(pattern),
    )
    buffer = bytearray()
    if we_connect:
        theirs.read_message(mine.write_message(b"one"), buffer)
        assert bytes(buffer) == b"one"
        answer = bytearray()
        to_hub, to_node = theirs.write_message(b"two", answer)
        assert mine.read_message(bytes(answer)) == b"two"
        receive, send = to_hub, to_node
    else:
        theirs.write_message(b"one", buffer)
        assert mine.read_message(bytes(buffer)) == b"one"
        answer = bytearray()
        to_hub, to_node = theirs.read_message(mine.write_message(b"two"), answer)
        assert bytes(answer) == b"two"
        send, receive = to_hub, to_node
    pair = mine.split()
    for text in TEXTS:
        assert receive.decrypt_with_ad(b"", pair.send.encrypt(text)) == text
        assert pair.receive.decrypt(bytes(send.encrypt_with_ad(b"", text))) == text
