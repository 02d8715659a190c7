"""Every check before a message is believed, each by a message that fails just that one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from crypto import sealing
from crypto.keys import SealingPrivateKey, SigningPrivateKey
from crypto.primitives import blake2b
from nodes.link.opening import Opened, Rejected, open_delivery
from nodes.link.trust import Trust
from protocols.link import frames as f
from protocols.link.envelope import NamedFile, SealedMessage, Wrap, encode
from tests.nodes.fixtures import HERE, Station
from tests.nodes.link.letters import Letter, attach, trust_of


def opening(station: Station, delivery: f.Delivery, trust: Trust | None = None) -> Opened:
    return open_delivery(delivery, station.identity, trust or trust_of(station))


def rejected(station: Station, delivery: f.Delivery, code: str, *, alarming: bool = True) -> str:
    with pytest.raises(Rejected) as caught:
        opening(station, delivery)
    assert (caught.value.code, caught.value.alarming) == (code, alarming)
    return str(caught.value)


def test_a_true_message_is_opened(station: Station) -> None:
    letter = Letter(station.network, body=b"MSH|true", subject="عنوان")
    opened = opening(station, letter.delivery(42))
    assert (opened.sequence, opened.recipient, opened.expired) == (42, f"labo@{HERE}", False)
    assert (opened.content.body, opened.content.subject) == (b"MSH|true", "عنوان")
    assert opened.envelope.id == letter.id
    assert bytes(opened.content_key) == bytes(letter.content_key)


def test_an_expired_message_is_opened_and_says_so(station: Station) -> None:
    assert opening(station, Letter(station.network, remaining_ms=0).delivery()).expired


# ── malformed ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "blob", [b"", b"\xc1", b"\x90", b"\x95\xc4\x00\xc4\x00\x90\x00\xc4\x00", b"x" * 63_488]
)
def test_what_is_no_message_is_malformed(station: Station, blob: bytes) -> None:
    rejected(station, f.Delivery(1, f"labo@{HERE}", 1, blob), "malformed")


def test_a_message_cut_anywhere_is_rejected_and_nothing_else(station: Station) -> None:
    whole = Letter(station.network).delivery()
    trust = trust_of(station)
    for length in range(0, len(whole.message), 3):
        with pytest.raises(Rejected):
            opening(station, msgspec.structs.replace(whole, message=whole.message[:length]), trust)


def test_no_changed_byte_changes_what_is_believed(station: Station) -> None:
    """Whichever byte the hub touches, it is found out; only the hint which key a wrap is for is nobody's."""
    whole = Letter(station.network, body=b"x").delivery()
    trust = trust_of(station)
    true = opening(station, whole, trust)
    believed = 0
    for position in range(len(whole.message)):
        changed = bytearray(whole.message)
        changed[position] ^= 1
        try:
            opened = opening(station, msgspec.structs.replace(whole, message=bytes(changed)), trust)
        except Rejected:
            continue
        believed += 1
        assert (opened.digest, opened.envelope, opened.content) == (true.digest, true.envelope, true.content)
    assert believed <= 1


def test_an_envelope_that_is_none_is_malformed(station: Station) -> None:
    message = msgspec.structs.replace(Letter(station.network).message(), envelope=b"\x90")
    rejected(station, Letter(station.network).delivery(1, message), "malformed")


# ── not for us ─────────────────────────────────────────────────────────────────────────────


def test_a_message_for_another_facility_is_not_for_us(station: Station) -> None:
    letter = Letter(station.network, recipient="cardio@chu-oran")
    rejected(station, letter.delivery(), "not-for-us")


def test_a_message_delivered_to_whom_it_does_not_name_is_not_for_us(station: Station) -> None:
    """The hub cannot lay a message for one mailbox into another one of the same facility."""
    letter = Letter(station.network, recipients=(f"cardio@{HERE}",))
    rejected(station, letter.delivery(), "not-for-us")


# ── who signed ─────────────────────────────────────────────────────────────────────────────


def test_an_unknown_facility_is_an_unknown_signer(station: Station) -> None:
    rejected(station, Letter(station.network, sender="labo@chu-mars").delivery(), "unknown-signer")


def test_a_serial_that_is_not_trusted_is_an_unknown_signer(station: Station) -> None:
    text = rejected(station, Letter(station.network, signer_serial=2).delivery(), "unknown-signer")
    assert "chu-oran has no trusted credential 2" in text


def test_another_facilitys_signature_is_bad(station: Station) -> None:
    """A facility that writes under another's name is found out, hub's help or not."""
    letter = Letter(station.network)
    message = letter.message()
    digest = sealing.message_digest(message.envelope, message.sealed)
    for key in (station.network.keys_of("clinique-sud").signing, SigningPrivateKey.generate()):
        forged = msgspec.structs.replace(message, signature=sealing.sign_message(key, digest))
        rejected(station, letter.delivery(1, forged), "bad-signature")


def test_a_signature_over_another_message_is_bad(station: Station) -> None:
    one, other = Letter(station.network), Letter(station.network)
    forged = msgspec.structs.replace(one.message(), signature=other.message().signature)
    rejected(station, one.delivery(1, forged), "bad-signature")


def test_a_receipt_signature_is_no_message_signature(station: Station) -> None:
    letter = Letter(station.network)
    message = letter.message()
    digest = sealing.message_digest(message.envelope, message.sealed)
    signature = sealing.sign_receipt(station.network.keys_of("chu-oran").signing, digest)
    forged = msgspec.structs.replace(message, signature=signature)
    rejected(station, letter.delivery(1, forged), "bad-signature")


# ── whose key ──────────────────────────────────────────────────────────────────────────────


def _rewrapped(letter: Letter, *wraps: Wrap) -> SealedMessage:
    return msgspec.structs.replace(letter.message(), wraps=wraps)


def test_no_wrap_for_us_is_no_key(station: Station) -> None:
    letter = Letter(station.network)
    rejected(station, letter.delivery(1, _rewrapped(letter)), "no-key", alarming=False)
    key = letter.message().wraps[0].key
    foreign = _rewrapped(letter, Wrap("chu-oran", 1, key))
    rejected(station, letter.delivery(1, foreign), "no-key", alarming=False)


def test_a_wrap_for_an_earlier_key_of_ours_is_wrong_key(station: Station) -> None:
    letter = Letter(station.network, sealing_key=SealingPrivateKey.generate().public)
    text = rejected(station, letter.delivery(), "wrong-key", alarming=False)
    assert "credential 1" in text


def test_a_key_that_the_envelope_does_not_commit_to_is_wrong(station: Station) -> None:
    """One ciphertext that opens to different texts under different keys is caught by the commitment."""
    letter = Letter(station.network, commitment=b"\x07" * 32)
    assert "commits" in rejected(station, letter.delivery(), "wrong-key")
    other = Letter(station.network)
    swapped = _rewrapped(letter, *other.message().wraps)
    rejected(station, letter.delivery(1, swapped), "wrong-key")


# ── what is in it ──────────────────────────────────────────────────────────────────────────


def _signed(letter: Letter, sealed: bytes) -> SealedMessage:
    envelope = letter.envelope()
    signing = letter.network.keys_of(letter.facility).signing
    signature = sealing.sign_message(signing, sealing.message_digest(envelope, sealed))
    return msgspec.structs.replace(letter.message(), sealed=sealed, signature=signature)


def test_a_sealed_body_that_does_not_open_cannot_be_opened(station: Station) -> None:
    letter = Letter(station.network)
    for sealed in (b"", b"x" * 200, letter.message().sealed[:-1]):
        rejected(station, letter.delivery(1, _signed(letter, sealed)), "cannot-open")


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x90", encode([b"", "x" * 201]), encode([b"", 7]), encode([b"x" * 41_000])]
)
def test_a_content_that_is_none_cannot_be_opened(station: Station, content: bytes) -> None:
    letter = Letter(station.network)
    sealed = sealing.seal_body(letter.content_key, letter.envelope(), content)
    rejected(station, letter.delivery(1, _signed(letter, sealed)), "cannot-open")


def test_the_body_of_another_message_cannot_be_opened(station: Station) -> None:
    one = Letter(station.network)
    other = replace(one, id=bytes(16))
    rejected(station, one.delivery(1, _signed(one, other.message().sealed)), "cannot-open")


@pytest.mark.parametrize("names", [0, 1, 3])
@pytest.mark.parametrize("outside", [False, True])
def test_other_files_than_the_envelope_are_malformed(station: Station, names: int, outside: bool) -> None:
    letter = Letter(station.network, body_outside=outside)
    attached = tuple(attach(letter.content_key, b"x") for _ in range(2))
    right = 2 - outside
    named = (NamedFile("n", "text/plain", blake2b(b"")),) * (names + (names == right))
    letter = replace(letter, attached=attached, named=named)
    assert "other files" in rejected(station, letter.delivery(), "malformed")


def test_a_body_outside_needs_an_attachment(station: Station) -> None:
    rejected(station, Letter(station.network, body_outside=True).delivery(), "malformed")


def test_nothing_secret_is_shown(station: Station) -> None:
    opened: Any = opening(station, Letter(station.network).delivery())
    assert bytes(opened.content_key).hex() not in repr(opened)
    assert repr(bytes(opened.content_key)) not in repr(opened)
