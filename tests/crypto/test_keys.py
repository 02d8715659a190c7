"""A key is exactly 32 bytes of one type, and shows nothing of its private half."""

import copy
import pickle

import pytest

from crypto.errors import BadSignature, CryptoError, DecryptionFailed, MalformedKey
from crypto.keys import (
    LinkPrivateKey,
    LinkPublicKey,
    SealingPrivateKey,
    SealingPublicKey,
    SigningPrivateKey,
    SigningPublicKey,
)

RAW = bytes(range(32))
PRIVATE_TYPES = [LinkPrivateKey, SigningPrivateKey, SealingPrivateKey]
PUBLIC_TYPES = [LinkPublicKey, SigningPublicKey, SealingPublicKey]
TYPES = PRIVATE_TYPES + PUBLIC_TYPES


@pytest.mark.parametrize("key_type", TYPES)
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_another_length_is_malformed(key_type: type, length: int) -> None:
    with pytest.raises(MalformedKey, match=f"{key_type.__name__}: 32 bytes expected, {length} given"):
        key_type(bytes(length))


@pytest.mark.parametrize("key_type", TYPES)
def test_equality_needs_the_same_type_and_bytes(key_type: type) -> None:
    key = key_type(RAW)
    assert key == key_type(RAW)
    assert key != key_type(RAW[::-1])
    assert key != RAW
    assert all(key != other(RAW) for other in TYPES if other is not key_type)
    assert bytes(key) == key.raw == RAW


@pytest.mark.parametrize("key_type", TYPES)
def test_a_key_is_frozen(key_type: type) -> None:
    key = key_type(RAW)
    for name in ("raw", "public", "anything"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(key, name, bytes(32))
    with pytest.raises(AttributeError, match="frozen"):
        del key.raw
    assert key.raw == RAW


@pytest.mark.parametrize("key_type", PRIVATE_TYPES)
def test_a_private_key_shows_only_its_fingerprint(key_type: type) -> None:
    key = key_type(RAW)
    shown = f"{key!r} {key!s} {key}"
    assert key.fingerprint() == key.public.fingerprint()
    assert shown.count(key.fingerprint()) == 3
    assert RAW.hex() not in shown
    assert repr(RAW)[2:-1] not in shown


@pytest.mark.parametrize("key_type", PRIVATE_TYPES)
def test_a_private_key_is_neither_hashed_nor_pickled(key_type: type) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(key_type(RAW))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key_type(RAW))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(key_type(RAW))


@pytest.mark.parametrize("key_type", PRIVATE_TYPES)
def test_generated_keys_differ(key_type: type[LinkPrivateKey]) -> None:
    assert key_type.generate() != key_type.generate()


def test_public_keys_serve_in_sets_by_type_and_bytes() -> None:
    keys = {key_type(RAW) for key_type in PUBLIC_TYPES} | {LinkPublicKey(RAW)}
    assert len(keys) == 3


def test_a_fingerprint_is_pinned() -> None:
    """It is what two people compare over the telephone: it may never change."""
    assert LinkPublicKey(RAW).fingerprint() == "cb2f5160fc1f7e05"
    assert repr(LinkPublicKey(RAW)) == "LinkPublicKey(fingerprint=cb2f5160fc1f7e05)"


def test_link_keys_agree_on_a_secret() -> None:
    one, two = LinkPrivateKey.generate(), LinkPrivateKey.generate()
    assert one.exchange(two.public) == two.exchange(one.public)
    with pytest.raises(CryptoError, match="low order"):
        one.exchange(LinkPublicKey(bytes(32)))


def test_signing_keys_sign_and_verify() -> None:
    key = SigningPrivateKey(RAW)
    signature = key.sign(b"text")
    key.public.verify(signature, b"text")
    with pytest.raises(BadSignature):
        key.public.verify(signature, b"texT")
    with pytest.raises(BadSignature):
        SigningPrivateKey.generate().public.verify(signature, b"text")


def test_sealing_keys_seal_and_open() -> None:
    key = SealingPrivateKey(RAW)
    assert key.open(key.public.seal(b"text")) == b"text"
    with pytest.raises(DecryptionFailed):
        SealingPrivateKey.generate().open(key.public.seal(b"text"))
