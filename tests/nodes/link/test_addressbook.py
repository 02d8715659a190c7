"""The directory is the hub's word, the keys in it the authority's: a hub that lies changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from crypto import identity as statements
from crypto.keys import SigningPrivateKey
from nodes.link import addressbook, facts, tables
from nodes.link.addressbook import Distrusted
from nodes.link.errors import UnknownRecipient
from nodes.link.keyfiles import NodeKeys
from nodes.link.trust import Trust
from protocols.link.entries import DirectoryEntry, Mailbox
from runtime.storage_errors import DatabaseCorrupt
from tests.nodes.fixtures import EPOCH_MS, Network, Station

ORAN = "chu-oran"
DAY_MS = 86_400_000


@dataclass
class Hub:
    """What a hub may show to the station's node, true or not."""

    station: Station

    @property
    def network(self) -> Network:
        return self.station.network

    def credential(self, serial: int, *, facility: str = ORAN, fresh: bool = True) -> bytes:
        keys = NodeKeys.generate() if fresh else self.network.keys_of(facility)
        return self.network.credential(facility, serial=serial, keys=keys)

    def revocation(self, serial: int, facility: str = ORAN) -> bytes:
        return statements.issue(
            self.network.authority, statements.Revocation(facility, serial, EPOCH_MS, "stolen")
        )

    def group(self, serial: int, *members: str, name: str = "garde") -> bytes:
        return statements.issue(self.network.authority, statements.Group(name, serial, members))

    def show(
        self, *blobs: bytes, name: str = ORAN, active: bool = True, version: int = 9, title: str = ""
    ) -> None:
        entry = DirectoryEntry(version, name, title, active, blobs, (Mailbox("labo"), Mailbox("cardio")))
        self.station.do(lambda c: addressbook.merge(c, entry, self.network.authority.public))

    def refused(self, code: str, *blobs: bytes, name: str = ORAN) -> None:
        """Check that showing this is distrusted and leaves every row as it was."""
        before = self.rows()
        with pytest.raises(Distrusted) as caught:
            self.show(*blobs, name=name)
        assert caught.value.code == code
        assert self.rows() == before

    def rows(self) -> list[Any]:
        book = tables.addressbook
        query = select(book).order_by(book.c.is_group, book.c.name)
        return self.station.do(lambda c: [tuple(row) for row in c.execute(query)])

    def serials(self, facility: str = ORAN) -> list[int]:
        found = self.station.do(
            lambda c: addressbook.credentials_of(c, facility, self.network.authority.public)
        )
        return [credential.serial for credential in found]


@pytest.mark.parametrize("column", ["statement", "earlier"])
def test_a_damaged_credential_is_found_and_named(hub: Hub, column: str) -> None:
    """Each was verified before it was kept: one that does not verify any more was spoiled here."""
    blob = bytearray(hub.credential(2))
    blob[-1] ^= 1
    book = tables.addressbook
    hub.station.do(
        lambda c: c.execute(book.update().where(book.c.name == ORAN).values({column: bytes(blob)}))
    )
    with pytest.raises(DatabaseCorrupt, match=r"'chu-oran'.*restore a backup"):
        hub.serials()
    with pytest.raises(DatabaseCorrupt, match="'chu-oran'"):
        hub.station.do(lambda c: Trust.load(c, hub.network.authority.public))


@pytest.fixture
def hub(station: Station) -> Hub:
    return Hub(station)


# ── lies ───────────────────────────────────────────────────────────────────────────────────


def test_a_swapped_key_is_found_out(hub: Hub) -> None:
    """The hub issues a credential of its own making for Oran, with a key that it holds."""
    other = Network(authority=SigningPrivateKey.generate())
    hub.refused("wrong-authority", other.credential(ORAN, serial=2))


def test_another_facilitys_credential_is_found_out(hub: Hub) -> None:
    hub.refused("another-name", hub.credential(5, facility="clinique-sud"))


def test_one_bad_statement_spoils_the_entry(hub: Hub) -> None:
    hub.refused("another-name", hub.credential(2), hub.credential(5, facility="clinique-sud"))


@pytest.mark.parametrize("position", [0, 5, 40, -1])
def test_a_flipped_byte_is_found_out(hub: Hub, position: int) -> None:
    blob = bytearray(hub.credential(2))
    blob[position] ^= 1
    with pytest.raises(Distrusted):
        hub.show(bytes(blob))
    assert hub.serials() == [1]


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"x" * 100, b"\x93\x01\xc4\x00\xc4\x00"])
def test_what_is_no_statement_is_found_out(hub: Hub, blob: bytes) -> None:
    hub.refused("malformed", blob)


def test_a_serial_never_goes_down(hub: Hub) -> None:
    first = hub.credential(1, fresh=False)
    hub.show(hub.credential(3))
    hub.refused("serial-went-down", hub.credential(2))
    hub.refused("serial-went-down", first)
    assert hub.serials() == [3]


def test_a_serial_that_was_hidden_does_not_go_down_either(hub: Hub) -> None:
    hub.show(hub.credential(3))
    hub.show()
    assert hub.serials() == []
    hub.refused("serial-went-down", hub.credential(2))


def test_two_statements_of_one_serial_are_found_out(hub: Hub) -> None:
    """Even the authority's own key cannot swap a credential without a new serial."""
    hub.refused("two-of-one-serial", hub.credential(1))


def test_two_statements_of_one_serial_are_found_out_after_hiding(hub: Hub) -> None:
    hub.show()
    hub.refused("two-of-one-serial", hub.credential(1))
    hub.show(hub.credential(1, fresh=False))
    assert hub.serials() == [1]


def test_two_statements_of_one_serial_in_one_entry_are_found_out(hub: Hub) -> None:
    hub.refused("two-of-one-serial", hub.credential(2), hub.credential(2))


def test_an_old_group_beside_the_new_one_does_not_come_back(hub: Hub) -> None:
    """A hub that puts a dismissed member's statement first must not bring that member back."""
    old = hub.group(1, "labo@chu-oran", "accueil@clinique-sud")
    new = hub.group(2, "cardio@chu-oran")
    for blobs in ((old, new), (new, old)):
        hub.show(*blobs, name="garde")
        assert _resolved(hub, "garde@group") == ("cardio@chu-oran",)


def test_a_group_does_not_go_back(hub: Hub) -> None:
    hub.show(hub.group(2, "cardio@chu-oran"), name="garde")
    hub.refused("serial-went-down", hub.group(1, "labo@chu-oran", "accueil@clinique-sud"), name="garde")


@pytest.mark.parametrize("order", [1, -1])
def test_a_group_and_a_credential_in_one_entry_are_distrusted(hub: Hub, order: int) -> None:
    blobs = (hub.group(9, "labo@chu-oran", name=ORAN), hub.credential(9))[::order]
    hub.refused("mixed", *blobs)


def test_a_revocation_in_a_groups_entry_is_distrusted(hub: Hub) -> None:
    hub.refused("mixed", hub.group(1, name="garde"), hub.revocation(99, "garde"), name="garde")


# ── revocation ─────────────────────────────────────────────────────────────────────────────


def test_a_revoked_credential_is_not_used(hub: Hub) -> None:
    hub.show(hub.credential(1, fresh=False), hub.revocation(1))
    assert hub.serials() == []


def test_a_revocation_is_remembered_when_the_hub_hides_it(hub: Hub) -> None:
    hub.show(hub.revocation(1))
    for blobs in ((), (hub.credential(1, fresh=False),), (hub.credential(1, fresh=False), hub.revocation(0))):
        hub.show(*blobs)
        assert hub.serials() == []


def test_a_revocation_ends_every_lower_serial(hub: Hub) -> None:
    hub.show(hub.credential(4), hub.credential(3), hub.revocation(3))
    assert hub.serials() == [4]
    hub.show(hub.credential(5), hub.revocation(7))
    assert hub.serials() == []
    hub.show(hub.credential(8))
    assert hub.serials() == [8]


def test_a_forged_revocation_ends_nothing(hub: Hub) -> None:
    forged = statements.issue(SigningPrivateKey.generate(), statements.Revocation(ORAN, 9, EPOCH_MS, ""))
    hub.refused("wrong-authority", forged)
    assert hub.serials() == [1]


# ── rotation ───────────────────────────────────────────────────────────────────────────────


def test_both_credentials_are_kept_while_keys_rotate(hub: Hub) -> None:
    first, second, third = hub.credential(1, fresh=False), hub.credential(2), hub.credential(3)
    hub.show(first, second)
    assert hub.serials() == [2, 1]
    hub.show(third, second, first)
    assert hub.serials() == [3, 2]
    hub.show(third)
    assert hub.serials() == [3]


def test_one_credential_twice_is_one(hub: Hub) -> None:
    blob = hub.credential(2)
    hub.show(blob, blob)
    assert hub.serials() == [2]


def test_the_same_entry_again_changes_nothing(hub: Hub) -> None:
    before = hub.rows()
    network = hub.network
    entry = network.entry(ORAN, ("labo", "cardio"))
    hub.station.do(lambda c: addressbook.merge(c, entry, network.authority.public))
    assert hub.rows() == before


# ── who is addressed ───────────────────────────────────────────────────────────────────────


def _resolved(hub: Hub, *recipients: str) -> tuple[str, ...]:
    return hub.station.do(lambda c: addressbook.resolve(c, recipients))


def test_an_inactive_facility_is_refused_and_has_no_keys(hub: Hub) -> None:
    hub.show(hub.credential(1, fresh=False), active=False)
    assert hub.serials() == []
    with pytest.raises(UnknownRecipient) as caught:
        _resolved(hub, "labo@chu-oran")
    assert caught.value.code == "facility-inactive"
    hub.show(hub.credential(1, fresh=False))
    assert _resolved(hub, "labo@chu-oran") == ("labo@chu-oran",)


def test_the_refusal_names_the_mailboxes_that_exist(hub: Hub) -> None:
    with pytest.raises(UnknownRecipient, match="labo, cardio"):
        _resolved(hub, "xray@chu-oran")


def test_a_dissolved_group_addresses_nobody(hub: Hub) -> None:
    hub.show(hub.group(2), name="garde")
    assert _resolved(hub, "garde@group") == ()


def test_a_group_without_a_serial_is_none(hub: Hub) -> None:
    hub.show(hub.group(0, "labo@chu-oran", name="nuit"), name="nuit")
    with pytest.raises(UnknownRecipient):
        _resolved(hub, "nuit@group")


def test_a_group_and_a_facility_may_share_a_name(hub: Hub) -> None:
    hub.show(hub.group(1, "accueil@clinique-sud", name=ORAN))
    assert _resolved(hub, f"{ORAN}@group") == ("accueil@clinique-sud",)
    assert hub.serials() == [1]


def test_mailboxes_and_entries_are_listed(hub: Hub) -> None:
    station = hub.station
    assert station.do(lambda c: addressbook.mailboxes_of(c, ORAN)) == frozenset({"labo", "cardio"})
    assert station.do(lambda c: addressbook.mailboxes_of(c, "chu-mars")) is None
    names = [(entry.name, entry.is_group) for entry in station.do(addressbook.entries)]
    assert names == [
        ("chu-alger", False), ("chu-oran", False), ("clinique-sud", False), ("garde", True),
    ]  # fmt: skip


# ── pages ──────────────────────────────────────────────────────────────────────────────────


def _merge_all(hub: Hub, entries: Sequence[DirectoryEntry], *, complete: bool) -> list[Distrusted]:
    authority = hub.network.authority.public
    return hub.station.do(lambda c: addressbook.merge_all(c, entries, authority, complete=complete))


def test_what_is_distrusted_in_a_page_stops_nothing_else(hub: Hub) -> None:
    bad = DirectoryEntry(7, ORAN, "", active=True, statements=(hub.credential(1),))
    good = DirectoryEntry(
        8, "clinique-nord", "", active=True, statements=(hub.credential(1, facility="clinique-nord"),)
    )
    found = _merge_all(hub, (bad, good), complete=True)
    assert [problem.code for problem in found] == ["two-of-one-serial"]
    assert ORAN in str(found[0])
    assert hub.serials("clinique-nord") == [1]
    assert hub.station.do(addressbook.version) == 8


def test_the_version_is_noted_with_the_last_page_only(hub: Hub) -> None:
    hub.station.do(lambda c: facts.put(c, facts.DIRECTORY_VERSION, 0))
    entry = hub.network.entry(ORAN, ("labo",), version=5)
    _merge_all(hub, (entry,), complete=False)
    assert hub.station.do(addressbook.version) == 0
    _merge_all(hub, (), complete=True)
    assert hub.station.do(addressbook.version) == 5


# ── trust ──────────────────────────────────────────────────────────────────────────────────


def _trust(hub: Hub) -> Trust:
    return hub.station.do(lambda c: Trust.load(c, hub.network.authority.public))


def _dated(hub: Hub, serial: int, begin_ms: int, end_ms: int) -> bytes:
    keys = NodeKeys.generate()
    return statements.issue(
        hub.network.authority,
        statements.Credential(
            ORAN, serial, keys.link.public, keys.signing.public, keys.sealing.public, begin_ms, end_ms
        ),
    )


def test_the_newest_valid_credential_is_sealed_for(hub: Hub) -> None:
    hub.show(hub.credential(1, fresh=False), _dated(hub, 2, EPOCH_MS + 30 * DAY_MS, EPOCH_MS + 60 * DAY_MS))
    trust = _trust(hub)
    present = trust.present(ORAN, EPOCH_MS)
    later = trust.present(ORAN, EPOCH_MS + 31 * DAY_MS)
    assert present is not None
    assert later is not None
    assert (present.serial, later.serial) == (1, 2)


def test_a_clock_that_is_a_day_wrong_does_not_stop_sending(hub: Hub) -> None:
    hub.show(_dated(hub, 2, EPOCH_MS, EPOCH_MS + DAY_MS))
    trust = _trust(hub)
    assert trust.present(ORAN, EPOCH_MS - DAY_MS) is not None
    assert trust.present(ORAN, EPOCH_MS + 2 * DAY_MS) is not None
    assert trust.present(ORAN, EPOCH_MS - 2 * DAY_MS) is None
    assert trust.present(ORAN, EPOCH_MS + 4 * DAY_MS) is None


def test_what_a_suspended_facility_signed_is_still_believed(hub: Hub) -> None:
    """What was accepted before the suspension is delivered, and its receipts count."""
    hub.show(hub.credential(1, fresh=False), active=False)
    assert _trust(hub).of_serial(ORAN, 1) is not None


def test_what_a_revoked_key_signed_is_not_believed_any_more(hub: Hub) -> None:
    """Also when the revocation comes alone, and the entry of the credential was known before."""
    assert _trust(hub).of_serial(ORAN, 1) is not None
    hub.show(hub.revocation(1), active=False)
    assert _trust(hub).of_serial(ORAN, 1) is None
    assert _trust(hub).present(ORAN, EPOCH_MS) is None


def test_a_serial_is_trusted_only_of_its_own_facility(hub: Hub) -> None:
    hub.show(hub.credential(4), hub.credential(3))
    trust = _trust(hub)
    assert trust.of_serial(ORAN, 4) is not None
    assert trust.of_serial(ORAN, 3) is not None
    assert trust.of_serial(ORAN, 1) is None
    assert trust.of_serial("clinique-sud", 4) is None
    assert trust.of_serial("chu-mars", 1) is None
    assert trust.present("chu-mars", EPOCH_MS) is None
    assert Trust({}).of_serial(ORAN, 4) is None
