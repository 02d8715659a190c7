"""The five independent MLLP implementations that our gateways must get on with, as processes.

Their drivers are in ``../shared/peers``; python-hl7 is a test requirement, the others come from npm, pinned,
without install scripts, each in a folder of its own below a cache directory outside the project
(``WASL_PEERS``, or ``wasl-peers`` in the user's cache), so that they are fetched once. What is not to be had
raises :class:`Unavailable` with the reason, which becomes the reason of a skip.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.integration.daemons import PROJECT
from tests.integration.waiting import wait_until

DRIVERS = PROJECT / ".." / "shared" / "peers"
INSTALL_TIMEOUT_S = 90
CLIENT_TIMEOUT_S = 20
START_TIMEOUT_S = 30


class Unavailable(Exception):  # noqa: N818 - past tense states the outcome
    """This peer cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One implementation: drivers of its server and its client; ``packages`` are npm's, none for Python."""

    name: str
    server: str
    client: str
    packages: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The interpreter."""
        return ["node"] if self.packages else [sys.executable]

    def environment(self) -> dict[str, str]:
        """Return the environment to run it in; installs it where need be. Raises Unavailable."""
        if not DRIVERS.is_dir():
            raise Unavailable("the drivers are not here: ../shared/peers")
        if not self.packages:
            return dict(os.environ)
        return {**os.environ, "NODE_PATH": str(installed(self.name, self.packages))}

    def send(self, port: int, file: Path) -> bytes:
        """Let its client send the message in ``file``; returns the answer as the client shows it.

        Segments end in CR, whatever it prints. AssertionError with all it said if it saw no acknowledgement.
        """
        done = subprocess.run(
            [*self.command, str(DRIVERS / self.client), str(port), str(file)],
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=CLIENT_TIMEOUT_S,
            check=False,
        )
        _, shown, answer = done.stdout.partition("ACK ")
        assert shown, f"{self.name}: {done.stdout}{done.stderr}"
        return answer.replace(" / ", "\r").replace("\n", "\r").encode()

    @contextmanager
    def serving(self, port: int, log: Path) -> Iterator[Path]:
        """Run its server on ``port``; gives the log, where it prints ``RX`` and each MSH-10 it received."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self.command, str(DRIVERS / self.server), str(port)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment(),
            )
        try:
            wait_until(
                f"{self.name} listens",
                lambda: b"listening" in log.read_bytes() or process.poll() is not None,
                START_TIMEOUT_S,
            )
            assert process.poll() is None, log.read_text(errors="replace")
            yield log
        finally:
            process.kill()
            process.wait()


PEERS = (
    Peer("python-hl7", "srv_python_hl7.py", "cli_python_hl7.py"),
    Peer(
        "node-hl7",
        "srv_node_hl7_server.cjs",
        "cli_node_hl7_client.cjs",
        ("node-hl7-server@2.5.0", "node-hl7-client@3.2.0"),
    ),
    Peer("simple-hl7", "srv_simple_hl7.cjs", "cli_simple_hl7.cjs", ("simple-hl7@3.3.0",)),
    Peer("medplum", "srv_medplum.cjs", "cli_medplum.cjs", ("@medplum/hl7@4.5.2",)),
    Peer("amida", "srv_amida.cjs", "cli_amida.cjs", ("mllp-node@2.0.0",)),
)


@cache
def installed(name: str, packages: tuple[str, ...]) -> Path:
    """Return the ``node_modules`` that holds the packages, fetched by npm at first. Raises Unavailable."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Unavailable("node and npm are not here")
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wasl-peers"
    place = Path(os.environ.get("WASL_PEERS", default)) / f"{name}-{'-'.join(packages).replace('/', '+')}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        if not (place / ".whole").exists():
            _install(npm, place, packages)
            (place / ".whole").touch()
    return place / "node_modules"


def _install(npm: str, place: Path, packages: tuple[str, ...]) -> None:
    words = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(place), *packages]
    try:
        done = subprocess.run(
            [npm, *words], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not install {' '.join(packages)} in {INSTALL_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise Unavailable(f"npm did not install {' '.join(packages)}: {done.stderr[-300:]}")
