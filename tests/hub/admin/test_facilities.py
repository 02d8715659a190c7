"""The steps of admission: who may take them, and in what order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from crypto.fingerprint import in_words
from crypto.keys import SealingPrivateKey, SigningPrivateKey
from hub.admin import facilities, users
from hub.admin.facilities import FacilityState, NotApproved, UnknownFacility
from hub.audit.tables import audit
from hub.cli.commands import KINDS
from hub.directory import service, store
from hub.directory.requests import Request
from hub.directory.service import DirectoryError, InvitationRefused
from hub.directory.view import DirectoryView, Standing
from protocols.link import limits
from protocols.link.entries import Mailbox
from protocols.link.joincode import decode_joincode
from protocols.link.places import WILAYAS, FacilityKind
from tests.hub.hubs import DAY_MS, EPOCH_MS, ISSUER, NodeKeys

TWO = replace(ISSUER, two_person=True)
ONE_NODE, OTHER_NODE = NodeKeys.numbered(1), NodeKeys.numbered(2)
AMINE, LILA = "user:amine", "user:lila"


def invite(connection: Connection, **about: object) -> bytes:
    invited = facilities.invite(
        connection, TWO, "chu-oran", valid_for_ms=DAY_MS, actor=AMINE, now_ms=EPOCH_MS, **about  # type: ignore[arg-type]  # of the call under test
    )  # fmt: skip
    return decode_joincode(invited.code).invitation


def ask(
    connection: Connection, invitation: bytes, keys: NodeKeys = ONE_NODE, issuer: service.Issuer = TWO
) -> store.CredentialRow | Request:
    return service.grant(
        connection, issuer, invitation, keys.link.public, keys.signing, keys.sealing, EPOCH_MS
    )


def pending(connection: Connection, keys: NodeKeys = ONE_NODE) -> str:
    """Let a node of chu-oran ask; returns its fingerprint in words."""
    found = ask(connection, invite(connection), keys)
    assert isinstance(found, Request)
    return in_words(found.fingerprint)


def approve(connection: Connection, words: str, actor: str = LILA) -> facilities.Facility:
    return facilities.approve(connection, TWO, "chu-oran", fingerprint=words, actor=actor, now_ms=EPOCH_MS)


def state(connection: Connection) -> FacilityState:
    return facilities.one(connection, "chu-oran").state


def test_two_people_admit_a_facility(connection: Connection) -> None:
    invitation = invite(connection)
    assert state(connection) is FacilityState.INVITED
    asked = ask(connection, invitation)
    assert isinstance(asked, Request)
    assert state(connection) is FacilityState.PENDING
    assert not DirectoryView.load(connection).is_active("chu-oran")
    done = approve(connection, in_words(asked.fingerprint))
    assert (done.state, done.waiting) == (FacilityState.ACTIVE, ())
    assert done.keys is not None
    assert done.keys.fingerprint == asked.fingerprint
    assert isinstance(ask(connection, invitation), store.CredentialRow), "the node that asks again gets it"
    assert DirectoryView.load(connection).whose(bytes(ONE_NODE.link.public))[1] is Standing.ACTIVE


def test_nothing_is_signed_before_the_approval(connection: Connection) -> None:
    pending(connection)
    (row,) = store.all_facilities(connection)
    assert row.credentials == ()
    assert DirectoryView.load(connection).whose(bytes(ONE_NODE.link.public))[1] is Standing.UNKNOWN


@pytest.mark.parametrize("actor", [AMINE, "cli:amine"])
def test_who_invited_does_not_approve_by_whatever_door(connection: Connection, actor: str) -> None:
    words = pending(connection)
    with pytest.raises(NotApproved, match="another administrator"):
        approve(connection, words, actor)
    assert state(connection) is FacilityState.PENDING


def test_another_fingerprint_approves_nothing(connection: Connection) -> None:
    words = pending(connection).split()
    with pytest.raises(NotApproved, match="not the fingerprint"):
        approve(connection, " ".join(reversed(words)))
    with pytest.raises(NotApproved, match="not the fingerprint"):
        approve(connection, "")
    assert state(connection) is FacilityState.PENDING


def test_an_approval_counts_once(connection: Connection) -> None:
    words = pending(connection)
    approve(connection, words)
    with pytest.raises(NotApproved, match="no keys"):
        approve(connection, words)


def test_approving_one_request_approves_no_other(connection: Connection) -> None:
    """A thief who joins with a second code waits on his own words, beside the node that was compared."""
    first, second = pending(connection), pending(connection, OTHER_NODE)
    assert first != second
    done = approve(connection, first)
    assert [in_words(request.fingerprint) for request in done.waiting] == [second]


def test_rejected_keys_cannot_ask_again(connection: Connection) -> None:
    invitation = invite(connection)
    asked = ask(connection, invitation)
    assert isinstance(asked, Request)
    facilities.reject(
        connection,
        "chu-oran",
        fingerprint=in_words(asked.fingerprint),
        reason="",
        actor=AMINE,
        now_ms=EPOCH_MS,
    )
    assert state(connection) is FacilityState.INVITED
    with pytest.raises(InvitationRefused, match="refused"):
        ask(connection, invitation)
    with pytest.raises(InvitationRefused):
        ask(connection, invitation, OTHER_NODE)


def test_a_node_that_waits_cannot_change_its_keys(connection: Connection) -> None:
    invitation = invite(connection)
    ask(connection, invitation)
    changed = replace(ONE_NODE, sealing=SealingPrivateKey(b"\x09" * 32).public)
    with pytest.raises(InvitationRefused, match="other keys"):
        ask(connection, invitation, changed)


def test_a_revocation_ends_what_waits(connection: Connection) -> None:
    active = pending(connection)
    approve(connection, active)
    pending(connection, OTHER_NODE)
    facilities.revoke(connection, TWO, "chu-oran", reason="stolen", actor=AMINE, now_ms=EPOCH_MS)
    found = facilities.one(connection, "chu-oran")
    assert (found.state, found.waiting, found.keys) == (FacilityState.REVOKED, (), None)


def test_without_the_authority_an_approved_request_waits_for_its_signature(connection: Connection) -> None:
    away = replace(TWO, authority=ISSUER.authority_key)
    asked = ask(connection, invite(connection), issuer=away)
    assert isinstance(asked, Request)
    found = facilities.approve(
        connection, away, "chu-oran", fingerprint=in_words(asked.fingerprint), actor=LILA, now_ms=EPOCH_MS
    )
    assert found.state is FacilityState.UNSIGNED
    assert found.keys is None


def test_suspension_and_its_end(connection: Connection) -> None:
    approve(connection, pending(connection))
    facilities.suspend(connection, "chu-oran", actor=AMINE, now_ms=EPOCH_MS)
    assert state(connection) is FacilityState.SUSPENDED
    facilities.resume(connection, "chu-oran", actor=AMINE, now_ms=EPOCH_MS)
    assert state(connection) is FacilityState.ACTIVE


def test_unknown_facilities_are_named(connection: Connection) -> None:
    for change in (facilities.suspend, facilities.resume):
        with pytest.raises(UnknownFacility, match="chu-mars"):
            change(connection, "chu-mars", actor=AMINE, now_ms=EPOCH_MS)
    with pytest.raises(UnknownFacility, match="chu-mars"):
        facilities.one(connection, "chu-mars")
    with pytest.raises(UnknownFacility, match="chu-mars"):
        facilities.describe(connection, "chu-mars", title="x", actor=AMINE, now_ms=EPOCH_MS)


def test_what_a_facility_is_and_where(connection: Connection) -> None:
    invite(
        connection, title="CHU d'Oran", kind=FacilityKind.CHU, wilaya=31,
        mailboxes=(Mailbox("labo", "Laboratoire", "Biologie"), Mailbox("cardio")),
    )  # fmt: skip
    invite(connection, mailboxes=(Mailbox("cardio", "", "Cardiologie"),))
    found = facilities.one(connection, "chu-oran")
    assert (found.title, found.kind, found.wilaya) == ("CHU d'Oran", "chu", 31)
    assert found.mailboxes == (
        Mailbox("cardio", "cardio", "Cardiologie"),
        Mailbox("labo", "Laboratoire", "Biologie"),
    )
    entry = DirectoryView.load(connection).entry("chu-oran")
    assert entry is not None
    assert (entry.kind, entry.wilaya, entry.mailboxes) == ("chu", 31, found.mailboxes)


@pytest.mark.parametrize("wilaya", [-1, 0, 59])
def test_there_are_fifty_eight_wilayas(connection: Connection, wilaya: int) -> None:
    with pytest.raises(DirectoryError, match="wilaya"):
        invite(connection, wilaya=wilaya)


def test_a_change_is_told_to_nodes_that_know_the_rest(connection: Connection) -> None:
    invite(connection)
    before = store.version(connection)
    facilities.describe(connection, "chu-oran", wilaya=31, actor=AMINE, now_ms=EPOCH_MS)
    assert [one.wilaya for one in DirectoryView.load(connection).entries_after(before)] == [31]


def test_the_command_line_knows_the_kinds() -> None:
    assert tuple(FacilityKind) == KINDS
    assert sorted(WILAYAS) == list(range(1, 59))
    assert all(name.french and name.arabic for name in WILAYAS.values())


def test_signing_keys_in_the_way_are_not_confused() -> None:
    """The private half is never taken for the public one."""
    assert replace(ISSUER, authority=SigningPrivateKey(b"\x01" * 32).public).signer is None


def test_who_is_revoked_does_not_come_back_by_a_code_that_is_still_out(connection: Connection) -> None:
    """A code that was made to add a mailbox and never used is in the same drawer as the stolen keys."""
    joined = ask(connection, invite(connection), issuer=ISSUER)
    assert isinstance(joined, store.CredentialRow)
    left = invite(connection)
    facilities.revoke(connection, TWO, "chu-oran", reason="stolen", actor=AMINE, now_ms=EPOCH_MS)
    with pytest.raises(InvitationRefused, match="refused"):
        ask(connection, left, OTHER_NODE, ISSUER)
    fresh = ask(connection, invite(connection), OTHER_NODE, ISSUER)
    assert isinstance(fresh, store.CredentialRow), "a new code is given out on purpose"


def test_an_account_that_who_invited_made_does_not_approve(connection: Connection) -> None:
    words = pending(connection)
    users.add(connection, "amine2", "administrator", "hash", actor=AMINE, now_ms=EPOCH_MS)
    with pytest.raises(NotApproved) as refused:
        approve(connection, words, "user:amine2")
    assert refused.value.code == "same-person"
    assert approve(connection, words).state is FacilityState.ACTIVE


def test_a_description_that_changes_nothing_is_neither_told_nor_noted(connection: Connection) -> None:
    box = Mailbox("labo", "Laboratoire", "Biologie")
    boxes = (box, Mailbox("urgences", "", ""))
    said: dict[str, Any] = {"title": "CHU Oran", "kind": FacilityKind.CHU, "wilaya": 31, "mailboxes": boxes}
    invite(connection)

    def describe(**more: Any) -> tuple[int, list[str]]:
        facilities.describe(connection, "chu-oran", **{**said, **more}, actor=AMINE, now_ms=EPOCH_MS)
        query = select(audit.c.details).where(audit.c.action == "facility.described")
        return store.version(connection), list(connection.execute(query.order_by(audit.c.number)).scalars())

    first = describe()
    assert describe() == first
    assert describe(title=None, mailboxes=(Mailbox("labo", "", ""),)) == first
    version, told = describe(mailboxes=(Mailbox("labo", "", "Hématologie"), *boxes[1:]))
    assert (version > first[0], told[1:]) == (True, ['{"mailboxes":"labo"}'])
    with pytest.raises(DirectoryError, match="wilaya"):
        describe(wilaya=59)


def test_the_largest_facility_can_be_described_and_the_journal_tells_what_is_new(
    connection: Connection,
) -> None:
    invite(connection)
    boxes = tuple(Mailbox(f"{n:03}{'x' * 60}", "", "") for n in range(limits.MAILBOXES - 10))
    for _ in range(2):
        facilities.describe(connection, "chu-oran", mailboxes=boxes, actor=AMINE, now_ms=EPOCH_MS)
    query = select(audit.c.details).where(audit.c.action == "facility.described")
    assert f" +{len(boxes) - 20}" in connection.execute(query).scalar_one()
