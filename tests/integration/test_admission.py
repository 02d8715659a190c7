"""Who may be on the network, with real processes and a clock: two persons to enter, seconds to leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.integration.daemons import PROJECT, environment
from tests.integration.network import Network, Node
from tests.integration.waiting import wait_until

CUT_S = 10.0
LIMITS = "[limits]\nhandshakes_per_second = 1000\n"


def connected(node: Node) -> bool:
    return node.get("/readyz")[0] == 200


@pytest.mark.parametrize("verb", ["suspend", "revoke"])
def test_a_facility_is_out_within_ten_seconds_and_no_other_is(network: Network, verb: str) -> None:
    network.start()
    alger, oran = network.nodes["chu-alger"], network.nodes["chu-oran"]
    began_s = time.monotonic()
    assert network.hub.run(verb, "chu-oran", "--reason", "stolen").code == 0
    wait_until("oran is out", lambda: not connected(oran), timeout_s=CUT_S)
    assert time.monotonic() - began_s < CUT_S
    known = {one["facility"]: one for one in network.hub.ask("facilities")}
    assert not known["chu-oran"]["connected"]
    assert known["chu-alger"]["connected"]
    assert connected(alger)
    assert alger.rows("SELECT value FROM facts WHERE name = 'refused'") in ([], [(0,)])
    left = network.hub.said().count(b'"event": "node-left"')
    assert left == 1, "one session ended, and it was the right one"
    sent = alger.run("send", "--to", "cardio@chu-oran", "--hl7", "/dev/null")
    assert sent.code == 1, "and the others know it"


def test_a_lost_poke_costs_seconds_only(network: Network) -> None:
    """The daemon finds a revocation in the table although nobody told it."""
    network.start()
    oran = network.nodes["chu-oran"]
    (network.hub.home / "poke").unlink()
    assert network.hub.run("revoke", "chu-oran", "--reason", "stolen").code == 0
    wait_until("oran is out", lambda: not connected(oran), timeout_s=CUT_S)


def test_two_persons_admit_a_node_that_waits(network: Network) -> None:
    """``join`` waits while an administrator compares the words; who invited may not be that one."""
    network.configure_hub("")
    toml = network.hub.home / "hub.toml"
    text = toml.read_text(encoding="utf-8").replace("[hub]\n", '[hub]\nadmission = "two-person"\n')
    toml.write_text(text + LIMITS, encoding="utf-8")
    network.hub.start()
    asked = as_user(
        network, "amine", "invite", "clinique", "--kind", "polyclinic", "--wilaya", "31", "--json"
    )
    code = str(json.loads(asked.stdout)["code"])
    join = subprocess.Popen(
        [sys.executable, "-m", "nodes", "join", code, "--home", str(network.root / "clinique"),
         "--http", "127.0.0.1:0"],
        env=environment(), cwd=PROJECT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        (request,) = wait_until("the keys wait", lambda: facts(network, "clinique")["waiting"])
        assert facts(network, "clinique")["state"] == "pending"
        words = request["fingerprint"]["words"]
        same = as_user(network, "amine", "approve", "clinique", "--fingerprint", words)
        assert (same.returncode, "another administrator" in same.stderr) == (1, True)
        assert join.poll() is None
        assert as_user(network, "lila", "approve", "clinique", "--fingerprint", words).returncode == 0
        _, told = join.communicate(timeout=30)
    finally:
        if join.poll() is None:
            os.kill(join.pid, signal.SIGKILL)
    assert join.returncode == 0, told
    assert words in told
    found = facts(network, "clinique")
    assert (found["state"], found["kind"], found["wilaya"]) == ("active", "polyclinic", 31)
    assert found["keys"]["fingerprint"]["words"] == words


def facts(network: Network, facility: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = network.hub.ask("facilities")
    return next(one for one in found if one["facility"] == facility)


def as_user(network: Network, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``wasl-hub`` as somebody who used sudo."""
    return subprocess.run(
        [sys.executable, "-m", "hub", *arguments, "--home", str(network.hub.home)],
        env={**environment(), "SUDO_USER": user}, cwd=PROJECT, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
