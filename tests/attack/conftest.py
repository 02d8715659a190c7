"""The attacks run against the same real daemons as the integration tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import module_network, network, new_network, template

__all__ = ["module_network", "network", "new_network", "template"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
