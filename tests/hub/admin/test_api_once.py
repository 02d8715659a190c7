"""Each change once: the same request again, another under the same key, two at a time, a crash between."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from hub.admin.api import once
from hub.admin.api.app import make_api
from hub.admin.tables import api_answers
from hub.audit.tables import audit
from hub.spool.tables import presence
from runtime import crash
from runtime.transactions import transact
from runtime.web.problems import ApiError
from tests.hub.admin.programs import Program, add_token, open_program, refused

SUSPEND = "/facilities/chu-oran/suspend"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with open_program(tmp_path) as found:
        yield found


@pytest.fixture
def anywhere(tmp_path: Path, hub_url: str) -> Iterator[Program]:
    """Yield a program on SQLite, then on PostgreSQL."""
    with open_program(tmp_path, hub_url) as found:
        yield found


def acts(program: Program, action: str) -> int:
    query = select(func.count()).select_from(audit).where(audit.c.action == action)
    return int(program.sql(lambda c: c.execute(query).scalar_one()))


def test_the_same_request_again_gets_the_same_answer_and_does_nothing(program: Program) -> None:
    invitation = {"valid_for": "1h", "kind": "chu"}
    first = program.post("/facilities/chu-batna/invite", invitation, key="one")
    again = program.post("/facilities/chu-batna/invite", dict(reversed(invitation.items())), key='"one"')
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert acts(program, "facility.invited") == 1


def test_another_request_under_the_key_is_refused(program: Program) -> None:
    assert program.post(SUSPEND, {"reason": "a"}, key="one").status_code == 200
    refused(program.post(SUSPEND, {"reason": "b"}, key="one"), 422, "key-reused")
    refused(program.post("/facilities/chu-mustapha/suspend", {"reason": "a"}, key="one"), 422, "key-reused")
    refused(program.post("/facilities/chu-oran/resume", key="one"), 422, "key-reused")
    assert program.get("/facilities/chu-mustapha")["facility"]["state"] == "active"


def test_keys_are_each_tokens_own(program: Program) -> None:
    body = {"numbers": [1], "reason": "gone"}
    program.post("/queues/epsp-tindouf/give-up", body, key="one")
    program.role = "operator"
    other = program.post("/queues/epsp-tindouf/give-up", body, key="one")
    assert "Idempotency-Replayed" not in other.headers


def test_a_change_needs_a_key(program: Program) -> None:
    refused(program.post(SUSPEND, {}, key=None), 400, "no-idempotency-key")
    for key in ("", " ", "a b", "é", "x" * 256, 'a"b', "a\\b", '"'):
        answer = program.post(SUSPEND, {}, headers={"Idempotency-Key": key}, key=None)
        refused(answer, 400, "bad-idempotency-key")
    assert program.get("/facilities/chu-oran")["facility"]["state"] == "active"


def test_what_was_refused_may_be_sent_again_under_its_key(program: Program) -> None:
    body = {"numbers": [1], "reason": "gone"}
    refused(program.post("/queues/chu-oran/give-up", body, key="one"), 409, "connected")
    assert program.sql(lambda c: c.execute(select(api_answers)).all()) == []
    transact(program.engine, lambda c: c.execute(update(presence).values(connected=False)))
    done = program.post("/queues/chu-oran/give-up", body, key="one")
    assert (done.status_code, done.json) == (200, {"returned": 0})


def test_keys_are_forgotten_after_a_day(program: Program) -> None:
    assert program.post(SUSPEND, {}, key="one").status_code == 200
    program.secrets["administrator"] = add_token(
        program.engine, "long", "administrator", valid_for_ms=9 * once.KEPT_MS
    )
    assert program.post("/facilities/chu-mustapha/suspend", {}, key="one").status_code == 200
    program.console.clock._task_clock.advance(once.KEPT_MS / 1000)  # type: ignore[attr-defined]  # a simulated one
    other = program.post("/facilities/chu-oran/resume", key="one")
    assert (other.status_code, "Idempotency-Replayed" in other.headers) == (200, False)
    rows = program.sql(lambda c: c.execute(select(api_answers.c.token, api_answers.c.key)).all())
    assert [tuple(row) for row in rows] == [("long", "one")]


def test_a_token_has_only_so_many_keys(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST", 2)
    assert program.post(SUSPEND, {}, key="a").status_code == 200
    assert program.post("/facilities/ehs-canastel/suspend", {}, key="b").status_code == 200
    answer = program.post("/facilities/chu-mustapha/suspend", {}, key="c")
    refused(answer, 429, "too-many-keys")
    assert program.get("/facilities/chu-mustapha")["facility"]["state"] == "active", "nothing was changed"
    assert program.post(SUSPEND, {}, key="a").status_code == 200


def test_of_two_at_once_one_is_done(anywhere: Program) -> None:
    """The second is told to come back, or gets the first's answer; whichever, it is done once."""
    answers: list[Any] = []
    start = threading.Barrier(8)
    app = anywhere.app
    headers = {
        "Authorization": f"Bearer {anywhere.secrets['administrator']}", "Idempotency-Key": "raced",
    }  # fmt: skip

    def send() -> None:
        start.wait()
        answers.append(
            app.test_client().post(
                "/api/v1/policy/apply", json={"text": "[policy]\n"}, headers=headers,
                base_url="http://localhost",
            )
        )  # fmt: skip

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.status_code for one in answers} <= {201, 409}
    assert {one.json["code"] for one in answers if one.status_code == 409} <= {"in-flight"}
    assert {one.data for one in answers if one.status_code == 201} == {b'{"number":1}'}
    assert acts(anywhere, "policy.applied") == 1


def test_processes_that_share_a_database_do_it_once_too(anywhere: Program) -> None:
    """The claim in memory is a courtesy; what decides is the row, in the transaction of the change."""
    apart = [replace(anywhere, app=make_api(anywhere.console)) for _ in range(2)]
    start, answers = threading.Barrier(2), []

    def send(one: Program) -> None:
        headers = {"Authorization": f"Bearer {one.secrets['administrator']}", "Idempotency-Key": "raced"}
        start.wait()
        answers.append(
            one.app.test_client().post(
                "/api/v1/policy/apply", json={"text": "[policy]\n"}, headers=headers,
                base_url="http://localhost",
            )
        )  # fmt: skip

    threads = [threading.Thread(target=send, args=(one,)) for one in apart]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [201, 201]
    assert acts(anywhere, "policy.applied") == 1


def test_one_that_is_being_done_is_in_flight() -> None:
    in_flight, asked = once.InFlight(), once.Asked("nightly", "one", b"")
    with in_flight.claim(asked):
        with pytest.raises(ApiError, match="being done") as caught, in_flight.claim(asked):
            pass
        assert (caught.value.status, caught.value.retry_after_s) == (409, 1)
        with in_flight.claim(once.Asked("weekly", "one", b"")):
            pass
    with in_flight.claim(asked):
        pass


def test_an_answer_that_cannot_be_kept_undoes_the_change(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("lost")

    with monkeypatch.context() as patched:
        patched.setattr(once, "keep", fail)
        refused(program.post(SUSPEND, {}, key="one"), 500, "fault")
    assert program.get("/facilities/chu-oran")["facility"]["state"] == "active"
    assert program.post(SUSPEND, {}, key="one").status_code == 200
    assert acts(program, "facility.suspended") == 1


KILLED = """
import sys
from pathlib import Path
from argon2.profiles import CHEAPEST
from hub.admin.api.app import make_api
from tests.hub.admin.consoles import console_on
from runtime.transactions import open_engine
engine = open_engine(f"sqlite:///{sys.argv[1]}")
make_api(console_on(engine)).test_client().post(
    "/api/v1/facilities/chu-oran/suspend", json={"reason": "x"}, base_url="http://localhost",
    headers={"Authorization": "Bearer " + sys.argv[2], "Idempotency-Key": "one"},
)
"""


def test_a_process_killed_before_it_answered_did_it_once(program: Program, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "hub.db"), program.secrets["administrator"]],
        env={"WASL_CRASH_AT": "hub-changed-before-answer", "PYTHONPATH": ":".join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == -9
    again: Any = program.post(SUSPEND, {"reason": "x"}, key="one")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json["state"] == "suspended"
    assert acts(program, "facility.suspended") == 1
    assert crash.VARIABLE == "WASL_CRASH_AT"


def test_a_fingerprint_says_nothing_without_the_token() -> None:
    assert once.fingerprint("a", b"x") != once.fingerprint("b", b"x")
    assert once.fingerprint("a", b"x", b"y") != once.fingerprint("a", b"xy")
