"""One audit key after another: only the key before names the next one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.keys import SigningPrivateKey
from protocols.audit import succession
from protocols.audit.checkpoint import CheckpointFault

KEYS = [SigningPrivateKey(bytes((n,)) * 32) for n in range(1, 5)]


def named(before: int, after: int, origin: str = "hub") -> bytes:
    return succession.issue(KEYS[before], KEYS[after].public, origin=origin, at_ms=1)


CHAIN = [named(0, 1), named(1, 2)]


def test_whoever_knows_any_key_follows_to_the_last() -> None:
    publics = [key.public for key in KEYS]
    assert succession.follow(publics[0], CHAIN, "hub") == tuple(publics[:3])
    assert succession.follow(publics[1], CHAIN, "hub") == tuple(publics[1:3])
    assert succession.follow(publics[2], CHAIN, "hub") == (publics[2],)
    assert succession.follow(publics[3], CHAIN, "hub") == (publics[3],)


def test_a_chain_that_breaks_leads_nowhere() -> None:
    with pytest.raises(CheckpointFault, match="does not follow"):
        succession.follow(KEYS[0].public, [named(0, 1), named(2, 3)], "hub")
    with pytest.raises(CheckpointFault, match="'other'"):
        succession.follow(KEYS[0].public, [named(0, 1, "other")], "hub")


def test_every_flipped_bit_is_found() -> None:
    blob = CHAIN[0]
    for at in range(len(blob)):
        with pytest.raises(CheckpointFault):
            succession.verify(blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :])


@given(st.binary(max_size=600))
def test_foreign_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(CheckpointFault):
        succession.verify(data)
