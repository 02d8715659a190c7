"""What the pages of the console say and do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from hub.admin.console.tiles import tiles
from hub.admin.health import Check, Health
from hub.admin.network import places
from hub.admin.overview import Grade, Matter, attention, look
from protocols.link.places import WILAYAS
from runtime.transactions import read
from tests.hub.admin.consoles import READY, Browser, open_console
from tests.hub.admin.network import PLACES, REFUSED, RETURNED, WAITING
from tests.hub.hubs import EPOCH_MS


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Browser]:
    with open_console(tmp_path) as (app, _, _):
        yield signed_in(app, "administrator")


def signed_in(app: Flask, name: str) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(name).status_code == 303
    browser.get("/?lang=en")
    return browser


def test_the_overview_renews_itself_in_its_own_language(admin: Browser) -> None:
    """Another tab may have switched the language while the page is watched."""
    assert """<body hx-headers='{"Wasl-Language":"en"}'>""" in admin.get("/").text
    admin.get("/?lang=ar")
    part = admin.get("/", headers={"HX-Request": "true", "Wasl-Language": "en"})
    assert "Needs attention" in part.text
    assert 'lang="ar" dir="rtl"' in admin.get("/").text


def test_what_needs_attention_comes_gravest_first(tmp_path: Path) -> None:
    with open_console(tmp_path) as (_, _, engine):
        seen = read(engine, lambda c: look(c, EPOCH_MS))
    found = [(one.grade, one.matter, one.subject) for one in attention(seen, READY)]
    assert found == [
        (Grade.FAULT, Matter.FACILITY_SILENT, "epsp-tindouf"),
        (Grade.WARNING, Matter.KEY_ENDS, "epsp-tindouf"),
        (Grade.WARNING, Matter.QUEUE_OLD, "ehs-canastel"),
        (Grade.NOTE, Matter.RETURNED, ""),
    ]
    assert attention(seen, Health(answers=False, ready=False, checks=()))[0].matter is Matter.DAEMON_SILENT
    failed = attention(
        seen, Health(answers=True, ready=False, checks=(Check("disk", ok=False, text="full"),))
    )
    assert [one.subject for one in failed if one.matter is Matter.CHECK_FAILED] == ["disk"]
    assert (seen.connected, seen.active, seen.queued) == (3, 4, 32)
    assert sum(bar.messages for bar in seen.hours) == 137
    assert seen.hours[-1].messages == 0


def test_the_network_is_searched_and_filtered(admin: Browser) -> None:
    everything = admin.get("/network").text
    assert all(name in everything for name in PLACES)
    found = admin.get("/network?q=ORAN").text
    assert "chu-oran" in found
    assert "chu-mustapha" not in found
    assert "epsp-tindouf" in admin.get("/network?state=away").text
    assert "eph-tizi-ouzou" in admin.get("/network?state=suspended").text
    assert "No facility matches" in admin.get("/network?q=%3Cscript%3Ealert").text
    assert "<script>alert" not in admin.get("/network?q=%3Cscript%3Ealert(1)").text
    for page in ("0", "1", "-1", "x", "99999999999999999999", "²"):
        assert admin.get(f"/network?page={page}").status_code == 200


def test_a_facility_says_what_waits_for_it(admin: Browser) -> None:
    page = admin.get("/network/epsp-tindouf").text
    assert "EPSP de Tindouf" in page
    assert "accueil@epsp-tindouf" in page
    assert ">31<" in page
    assert admin.get("/network/chu-mars").status_code == 404


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (WAITING, ["Late: the sender was warned", "is not connected", "Waits at the hub"]),
        (RETURNED, ["Returned to the sender", "has no such mailbox"]),
        (REFUSED, ["Delivered to the node", "Refused by the application", "urgent (STAT)"]),
    ],
)
def test_a_message_is_tracked_step_by_step(admin: Browser, message: bytes, words: list[str]) -> None:
    answer = admin.get(f"/track?id={uuid.UUID(bytes=message)}")
    assert answer.status_code == 200
    text = answer.text.replace("&#39;", "'")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("asked", ["nonsense", "00000000-0000-0000-0000-00000000ffff", "%3Cb%3E"])
def test_an_unknown_message_is_said_so(admin: Browser, asked: str) -> None:
    answer = admin.get(f"/track?id={asked}")
    assert answer.status_code == 404
    assert "There is a problem" in answer.text
    assert "<b>" not in answer.text


def test_users_are_made_changed_and_switched_off(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, _):
        admin, other = signed_in(app, "administrator"), Browser(app)
        new = {"name": "amina", "role": "operator", "password": "a long enough one"}
        assert admin.post("/users", new).status_code == 303
        assert admin.post("/users", new).status_code == 422
        for wrong in ({"name": "BAD"}, {"name": "x", "role": "king"}, {"name": "y", "password": "short"}):
            assert admin.post("/users", {**new, **wrong}).status_code == 422
        assert other.sign_in("amina", "a long enough one").status_code == 303
        assert admin.post("/users/amina/role", {"role": "viewer"}).status_code == 303
        assert other.get("/").status_code == 303, "another role begins with another session"
        other.sign_in("amina", "a long enough one")
        assert admin.post("/users/amina/password", {"password": "quite another one"}).status_code == 303
        assert other.get("/").status_code == 303
        assert other.sign_in("amina", "quite another one").status_code == 303
        assert admin.post("/users/amina/switch", {"active": "0"}).status_code == 303
        assert other.get("/").status_code == 303
        assert other.sign_in("amina", "quite another one").status_code == 401
        assert admin.post("/users/nobody/role", {"role": "viewer"}).status_code == 404


def test_the_last_administrator_stays_one(admin: Browser) -> None:
    assert admin.post("/users/administrator/role", {"role": "viewer"}).status_code == 422
    assert admin.post("/users/administrator/switch", {"active": "0"}).status_code == 422
    assert admin.get("/users").status_code == 200


def test_ones_own_password_and_sessions(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, _):
        here, there = signed_in(app, "viewer"), signed_in(app, "viewer")
        wrong = {"old": "wrong", "password": "a long enough one"}
        assert here.post("/account/password", wrong).status_code == 422
        right = {"old": "correct horse battery", "password": "a long enough one"}
        assert here.post("/account/password", right).status_code == 303
        assert here.get("/account").status_code == 200
        assert there.get("/account").status_code == 303
        assert here.post("/account/sessions/end", {"session": "x"}).status_code == 404


def test_ones_own_password_is_changed_only_where_the_old_one_is_asked_for(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, _):
        admin = signed_in(app, "administrator")
        answer = admin.post("/users/administrator/password", {"password": "a long enough one"})
        assert (answer.status_code, answer.location) == (303, "/account")
        assert Browser(app).sign_in("administrator", "a long enough one").status_code == 401
        assert Browser(app).sign_in("administrator").status_code == 303
        assert 'action="/users/administrator/password"' not in admin.get("/users/administrator").text


def test_the_map_has_every_wilaya_once(tmp_path: Path) -> None:
    with open_console(tmp_path) as (app, _, engine):
        drawn = tiles(read(engine, places))
        page = signed_in(app, "viewer").get("/network?wilaya=31").text
    assert sorted(tile.wilaya for tile in drawn) == list(WILAYAS)
    assert len({(tile.column, tile.row) for tile in drawn}) == len(drawn)
    grades = {tile.wilaya: (tile.grade, tile.connected, tile.active) for tile in drawn}
    assert (grades[31], grades[37], grades[1]) == (("ok", 2, 2), ("bad", 0, 1), ("", 0, 0))
    assert "EHS Canastel" in page
    assert "CHU Mustapha" not in page
