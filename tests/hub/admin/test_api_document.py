"""The API's document: every route is in it, and what the API does is what it says (by a fuzzer)."""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import just

from hub.admin.api import network, people
from hub.admin.api.routes import IDEMPOTENCY_KEY
from hub.admin.api.table import DOCUMENT, PREFIX, ROUTES
from hub.admin.facilities import FacilityState
from hub.admin.overview import Grade
from hub.admin.roles import Role
from hub.audit import growth
from runtime.transactions import transact
from runtime.web import signin
from tests.hub.admin.network import WAITING
from tests.hub.admin.programs import Program, open_program
from tests.hub.hubs import AUDIT, EPOCH_MS

EXAMPLES = 5
KNOWN = {"facility": "epsp-tindouf", "name": "viewer", "id": str(uuid.UUID(bytes=WAITING)), "number": 1}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with open_program(tmp_path_factory.mktemp("hub")) as found:
        yield found


def shown(program: Program) -> Any:
    return program.app.test_client().get(DOCUMENT, base_url="http://localhost").json


def test_every_route_is_in_the_document_and_nothing_else_is(program: Program) -> None:
    described = {(method.upper(), path) for path, one in shown(program)["paths"].items() for method in one}
    assert described == {(route.method, route.path) for route in ROUTES}
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in program.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert served == described | {("GET", DOCUMENT)}
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_the_page_about_it_has_every_route() -> None:
    text = (Path(__file__).parents[3] / "docs/console-api.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (GET|POST|PATCH) \| `(.+?)` \| (\w+) \| (.+?) \|$", text, re.MULTILINE)
    assert told == [
        (route.method, route.path.removeprefix(PREFIX), route.needs, route.summary) for route in ROUTES
    ]


def test_what_changes_something_wants_a_key_and_says_so(program: Program) -> None:
    for route in ROUTES:
        operation = shown(program)["paths"][route.path][route.method.lower()]
        headers = [one["name"] for one in operation["parameters"] if one["in"] == "header"]
        assert headers == ([IDEMPOTENCY_KEY] if route.changes else []), route.name


def test_every_reference_leads_somewhere(program: Program) -> None:
    document = shown(program)

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                yield from references(one)

    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_the_words_of_the_document_are_those_of_the_services() -> None:
    assert set(get_args(network.Standing)) == {str(one) for one in FacilityState}
    assert tuple(one.name.lower() for one in Grade) == network.GRADES
    assert set(get_args(people.RoleName)) == {str(one) for one in Role}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_api_does_what_its_document_says(program: Program) -> None:
    """Schemathesis makes requests, right and wrong, from the document and checks every answer against it.

    Every other one is about something that exists, or nothing but 404 would be seen. Wrong requests are also
    those with a wrong token or none: time passes, so that the next one need not wait.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fuzzer's own imports
        import schemathesis  # noqa: PLC0415 - it is heavy, and this test alone needs it
        from schemathesis.checks import not_a_server_error  # noqa: PLC0415 - likewise
        from schemathesis.generation import GenerationMode  # noqa: PLC0415 - likewise
        from schemathesis.specs.openapi import checks as conformance  # noqa: PLC0415 - likewise

    program.post("/policy/apply", {"text": "[policy]\n"})
    (first, *_) = program.get(f"/queues/{KNOWN['facility']}")["items"]
    wanted = {"facility": KNOWN["facility"], "numbers": [first["number"]], "reason": "x"}
    assert program.post("/discards", wanted).status_code == 201
    transact(program.engine, lambda c: growth.seal(c, AUDIT, "hub", EPOCH_MS))
    checks = [
        not_a_server_error,
        conformance.status_code_conformance,
        conformance.content_type_conformance,
        conformance.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_wsgi(DOCUMENT, program.app)
    statuses: dict[str, Counter[int]] = {route.name: Counter() for route in ROUTES}
    clock: Any = program.console.clock
    headers = {"Authorization": f"Bearer {program.secrets['administrator']}"}
    for route in ROUTES:
        turns = itertools.cycle([True, False])

        def fuzz(case: Any, name: str, turns: Iterator[bool]) -> None:
            clock._task_clock.advance(signin.LONGEST_WAIT_S)
            if case.path_parameters and next(turns):
                case.path_parameters = {part: KNOWN[part] for part in case.path_parameters}
            answer = case.call_and_validate(headers=headers, checks=checks)
            statuses[name][answer.status_code] += 1

        bounded = settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        about = {"name": just(route.name), "turns": just(turns)}
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = schema[route.path][route.method].as_strategy(generation_mode=mode)
            with contextlib.suppress(Unsatisfiable):  # nothing wrong can be said where nothing can be said
                bounded(given(case=cases, **about)(fuzz))()
    told = Counter[int]()
    for one in statuses.values():
        told += one
    assert told.total() >= len(ROUTES) * EXAMPLES / 2
    assert {200, 404, 422} <= told.keys()
    assert not told.keys() & {429, 500, 503}, statuses
    looks = {route.name for route in ROUTES if route.method == "GET"}
    assert {name for name in looks if not statuses[name][200]} <= {"proveMessage"}, "it is not signed yet"
