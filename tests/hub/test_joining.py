"""A one-time code becomes a credential over the link, or the hub says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto import identity
from crypto.fingerprint import in_words, node_fingerprint
from crypto.keys import SigningPrivateKey
from hub.admin import facilities
from hub.directory import store
from protocols.link import frames as f
from protocols.link.joincode import join_proof
from tests.crypto.test_primitives import LOW_ORDER_POINTS
from tests.hub.caller import Caller, invite
from tests.hub.hubs import AUTHORITY, NodeKeys, Rest

ONE = NodeKeys.numbered(1)
SIGNING = SigningPrivateKey(b"\x01" * 32)


def joining(rest: Rest, invitation: tuple[bytes, bytes]) -> Caller:
    caller = Caller(rest, ONE, joining=invitation)
    caller.turn()
    return caller


def join(invitation: bytes, sealing: bytes) -> f.Join:
    signing = bytes(SIGNING.public)
    proof = SIGNING.sign(join_proof(invitation, bytes(ONE.link.public), signing, sealing))
    return f.Join(signing, sealing, proof)


def test_the_holder_of_a_code_gets_its_credential(rest: Rest) -> None:
    invitation = invite(rest, "chu-oran", "cardio")
    caller = joining(rest, invitation)
    caller.say(join(invitation[0], bytes(ONE.sealing)))
    (joined,) = caller.heard(f.Joined)
    credential = identity.verify(joined.credential, AUTHORITY.public)
    assert isinstance(credential, identity.Credential)
    assert (credential.facility, credential.sealing_key) == ("chu-oran", ONE.sealing)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_key_that_nothing_can_be_sealed_for_is_not_certified(rest: Rest, point: bytes) -> None:
    invitation = invite(rest, "chu-oran", "cardio")
    caller = joining(rest, invitation)
    caller.say(join(invitation[0], point))
    end = caller.ended()
    assert (end.reason, end.text.split(":")[0]) == (f.Goodbye.PROTOCOL_FAULT, "malformed")
    caller.lose()
    found = rest.sql(lambda connection: store.find_invitation(connection, invitation[0]))
    assert found is not None
    assert found.used_by is None, "the code still works for a node that is right"


def test_a_wrong_proof_is_refused(rest: Rest) -> None:
    invitation = invite(rest, "chu-oran", "cardio")
    caller = joining(rest, invitation)
    caller.say(join(bytes(16), bytes(ONE.sealing)))
    end = caller.ended()
    assert (end.reason, end.text.split(":")[0]) == (f.Goodbye.PROTOCOL_FAULT, "malformed")


def test_with_two_persons_the_node_is_told_to_wait_and_gets_its_credential_after_the_approval(
    rest: Rest,
) -> None:
    rest.core.issuer = replace(rest.core.issuer, two_person=True)
    invitation = invite(rest, "chu-oran", "cardio")
    for _ in range(2):
        caller = joining(rest, invitation)
        caller.say(join(invitation[0], bytes(ONE.sealing)))
        end = caller.ended()
        assert (end.reason, end.retry_after_s > 0) == (f.Goodbye.PENDING, True)
        assert caller.heard(f.Joined) == []
        caller.lose()
    rest.sql(
        lambda connection: facilities.approve(
            connection,
            rest.core.issuer,
            "chu-oran",
            fingerprint=in_words(node_fingerprint(ONE.link.public, SIGNING.public, ONE.sealing)),
            actor="user:lila",
            now_ms=rest.clock.now_ms(),
        )
    )
    caller = joining(rest, invitation)
    caller.say(join(invitation[0], bytes(ONE.sealing)))
    (joined,) = caller.heard(f.Joined)
    assert isinstance(identity.verify(joined.credential, AUTHORITY.public), identity.Credential)


def test_rejected_keys_hear_so(rest: Rest) -> None:
    rest.core.issuer = replace(rest.core.issuer, two_person=True)
    invitation = invite(rest, "chu-oran", "cardio")
    caller = joining(rest, invitation)
    caller.say(join(invitation[0], bytes(ONE.sealing)))
    assert caller.ended().reason is f.Goodbye.PENDING
    caller.lose()
    rest.sql(
        lambda connection: facilities.reject(
            connection,
            "chu-oran",
            fingerprint=in_words(node_fingerprint(ONE.link.public, SIGNING.public, ONE.sealing)),
            reason="another voice",
            actor="user:lila",
            now_ms=rest.clock.now_ms(),
        )
    )
    caller = joining(rest, invitation)
    caller.say(join(invitation[0], bytes(ONE.sealing)))
    assert caller.ended().reason is f.Goodbye.INVITATION_REFUSED
