"""What the tests of monitoring share: Debian's Prometheus, the shipped files, a running network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

from tests.integration.conftest import NewNetwork, module_network, template
from tests.integration.network import Network
from tests.integration.ports import free_port

__all__ = ["module_network", "template"]

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
OURS = re.compile(r"\bwasl_[a-z0-9_]+")


@dataclass(frozen=True)
class Alert:
    """One alert of the shipped rules."""

    name: str
    expr: str
    hold: str
    severity: str
    annotations: dict[str, str]


def alerts() -> list[Alert]:
    """Return all shipped alerts."""
    content: Any = yaml.safe_load((MONITORING / "rules/wasl.yml").read_text(encoding="utf-8"))
    return [
        Alert(
            rule["alert"], rule["expr"], rule.get("for", "0s"), rule["labels"]["severity"],
            rule["annotations"],
        )
        for group in content["groups"]
        for rule in group["rules"]
    ]  # fmt: skip


@pytest.fixture(scope="session")
def promtool() -> str:
    return _installed("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    return _installed("prometheus")


def _installed(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


@pytest.fixture(scope="module")
def running(module_network: NewNetwork) -> Network:
    """Return a hub and two nodes that run, one with every door open."""
    network = module_network()
    folder = f'[folder]\n[api]\nlisten = "127.0.0.1:{free_port()}"\n'
    network.nodes["chu-alger"].configure(folder, acknowledge="stored", deliver={"cardio": free_port()})
    network.start()
    return network


Scrape = Callable[[], str]


def scraped(network: Network) -> list[str]:
    """Return what the hub and a node show, as Prometheus gets it."""
    daemons = network.hub, network.nodes["chu-alger"]
    answers = [daemon.get("/metrics") for daemon in daemons]
    assert [code for code, _ in answers] == [200, 200]
    return [body for _, body in answers]
