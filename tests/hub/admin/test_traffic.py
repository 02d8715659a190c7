"""Queues and what came back: giving up with a preview and a reason, suspending, reading the journal."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from hub.admin import queues
from hub.admin.errors import AdminRefused
from hub.audit.journal import Act, record
from hub.audit.tables import audit
from hub.spool.tables import spool
from hub.spool.tracking import track
from protocols.link.envelope import State
from runtime.transactions import read, transact
from tests.hub.admin.consoles import Browser, open_console
from tests.hub.admin.network import RETURNED, WAITING
from tests.hub.hubs import EPOCH_MS

TINDOUF = "epsp-tindouf"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Browser, Engine]]:
    with open_console(tmp_path) as (app, _, engine):
        browser = Browser(app)
        browser.sign_in("operator")
        browser.get("/?lang=en")
        yield browser, engine


def sequences(page: str) -> list[str]:
    return re.findall(r'name="seq" value="(\d+)"', page)


def test_what_is_never_taken_goes_back_after_a_preview(opened: tuple[Browser, Engine]) -> None:
    browser, engine = opened
    listed = sequences(browser.get(f"/queues/{TINDOUF}").text)
    assert len(listed) == 31
    shown = browser.post(f"/queues/{TINDOUF}/preview", {"seq": listed[0]})
    assert f'name="seqs" value="{listed[0]}"' in shown.text
    assert str(uuid.UUID(bytes=WAITING)) in shown.text
    assert len(sequences(browser.get(f"/queues/{TINDOUF}").text)) == 31, "a preview changes nothing"
    assert browser.post(f"/queues/{TINDOUF}/return", {"seq": listed[0], "reason": " "}).status_code == 422
    done = browser.post(f"/queues/{TINDOUF}/return", {"seq": listed[0], "reason": "never comes back"})
    assert (done.status_code, done.location) == (303, "/returned")
    assert str(uuid.UUID(bytes=WAITING)) in browser.get("/returned").text
    (message,) = read(engine, lambda c: track(c, WAITING))
    ends = {news.recipient: (news.state, news.code) for news in message.news}
    assert ends["accueil@epsp-tindouf"] == (State.RETURNED, "given-up")
    entry = read(engine, lambda c: c.execute(select(audit).order_by(audit.c.number.desc())).first())
    assert entry is not None
    assert (entry.actor, entry.action) == ("user:operator", "message.given_up")
    assert "never comes back" in entry.details
    browser.post(f"/queues/{TINDOUF}/return", {"seq": listed[0], "reason": "twice"})
    (same,) = read(engine, lambda c: track(c, WAITING))
    assert len(same.news) == len(message.news), "what went back does not go back again"


def test_nothing_is_taken_from_under_a_connected_node(opened: tuple[Browser, Engine]) -> None:
    browser, engine = opened
    listed = sequences(browser.get("/queues/ehs-canastel").text)
    answer = browser.post("/queues/ehs-canastel/return", {"seq": listed[0], "reason": "impatience"})
    assert answer.status_code == 422
    assert "pause its queue first" in answer.text
    assert len(read(engine, lambda c: queues.waiting(c, "ehs-canastel"))) == 1


def test_only_what_waits_for_the_named_facility_goes(opened: tuple[Browser, Engine]) -> None:
    browser, engine = opened
    other = sequences(browser.get("/queues/ehs-canastel").text)[0]
    browser.post(f"/queues/{TINDOUF}/return", {"seq": other, "reason": "a slip"})
    assert len(read(engine, lambda c: c.execute(select(spool.c.seq)).all())) == 32


def test_no_more_than_so_many_at_once(opened: tuple[Browser, Engine]) -> None:
    _, engine = opened
    many = range(1, queues.AT_ONCE + 2)
    with pytest.raises(AdminRefused, match="at most"):
        transact(
            engine,
            lambda c: queues.give_up(c, TINDOUF, many, reason="all", actor="user:x", now_ms=EPOCH_MS),
        )


def test_what_came_back_says_why_and_what_cannot_be_done(opened: tuple[Browser, Engine]) -> None:
    browser, _ = opened
    page = browser.get("/returned").text.replace("&#39;", "'")
    assert str(uuid.UUID(bytes=RETURNED)) in page
    assert "The facility has no such mailbox" in page
    assert "refused by the application" in page
    assert "The hub cannot address or seal them anew" in page


def test_a_facility_is_suspended_and_let_back(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, _):
        admin = Browser(app)
        admin.sign_in("administrator")
        admin.get("/?lang=en")
        assert "Suspend chu-oran ·" in admin.get("/network/chu-oran/suspend").text
        values = {"suspended": "1", "reason": "a stolen laptop"}
        assert admin.post("/network/chu-oran/suspend", values).status_code == 303
        again = admin.post("/network/chu-oran/suspend", {**values, "reason": "a second one"})
        assert (again.status_code, "is suspended already" in again.text) == (422, True)
        assert "Let it back" in again.text
        assert "Let it back" in admin.get("/network/chu-oran").text
        assert admin.post("/network/chu-oran/suspend", {"suspended": "0"}).status_code == 303
        assert "Let it back" not in admin.get("/network/chu-oran").text
        again = admin.post("/network/chu-oran/suspend", {"suspended": "0"})
        assert (again.status_code, "is not suspended" in again.text) == (422, True)
        assert admin.post("/network/chu-mars/suspend", values).status_code == 404
        told = admin.get("/journal?subject=chu-oran").text
        assert ("a stolen laptop" in told, "a second one" in told) == (True, False)
        assert told.count("facility.resumed") == 1


def test_the_journal_is_searched_and_exported(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, engine):
        auditor = Browser(app)
        auditor.sign_in("auditor")
        auditor.get("/?lang=en")
        assert "user.added" in auditor.get("/journal").text
        assert "user.added" not in auditor.get("/journal?action=sign-in").text
        assert "sign-in.done" in auditor.get("/journal?actor=user:auditor").text
        assert "No entry matches" in auditor.get("/journal?actor=%25").text, "a % is a sign like any other"
        answer = auditor.post("/journal/export", {"action": "user."})
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert {line["action"] for line in lines} == {"user.added"}
        assert [line["number"] for line in lines] == sorted(line["number"] for line in lines)
        last = read(engine, lambda c: c.execute(select(audit).order_by(audit.c.number.desc())).first())
    assert last is not None
    assert (last.actor, last.action) == ("user:auditor", "audit.exported")


FORMULAS = (
    "=1+1", "@SUM(1)", "\t2", "\r3", " =4", "x;=5", "x;;--6", "x\t+7", "x;\t=8", "x|@9", "x,-10", "x\n=11",
    "x\r\n=12", "x\r=13", 'x";=14', 'x;"=15', "x';=16", "x :+17", "متن؛=18", "x;@@19",
)  # fmt: skip
EXACT = "AA+/+w== 2026-11-23T08:00:00.000+01:00 token:nightly@amina a-b"


def test_no_cell_of_an_export_begins_a_formula_whatever_a_reader_splits_at(tmp_path: Path) -> None:
    """RFC 4180 quotes for commas; one that splits at semicolons does not see what is quoted."""
    with open_console(tmp_path) as (app, _, engine):
        auditor = Browser(app)
        auditor.sign_in("auditor")
        for text in (*FORMULAS, EXACT):
            act = Act("hub", "test.formula", text, {"reason": text})
            transact(engine, lambda c: record(c, act, EPOCH_MS))  # noqa: B023 - run at once
        told = auditor.post("/journal/export", {"format": "csv", "action": "test."}).data.decode()
    rows = list(csv.reader(io.StringIO(told, newline=""), strict=True))
    assert ({len(row) for row in rows}, told.count('"') % 2, told[-2:]) == ({7}, 0, "\r\n")
    texts = [row[4] for row in rows[1:]]
    assert texts[-1] == EXACT, "what begins no cell stays as it is"
    assert [text.replace("'", "") for text in texts[:-1]] == [text.replace("'", "") for text in FORMULAS]
    for sign in ",;\t|: ؛":
        cells = re.split(rf"{re.escape(sign)}|\r?\n|\r", told)
        assert [cell for cell in cells if cell.lstrip('"').startswith(("=", "+", "-", "@", "\t"))] == [], sign
