"""Who may do what at the desk: every page, in every role, from every department."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from nodes.care.patients import service as patients
from nodes.care.patients.service import NewPatient
from nodes.desk import tables
from nodes.desk.compose.content import HL7_KINDS
from nodes.desk.roles import GRANTS, SENDS, Permission, Role, resends, sends
from nodes.desk.table import HERE, PAGES, POLLS, ROOMS
from nodes.link.ids import id_text
from nodes.link.tables import openings
from runtime.transactions import read
from runtime.web.signin import ABSOLUTE_MS, IDLE_MS
from runtime.web.site import HEADERS
from tests.nodes.desk.composing import RECIPIENT, Uploading, begun, sent, written
from tests.nodes.desk.composing import filled as fill_in
from tests.nodes.desk.desks import BELONGS, Browser, Ward, open_ward


def filled(path: str) -> str:
    """Return a path with values that belong to nobody."""
    path = re.sub(r"<int:[a-z_]+>", "987654321", path)
    return re.sub(r"<[a-z_]+>", "nobody", path)


PATHS = [(page.method, filled(page.path), page.needs) for page in PAGES]
TEAM = {Permission.SELF, Permission.READ, Permission.SEND, Permission.PATIENTS}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with open_ward(tmp_path_factory.mktemp("node")) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Ward]:
    with open_ward(tmp_path) as opened:
        yield opened


def test_every_address_is_in_the_table_of_pages(ward: Ward) -> None:
    served = {
        (method, rule.rule)
        for rule in ward.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert served - {("GET", "/static/<name>")} == {(page.method, page.path) for page in PAGES}
    assert {page.name for page in PAGES} >= POLLS


def test_the_grants_are_what_they_are_meant_to_be() -> None:
    """Written down a second time on purpose: a slip in the table is a right for somebody."""
    assert {role: set(granted) for role, granted in GRANTS.items()} == {
        Role.CLINICIAN: TEAM,
        Role.NURSE: TEAM,
        Role.LABORATORY: TEAM,
        Role.PHARMACY: TEAM,
        Role.SECRETARY: TEAM,
        Role.ADMINISTRATOR: {Permission.SELF, Permission.USERS, Permission.AUDIT},
    }


@pytest.mark.parametrize(("method", "path", "needs"), PATHS, ids=str)
def test_strangers_are_sent_to_sign_in(ward: Ward, method: str, path: str, needs: str) -> None:
    browser = Browser(ward.app)
    answer = browser.get(path) if method == "GET" else browser.post(path, {}, "/sign-in", method)
    if needs:
        assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    else:
        assert answer.status_code in {200, 401} or answer.location == "/sign-in"


@pytest.mark.parametrize("role", Role)
def test_nobody_gets_what_the_role_does_not_grant(ward: Ward, role: Role) -> None:
    browser = ward.browser(role)
    for method, path, needs in PATHS:
        if needs == "" or path == "/sign-out":
            continue
        answer = browser.get(path) if method == "GET" else browser.post(path, {}, method=method)
        if needs in GRANTS[role]:
            assert answer.status_code != 403, (method, path)
            assert answer.status_code < 500, (method, path)
        else:
            assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize(("method", "path", "needs"), [one for one in PATHS if one[0] == "POST"], ids=str)
def test_no_form_is_taken_without_its_token(ward: Ward, method: str, path: str, needs: str) -> None:
    browser = ward.browser(Role.CLINICIAN)
    for data in ({}, {"csrf_token": "nonsense"}, {"csrf_token": Browser(ward.app).token("/sign-in")}):
        assert browser.client.post(path, data=data, base_url=browser.base).status_code == 400
    token = browser.token("/account")
    crossed = browser.client.post(
        path, data={"csrf_token": token}, base_url=browser.base, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert crossed.status_code == 403
    del method, needs


@pytest.mark.parametrize("role", Role)
def test_another_department_does_not_exist(ward: Ward, role: Role) -> None:
    """Every address of a message and of a department: a member gets in, for all others it is not found."""
    number = ward.arrive("labo")
    ward.browser(Role.LABORATORY).get("/d/labo")
    pages = [page for page in PAGES if page.needs == Permission.READ]
    paths = {
        (page.method, page.path.replace("<name>", "labo").replace("<int:number>", str(number)))
        for page in pages
        if page.path.startswith(("/d/<name>", "/m/<int:number>"))
    }
    assert len(paths) >= 4
    browser = ward.browser(role)
    for method, pattern in sorted(paths):
        path = filled(pattern)
        answer = (
            browser.get(path) if method == "GET" else browser.post(path, {"action": "archive", "seq": number})
        )
        if role is Role.ADMINISTRATOR:
            assert answer.status_code == 403, path
        elif role is Role.LABORATORY:
            assert answer.status_code != 403, path
        else:
            assert answer.status_code == 404, path
    rows = read(
        ward.desk.engine, lambda c: c.execute(select(tables.mail).where(tables.mail.c.seq == number)).one()
    )
    assert (rows.opened_by or "laboratory") == "laboratory"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Yield the desk of another facility, on a node of its own."""
    with open_ward(tmp_path_factory.mktemp("other"), facility="chu-oran") as opened:
        yield opened


@pytest.fixture(scope="module")
def theirs(elsewhere: Ward) -> dict[str, str]:
    """Return what stands in the addresses of the other facility's things, by the address's part."""
    for _ in range(50):
        number = elsewhere.arrive("cardio", sender="labo@chu-alger")
    writer = elsewhere.browser(Role.CLINICIAN)
    assert writer.get(f"/m/{number}").status_code == 200
    draft = written(writer, department="cardio", recipient="labo@chu-alger")
    upload = Uploading(writer, begun(writer), "a.txt", b"abc")
    assert sent(writer, draft).status_code == 303
    (message,) = elsewhere.station.sent()
    patient = elsewhere.desk.change(
        lambda c: patients.create(
            c, NewPatient("BENSAMPLE", "AMINA", "F", "1988-02-29", "", "77", "chu-oran"),
            by="clinician", now_ms=elsewhere.desk.clock.now_ms(),
        )
    )  # fmt: skip
    return {
        "/m/<int:number>": f"/m/{number}",
        "/d/<name>": "/d/cardio-of-oran",
        "/compose/<draft>": f"/compose/{draft}",
        "<upload>": upload.at.rpartition("/")[2],
        "/s/<identifier>": f"/s/{id_text(message.id)}",
        "/patients/<identifier>": f"/patients/{id_text(patient.id)}",
        "/users/<name>": "/users/somebody-of-oran",
        "<source>": "file",
        "<int:index>": "0",
    }


FORM = {"name": "a.txt", "size": "3", "confirmed": "1", "to": "cardio@chu-oran", "hours": "8", "seq": "50"}
"""So much of each form that what is missing is the thing itself."""


@pytest.mark.parametrize("role", Role)
def test_another_facilitys_things_do_not_exist(ward: Ward, theirs: dict[str, str], role: Role) -> None:
    """Every address with something in it: a new page that finds a thing by other means fails here."""
    browser = ward.browser(role)
    for page in (one for one in PAGES if "<" in one.path):
        path = page.path
        for part, value in theirs.items():
            path = path.replace(part, value)
        assert "<" not in path, f"{page.path}: say above what stands there"
        answer = (
            browser.get(path)
            if page.method == "GET"
            else browser.post(path, FORM, method=page.method, headers={"Upload-Offset": "0"})
        )
        assert answer.status_code == (404 if page.needs in GRANTS[role] else 403), (page.method, path)


def test_another_facilitys_session_is_none_here(ward: Ward, elsewhere: Ward) -> None:
    there = elsewhere.browser(Role.CLINICIAN)
    cookie = there.client.get_cookie("wasl-session-desk-chu-oran")
    assert cookie is not None
    here = Browser(ward.app)
    for name in ("wasl-session-desk-chu-oran", "wasl-session-desk-chu-alger"):
        here.client.set_cookie(name, cookie.value)
    assert here.get("/account").status_code == 303


# ── kinds of message ───────────────────────────────────────────────────────────────────────

LETTERS = {"file", "advice", "discharge", "referral"}
SENT = {
    Role.CLINICIAN: {*LETTERS, "order", "result"},
    Role.NURSE: {"file"},
    Role.LABORATORY: {"result", "advice", "order"},
    Role.PHARMACY: {"advice"},
    Role.SECRETARY: LETTERS,
    Role.ADMINISTRATOR: set[str](),
}
"""Written down a second time on purpose, as the grants are."""


def test_the_kinds_are_what_they_are_meant_to_be() -> None:
    assert {role: {str(kind) for kind in kinds} for role, kinds in SENDS.items()} == SENT
    assert sends("a role of tomorrow") == frozenset()
    again = {
        role: {kind for kind in (*HL7_KINDS.values(), "ADT^A01") if resends(role, kind, "somebody")}
        for role in Role
    }
    assert again == {
        Role.CLINICIAN: {"MDM^T02", "REF^I12", "OML^O21", "ORU^R01", "ADT^A01"},
        Role.NURSE: set(),
        Role.LABORATORY: {"OML^O21", "ORU^R01"},
        Role.PHARMACY: set(),
        Role.SECRETARY: {"MDM^T02", "REF^I12"},
        Role.ADMINISTRATOR: set(),
    }
    for kind in (*HL7_KINDS.values(), "ADT^A01"):
        assert [role for role in Role if resends(role, kind, "")] == [Role.CLINICIAN], kind


@pytest.mark.parametrize("role", [role for role in Role if SENT[role]])
def test_only_ones_own_kinds_are_offered_taken_and_sent(ward: Ward, role: Role) -> None:
    browser = ward.browser(role)
    mine = min(BELONGS[role])
    draft = begun(browser)
    offered = re.findall(r'name="kind" value="([a-z]+)"', browser.get(f"/compose/{draft}/recipient").text)
    assert set(offered) == SENT[role]
    for kind in HL7_KINDS:
        chosen = {**RECIPIENT, "kind": str(kind), "department": mine}
        answer = fill_in(browser, draft, "recipient", chosen)
        assert answer.status_code == (303 if kind in SENT[role] else 422), kind
        if kind not in SENT[role]:
            assert "Your role does not send this kind of message" in answer.text
            assert "Your role does not" in browser.get(f"/compose/{draft}/check").text
            assert sent(browser, draft).status_code == 422


def test_a_role_that_was_changed_meanwhile_counts_when_it_is_sent(fresh: Ward) -> None:
    browser = fresh.browser(Role.CLINICIAN)
    order = {"kind": "order", "examinations": "2345-7 Glucose", "text": ""}
    draft = written(browser, **order)
    users = tables.ACCOUNTS.users
    fresh.desk.change(
        lambda c: c.execute(update(users).where(users.c.name == "clinician").values(role="nurse"))
    )
    assert sent(browser, draft).status_code == 422
    assert fresh.station.sent() == []


def test_what_was_sent_is_sent_again_by_who_may_send_it(fresh: Ward) -> None:
    order = {"kind": "order", "examinations": "2345-7 Glucose", "text": "", "department": "cardio"}
    writer = fresh.browser(Role.CLINICIAN)
    assert sent(writer, written(writer, **order)).status_code == 303
    (one,) = fresh.station.sent()
    secretary = fresh.browser(Role.SECRETARY)
    assert secretary.get(f"/s/{id_text(one.id)}").status_code == 200
    for what in ("again", "recall"):
        answer = secretary.post(f"/s/{id_text(one.id)}/{what}", {"to": "cardio@chu-oran", "nonce": "1"})
        assert answer.status_code == 403, what
        assert "Your role does not send this kind of message" in answer.text
    assert len(fresh.station.sent()) == 1
    assert writer.post(f"/s/{id_text(one.id)}/recall", {}).status_code == 303


def test_results_are_opened_first_by_who_treats(fresh: Ward) -> None:
    """Opening tells the sender that the department knows."""
    number = fresh.arrive()
    secretary = fresh.browser(Role.SECRETARY)
    answer = secretary.get(f"/m/{number}")
    assert answer.status_code == 403
    assert "Orders and results are opened first by somebody who treats" in answer.text
    assert "BENSAMPLE" not in answer.text
    assert secretary.get(f"/m/{number}/fields").status_code == 404
    assert fresh.station.do(lambda c: c.execute(select(openings)).all()) == []
    assert fresh.browser(Role.CLINICIAN).get(f"/m/{number}").status_code == 200
    assert secretary.get(f"/m/{number}").status_code == 200
    letter = fresh.arrive(kind="MDM^T02")
    assert secretary.get(f"/m/{letter}").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere", "/static/wasl.css", "/static/desk.js", "/"])
def test_every_answer_has_the_headers(ward: Ward, path: str) -> None:
    answer = Browser(ward.app).get(path)
    assert HEADERS.items() <= dict(answer.headers).items()
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    if not path.startswith("/static"):
        assert answer.headers["Cache-Control"] == "no-store"


def test_cookies_stay_here_and_behind_tls_they_are_host_only(tmp_path: Path) -> None:
    with open_ward(tmp_path, origin="https://desk.example") as ward:
        browser = Browser(ward.app, "https://desk.example")
        secure = browser.post(
            "/sign-in", {"name": "clinician", "password": "correct horse battery"}, "/sign-in",
            headers={"Referer": "https://desk.example/sign-in"},
        )  # fmt: skip
        assert secure.status_code == 303
        assert "max-age" in secure.headers["Strict-Transport-Security"]
        cookies = secure.headers.getlist("Set-Cookie")
        assert any(one.startswith("__Host-wasl-session-desk-chu-alger=") for one in cookies)
        for cookie in cookies:
            for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
                assert word in cookie
            assert "Domain" not in cookie


def test_sessions_end_idle_and_after_half_a_day(fresh: Ward) -> None:
    browser = fresh.browser(Role.NURSE)
    for _ in range(ABSOLUTE_MS // (IDLE_MS - 1_000)):
        fresh.station.time.advance(IDLE_MS / 1000 - 1)
        assert browser.get("/account").status_code == 200
    fresh.station.time.advance(IDLE_MS / 1000 - 1)
    assert browser.get("/account").status_code == 303


def test_a_page_that_asks_by_itself_keeps_no_session_alive(fresh: Ward) -> None:
    browser = fresh.browser(Role.NURSE)
    for _ in range(31):
        answer = browser.get("/d/urgences", headers={"HX-Request": "true"})
        fresh.station.time.advance(60)
    answer = browser.get("/d/urgences", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers.get("HX-Redirect")) == (204, "/sign-in?ended=1")
    assert browser.get("/d/urgences").status_code == 303


def test_after_wrong_passwords_the_next_has_to_wait(fresh: Ward) -> None:
    browser = fresh.browser()
    assert [browser.sign_in("nurse", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    assert int(browser.sign_in("nurse").headers["Retry-After"]) >= 1
    assert browser.sign_in("clinician").status_code == 303, "others are not held up"


def test_signing_in_is_in_the_journal(fresh: Ward) -> None:
    fresh.browser(Role.NURSE)
    fresh.browser().sign_in("clinician", "wrong")
    fresh.browser().sign_in("correct horse battery", "typed into the wrong field")
    lines = read(fresh.desk.engine, lambda c: c.execute(select(tables.audit)).all())
    told = {(row.actor, row.action, row.subject) for row in lines}
    assert ("user:nurse", "sign-in.done", "nurse") in told
    assert ("desk", "sign-in.refused", "clinician") in told
    assert ("desk", "sign-in.refused", "(no such user)") in told
    assert not [row for row in lines if "horse" in row.subject], "passwords get typed where the name belongs"


def test_pages_are_in_the_language_that_was_asked_for(ward: Ward) -> None:
    browser = Browser(ward.app)
    assert 'lang="fr" dir="ltr"' in browser.get("/sign-in").text
    assert browser.get("/sign-in?lang=ar").status_code == 303
    assert 'lang="ar" dir="rtl"' in browser.get("/sign-in").text
    assert "تسجيل الدخول" in browser.get("/sign-in").text


def test_two_desks_of_one_host_do_not_sign_each_other_out(ward: Ward) -> None:
    """Browsers send a host's cookies to all of its ports."""
    browser = Browser(ward.app)
    answers = [browser.sign_in("nurse"), browser.get("/account?lang=ar")]
    given = [{one.partition("=")[0] for one in each.headers.getlist("Set-Cookie")} for each in answers]
    assert all(given)
    assert all(name.endswith("desk-chu-alger") for names in given for name in names)


def test_a_part_is_in_the_language_of_its_page(ward: Ward) -> None:
    """Another tab may have switched the language while a page is watched."""
    browser = ward.browser(Role.CLINICIAN, "ar")
    said = re.search(r"<body hx-headers='([^']*)'>", browser.get("/d/cardio").text)
    assert said is not None
    headers = json.loads(said[1])
    browser.get("/account?lang=fr")
    part = browser.get("/d/cardio", headers={"HX-Request": "true", **headers})
    assert 'lang="ar" dir="rtl"' in part.text
    assert not part.headers.getlist("Set-Cookie")
    assert 'lang="fr" dir="ltr"' in browser.get("/d/cardio").text, "the next page is in the chosen one"
    assert 'lang="fr"' in browser.get("/d/cardio", headers={"Wasl-Language": "tlh"}).text


def test_no_room_hides_anothers_templates_or_files() -> None:
    """All rooms share one space of names: the first room that has one wins."""
    for kind in ("templates", "static"):
        names = [path.name for room in (HERE, *ROOMS) for path in (room / kind).glob("*")]
        assert sorted({name for name in names if names.count(name) > 1}) == []
