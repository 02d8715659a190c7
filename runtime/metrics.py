"""Metrics: a registry of our own, passed to whoever counts something, shown at ``/metrics``.

The registry is not prometheus_client's global one: two daemons in one test process must not share counters,
and nothing may be counted that nobody asked for. Each room declares its metrics at the top of its own module.
"""

import platform

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector


def new_registry(component: str, version: str) -> CollectorRegistry:
    """Return a registry that knows this process and its build.

    ``component`` is "hub" or "node"; ``version`` is Wasl's. It holds ``wasl_build_info`` (always 1, facts in
    the labels) and the usual ``process_*`` and ``python_*`` figures.
    """
    # They are a second series for each counter, which Prometheus does not need.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
    registry = CollectorRegistry()
    build = Gauge(
        "wasl_build_info",
        "Always 1; the labels say what runs here.",
        ["component", "version", "python"],
        registry=registry,
    )
    build.labels(component, version, platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
