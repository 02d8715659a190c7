"""Who may do what in the console: every page in every role, and what holds for each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import Connection, select

from hub.admin import users
from hub.admin.console.context import Console
from hub.admin.console.table import PAGES
from hub.admin.roles import GRANTS, Permission, Role
from hub.audit.tables import audit
from runtime.transactions import read
from runtime.web.passwords import Passwords
from runtime.web.signin import ABSOLUTE_MS, IDLE_MS
from runtime.web.site import HEADERS
from tests.hub.admin.consoles import Browser, open_console
from tests.hub.admin.network import PASSWORD
from tests.hub.hubs import EPOCH_MS

PATHS = [
    (page.method, page.path.replace("<name>", "nobody").replace("<number>", "7"), page.needs)
    for page in PAGES
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with open_console(tmp_path_factory.mktemp("hub")) as (made, _, _):
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Flask]:
    with open_console(tmp_path) as (made, _, _):
        yield made


def test_every_address_is_in_the_table_of_pages(app: Flask) -> None:
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert served - {("GET", "/static/<name>")} == {(page.method, page.path) for page in PAGES}


def test_the_grants_are_what_they_are_meant_to_be() -> None:
    """Written down a second time on purpose: a slip in the table is a right for somebody."""
    assert {role: set(granted) for role, granted in GRANTS.items()} == {
        Role.VIEWER: {Permission.SEE, Permission.SELF},
        Role.OPERATOR: {Permission.SEE, Permission.SELF, Permission.TRAFFIC},
        Role.ADMINISTRATOR: {
            Permission.SEE,
            Permission.SELF,
            Permission.TRAFFIC,
            Permission.NETWORK,
            Permission.USERS,
            Permission.AUDIT,
        },
        Role.AUDITOR: {Permission.SEE, Permission.SELF, Permission.AUDIT},
    }


@pytest.mark.parametrize(("method", "path", "needs"), PATHS, ids=str)
def test_strangers_are_sent_to_sign_in(app: Flask, method: str, path: str, needs: str) -> None:
    browser = Browser(app)
    answer = browser.get(path) if method == "GET" else browser.post(path, {}, "/sign-in")
    if needs:
        assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    else:
        assert answer.status_code in {200, 401}


@pytest.mark.parametrize("role", Role)
def test_nobody_gets_what_the_role_does_not_grant(app: Flask, role: Role) -> None:
    browser = Browser(app)
    assert browser.sign_in(role).status_code == 303
    for method, path, needs in PATHS:
        if needs == "" or path == "/sign-out":
            continue
        answer = browser.get(path) if method == "GET" else browser.post(path, {})
        if needs in GRANTS[role]:
            assert answer.status_code != 403, (method, path)
        else:
            assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize(("method", "path", "needs"), [one for one in PATHS if one[0] == "POST"], ids=str)
def test_no_form_is_taken_without_its_token(app: Flask, method: str, path: str, needs: str) -> None:
    browser = Browser(app)
    browser.sign_in("administrator")
    for data in ({}, {"csrf_token": "nonsense"}, {"csrf_token": Browser(app).token("/sign-in")}):
        assert browser.client.post(path, data=data, base_url=browser.base).status_code == 400
    token = browser.token("/account")
    crossed = browser.client.post(
        path, data={"csrf_token": token}, base_url=browser.base, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert crossed.status_code == 403
    del method, needs


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/static/wasl.css", "/"])
def test_every_answer_has_the_headers(app: Flask, path: str) -> None:
    answer = Browser(app).get(path)
    assert HEADERS.items() <= dict(answer.headers).items()
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    if not path.startswith("/static"):
        assert answer.headers["Cache-Control"] == "no-store"


def test_other_names_of_this_host_get_nothing(app: Flask) -> None:
    for host in ("evil.example", "localhost.evil.example", ""):
        answer = app.test_client().get("/sign-in", headers={"Host": host})
        assert answer.status_code == 421
    assert app.test_client().get("/sign-in", base_url="http://[::1]:7602").status_code == 200


def test_cookies_stay_here_and_behind_tls_they_are_host_only(tmp_path: Path) -> None:
    with open_console(tmp_path, origin="https://console.example") as (app, _, _):
        browser = Browser(app, "https://console.example")
        secure = browser.post(
            "/sign-in", {"name": "viewer", "password": "correct horse battery"}, "/sign-in",
            headers={"Referer": "https://console.example/sign-in"},
        )  # fmt: skip
        assert secure.status_code == 303
        assert "max-age" in secure.headers["Strict-Transport-Security"]
        cookies = secure.headers.getlist("Set-Cookie")
        assert any(one.startswith("__Host-wasl-session=") for one in cookies)
        for cookie in cookies:
            assert "Secure" in cookie
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            assert "Path=/" in cookie
            assert "Domain" not in cookie


def test_a_session_from_before_signing_in_means_nothing(fresh: Flask) -> None:
    """Fixation: whoever planted a cookie in the victim's browser does not share the session afterwards."""
    browser = Browser(fresh)
    planted = "planted-by-somebody-else"
    browser.client.set_cookie("wasl-session", planted, domain="localhost")
    browser.sign_in("viewer")
    kept = browser.client.get_cookie("wasl-session", domain="localhost")
    assert kept is not None
    assert kept.value != planted
    old = browser.token("/account")
    browser.sign_in("viewer")
    again = browser.client.post("/account/sessions/end", data={"csrf_token": old}, base_url=browser.base)
    assert again.status_code == 400, "the token of a form from the session before is no good"


def test_signing_out_ends_the_session_itself(fresh: Flask) -> None:
    browser = Browser(fresh)
    browser.sign_in("viewer")
    stolen = browser.client.get_cookie("wasl-session", domain="localhost")
    assert stolen is not None
    assert browser.post("/sign-out", {}).status_code == 303
    browser.client.set_cookie("wasl-session", stolen.value, domain="localhost")
    assert browser.get("/").status_code == 303


def test_sessions_end_idle_and_after_half_a_day(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, console, _):
        browser = Browser(app)
        browser.sign_in("viewer")
        clock = console.clock
        for _ in range(ABSOLUTE_MS // (IDLE_MS - 1_000)):
            clock._task_clock.advance(IDLE_MS / 1000 - 1)  # type: ignore[attr-defined]  # a simulated one
            assert browser.get("/").status_code == 200
        clock._task_clock.advance(IDLE_MS / 1000 - 1)  # type: ignore[attr-defined]  # likewise
        assert browser.get("/").status_code == 303
        browser.sign_in("viewer")
        clock._task_clock.advance(IDLE_MS / 1000 + 1)  # type: ignore[attr-defined]  # likewise
        assert browser.get("/").status_code == 303


def test_a_page_that_asks_by_itself_is_nobodys_presence(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, console, _):
        browser = Browser(app)
        browser.sign_in("viewer")
        codes = []
        for _ in range(4):
            console.clock._task_clock.advance(IDLE_MS / 3_000)  # type: ignore[attr-defined]  # a simulated one
            codes.append(browser.get("/", headers={"HX-Request": "true"}).status_code)
        assert codes == [200, 200, 200, 303]


def reset_meanwhile(patch: pytest.MonkeyPatch, console: Console) -> None:
    """Let an administrator set another password each time that one has just been found right."""
    fits = Passwords.fits

    def then_reset(self: Passwords, kept: str | None, said: str) -> bool:
        right = fits(self, kept, said)
        hashed = console.passwords.hash("viewer", "something else entirely")
        console.change(
            lambda c: users.change_password(c, "viewer", hashed, but=None, actor="user:lila", now_ms=EPOCH_MS)
        )
        return right

    patch.setattr(Passwords, "fits", then_reset)


def test_a_password_that_was_set_meanwhile_is_the_one_that_counts(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, console, engine):
        browser = Browser(app)
        browser.sign_in("viewer")
        with pytest.MonkeyPatch.context() as patch:
            reset_meanwhile(patch, console)
            own = {"old": PASSWORD, "password": "mine, all the same"}
            assert browser.post("/account/password", own).status_code == 422
            with_the_new_one = Browser(app)
            assert with_the_new_one.sign_in("viewer", "something else entirely").status_code == 401
        acts = read(engine, lambda c: [*c.execute(select(audit.c.action)).scalars()])
        assert "sign-in.refused" in acts
        assert Browser(app).sign_in("viewer", "something else entirely").status_code == 303


@pytest.mark.parametrize("lost", ["switched off", "another role"])
@pytest.mark.parametrize("path", ["/users", "/users/viewer/password"])
def test_who_may_no_longer_while_a_password_is_hashed_changes_nothing(
    tmp_path: Path, path: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes its time, and waits for others': somebody else takes the right away meanwhile."""
    with open_console(tmp_path) as (app, console, engine):
        browser = Browser(app)

        def take_away(connection: Connection) -> None:
            users.add(connection, "lila", "administrator", "hash", actor="cli:root", now_ms=EPOCH_MS)
            if lost == "another role":
                users.change_role(connection, "administrator", "viewer", actor="user:lila", now_ms=EPOCH_MS)
            else:
                users.switch(connection, "administrator", active=False, actor="user:lila", now_ms=EPOCH_MS)

        def then_hash(self: Passwords, name: str, password: str) -> str:
            console.change(take_away)
            return hashed(self, name, password)

        browser.sign_in("administrator")
        form = {"name": "mine", "role": "administrator", "password": "a long enough one"}
        hashed = Passwords.hash
        monkeypatch.setattr(Passwords, "hash", then_hash)
        answer = browser.post(path, form)
        monkeypatch.undo()
        assert (answer.status_code, answer.location) == (303, path.removesuffix("/password"))
        assert "mine" not in {user.name for user in read(engine, users.everybody)}
        assert Browser(app).sign_in("viewer").status_code == 303
        assert browser.get("/users").status_code == 303, "and is signed out"


@pytest.mark.parametrize("path", ["/%09/evil.example/x", "/%5C/evil.example", "//evil.example", "/a%0Ab"])
def test_no_address_leads_to_another_site(app: Flask, path: str) -> None:
    answer = Browser(app).get(f"{path}?lang=fr")
    assert answer.status_code == 303
    parts = urlsplit(answer.location.translate(dict.fromkeys(map(ord, "\t\n\r"))).replace("\\", "/"))
    assert (parts.scheme, parts.netloc) in {("", ""), ("http", "localhost")}
    page = Browser(app).get(path).text
    assert not re.search(r'href="/[/\\\t\n]', page)


@pytest.mark.parametrize(
    "asked", [{"path": "/facilities/%00"}, {"path": "/?q=%00"}, {"path": "/sign-in", "form": {"name": "a\0"}}]
)
def test_what_no_database_takes_is_refused_at_the_door(app: Flask, asked: dict[str, Any]) -> None:
    browser = Browser(app)
    if "form" in asked:
        assert browser.post(asked["path"], asked["form"], "/sign-in").status_code == 400
    else:
        assert browser.get(asked["path"]).status_code == 400


def test_after_wrong_passwords_the_next_has_to_wait(fresh: Flask) -> None:
    browser = Browser(fresh)
    assert [browser.sign_in("viewer", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    early = browser.sign_in("viewer")
    assert early.status_code == 429
    assert int(early.headers["Retry-After"]) >= 1
    assert browser.sign_in("auditor").status_code == 303, "others are not held up"


def test_what_is_wrong_is_not_told_apart(fresh: Flask) -> None:
    answers = [Browser(fresh).sign_in(name, "wrong").text for name in ("viewer", "nobody")]
    told = [re.sub(r'name="csrf_token" value="[^"]+"|viewer|nobody', "", text) for text in answers]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/network?q=x", "/network?q=x"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/a\nb", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_one_stays_on_this_site(app: Flask, asked: str, goes: str) -> None:
    browser = Browser(app)
    values = {"name": "viewer", "password": "correct horse battery", "next": asked}
    assert browser.post("/sign-in", values, "/sign-in").location == goes


def test_signing_in_is_in_the_journal(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, engine):
        Browser(app).sign_in("viewer")
        Browser(app).sign_in("operator", "wrong")
        Browser(app).sign_in("correct horse battery", "typed into the wrong field")
        rows = read(engine, lambda c: c.execute(select(audit.c.actor, audit.c.action, audit.c.subject)).all())
    assert ("user:viewer", "sign-in.done", "viewer") in {tuple(row) for row in rows}
    assert ("hub", "sign-in.refused", "operator") in {tuple(row) for row in rows}
    assert ("hub", "sign-in.refused", "(no such user)") in {tuple(row) for row in rows}
    assert not [row for row in rows if "horse" in row.subject], "passwords get typed where the name belongs"


def test_pages_are_in_the_language_that_was_asked_for(app: Flask) -> None:
    browser = Browser(app)
    assert 'lang="fr" dir="ltr"' in browser.get("/sign-in").text
    english = browser.get("/sign-in", headers={"Accept-Language": "de, en;q=0.5"})
    assert 'lang="en"' in english.text
    kept = browser.get("/sign-in?lang=ar&next=/network")
    assert (kept.status_code, kept.location) == (303, "/sign-in?next=%2Fnetwork")
    assert 'lang="ar" dir="rtl"' in browser.get("/sign-in").text
    assert 'lang="ar"' in browser.get("/sign-in?lang=xx").text
