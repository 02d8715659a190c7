"""The door gives what the RFCs give, and refuses in our own words."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto import primitives
from crypto.errors import BadSignature, CryptoError, DecryptionFailed

SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
SUNSCREEN_KEY = bytes(range(0x80, 0xA0))
SUNSCREEN_AD = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
ROOT = Path(__file__).parents[2]

LOW_ORDER_POINTS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xed" + b"\xff" * 30 + b"\x7f",  # p, which is 0
    b"\xee" + b"\xff" * 30 + b"\x7f",  # p + 1
    bytes(31) + b"\x80",  # the highest bit does not count
]


def test_x25519_gives_the_secret_of_rfc_7748_section_6_1() -> None:
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob_public = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert primitives.x25519_public(alice).hex() == (
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    )
    assert primitives.x25519(alice, bob_public).hex() == (
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )


@pytest.mark.parametrize("point", LOW_ORDER_POINTS)
def test_x25519_refuses_points_of_low_order(point: bytes) -> None:
    with pytest.raises(CryptoError, match="low order"):
        primitives.x25519(b"\x11" * 32, point)


def test_ed25519_gives_the_signature_of_rfc_8032_test_1() -> None:
    public, secret = primitives.ed25519_keypair(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = primitives.ed25519_sign(secret, b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    primitives.ed25519_verify(public, signature, b"")


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(position: int) -> None:
    public, secret = primitives.ed25519_keypair(b"\x07" * 32)
    signature = bytearray(primitives.ed25519_sign(secret, b"text"))
    signature[position] ^= 1
    with pytest.raises(BadSignature):
        primitives.ed25519_verify(public, bytes(signature), b"text")


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    public, _ = primitives.ed25519_keypair(b"\x07" * 32)
    with pytest.raises(BadSignature, match="64 bytes"):
        primitives.ed25519_verify(public, bytes(length), b"text")


def test_signed_text_moved_into_the_signature_is_refused() -> None:
    """Signature and data are joined for libsodium: the border between them must not move."""
    public, secret = primitives.ed25519_keypair(b"\x07" * 32)
    whole = primitives.ed25519_sign(secret, b"text") + b"text"
    with pytest.raises(BadSignature):
        primitives.ed25519_verify(public, whole[:65], whole[65:])


def test_an_unreduced_signature_scalar_is_refused() -> None:
    """S + L verifies with a careless library (RFC 8032 section 5.1.7 forbids it)."""
    public, secret = primitives.ed25519_keypair(b"\x07" * 32)
    signature = primitives.ed25519_sign(secret, b"text")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(BadSignature):
        primitives.ed25519_verify(public, signature[:32] + scalar.to_bytes(32, "little"), b"text")


def test_aead_gives_the_ciphertext_of_rfc_8439_section_2_8_2() -> None:
    nonce = bytes.fromhex("070000004041424344454647")
    sealed = primitives.Aead(SUNSCREEN_KEY).encrypt(nonce, SUNSCREEN, SUNSCREEN_AD)
    assert sealed[:8].hex() == "d31a8d34648e60db"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert primitives.Aead(SUNSCREEN_KEY).decrypt(nonce, sealed, SUNSCREEN_AD) == SUNSCREEN


def holds(aead: primitives.Aead) -> set[str]:
    return {name for name in aead.__slots__ if getattr(aead, name) is not None}


def test_a_cipher_that_rested_or_was_used_often_gives_the_same() -> None:
    plain, nonce = b"order 7", bytes(12)
    aead, often = primitives.Aead(b"k" * 32), primitives.Aead(b"k" * 32)
    sealed = {often.encrypt(nonce, plain) for _ in range(20)}
    assert "_cipher" in holds(often), "what is used often keeps its context"
    often.rest()
    assert "_cipher" not in holds(often)
    assert sealed == {aead.encrypt(nonce, plain), often.encrypt(nonce, plain)}
    assert often.decrypt(nonce, sealed.pop()) == plain


def test_xchacha_gives_the_tag_of_its_draft() -> None:
    nonce = bytes(range(0x40, 0x58))
    sealed = primitives.xchacha20poly1305_encrypt(SUNSCREEN_KEY, nonce, SUNSCREEN, SUNSCREEN_AD)
    assert sealed[-16:].hex() == "c0875924c1c7987947deafd8780acf49"
    opened = primitives.xchacha20poly1305_decrypt(SUNSCREEN_KEY, nonce, sealed, SUNSCREEN_AD)
    assert opened == SUNSCREEN


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17])
def test_short_or_false_ciphertexts_are_decryption_failures(length: int) -> None:
    with pytest.raises(DecryptionFailed):
        primitives.Aead(bytes(32)).decrypt(bytes(12), bytes(length))
    with pytest.raises(DecryptionFailed):
        primitives.xchacha20poly1305_decrypt(bytes(32), bytes(24), bytes(length), b"")


@pytest.mark.parametrize("length", [0, 1, 47, 48, 49])
def test_short_or_false_boxes_are_decryption_failures(length: int) -> None:
    private = b"\x05" * 32
    with pytest.raises(DecryptionFailed):
        primitives.sealed_box_open(private, primitives.x25519_public(private), bytes(length))


def test_a_box_opens_for_its_recipient_only() -> None:
    private, other = b"\x05" * 32, b"\x06" * 32
    public = primitives.x25519_public(private)
    sealed = primitives.sealed_box_seal(public, b"text")
    assert primitives.sealed_box_open(private, public, sealed) == b"text"
    assert primitives.sealed_box_seal(public, b"text") != sealed
    with pytest.raises(DecryptionFailed):
        primitives.sealed_box_open(other, primitives.x25519_public(other), sealed)


def test_no_box_is_sealed_for_a_point_of_low_order() -> None:
    with pytest.raises(CryptoError, match="low order"):
        primitives.sealed_box_seal(bytes(32), b"text")


def test_lengths_are_checked_before_c_code_sees_them() -> None:
    """The bindings for X25519 and Ed25519 read 32 or 64 bytes whatever they are given."""
    short = bytes(31)
    calls: list[Callable[[], object]] = [
        lambda: primitives.x25519(short, bytes(32)),
        lambda: primitives.x25519(bytes(32), short),
        lambda: primitives.x25519_public(short),
        lambda: primitives.ed25519_keypair(short),
        lambda: primitives.ed25519_sign(short, b""),
        lambda: primitives.ed25519_verify(short, bytes(64), b""),
        lambda: primitives.sealed_box_seal(short, b""),
        lambda: primitives.sealed_box_open(short, bytes(32), bytes(48)),
        lambda: primitives.sealed_box_open(bytes(32), short, bytes(48)),
        lambda: primitives.xchacha20poly1305_encrypt(short, bytes(24), b"", b""),
        lambda: primitives.xchacha20poly1305_decrypt(bytes(32), bytes(23), bytes(16), b""),
        lambda: primitives.Aead(short),
        lambda: primitives.Aead(bytes(32)).encrypt(bytes(11), b""),
        lambda: primitives.Aead(bytes(32)).decrypt(bytes(11), bytes(16)),
    ]
    for call in calls:
        with pytest.raises(CryptoError):
            call()


def test_blake2b_and_its_stream_agree_with_rfc_7693() -> None:
    assert primitives.blake2b(b"abc", size=64).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e94c212f14")
    stream = primitives.blake2b_stream(size=24, key=b"k", person=b"p")
    stream.update(b"a")
    stream.update(b"bc")
    assert stream.digest() == primitives.blake2b(b"abc", size=24, key=b"k", person=b"p")


def test_random_bytes_have_the_length_asked_for_and_differ() -> None:
    assert len(primitives.random_bytes(33)) == 33
    assert primitives.random_bytes(32) != primitives.random_bytes(32)


def test_no_other_module_of_the_room_opens_the_door() -> None:
    """The import contracts cover the other rooms; inside this one only ``primitives`` may import them."""
    foreign = re.compile(r"^\s*(?:from|import)\s+(?:nacl|cryptography)\b", re.MULTILINE)
    users = [path.name for path in (ROOT / "crypto").glob("*.py") if foreign.search(path.read_text("utf-8"))]
    assert users == ["primitives.py"]
