"""Recovery keys: their text, what they seal, and who made a backup."""

from __future__ import annotations

import pytest

from crypto import recovery
from crypto.errors import CryptoError, DecryptionFailed, MalformedKey
from crypto.keys import LinkPrivateKey, LinkPublicKey, SealingPrivateKey

KEEPER = SealingPrivateKey(bytes(range(32)))
HOME = LinkPrivateKey(bytes(range(1, 33)))


def test_keys_survive_their_text_and_are_not_taken_for_each_other() -> None:
    public, private = recovery.public_text(KEEPER.public), recovery.private_text(KEEPER)
    assert recovery.parse_public(f" {public}\n") == KEEPER.public
    assert recovery.parse_private(private) == KEEPER
    with pytest.raises(MalformedKey, match="private recovery key"):
        recovery.parse_public(private)
    with pytest.raises(MalformedKey, match="public recovery key"):
        recovery.parse_private(public)


@pytest.mark.parametrize(
    "place", range(len(recovery.PUBLIC_PREFIX), len(recovery.public_text(KEEPER.public)))
)
def test_a_mistyped_key_is_refused(place: int) -> None:
    text = recovery.public_text(KEEPER.public)
    other = "A" if text[place] != "A" else "B"
    with pytest.raises(MalformedKey):
        recovery.parse_public(text[:place] + other + text[place + 1 :])
    with pytest.raises(MalformedKey):
        recovery.parse_public(text[:place])


def test_home_and_keeper_compute_one_seal_and_nobody_else_does() -> None:
    ours = recovery.seal_key_of_home(HOME, KEEPER.public)
    assert ours == recovery.seal_key_of_keeper(HOME.public, KEEPER)
    assert ours != recovery.seal_key_of_home(LinkPrivateKey(bytes(32)), KEEPER.public)
    seal = recovery.seal(ours, b"beginning", bytes(32))
    recovery.check_seal(ours, b"beginning", bytes(32), seal)
    for beginning, root, key in (
        (b"Beginning", bytes(32), ours),
        (b"beginning", bytes(31) + b"\x01", ours),
        (b"beginning", bytes(32), recovery.seal_key_of_home(LinkPrivateKey(bytes(32)), KEEPER.public)),
    ):
        with pytest.raises(DecryptionFailed):
            recovery.check_seal(key, beginning, root, seal)


def test_a_content_key_opens_for_its_keeper_only() -> None:
    wrapped = recovery.wrap(bytes(32), KEEPER.public)
    assert recovery.unwrap(wrapped, KEEPER) == bytes(32)
    with pytest.raises(DecryptionFailed):
        recovery.unwrap(wrapped, SealingPrivateKey(bytes(32)))
    with pytest.raises(DecryptionFailed):
        recovery.unwrap(recovery.wrap(b"short", KEEPER.public), KEEPER)
    with pytest.raises(CryptoError):
        recovery.seal_key_of_keeper(LinkPublicKey(bytes(32)), KEEPER)
