"""Nodes that a restored hub has forgotten, in the console and its API: compared, then let in again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from crypto.fingerprint import in_words, node_fingerprint
from hub.admin import facilities, readmission
from hub.admin.api.app import make_api
from hub.directory import knocks, service
from hub.directory.service import DirectoryError
from hub.spool import epoch
from protocols.link import limits
from runtime.transactions import read, transact
from tests.hub.admin.consoles import PUBLIC, Browser, open_console
from tests.hub.admin.network import forgotten
from tests.hub.admin.programs import Program, done, last_act, open_program, refused
from tests.hub.hubs import DAY_MS, EPOCH_MS, ISSUER, NodeKeys

NEW, KNOWN = NodeKeys.numbered(30), NodeKeys.numbered(31)
THIEF = NodeKeys.numbered(32)


def key(keys: NodeKeys) -> str:
    return node_fingerprint(keys.link.public, keys.signing, keys.sealing).hex()


def knocking(connection: Connection) -> None:
    epoch.begin(connection, EPOCH_MS - DAY_MS, EPOCH_MS)
    for name, serial, keys in (("chu-skikda", 1, NEW), ("chu-oran", 7, KNOWN)):
        assert knocks.note(connection, forgotten(name, serial, keys, EPOCH_MS))


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[tuple[Browser, Program]]:
    with open_console(tmp_path) as (app, console, engine):
        transact(engine, knocking)
        browser = Browser(app)
        browser.sign_in("administrator")
        browser.get("/?lang=en")
        yield browser, Program(app, console, engine, {})


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        transact(found.engine, knocking)
        yield found


def test_who_was_compared_is_let_in_again(admin: tuple[Browser, Program]) -> None:
    browser, program = admin
    assert 'href="/admission#forgotten">2<' in browser.get("/").text
    assert key(NEW) in browser.get("/admission").text
    page = f"/admission/chu-skikda/readmit?key={key(NEW)}"
    shown = browser.get(page).text
    assert [word for word in in_words(bytes.fromhex(key(NEW))).split() if word not in shown] == []
    form = {"key": key(NEW), "compared": "1", "mailboxes": "labo\nurgences labo"}
    for wrong in ({"compared": ""}, {"mailboxes": "La Bo"}, {"key": key(THIEF)}, {"key": "<b>"}):
        answer = browser.post("/admission/chu-skikda/readmit", {**form, **wrong})
        assert (answer.status_code, "There is a problem" in answer.text) == (422, True), wrong
        assert "<b></" not in answer.text
    assert browser.post("/admission/chu-skikda/readmit", form).status_code == 303
    one = program.sql(lambda c: facilities.one(c, "chu-skikda"))
    assert {box.name for box in one.mailboxes} == {"labo", "urgences"}
    assert last_act(program).action == "facility.readmitted"
    assert last_act(program).actor == "user:administrator"
    assert browser.post("/admission/chu-skikda/readmit", form).status_code == 422, "a form sent twice"
    assert browser.get(page).status_code == 404
    assert browser.get("/admission/nobody/readmit?key=00").status_code == 404


def test_mailboxes_that_came_after_the_backup_are_named_again(admin: tuple[Browser, Program]) -> None:
    """The backup knows the facility, and not what was added since: messages to it would come back."""
    browser, program = admin
    shown = browser.get(f"/admission/chu-oran/readmit?key={key(KNOWN)}").text
    assert "Mailboxes that it got since the backup" in shown
    assert [name for name in ("accueil", "labo") if name not in shown] == [], "what the backup knows is told"
    sent = re.findall(r'<(?:input|textarea)[^>]* name="(\w+)"', shown)
    assert {"key", "mailboxes", "compared"} <= set(sent)
    form = {"key": key(KNOWN), "compared": "1", "mailboxes": "urgences"}
    assert browser.post("/admission/chu-oran/readmit", form).status_code == 303
    boxes = {box.name for box in program.sql(lambda c: facilities.one(c, "chu-oran")).mailboxes}
    assert boxes == {"accueil", "labo", "urgences"}
    assert '"mailboxes":"urgences"' in last_act(program).details


def test_more_mailboxes_than_a_facility_may_have_are_said_at_the_field(
    admin: tuple[Browser, Program],
) -> None:
    browser, program = admin
    many = "\n".join(f"{number:03}{'x' * 60}" for number in range(limits.MAILBOXES + 1))
    form = {"key": key(NEW), "compared": "1", "mailboxes": many}
    answer = browser.post("/admission/chu-skikda/readmit", form)
    assert (answer.status_code, "These are too many mailboxes." in answer.text) == (422, True)
    most = "\r\n".join(many.split()[:-1])
    assert browser.post("/admission/chu-skikda/readmit", {**form, "mailboxes": most}).status_code == 303
    boxes = program.sql(lambda c: facilities.one(c, "chu-skikda")).mailboxes
    assert sorted(box.name for box in boxes) == most.split(), "and the last is not cut"


def test_what_is_revoked_meanwhile_stays_outside(admin: tuple[Browser, Program]) -> None:
    browser, program = admin
    transact(program.engine, lambda c: service.revoke(c, ISSUER, "chu-oran", "stolen", EPOCH_MS))
    page = f"/admission/chu-oran/readmit?key={key(KNOWN)}"
    assert browser.get(page).status_code == 404
    assert (
        browser.post("/admission/chu-oran/readmit", {"key": key(KNOWN), "compared": "1"}).status_code == 422
    )


def test_a_key_of_an_earlier_authority_has_to_join_anew(program: Program) -> None:
    console = replace(program.console, issuer=lambda: replace(PUBLIC, authority=THIEF.signing))
    other = replace(program, app=make_api(console))
    words = in_words(bytes.fromhex(key(NEW)))
    refused(other.post("/facilities/chu-skikda/readmit", {"fingerprint": words}), 409, "join-anew")


def test_a_program_readmits(program: Program) -> None:
    first = program.get("/forgotten?limit=1")
    assert [one["facility"] for one in first["items"]] == ["chu-oran"]
    rest = program.get(f"/forgotten?cursor={first['next']}")
    assert ([one["facility"] for one in rest["items"]], rest["next"]) == (["chu-skikda"], None)
    words = rest["items"][0]["fingerprint"]["words"]
    path = "/facilities/chu-skikda/readmit"
    refused(program.post(path, {"fingerprint": "other words"}), 409, "other-fingerprint")
    refused(program.post(path, {"fingerprint": words, "mailboxes": ["A B"]}), 422, "bad-request")
    body = {"fingerprint": words, "mailboxes": ["labo"]}
    answer = done(program.post(path, body, key="once"))
    assert (answer["state"], answer["keys"]["serial"]) == ("active", 1)
    assert program.post(path, body, key="once").headers["Idempotency-Replayed"] == "true"
    refused(program.post(path, body), 409, "nothing-waits")
    program.role = "viewer"
    refused(program.post("/facilities/chu-oran/readmit", body), 403, "forbidden")
    assert program.ask("GET", "/forgotten").status_code == 403


def test_the_one_that_was_compared_is_let_in_not_the_newest(program: Program) -> None:
    """Somebody with a later credential knocks too: the words decide."""
    transact(program.engine, lambda c: knocks.note(c, forgotten("chu-oran", 9, THIEF, EPOCH_MS)))
    words = in_words(bytes.fromhex(key(KNOWN)))
    assert done(program.post("/facilities/chu-oran/readmit", {"fingerprint": words}))["keys"]["serial"] == 7
    assert read(program.engine, lambda c: knocks.waiting(c, "chu-oran")) == []


@pytest.mark.parametrize("mailboxes", [("A B",), tuple(f"m{number}" for number in range(5_000))])
def test_mailboxes_are_those_of_an_invitation(program: Program, mailboxes: tuple[str, ...]) -> None:
    with pytest.raises(DirectoryError):
        transact(
            program.engine,
            lambda c: readmission.readmit(
                c, PUBLIC, "chu-skikda", mailboxes=mailboxes, actor="cli:a", now_ms=EPOCH_MS
            ),
        )
