"""``sandbox run`` and ``sandbox inject``."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from hub.sandbox import absence
from hub.sandbox.control import Control, ask, socket_path
from hub.sandbox.faults import Fault, Wanted
from hub.sandbox.network import FACILITIES, HOST, MAILBOXES, Network, SandboxError
from runtime.cli import EXIT_USAGE, done, facts, fail, say, table
from runtime.home import HomeError

_AWAY = (Fault.NONDELIVERY, Fault.DELAY)


def run(port: int, acknowledge: str) -> None:
    """Do ``wasl-hub sandbox run``."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    network = Network(port, acknowledge)
    control: Control | None = None
    try:
        say("Starting a hub and two facilities …")
        network.start()
        control = Control(socket_path(port), _Desk(network).ask)
        facts(None, as_json=False, text=lambda: _ports(network))
        where = "in memory" if network.in_memory else "on disk: no tmpfs with room"
        say(f"Their homes are in {network.directory} ({where}), and go away with this command.")
        say("Ready. Ctrl-C ends it. Faults, from another terminal: wasl-hub sandbox inject --help")
        ended.wait()
    except (SandboxError, HomeError) as error:
        fail(str(error))
    finally:
        if control is not None:
            control.close()
        network.close()


def _ports(network: Network) -> str:
    rows = [
        (
            name, ",".join(MAILBOXES), f"{HOST}:{ports.mllp}", f"{HOST}:{ports.system}",
            f"{HOST}:{ports.api}", network.directory / name / "api.token",
        )
        for name, ports in network.ports.items()
    ]  # fmt: skip
    header = ("facility", "mailboxes", "send MLLP to", "hear MLLP at", "API", "API token")
    return table(rows, header)


class _Desk:
    """Takes requests for faults."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._away: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        """Take one; returns what will happen, or ``error``."""
        wanted = Wanted(
            Fault(str(request["fault"])),
            str(request["to"]),
            int(str(request["count"])),
            float(str(request["seconds"])),
        )
        if wanted.fault not in _AWAY:
            self._network.faults.add(wanted)
            return {"text": f"the next {wanted.count} to {wanted.recipient} will meet a {wanted.fault}"}
        facility = wanted.recipient.partition("@")[2]
        with self._lock:
            if facility in self._away:
                return {"error": f"{facility} is away for another fault already: wait until it is back"}
            self._away.add(facility)
        threading.Thread(target=self._play, args=(wanted, facility), daemon=True).start()
        return {
            "text": f"{facility} goes away until {wanted.count} to {wanted.recipient} met a {wanted.fault}"
        }

    def _play(self, wanted: Wanted, facility: str) -> None:
        said: list[str] = []
        try:
            absence.play(self._network, wanted, said=said)
            say(f"{'; '.join(said)}; {facility} is back.")
        except SandboxError as error:
            say(str(error))
        finally:
            with self._lock:
                self._away.discard(facility)


def inject(fault: str, port: int, recipient: str, count: int, lasting: float, as_json: bool) -> None:
    """Do ``wasl-hub sandbox inject``."""
    mailbox, _, facility = recipient.partition("@")
    if facility not in FACILITIES or mailbox not in MAILBOXES:
        known = f"{' '.join(MAILBOXES)} at {' '.join(FACILITIES)}"
        fail(f"--to {recipient}: the sandbox has {known}, as in labo@{FACILITIES[1]}", EXIT_USAGE)
    try:
        answer = ask(port, {"fault": fault, "to": recipient, "count": count, "seconds": lasting})
    except (SandboxError, HomeError) as error:
        fail(str(error))
    done({"text": answer["text"]}, str(answer["text"]), as_json=as_json)
