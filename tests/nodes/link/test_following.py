"""A node follows the keys of its network: durably, on the authority's word alone, and is not locked out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from crypto import identity as statements
from crypto import trust as changes
from crypto.errors import BadStatement
from crypto.keys import LinkPrivateKey, SigningPrivateKey
from crypto.trust import Subject, TrustChange
from nodes.link import addressbook, facts, identity, keyfiles
from nodes.link.following import CALL_AGAIN_S, TRY_AGAIN_S
from protocols.link import frames as f
from protocols.link.entries import DirectoryEntry
from protocols.link.trustfile import encode_trust_file
from tests.nodes.fixtures import HERE
from tests.nodes.link.hub_end import HubEnd

NEXT_LINK = LinkPrivateKey(bytes((71,)) * 32)
SUCCESSOR = SigningPrivateKey(bytes((72,)) * 32)
THIEF = SigningPrivateKey(bytes((73,)) * 32)


def change(
    hub: HubEnd, serial: int, subject: Subject, key: bytes, by: SigningPrivateKey | None = None
) -> bytes:
    signer = by or hub.station.network.authority
    return changes.issue(signer, TrustChange("hub", serial, subject, key, 1))


def linked(hub: HubEnd, serial: int = 1) -> bytes:
    return change(hub, serial, Subject.LINK, bytes(NEXT_LINK.public))


def succeeded(hub: HubEnd, serial: int = 1) -> bytes:
    return change(hub, serial, Subject.AUTHORITY, bytes(SUCCESSOR.public))


def told(*blobs: bytes) -> f.Directory:
    return f.Directory((), complete=True, trust=blobs)


def on_disk(hub: HubEnd) -> identity.Identity:
    home = hub.station.home
    if not (home / keyfiles.KEYS).exists():
        keyfiles.save_keys(home, hub.core.identity.keys)
    return identity.load_identity(home)


def alarms(hub: HubEnd) -> list[str]:
    return [code for _, code, _ in hub.station.do(partial(facts.latest_alarms, limit=9))]


def call_again(hub: HubEnd) -> None:
    """Let the time pass in which the node parts and calls again."""
    calls = hub.calls
    for _ in range(200):
        hub.turn()
        if hub.calls > calls and hub.uplink.connected:
            return
        hub.station.advance(0.5)
    raise AssertionError("the node did not come back")


# ── the hub's link key ─────────────────────────────────────────────────────────────────────


def test_the_node_moves_to_the_new_key_once_the_hub_has_answered_by_it(hub: HubEnd) -> None:
    old = hub.core.identity.hub_key
    hub.keys = NEXT_LINK, *hub.keys
    hub.say(told(linked(hub)))
    assert (hub.core.identity.hub_key, hub.core.identity.hub_key_next) == (old, NEXT_LINK.public)
    assert on_disk(hub).hub_key_next == NEXT_LINK.public, "kept before it is used"
    call_again(hub)
    assert hub.called_by == NEXT_LINK.public
    assert hub.hellos[-1].trust == 1
    for found in (hub.core.identity, on_disk(hub)):
        assert (found.hub_key, found.hub_key_next, found.trust_serial) == (NEXT_LINK.public, None, 1)
    hub.keys = (NEXT_LINK,)
    hub.again()
    assert hub.uplink.connected
    assert alarms(hub) == []


def test_a_node_that_heard_too_early_goes_on_by_the_old_key(hub: HubEnd) -> None:
    """One of several hub processes does not have the new key yet."""
    hub.say(told(linked(hub)))
    call_again(hub)
    assert hub.called_by == hub.core.identity.hub_key
    assert hub.core.identity.hub_key_next == NEXT_LINK.public
    hub.keys = NEXT_LINK, *hub.keys
    hub.station.advance(TRY_AGAIN_S + 10, step_s=5)
    call_again(hub)
    assert hub.core.identity.hub_key == NEXT_LINK.public


@pytest.mark.parametrize("signer", [THIEF, SUCCESSOR])
def test_a_key_that_the_authority_did_not_name_is_an_alarm_and_nothing_else(
    hub: HubEnd, signer: SigningPrivateKey
) -> None:
    before = hub.core.identity
    hub.say(told(change(hub, 1, Subject.LINK, bytes(NEXT_LINK.public), signer)))
    assert hub.core.identity is before
    assert alarms(hub) == ["trust-refused"]
    hub.station.advance(CALL_AGAIN_S + 5)
    hub.turn()
    assert hub.uplink.connected
    assert hub.called_by == before.hub_key


def test_a_node_that_was_away_all_the_time_finds_back_by_a_file(hub: HubEnd) -> None:
    hub.keys = (NEXT_LINK,)
    hub.lose()
    hub.station.advance(60)
    hub.turn()
    assert not hub.uplink.connected
    (hub.station.home / identity.TRUST_NEXT).write_bytes(encode_trust_file("hub", (linked(hub),)))
    hub.uplink.look_at_trust()
    call_again(hub)
    assert hub.core.identity.hub_key == NEXT_LINK.public
    assert not (hub.station.home / identity.TRUST_NEXT).exists()


@pytest.mark.parametrize("content", [b"{}", b"", b"{" * 100_000])
def test_a_file_that_is_none_is_an_alarm(hub: HubEnd, content: bytes) -> None:
    before = hub.core.identity
    (hub.station.home / identity.TRUST_NEXT).write_bytes(content)
    hub.uplink.look_at_trust()
    hub.turn()
    assert hub.core.identity is before
    assert alarms(hub) == ["trust-refused"]


def test_a_file_of_another_network_is_an_alarm(hub: HubEnd) -> None:
    before = hub.core.identity
    file = encode_trust_file("hub", (change(hub, 1, Subject.LINK, bytes(NEXT_LINK.public), THIEF),))
    (hub.station.home / identity.TRUST_NEXT).write_bytes(file)
    hub.uplink.look_at_trust()
    hub.turn()
    assert hub.core.identity is before
    assert alarms(hub) == ["trust-refused"]


# ── the authority's key ────────────────────────────────────────────────────────────────────


def again(hub: HubEnd, facility: str, by: SigningPrivateKey) -> DirectoryEntry:
    """Return an entry as it is, signed by another authority."""
    entry = hub.station.network.entry(facility, ("labo",), version=5)
    signed = tuple(statements.sign_again(blob, by) for blob in entry.statements)
    return msgspec.structs.replace(entry, statements=signed)


def test_what_the_successor_signed_again_is_the_same(hub: HubEnd) -> None:
    before = hub.core.trust.of_serial("chu-oran", 1)
    entries = again(hub, "chu-oran", SUCCESSOR), again(hub, HERE, SUCCESSOR)
    hub.say(f.Directory((), complete=False, trust=(succeeded(hub),)), f.Directory(entries, complete=True))
    assert alarms(hub) == []
    assert hub.core.trust.of_serial("chu-oran", 1) == before
    found = on_disk(hub)
    assert found.authorities == (SUCCESSOR.public, hub.station.network.authority.public)
    statements.verify(found.credential_blob, SUCCESSOR.public)


def test_both_authorities_count_until_the_old_one_is_retired(hub: HubEnd) -> None:
    hub.say(told(succeeded(hub)))
    fresh = hub.station.network.entry("eph-tenes", ("labo",), version=6)
    hub.say(f.Directory((fresh,), complete=True))
    assert hub.core.trust.of_serial("eph-tenes", 1) is not None
    old = hub.station.network.authority.public
    hub.say(told(change(hub, 2, Subject.RETIRED, bytes(old), SUCCESSOR)))
    assert hub.core.identity.authorities == (SUCCESSOR.public,)
    late = hub.station.network.entry("eph-late", ("labo",), version=7)
    hub.say(f.Directory((late,), complete=True))
    assert alarms(hub) == ["directory"]
    assert hub.core.trust.of_serial("eph-late", 1) is None
    # What was verified before stays: it is signed again soon, and damaged it is not.
    hub.again()
    assert hub.core.trust.of_serial("eph-tenes", 1) is not None
    assert hub.station.do(
        lambda c: addressbook.credentials_of(c, "eph-tenes", *hub.core.identity.known_authorities)
    )


def test_the_authority_before_names_nobody_any_more(hub: HubEnd) -> None:
    """Who steals the old key after the succession gets nowhere with it."""
    hub.say(told(succeeded(hub)))
    before = hub.core.identity
    hub.say(told(change(hub, 2, Subject.AUTHORITY, bytes(THIEF.public))))
    assert hub.core.identity is before
    assert alarms(hub) == ["trust-refused"]


def test_an_identity_without_changes_is_written_as_ever(hub: HubEnd, tmp_path: Path) -> None:
    """So that a node that was never told of any can go back to the program before."""
    identity.save_identity(tmp_path, hub.core.identity)
    assert b"trust" not in (tmp_path / "identity.json").read_bytes()
    keyfiles.save_keys(tmp_path, hub.core.identity.keys)
    assert identity.load_identity(tmp_path).trust_serial == 0


def test_following_is_all_or_nothing(hub: HubEnd) -> None:
    before = hub.core.identity
    with pytest.raises(BadStatement):
        before.following([linked(hub), change(hub, 2, Subject.LINK, bytes(NEXT_LINK.public), THIEF)])
    assert before.trust_serial == 0
