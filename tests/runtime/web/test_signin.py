"""Signing in: delays instead of lock-outs, and sessions that end when they should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

import hub.admin.tables  # noqa: F401 - declares the tables that are tried here
from hub.admin.tables import ACCOUNTS
from hub.metadata import metadata
from runtime.database import open_engine
from runtime.web import accounts, signin
from runtime.web.accounts import User
from runtime.web.signin import ABSOLUTE_MS, FREE_TRIES, IDLE_MS, LONGEST_WAIT_S, Try

NOW = 1_790_000_000_000


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with engine.begin() as opened:
        metadata.create_all(opened)
        accounts.put_user(
            opened, ACCOUNTS, User("amina", "viewer", "x", active=True, created_ms=NOW, signed_in_ms=None)
        )
        yield opened
    engine.dispose()


def attempt(now_ms: int = NOW, *, name: str = "amina", address: str = "10.0.0.1") -> Try:
    return Try(name, address, "Firefox " * 100, now_ms)


def wait_s(connection: Connection, one: Try) -> int:
    return signin.wait_s(connection, ACCOUNTS, one)


def test_after_some_tries_each_next_one_waits_twice_as_long(connection: Connection) -> None:
    now_ms, waits = NOW, []
    for _ in range(FREE_TRIES + 9):
        wait = wait_s(connection, attempt(now_ms))
        waits.append(wait)
        if wait:
            assert wait_s(connection, attempt(now_ms + wait * 1000 - 1)) == 1, "too early by a millisecond"
            now_ms += wait * 1000
            assert wait_s(connection, attempt(now_ms)) == 0, "waiting as told is enough"
    assert waits[:FREE_TRIES] == [0] * FREE_TRIES
    assert waits[FREE_TRIES:] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(waits) == LONGEST_WAIT_S


def test_who_fails_elsewhere_does_not_hold_up_the_owner(connection: Connection) -> None:
    for _ in range(FREE_TRIES):
        wait_s(connection, attempt(address="10.6.6.6"))
    assert wait_s(connection, attempt(address="10.6.6.6")) > 0
    assert wait_s(connection, attempt()) == 0


def test_a_name_that_nobody_has_is_counted_as_well(connection: Connection) -> None:
    for _ in range(FREE_TRIES):
        assert wait_s(connection, attempt(name="nobody")) == 0
    assert wait_s(connection, attempt(name="nobody")) > 0


def test_an_address_that_tries_many_names_waits(connection: Connection) -> None:
    waits = [wait_s(connection, attempt(name=f"name{n}")) for n in range(30)]
    assert waits[0] == 0
    assert waits[-1] > 0


def test_success_and_time_forget_tries_and_a_clock_set_back_is_no_prison(connection: Connection) -> None:
    for _ in range(FREE_TRIES):
        wait_s(connection, attempt())
    signin.begin(connection, ACCOUNTS, attempt())
    assert wait_s(connection, attempt()) == 0
    for _ in range(8):
        wait_s(connection, attempt())
    assert 0 < wait_s(connection, attempt(NOW - 10 * 86_400_000)) <= LONGEST_WAIT_S
    assert wait_s(connection, attempt(NOW + 86_400_000)) == 0


def current(connection: Connection, token: str, now_ms: int) -> str | None:
    found = signin.current(connection, ACCOUNTS, token, now_ms)
    return None if found is None else found[1].name


def test_a_session_ends_when_idle_when_old_and_when_its_user_may_no_longer(connection: Connection) -> None:
    token = signin.begin(connection, ACCOUNTS, attempt())
    assert current(connection, token, NOW + IDLE_MS) == "amina"
    assert current(connection, token, NOW + IDLE_MS + 1) is None
    hashed = signin.hash_of(token)
    for at_ms in range(NOW, NOW + ABSOLUTE_MS + 1, IDLE_MS):
        accounts.seen(connection, ACCOUNTS, hashed, at_ms)
    assert current(connection, token, NOW + ABSOLUTE_MS) == "amina"
    assert current(connection, token, NOW + ABSOLUTE_MS + 1) is None
    accounts.change_user(connection, ACCOUNTS, "amina", active=False)
    assert current(connection, token, NOW + ABSOLUTE_MS) is None


def test_tokens_are_new_each_time_and_not_kept(connection: Connection) -> None:
    tokens = {signin.begin(connection, ACCOUNTS, attempt(NOW + n)) for n in range(3)}
    assert len(tokens) == 3
    kept = accounts.sessions(connection, ACCOUNTS, "amina")
    assert not tokens & {one.token for one in kept}
    assert {len(one.browser) for one in kept} == {signin.BROWSER_CHARS}
    assert current(connection, kept[0].token, NOW) is None, "what the table holds opens nothing"
    for nonsense in ("", "x", "\udc80", "é" * 1000):
        assert current(connection, nonsense, NOW) is None
