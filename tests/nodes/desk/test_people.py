"""Accounts of the desk: who is made, changed, switched off; codes from a phone; the journal."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select, text

from nodes.desk import audit, people, totp
from nodes.desk.audit import Wanted
from nodes.desk.people import NewUser
from nodes.desk.roles import Role
from nodes.desk.tables import audit as audit_table
from nodes.desk.totp import STEP_MS, Kept
from runtime.web.passwords import Passwords
from tests.nodes.desk.desks import PASSWORD, Browser, Ward
from tests.nodes.fixtures import EPOCH_MS
from tests.runtime.web.authenticator import Authenticator

NEW = {"name": "amina", "title": "Dr Amina Benali", "role": "clinician", "password": "a long enough one",
       "departments": ["cardio"]}  # fmt: skip


def test_users_are_made_changed_and_switched_off(ward: Ward) -> None:
    admin, other = ward.browser(Role.ADMINISTRATOR), Browser(ward.app)
    assert admin.post("/users", NEW).status_code == 303
    assert admin.post("/users", NEW).status_code == 422
    for wrong in (
        {"name": "BAD"},
        {"name": "x", "role": "king"},
        {"name": "y", "password": "short"},
        {"name": "z", "departments": ["labo", "nowhere"]},
    ):
        assert admin.post("/users", {**NEW, **wrong}).status_code == 422
    other.sign_in("amina", "a long enough one")
    assert other.get("/d/cardio").status_code == 200
    assert other.get("/d/labo").status_code == 404
    changed = {"title": "Dr A. Benali", "role": "clinician", "departments": ["labo"]}
    assert admin.post("/users/amina/change", changed).status_code == 303
    assert other.get("/d/cardio").status_code == 404, "without a new session"
    assert other.get("/d/labo").status_code == 200
    assert admin.post("/users/amina/change", {**changed, "role": "nurse"}).status_code == 303
    assert other.get("/d/labo").status_code == 303, "another role begins with another session"
    other.sign_in("amina", "a long enough one")
    assert admin.post("/users/amina/switch", {"active": "0"}).status_code == 303
    assert other.get("/d/labo").status_code == 303
    assert other.sign_in("amina", "a long enough one").status_code == 401
    last = {"title": "x", "role": "nurse"}
    assert admin.post("/users/administrator/change", last).status_code == 422
    assert admin.post("/users/administrator/switch", {"active": "0"}).status_code == 422


@pytest.mark.parametrize("path", ["/users", "/users/nurse/password"])
def test_who_may_no_longer_while_a_password_is_hashed_changes_nothing(
    ward: Ward, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes its time, and waits for others': another one switches this administrator off."""
    admin = ward.browser(Role.ADMINISTRATOR)
    hashed = Passwords.hash

    def switch(connection: Connection) -> None:
        other = NewUser("lila", "Lila", Role.ADMINISTRATOR, "hash")
        people.add(connection, other, actor="cli:root", now_ms=EPOCH_MS)
        people.switch(connection, "administrator", active=False, actor="user:lila", now_ms=EPOCH_MS)

    def then_hash(self: Passwords, name: str, password: str) -> str:
        ward.desk.change(switch)
        return hashed(self, name, password)

    monkeypatch.setattr(Passwords, "hash", then_hash)
    answer = admin.post(path, {**NEW, "role": "administrator"})
    monkeypatch.undo()
    assert (answer.status_code, answer.location) == (303, path.removesuffix("/password"))
    assert "amina" not in {user.name for user in ward.desk.read(people.everybody)}
    assert Browser(ward.app).sign_in("nurse").status_code == 303
    assert admin.get("/users").status_code == 303, "and is signed out"


def test_a_passkey_signs_in_and_the_journal_tells(ward: Ward) -> None:
    """The console's rules (``tests/hub/admin/test_passkeys.py``), on the desk's own tables and journal."""
    browser, other, key = ward.browser(Role.NURSE), Browser(ward.app), Authenticator("http://localhost:7612")

    def enter() -> int:
        other.get("/sign-in")
        answer = key.get(other.get("/sign-in/passkey").text)
        return other.post("/sign-in/passkey", {"answer": answer}, "/sign-in").status_code

    made = key.create(browser.get("/account/passkeys").text)
    values = {"label": "blue key", "passkey-password": "not this one", "answer": made}
    assert browser.post("/account/passkeys", values).status_code == 422
    assert browser.post("/account/passkeys", {**values, "passkey-password": PASSWORD}).status_code == 303
    assert enter() == 303
    assert other.get("/d/urgences").status_code == 200
    admin = ward.browser(Role.ADMINISTRATOR)
    assert admin.post("/users/nurse/switch", {"active": "0"}).status_code == 303
    assert enter() == 401
    assert admin.post("/users/nurse/passkeys/remove", {"passkey": key.id.hex()}).status_code == 303
    assert admin.post("/users/nurse/passkeys/remove", {"passkey": key.id.hex()}).status_code == 404
    told = ward.desk.read(lambda c: audit.page(c, Wanted(subject="nurse")))
    assert [(one.actor, one.action) for one in reversed(told)][-5:] == [
        ("user:nurse", "passkey.added"), ("user:nurse", "sign-in.done"),
        ("user:administrator", "user.deactivated"), ("desk", "sign-in.refused"),
        ("user:administrator", "passkey.removed"),
    ]  # fmt: skip


def test_a_password_of_an_administrator_takes_passkeys_away_ones_own_does_not(ward: Ward) -> None:
    """Whoever had got into the account is out, whatever they made there; as at the hub's console."""
    browser, other, key = ward.browser(Role.NURSE), Browser(ward.app), Authenticator("http://localhost:7612")

    def enter() -> int:
        other.get("/sign-in")
        answer = key.get(other.get("/sign-in/passkey").text)
        return other.post("/sign-in/passkey", {"answer": answer}, "/sign-in").status_code

    made = key.create(browser.get("/account/passkeys").text)
    values = {"label": "blue key", "passkey-password": PASSWORD, "answer": made}
    assert browser.post("/account/passkeys", values).status_code == 303
    own = {"old": PASSWORD, "password": "one that I chose"}
    assert browser.post("/account/password", own).status_code == 303
    assert enter() == 303
    admin = ward.browser(Role.ADMINISTRATOR)
    assert admin.post("/users/nurse/password", {"password": "one that was given"}).status_code == 303
    assert enter() == 401
    told = ward.desk.read(lambda c: audit.page(c, Wanted(subject="nurse")))
    assert [(one.actor, one.action) for one in reversed(told)][-2:] == [
        ("user:administrator", "passkey.removed"), ("user:administrator", "user.password"),
    ]  # fmt: skip


def test_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, SHA-1, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    told = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {at_s: totp.code(secret, at_s // 30) for at_s in told} == told


@pytest.mark.parametrize("around", [-2, -1, 0, 1, 2])
def test_a_code_counts_around_its_time_and_once(around: int) -> None:
    kept = Kept("GEZDGNBVGY3TQOJQ", confirmed=True, last=0)
    now_ms = 1_790_000_000_000
    step = now_ms // STEP_MS + around
    found = totp.step_of(kept, totp.code(kept.secret, step), now_ms)
    assert found == (step if abs(around) <= 1 else None)
    assert (
        totp.step_of(Kept(kept.secret, confirmed=True, last=step), totp.code(kept.secret, step), now_ms)
        is None
    )
    assert totp.step_of(kept, "", now_ms) is None
    assert totp.step_of(kept, "٠١٢٣٤٥", now_ms) is None


def code_of(ward: Ward, name: str) -> str:
    kept = ward.desk.read(lambda c: totp.find(c, name))
    assert kept is not None
    return totp.code(kept.secret, ward.desk.clock.now_ms() // STEP_MS)


def test_a_code_is_asked_for_after_the_password(ward: Ward) -> None:
    browser = ward.browser(Role.NURSE)
    page = browser.get("/account/code").text
    assert "<svg" in page
    assert " style=" not in page
    assert browser.post("/account/code", {"code": "000000"}, "/account/code").status_code == 422
    assert browser.post("/account/code", {"code": code_of(ward, "nurse")}, "/account/code").status_code == 303
    other = Browser(ward.app)
    assert other.get("/sign-in/code").location == "/sign-in", "nobody said a password"
    assert other.sign_in("nurse").location == "/sign-in/code"
    assert other.get("/d/urgences").status_code == 303, "a password alone opens nothing now"
    used = other.post("/sign-in/code", {"code": code_of(ward, "nurse")}, "/sign-in/code")
    assert used.status_code == 401, "the code that was given just now counts no more"
    ward.station.time.advance(60)
    assert other.post("/sign-in/code", {"code": code_of(ward, "nurse")}, "/sign-in/code").status_code == 303
    assert other.get("/d/urgences").status_code == 200
    guesses = Browser(ward.app)
    guesses.sign_in("nurse")
    answers = [
        guesses.post("/sign-in/code", {"code": "123456"}, "/sign-in/code").status_code for _ in range(4)
    ]
    assert answers == [401, 401, 401, 429]
    ward.station.time.advance(301)
    assert guesses.get("/sign-in/code").location == "/sign-in", (
        "after five minutes the password is asked again"
    )
    ward.browser(Role.ADMINISTRATOR).post("/users/nurse/code/remove", {})
    assert Browser(ward.app).sign_in("nurse").location == "/"


def test_a_password_that_was_set_after_it_was_said_lets_no_code_follow(ward: Ward) -> None:
    browser = ward.browser(Role.NURSE)
    browser.get("/account/code")
    browser.post("/account/code", {"code": code_of(ward, "nurse")}, "/account/code")
    other = Browser(ward.app)
    assert other.sign_in("nurse").location == "/sign-in/code"
    form = {"password": "something else entirely"}
    assert ward.browser(Role.ADMINISTRATOR).post("/users/nurse/password", form).status_code == 303
    ward.station.time.advance(60)
    assert other.post("/sign-in/code", {"code": code_of(ward, "nurse")}, "/sign-in/code").status_code == 401


def test_a_code_is_taken_away_with_the_password_only(ward: Ward) -> None:
    browser = ward.browser(Role.NURSE)
    browser.get("/account/code")
    browser.post("/account/code", {"code": code_of(ward, "nurse")}, "/account/code")
    assert browser.post("/account/code/remove", {"password": "wrong"}).status_code == 422
    assert ward.desk.read(lambda c: totp.wanted(c, "nurse"))
    assert browser.post("/account/code/remove", {"password": PASSWORD}).status_code == 303
    assert not ward.desk.read(lambda c: totp.wanted(c, "nurse"))


def test_users_is_no_way_round_the_password_for_ones_own_account(ward: Ward) -> None:
    admin = ward.browser(Role.ADMINISTRATOR)
    admin.get("/account/code")
    admin.post("/account/code", {"code": code_of(ward, "administrator")}, "/account/code")
    answer = admin.post("/users/administrator/password", {"password": "a long enough one"})
    assert (answer.status_code, answer.location) == (303, "/account")
    answer = admin.post("/users/administrator/code/remove", {})
    assert (answer.status_code, answer.location) == (303, "/account/code")
    assert ward.desk.read(lambda c: totp.wanted(c, "administrator"))
    assert Browser(ward.app).sign_in("administrator", "a long enough one").status_code == 401
    assert Browser(ward.app).sign_in("administrator").location == "/sign-in/code", "the old one counts"
    page = admin.get("/users/administrator").text
    for form in ("password", "code/remove"):
        assert f'action="/users/administrator/{form}"' not in page


def test_a_session_is_no_place_to_guess_the_password_in(ward: Ward) -> None:
    """Wherever it is asked for, and from whatever address: the owner's other pages and sessions go on."""
    browser = ward.browser(Role.NURSE)
    asked: tuple[tuple[str, dict[str, str], str], ...] = (
        ("/account/password", {"password": "a long enough one"}, "old"),
        ("/account/code/remove", {}, "password"),
        ("/account/passkeys", {"label": "key", "answer": "{}"}, "passkey-password"),
    )
    for number, (path, form, field) in enumerate(asked):
        from_elsewhere = {"REMOTE_ADDR": f"10.6.6.{number}"}
        answer = browser.post(path, {**form, field: "a guess"}, environ_overrides=from_elsewhere)
        assert (answer.status_code, "not your present password" in answer.text) == (422, True)
    for path, form, field in asked:
        answer = browser.post(path, {**form, field: PASSWORD})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1"), path
        assert "Too many tries" in answer.text
    assert browser.get("/d/urgences").status_code == 200
    assert Browser(ward.app).sign_in("nurse").status_code == 303
    told = ward.desk.read(lambda c: audit.page(c, audit.Wanted(action="password.refused")))
    assert [(one.actor, one.subject) for one in told] == [("user:nurse", "nurse")] * len(asked)
    ward.station.time.advance(1)
    path, form, field = asked[0]
    assert browser.post(path, {**form, field: PASSWORD}).status_code == 303


def test_the_journal_is_searched_checked_and_exported(ward: Ward) -> None:
    admin = ward.browser(Role.ADMINISTRATOR)
    assert "sign-in.done" in admin.get("/journal?actor=user:administrator").text
    assert "none is missing" in admin.post("/journal/check", {}).text
    lines = admin.post("/journal/export", {"action": "user."}).text.splitlines()
    assert len(lines) == len(Role)
    assert "audit.exported" in admin.get("/journal").text


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        ("UPDATE desk_audit SET subject = 'x' WHERE number = 3", "entry 3 is not as it was written"),
        ("DELETE FROM desk_audit WHERE number = 3", "entry 3 is missing"),
        ("DELETE FROM desk_audit WHERE number > 4", "entries 5 to"),
        ("UPDATE desk_audit SET number = -number WHERE number < 3", "entry 1 is missing"),
    ],
)
def test_an_altered_journal_is_found_out(ward: Ward, damage: str, wrong: str) -> None:
    """By whoever owns the file: the database itself refuses it."""
    with pytest.raises(Exception, match="append-only"):
        ward.station.do(lambda c: c.execute(text(damage)))
    ward.station.do(lambda c: c.execute(text("DROP TRIGGER desk_audit_never_changed")))
    ward.station.do(lambda c: c.execute(text("DROP TRIGGER desk_audit_never_removed")))
    ward.station.do(lambda c: c.execute(text(damage)))
    assert wrong in ward.desk.read(audit.verify)
    assert ward.desk.read(lambda c: c.execute(select(audit_table)).first()) is not None
