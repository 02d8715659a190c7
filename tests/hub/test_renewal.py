"""New keys for a connected node: only it gets them, both sets count for a while, the old not for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from crypto import identity
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from hub.directory import requests, service, store
from protocols.link import frames as f
from protocols.link.joincode import renewal_text
from tests.crypto.test_primitives import LOW_ORDER_POINTS
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import AUTHORITY, DAY_MS, EPOCH_MS, ISSUER, NodeKeys, Rest

ORAN: Final = NodeKeys.numbered(1)
ALGER: Final = NodeKeys.numbered(2)
SIGNING: Final = SigningPrivateKey(b"\x01" * 32)
"""Of ORAN."""


def fresh(number: int) -> tuple[NodeKeys, SigningPrivateKey]:
    seed = bytes((number,)) * 32
    keys = NodeKeys(LinkPrivateKey(seed), SigningPrivateKey(seed).public, SealingPrivateKey(seed).public)
    return keys, SigningPrivateKey(seed)


def renew(
    number: int = 9,
    *,
    serial: int = 1,
    facility: str = "chu-oran",
    endorser: SigningPrivateKey = SIGNING,
    prover: SigningPrivateKey | None = None,
    sealing: bytes | None = None,
) -> f.Renew:
    keys, signing = fresh(number)
    link, signs = bytes(keys.link.public), bytes(keys.signing)
    seals = bytes(keys.sealing) if sealing is None else sealing
    text = renewal_text(facility, serial, link, signs, seals)
    return f.Renew(link, signs, seals, (prover or signing).sign(text), endorser.sign(text))


def connected(rest: Rest, keys: NodeKeys = ORAN) -> Caller:
    caller = Caller(rest, keys)
    caller.turn()
    return caller


@pytest.fixture
def caller(rest: Rest) -> Caller:
    enrol(rest, "chu-oran", ORAN, "labo")
    enrol(rest, "chu-alger", ALGER, "labo")
    return connected(rest)


def certified(answer: f.Renewed) -> identity.Credential:
    found = identity.verify(answer.credential, AUTHORITY.public)
    assert isinstance(found, identity.Credential)
    return found


def test_a_node_gets_a_credential_for_its_new_keys_once(rest: Rest, caller: Caller) -> None:
    caller.say(renew())
    caller.say(renew())
    one, two = caller.heard(f.Renewed)
    keys, _ = fresh(9)
    found = certified(one)
    assert (found.facility, found.serial) == ("chu-oran", 2)
    assert (found.link_key, found.signing_key, found.sealing_key) == (
        keys.link.public, keys.signing, keys.sealing,
    )  # fmt: skip
    assert one == two, "asked again, the same answer"
    assert rest.sql(lambda c: len(store.credentials_of(c, "chu-oran"))) == 2


def test_it_needs_no_second_person(rest: Rest, caller: Caller) -> None:
    rest.core.issuer = replace(rest.core.issuer, two_person=True)
    caller.say(renew())
    (answer,) = caller.heard(f.Renewed)
    assert certified(answer).serial == 2


def test_others_hear_of_it_before_the_node_does(rest: Rest, caller: Caller) -> None:
    other = connected(rest, ALGER)
    other.say(f.DirectoryWanted(rest.core.view.version))
    other.heard(f.Directory)
    caller.say(renew())
    assert caller.heard(f.Renewed)
    other.turn()
    (told,) = other.heard(f.Directory)
    (entry,) = told.entries
    assert len(entry.statements) == 2, "the new credential and the one before"


@pytest.mark.parametrize(
    "wrong",
    [
        renew(endorser=SigningPrivateKey(b"\x07" * 32)),
        renew(endorser=fresh(9)[1]),
        renew(prover=SIGNING),
        renew(facility="chu-alger"),
        renew(serial=2),
        renew(sealing=LOW_ORDER_POINTS[0]),
        renew(serial=0),
    ],
    ids=["stranger", "own word", "no proof", "other facility", "other serial", "low order", "serial 0"],
)
def test_who_cannot_sign_gets_nothing(rest: Rest, caller: Caller, wrong: f.Renew) -> None:
    caller.say(wrong)
    end = caller.ended()
    assert (end.reason, end.text.split(":")[0]) == (f.Goodbye.PROTOCOL_FAULT, "malformed")
    assert rest.sql(lambda c: len(store.credentials_of(c, "chu-oran"))) == 1
    assert rest.sql(requests.waiting) == []


def test_another_facilitys_link_key_is_not_taken(rest: Rest, caller: Caller) -> None:
    stolen = bytes(ALGER.link.public)
    keys, signing = fresh(9)
    text = renewal_text("chu-oran", 1, stolen, bytes(keys.signing), bytes(keys.sealing))
    caller.say(
        f.Renew(stolen, bytes(keys.signing), bytes(keys.sealing), signing.sign(text), SIGNING.sign(text))
    )
    (answer,) = caller.heard(f.Renewed)
    assert (answer.credential, answer.code) == (b"", "renewal-refused")
    assert rest.core.view.whose(stolen)[0] == "chu-alger"


def test_both_keys_open_sessions_until_the_new_one_did(rest: Rest, caller: Caller) -> None:
    caller.say(renew())
    caller.lose()
    again = connected(rest)
    assert not again.heard(f.End), "the node may not have got the answer"
    again.say(f.Ping(1))
    assert again.heard(f.Pong)
    again.lose()
    newer = connected(rest, fresh(9)[0])
    newer.say(f.Ping(1))
    assert newer.heard(f.Pong)
    newer.lose()
    old = connected(rest)
    assert old.ended().reason is f.Goodbye.UNKNOWN_KEY
    again = connected(rest, fresh(9)[0])
    again.say(f.Ping(2))
    assert again.heard(f.Pong)


def test_a_third_set_waits_until_nothing_signed_with_the_first_is_under_way(
    rest: Rest, caller: Caller
) -> None:
    caller.say(renew())
    caller.lose()
    keys, signing = fresh(9)
    newer = connected(rest, keys)
    newer.say(renew(10, serial=2, endorser=signing))
    (answer,) = newer.heard(f.Renewed)
    assert (answer.credential, answer.code) == (b"", "renewal-early")
    rest.time.advance(91 * DAY_MS / 1000)
    newer = connected(rest, keys)
    newer.say(renew(10, serial=2, endorser=signing))
    (answer,) = newer.heard(f.Renewed)
    assert certified(answer).serial == 3


def test_revoked_keys_renew_nothing(rest: Rest, caller: Caller) -> None:
    """Between the revocation and the end of its session a thief asks for keys that would outlive it."""
    rest.sql(lambda c: service.revoke(c, ISSUER, "chu-oran", "stolen", EPOCH_MS))
    caller.say(renew())
    assert [answer.code for answer in caller.heard(f.Renewed)] == ["renewal-refused"]
    assert rest.sql(lambda c: store.credentials_of(c, "chu-oran")) == []


def test_without_the_authority_the_request_waits_and_is_kept_once(rest: Rest, caller: Caller) -> None:
    rest.core.issuer = replace(rest.core.issuer, authority=AUTHORITY.public)
    caller.say(renew(9))
    caller.say(renew(10))
    assert [(a.credential, a.code) for a in caller.heard(f.Renewed)] == [(b"", ""), (b"", "")]
    (waiting,) = rest.sql(requests.waiting)
    assert waiting.link_key == fresh(10)[0].link.public, "what was asked for before is not wanted any more"
    assert waiting.proof


def test_asking_without_end_ends_the_session(rest: Rest, caller: Caller) -> None:
    caller.say(*[renew()] * 17)
    assert caller.ended().reason is f.Goodbye.PROTOCOL_FAULT
