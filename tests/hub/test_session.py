"""One node's session at the hub: who may come in, and who may stay."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from hub.directory import service
from hub.spool.tables import presence
from protocols.link import frames as f
from protocols.link.session import PeerLeft
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import EPOCH_MS, ISSUER, NodeKeys, Rest

ONE = NodeKeys.numbered(1)


@pytest.fixture
def caller(rest: Rest) -> Caller:
    enrol(rest, "chu-oran", ONE, "cardio")
    return Caller(rest, ONE)


def revoke(rest: Rest) -> None:
    def operation(connection: Connection) -> None:
        service.revoke(connection, ISSUER, "chu-oran", "stolen", EPOCH_MS)

    rest.sql(operation)
    rest.run(rest.core.reload_directory())


def test_a_node_comes_in(rest: Rest, caller: Caller) -> None:
    caller.turn()
    caller.say(f.DirectoryWanted(0))
    (directory,) = caller.heard(f.Directory)
    assert [entry.name for entry in directory.entries] == ["chu-oran"]
    assert rest.core.sessions.get("chu-oran") is not None
    caller.lose()
    assert len(rest.core.sessions) == 0


def test_whatever_a_node_calls_its_software_it_comes_in(rest: Rest, caller: Caller) -> None:
    """No text of PostgreSQL's holds a NUL."""
    caller.turn()
    odd = Caller(rest, ONE, software="wasl\0node ü")
    odd.turn()
    assert odd.heard(PeerLeft) == []
    assert rest.sql(lambda c: c.execute(select(presence.c.software)).scalar_one()) == "waslnode ü"


def test_who_is_revoked_during_the_handshake_does_not_come_in(rest: Rest, caller: Caller) -> None:
    """The key was good at HELLO. No session was there to be told of the change."""
    caller.tell()
    assert caller.listen(), "WELCOME"
    revoke(rest)
    caller.say(f.DirectoryWanted(0))
    assert caller.ended().reason is f.Goodbye.REVOKED
    assert caller.heard(f.Directory) == []
    assert len(rest.core.sessions) == 0


def test_who_is_revoked_in_a_session_is_told_to_go(rest: Rest, caller: Caller) -> None:
    caller.turn()
    revoke(rest)
    caller.turn()
    assert caller.ended().reason is f.Goodbye.REVOKED
    caller.lose()
    assert len(rest.core.sessions) == 0
