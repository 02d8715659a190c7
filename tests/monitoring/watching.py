"""A real Prometheus with the shipped rules, hurried: it looks every second, and minutes are seconds.

Only the waiting is shortened (``for``, and how far back a rule looks); what a rule compares with stays.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.integration.ports import free_port
from tests.integration.waiting import wait_until
from tests.monitoring.conftest import MONITORING

RAISED_S = 60.0
"""An alert has to come, or go, within this time on a busy machine."""
_HURRIED = ((r"for: \w+", "for: 1s"), (r"\[\d+m\]", "[20s]"), (r"offset \d+m", "offset 20s"))


class Prometheus:
    """One process that scrapes a hub and a node."""

    def __init__(self, program: str, directory: Path, hub_port: int, node_port: int) -> None:
        rules = (MONITORING / "rules/wasl.yml").read_text(encoding="utf-8")
        for pattern, shorter in _HURRIED:
            rules, count = re.subn(pattern, shorter, rules)
            assert count
        (directory / "rules").mkdir()
        (directory / "rules/wasl.yml").write_text(rules, encoding="utf-8")
        config = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
        for shipped, ours in (
            ("127.0.0.1:7601", f"127.0.0.1:{hub_port}"),
            ("127.0.0.1:7610", f"127.0.0.1:{node_port}"),
            ("scrape_interval: 15s", "scrape_interval: 1s\n  scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ):
            assert shipped in config
            config = config.replace(shipped, ours)
        (directory / "prometheus.yml").write_text(config, encoding="utf-8")
        self._port = free_port()
        self._log = (directory / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        """Return it when it sees both daemons."""
        wait_until("Prometheus sees hub and node", lambda: self.value("sum(up)") == 2, RAISED_S)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def value(self, query: str) -> float | None:
        """Return the one value of a query, None if there is none."""
        result = self._get(f"query?query={urllib.parse.quote(query)}")
        found = result["result"] if result else []
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, dict[str, str]]:
        """Return the alerts that fire: by name, the annotations of one."""
        found = self._get("alerts") or {"alerts": []}
        return {
            one["labels"]["alertname"]: one["annotations"]
            for one in found["alerts"]
            if one["state"] == "firing"
        }

    def raises(self, name: str) -> dict[str, str]:
        """Wait until an alert fires; returns its annotations."""
        annotations = wait_until(f"{name} fires", lambda: self.firing().get(name, {}), RAISED_S, 0.25)
        assert "<error" not in str(annotations), annotations
        return annotations

    def clears(self, name: str) -> None:
        """Wait until an alert does not fire any more."""
        wait_until(f"{name} clears", lambda: name not in self.firing(), RAISED_S, 0.25)

    def _get(self, what: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{what}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None
