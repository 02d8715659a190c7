"""The OpenAPI 3.1 document, made from the table of routes and the structs that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from runtime.web.problems import MEDIA_TYPE, Problem
from runtime.web.routes import JSON, Media, Route

_REFERENCE: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a document says beside its routes.

    ``parts``: the schema of each part of a path, by its name. ``common``: statuses that any route may answer.
    """

    title: str
    version: str
    parts: Mapping[str, Mapping[str, object]]
    common: tuple[int, ...]
    text: str = ""


def document(routes: Sequence[Route], plan: Plan) -> dict[str, Any]:
    """Return the document as plain values."""
    bodies = [kind for route in routes for kind in (route.body, *route.answers.values())]
    named: set[type[Struct]] = {Problem, *(kind for kind in bodies if isinstance(kind, type))}
    queries = [route.query for route in routes if route.query is not None]
    kinds = sorted(named, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components([*kinds, *queries], ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, plan, components)
    for query in queries:
        components.pop(query.__name__, None)
    info = {"title": plan.title, "version": plan.version}
    return {
        "openapi": "3.1.0",
        "info": {**info, "description": plan.text} if plan.text else info,
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, plan: Plan, components: dict[str, Any]) -> dict[str, Any]:
    responses = {
        str(status): {"description": HTTPStatus(status).phrase, "content": _content(kind)}
        for status, kind in route.answers.items()
    }
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name=Problem.__name__)}}}
    for status in sorted({*plan.common, *route.problems}):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    in_path = [{"name": n, "in": "path", "required": True, "schema": plan.parts[n]} for n in route.parameters]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": in_path + _in_query(route.query, components) + route.headers,
        "responses": responses,
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation


def _content(kind: type[Struct] | Media) -> dict[str, Any]:
    if isinstance(kind, Media):
        return {name: {} for name in kind.types}
    return {JSON: {"schema": {"$ref": _REFERENCE.format(name=kind.__name__)}}}


def _in_query(query: type[Struct] | None, components: dict[str, Any]) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = components[query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(one)}
        for name, one in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema for text in a query, where null cannot be said."""
    kinds = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    chosen = {**kinds[0], "description": schema.get("description", "")} if len(kinds) == 1 else schema
    if "enum" in chosen:
        chosen = {**chosen, "enum": [value for value in chosen["enum"] if value is not None]}
    return {
        key: value
        for key, value in chosen.items()
        if not (key == "default" and value is None) and value != ""
    }
