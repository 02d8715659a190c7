"""Passkeys in the console: made by who knows the password, in nobody else's name, gone when removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from hub.admin import tokens, users
from hub.admin.tables import PASSKEYS
from hub.audit.tables import audit
from runtime.transactions import read, transact
from runtime.web import passkeys
from runtime.web.passkeys import EACH
from runtime.web.signin import FREE_TRIES
from tests.hub.admin.consoles import PORT, Browser, open_console
from tests.hub.admin.network import PASSWORD
from tests.hub.admin.programs import add_token
from tests.hub.hubs import EPOCH_MS
from tests.runtime.web.authenticator import Authenticator

Opened = tuple[Browser, Browser, Engine]
ORIGIN = f"http://localhost:{PORT}"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Yield two browsers, the first with a viewer signed in, and the database."""
    with open_console(tmp_path) as (app, _, engine):
        browser = Browser(app)
        browser.sign_in("viewer")
        yield browser, Browser(app), engine


def add(browser: Browser, key: Authenticator, label: str = "blue key", password: str = PASSWORD) -> int:
    answer = key.create(browser.get("/account/passkeys").text)
    values = {"label": label, "passkey-password": password, "answer": answer}
    return browser.post("/account/passkeys", values).status_code


def enter(browser: Browser, key: Authenticator, **values: str) -> int:
    browser.get("/sign-in")
    answer = key.get(browser.get("/sign-in/passkey").text)
    return browser.post("/sign-in/passkey", {"answer": answer, **values}, "/sign-in").status_code


def acts(engine: Engine) -> list[tuple[str, str, str]]:
    rows = read(engine, lambda c: c.execute(select(audit.c.actor, audit.c.action, audit.c.subject)).all())
    return [tuple(row) for row in rows]


def test_a_passkey_signs_in_without_name_or_password(opened: Opened) -> None:
    browser, other, engine = opened
    key = Authenticator(ORIGIN, uses=1)
    assert add(browser, key) == 303
    assert "blue key" in browser.get("/account").text
    assert enter(other, key) == 303
    assert "viewer" in other.get("/account").text
    assert ("user:viewer", "passkey.added", "viewer") in acts(engine)
    assert acts(engine)[-1] == ("user:viewer", "sign-in.done", "viewer")


def test_who_found_a_browser_open_cannot_make_one(opened: Opened) -> None:
    browser, _, engine = opened
    assert add(browser, Authenticator(ORIGIN), password="wrong one, sorry") == 422
    assert read(engine, lambda c: passkeys.of_user(c, PASSKEYS, "viewer")) == []


def test_a_session_is_no_place_to_guess_the_password_in(opened: Opened) -> None:
    browser, other, engine = opened
    form = {"password": "a long enough one"}
    for _ in range(FREE_TRIES - 1):
        assert browser.post("/account/password", {**form, "old": "a guess"}).status_code == 422
    assert add(browser, Authenticator(ORIGIN), password="another guess") == 422
    assert add(browser, Authenticator(ORIGIN)) == 429
    early = browser.post("/account/password", {**form, "old": PASSWORD})
    assert (early.status_code, early.headers["Retry-After"]) == (429, "1")
    assert acts(engine).count(("user:viewer", "password.refused", "viewer")) == FREE_TRIES
    assert other.sign_in("viewer").status_code == 303


@pytest.mark.parametrize("label", ["", "x" * 61, "a\nb", "\u202eabc"])
def test_a_passkey_needs_a_name(opened: Opened, label: str) -> None:
    assert add(opened[0], Authenticator(ORIGIN), label=label) == 422


def test_a_name_is_shown_as_it_is(opened: Opened) -> None:
    browser, _, _ = opened
    assert add(browser, Authenticator(ORIGIN), label="<script>alert(1)</script>") == 303
    assert "<script>alert" not in browser.get("/account").text


def test_there_are_not_endlessly_many(opened: Opened) -> None:
    browser, _, _ = opened
    assert [add(browser, Authenticator(ORIGIN)) for _ in range(EACH + 1)] == [303] * EACH + [422]


def test_the_same_one_is_not_taken_twice(opened: Opened) -> None:
    browser, other, _ = opened
    key = Authenticator(ORIGIN)
    assert add(browser, key) == 303
    other.sign_in("operator")
    assert add(other, key) == 422
    assert enter(other, key) == 401, "its handle is another user's now"


def test_removed_it_signs_in_nobody(opened: Opened) -> None:
    browser, other, engine = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    other.sign_in("operator")
    assert other.post("/account/passkeys/remove", {"passkey": key.id.hex()}).status_code == 404, "not theirs"
    assert browser.post("/account/passkeys/remove", {"passkey": key.id.hex()}).status_code == 303
    assert browser.post("/account/passkeys/remove", {"passkey": key.id.hex()}).status_code == 404
    assert browser.post("/account/passkeys/remove", {"passkey": "zz"}).status_code == 404
    assert enter(other, key) == 401
    assert ("user:viewer", "passkey.removed", "viewer") in acts(engine)


def test_an_administrator_takes_a_lost_one_away(opened: Opened) -> None:
    browser, other, engine = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    other.sign_in("administrator")
    assert "blue key" in other.get("/users/viewer").text
    assert other.post("/users/viewer/passkeys/remove", {"passkey": key.id.hex()}).status_code == 303
    assert ("user:administrator", "passkey.removed", "viewer") in acts(engine)


def test_a_password_that_somebody_else_sets_puts_out_whoever_had_the_account(opened: Opened) -> None:
    """Of what was made with the password before, nothing counts; one's own new one takes nothing away."""
    browser, other, engine = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    theirs = add_token(engine, "nightly", "viewer", maker="user:viewer")
    another = add_token(engine, "weekly", "viewer", maker="cli:viewer")

    def counts(secret: str) -> bool:
        return read(engine, lambda c: tokens.holder(c, secret, EPOCH_MS)) is not None

    mine = {"old": PASSWORD, "password": "mine, all the same"}
    assert browser.post("/account/password", mine).status_code == 303
    assert (counts(theirs), len(read(engine, lambda c: passkeys.of_user(c, PASSKEYS, "viewer")))) == (True, 1)
    other.sign_in("administrator")
    other.get("/?lang=en")
    assert "withdraws the user's API tokens and passkeys" in other.get("/users/viewer").text
    assert "withdraws the user" not in other.get("/users/administrator").text
    done = other.post("/users/viewer/password", {"password": "something else entirely"})
    assert done.status_code == 303
    assert "passkeys that the user had count no more" in other.get(done.location).text
    assert browser.get("/account").status_code == 303, "signed out"
    assert enter(browser, key) == 401
    assert (counts(theirs), counts(another)) == (False, True)
    told = [("token.revoked", "nightly"), ("passkey.removed", "viewer"), ("user.password", "viewer")]
    assert [("user:administrator", *one) for one in told] == [
        one for one in acts(engine) if one[0] == "user:administrator" and one[1] != "sign-in.done"
    ]


def test_who_is_switched_off_is_not_let_in(opened: Opened) -> None:
    browser, other, engine = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    transact(engine, lambda c: users.switch(c, "viewer", active=False, actor="cli:t", now_ms=EPOCH_MS))
    assert enter(other, key) == 401
    assert ("hub", "sign-in.refused", "viewer") in acts(engine)


def test_an_answer_that_was_overheard_lets_nobody_in(opened: Opened) -> None:
    browser, other, _ = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    other.get("/sign-in")
    answer = key.get(other.get("/sign-in/passkey").text)
    browser.post("/sign-out", {})
    assert browser.post("/sign-in/passkey", {"answer": answer}, "/sign-in").status_code == 401, "elsewhere"
    assert other.post("/sign-in/passkey", {"answer": answer}, "/sign-in").status_code == 303
    assert other.post("/sign-in/passkey", {"answer": answer}).status_code == 401, "again"


def test_strangers_leave_no_line_and_have_to_wait(opened: Opened) -> None:
    _, other, engine = opened
    stranger = Authenticator(ORIGIN, rp_id="localhost")
    before = acts(engine)
    codes = [enter(other, stranger) for _ in range(21)]
    assert (codes[0], codes[-1]) == (401, 429)
    assert acts(engine) == before


def test_who_signs_in_often_does_not_hold_up_the_others_of_an_address(opened: Opened) -> None:
    browser, other, _ = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    assert {enter(other, key) for _ in range(21)} == {303}


def test_an_answer_that_is_no_base64_is_no_answer(opened: Opened) -> None:
    _, other, _ = opened
    other.get("/sign-in")
    answer = '{"rawId": "a", "response": {}}'
    assert other.post("/sign-in/passkey", {"answer": answer}, "/sign-in").status_code == 401


@pytest.mark.parametrize(("asked", "goes"), [("/queues", "/queues"), ("//evil.example", "/")])
def test_after_signing_in_one_stays_on_this_site(opened: Opened, asked: str, goes: str) -> None:
    browser, other, _ = opened
    key = Authenticator(ORIGIN)
    add(browser, key)
    other.get("/sign-in")
    answer = key.get(other.get("/sign-in/passkey").text)
    entered = other.post("/sign-in/passkey", {"answer": answer, "next": asked}, "/sign-in")
    assert entered.location == goes


def test_without_a_name_that_browsers_trust_there_are_none(tmp_path: Path) -> None:
    with open_console(tmp_path, origin="http://console.example") as (app, _, _):
        browser = Browser(app, "http://console.example")
        assert "data-passkey" not in browser.get("/sign-in").text
        assert browser.get("/sign-in/passkey").status_code == 404
