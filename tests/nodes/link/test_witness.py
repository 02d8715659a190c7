"""A node signs only what grew out of what it has seen: anything else is an alarm, and never signed."""

from __future__ import annotations

import pytest

from crypto.keys import SigningPrivateKey
from nodes.link import facts, witness
from protocols.audit import checkpoint, tree
from protocols.link import frames as f
from tests.nodes.link.hub_end import HubEnd

KEY = SigningPrivateKey(bytes(range(64, 96)))
LEAVES = [tree.leaf_hash(b"%d" % n) for n in range(20)]
FORKED = [*LEAVES[:3], tree.leaf_hash(b"another"), *LEAVES[4:]]


def signed(leaves: list[bytes], size: int, key: SigningPrivateKey = KEY, origin: str = "hub") -> bytes:
    return checkpoint.issue(key, origin=origin, size=size, root=tree.root_of(leaves[:size]), at_ms=1)


def told(leaves: list[bytes], old: int, size: int) -> f.Checkpoint:
    proof = tree.proof_of(leaves[:size], tree.consistency_path(old, size)) if old else []
    return f.Checkpoint(signed(leaves, size), tuple(proof))


def alarms(hub: HubEnd) -> list[str]:
    rows = hub.station.run(hub.core.database.read(lambda c: facts.latest_alarms(c, 10)))
    return [text for _, code, text in rows if code == witness.FORK]


def kept(hub: HubEnd) -> bytes | None:
    found: bytes | None = hub.station.run(hub.core.database.read(witness.kept))
    return found


def test_a_node_says_what_it_has_then_signs_what_grew_out_of_it(hub: HubEnd) -> None:
    assert hub.heard(f.Witnessed) == [f.Witnessed(b"", 0, b"")]
    hub.say(told(LEAVES, 0, 5))
    hub.say(told(LEAVES, 5, 13))
    identity = hub.core.identity
    for answer, size in zip(hub.heard(f.Witnessed), (5, 13), strict=True):
        assert answer.statement == signed(LEAVES, size)
        assert answer.serial == identity.credential.serial
        key = identity.keys.signing.public
        assert checkpoint.countersigned(key, identity.facility, answer.statement, answer.signature)
    assert kept(hub) == signed(LEAVES, 13)
    hub.again()
    assert [one.statement for one in hub.heard(f.Witnessed)] == [signed(LEAVES, 13)]
    assert alarms(hub) == []


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (told(FORKED, 8, 13), "do not begin with the 8"),
        (f.Checkpoint(signed(FORKED, 8), ()), "do not begin with the 8"),
        (told(LEAVES, 5, 13), "do not begin with the 8"),
        (f.Checkpoint(signed(LEAVES, 13), ()), "do not begin with the 8"),
        (f.Checkpoint(signed(LEAVES, 5), ()), "has 5 entries now, and had 8"),
        (f.Checkpoint(signed(LEAVES, 9, SigningPrivateKey(bytes(32))), ()), "is signed by key"),
        (f.Checkpoint(signed(LEAVES, 9, origin="other"), ()), "of the hub 'other'"),
        (f.Checkpoint(signed(LEAVES, 9)[:-1] + b"\x00", ()), "signature of checkpoint 9 is wrong"),
        (f.Checkpoint(b"", ()), "no checkpoint"),
    ],
)
def test_a_fork_is_an_alarm_and_never_signed(hub: HubEnd, frame: f.Checkpoint, why: str) -> None:
    hub.say(told(LEAVES, 0, 8))
    hub.heard(f.Witnessed)
    hub.say(frame)
    assert hub.heard(f.Witnessed) == []
    (alarm,) = alarms(hub)
    assert why in alarm
    assert kept(hub) == signed(LEAVES, 8)
    hub.say(told(LEAVES, 8, 9))  # too late: people decide now
    assert hub.heard(f.Witnessed) == []
    assert len(alarms(hub)) == 1


def test_after_a_fork_the_node_still_shows_what_it_saw(hub: HubEnd) -> None:
    hub.say(told(LEAVES, 0, 8))
    hub.say(told(FORKED, 8, 13))
    hub.heard(f.Witnessed)
    hub.again()
    assert [one.statement for one in hub.heard(f.Witnessed)] == [signed(LEAVES, 8)]


def test_people_may_have_a_node_begin_anew(hub: HubEnd) -> None:
    hub.say(told(LEAVES, 0, 8))
    hub.say(told(FORKED, 8, 13))
    hub.station.run(hub.core.database.write(witness.forget))
    hub.again()
    assert hub.heard(f.Witnessed)[-1] == f.Witnessed(b"", 0, b"")
    hub.say(told(FORKED, 0, 13))
    assert [one.statement for one in hub.heard(f.Witnessed)] == [signed(FORKED, 13)]
