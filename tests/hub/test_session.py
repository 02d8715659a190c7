"""One node's session at the hub: who may come in, and who may stay."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, select

from hub.directory import service
from hub.sessions.session import NOTE_AGAIN_S
from hub.spool import ageing
from hub.spool.ageing import Presence, Waiting
from hub.spool.tables import presence
from protocols.link import frames as f
from protocols.link.session import PeerLeft
from runtime.storage_errors import DatabaseLocked
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


# ── its end ────────────────────────────────────────────────────────────────────────────────


class Locked:
    """Stands where presences are noted: the next ``times`` find the database locked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._note = ageing.note_presences
        monkeypatch.setattr(ageing, "note_presences", self._noted)

    def _noted(
        self, connection: Connection, changes: Sequence[Presence], now_ms: int, hub: int
    ) -> list[Waiting | None]:
        if self.times:
            self.times -= 1
            raise DatabaseLocked("the database is locked")
        return self._note(connection, changes, now_ms, hub)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Locked:
    return Locked(monkeypatch)


def connected(rest: Rest) -> bool:
    return bool(rest.sql(lambda c: c.execute(select(presence.c.connected)).scalar_one()))


def pass_on(rest: Rest) -> None:
    rest.time.advance(NOTE_AGAIN_S)
    for _ in range(20):
        rest.time.advance(0)


def test_an_end_that_cannot_be_noted_is_noted_later(rest: Rest, caller: Caller, locked: Locked) -> None:
    """Else the facility counts as connected until it comes again: its mail would not expire."""
    caller.turn()
    locked.times = 2
    caller.lose()
    assert connected(rest)
    pass_on(rest)
    assert (connected(rest), locked.times) == (True, 0)
    pass_on(rest)
    assert not connected(rest)
    assert not rest.time.getDelayedCalls()


def test_an_end_is_not_noted_once_the_node_is_here_again(rest: Rest, caller: Caller, locked: Locked) -> None:
    caller.turn()
    locked.times = 1
    caller.lose()
    Caller(rest, ONE).turn()
    pass_on(rest)
    assert connected(rest)


def test_a_hub_that_goes_down_notes_no_end_again(
    rest: Rest, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.turn()
    rest.run(rest.core.database.close())
    caller.lose()
    pass_on(rest)
    assert [record.message for record in caplog.records].count("presence-not-noted") == 1
