"""Changes of the network's own keys: only the authority that holds names the next, and nobody goes back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import identity, trust
from crypto.errors import BadStatement
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from crypto.trust import Anchors, Subject, TrustChange
from tests.crypto.test_primitives import LOW_ORDER_POINTS

OLD, NEW, OTHER = (SigningPrivateKey(bytes((n,)) * 32) for n in (1, 2, 3))
LINK, NEXT_LINK = (LinkPrivateKey(bytes((n,)) * 32).public for n in (4, 5))
START = Anchors("hub", 0, LINK, OLD.public)


def change(serial: int, subject: Subject, key: bytes, by: SigningPrivateKey = OLD, hub: str = "hub") -> bytes:
    return trust.issue(by, TrustChange(hub, serial, subject, key, 1))


LINKED = change(1, Subject.LINK, bytes(NEXT_LINK))
SUCCEEDED = change(2, Subject.AUTHORITY, bytes(NEW.public))
RETIRED = change(3, Subject.RETIRED, bytes(OLD.public), NEW)


def test_a_chain_is_followed_to_its_end() -> None:
    now = START.follow(LINKED)
    assert (now.serial, now.link, now.authority) == (1, NEXT_LINK, OLD.public)
    now = now.follow(SUCCEEDED)
    assert (now.authority, now.before, now.retired) == (NEW.public, (OLD.public,), ())
    now = now.follow(RETIRED)
    assert (now.serial, now.before, now.retired) == (3, (), (OLD.public,))


def test_what_is_known_changes_nothing_whoever_says_it() -> None:
    now = START.follow(LINKED).follow(SUCCEEDED)
    for blob in (LINKED, SUCCEEDED, change(2, Subject.LINK, bytes(LINK), OTHER)):
        assert now.follow(blob) is now


@pytest.mark.parametrize(
    ("blob", "code"),
    [
        (change(3, Subject.LINK, bytes(LINK), OLD), "wrong-authority"),  # it was succeeded
        (change(3, Subject.AUTHORITY, bytes(OTHER.public), OTHER), "wrong-authority"),
        (change(3, Subject.AUTHORITY, bytes(OLD.public), NEW), "malformed"),  # back to the one before
        (change(3, Subject.AUTHORITY, bytes(NEW.public), NEW), "malformed"),
        (change(3, Subject.LINK, bytes(LINK), NEW, hub="other"), "malformed"),
        (b"", "malformed"),
        (bytes(600), "malformed"),
    ],
)
def test_what_the_present_authority_did_not_sign_is_refused(blob: bytes, code: str) -> None:
    now = START.follow(LINKED).follow(SUCCEEDED)
    with pytest.raises(BadStatement) as refused:
        now.follow(blob)
    assert refused.value.code == code


def test_every_flipped_bit_is_found() -> None:
    for at in range(len(LINKED)):
        spoiled = LINKED[:at] + bytes((LINKED[at] ^ 1,)) + LINKED[at + 1 :]
        with pytest.raises(BadStatement):
            trust.verify(spoiled, OLD.public)


def test_there_is_one_encoding() -> None:
    kind, payload, signature = msgspec.msgpack.decode(LINKED)
    longer = b"\xdc\x00\x03" + msgspec.msgpack.encode((kind, payload, signature))[1:]
    with pytest.raises(BadStatement, match="one encoding"):
        trust.verify(longer, OLD.public)


def test_a_statement_of_another_kind_is_none() -> None:
    """Each kind is signed in a domain of its own: none can be taken for another."""
    revocation = identity.issue(OLD, identity.Revocation("chu-oran", 1, 1, ""))
    with pytest.raises(BadStatement):
        trust.verify(revocation, OLD.public)
    with pytest.raises(BadStatement):
        identity.verify(LINKED, OLD.public)


@pytest.mark.parametrize(
    "values",
    [{"key": bytes(31)}, {"serial": 0}, {"hub": ""}, {"hub": "x" * 64}, {"key": LOW_ORDER_POINTS[0]}],
)
def test_what_cannot_be_is_not_signed(values: dict[str, object]) -> None:
    plain: dict[str, object] = {
        "hub": "hub",
        "serial": 1,
        "subject": Subject.LINK,
        "key": bytes(LINK),
        "at_ms": 1,
    }
    with pytest.raises(BadStatement):
        TrustChange(**{**plain, **values})  # type: ignore[arg-type]  # what is wrong is the point


@given(st.binary(max_size=600))
def test_foreign_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(BadStatement):
        START.follow(data)


def test_signed_again_a_statement_is_the_same_and_another_is_not() -> None:
    keys = LINK, OTHER.public, SealingPrivateKey(bytes((9,)) * 32).public
    credential = identity.Credential("chu-oran", 1, *keys, 1, 2)
    before = identity.issue(OLD, credential)
    after = identity.sign_again(before, NEW)
    assert identity.same(before, after)
    assert identity.verify_by_any(after, (NEW.public, OLD.public)) == credential
    assert identity.verify_by_any(before, (NEW.public, OLD.public)) == credential
    with pytest.raises(BadStatement, match="wrong-authority"):
        identity.verify_by_any(before, (NEW.public, OTHER.public))
    assert not identity.same(before, identity.issue(OLD, msgspec.structs.replace(credential, serial=2)))


def test_not_more_authorities_are_kept_than_there_is_room_for() -> None:
    now, signer = START, OLD
    for serial in range(1, 9):
        following = SigningPrivateKey(bytes((40 + serial,)) * 32)
        now = now.follow(change(serial, Subject.AUTHORITY, bytes(following.public), signer))
        signer = following
    assert len(now.before) == trust.AUTHORITIES_KEPT
    assert replace(now, before=()).authority == signer.public
