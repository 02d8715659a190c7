"""What a real hub and node show: well named, written down, and all that rules and dashboards ask for."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitoring.dashboards import ALL, DIRECTORY
from tests.integration.network import Network
from tests.monitoring.conftest import OURS, ROOT, alerts, scraped

FOREIGN = re.compile(r"\b(?:process|python)_[a-z0-9_]+")
NAMELESS = {"message", "id", "patient", "sender", "recipient", "mailbox", "subject"}
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def families(running: Network) -> dict[str, Metric]:
    """Return what both show, by name, counters as they are asked for."""
    found: dict[str, Metric] = {}
    for text in scraped(running):
        for family in text_string_to_metric_families(text):
            found[family.name + ("_total" if family.type == "counter" else "")] = family
    return found


def test_names_follow_the_rules_of_prometheus(running: Network, promtool: str) -> None:
    for text in scraped(running):
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_no_label_names_a_message_or_a_patient(families: dict[str, Metric]) -> None:
    ours = [family for name, family in families.items() if name.startswith("wasl_")]
    assert len(ours) > 40
    for family in ours:
        for sample in family.samples:
            assert not sample.labels.keys() & NAMELESS, sample


@cache
def asked_for() -> set[str]:
    """Return every metric that a rule or a dashboard names."""
    texts = [alert.expr for alert in alerts()]
    for one in ALL:
        content = json.loads((DIRECTORY / f"{one.uid}.json").read_text(encoding="utf-8"))
        texts += [target["expr"] for panel in content["panels"] for target in panel["targets"]]
        texts += [v["definition"] for v in content["templating"]["list"] if "definition" in v]
    return {name for text in texts for name in (*OURS.findall(text), *FOREIGN.findall(text))}


def test_every_metric_that_is_asked_for_is_there(families: dict[str, Metric]) -> None:
    there = set(families)
    for name, family in families.items():
        there.update(name + suffix for suffix in _SUFFIXES.get(family.type, ()))
    assert len(asked_for()) > 30
    assert asked_for() <= there, asked_for() - there


def test_every_metric_is_written_down_and_no_other_is(families: dict[str, Metric]) -> None:
    """The tables of docs/metrics.md: name, type, labels, meaning as the daemons say it."""
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    told = {
        name: (kind, meaning)
        for name, kind, meaning in re.findall(
            r"^\| `(wasl_\w+)` \| (\w+) \| .*? \| (.+) \|$", text, re.MULTILINE
        )
    }
    shown = {
        name: (family.type, family.documentation)
        for name, family in families.items()
        if name.startswith("wasl_")
    }
    assert told == shown


def test_labels_are_written_down(families: dict[str, Metric]) -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(wasl_\w+)` \| \w+ \| (.*?) \|", text, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for name, family in families.items():
        if name.startswith("wasl_") and family.samples:
            shown = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert told[name] == shown, name
