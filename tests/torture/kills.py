"""Random SIGKILLs of a hub and three nodes under MLLP traffic, and a checker that trusts none of them.

Six systems send, one for each ordered pair of facilities, each the next message only after AA for the one
before it; the same bytes again on silence, as real systems do. A seventh sends files by command line. The
receiving systems mostly say AA; now and then nothing, or AR; AE to some messages, always the same ones. All
the while daemons get SIGKILL at random instants, also while they start, also several at once.

Judged afterwards, past the project's own code, by what senders were told and what lies in the inboxes:

- lost, duplicated, unexpected, disordered: as :mod:`tests.checker` says, of each lane twice, in the
  recipient's inbox and in what its receiving system got (repeats by MSH-10 left out); files likewise;
- wrong: a state at the sender that is not what the receiving system said.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.checker import History, Verdict, check
from tests.integration.localsystems import Receiver, Sender, acknowledge, control_id, message, silence
from tests.integration.network import Network, Node
from tests.integration.template import FACILITIES, make_template
from tests.integration.waiting import wait_until

PAUSE_S = (0.1, 1.2)
"""Between two kills."""
DOWN_S = (0.0, 0.8)
TRAFFIC = 12
"""Up to so many messages are acknowledged between two kills, if it takes no longer than TRAFFIC_S."""
TRAFFIC_S = 60.0
TOGETHER = 0.1
"""How often more than one daemon dies at once."""
REFUSED_EVERY = 25
LARGE_EVERY = 20
LARGE_BYTES = 100_000
"""Beyond what travels inside a message: such a body goes in chunks."""
PACE_S = 0.03
FILE_PACE_S = 2.0
DRAIN_S = 300.0
PATIENCE_S = 900.0
"""A sending system asks again for so long before it is given up: a busy machine starts daemons slowly."""


@dataclass
class Lane:
    """One sending system and what it was told: ``acknowledged`` in the order of the AAs."""

    sender: str
    recipient: str
    acknowledged: list[bytes] = field(default_factory=list)
    repeats: int = 0

    def name(self) -> str:
        """Return it for people."""
        return f"{self.sender} → {self.recipient}"

    def run(self, port: int, stop: threading.Event, history: History) -> None:
        """Send until told to stop; then finish the message in hand."""
        with Sender(port, patience_s=3.0) as system:
            for number in itertools.count():
                if stop.is_set():
                    break
                large = "x" * LARGE_BYTES if number % LARGE_EVERY == LARGE_EVERY - 1 else ""
                control = f"{self.sender[9:]}-{self.recipient[11:]}-{number}"
                payload = message(self.sender, self.recipient, control, f"{number} {large}")
                history.attempted(self.name(), payload)
                code = system.code(payload, timeout_s=PATIENCE_S)
                assert code == "AA", (code, payload[:200])
                history.acknowledged(self.name(), payload)
                self.acknowledged.append(payload)
                time.sleep(PACE_S)
            self.repeats = system.repeats


@dataclass
class Outcome:
    """What a campaign came to; ``faults`` empty means that every promise was kept."""

    kills: Counter[str]
    seconds: float
    messages: int = 0
    files: int = 0
    repeats_in: int = 0
    repeats_out: int = 0
    faults: list[str] = field(default_factory=list)
    verdict: Verdict | None = None

    def __str__(self) -> str:
        """Return it for people."""
        told = Counter(fault.partition(":")[0] for fault in self.faults)
        return (
            f"{self.kills.total()} SIGKILLs ({dict(self.kills)}) in {self.seconds:.0f} s: "
            f"{self.messages} messages, {self.files} files; "
            f"{self.repeats_in} repeated by senders, {self.repeats_out} to receivers; "
            f"{told['wrong']} wrong; inboxes and systems: {self.verdict}"
        )


class Campaign:
    """Traffic, kills, and the check; ``root`` is empty, ``template`` made by ``make_template``."""

    def __init__(self, root: Path, template: Path, seed: int, network: Network | None = None) -> None:
        self.network = network or Network(root, template, FACILITIES)
        self._random = Random(seed)
        self._stop = threading.Event()
        self._lanes = [
            Lane(f"labo@{one}", f"cardio@{other}") for one, other in itertools.permutations(FACILITIES, 2)
        ]
        self._receivers = {name: Receiver(self._moody(Random(seed + i))) for i, name in enumerate(FACILITIES)}
        self._files: list[tuple[str, str, bytes]] = []
        self._history = History()
        self._kills: Counter[str] = Counter()
        self._faults: list[str] = []

    def run(self, kills: int) -> Outcome:
        """Run it; the daemons are gone afterwards, their homes and logs stay."""
        began_s = time.monotonic()
        try:
            self._traffic(kills)
            return self._judge(time.monotonic() - began_s)
        finally:
            self._stop.set()
            self.network.close()
            for receiver in self._receivers.values():
                receiver.close()

    def _traffic(self, kills: int) -> None:
        for name, node in self.network.nodes.items():
            node.configure(acknowledge="stored", deliver={"cardio": self._receivers[name].port})
        self.network.start()
        threads = [
            threading.Thread(
                target=self._guarded(lane.run),
                args=(self._node(lane.sender).mllp_port, self._stop, self._history),
            )
            for lane in self._lanes
        ]
        threads.append(threading.Thread(target=self._guarded(self._send_files), args=()))
        for thread in threads:
            thread.start()
        for _ in range(kills):
            self._await_traffic(self._random.randint(0, TRAFFIC))
            time.sleep(self._random.uniform(*PAUSE_S))
            self._kill()
            if self._kills.total() % 20 == 0:
                print(f"{self._kills.total()} kills, {self._told()} messages", flush=True)
        for daemon in self.network.daemons():
            if not daemon.running:
                daemon.start()
        self._stop.set()
        for thread in threads:
            thread.join(DRAIN_S)
            assert not thread.is_alive(), "a sending system still waits for its answer"
        for node in self.network.nodes.values():
            wait_until(f"{node.facility} has settled everything", partial(_settled, node), DRAIN_S, 0.3)

    def _told(self) -> int:
        return sum(len(lane.acknowledged) for lane in self._lanes)

    def _await_traffic(self, count: int) -> None:
        """Let some messages through, so that a slow machine is not killed only while it starts."""
        wanted, until_s = self._told() + count, time.monotonic() + TRAFFIC_S
        while self._told() < wanted and time.monotonic() < until_s:
            time.sleep(PACE_S)

    def _kill(self) -> None:
        daemons = self.network.daemons()
        count = self._random.randint(2, len(daemons)) if self._random.random() < TOGETHER else 1
        victims = self._random.sample(daemons, count)
        for victim in victims:
            assert victim.running, f"{victim.home.name} ended by itself with {victim.exit_code}"
            victim.kill()
        self._kills.update(victim.home.name for victim in victims)
        time.sleep(self._random.uniform(*DOWN_S))
        for victim in victims:
            victim.start(wait=False)

    def _guarded(self, work: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            try:
                work(*arguments)
            except Exception as error:  # noqa: BLE001 - whatever ended a sending system is a fault to report
                self._faults.append(f"wrong: a sending system ended: {error!r}")

        return run

    def _send_files(self) -> None:
        random = Random(self._random.random())
        for number in itertools.count():
            if self._stop.wait(FILE_PACE_S):
                return
            one, other = random.sample(FACILITIES, 2)
            content = random.randbytes(random.choice((0, 1_000, 300_000, 3_000_000)))
            path = self.network.root / f"file-{number}.bin"
            path.write_bytes(content)
            sent = self.network.nodes[one].send(f"labo@{other}", "--file", path, "--id", f"file-{number}")
            self._files.append((other, sent["id"], content))

    def _moody(self, random: Random) -> Callable[[bytes], bytes | None]:
        def answer(payload: bytes) -> bytes | None:
            mood = random.random()
            if mood < 0.005:
                return silence(payload)
            return acknowledge("AR" if mood < 0.02 else verdict(payload))(payload)

        return answer

    def _node(self, address: str) -> Node:
        return self.network.nodes[address.partition("@")[2]]

    # ── judging ────────────────────────────────────────────────────────────────────────

    def _judge(self, seconds: float) -> Outcome:
        outcome = Outcome(self._kills, seconds, faults=self._faults)
        inboxes = {name: _inbox(node) for name, node in self.network.nodes.items()}
        for lane in self._lanes:
            facility = lane.recipient.partition("@")[2]
            got = inboxes[facility][lane.sender, lane.recipient]
            for payload in got:
                self._history.received(lane.name(), payload)
            stub = [
                p
                for p in self._receivers[facility].distinct()
                if f"|{lane.sender.replace('@', '|')}|".encode() in p
            ]
            behind = f"the system behind {lane.name()}"
            for payload in lane.acknowledged:
                self._history.attempted(behind, payload)
                self._history.acknowledged(behind, payload)
            for payload in stub:
                self._history.received(behind, payload)
            outcome.faults += self._states(lane)
            outcome.messages += len(lane.acknowledged)
            outcome.repeats_in += lane.repeats
        for receiver in self._receivers.values():
            outcome.repeats_out += len(receiver.received) - len(receiver.distinct())
        outcome.files = len(self._files)
        for facility, identifier, content in self._files:
            outcome.faults += _file_faults(self.network.nodes[facility], identifier, content)
        outcome.verdict = check(self._history)
        outcome.faults += outcome.verdict.faults
        if left := self.network.hub.rows("SELECT count(*) FROM spool")[0][0]:
            outcome.faults.append(f"wrong: {left} rows are left in the hub's spool")
        return outcome

    def _states(self, lane: Lane) -> list[str]:
        rows = self._node(lane.sender).rows(
            "SELECT r.state, count(*) FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
            " WHERE o.sender = ? AND r.recipient = ? GROUP BY r.state",
            lane.sender,
            lane.recipient,
        )
        wanted = Counter(5 if verdict(payload) == "AE" else 4 for payload in lane.acknowledged)
        return [] if dict(rows) == wanted else [f"wrong: states of {lane.name()}: {dict(rows)}, not {wanted}"]


def verdict(payload: bytes) -> str:
    """Return what a receiving system says of a message in the end."""
    number = int("".join(filter(str.isdigit, control_id(payload))))
    return "AE" if number % REFUSED_EVERY == REFUSED_EVERY - 1 else "AA"


def _inbox(node: Node) -> dict[tuple[str, str], list[bytes]]:
    found: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    sql = "SELECT sender, recipient, body, body_path FROM inbox WHERE kind <> 'file' ORDER BY seq"
    for sender, recipient, body, path in node.rows(sql):
        found[sender, recipient].append((node.home / path).read_bytes() if path else body)
    return found


def _file_faults(node: Node, identifier: str, content: bytes) -> list[str]:
    rows = node.rows(
        "SELECT f.path FROM inbox i JOIN inbox_files f ON f.inbox_seq = i.seq WHERE i.id = ?",
        bytes.fromhex(identifier.replace("-", "")),
    )
    if len(rows) != 1:
        return [f"{'duplicated' if rows else 'lost'}: file {identifier}: {len(rows)} times"]
    same = hashlib.sha256((node.home / rows[0][0]).read_bytes()).digest() == hashlib.sha256(content).digest()
    return [] if same else [f"wrong: file {identifier} has other bytes"]


def _settled(node: Node) -> bool:
    """Return whether everything sent from here has come to its end, as the sender sees it."""
    open_copies = node.rows(
        "SELECT count(*) FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
        " WHERE r.state < 3 OR (r.state < 4 AND o.kind <> 'file')"
    )
    return open_copies == [(0,)] and node.rows("SELECT count(*) FROM receipts") == [(0,)]


def main(arguments: list[str]) -> int:
    """Run a campaign by command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture kills", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="wasl-kills-"))
    print(f"seed {options.seed}, homes and logs in {root}", flush=True)
    (root / "template").mkdir()
    (root / "network").mkdir()
    template = make_template(root / "template")
    outcome = Campaign(root / "network", template, options.seed).run(options.kills)
    print(outcome)
    (root / "faults.json").write_text(json.dumps(outcome.faults, indent=1), encoding="utf-8")
    for fault in outcome.faults[:20]:
        print(fault)
    return 1 if outcome.faults else 0
