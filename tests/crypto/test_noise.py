"""The handshake: the vectors byte for byte, and everything that is not a right handshake refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CryptoError, DecryptionFailed, HandshakeFailed, NonceExhausted
from crypto.keys import LinkPrivateKey, LinkPublicKey
from crypto.noise import (
    MAX_MESSAGE_BYTES,
    MAX_PLAINTEXT_BYTES,
    REKEY_NONCE,
    CipherPair,
    CipherState,
    Handshake,
    Pattern,
)
from tests.crypto.noise_vectors import CORPUS, OWN, Vector, load_public, play

NODE = LinkPrivateKey(b"\x11" * 32)
HUB = LinkPrivateKey(b"\x22" * 32)
PSK = b"\x33" * 32
PROLOGUE = b"wasl test"
BOTH = pytest.mark.parametrize("pattern", list(Pattern))


def make_ends(
    pattern: Pattern,
    *,
    node_sees_hub: LinkPublicKey = HUB.public,
    node_psk: bytes = PSK,
    node_prologue: bytes = PROLOGUE,
) -> tuple[Handshake, Handshake]:
    """Return (initiator, responder); the arguments say what the initiator gets wrong."""
    with_psk = pattern is Pattern.IKPSK2
    return (
        Handshake.initiator(
            pattern,
            prologue=node_prologue,
            static=NODE,
            remote_static=node_sees_hub,
            psk=node_psk if with_psk else None,
        ),
        Handshake.responder(pattern, prologue=PROLOGUE, static=HUB, psk=PSK if with_psk else None),
    )


def shake(initiator: Handshake, responder: Handshake) -> tuple[CipherPair, CipherPair]:
    responder.read_message(initiator.write_message(b"one"))
    initiator.read_message(responder.write_message(b"two"))
    return initiator.split(), responder.split()


# ---- vectors


@pytest.mark.parametrize("vector", OWN, ids=lambda vector: vector.protocol_name)
def test_own_vectors(vector: Vector) -> None:
    play(vector)


@pytest.mark.corpus
@BOTH
def test_public_vectors(pattern: Pattern) -> None:
    """Of the public sets only cacophony has these two patterns with BLAKE2b; snow's are searched as well."""
    if not CORPUS.exists():
        pytest.skip("no public Noise vectors: ../shared/corpus/noise is absent")
    vectors = [vector for vector in load_public() if vector.pattern is pattern]
    assert vectors
    for vector in vectors:
        assert len(vector.messages) > 2
        play(vector)


# ---- what a right handshake gives


@BOTH
def test_both_ends_learn_the_same(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern)
    assert responder.read_message(initiator.write_message(b"one")) == b"one"
    assert responder.remote_static == NODE.public
    assert initiator.remote_static == HUB.public
    assert [initiator.finished, responder.finished] == [False, False]
    assert initiator.read_message(responder.write_message(b"two")) == b"two"
    assert [initiator.finished, responder.finished] == [True, True]
    assert initiator.handshake_hash == responder.handshake_hash
    assert len(initiator.handshake_hash) == 64


@BOTH
def test_two_handshakes_never_share_anything(pattern: Pattern) -> None:
    hashes = set()
    for _ in range(2):
        initiator, responder = make_ends(pattern)
        shake(initiator, responder)
        hashes.add(initiator.handshake_hash)
    assert len(hashes) == 2


def test_the_psk_may_follow_the_first_message() -> None:
    """The responder learns from the first payload which invitation is meant."""
    initiator, _ = make_ends(Pattern.IKPSK2)
    responder = Handshake.responder(Pattern.IKPSK2, prologue=PROLOGUE, static=HUB)
    assert responder.read_message(initiator.write_message(b"invitation 7")) == b"invitation 7"
    with pytest.raises(HandshakeFailed, match="set_psk"):
        responder.write_message(b"")
    responder.set_psk(PSK)
    initiator.read_message(responder.write_message(b""))
    assert initiator.handshake_hash == responder.handshake_hash
    with pytest.raises(HandshakeFailed, match="cannot change"):
        responder.set_psk(PSK)


@given(
    first=st.binary(max_size=2000),
    second=st.binary(max_size=2000),
    texts=st.lists(st.binary(max_size=500), max_size=6),
    pattern=st.sampled_from(Pattern),
    ad=st.binary(max_size=20),
)
def test_any_payload_passes(
    first: bytes, second: bytes, texts: list[bytes], pattern: Pattern, ad: bytes
) -> None:
    initiator, responder = make_ends(pattern)
    assert responder.read_message(initiator.write_message(first)) == first
    assert initiator.read_message(responder.write_message(second)) == second
    node, hub = initiator.split(), responder.split()
    for text in texts:
        assert hub.receive.decrypt(node.send.encrypt(text, ad), ad) == text
        assert node.receive.decrypt(hub.send.encrypt(text)) == text
        for cipher in (node.send, hub.receive):
            cipher.rekey()


# ---- false messages


@BOTH
def test_a_bit_flipped_anywhere_is_refused_and_changes_nothing(pattern: Pattern) -> None:
    """Every byte of both messages in turn; afterwards the true message is still accepted."""
    initiator, responder = make_ends(pattern)
    for writer, reader in ((initiator, responder), (responder, initiator)):
        message = writer.write_message(b"payload")
        for position in range(len(message)):
            false = bytearray(message)
            false[position] ^= 0x01
            with pytest.raises(HandshakeFailed):
                reader.read_message(bytes(false))
        assert reader.read_message(message) == b"payload"
    assert initiator.handshake_hash == responder.handshake_hash


def test_the_responder_knows_nobody_after_a_false_first_message() -> None:
    initiator, responder = make_ends(Pattern.IK)
    message = initiator.write_message(b"payload")
    with pytest.raises(HandshakeFailed):
        responder.read_message(message[:-1] + bytes([message[-1] ^ 1]))
    with pytest.raises(HandshakeFailed, match="not known"):
        _ = responder.remote_static


@BOTH
def test_truncated_and_extended_messages_are_refused(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern)
    for writer, reader in ((initiator, responder), (responder, initiator)):
        message = writer.write_message(b"payload")
        for length in range(len(message)):
            with pytest.raises(HandshakeFailed):
                reader.read_message(message[:length])
        with pytest.raises(HandshakeFailed):
            reader.read_message(message + b"\x00")
        reader.read_message(message)


@given(noise=st.binary(max_size=400), pattern=st.sampled_from(Pattern))
def test_noise_raises_nothing_but_our_own_exception(noise: bytes, pattern: Pattern) -> None:
    _, responder = make_ends(pattern)
    with pytest.raises(HandshakeFailed):
        responder.read_message(noise)


@BOTH
@pytest.mark.parametrize("ephemeral", [bytes(32), b"\x01" + bytes(31)])
def test_a_low_order_ephemeral_is_refused(pattern: Pattern, ephemeral: bytes) -> None:
    initiator, responder = make_ends(pattern)
    message = initiator.write_message(b"")
    with pytest.raises(HandshakeFailed, match="low order"):
        responder.read_message(ephemeral + message[32:])


@BOTH
def test_a_low_order_hub_key_is_refused(pattern: Pattern) -> None:
    initiator, _ = make_ends(pattern, node_sees_hub=LinkPublicKey(bytes(32)))
    with pytest.raises(HandshakeFailed, match="low order"):
        initiator.write_message(b"")


@BOTH
def test_another_hub_cannot_read_the_first_message(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern, node_sees_hub=LinkPrivateKey(b"\x44" * 32).public)
    with pytest.raises(HandshakeFailed):
        responder.read_message(initiator.write_message(b""))


@BOTH
def test_another_prologue_is_refused(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern, node_prologue=PROLOGUE + b"!")
    with pytest.raises(HandshakeFailed):
        responder.read_message(initiator.write_message(b""))


def test_another_psk_is_refused() -> None:
    initiator, responder = make_ends(Pattern.IKPSK2, node_psk=b"\x34" * 32)
    responder.read_message(initiator.write_message(b""))
    with pytest.raises(HandshakeFailed):
        initiator.read_message(responder.write_message(b""))
    assert not initiator.finished


def test_the_two_patterns_do_not_understand_each_other() -> None:
    initiator, _ = make_ends(Pattern.IK)
    _, responder = make_ends(Pattern.IKPSK2)
    with pytest.raises(HandshakeFailed):
        responder.read_message(initiator.write_message(b""))


@BOTH
def test_a_reflected_message_is_refused(pattern: Pattern) -> None:
    """What an end wrote itself is not an answer."""
    initiator, responder = make_ends(pattern)
    message = initiator.write_message(b"")
    with pytest.raises(HandshakeFailed):
        initiator.read_message(message)
    responder.read_message(message)
    with pytest.raises(HandshakeFailed, match="must write"):
        responder.read_message(message)


def test_the_answer_to_another_handshake_is_refused() -> None:
    first, hub_first = make_ends(Pattern.IK)
    second, _ = make_ends(Pattern.IK)
    second.write_message(b"")
    hub_first.read_message(first.write_message(b""))
    with pytest.raises(HandshakeFailed):
        second.read_message(hub_first.write_message(b""))


# ---- order of calls and bounds


@BOTH
def test_calls_out_of_order_are_refused(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern)
    for end in (initiator, responder):
        with pytest.raises(HandshakeFailed, match="no transport"):
            end.split()
        with pytest.raises(HandshakeFailed, match="binds nothing"):
            _ = end.handshake_hash
    with pytest.raises(HandshakeFailed, match="must write"):
        initiator.read_message(bytes(96))
    with pytest.raises(HandshakeFailed, match="must read"):
        responder.write_message(b"")
    message = initiator.write_message(b"")
    with pytest.raises(HandshakeFailed, match="must read"):
        initiator.write_message(b"")
    responder.read_message(message)
    initiator.read_message(responder.write_message(b""))
    for end in (initiator, responder):
        with pytest.raises(HandshakeFailed, match="finished"):
            end.write_message(b"")
        with pytest.raises(HandshakeFailed, match="finished"):
            end.read_message(b"")
        end.split()
        with pytest.raises(HandshakeFailed, match="split already"):
            end.split()


def test_a_psk_belongs_to_its_pattern_and_has_32_bytes() -> None:
    with pytest.raises(HandshakeFailed, match="IKpsk2 only"):
        Handshake.responder(Pattern.IK, prologue=b"", static=HUB, psk=PSK)
    with pytest.raises(HandshakeFailed, match="32 bytes, not 31"):
        Handshake.responder(Pattern.IKPSK2, prologue=b"", static=HUB, psk=PSK[:31])


@BOTH
def test_handshake_messages_are_bounded(pattern: Pattern) -> None:
    initiator, responder = make_ends(pattern)
    overhead = 32 + 48 + 16
    with pytest.raises(HandshakeFailed, match="65535"):
        initiator.write_message(bytes(MAX_MESSAGE_BYTES - overhead + 1))
    message = initiator.write_message(bytes(MAX_MESSAGE_BYTES - overhead))
    assert len(message) == MAX_MESSAGE_BYTES
    with pytest.raises(HandshakeFailed, match="65535"):
        responder.read_message(message + b"\x00")
    responder.read_message(message)


# ---- transport


def test_a_replayed_or_reordered_transport_message_is_refused() -> None:
    node, hub = shake(*make_ends(Pattern.IK))
    first, second = node.send.encrypt(b"1"), node.send.encrypt(b"2")
    with pytest.raises(DecryptionFailed):
        hub.receive.decrypt(second)
    assert hub.receive.decrypt(first) == b"1"
    with pytest.raises(DecryptionFailed):
        hub.receive.decrypt(first)
    assert hub.receive.nonce == 1
    assert hub.receive.decrypt(second) == b"2"
    with pytest.raises(DecryptionFailed):
        node.receive.decrypt(first)  # the directions have different keys


def test_false_transport_messages_do_not_advance_the_nonce() -> None:
    node, hub = shake(*make_ends(Pattern.IK))
    message = node.send.encrypt(b"text", b"ad")
    for position in range(len(message)):
        false = bytearray(message)
        false[position] ^= 0x80
        with pytest.raises(DecryptionFailed):
            hub.receive.decrypt(bytes(false), b"ad")
    for false_size in (*range(16), MAX_MESSAGE_BYTES + 1):
        with pytest.raises(DecryptionFailed, match="transport message has 16 to 65535"):
            hub.receive.decrypt(bytes(false_size), b"ad")
    with pytest.raises(DecryptionFailed):
        hub.receive.decrypt(message, b"AD")
    assert hub.receive.nonce == 0
    assert hub.receive.decrypt(message, b"ad") == b"text"


def test_transport_messages_are_bounded() -> None:
    cipher = CipherState(PSK)
    with pytest.raises(CryptoError, match="65519"):
        cipher.encrypt(bytes(MAX_PLAINTEXT_BYTES + 1))
    assert cipher.nonce == 0
    assert len(cipher.encrypt(bytes(MAX_PLAINTEXT_BYTES))) == MAX_MESSAGE_BYTES


def test_a_rekey_at_one_end_only_separates_the_ends() -> None:
    node, hub = shake(*make_ends(Pattern.IK))
    hub.receive.decrypt(node.send.encrypt(b"1"))
    node.send.rekey()
    message = node.send.encrypt(b"2")
    with pytest.raises(DecryptionFailed):
        hub.receive.decrypt(message)
    hub.receive.rekey()
    assert hub.receive.decrypt(message) == b"2"
    assert hub.receive.nonce == node.send.nonce == 2  # a rekey keeps the count


def test_the_last_nonce_is_kept_for_the_rekey() -> None:
    sender, receiver = CipherState(PSK), CipherState(PSK)
    sender._nonce = receiver._nonce = REKEY_NONCE - 1
    message = sender.encrypt(b"last")
    assert receiver.decrypt(message) == b"last"
    with pytest.raises(NonceExhausted):
        sender.encrypt(b"one more")
    with pytest.raises(NonceExhausted):
        receiver.decrypt(message)
