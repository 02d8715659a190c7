"""Bodies and heads that mean no good: large, deep, of the wrong kind, half-written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hub.admin.api.app import BODY_BYTES
from tests.hub.admin.programs import Program, open_program, refused

SUSPEND = "/facilities/chu-oran/suspend"
APPLY = "/policy/apply"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with open_program(tmp_path_factory.mktemp("hub")) as found:
        yield found


def send(program: Program, path: str, raw: bytes, **headers: str) -> Any:
    return program.ask("POST", path, data=raw, headers={**JSON, **headers})


def test_a_body_that_is_too_large_is_not_read(program: Program) -> None:
    detail = refused(send(program, APPLY, b" " * (BODY_BYTES + 1)), 413, "too-large")
    assert str(BODY_BYTES) in detail


def test_a_policy_as_large_as_it_may_be_is_read(program: Program) -> None:
    text = "# " + "x" * 199_000
    assert program.post(APPLY, {"text": text}).status_code == 201
    refused(program.post(APPLY, {"text": "# " + "x" * 200_000}), 422, "bad-request")


def test_a_policy_of_too_many_lines_is_not_compared(program: Program) -> None:
    text = "[policy]\n" + "\n" * 100_000
    assert "2,000 lines" in refused(
        program.post("/policy/diff", {"text": text}, key=None), 422, "too-many-lines"
    )


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"reason":' * 20_000, b'{"reason":' + b"[" * 100_000])
def test_deep_json_is_refused(program: Program, deep: bytes) -> None:
    assert send(program, SUSPEND, deep).status_code in {400, 422}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"reason": "\xff"}', b'{"reason": "x"} more', b"\x00"]
)
def test_what_is_no_json_is_said_to_be_none(program: Program, raw: bytes) -> None:
    answer = send(program, SUSPEND, raw)
    assert (answer.status_code, answer.json["code"]) in {(400, "bad-json"), (422, "bad-request")}


@pytest.mark.parametrize(
    "raw", [b'{"reason": "a\\u0000b"}', b'{"reason": "\\ud800"}', b'{"reason": "\\udc00x"}']
)
def test_texts_that_no_database_keeps_are_refused(program: Program, raw: bytes) -> None:
    answer = send(program, SUSPEND, raw)
    assert (answer.status_code, answer.json["code"]) in {(422, "bad-text"), (400, "bad-json")}
    in_query = program.ask("GET", "/audit?actor=%00")
    refused(in_query, 422, "bad-text")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
)
def test_only_json_is_read(program: Program, kind: str) -> None:
    assert "application/json" in refused(
        send(program, SUSPEND, b'{"reason": ""}', **{"Content-Type": kind}), 415, "not-json"
    )


@pytest.mark.parametrize("body", [[], "x", 7, None, {"reason": 7}, {"reason": None}, {"reason": ["x"]}])
def test_what_has_the_wrong_form_is_said_where(program: Program, body: object) -> None:
    detail = refused(send(program, SUSPEND, json.dumps(body).encode()), 422, "bad-request")
    assert detail.startswith("in the body: ")


def test_a_field_that_is_said_twice_is_one(program: Program) -> None:
    answer = send(program, SUSPEND, b'{"reason": "a", "reason": "b"}')
    assert answer.status_code == 200
    program.post("/facilities/chu-oran/resume")


def test_numbers_out_of_any_bound_are_refused(program: Program) -> None:
    for number in (0, -1, 1 << 63, 1 << 200, 1.5, "1", True, 1e400):
        body = json.dumps({"numbers": [number], "reason": "x"}).encode()
        answer = send(program, "/queues/epsp-tindouf/give-up", body)
        assert answer.status_code in {400, 422}, number


def test_unknown_parameters_are_refused(program: Program) -> None:
    refused(program.ask("GET", "/overview?debug=1"), 422, "bad-query")
    refused(program.ask("GET", "/facilities?sort=title"), 422, "bad-query")
    refused(program.ask("POST", f"{SUSPEND}?force=1", json={}), 422, "bad-query")


def test_bad_utf_8_in_a_path_or_a_query_is_nothing(program: Program) -> None:
    assert program.ask("GET", "/facilities/%ff%fe").status_code == 404
    assert program.ask("GET", "/facilities?text=%ff").status_code == 200
    assert program.ask("GET", "/audit?subject=%ed%a0%80").status_code in {200, 422}


def test_a_head_is_not_echoed_whole(program: Program) -> None:
    long = "x" * 5_000
    for answer in (
        program.ask("GET", f"/{long}"),
        program.ask("GET", f"/overview?{long}=1"),
        send(program, SUSPEND, b"{}", **{"Content-Type": long}),
        program.ask("GET", "/facilities", query_string={"cursor": long}),
    ):
        assert answer.status_code in {404, 415, 422}
        assert len(answer.data) < 600
