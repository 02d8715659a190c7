"""The API's document: every route is in it, and what the API does is what it says (by a fuzzer)."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import just

from nodes.gateways.api import shapes
from nodes.gateways.api.table import DOCUMENT, ROUTES
from nodes.link.ids import id_text
from protocols.link.envelope import State
from tests.nodes.fixtures import Station
from tests.nodes.gateways.api_ends import Caller, attach, open_caller

EXAMPLES = 40


@pytest.fixture
def api(station: Station) -> Iterator[Caller]:
    with open_caller(station) as caller:
        yield caller


def test_every_route_is_in_the_document_and_nothing_else_is(api: Caller) -> None:
    document: Any = api.http.get(DOCUMENT).json
    described = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
    assert described == {(route.method, route.path) for route in ROUTES}
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }
    assert served == described | {("GET", DOCUMENT)}
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_every_reference_leads_somewhere(api: Caller) -> None:
    document: Any = api.http.get(DOCUMENT).json

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


def test_the_words_of_states_are_those_of_the_document() -> None:
    assert {state.word for state in State} == set(get_args(shapes.Word))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_api_does_what_its_document_says(api: Caller) -> None:
    """Schemathesis makes requests, right and wrong, from the document and checks every answer against it.

    Every other one is about a message that exists, or nothing but 404 would be seen.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fuzzer's own imports
        import schemathesis  # noqa: PLC0415 - it is heavy, and this test alone needs it
        from schemathesis.checks import not_a_server_error  # noqa: PLC0415 - likewise
        from schemathesis.generation import GenerationMode  # noqa: PLC0415 - likewise
        from schemathesis.specs.openapi import checks as conformance  # noqa: PLC0415 - likewise

    seq = api.station.receive(b"x")
    attach(api.station, seq, "a.png", b"0123456789")
    arrived = id_text(api.station.inbox_row(seq).id)
    sent = api.send(id="fuzzed").json["id"]
    checks = [
        not_a_server_error,
        conformance.status_code_conformance,
        conformance.content_type_conformance,
        conformance.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_wsgi(DOCUMENT, api.app)
    statuses: dict[str, Counter[int]] = {route.name: Counter() for route in ROUTES}
    for route in ROUTES:
        known = {"id": sent if "messages" in route.path else arrived, "number": 1}
        turns = itertools.cycle([True, False])

        def fuzz(case: Any, route: Any, known: dict[str, Any], turns: Iterator[bool]) -> None:
            if case.path_parameters and next(turns):
                case.path_parameters = {name: known[name] for name in case.path_parameters}
            headers = {"Authorization": f"Bearer {api.token}"}
            answer = case.call_and_validate(headers=headers, checks=checks)
            statuses[route.name][answer.status_code] += 1

        bounded = settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        about = {"route": just(route), "known": just(known), "turns": just(turns)}
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = schema[route.path][route.method].as_strategy(generation_mode=mode)
            with contextlib.suppress(Unsatisfiable):  # nothing wrong can be said where nothing can be said
                bounded(given(case=cases, **about)(fuzz))()
    for route in ROUTES:
        assert statuses[route.name].keys() & route.answers.keys() or route.name == "send", statuses
    assert sum(one.total() for one in statuses.values()) >= len(ROUTES) * EXAMPLES / 2
