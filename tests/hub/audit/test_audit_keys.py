"""The audit log goes on under another key: only the key before names it, and each signs its own part."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert

from crypto.keys import SigningPrivateKey
from hub.admin import rotation
from hub.audit import growth, keys, prove
from hub.audit.tables import checkpoints
from hub.audit.verify import Trusted, verify
from hub.keys import HubKeys
from protocols.audit import checkpoint, receipt, tree
from protocols.link import frames as f
from tests.hub.audit.logs import TRUSTED, act, seal
from tests.hub.audit.test_rounds import gauge, minute
from tests.hub.audit.test_witnessing import NOTHING, connected, grow, word
from tests.hub.hubs import AUDIT, AUTHORITY, EPOCH_MS, HUB_KEY, Rest

NEXT, THIRD, THIEF = (SigningPrivateKey(bytes((n,)) * 32) for n in (81, 82, 83))
NOW = Trusted(NEXT.public, AUTHORITY.public, TRUSTED.young_ms)


def rotate(
    connection: Connection, before: SigningPrivateKey = AUDIT, following: SigningPrivateKey = NEXT
) -> int:
    return rotation.rotate_audit(connection, "hub", before, following.public, actor="cli:a", now_ms=EPOCH_MS)


@pytest.fixture
def rotated(connection: Connection) -> Connection:
    """Return a log of six entries: the fourth names the next key, checkpoints are 3, by the old, and 6."""
    for number in range(3):
        act(connection, number)
    seal(connection)
    assert rotate(connection) == 4
    for number in range(2):
        act(connection, number)
    assert seal(connection, NEXT) is not None
    return connection


def faults(connection: Connection, trusted: Trusted = NOW) -> list[str]:
    return [str(fault) for fault in verify(connection, trusted).faults]


def test_each_key_signs_its_own_part(rotated: Connection) -> None:
    report = verify(rotated, NOW)
    assert (report.valid, report.checkpoints, report.signed) == (True, 2, 6)
    assert keys.present(rotated) == NEXT.public
    assert keys.all_keys(rotated, NEXT.public) == (AUDIT.public, NEXT.public)
    assert faults(rotated, TRUSTED) == [], "who knows the key before follows"


def test_a_hub_that_has_not_heard_signs_nothing_more(rotated: Connection) -> None:
    act(rotated, 9)
    assert seal(rotated, AUDIT) is None
    assert seal(rotated, NEXT) is not None


def forged(connection: Connection, key: SigningPrivateKey) -> None:
    """Add a checkpoint over all entries, signed by ``key``."""
    act(connection, 9)
    size = growth.size_of(connection)
    root = tree.root_of(growth._leaves(connection, 0, size))
    statement = checkpoint.issue(key, origin="hub", size=size, root=root, at_ms=EPOCH_MS)
    connection.execute(insert(checkpoints).values(size=size, at_ms=EPOCH_MS, root=root, statement=statement))


def test_who_stole_the_old_key_signs_nothing_that_is_believed(rotated: Connection) -> None:
    forged(rotated, AUDIT)
    (fault,) = faults(rotated)
    assert fault.startswith("checkpoint 7: the checkpoint is signed by key")


def test_nobody_names_a_key_but_the_one_before(rotated: Connection) -> None:
    rotate(rotated, THIEF, THIRD)
    assert any("names a successor of another audit key" in fault for fault in faults(rotated))


def test_a_hub_with_a_key_that_the_log_does_not_lead_to_is_told(rotated: Connection) -> None:
    strange = Trusted(THIEF.public, AUTHORITY.public, TRUSTED.young_ms)
    assert any("do not lead to the key that this hub has" in fault for fault in faults(rotated, strange))


def test_a_receipt_is_checked_by_any_key_from_then_on(rotated: Connection) -> None:
    made = receipt.parse(receipt.encode(prove.of_entry(rotated, 2)))
    for key in (AUDIT, NEXT):
        assert receipt.check(made, key.public).about == "entry 2"
    for key in (THIEF, THIRD):
        with pytest.raises(receipt.ReceiptFault, match="is signed by key"):
            receipt.check(made, key.public)


def test_witnesses_are_led_from_the_key_that_they_know(rest: Rest) -> None:
    caller = connected(rest)
    caller.say(NOTHING)
    (first,) = caller.heard(f.Checkpoint)
    assert first.keys == ()
    caller.say(word(first.statement))
    rest.core.key_file = lambda: HubKeys(HUB_KEY, AUTHORITY, AUDIT, audit_next=NEXT)
    rest.sql(rotate)
    rest.run(rest.core.reload_directory())
    grow(rest)
    caller.turn()
    (second,) = caller.heard(f.Checkpoint)
    assert checkpoint.verify(second.statement).key == bytes(NEXT.public)
    assert len(second.keys) == 1
    caller.say(word(second.statement))
    minute(rest)
    assert gauge(rest, "valid") == 1
    # A node that comes back with what the old key had signed is no evidence against the hub.
    caller.lose()
    back = connected(rest)
    back.say(word(first.statement))
    minute(rest)
    assert gauge(rest, "valid") == 1
