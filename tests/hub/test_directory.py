"""Letting facilities in and putting them out: rules, tables, and what every session is shown."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from crypto import identity as statements
from crypto.errors import BadStatement
from crypto.keys import SigningPrivateKey
from hub.directory import service, store
from hub.directory.service import DirectoryError, InvitationRefused, Invited
from hub.directory.view import DirectoryView, Standing
from protocols.link import limits
from protocols.link.joincode import JoinCode, decode_joincode
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, HUB_KEY, ISSUER, NodeKeys

HOUR_MS = 3_600_000
ONE, TWO = NodeKeys.numbered(1), NodeKeys.numbered(2)


def invite(connection: Connection, facility: str = "chu-oran", *mailboxes: str) -> JoinCode:
    return decode_joincode(invited(connection, facility, mailboxes).code)


def invited(
    connection: Connection,
    facility: str = "chu-oran",
    mailboxes: tuple[str, ...] = (),
    *,
    valid_for_ms: int = DAY_MS,
    title: str | None = None,
) -> Invited:
    return service.invite(
        connection, ISSUER, facility, title=title, mailboxes=mailboxes,
        valid_for_ms=valid_for_ms, now_ms=EPOCH_MS,
    )  # fmt: skip


def grant(
    connection: Connection, code: JoinCode, keys: NodeKeys = ONE, now_ms: int = EPOCH_MS
) -> store.CredentialRow:
    row = service.grant(
        connection, ISSUER, code.invitation, keys.link.public, keys.signing, keys.sealing, now_ms
    )
    assert isinstance(row, store.CredentialRow)
    return row


def joined(connection: Connection, facility: str = "chu-oran", keys: NodeKeys = ONE) -> store.CredentialRow:
    return grant(connection, invite(connection, facility, "labo"), keys)


def credential_in(blob: bytes) -> statements.Credential:
    statement = statements.verify(blob, AUTHORITY.public)
    assert isinstance(statement, statements.Credential)
    return statement


# ── inviting ───────────────────────────────────────────────────────────────────────────────


def test_a_code_carries_all_that_a_node_must_know(connection: Connection) -> None:
    code = invite(connection, "chu-oran", "labo", "cardio")
    assert (code.hub, code.hub_name, code.facility) == ("hub.example:7600", "hub", "chu-oran")
    assert code.hub_key == HUB_KEY.public.raw
    assert code.authority_key == AUTHORITY.public.raw
    found = store.find_invitation(connection, code.invitation)
    assert found is not None
    assert (found.facility, found.psk, found.used_by) == ("chu-oran", code.psk, None)
    assert found.expires_ms == EPOCH_MS + DAY_MS


def test_the_secret_itself_is_not_kept(connection: Connection) -> None:
    code = invite(connection)
    rows = connection.exec_driver_sql("SELECT * FROM invitations").all()
    assert len(rows) == 1
    assert all(code.secret not in value for value in rows[0] if isinstance(value, bytes))


def test_every_code_is_another(connection: Connection) -> None:
    codes = [invite(connection) for _ in range(3)]
    assert len({code.invitation for code in codes}) == len({code.secret for code in codes}) == 3


def test_a_facility_without_mailboxes_gets_one(connection: Connection) -> None:
    invite(connection)
    assert DirectoryView.load(connection).mailboxes_of("chu-oran") == frozenset({service.DEFAULT_MAILBOX})


def test_inviting_again_adds_mailboxes_and_keeps_the_title(connection: Connection) -> None:
    invited(connection, title="CHU d'Oran", mailboxes=("labo",))
    invited(connection, mailboxes=("labo", "cardio"))
    entry = DirectoryView.load(connection).entry("chu-oran")
    assert entry is not None
    assert entry.title == "CHU d'Oran"
    assert [box.name for box in entry.mailboxes] == ["cardio", "labo"]
    invited(connection, title="Oran")
    entry = DirectoryView.load(connection).entry("chu-oran")
    assert entry is not None
    assert (entry.title, len(entry.mailboxes)) == ("Oran", 2)


@pytest.mark.parametrize("facility", ["", "CHU", "chu oran", "-chu", "chu@oran", "c" * 64, "group", "chu\n"])
def test_what_cannot_be_a_facility_is_not_invited(connection: Connection, facility: str) -> None:
    with pytest.raises(DirectoryError):
        invited(connection, facility)
    assert store.all_facilities(connection) == []


@pytest.mark.parametrize("mailbox", ["", "Labo", "a@b", "m" * 64])
def test_what_cannot_be_a_mailbox_is_not_added(connection: Connection, mailbox: str) -> None:
    with pytest.raises(DirectoryError, match="mailbox"):
        invited(connection, mailboxes=("labo", mailbox))


def test_mailboxes_are_bounded(connection: Connection) -> None:
    most = tuple(f"box{number}" for number in range(limits.MAILBOXES))
    invited(connection, mailboxes=most)
    invited(connection, mailboxes=most[:3])
    with pytest.raises(DirectoryError, match="at most"):
        invited(connection, mailboxes=("one-more",))


@pytest.mark.parametrize("valid_for_ms", [0, -1, service.INVITATION_MAX_MS + 1])
def test_an_invitation_lasts_some_time_and_not_for_ever(connection: Connection, valid_for_ms: int) -> None:
    with pytest.raises(DirectoryError, match="valid"):
        invited(connection, valid_for_ms=valid_for_ms)
    invited(connection, valid_for_ms=service.INVITATION_MAX_MS)


# ── joining ────────────────────────────────────────────────────────────────────────────────


def test_a_code_becomes_a_credential(connection: Connection) -> None:
    row = grant(connection, invite(connection))
    credential = credential_in(row.statement)
    assert (credential.facility, credential.serial) == ("chu-oran", 1)
    assert (credential.link_key, credential.signing_key, credential.sealing_key) == (
        ONE.link.public, ONE.signing, ONE.sealing,
    )  # fmt: skip
    # A node whose clock is a day slow believes its own credential.
    statements.check_validity(credential, EPOCH_MS - DAY_MS, 0)
    statements.check_validity(credential, EPOCH_MS + 700 * DAY_MS, 0)


def test_asked_again_with_the_same_keys_the_answer_is_the_same(connection: Connection) -> None:
    """The first answer may have been lost; the invitation may have expired meanwhile."""
    code = invite(connection)
    first = grant(connection, code)
    assert grant(connection, code) == first
    assert grant(connection, code, now_ms=EPOCH_MS + 40 * DAY_MS) == first
    assert store.next_serial(connection, "chu-oran") == 2


def test_a_second_code_for_the_same_node_is_used_up_too(connection: Connection) -> None:
    first = grant(connection, invite(connection))
    code = invite(connection)
    assert grant(connection, code) == first
    with pytest.raises(InvitationRefused, match="used before"):
        grant(connection, code, TWO)


def test_a_code_works_for_one_node(connection: Connection) -> None:
    code = invite(connection)
    grant(connection, code)
    with pytest.raises(InvitationRefused, match="used before"):
        grant(connection, code, TWO)
    assert store.find_credential(connection, TWO.link.public.raw) is None


def test_of_two_claims_one_wins(connection: Connection) -> None:
    code = invite(connection)
    assert store.use_invitation(connection, code.invitation, b"first")
    assert not store.use_invitation(connection, code.invitation, b"second")
    assert store.use_invitation(connection, code.invitation, b"first")
    assert not store.use_invitation(connection, b"unknown", b"first")


def test_the_same_node_with_other_signing_or_sealing_keys_is_refused(connection: Connection) -> None:
    code = invite(connection)
    grant(connection, code)
    for keys in (NodeKeys(ONE.link, TWO.signing, ONE.sealing), NodeKeys(ONE.link, ONE.signing, TWO.sealing)):
        with pytest.raises(InvitationRefused, match="other keys"):
            grant(connection, code, keys)


def test_a_code_expires_to_the_millisecond(connection: Connection) -> None:
    code = invite(connection)
    with pytest.raises(InvitationRefused, match="expired"):
        grant(connection, code, now_ms=EPOCH_MS + DAY_MS)
    assert grant(connection, code, now_ms=EPOCH_MS + DAY_MS - 1).serial == 1


def test_an_unknown_invitation_is_refused(connection: Connection) -> None:
    invite(connection)
    with pytest.raises(InvitationRefused, match="no such invitation"):
        service.usable_invitation(connection, bytes(16), b"key", EPOCH_MS)


def test_a_node_of_one_facility_does_not_join_another(connection: Connection) -> None:
    joined(connection)
    code = invite(connection, "chu-alger")
    with pytest.raises(InvitationRefused, match="chu-oran"):
        grant(connection, code)
    found = store.find_invitation(connection, code.invitation)
    assert found is not None
    assert found.used_by is None


def test_a_revoked_node_does_not_get_its_old_credential_back(connection: Connection) -> None:
    """A new code for its facility needs new keys; the old ones may be in a thief's hands."""
    joined(connection)
    service.revoke(connection, ISSUER, "chu-oran", "stolen", EPOCH_MS)
    code = invite(connection)
    with pytest.raises(InvitationRefused, match="revoked"):
        grant(connection, code)
    assert grant(connection, code, TWO).serial == 2


def test_a_second_join_gets_the_next_serial_and_both_are_shown(connection: Connection) -> None:
    joined(connection)
    joined(connection, keys=TWO)
    view = DirectoryView.load(connection)
    entry = view.entry("chu-oran")
    assert entry is not None
    assert [credential_in(blob).serial for blob in entry.statements] == [1, 2]
    third = NodeKeys.numbered(3)
    joined(connection, keys=third)
    entry = DirectoryView.load(connection).entry("chu-oran")
    assert entry is not None
    assert [credential_in(blob).serial for blob in entry.statements] == [2, 3]


# ── standing ───────────────────────────────────────────────────────────────────────────────


def standing(connection: Connection, keys: NodeKeys = ONE) -> tuple[str, Standing]:
    return DirectoryView.load(connection).whose(keys.link.public.raw)


def test_a_key_is_nobodys_before_it_joined(connection: Connection) -> None:
    invite(connection)
    assert standing(connection) == ("", Standing.UNKNOWN)
    view = DirectoryView.load(connection)
    assert not view.is_active("chu-oran"), "nothing can be sealed for a facility without a key"
    assert view.mailboxes_of("chu-oran") == frozenset({"inbox"})
    assert view.mailboxes_of("nowhere") is None
    assert not view.is_active("nowhere")
    assert view.entry("nowhere") is None


def test_suspended_and_let_back(connection: Connection) -> None:
    joined(connection)
    assert standing(connection) == ("chu-oran", Standing.ACTIVE)
    store.suspend(connection, "chu-oran", suspended=True)
    assert standing(connection) == ("chu-oran", Standing.SUSPENDED)
    assert not DirectoryView.load(connection).is_active("chu-oran")
    store.suspend(connection, "chu-oran", suspended=False)
    assert standing(connection) == ("chu-oran", Standing.ACTIVE)


def test_revoking_ends_every_credential_so_far_and_is_shown_signed(connection: Connection) -> None:
    joined(connection)
    joined(connection, keys=TWO)
    assert service.revoke(connection, ISSUER, "chu-oran", "stolen", EPOCH_MS) == 2
    for keys in (ONE, TWO):
        assert standing(connection, keys) == ("chu-oran", Standing.REVOKED)
    entry = DirectoryView.load(connection).entry("chu-oran")
    assert entry is not None
    assert not entry.active
    (blob,) = entry.statements
    assert statements.verify(blob, AUTHORITY.public) == statements.Revocation(
        facility="chu-oran", serial=2, at_ms=EPOCH_MS, reason="stolen"
    )
    third = NodeKeys.numbered(3)
    joined(connection, keys=third)
    assert standing(connection, third) == ("chu-oran", Standing.ACTIVE)
    assert standing(connection) == ("chu-oran", Standing.REVOKED)
    assert DirectoryView.load(connection).is_active("chu-oran")


def test_there_is_nothing_to_revoke_before_a_join(connection: Connection) -> None:
    invite(connection)
    for facility in ("chu-oran", "nowhere"):
        with pytest.raises(DirectoryError, match="no credential"):
            service.revoke(connection, ISSUER, facility, "", EPOCH_MS)


# ── groups ─────────────────────────────────────────────────────────────────────────────────


def group(connection: Connection, *members: str, name: str = "garde") -> None:
    service.define_group(connection, ISSUER, name, "Garde", members)


def test_a_group_is_signed_and_replaced_with_a_higher_serial(connection: Connection) -> None:
    joined(connection)
    for serial, members in enumerate([("labo@chu-oran",), ()], start=1):
        group(connection, *members)
        entry = DirectoryView.load(connection).entry("garde")
        assert entry is not None
        (blob,) = entry.statements
        expected = statements.Group(name="garde", serial=serial, members=members)
        assert statements.verify(blob, AUTHORITY.public) == expected
        with pytest.raises(BadStatement):
            statements.verify(blob, SigningPrivateKey(bytes(32)).public)


@pytest.mark.parametrize("member", ["labo@nowhere", "cardio@chu-oran", "labo", ""])
def test_a_member_must_exist(connection: Connection, member: str) -> None:
    joined(connection)
    with pytest.raises(DirectoryError, match="no mailbox"):
        group(connection, "labo@chu-oran", member)
    assert store.all_groups(connection) == []


def test_a_group_has_a_proper_name(connection: Connection) -> None:
    with pytest.raises(DirectoryError, match="group id"):
        group(connection, name="La Garde")


# ── versions ───────────────────────────────────────────────────────────────────────────────


def test_every_visible_change_raises_the_version(connection: Connection) -> None:
    seen = [store.version(connection)]
    assert seen == [0]

    def changed() -> None:
        seen.append(store.version(connection))
        assert seen[-1] > seen[-2]

    code = invite(connection, "chu-oran", "labo")
    changed()
    grant(connection, code)
    changed()
    group(connection, "labo@chu-oran")
    changed()
    store.suspend(connection, "chu-oran", suspended=True)
    changed()
    service.revoke(connection, ISSUER, "chu-oran", "", EPOCH_MS)
    changed()


def test_a_node_is_told_what_changed_since_in_order(connection: Connection) -> None:
    for number, facility in enumerate(("c", "a", "b"), start=1):
        joined(connection, facility, NodeKeys.numbered(number))
    view = DirectoryView.load(connection)
    everything = view.entries_after(0)
    assert [entry.name for entry in everything] == ["c", "a", "b"]
    assert view.version == everything[-1].version
    assert view.entries_after(everything[0].version) == everything[1:]
    assert view.entries_after(view.version) == ()
    store.suspend(connection, "c", suspended=True)
    later = DirectoryView.load(connection)
    assert [entry.name for entry in later.entries_after(view.version)] == ["c"]
    assert [entry.name for entry in later.entries_after(0)] == ["a", "b", "c"]
    assert set(later.facilities()) == {"a", "b", "c"}


def test_a_view_is_a_picture_that_does_not_change(connection: Connection) -> None:
    joined(connection)
    view = DirectoryView.load(connection)
    store.suspend(connection, "chu-oran", suspended=True)
    assert view.is_active("chu-oran")
