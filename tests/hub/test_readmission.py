"""A restored hub has forgotten nodes: it hears who they are, and lets none in before a person has said so."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, func, select

from crypto import identity as statements
from crypto.keys import SigningPrivateKey
from hub.admin import readmission
from hub.directory import knocks, service, store
from hub.directory.service import DirectoryError
from hub.spool import epoch
from hub.spool.tables import spool
from protocols.link import frames as f
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, ISSUER, NodeKeys, Rest

KNOWN, FORGOTTEN = NodeKeys.numbered(1), NodeKeys.numbered(2)
THIEF = SigningPrivateKey(bytes((9,)) * 32)


def credential(
    serial: int = 7,
    facility: str = "chu-oran",
    keys: NodeKeys = FORGOTTEN,
    by: SigningPrivateKey = AUTHORITY,
) -> bytes:
    return statements.issue(
        by,
        statements.Credential(
            facility,
            serial,
            keys.link.public,
            keys.signing,
            keys.sealing,
            EPOCH_MS - DAY_MS,
            EPOCH_MS + DAY_MS,
        ),
    )


@pytest.fixture
def restored(rest: Rest) -> Rest:
    """Return a hub that was restored, and knows chu-oran by earlier keys only."""
    enrol(rest, "chu-oran", KNOWN, "labo")
    rest.sql(lambda c: epoch.begin(c, EPOCH_MS - DAY_MS, EPOCH_MS))
    rest.core.epoch = rest.sql(epoch.read)
    rest.run(rest.core.reload_directory())
    return rest


def knock(rest: Rest, shown: bytes, keys: NodeKeys = FORGOTTEN, *more: f.AnyFrame) -> f.End:
    caller = Caller(rest, keys, credential=shown)
    if more:  # with READY, in one breath
        caller.tell()
        caller.listen()
        for frame in more:
            caller.session._writer.put(f.encode_frame(frame))
    caller.turn()
    return caller.ended()


def waiting(rest: Rest) -> list[tuple[str, int]]:
    return [(one.credential.facility, one.credential.serial) for one in rest.sql(knocks.waiting)]


def readmit(rest: Rest, facility: str = "chu-oran") -> None:
    rest.sql(lambda c: readmission.readmit(c, ISSUER, facility, mailboxes=(), actor="cli:a", now_ms=EPOCH_MS))
    rest.run(rest.core.reload_directory())


def test_a_node_with_keys_from_after_the_backup_is_let_in_by_a_person(restored: Rest) -> None:
    assert knock(restored, b"").reason is f.Goodbye.UNKNOWN_KEY
    assert waiting(restored) == []
    for _ in range(2):
        assert "administrator has to confirm" in knock(restored, credential()).text
    assert waiting(restored) == [("chu-oran", 7)]
    readmit(restored)
    caller = Caller(restored, FORGOTTEN)
    caller.turn()
    assert caller.session.open
    assert waiting(restored) == []
    row = restored.sql(lambda c: store.find_credential(c, bytes(FORGOTTEN.link.public)))
    assert row is not None
    assert (row.serial, row.statement) == (7, credential())
    assert Caller(restored, KNOWN).session is not None


def test_a_facility_that_joined_after_the_backup_is_let_in_too(restored: Rest) -> None:
    knock(restored, credential(1, "eph-new"))
    readmit(restored, "eph-new")
    assert restored.core.view.is_active("eph-new")


@pytest.mark.parametrize(
    "shown",
    [
        credential(by=THIEF),
        credential(keys=NodeKeys.numbered(5)),
        credential()[:-1] + bytes((credential()[-1] ^ 1,)),
        b"junk",
        statements.issue(AUTHORITY, statements.Revocation("chu-oran", 7, 1, "")),
    ],
)
def test_what_the_authority_did_not_give_to_this_key_is_not_even_noted(restored: Rest, shown: bytes) -> None:
    assert knock(restored, shown).reason is f.Goodbye.UNKNOWN_KEY
    assert waiting(restored) == []


def test_who_knocks_is_heard_no_further(restored: Rest) -> None:
    """READY proves the key; nothing that comes with it is acted on."""
    knock(restored, credential(), FORGOTTEN, f.DirectoryWanted(0), f.Submit((f.Submission(b"x", 0),)))
    assert restored.sql(lambda c: c.execute(select(func.count()).select_from(spool)).scalar_one()) == 0
    assert len(restored.core.sessions) == 0


def test_a_replayed_hello_is_not_noted(restored: Rest) -> None:
    """Without READY the caller has not shown that it has the key."""
    caller = Caller(restored, FORGOTTEN, credential=credential())
    caller.tell()
    restored.time.advance(0)
    assert waiting(restored) == []


def test_a_serial_that_is_revoked_or_of_after_the_restore_is_not_noted(restored: Rest) -> None:
    floor = restored.sql(epoch.serial_floor)
    knock(restored, credential(floor + 1))
    assert waiting(restored) == []
    restored.sql(lambda c: service.revoke(c, ISSUER, "chu-oran", "stolen", EPOCH_MS))
    restored.run(restored.core.reload_directory())
    knock(restored, credential())
    assert waiting(restored) == []


def test_a_revocation_answers_who_knocked_before(restored: Rest) -> None:
    knock(restored, credential())
    restored.sql(lambda c: service.revoke(c, ISSUER, "chu-oran", "stolen", EPOCH_MS))
    with pytest.raises(DirectoryError, match="no node of 'chu-oran' knocks"):
        readmit(restored)


def test_a_hub_that_was_never_restored_hears_nobody_out(rest: Rest) -> None:
    enrol(rest, "chu-oran", KNOWN, "labo")
    assert knock(rest, credential()).text == "this hub does not know your key"
    assert waiting(rest) == []


def test_nobody_is_let_in_who_does_not_knock(connection: Connection) -> None:
    with pytest.raises(DirectoryError, match="no node of"):
        readmission.readmit(connection, ISSUER, "chu-oran", mailboxes=(), actor="cli:a", now_ms=EPOCH_MS)
