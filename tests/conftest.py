"""What holds for every test: Hypothesis judges what code does, not how fast a shared machine is today."""

import pytest
from hypothesis import HealthCheck, settings

from tests.databases.urls import database_url, databases, kind, new_url

__all__ = ["database_url", "databases", "kind", "new_url"]

settings.register_profile("wasl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wasl")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nodes-on-postgresql", action="store_true", help="run the nodes' stores on PostgreSQL too"
    )
