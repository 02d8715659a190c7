"""The authority elsewhere: what waits goes there, its word comes back, and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import pytest
from sqlalchemy import Connection

from crypto.identity import Credential, Revocation, recall, verify
from crypto.keys import SigningPrivateKey, SigningPublicKey
from hub import home as hub_home
from hub.admin import authority, facilities
from hub.admin.authority import Imported, WrongFile
from hub.admin.facilities import FacilityState
from hub.directory import renewal, requests, service, store
from hub.spool import epoch
from protocols.link import frames as f
from protocols.link.joincode import decode_joincode, renewal_text
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, ISSUER, NodeKeys

AWAY: Final = replace(ISSUER, authority=AUTHORITY.public)
ONE, TWO = NodeKeys.numbered(1), NodeKeys.numbered(2)
SIGNING: Final = SigningPrivateKey(b"\x01" * 32)


def asked(connection: Connection, facility: str = "chu-oran", keys: NodeKeys = ONE) -> None:
    invited = facilities.invite(
        connection, AWAY, facility, valid_for_ms=DAY_MS, actor="cli:a", now_ms=EPOCH_MS
    )
    code = decode_joincode(invited.code).invitation
    service.grant(connection, AWAY, code, keys.link.public, keys.signing, keys.sealing, EPOCH_MS)


def signed(connection: Connection, key: SigningPrivateKey = AUTHORITY) -> bytes:
    exported = authority.encode(authority.waiting(connection, replace(ISSUER, authority=key.public)))
    return authority.encode(authority.sign(key, authority.read_requests(exported), EPOCH_MS))


def take(connection: Connection, content: bytes) -> Imported:
    return authority.import_signed(connection, AWAY, content, actor="cli:a", now_ms=EPOCH_MS)


def state(connection: Connection, facility: str = "chu-oran") -> FacilityState:
    return facilities.one(connection, facility).state


def test_a_node_gets_its_credential_when_the_signature_has_come(connection: Connection) -> None:
    asked(connection)
    assert state(connection) is FacilityState.UNSIGNED
    assert take(connection, signed(connection)) == Imported(1, 0, ())
    assert state(connection) is FacilityState.ACTIVE
    assert requests.waiting(connection) == []


def test_what_was_revoked_without_the_key_is_signed_where_it_is(connection: Connection) -> None:
    """The console revokes with public keys alone; the hub's daemon has the authority's."""
    asked(connection)
    take(connection, signed(connection))
    assert not authority.has_unsigned(connection)
    facilities.revoke(connection, AWAY, "chu-oran", reason="stolen", actor="token:a@b", now_ms=EPOCH_MS)
    assert authority.has_unsigned(connection)
    for _ in range(2):
        authority.sign_revocations(connection, AUTHORITY, EPOCH_MS)
    assert not authority.has_unsigned(connection)
    (row,) = store.all_facilities(connection)
    told = verify(row.revocation, AUTHORITY.public)
    assert isinstance(told, Revocation)
    assert (told.facility, told.serial, told.reason) == ("chu-oran", 1, "stolen")


def test_public_halves_are_enough_to_invite_and_sign_nothing(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    hub_home.make_home(home, {})
    settings, keys = hub_home.load_settings(home), hub_home.load_keys(home)
    with pytest.raises(hub_home.HubHomeError, match="daemon writes it"):
        hub_home.public_issuer(home, settings)
    for _ in range(2):
        hub_home.publish(home, keys, 0)
    whole, public = hub_home.issuer(settings, keys), hub_home.public_issuer(home, settings)
    assert public == replace(whole, authority=keys.authority_key)
    assert public.signer is None
    assert (home / hub_home.PUBLIC).stat().st_mode & 0o077 == 0
    for damage in (b"", b"{}", b'{"link": "zz", "authority": "00"}', b"\xff", b"x" * 1_000_000):
        (home / hub_home.PUBLIC).write_bytes(damage)
        with pytest.raises(hub_home.HubHomeError, match="remove it"):
            hub_home.public_issuer(home, settings)


def test_the_same_file_twice_changes_nothing(connection: Connection) -> None:
    asked(connection)
    content = signed(connection)
    take(connection, content)
    again = take(connection, content)
    assert (again.keys, len(again.left)) == (0, 1)
    assert len(store.credentials_of(connection, "chu-oran")) == 1


def test_what_another_key_signed_is_left(connection: Connection) -> None:
    asked(connection)
    done = take(connection, signed(connection, SigningPrivateKey(b"\x07" * 32)))
    assert (done.keys, len(done.left)) == (0, 1)
    assert state(connection) is FacilityState.UNSIGNED


def test_keys_that_nobody_approved_are_not_exported(connection: Connection) -> None:
    invited = facilities.invite(
        connection, AWAY, "chu-oran", valid_for_ms=DAY_MS, actor="cli:a", now_ms=EPOCH_MS
    )
    code = decode_joincode(invited.code).invitation
    two = replace(AWAY, two_person=True)
    service.grant(connection, two, code, ONE.link.public, ONE.signing, ONE.sealing, EPOCH_MS)
    assert authority.waiting(connection, AWAY).keys == ()


def test_a_revocation_holds_here_at_once_and_is_signed_later(connection: Connection) -> None:
    asked(connection)
    take(connection, signed(connection))
    facilities.revoke(connection, AWAY, "chu-oran", reason="stolen", actor="cli:a", now_ms=EPOCH_MS)
    assert state(connection) is FacilityState.REVOKED
    assert take(connection, signed(connection)) == Imported(0, 1, ())
    (row,) = store.all_facilities(connection)
    told = recall(row.revocation)
    assert isinstance(told, Revocation)
    assert told.serial == 1
    assert authority.waiting(connection, AWAY).revocations == ()


def test_an_earlier_signed_revocation_stays_until_the_next_is_signed(connection: Connection) -> None:
    asked(connection)
    take(connection, signed(connection))
    facilities.revoke(connection, AWAY, "chu-oran", reason="", actor="cli:a", now_ms=EPOCH_MS)
    take(connection, signed(connection))
    asked(connection, keys=TWO)
    take(connection, signed(connection))
    (before,) = store.all_facilities(connection)
    facilities.revoke(connection, AWAY, "chu-oran", reason="", actor="cli:a", now_ms=EPOCH_MS)
    (after,) = store.all_facilities(connection)
    assert before.revocation
    assert after.revocation == before.revocation
    (wanted,) = authority.waiting(connection, AWAY).revocations
    assert wanted.serial == 2


def renewed(connection: Connection, endorser: SigningPrivateKey = SIGNING) -> authority.RequestFile:
    """Return the requests after chu-oran, which is in, asked for the keys TWO."""
    asked(connection)
    take(connection, signed(connection))
    keys = bytes(TWO.link.public), bytes(TWO.signing), bytes(TWO.sealing)
    text = renewal_text("chu-oran", 1, *keys)
    frame = f.Renew(*keys, SigningPrivateKey(b"\x02" * 32).sign(text), SIGNING.sign(text))
    renewal.renew(connection, AWAY, bytes(ONE.link.public), frame, EPOCH_MS)
    found = authority.waiting(connection, AWAY)
    (wanted,) = found.keys
    return msgspec.structs.replace(
        found, keys=(msgspec.structs.replace(wanted, endorsement=endorser.sign(text)),)
    )


def test_renewed_keys_carry_their_endorsement(connection: Connection) -> None:
    found = authority.sign(AUTHORITY, renewed(connection), EPOCH_MS)
    assert take(connection, authority.encode(found)) == Imported(1, 0, ())
    newest = recall(store.credentials_of(connection, "chu-oran")[0].statement)
    assert isinstance(newest, Credential)
    assert (newest.serial, newest.signing_key) == (2, TWO.signing)


def test_a_hub_cannot_pass_off_keys_as_renewed(connection: Connection) -> None:
    forged = renewed(connection, endorser=SigningPrivateKey(b"\x09" * 32))
    with pytest.raises(WrongFile, match="nothing was signed"):
        authority.sign(AUTHORITY, forged, EPOCH_MS)


def test_keys_that_were_changed_in_the_file_do_not_come_in(connection: Connection) -> None:
    asked(connection)
    found = authority.waiting(connection, AWAY)
    (wanted,) = found.keys
    other = msgspec.structs.replace(wanted, sealing_key=bytes(TWO.sealing))
    content = authority.sign(AUTHORITY, msgspec.structs.replace(found, keys=(other,)), EPOCH_MS)
    done = take(connection, authority.encode(content))
    assert (done.keys, done.left) == (0, ("chu-oran, serial 1: the keys that wait are others",))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"format": 1}'])
def test_other_files_are_named(connection: Connection, content: bytes) -> None:
    with pytest.raises(WrongFile):
        take(connection, content)
    with pytest.raises(WrongFile):
        authority.read_requests(content)


def test_requests_for_another_authority_are_not_signed(connection: Connection) -> None:
    asked(connection)
    with pytest.raises(WrongFile, match="another authority"):
        authority.sign(SigningPrivateKey(b"\x07" * 32), authority.waiting(connection, AWAY), 1)


def test_the_key_leaves_the_home_and_the_hub_knows_its_public_half(tmp_path: Path) -> None:
    home, into = tmp_path / "hub", tmp_path / "authority.key"
    hub_home.make_home(home, {})
    before = hub_home.load_keys(home)
    assert hub_home.detach_authority(home, into) == before.authority_key
    after = hub_home.load_keys(home)
    assert isinstance(after.authority, SigningPublicKey)
    assert (after.authority_key, after.link) == (before.authority_key, before.link)
    assert isinstance(before.authority, SigningPrivateKey)
    secret = before.authority.raw
    assert all(secret not in path.read_bytes() for path in home.iterdir() if path.is_file())
    assert into.stat().st_mode & 0o777 == 0o600
    with pytest.raises(hub_home.HubHomeError):
        hub_home.detach_authority(home, tmp_path / "again")


def test_after_a_restore_no_serial_is_asked_for_that_was_given_before(connection: Connection) -> None:
    """And a revocation that covers what the backup does not know leaves new keys alone."""
    asked(connection)
    take(connection, signed(connection))
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + DAY_MS)
    up_to = facilities.revoke(connection, ISSUER, "chu-oran", reason="stolen", actor="cli:a", now_ms=EPOCH_MS)
    asked(connection, keys=TWO)
    assert take(connection, signed(connection)) == Imported(1, 0, ())
    keys = facilities.one(connection, "chu-oran").keys
    assert keys is not None
    assert keys.serial > up_to
