"""The OpenAPI 3.1 document, made from the table of routes and the structs that they name."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.gateways.api import bounds
from nodes.gateways.api.problems import MEDIA_TYPE, Problem
from nodes.gateways.api.routes import Route, Stream

COMMON: Final = (400, 401, 405, 421, 422, 500, 503)
"""What any route may answer with."""
_VERSION: Final = "1.0"
_REFERENCE: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document as plain values."""
    named: set[type] = {Problem}
    for route in routes:
        bodies = [route.body, *route.answers.values()]
        named |= {one for one in bodies if one is not None and one is not Stream}
    queries = [route.query for route in routes if route.query is not None]
    kinds = sorted(named, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components([*kinds, *queries], ref_template=_REFERENCE)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    for query in queries:
        components.pop(query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wasl node: local API", "version": _VERSION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    responses = {
        str(status): {"description": HTTPStatus(status).phrase, "content": _content(kind)}
        for status, kind in route.answers.items()
    }
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name=Problem.__name__)}}}
    for status in sorted({*COMMON, *route.problems}):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [_in_path(name) for name in route.parameters] + _in_query(route.query, components),
        "responses": responses,
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation


def _content(kind: type) -> dict[str, Any]:
    if kind is Stream:
        return {_BYTES: {}}
    return {_JSON: {"schema": {"$ref": _REFERENCE.format(name=kind.__name__)}}}


def _in_path(name: str) -> dict[str, Any]:
    uuid = {"type": "string", "format": "uuid"}
    number = {"type": "integer", "minimum": 1, "maximum": bounds.LISTED}
    schema = uuid if name == "id" else number
    return {"name": name, "in": "path", "required": True, "schema": schema}


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
