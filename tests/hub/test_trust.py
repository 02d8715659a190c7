"""The network's own keys at a hub: both count for a while, all are told, and nobody is locked out unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from crypto import identity as statements
from crypto import trust as changes
from crypto.errors import BadStatement
from crypto.keys import LinkPrivateKey, SigningPrivateKey
from crypto.trust import Anchors, Subject
from hub.admin import authority as elsewhere
from hub.admin import rotation
from hub.audit.tables import audit
from hub.directory import service, trust
from hub.directory.service import DirectoryError, Issuer
from hub.directory.tables import credentials
from hub.keys import HubKeys, in_force
from protocols.link import frames as f
from protocols.link.joincode import decode_joincode
from tests.hub.caller import Caller, enrol, invite
from tests.hub.hubs import AUDIT, AUTHORITY, EPOCH_MS, HUB_KEY, ISSUER, NodeKeys, Rest

NEXT_LINK = LinkPrivateKey(bytes((71,)) * 32)
NEXT_AUTHORITY = SigningPrivateKey(bytes((72,)) * 32)
FILE = HubKeys(HUB_KEY, AUTHORITY, AUDIT, link_next=NEXT_LINK, authority_next=NEXT_AUTHORITY)
ALGER, ORAN = NodeKeys.numbered(1), NodeKeys.numbered(2)


def begin(connection: Connection, issuer: Issuer = ISSUER) -> trust.Row:
    return rotation.begin_link(connection, issuer, NEXT_LINK.public, actor="cli:a", now_ms=EPOCH_MS)


def announce(connection: Connection, issuer: Issuer = ISSUER) -> trust.Row:
    begin(connection, issuer)
    return rotation.announce_link(connection, issuer, actor="cli:a", now_ms=EPOCH_MS)


def finish(connection: Connection, *, force: bool = False) -> trust.Row:
    return rotation.finish_link(connection, ISSUER, actor="cli:a", now_ms=EPOCH_MS, force=force)


def succeed(connection: Connection) -> trust.Row:
    return rotation.begin_authority(connection, ISSUER, NEXT_AUTHORITY, actor="cli:a", now_ms=EPOCH_MS)


def now_issuer(connection: Connection, file: HubKeys = FILE) -> Issuer:
    holds = in_force(connection, file)
    return replace(
        ISSUER, authority=holds.keys.authority, hub_key=holds.keys.link.public, trust_serial=holds.serial
    )


@pytest.fixture
def hub(rest: Rest) -> Rest:
    enrol(rest, "chu-alger", ALGER, "labo")
    enrol(rest, "chu-oran", ORAN, "cardio")
    rest.core.key_file = lambda: FILE
    return rest


def call(hub: Rest, keys: NodeKeys = ALGER, *, by: LinkPrivateKey = HUB_KEY, trusting: int = 0) -> Caller:
    caller = Caller(hub, keys, hub_key=by.public, trust=trusting)
    caller.turn()
    return caller


def told(caller: Caller) -> list[bytes]:
    return [blob for frame in caller.heard(f.Directory) for blob in frame.trust]


# ── the link key ───────────────────────────────────────────────────────────────────────────


def test_a_drawn_key_is_nobodys_yet(hub: Rest) -> None:
    hub.sql(begin)
    hub.run(hub.core.reload_directory())
    caller = call(hub)
    caller.say(f.DirectoryWanted(0))
    assert told(caller) == []
    assert not call(hub, by=NEXT_LINK).session.open
    assert decode_joincode(invited(hub)).hub_key == bytes(HUB_KEY.public)


def invited(hub: Rest) -> str:
    issuer = hub.core.issuer
    return hub.sql(
        lambda c: service.invite(
            c, issuer, "chu-setif", title=None, mailboxes=(), valid_for_ms=1_000, now_ms=EPOCH_MS
        )
    ).code


def test_while_both_keys_count_nodes_are_told_and_move_in_their_own_time(hub: Rest) -> None:
    before = call(hub)
    before.say(f.DirectoryWanted(0))
    hub.sql(announce)
    hub.run(hub.core.reload_directory())
    before.turn()
    (blob,) = told(before)
    change = changes.verify(blob, AUTHORITY.public)
    assert (change.subject, change.key, change.hub) == (Subject.LINK, bytes(NEXT_LINK.public), "hub")
    row = hub.sql(trust.rows)[0]
    assert [one.facility for one in hub.sql(lambda c: rotation.behind(c, row))] == ["chu-alger", "chu-oran"]
    assert call(hub, ORAN).session.open, "the old key still counts"
    moved = call(hub, by=NEXT_LINK, trusting=row.serial)
    moved.say(f.DirectoryWanted(0))
    assert moved.session.open
    assert told(moved) == [], "it has followed"
    assert [one.facility for one in hub.sql(lambda c: rotation.behind(c, row))] == ["chu-oran"]
    code = decode_joincode(invited(hub))
    assert (code.hub_key, code.trust) == (bytes(NEXT_LINK.public), row.serial)


def test_the_old_key_ends_by_command_when_all_have_moved(hub: Rest) -> None:
    row = hub.sql(announce)
    hub.run(hub.core.reload_directory())
    call(hub, by=NEXT_LINK, trusting=row.serial)
    late = call(hub, ORAN)
    with pytest.raises(rotation.NotAllMoved, match="chu-oran"):
        hub.sql(finish)
    hub.sql(lambda c: finish(c, force=True))
    hub.run(hub.core.reload_directory())
    late.turn()
    assert late.ended().reason is f.Goodbye.RESTARTING
    assert not call(hub, ORAN).session.open, "closed without a byte: it does not know this hub's key"
    assert call(hub, ORAN, by=NEXT_LINK).session.open


def test_no_key_is_announced_that_the_authority_did_not_sign(connection: Connection) -> None:
    away = replace(ISSUER, authority=AUTHORITY.public)
    begin(connection, away)
    with pytest.raises(DirectoryError, match="has not signed"):
        rotation.announce_link(connection, away, actor="cli:a", now_ms=EPOCH_MS)
    wanted = elsewhere.read_requests(elsewhere.encode(elsewhere.waiting(connection, away)))
    signed = elsewhere.encode(elsewhere.sign(AUTHORITY, wanted, EPOCH_MS))
    done = elsewhere.import_signed(connection, away, signed, actor="cli:a", now_ms=EPOCH_MS)
    assert (done.changes, done.left) == (1, ())
    row = rotation.announce_link(connection, away, actor="cli:a", now_ms=EPOCH_MS)
    statement = next(one for one in trust.rows(connection) if one.serial == row.serial).statement
    assert changes.verify(statement, AUTHORITY.public).key == bytes(NEXT_LINK.public)


def test_a_process_without_the_key_tells_nobody_of_it(hub: Rest) -> None:
    """Several hubs on one database: a node that moved would find the door of this one shut."""
    hub.core.key_file = lambda: HubKeys(HUB_KEY, AUTHORITY, AUDIT)
    hub.sql(announce)
    hub.run(hub.core.reload_directory())
    caller = call(hub)
    caller.say(f.DirectoryWanted(0))
    assert told(caller) == []
    assert hub.core.holds.lacking == NEXT_LINK.fingerprint()


def test_a_code_from_before_the_change_still_lets_in(hub: Rest) -> None:
    invitation = invite(hub, "chu-setif", "labo")
    hub.sql(announce)
    hub.run(hub.core.reload_directory())
    newcomer = Caller(hub, NodeKeys.numbered(7), joining=invitation)
    newcomer.turn()
    newcomer.say(newcomer.join_frame(invitation[0], 7))
    (joined,) = newcomer.heard(f.Joined)
    assert [changes.recall(blob).subject for blob in joined.trust] == [Subject.LINK]


# ── the authority's key ────────────────────────────────────────────────────────────────────


def test_everything_is_signed_again_and_says_the_same(hub: Rest) -> None:
    hub.sql(lambda c: service.define_group(c, ISSUER, "garde", "Garde", ("labo@chu-alger",)))
    before = hub.sql(lambda c: c.execute(select(credentials.c.statement)).scalars().all())
    row = hub.sql(succeed)
    after = hub.sql(lambda c: c.execute(select(credentials.c.statement)).scalars().all())
    for old, new in zip(before, after, strict=True):
        assert statements.same(old, new)
        statements.verify(new, NEXT_AUTHORITY.public)
    hub.run(hub.core.reload_directory())
    caller = call(hub)
    caller.say(f.DirectoryWanted(0))
    frames = caller.heard(f.Directory)
    assert frames[0].trust, "the keys come before what they sign"
    anchors = Anchors("hub", 0, HUB_KEY.public, AUTHORITY.public)
    for blob in (blob for frame in frames for blob in frame.trust):
        anchors = anchors.follow(blob)
    assert (anchors.serial, anchors.authority) == (row.serial, NEXT_AUTHORITY.public)
    shown = [blob for frame in frames for entry in frame.entries for blob in entry.statements]
    assert len(shown) == 3
    for blob in shown:
        statements.verify(blob, anchors.authority)
    assert decode_joincode(invited(hub)).authority_key == bytes(NEXT_AUTHORITY.public)


def test_the_key_before_is_retired_when_all_have_followed(hub: Rest) -> None:
    row = hub.sql(succeed)
    hub.run(hub.core.reload_directory())
    call(hub, trusting=row.serial)

    def retire(connection: Connection) -> trust.Row:
        return rotation.retire_authority(connection, now_issuer(connection), actor="cli:a", now_ms=EPOCH_MS)

    with pytest.raises(rotation.NotAllMoved, match="chu-oran"):
        hub.sql(retire)
    call(hub, ORAN, trusting=row.serial)
    end = hub.sql(retire)
    change = changes.verify(end.statement, NEXT_AUTHORITY.public)
    assert (change.subject, change.key) == (Subject.RETIRED, bytes(AUTHORITY.public))
    assert hub.sql(lambda c: trust.open_row(c, Subject.AUTHORITY)) is None
    actions = hub.sql(lambda c: c.execute(select(audit.c.action)).scalars().all())
    assert actions[-2:] == ["keys.authority-replaced", "keys.authority-retired"]


def test_an_authority_elsewhere_is_succeeded_there(connection: Connection) -> None:
    away = replace(ISSUER, authority=AUTHORITY.public)
    service.invite(connection, ISSUER, "chu-oran", title=None, mailboxes=(), valid_for_ms=1, now_ms=EPOCH_MS)
    service.certify(connection, ISSUER, "chu-oran", ORAN.link.public, ORAN.signing, ORAN.sealing, EPOCH_MS)
    with pytest.raises(DirectoryError, match="not on this machine"):
        rotation.begin_authority(connection, away, NEXT_AUTHORITY, actor="cli:a", now_ms=EPOCH_MS)
    wanted = elsewhere.waiting(connection, away, everything=True)
    signed = elsewhere.encode(elsewhere.succeed(AUTHORITY, NEXT_AUTHORITY, wanted, EPOCH_MS))
    done = elsewhere.import_signed(connection, away, signed, actor="cli:a", now_ms=EPOCH_MS)
    assert done.changes == 1
    issuer = now_issuer(connection, HubKeys(HUB_KEY, AUTHORITY.public))
    assert issuer.authority_key == NEXT_AUTHORITY.public
    end = rotation.retire_authority(connection, issuer, actor="cli:a", now_ms=EPOCH_MS, force=True)
    assert end.statement == b""
    again = elsewhere.encode(elsewhere.sign(NEXT_AUTHORITY, elsewhere.waiting(connection, issuer), EPOCH_MS))
    assert elsewhere.import_signed(connection, issuer, again, actor="cli:a", now_ms=EPOCH_MS).changes == 1
    assert trust.open_row(connection, Subject.RETIRED) is None


def test_a_succession_covers_all_or_is_none(connection: Connection) -> None:
    """A credential of which the successor knows nothing would be believed by nobody."""
    away = replace(ISSUER, authority=AUTHORITY.public)
    wanted = elsewhere.waiting(connection, away, everything=True)
    service.invite(connection, ISSUER, "chu-oran", title=None, mailboxes=(), valid_for_ms=1, now_ms=EPOCH_MS)
    service.certify(connection, ISSUER, "chu-oran", ORAN.link.public, ORAN.signing, ORAN.sealing, EPOCH_MS)
    signed = elsewhere.encode(elsewhere.succeed(AUTHORITY, NEXT_AUTHORITY, wanted, EPOCH_MS))
    with pytest.raises(DirectoryError, match="export again"):
        elsewhere.import_signed(connection, away, signed, actor="cli:a", now_ms=EPOCH_MS)


def test_nobody_succeeds_by_a_strangers_word(connection: Connection) -> None:
    away = replace(ISSUER, authority=AUTHORITY.public)
    thief = SigningPrivateKey(bytes((99,)) * 32)
    wanted = elsewhere.waiting(connection, away, everything=True)
    forged = elsewhere.succeed(AUTHORITY, NEXT_AUTHORITY, wanted, EPOCH_MS)
    change = changes.TrustChange("hub", 1, Subject.AUTHORITY, bytes(thief.public), EPOCH_MS)
    blob = changes.issue(thief, change)
    with pytest.raises((DirectoryError, BadStatement)):
        elsewhere.import_signed(
            connection,
            away,
            elsewhere.encode(type(forged)(1, (), (blob,), ())),
            actor="cli:a",
            now_ms=EPOCH_MS,
        )


def test_one_change_is_brought_to_its_end_before_the_next(connection: Connection) -> None:
    """Serials rise along the chain: what is announced late would be passed over."""
    begin(connection)
    with pytest.raises(DirectoryError, match="not announced yet"):
        succeed(connection)
    with pytest.raises(DirectoryError, match="not finished"):
        begin(connection)
    rotation.announce_link(connection, ISSUER, actor="cli:a", now_ms=EPOCH_MS)
    succeed(connection)
    with pytest.raises(DirectoryError, match="under way"):
        succeed(connection)
