"""Fingerprints in words: the list cannot change unnoticed, and no two of three keys can be exchanged."""

import hashlib

import pytest

from crypto.fingerprint import WORDS, in_hex, in_words, is_written, node_fingerprint
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPublicKey

LINK, SIGNING, SEALING = (
    LinkPublicKey(bytes(range(32))),
    SigningPublicKey(bytes(range(32, 64))),
    SealingPublicKey(bytes(range(64, 96))),
)
FINGERPRINT = node_fingerprint(LINK, SIGNING, SEALING)


def test_the_list_is_the_one_that_was_published() -> None:
    assert len(WORDS) == 256
    assert len({word[:4] for word in WORDS}) == 256, "no two begin alike"
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)
    digest = hashlib.sha256(" ".join(WORDS).encode()).hexdigest()
    assert digest == "1ebc815fe3d2c1e9aa64bf4a03f568ef0f6c33cf0d60f6460500a91192ecffed"


def test_the_fingerprint_is_blake2b_over_the_three_keys() -> None:
    keys = b"".join(map(bytes, (LINK, SIGNING, SEALING)))
    assert hashlib.blake2b(keys, digest_size=10, person=b"wasl words").digest() == FINGERPRINT
    assert in_words(FINGERPRINT) == "algue taureau jupe bijou jaguar canard nappe tulipe lapin prairie"


@pytest.mark.parametrize("position", range(96))
def test_every_byte_of_every_key_counts(position: int) -> None:
    raw = bytearray(bytes(range(96)))
    raw[position] ^= 1
    other = node_fingerprint(
        LinkPublicKey(bytes(raw[:32])), SigningPublicKey(bytes(raw[32:64])), SealingPublicKey(bytes(raw[64:]))
    )
    assert other != FINGERPRINT


def test_it_is_recognised_however_it_is_spaced() -> None:
    words = in_words(FINGERPRINT)
    for text in (words, words.upper(), words.replace(" ", "-"), f"  {words}\n", in_hex(FINGERPRINT)):
        assert is_written(FINGERPRINT, text)
    assert is_written(FINGERPRINT, FINGERPRINT.hex())


@pytest.mark.parametrize("place", range(10))
def test_one_wrong_word_is_wrong(place: int) -> None:
    words = in_words(FINGERPRINT).split()
    words[place] = WORDS[(WORDS.index(words[place]) + 1) % 256]
    assert not is_written(FINGERPRINT, " ".join(words))


@pytest.mark.parametrize("text", ["", " ", "abeille", "00"])
def test_less_than_the_whole_is_nothing(text: str) -> None:
    assert not is_written(FINGERPRINT, text)
    assert not is_written(FINGERPRINT, " ".join(in_words(FINGERPRINT).split()[:9]))
