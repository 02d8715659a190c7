"""Pausing, stopping, returning in bulk, and discarding by two people, as the console does it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, select, update

from hub.admin import discards, holds, queues, users
from hub.admin.discards import KNOWN_MS, Stage
from hub.admin.errors import AdminRefused
from hub.admin.network import places
from hub.admin.overview import Matter, attention, look
from hub.admin.queues import SILENT_MS, Wanted
from hub.admin.users import SECOND_AFTER_MS
from hub.audit.tables import audit
from hub.spool import ageing, tracking
from hub.spool.ageing import Presence
from hub.spool.tables import presence, queue_pauses, spool
from protocols.link.envelope import State
from runtime.transactions import read, transact
from tests.hub.admin.consoles import PASSWORDS, READY, Browser, open_console
from tests.hub.admin.network import PASSWORD, WAITING
from tests.hub.hubs import EPOCH_MS

TINDOUF, CANASTEL = "epsp-tindouf", "ehs-canastel"
ONE, TWO = "user:operator", "user:administrator"


@dataclass(frozen=True)
class Opened:
    """A console with an operator and an administrator before it, and its database."""

    app: Flask
    operator: Browser
    admin: Browser
    engine: Engine

    def waiting(self, facility: str) -> list[int]:
        """Return the numbers that wait for a facility."""
        return [one.seq for one in read(self.engine, lambda c: queues.waiting(c, facility, limit=1_000))]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with open_console(tmp_path) as (app, _, engine):
        operator, admin = Browser(app), Browser(app)
        for browser, name in ((operator, "operator"), (admin, "administrator")):
            browser.sign_in(name)
            browser.get("/?lang=en")
        yield Opened(app, operator, admin, engine)


def acts(engine: Engine) -> list[tuple[str, str, str]]:
    query = select(audit.c.actor, audit.c.action, audit.c.subject)
    return [tuple(row) for row in read(engine, lambda c: c.execute(query).all())]


def hold(engine: Engine, facility: str) -> None:
    """Pause a queue, and say what the process that has the session says."""
    transact(engine, lambda c: holds.pause(c, facility, reason="r", actor=ONE, now_ms=EPOCH_MS))
    transact(engine, lambda c: c.execute(update(queue_pauses).values(held=True)))


# ── pausing ────────────────────────────────────────────────────────────────────────────────


def test_a_queue_is_paused_with_a_reason_and_resumed(opened: Opened) -> None:
    page = f"/queues/{TINDOUF}/pause"
    assert opened.operator.post(page, {"paused": "1", "reason": " "}).status_code == 422
    assert opened.operator.post(page, {"paused": "1", "reason": "<b>flood</b>"}).status_code == 303
    shown = opened.operator.get(f"/queues/{TINDOUF}").text
    assert "Paused" in shown
    assert "&lt;b&gt;flood" in shown, "a reason is text"
    assert "when its queue is resumed" in opened.operator.get("/queues").text
    seen = read(opened.engine, lambda c: look(c, EPOCH_MS))
    assert Matter.PAUSED in {one.matter for one in attention(seen, READY)}
    assert opened.operator.post(page, {"paused": "0"}).status_code == 303
    assert ("user:operator", "queue.paused", TINDOUF) in acts(opened.engine)
    assert ("user:operator", "queue.resumed", TINDOUF) in acts(opened.engine)


def test_two_who_pause_at_once_pause_once(opened: Opened) -> None:
    page = f"/queues/{TINDOUF}/pause"
    assert opened.operator.post(page, {"paused": "1", "reason": "first"}).status_code == 303
    late = opened.admin.post(page, {"paused": "1", "reason": "second"})
    assert (late.status_code, "paused meanwhile" in late.text) == (422, True)
    opened.operator.post(page, {"paused": "0"})
    late = opened.admin.post(page, {"paused": "0"})
    assert (late.status_code, "resumed meanwhile" in late.text) == (422, True)
    assert opened.admin.post("/queues/chu-mars/pause", {"paused": "1", "reason": "r"}).status_code == 404


# ── returning ──────────────────────────────────────────────────────────────────────────────


def test_all_that_match_go_back_and_nothing_else(opened: Opened) -> None:
    """In bulk: what the preview shows is what is done, though more has come meanwhile."""
    values = {"act": "return", "which": "all", "sender": "@chu-mustapha", "recipient": "", "age": ""}
    shown = opened.operator.post(f"/queues/{TINDOUF}/preview", values).text
    found = re.search(r'name="seqs" value="([\d ]+)"', shown)
    assert found is not None
    assert len(found[1].split()) == 30
    done = opened.operator.post(f"/queues/{TINDOUF}/return", {"seqs": found[1], "reason": "a loop"})
    assert done.status_code == 303
    assert len(opened.waiting(TINDOUF)) == 1
    assert {who for who, what, _ in acts(opened.engine) if what == "message.given_up"} == {"user:operator"}


def test_a_queue_is_searched(opened: Opened) -> None:
    def found(wanted: Wanted) -> int:
        return len(read(opened.engine, lambda c: queues.waiting(c, TINDOUF, 0, wanted, 1_000)))

    assert found(Wanted()) == 31
    assert found(Wanted(sender="labo@chu-oran")) == 1
    assert found(Wanted(sender="%")) == 0
    assert found(Wanted(recipient="accueil")) == 31
    assert found(Wanted(recipient="labo")) == 0
    assert found(Wanted(before_ms=EPOCH_MS - 5 * 3_600_000)) == 0


def test_with_its_queue_held_what_was_not_sent_goes_back_though_it_is_connected(opened: Opened) -> None:
    chosen = opened.waiting(CANASTEL)

    def give_up() -> int:
        return transact(
            opened.engine,
            lambda c: queues.give_up(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS),
        )

    with pytest.raises(AdminRefused, match="connected"):
        give_up()
    transact(opened.engine, lambda c: holds.pause(c, CANASTEL, reason="r", actor=ONE, now_ms=EPOCH_MS))
    with pytest.raises(AdminRefused, match="connected"):
        give_up()
    transact(opened.engine, lambda c: c.execute(update(queue_pauses).values(held=True)))
    transact(opened.engine, lambda c: c.execute(update(presence).values(seen_seq=chosen[0])))
    with pytest.raises(AdminRefused, match="connected"):
        give_up()
    transact(opened.engine, lambda c: c.execute(update(presence).values(seen_seq=chosen[0] - 1)))
    assert give_up() == 1


@pytest.mark.parametrize("paused", [True, False])
def test_what_may_have_been_sent_waits_until_the_facility_has_been_away(opened: Opened, paused: bool) -> None:
    """A pause ends its session, and so does a bad line: what the node took meanwhile it has all the same."""
    chosen = opened.waiting(CANASTEL)
    left = Presence(CANASTEL, connected=False, software="wasl-node/0.1.0")

    def end(connection: Connection) -> None:
        if paused:
            holds.pause(connection, CANASTEL, reason="r", actor=ONE, now_ms=EPOCH_MS)
        ageing.note_presences(connection, [left], EPOCH_MS, 1)

    def give_up(now_ms: int) -> int:
        return transact(
            opened.engine,
            lambda c: queues.give_up(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=now_ms),
        )

    transact(opened.engine, end)
    page = opened.operator.post(f"/queues/{CANASTEL}/return", {"seqs": str(chosen[0]), "reason": "r"})
    assert (page.status_code, "has to wait" in page.text) == (422, True)
    assert "has been away for 15 minutes" in page.text
    for now_ms in (EPOCH_MS - 1, EPOCH_MS + SILENT_MS - 1):
        with pytest.raises(AdminRefused, match="discarded by two"):
            give_up(now_ms)
    assert opened.waiting(CANASTEL) == chosen
    assert give_up(EPOCH_MS + SILENT_MS) == 1


def test_two_discard_at_once_what_may_have_been_sent_to_a_facility_that_left(opened: Opened) -> None:
    chosen = opened.waiting(CANASTEL)
    left = Presence(CANASTEL, connected=False, software="wasl-node/0.1.0")
    transact(opened.engine, lambda c: ageing.note_presences(c, [left], EPOCH_MS, 1))
    number = transact(
        opened.engine, lambda c: discards.ask(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS)
    )
    assert transact(opened.engine, lambda c: discards.confirm(c, number, actor=TWO, now_ms=EPOCH_MS)) == 1


def test_what_goes_back_is_stopped_no_more(opened: Opened) -> None:
    first = opened.waiting(TINDOUF)[:1]
    transact(opened.engine, lambda c: holds.stop(c, TINDOUF, first, reason="r", actor=ONE, now_ms=EPOCH_MS))
    shown = opened.operator.get(f"/queues/{TINDOUF}").text
    assert "stopped" in shown
    values = {"seqs": str(first[0]), "reason": "poison"}
    assert opened.operator.post(f"/queues/{TINDOUF}/return", values).status_code == 303
    assert read(opened.engine, lambda c: holds.stopped(c, TINDOUF)) == {}


def test_stopping_and_letting_go_are_forms_too(opened: Opened) -> None:
    first = str(opened.waiting(TINDOUF)[0])
    for act, values in (("stop", {"reason": "poison"}), ("release", {})):
        shown = opened.operator.post(f"/queues/{TINDOUF}/preview", {"act": act, "seq": first})
        assert f'action="/queues/{TINDOUF}/{act}"' in shown.text
        done = opened.operator.post(f"/queues/{TINDOUF}/{act}", {"seqs": first, **values})
        assert done.status_code == 303
        again = opened.operator.post(f"/queues/{TINDOUF}/{act}", {"seqs": first, **values})
        assert (again.status_code, "nothing was changed" in again.text) == (422, True)
    identifier = str(uuid.UUID(bytes=WAITING))
    found = [action for _, action, subject in acts(opened.engine) if subject == identifier]
    assert found == ["message.stopped", "message.released"]


# ── discarding ─────────────────────────────────────────────────────────────────────────────


def test_one_asks_and_another_confirms(opened: Opened) -> None:
    first = opened.waiting(TINDOUF)[0]
    asked = opened.operator.post(f"/queues/{TINDOUF}/discard", {"seqs": str(first), "reason": "<i>spam</i>"})
    assert (asked.status_code, asked.location) == (303, "/discards")
    assert first in opened.waiting(TINDOUF), "nothing changes before that"
    seen = read(opened.engine, lambda c: look(c, EPOCH_MS))
    assert Matter.DISCARD in {one.matter for one in attention(seen, READY)}
    assert "&lt;i&gt;spam" in opened.admin.get("/discards/1").text
    assert opened.operator.post("/discards/1/confirm", {}).status_code == 403
    assert opened.admin.post("/discards/1/confirm", {}).status_code == 303
    assert first not in opened.waiting(TINDOUF)
    (message,) = read(opened.engine, lambda c: tracking.track(c, WAITING))
    ends = {news.recipient: (news.state, news.code) for news in message.news}
    assert ends["accueil@epsp-tindouf"] == (State.RETURNED, "given-up")
    told = acts(opened.engine)
    assert ("user:operator", "discard.asked", "1") in told
    assert ("user:administrator", "discard.confirmed", "1") in told


def test_who_asked_does_not_confirm_and_nothing_is_settled_twice(opened: Opened) -> None:
    first = opened.waiting(TINDOUF)[0]
    opened.admin.post(f"/queues/{TINDOUF}/discard", {"seqs": str(first), "reason": "spam"})
    own = opened.admin.post("/discards/1/confirm", {})
    assert (own.status_code, "You asked for this yourself" in own.text) == (422, True)
    assert opened.operator.post("/discards/1/withdraw", {}).status_code == 422, "not the operator's"
    assert opened.admin.post("/discards/1/withdraw", {}).status_code == 303
    for act in ("confirm", "refuse"):
        late = opened.admin.post(f"/discards/1/{act}", {})
        assert (late.status_code, "decided this meanwhile" in late.text) == (422, True)
    assert first in opened.waiting(TINDOUF)
    assert opened.admin.post("/discards/99/confirm", {}).status_code == 404


@pytest.mark.parametrize("second", ["cli:operator", "token:nightly@operator", "user:operator"])
def test_another_way_in_is_no_other_person(opened: Opened, second: str) -> None:
    first = opened.waiting(TINDOUF)[:1]
    number = transact(
        opened.engine, lambda c: discards.ask(c, TINDOUF, first, reason="r", actor=ONE, now_ms=EPOCH_MS)
    )
    with pytest.raises(AdminRefused, match="another administrator"):
        transact(opened.engine, lambda c: discards.confirm(c, number, actor=second, now_ms=EPOCH_MS))


@pytest.mark.parametrize("way", ["made", "gave its password"])
def test_an_account_of_who_asked_is_no_other_person_for_a_week(opened: Opened, way: str) -> None:
    first = opened.waiting(TINDOUF)[:1]
    one, other = ("user:amina", "amina2") if way == "made" else ("token:nightly@amina", "administrator")

    def give(connection: Connection) -> int:
        if way == "made":
            users.add(connection, other, "administrator", "hash", actor="user:amina", now_ms=EPOCH_MS)
        else:
            users.change_password(connection, other, "hash", but=None, actor="user:amina", now_ms=EPOCH_MS)
        return discards.ask(connection, TINDOUF, first, reason="r", actor=one, now_ms=EPOCH_MS)

    number = transact(opened.engine, give)
    for at_ms, actor in ((EPOCH_MS + SECOND_AFTER_MS - 1, f"user:{other}"), (EPOCH_MS, f"token:t@{other}")):
        with pytest.raises(AdminRefused, match="another administrator"):
            transact(opened.engine, lambda c: discards.confirm(c, number, actor=actor, now_ms=at_ms))  # noqa: B023 - run at once
    later_ms = EPOCH_MS + SECOND_AFTER_MS
    went = transact(
        opened.engine, lambda c: discards.confirm(c, number, actor=f"user:{other}", now_ms=later_ms)
    )
    assert went == 1


def test_who_is_no_second_person_yet_is_told_from_when(opened: Opened) -> None:
    """Who made the account asked: the page says who may confirm, and offers this account no button for it."""
    first = opened.waiting(TINDOUF)[:1]

    def give(connection: Connection) -> int:
        hashed = PASSWORDS.hash("amina2", PASSWORD)
        users.add(connection, "amina2", "administrator", hashed, actor="user:amina", now_ms=EPOCH_MS)
        return discards.ask(connection, TINDOUF, first, reason="r", actor="user:amina", now_ms=EPOCH_MS)

    number = transact(opened.engine, give)
    other = Browser(opened.app)
    other.sign_in("amina2")
    other.get("/?lang=en")
    page = other.get(f"/discards/{number}").text
    assert "Your account and that of who asked were in one hand within 7 days" in page
    then = datetime.fromtimestamp((EPOCH_MS + SECOND_AFTER_MS) / 1000, ZoneInfo("Africa/Algiers"))
    assert f'or you from <time datetime="{then.isoformat(timespec="milliseconds")}"' in page
    assert (f"/discards/{number}/confirm" in page, f"/discards/{number}/refuse" in page) == (False, True)
    refused = other.post(f"/discards/{number}/confirm", {})
    assert (refused.status_code, "another administrator has to decide" in refused.text) == (422, True)
    with pytest.raises(AdminRefused, match=f"{then.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"):
        transact(opened.engine, lambda c: discards.confirm(c, number, actor="user:amina2", now_ms=EPOCH_MS))
    assert f"/discards/{number}/confirm" in opened.admin.get(f"/discards/{number}").text


def test_only_what_was_asked_about_and_still_waits_goes(opened: Opened) -> None:
    chosen = opened.waiting(TINDOUF)[:3]
    number = transact(
        opened.engine, lambda c: discards.ask(c, TINDOUF, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS)
    )
    transact(
        opened.engine,
        lambda c: queues.give_up(c, TINDOUF, chosen[:1], reason="r", actor=ONE, now_ms=EPOCH_MS),
    )
    went = transact(opened.engine, lambda c: discards.confirm(c, number, actor=TWO, now_ms=EPOCH_MS))
    assert went == 2
    assert len(opened.waiting(TINDOUF)) == 28
    asked, copies = read(opened.engine, lambda c: discards.one(c, number))
    assert (asked.state, asked.returned, len(copies)) == (Stage.DONE, 2, 3)


def test_nothing_is_discarded_from_under_a_node_that_is_taking_it(opened: Opened) -> None:
    chosen = opened.waiting(CANASTEL)
    number = transact(
        opened.engine, lambda c: discards.ask(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS)
    )
    refused = opened.admin.post(f"/discards/{number}/confirm", {})
    assert (refused.status_code, "connected" in refused.text) == (422, True)
    hold(opened.engine, CANASTEL)
    assert opened.admin.post(f"/discards/{number}/confirm", {}).status_code == 303
    assert opened.waiting(CANASTEL) == []


def test_a_stopped_copy_is_discarded_though_its_node_is_connected(opened: Opened) -> None:
    """But not at once: until its session knows that it is stopped, it may still be sent."""
    chosen = opened.waiting(CANASTEL)
    transact(opened.engine, lambda c: holds.stop(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS))
    number = transact(
        opened.engine, lambda c: discards.ask(c, CANASTEL, chosen, reason="r", actor=ONE, now_ms=EPOCH_MS)
    )

    def confirm(now_ms: int) -> int:
        return transact(opened.engine, lambda c: discards.confirm(c, number, actor=TWO, now_ms=now_ms))

    for now_ms in (EPOCH_MS - 1, EPOCH_MS, EPOCH_MS + KNOWN_MS - 1):
        with pytest.raises(AdminRefused, match="10 seconds after") as refused:
            confirm(now_ms)
        assert refused.value.code == "connected"
    page = opened.admin.post(f"/discards/{number}/confirm", {})
    assert (page.status_code, "try again in 10 seconds" in page.text) == (422, True)
    assert opened.waiting(CANASTEL) == chosen
    assert confirm(EPOCH_MS + KNOWN_MS) == 1


# ── counting ───────────────────────────────────────────────────────────────────────────────


def test_queues_are_counted_by_their_index(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {one.of.facility: one for one in read(opened.engine, places)}
    assert (seen[TINDOUF].queued, seen[CANASTEL].queued, seen["chu-oran"].queued) == (31, 1, 0)
    assert seen[TINDOUF].queued_bytes
    monkeypatch.setattr(tracking, "SIZED", 3)
    seen = {one.of.facility: one for one in read(opened.engine, places)}
    assert (seen[TINDOUF].queued, seen[TINDOUF].queued_bytes) == (31, None)
    assert "–" in opened.operator.get("/queues").text


def test_what_came_back_is_found_by_its_index(opened: Opened) -> None:
    """Without it the page would read the events of all that was delivered."""

    def plan(connection: object) -> str:
        query = "EXPLAIN QUERY PLAN SELECT * FROM events WHERE state IN (5, 6) ORDER BY seq DESC LIMIT 50"
        return " ".join(str(row) for row in connection.exec_driver_sql(query))  # type: ignore[attr-defined]  # SQLAlchemy's

    assert "events_came_back" in read(opened.engine, plan)
    columns = select(spool.c.seq)
    assert len(read(opened.engine, lambda c: c.execute(columns).all())) == 32
