"""A hub and two nodes at work, any of which can be given faults: one message and one file a round.

A round sends a message over MLLP and a file by the API, both ways a local program would, while one process
has orders to let a call fail. What is not answered is sent again, as real systems do, once the fault is over;
the facts go into a :class:`tests.checker.History`. A process may refuse and go on, or end: then it is started
again. What it may not do is lie, hang, or end without saying why.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from crypto.filestream import CHUNK_BYTES
from runtime.home import poke
from tests.checker import History, Verdict, check
from tests.faults.nursery import Forked, Nursery
from tests.faults.shim import Kind, Orders
from tests.integration.daemons import Daemon
from tests.integration.hospital import FROM, TO
from tests.integration.localsystems import Receiver, Sender, control_id, field, message
from tests.integration.network import Network
from tests.integration.ports import free_port
from tests.integration.waiting import wait_until

FILE_TO: Final = "labo@chu-oran"
VICTIMS: Final = ("hub", "chu-alger", "chu-oran")
UNDER_FAULT_S: Final = 1.5
"""How long a round may go on under its fault before the fault ends, if nothing comes to its end sooner."""
ANSWER_S: Final = 3.0
RECOVERY_S: Final = 90.0
"""Everything must have arrived so long after the fault: a reconnect waits, and the machine may be slow."""
_LOOK_S: Final = 0.03
_FILE_BYTES: Final = (0, 900, CHUNK_BYTES + 77, 3 * CHUNK_BYTES)
_OPEN: Final = (
    "SELECT hex(o.id), r.state FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
    " WHERE r.state < 3 OR (r.state < 4 AND o.kind <> 'file')"
)
_UNFORESEEN: Final = (b"Unhandled", b"Segmentation", b"Fatal Python error", b"rounds-ended")
MLLP, SYSTEM, FILES = "mllp to inbox", "inbox to local system", "files"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one fault; ``wrong`` is empty if all went as promised."""

    victim: str
    kind: str
    at: int
    fired: int
    seen: int
    ended: bool
    wrong: str = ""

    def __str__(self) -> str:
        """Return it for people, so that it can be repeated."""
        outcome = "ended, was started again" if self.ended else "went on"
        calls = f"at call {self.at} ({self.fired} of {self.seen})"
        return f"{self.victim} {self.kind} {calls}: {outcome} {self.wrong}"


class Scene:
    """The network, its local programs and its history; ``root`` is empty.

    ``library`` is that of :mod:`tests.faults.shim`, None if no call is to fail; ``broken`` names a function
    of :mod:`tests.faults.sabotage` to break the code with; ``hub_ports`` says where nodes find their hub, if
    it is not there itself; ``preload`` is added to the environment of each process, by name.
    """

    def __init__(
        self,
        root: Path,
        template: Path,
        library: Path | None,
        *,
        broken: str = "",
        recovery_s: float = RECOVERY_S,
        hub_ports: Mapping[str, int] | None = None,
        preload: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.network = Network(root, template)
        ports = hub_ports or {}
        self.history = History()
        self.receiver = Receiver()
        self._random = Random(4)
        self._api_port = free_port()
        self._numbers = 0
        self._values: dict[str, tuple[str, bytes]] = {}
        self._recovery_s = recovery_s
        alger, oran = self.network.nodes.values()
        api = f'[api]\nlisten = "127.0.0.1:{self._api_port}"\n'
        alger.configure(api, acknowledge="stored", hub_port=ports.get("chu-alger"))
        oran.configure(deliver={"cardio": self.receiver.port}, hub_port=ports.get("chu-oran"))
        plain: dict[str, Daemon] = {"hub": self.network.hub, "chu-alger": alger, "chu-oran": oran}
        self.orders = {name: Orders(library, one.home) for name, one in plain.items()} if library else {}
        environments = preload or {name: orders.environment for name, orders in self.orders.items()}
        self._nurseries = {
            name: Nursery(one.room, environments.get(name, {}), broken) for name, one in plain.items()
        }
        self.daemons = {name: Forked(one, self._nurseries[name]) for name, one in plain.items()}

    def start(self) -> None:
        """Start everything, without faults."""
        for name in VICTIMS:
            self._start(name)
        self.connect()

    def close(self) -> None:
        """End everything."""
        for daemon in self.daemons.values():
            daemon.kill()
        for nursery in self._nurseries.values():
            nursery.close()
        self.receiver.close()
        for orders in self.orders.values():
            orders.close()

    # ── rounds ─────────────────────────────────────────────────────────────────────────

    def play(self, victim: str, kind: Kind, at: int) -> Round:
        """Send both while the ``at``-th call fails at ``victim``; then see that all is well."""
        orders, daemon = self.orders[victim], self.daemons[victim]
        letter = self.letter()
        orders.arm(kind, at)
        self.offer(letter)
        until_s = time.monotonic() + UNDER_FAULT_S
        while daemon.running and time.monotonic() < until_s and not self.arrived(letter):
            time.sleep(_LOOK_S)
        orders.disarm()
        fired, seen = orders.fired, orders.seen
        ended, wrong = False, ""
        try:
            ended = self._ended(victim, fired)
            ended |= self.finish(letter, victim if fired else "")
        except AssertionError as error:
            wrong = f"{error}; {self._restart_all(letter)}"
        return Round(victim, kind.name, at, fired, seen, ended, wrong)

    def play_start(self, victim: str, kind: Kind, at: int) -> Round:
        """Let the ``at``-th call fail while ``victim`` starts; a message waits for it meanwhile."""
        orders, daemon = self.orders[victim], self.daemons[victim]
        letter = self.letter()
        daemon.stop()
        orders.arm(kind, at)
        if victim != "chu-alger":
            self.offer(letter)
        daemon.start(wait=False)
        wait_until(
            "it is ready or dead", lambda: b'"ready"' in daemon.said() or not daemon.running, RECOVERY_S
        )
        time.sleep(_LOOK_S)
        orders.disarm()
        fired, seen = orders.fired, orders.seen
        ended, wrong = False, ""
        try:
            ended = self._ended(victim, fired)
            ended |= self.finish(letter, victim if fired else "")
        except AssertionError as error:
            wrong = f"{error}; {self._restart_all(letter)}"
        return Round(victim, f"{kind.name} at the start", at, fired, seen, ended, wrong)

    def sweep(self, victim: str, kind: Kind, ats: Iterator[int], *, start: bool = False) -> Iterator[Round]:
        """Play rounds until ``ats`` ends, or two in a row in which nothing failed any more."""
        quiet = 0
        for at in ats:
            played = (self.play_start if start else self.play)(victim, kind, at)
            yield played
            quiet = 0 if played.fired else quiet + 1
            if quiet > 1:
                return

    def judge(self) -> Verdict:
        """Return what the history says, with what lies at the recipient; all is at rest."""
        history, node = self.history.copy(), self.network.nodes["chu-oran"]
        inbox = "SELECT seq, recipient, body, body_path FROM inbox ORDER BY seq"
        for seq, recipient, body, path in node.rows(inbox):
            whole = (node.home / path).read_bytes() if path else body
            files = node.rows("SELECT path FROM inbox_files WHERE inbox_seq = ? ORDER BY position", seq)
            for (name,) in files:
                whole += hashlib.sha256((node.home / name).read_bytes()).hexdigest().encode()
            lane = FILES if recipient == FILE_TO else MLLP
            history.received(lane, whole)
            if lane == MLLP:
                history.attempted(SYSTEM, whole)
                history.acknowledged(SYSTEM, whole)
        for key, code in self.returned().items():
            lane, value = self._values[key]
            assert code, f"{key} came back without a reason"
            history.returned(lane, value)
        for payload in self.receiver.distinct():
            history.received(SYSTEM, payload)
        return check(history)

    # ── what local programs do ─────────────────────────────────────────────────────────

    def letter(self, sizes: tuple[int, ...] = _FILE_BYTES) -> Letter:
        """Return the next message and file, nothing of it offered yet; ``sizes`` are the file's to be."""
        self._numbers += 1
        made = Letter(self._numbers, self._random.randbytes(self._random.choice(sizes)))
        self._values[f"mllp:labo/chu-alger/{made.key}"] = MLLP, made.message
        self._values[made.key] = FILES, made.file_value
        return made

    def returned(self) -> dict[str, str]:
        """Return the reason code of all that came back to its sender, by the sender's key."""
        sql = (
            "SELECT o.key, r.code FROM outbox o JOIN outbox_recipients r ON r.outbox_seq = o.seq"
            " WHERE r.state = 6"
        )
        return dict(self.network.nodes["chu-alger"].rows(sql))

    def offer(self, letter: Letter) -> None:
        """Offer what is not acknowledged yet, once."""
        if not letter.message_taken:
            self.history.attempted(MLLP, letter.message)
            with contextlib.suppress(OSError), Sender(self._mllp_port, patience_s=ANSWER_S) as system:
                letter.message_taken = field(system.once(letter.message), b"MSA", 1) == "AA"
            if letter.message_taken:
                self.history.acknowledged(MLLP, letter.message)
        if not letter.file_taken:
            self.history.attempted(FILES, letter.file_value)
            with contextlib.suppress(OSError, http.client.HTTPException):
                letter.file_taken = self._post(letter)
            if letter.file_taken:
                self.history.acknowledged(FILES, letter.file_value)

    @property
    def _mllp_port(self) -> int:
        return self.network.nodes["chu-alger"].mllp_port

    def _post(self, letter: Letter) -> bool:
        kept = self._call("/v1/uploads?name=scan.bin", letter.file, "application/octet-stream")
        if kept is None:
            return False
        order = {"to": [FILE_TO], "from": "labo", "kind": "file", "id": letter.key,
                 "body": letter.body, "attachments": [kept["upload"]]}  # fmt: skip
        return self._call("/v1/messages", json.dumps(order).encode(), "application/json") is not None

    def _call(self, path: str, body: bytes, media_type: str) -> dict[str, str] | None:
        """POST; returns the answer if it is 200 or 201, None for a refusal that says so politely."""
        node = self.network.nodes["chu-alger"]
        token = (node.home / "api.token").read_text("ascii").strip()
        connection = http.client.HTTPConnection("127.0.0.1", self._api_port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": media_type}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        return json.loads(said) if answer.status in {200, 201} else None

    # ── afterwards ─────────────────────────────────────────────────────────────────────

    def _ended(self, victim: str, fired: int) -> bool:
        """Return whether the process ended (it is started again); AssertionError if it did not end well."""
        daemon = self.daemons[victim]
        said = daemon.said()
        if daemon.running and b'"event": "failed"' in said:
            daemon.wait_dead(RECOVERY_S)
        bad = [word.decode() for word in _UNFORESEEN if word in said]
        ended, code = not daemon.running, daemon.exit_code
        if ended:
            self._start(victim)
            self.connect()
        assert not bad, f"it logged {bad}: {said[-3_000:].decode()}"
        # 2: its settings could not be read.
        assert not ended or (code in {1, 2} and fired), f"it ended with {code}: {said[-3_000:].decode()}"
        return ended

    def finish(self, letter: Letter, victim: str = "") -> bool:
        """Send again what was not taken, and wait for all of it; returns whether ``victim`` ended meanwhile.

        A process may end some time after the call that failed: it is started again then, once.
        """
        ended = False

        def done() -> bool:
            nonlocal ended
            if victim and not ended and not self.daemons[victim].running:
                ended = self._ended(victim, fired=1)
            if not (letter.message_taken and letter.file_taken):
                self.offer(letter)
            return self.arrived(letter)

        try:
            wait_until(f"{letter.key} has arrived", done, self._recovery_s, _LOOK_S)
        except AssertionError:
            open_ones = self.network.nodes["chu-alger"].rows(_OPEN)
            raise AssertionError(f"does not go on by itself: {letter}; (id, state): {open_ones}") from None
        return ended

    def _restart_all(self, letter: Letter) -> str:
        """Start everything anew; returns whether that helped."""
        for name, daemon in self.daemons.items():
            daemon.kill()
            self._start(name)
        self.connect()
        try:
            self.finish(letter)
        except AssertionError:
            return "nor after a restart"
        return "it does after a restart"

    def _start(self, name: str) -> None:
        self.daemons[name].start()

    def connect(self) -> None:
        """Wait until both nodes are connected; a poke spares the wait for the next attempt."""

        def connected() -> bool:
            for node in self.network.nodes.values():
                poke(node.home / "poke")
            return all(node.get("/readyz")[0] == 200 for node in self.network.nodes.values())

        wait_until("both are connected", connected, RECOVERY_S, 0.2)

    def arrived(self, letter: Letter) -> bool:
        """Whether both are settled at their sender, and the message is at the local system."""
        if not (letter.message_taken and letter.file_taken):
            return False
        return letter.message in self.receiver.received and self.settled()

    def settled(self) -> bool:
        """Whether the sender knows the end of all it sent: processed (a file: delivered) or returned."""
        return self.network.nodes["chu-alger"].rows(_OPEN) == []


class Letter:
    """A message and a file with a body, of one round."""

    def __init__(self, number: int, file: bytes) -> None:
        self.key = f"fault-{number}"
        self.message = message(FROM, TO, self.key)
        self.file = file
        self.body = f"body of {self.key}"
        self.file_value = self.body.encode() + hashlib.sha256(self.file).hexdigest().encode()
        self.message_taken = False
        self.file_taken = False

    def __str__(self) -> str:
        taken = {True: "taken", False: "not taken"}
        return (
            f"{control_id(self.message)}: message {taken[self.message_taken]}, file {taken[self.file_taken]}"
        )
