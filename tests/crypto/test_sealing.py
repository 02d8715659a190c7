"""A message opens for its recipient, whole and under its own envelope, and for nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import sealing
from crypto.errors import BadSignature, CryptoError, DecryptionFailed, MalformedKey
from crypto.identity import DOMAINS
from crypto.keys import SealingPrivateKey, SigningPrivateKey
from crypto.primitives import AEAD_TAG_BYTES
from crypto.sealing import ContentKey

KEY = ContentKey(bytes(range(32)))
ENVELOPE = b"from labo to cardio"
BODY = b"MSH|^~\\&|..."
RECIPIENT = SealingPrivateKey(b"\x11" * 32)
SENDER = SigningPrivateKey(b"\x22" * 32)


@given(envelope=st.binary(max_size=300), body=st.binary(max_size=3000))
def test_a_body_opens_under_its_envelope(envelope: bytes, body: bytes) -> None:
    key = ContentKey.generate()
    sealed = sealing.seal_body(key, envelope, body)
    assert len(sealed) == len(body) + AEAD_TAG_BYTES
    assert sealing.open_body(key, envelope, sealed) == body


def test_sealing_again_yields_the_same_bytes() -> None:
    """A repeat after a crash must be a repeat, not a second message."""
    assert sealing.seal_body(KEY, ENVELOPE, BODY) == sealing.seal_body(KEY, ENVELOPE, BODY)


def test_every_derivation_is_pinned() -> None:
    """These bytes are on the wire and on disk: a change is a new version of the protocol."""
    assert (
        sealing.key_commitment(KEY).hex()
        == "afd528a0bb6543c6f9a9be4bbf801094c755cf45bfbb4c6c0c7964bab9d40f21"
    )
    assert (
        sealing.attachment_key(KEY, b"a" * 16).hex()
        == "9fe799e1bb3f5d070a0906e56942153e2b18df6d5b0bcae6916cd630e36466ea"
    )
    assert (
        sealing.seal_body(KEY, ENVELOPE, BODY).hex()
        == "637b2fdb57afde9f09cb785756f3b7ec2591fb652a33feeb294ff8da"
    )
    assert (
        sealing.message_digest(ENVELOPE, BODY).hex()
        == "03d0c5179481cb3593453fb9bff61ae0e59b37c9642a4284bb95be8b170a30da"
    )
    assert sealing.sign_message(SENDER, bytes(32)).hex() == (
        "acf808f7b5f59f1002693e14fd25c00930740e1b0da1c19805e18817511130813ecde8c4334f9da39c500d5de4"
        "8e639e12b61c9590a2fa37f2ba7ccdfe02c008"
    )
    assert sealing.sign_receipt(SENDER, b"receipt").hex() == (
        "223abbc36020956c422c9337d316388e692ea0b058880256d8cdcbb3513742d0faf0b8be446ba80eae31ce53bc"
        "ac644c5e2ee490c888642d5801c732d16d7b0e"
    )


def test_derived_keys_are_all_different() -> None:
    derived = {
        KEY.raw,
        sealing.key_commitment(KEY),
        sealing.attachment_key(KEY, bytes(16)),
        sealing.attachment_key(KEY, b"\x01" + bytes(15)),
        sealing._derive(KEY, b"wasl body"),
    }
    assert len(derived) == 5


def test_a_change_anywhere_keeps_the_body_shut() -> None:
    sealed = sealing.seal_body(KEY, ENVELOPE, BODY)
    for position in range(len(sealed)):
        false = bytearray(sealed)
        false[position] ^= 1
        with pytest.raises(DecryptionFailed):
            sealing.open_body(KEY, ENVELOPE, bytes(false))
    for length in range(len(sealed)):
        with pytest.raises(DecryptionFailed):
            sealing.open_body(KEY, ENVELOPE, sealed[:length])
    with pytest.raises(DecryptionFailed):
        sealing.open_body(KEY, ENVELOPE + b" ", sealed)
    with pytest.raises(DecryptionFailed):
        sealing.open_body(ContentKey.generate(), ENVELOPE, sealed)


def test_a_content_key_unwraps_for_its_recipient_only() -> None:
    wrapped = sealing.wrap_key(KEY, RECIPIENT.public)
    assert len(wrapped) == sealing.WRAPPED_KEY_BYTES == 80
    assert sealing.unwrap_key(wrapped, RECIPIENT) == KEY
    with pytest.raises(DecryptionFailed):
        sealing.unwrap_key(wrapped, SealingPrivateKey.generate())
    for position in range(len(wrapped)):
        false = bytearray(wrapped)
        false[position] ^= 1
        with pytest.raises(DecryptionFailed):
            sealing.unwrap_key(bytes(false), RECIPIENT)
    for length in (0, 47, 79, 81):
        with pytest.raises(DecryptionFailed, match="80 bytes"):
            sealing.unwrap_key((wrapped + b"\x00")[:length], RECIPIENT)


def test_a_longer_box_is_no_content_key() -> None:
    with pytest.raises(DecryptionFailed, match="80 bytes"):
        sealing.unwrap_key(RECIPIENT.public.seal(bytes(33)), RECIPIENT)


def test_a_content_key_shows_nothing() -> None:
    assert repr(KEY) == str(KEY) == "ContentKey(hidden)"
    assert ContentKey(bytes(KEY)) == KEY
    assert ContentKey.generate() != KEY
    assert KEY.raw != KEY
    with pytest.raises(TypeError, match="unhashable"):
        hash(KEY)
    for length in (0, 31, 33):
        with pytest.raises(MalformedKey, match="32 bytes"):
            ContentKey(bytes(length))


@given(whole=st.binary(min_size=1, max_size=60), data=st.data())
def test_the_border_between_envelope_and_body_is_signed(whole: bytes, data: st.DataObject) -> None:
    cuts = st.integers(0, len(whole))
    one, two = data.draw(cuts), data.draw(cuts)
    same = sealing.message_digest(whole[:one], whole[one:]) == sealing.message_digest(
        whole[:two], whole[two:]
    )
    assert same == (one == two)


def test_signatures_verify_for_their_signer_and_bytes() -> None:
    digest = sealing.message_digest(ENVELOPE, BODY)
    signature = sealing.sign_message(SENDER, digest)
    sealing.verify_message(SENDER.public, digest, signature)
    receipt_signature = sealing.sign_receipt(SENDER, b"receipt")
    sealing.verify_receipt(SENDER.public, b"receipt", receipt_signature)
    stranger = SigningPrivateKey.generate().public
    with pytest.raises(BadSignature):
        sealing.verify_message(stranger, digest, signature)
    with pytest.raises(BadSignature):
        sealing.verify_message(SENDER.public, sealing.message_digest(ENVELOPE, BODY + b"!"), signature)
    with pytest.raises(BadSignature):
        sealing.verify_receipt(stranger, b"receipt", receipt_signature)
    with pytest.raises(BadSignature):
        sealing.verify_receipt(SENDER.public, b"receipt!", receipt_signature)


def test_a_message_signature_is_no_receipt_signature() -> None:
    digest = bytes(32)
    with pytest.raises(BadSignature):
        sealing.verify_receipt(SENDER.public, digest, sealing.sign_message(SENDER, digest))
    with pytest.raises(BadSignature):
        sealing.verify_message(SENDER.public, digest, sealing.sign_receipt(SENDER, digest))


def test_no_signing_domain_begins_another() -> None:
    """Otherwise bytes signed in one domain could be read as signed in the other."""
    domains = [sealing.MESSAGE_DOMAIN, sealing.RECEIPT_DOMAIN, *DOMAINS.values()]
    assert len(set(domains)) == len(domains)
    for one in domains:
        assert not any(other.startswith(one) for other in domains if other is not one)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_has_32_bytes(length: int) -> None:
    with pytest.raises(CryptoError, match="32 bytes"):
        sealing.sign_message(SENDER, bytes(length))
    with pytest.raises(BadSignature, match="32 bytes"):
        sealing.verify_message(SENDER.public, bytes(length), bytes(64))


@given(text=st.binary(max_size=1000))
def test_a_detail_opens_and_shows_its_size_in_steps_of_64(text: bytes) -> None:
    sealed = sealing.seal_detail(RECIPIENT.public, text)
    assert (len(sealed) - 48) % 64 == 0
    assert sealing.open_detail(RECIPIENT, sealed) == text


def test_details_are_bounded() -> None:
    largest = bytes(sealing.MAX_DETAIL_BYTES)
    sealed = sealing.seal_detail(RECIPIENT.public, largest)
    assert len(sealed) == sealing.MAX_SEALED_DETAIL_BYTES
    assert sealing.open_detail(RECIPIENT, sealed) == largest
    with pytest.raises(CryptoError, match="32768"):
        sealing.seal_detail(RECIPIENT.public, largest + b"!")
    with pytest.raises(DecryptionFailed, match="at most"):
        sealing.open_detail(RECIPIENT, sealed + b"!")


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        bytes(3),
        bytes(63),
        bytes(65),
        bytes(128),
        (61).to_bytes(4, "big") + bytes(60),
        b"\xff\xff\xff\xff" + bytes(60),
        (1).to_bytes(4, "big") + b"a" + bytes(58) + b"\x01",
    ],
)
def test_wrong_padding_is_refused(plain: bytes) -> None:
    """Anybody can seal for a public key: what comes out is foreign bytes."""
    with pytest.raises(DecryptionFailed, match="padded"):
        sealing.open_detail(RECIPIENT, RECIPIENT.public.seal(plain))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_an_attachment_id_has_16_bytes(length: int) -> None:
    with pytest.raises(CryptoError, match="16 bytes"):
        sealing.attachment_key(KEY, bytes(length))
