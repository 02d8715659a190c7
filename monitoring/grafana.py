"""What a Grafana dashboard is made of: panels with queries, laid on a grid, as the JSON that Grafana imports.

A panel is a title, what it says, a unit and its queries; the grid, the colours and the data source are the
same for all. The data source is a variable: whoever imports a dashboard says which Prometheus it means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

SCHEMA_VERSION: Final = 39
"""Of Grafana 11, which older dashboards are brought up to as well."""
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query and how its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; ``kind`` is Grafana's, ``red_from`` a value from which on a number is shown in red."""

    title: str
    text: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    red_from: float | None = None
    red_below: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; ``by_facility`` gives it the variable ``$facility``."""

    uid: str
    title: str
    text: str
    panels: tuple[Panel, ...]
    by_facility: bool = False


def number(title: str, text: str, unit: str, expr: str, **more: Any) -> Panel:
    """Return a panel with one number."""
    return Panel(title, text, unit, (Query(expr, title),), kind="stat", width=4, height=4, **more)


def render(dashboard: Dashboard) -> str:
    """Return a dashboard as Grafana's JSON."""
    content = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["wasl"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_link()],
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": []},
        "panels": _panels(dashboard.panels),
    }
    return json.dumps(content, indent=1) + "\n"


def _link() -> dict[str, Any]:
    return {"type": "dashboards", "tags": ["wasl"], "title": "Wasl", "asDropdown": True, "keepTime": True}


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    if not dashboard.by_facility:
        return [source]
    query = "label_values(wasl_hub_facility_connected, facility)"
    facility = {
        "name": "facility", "label": "Facility", "type": "query", "datasource": _SOURCE, "refresh": 2,
        "sort": 1, "definition": query, "query": {"query": query, "refId": "facilities"},
    }  # fmt: skip
    return [source, facility]


def _panels(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    x = y = row_height = 0
    for identifier, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(_panel(identifier, panel, place))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return placed


def _panel(identifier: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": one.expr, "legendFormat": one.legend}
            for n, one in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": _thresholds(panel)},
            "overrides": [],
        },
        "options": {},
    }  # fmt: skip


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    return {"mode": "absolute", "steps": steps}
