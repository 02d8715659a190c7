"""The hub has its log witnessed: proofs go out, countersignatures come back, evidence against it counts."""

from __future__ import annotations

from crypto.keys import SigningPrivateKey
from hub.audit import growth
from hub.audit.verify import Trusted, verify
from protocols.audit import checkpoint, tree
from protocols.link import frames as f
from tests.hub.audit.logs import act
from tests.hub.audit.test_rounds import gauge, minute
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import AUDIT, AUTHORITY, EPOCH_MS, NodeKeys, Rest

KEYS = NodeKeys.numbered(1)
SIGNING = SigningPrivateKey(bytes((1,)) * 32)
FACILITY = "chu-oran"
NOTHING = f.Witnessed(b"", 0, b"")


def word(statement: bytes, key: SigningPrivateKey = SIGNING) -> f.Witnessed:
    return f.Witnessed(statement, 1, checkpoint.countersign(key, FACILITY, statement))


def connected(rest: Rest) -> Caller:
    enrol(rest, FACILITY, KEYS, "labo")
    rest.run(rest.core.auditor.round())
    caller = Caller(rest, KEYS)
    caller.turn()
    return caller


def grow(rest: Rest) -> None:
    for number in range(5):
        rest.sql(lambda c, n=number: act(c, n))  # type: ignore[misc]  # bound now
    minute(rest)


def witnesses(rest: Rest) -> list[tuple[int, tuple[str, ...]]]:
    return [(one.size, one.witnesses) for one in rest.sql(lambda c: growth.recent(c, 10))]


def test_checkpoints_go_out_with_proofs_and_come_back_signed(rest: Rest) -> None:
    caller = connected(rest)
    assert caller.heard(f.Checkpoint) == []
    caller.say(NOTHING)
    (first,) = caller.heard(f.Checkpoint)
    before = checkpoint.verify(first.statement, AUDIT.public)
    caller.say(word(first.statement))
    grow(rest)
    caller.turn()
    (second,) = caller.heard(f.Checkpoint)
    now = checkpoint.verify(second.statement, AUDIT.public)
    assert tree.consistent(before.size, before.root, now.size, now.root, second.proof)
    assert witnesses(rest) == [(now.size, ()), (before.size, (FACILITY,))]
    caller.say(word(second.statement))
    assert witnesses(rest)[0] == (now.size, (FACILITY,))
    report = rest.sql(lambda c: verify(c, Trusted(AUDIT.public, AUTHORITY.public, EPOCH_MS)))
    assert report.valid
    assert (report.witnessed, report.witnesses) == ({FACILITY: now.size}, 1)
    assert gauge(rest, "valid") == 1


def test_a_word_out_of_turn_ends_the_session(rest: Rest) -> None:
    caller = connected(rest)
    caller.say(NOTHING)
    (first,) = caller.heard(f.Checkpoint)
    caller.say(word(first.statement))
    caller.say(word(first.statement))
    assert caller.ended().text.startswith("out-of-turn")


def test_another_keys_signature_is_not_kept(rest: Rest) -> None:
    caller = connected(rest)
    caller.say(NOTHING)
    (first,) = caller.heard(f.Checkpoint)
    caller.say(word(first.statement, SigningPrivateKey(bytes(32))))
    assert witnesses(rest)[0][1] == ()
    assert gauge(rest, "valid") == 1


def test_a_checkpoint_of_another_history_is_evidence_against_the_hub(rest: Rest) -> None:
    """The database was set back to an earlier state: nothing in it says so, the node does."""
    caller = connected(rest)
    beyond = checkpoint.issue(AUDIT, origin="hub", size=1_000, root=bytes(32), at_ms=EPOCH_MS)
    caller.say(word(beyond))
    assert gauge(rest, "valid") == 0
    (told,) = caller.heard(f.Checkpoint)
    assert checkpoint.verify(told.statement).size < 1_000  # by which the node finds it out too
    minute(rest)
    assert gauge(rest, "valid") == 0


def test_what_the_hub_never_signed_is_no_evidence(rest: Rest) -> None:
    caller = connected(rest)
    lie = checkpoint.issue(SIGNING, origin="hub", size=1_000, root=bytes(32), at_ms=EPOCH_MS)
    caller.say(word(lie))
    assert gauge(rest, "valid") == 1
    assert caller.heard(f.Checkpoint) == []


def test_a_forged_countersignature_in_the_table_is_found(rest: Rest) -> None:
    caller = connected(rest)
    caller.say(NOTHING)
    (first,) = caller.heard(f.Checkpoint)
    caller.say(word(first.statement))
    rest.sql(lambda c: c.exec_driver_sql("UPDATE witnesses SET facility = 'chu-alger'"))
    report = rest.sql(lambda c: verify(c, Trusted(AUDIT.public, AUTHORITY.public, EPOCH_MS)))
    assert [fault.place for fault in report.faults] == [
        f"witness chu-alger of checkpoint {checkpoint.verify(first.statement).size}"
    ]
