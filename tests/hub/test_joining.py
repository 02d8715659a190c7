"""A one-time code becomes a credential over the link, or the hub says why not."""

from __future__ import annotations

import pytest

from crypto import identity
from crypto.keys import SigningPrivateKey
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
