"""The shipped rules: valid, each fires and clears, each has its runbook. No daemon runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

from tests.monitoring.conftest import MONITORING, ROOT, Alert, alerts

ALERTS = alerts()
WANTED = {
    "WaslHubDown", "WaslNodeSilent", "WaslQueueGrowing", "WaslMessageTooOld", "WaslStatWaiting",
    "WaslReturnsRising", "WaslDiskLow", "WaslDatabaseNotWritable", "WaslCommitSlow", "WaslHandshakeFailures",
    "WaslKeyExpiring", "WaslKeyExpiringSoon", "WaslAuditChainBroken", "WaslBackupOld", "WaslClockLeapt",
    "WaslDeliverySlow", "WaslSessionsFlapping",
}  # fmt: skip
STEPS = ("What it means.", "What to look at.", "What to do.")


def run(*command: str | Path, cwd: Path = MONITORING) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_must_be_warned_of_is() -> None:
    assert {alert.name for alert in ALERTS} >= WANTED
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_rules_and_sample_are_valid(promtool: str) -> None:
    assert f"{len(ALERTS)} rules found" in run(promtool, "check", "rules", "rules/wasl.yml")
    run(promtool, "check", "config", "prometheus.yml")


def test_every_alert_fires_once_and_clears_once(promtool: str) -> None:
    run(promtool, "test", "rules", "wasl_test.yml", cwd=MONITORING / "rules")
    tests = yaml.safe_load((MONITORING / "rules/wasl_test.yml").read_text(encoding="utf-8"))["tests"]
    assert [test["name"] for test in tests] == [alert.name for alert in ALERTS]
    for test in tests:
        fires, clears = test["promql_expr_test"]
        for asked in (fires, clears):
            assert asked["expr"] == f'count(ALERTS{{alertname="{test["name"]}",alertstate="firing"}})'
        assert (fires["exp_samples"], clears["exp_samples"]) == ([{"value": 1}], [])


def test_a_rule_that_never_fires_is_noticed(promtool: str, tmp_path: Path) -> None:
    """The tests of the rules are able to fail."""
    for name in ("wasl.yml", "wasl_test.yml"):
        (tmp_path / name).write_bytes((MONITORING / "rules" / name).read_bytes())
    rules = (tmp_path / "wasl.yml").read_text(encoding="utf-8")
    (tmp_path / "wasl.yml").write_text(rules.replace("> 900", "> 90000"), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "wasl_test.yml"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_says_how_bad_what_and_where_to_read_on(alert: Alert) -> None:
    assert alert.severity in {"warning", "critical"}
    assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
    place = f"docs/runbooks.md#{alert.name.lower()}"
    assert alert.annotations["runbook_url"] == "{{ $externalLabels.runbooks }}" + place
    assert all(alert.annotations.values())


def test_every_alert_has_its_runbook_and_no_other_is_there() -> None:
    text = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0] for section in sections] == [alert.name for alert in ALERTS]
    for section in sections:
        places = [section.find(f"**{step}**") for step in STEPS]
        assert -1 not in places, f"{section.partition(chr(10))[0]} lacks one of {STEPS}"
        assert places == sorted(places)
