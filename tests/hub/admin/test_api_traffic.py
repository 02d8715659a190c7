"""Messages over the console's API: queues held, searched and emptied, by one person and by two; tracking."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from hub.spool.tables import presence, spool
from runtime.transactions import transact
from tests.hub.admin.network import DELIVERED, RETURNED, WAITING
from tests.hub.admin.programs import Program, add_token, done, last_act, open_program, refused
from tests.hub.hubs import EPOCH_MS

TINDOUF = "epsp-tindouf"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        yield found


def test_what_is_never_taken_is_given_up(program: Program) -> None:
    program.role = "operator"
    numbers = [one["number"] for one in program.get(f"/queues/{TINDOUF}")["items"]][:2]
    path = f"/queues/{TINDOUF}/give-up"
    refused(program.post(path, {"numbers": numbers, "reason": " "}), 422, "no-reason")
    refused(program.post(path, {"numbers": [], "reason": "x"}), 422, "bad-request")
    assert done(program.post(path, {"numbers": numbers, "reason": "gone for good"})) == {"returned": 2}
    assert done(program.post(path, {"numbers": numbers, "reason": "gone for good"})) == {"returned": 0}
    left = program.sql(lambda c: c.execute(select(spool.c.seq).where(spool.c.facility == TINDOUF)).all())
    assert len(left) == 29
    act = last_act(program)
    assert (act.actor, act.action) == ("token:operator@root", "message.given_up")


def test_what_a_facility_that_just_left_may_have_is_not_given_up(program: Program) -> None:
    program.role = "operator"
    first, second, *_ = [one["number"] for one in program.get(f"/queues/{TINDOUF}")["items"]]
    sent = {"seen_seq": first, "seen_ms": EPOCH_MS}
    transact(
        program.engine,
        lambda c: c.execute(update(presence).where(presence.c.facility == TINDOUF).values(sent)),
    )
    done(program.post(f"/queues/{TINDOUF}/pause", {"reason": "to be rid of it"}))
    body = {"numbers": [first], "reason": "gone"}
    detail = refused(program.post(f"/queues/{TINDOUF}/give-up", body), 409, "connected")
    assert "away for 15 minutes" in detail
    others = {"numbers": [second], "reason": "gone"}
    assert done(program.post(f"/queues/{TINDOUF}/give-up", others)) == {"returned": 1}


def test_a_queue_is_paused_and_resumed(program: Program) -> None:
    program.role = "operator"
    path = "/queues/chu-oran"
    refused(program.post(f"{path}/pause", {"reason": " "}), 422, "no-reason")
    told = done(program.post(f"{path}/pause", {"reason": "their disk is full"}))
    assert (told["paused"]["by"], told["paused"]["reason"]) == ("token:operator@root", "their disk is full")
    refused(program.post(f"{path}/pause", {"reason": "again"}), 409, "paused")
    assert [one["facility"] for one in program.get("/queues")["items"] if one["paused"]] == ["chu-oran"]
    assert done(program.post(f"{path}/resume", {}))["paused"] is None
    refused(program.post(f"{path}/resume", {}), 409, "not-paused")
    refused(program.post("/queues/chu-mars/pause", {"reason": "x"}), 404, "no-such-facility")


def test_copies_are_stopped_and_let_go(program: Program) -> None:
    numbers = [one["number"] for one in program.get(f"/queues/{TINDOUF}")["items"]][:3]
    stop = {"numbers": numbers, "reason": "it kills their system"}
    assert done(program.post(f"/queues/{TINDOUF}/stop", stop)) == {"changed": 3}
    before = last_act(program).number
    assert done(program.post(f"/queues/{TINDOUF}/stop", stop)) == {"changed": 0}
    assert last_act(program).number == before, "what changed nothing is not noted"
    held = {one["number"]: one["stopped"] for one in program.get(f"/queues/{TINDOUF}")["items"]}
    assert [number for number, why in held.items() if why == stop["reason"]] == numbers
    release = {"numbers": numbers[:2]}
    assert done(program.post(f"/queues/{TINDOUF}/release", release)) == {"changed": 2}


def test_a_queue_is_searched(program: Program) -> None:
    def senders(**query: object) -> set[str]:
        found = program.get(f"/queues/{TINDOUF}", query_string=query)["items"]
        return {one["from"] for one in found}

    assert senders() == {"labo@chu-oran", "labo@chu-mustapha"}
    assert senders(**{"from": "oran"}) == {"labo@chu-oran"}
    assert senders(to="labo") == set()
    assert senders(before="2020-01-01") == set()
    answer = program.ask("GET", f"/queues/{TINDOUF}", query_string={"before": "noon"})
    refused(answer, 422, "bad-time")


def test_two_people_discard_what_one_may_not_return(program: Program) -> None:
    program.role = "operator"
    numbers = [one["number"] for one in program.get(f"/queues/{TINDOUF}")["items"]][:2]
    wanted = {"facility": TINDOUF, "numbers": numbers, "reason": "sent twice"}
    asked = done(program.post("/discards", wanted), 201)
    number = asked["discard"]["number"]
    assert [one["number"] for one in asked["copies"]] == numbers
    assert asked["discard"]["asked_by"] == "token:operator@root"
    refused(program.post(f"/discards/{number}/confirm"), 403, "forbidden")
    program.role = "administrator"
    refused(program.post(f"/discards/{number}/confirm"), 409, "same-person")
    program.secrets["second"] = add_token(program.engine, "second", "administrator", maker="cli:lila")
    program.role = "second"
    refused(program.post(f"/discards/{number}/withdraw"), 409, "not-yours")
    told = done(program.post(f"/discards/{number}/confirm"))
    assert (told["discard"]["state"], told["discard"]["returned"]) == ("done", 2)
    refused(program.post(f"/discards/{number}/refuse"), 409, "settled")
    assert program.get("/discards")["items"] == [told["discard"]]
    refused(program.ask("GET", "/discards/9"), 404, "no-such-discard")
    refused(program.post("/discards", wanted), 409, "nothing")


def test_a_message_is_tracked(program: Program) -> None:
    (found,) = program.get(f"/messages/{uuid.UUID(bytes=DELIVERED)}")["items"]
    assert [step["state"] for step in found["history"]] == ["delivered", "processed"]
    assert found["waiting"] == []
    (held,) = program.get(f"/messages/{uuid.UUID(bytes=WAITING)}")["items"]
    assert len(held["waiting"]) == 2
    refused(program.ask("GET", f"/messages/{uuid.UUID(int=77)}"), 404, "no-such-message")
    returned = program.get("/returned")["items"]
    assert str(uuid.UUID(bytes=RETURNED)) in {one["id"] for one in returned}
