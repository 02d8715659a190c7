"""What every integration test shares: the joined homes, made once, and logs that show up on failure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.integration.network import Network
from tests.integration.template import FACILITIES, make_template

TIMEOUT_S = 300
"""For a test that starts processes on a busy machine; each wait in it has its own, shorter deadline."""

NewNetwork = Callable[..., Network]
_open: list[Network] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for network in _open:
            report.sections.append((f"logs of {network.root}", network.logs()))
    return report


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return homes that have joined already, to be copied."""
    return make_template(tmp_path_factory.mktemp("template"))


def _networks(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewNetwork]:
    made: list[Network] = []

    def new(facilities: tuple[str, ...] = FACILITIES[:2]) -> Network:
        network = Network(tmp_path_factory.mktemp("network"), template, facilities)
        made.append(network)
        _open.append(network)
        return network

    yield new
    for network in made:
        network.close()
        _open.remove(network)


@pytest.fixture
def new_network(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewNetwork]:
    """Make networks that end with the test."""
    yield from _networks(template, tmp_path_factory)


@pytest.fixture(scope="module")
def module_network(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewNetwork]:
    """Make networks that end with the module."""
    yield from _networks(template, tmp_path_factory)


@pytest.fixture
def network(new_network: NewNetwork) -> Network:
    """Return a hub and two nodes, not started."""
    return new_network()
