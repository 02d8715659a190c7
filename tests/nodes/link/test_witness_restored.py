"""A hub that was restored: the node goes on from before the backup, loudly, and never from further back."""

from __future__ import annotations

from functools import partial

import pytest

from nodes.link import facts, witness
from protocols.audit import checkpoint, succession, tree
from protocols.link import frames as f
from tests.nodes.link.hub_end import HubEnd
from tests.nodes.link.test_witness import FORKED, KEY, LEAVES

HOUR_MS = witness.HOUR_MS
NEXT_KEY = type(KEY)(bytes(range(96, 128)))
OTHER_END = [*LEAVES[:8], *(tree.leaf_hash(b"new %d" % n) for n in range(12))]
"""The same eight entries, and others behind them."""


def signed(leaves: list[bytes], size: int, hour: int, key: object = KEY) -> bytes:
    assert isinstance(key, type(KEY))
    root = tree.root_of(leaves[:size])
    return checkpoint.issue(key, origin="hub", size=size, root=root, at_ms=hour * HOUR_MS + 5)


def told(leaves: list[bytes], old: int, size: int, hour: int) -> f.Checkpoint:
    proof = tree.proof_of(leaves[:size], tree.consistency_path(old, size)) if old else []
    return f.Checkpoint(signed(leaves, size, hour), tuple(proof))


def alarms(hub: HubEnd) -> list[str]:
    found = hub.station.do(partial(facts.latest_alarms, limit=9))
    return [code for _, code, _ in found if code != "hub-restored"]


def said(hub: HubEnd) -> list[int]:
    return [checkpoint.verify(one.statement).size for one in hub.heard(f.Witnessed) if one.statement]


@pytest.fixture
def seen(hub: HubEnd) -> HubEnd:
    """Return a hub of whose log the node saw 8 entries in hour 1, 12 in hour 3, 13 in hour 4."""
    for old, size, hour in ((0, 8, 1), (8, 12, 3), (12, 13, 4)):
        hub.say(told(LEAVES, old, size, hour))
    assert said(hub) == [8, 12, 13]
    return hub


def restored(hub: HubEnd, *, at: int, backup: int) -> None:
    hub.epoch = at, backup * HOUR_MS
    hub.again()


def test_the_node_goes_on_from_before_the_backup_and_says_so_once(seen: HubEnd) -> None:
    restored(seen, at=100, backup=2)
    assert said(seen) == [8], "it names what the backup must have"
    seen.say(told(OTHER_END, 8, 11, 5))
    assert said(seen) == [11]
    assert sorted(alarms(seen)) == ["audit-restored"]
    kept = seen.station.do(witness.evidence)
    assert [checkpoint.verify(one).size for one in kept] == [12, 13]
    seen.say(told(OTHER_END, 11, 12, 6))
    seen.again()
    assert said(seen)[-1] == 12
    assert alarms(seen).count("audit-restored") == 1


def test_what_was_signed_before_the_backup_cannot_be_rewritten(seen: HubEnd) -> None:
    """A hub that claims to have been restored names a time, and everything from before must be there."""
    restored(seen, at=100, backup=2)
    seen.heard(f.Witnessed)
    seen.say(told(FORKED, 8, 11, 5))
    assert said(seen) == []
    assert alarms(seen) == ["audit-fork"]
    assert seen.station.do(witness.kept) == signed(LEAVES, 13, 4)
    assert seen.station.do(witness.evidence) == []


def test_the_same_epoch_excuses_nothing_twice(seen: HubEnd) -> None:
    restored(seen, at=100, backup=2)
    seen.say(told(OTHER_END, 8, 11, 5))
    seen.heard(f.Witnessed)
    restored(seen, at=100, backup=2)
    assert said(seen) == [11]
    seen.say(told(LEAVES, 8, 12, 6))
    assert "audit-fork" in alarms(seen)


def test_an_epoch_of_before_excuses_nothing_either(seen: HubEnd) -> None:
    restored(seen, at=100, backup=2)
    seen.say(told(OTHER_END, 8, 11, 5))
    seen.heard(f.Witnessed)
    restored(seen, at=99, backup=1)
    assert said(seen) == [11]


def test_a_backup_from_before_all_that_the_node_knows_is_for_people(seen: HubEnd) -> None:
    restored(seen, at=100, backup=0)
    assert said(seen) == [13]
    seen.say(told(OTHER_END, 0, 11, 5))
    assert alarms(seen) == ["audit-fork"]


def test_a_hub_that_lost_nothing_that_was_signed_raises_nothing(seen: HubEnd) -> None:
    restored(seen, at=100, backup=6)
    assert said(seen) == [13]
    seen.say(told(LEAVES, 13, 15, 7))
    assert said(seen) == [15]
    assert alarms(seen) == []
    assert seen.station.do(lambda c: facts.get(c, facts.AUDIT_EPOCH)) == 100


def test_what_a_restored_hub_forgot_is_no_anchor_later(seen: HubEnd) -> None:
    """Signed before the second backup, by the hub that is no more."""
    restored(seen, at=100, backup=2)
    seen.say(told(OTHER_END, 8, 9, 2))
    seen.heard(f.Witnessed)
    restored(seen, at=200, backup=4)
    assert said(seen) == [9]


def test_one_checkpoint_an_hour_is_kept(hub: HubEnd) -> None:
    for old, size, hour in ((0, 2, 1), (2, 3, 1), (3, 4, 2), (4, 5, 2)):
        hub.say(told(LEAVES, old, size, hour))
    found = [hub.station.do(lambda c, h=hour: witness.basis(c, 1, h * HOUR_MS)) for hour in (2, 3)]  # type: ignore[misc]  # bound now
    assert [checkpoint.verify(one.statement).size for one in found if one.statement] == [3, 5]


# ── another audit key ──────────────────────────────────────────────────────────────────────


def test_a_key_that_the_one_before_names_is_followed(hub: HubEnd) -> None:
    hub.say(told(LEAVES, 0, 8, 1))
    proof = tuple(tree.proof_of(LEAVES[:9], tree.consistency_path(8, 9)))
    named = succession.issue(KEY, NEXT_KEY.public, origin="hub", at_ms=1)
    hub.say(f.Checkpoint(signed(LEAVES, 9, 2, NEXT_KEY), proof, (named,)))
    assert said(hub)[-1] == 9
    assert alarms(hub) == []


@pytest.mark.parametrize(
    "named",
    [
        (),
        (succession.issue(NEXT_KEY, NEXT_KEY.public, origin="hub", at_ms=1),),
        (succession.issue(KEY, NEXT_KEY.public, origin="other", at_ms=1),),
        (b"",),
    ],
)
def test_a_key_that_names_itself_is_a_fork(hub: HubEnd, named: tuple[bytes, ...]) -> None:
    hub.say(told(LEAVES, 0, 8, 1))
    hub.heard(f.Witnessed)
    proof = tuple(tree.proof_of(LEAVES[:9], tree.consistency_path(8, 9)))
    hub.say(f.Checkpoint(signed(LEAVES, 9, 2, NEXT_KEY), proof, named))
    assert said(hub) == []
    assert alarms(hub) == ["audit-fork"]
