"""The shipped dashboards: as the generator writes them, and such as Grafana takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from monitoring.dashboards import ALL, DIRECTORY
from monitoring.grafana import COLUMNS, Dashboard, render

UNITS = {"none", "s", "bytes", "Bps", "msg/s", "cps", "percentunit"}
_TEXT = {"type": "string", "minLength": 1}
_SOURCE = {
    "type": "object",
    "properties": {"type": {"const": "prometheus"}, "uid": {"const": "${datasource}"}},
    "required": ["type", "uid"],
}
SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "description", "schemaVersion", "panels", "templating", "time", "refresh"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-z-]{1,40}$"},
        "title": _TEXT,
        "description": _TEXT,
        "schemaVersion": {"type": "integer", "minimum": 30},
        "templating": {
            "type": "object",
            "properties": {
                "list": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["name", "type", "query"],
                        "properties": {"type": {"enum": ["datasource", "query"]}},
                    },
                }
            },
        },
        "panels": {
            "type": "array",
            "minItems": 8,
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "description", "datasource", "gridPos", "targets"],
                "properties": {
                    "type": {"enum": ["timeseries", "stat"]},
                    "title": _TEXT,
                    "description": _TEXT,
                    "datasource": _SOURCE,
                    "targets": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["refId", "expr", "legendFormat", "datasource"],
                            "properties": {
                                "refId": {"type": "string", "pattern": "^[A-Z]$"},
                                "expr": _TEXT,
                                "legendFormat": _TEXT,
                                "datasource": _SOURCE,
                            },
                        },
                    },
                    "fieldConfig": {
                        "type": "object",
                        "properties": {
                            "defaults": {"type": "object", "required": ["unit", "thresholds"]},
                        },
                        "required": ["defaults", "overrides"],
                    },
                },
            },
        },
    },
}


def shipped(dashboard: Dashboard) -> Any:
    return json.loads((DIRECTORY / f"{dashboard.uid}.json").read_text(encoding="utf-8"))


def test_the_files_are_what_the_generator_writes() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == {f"{one.uid}.json" for one in ALL}
    for one in ALL:
        text = (DIRECTORY / f"{one.uid}.json").read_text(encoding="utf-8")
        assert text == render(one), "run `python -m monitoring.dashboards`"


@pytest.mark.parametrize("dashboard", ALL, ids=lambda one: one.uid)
def test_a_dashboard_is_complete(dashboard: Dashboard) -> None:
    content = shipped(dashboard)
    jsonschema_rs.validate(SCHEMA, content)
    assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in content["panels"]} <= UNITS


@pytest.mark.parametrize("dashboard", ALL, ids=lambda one: one.uid)
def test_no_panel_lies_on_another(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in shipped(dashboard)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_one_dashboard_asks_for_the_facility() -> None:
    asking = [one.uid for one in ALL if "$facility" in json.dumps(shipped(one)["panels"])]
    variables = {
        one.uid for one in ALL if "facility" in {v["name"] for v in shipped(one)["templating"]["list"]}
    }
    assert asking == ["wasl-facility"]
    assert variables == {"wasl-facility"}
