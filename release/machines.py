"""Three empty Debians under a real systemd, in a network of their own: what ``release.trial`` works on.

``debootstrap`` makes one base system, once; copies of it are booted by ``systemd-nspawn``. Each machine has
an address of its own and reaches the two others, and nothing else: no package index, no name server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from release.wheels import DIST, ReleaseError, run

MACHINES: Final = {"hub": "10.77.0.1", "alger": "10.77.0.2", "oran": "10.77.0.3"}
BASE: Final = DIST / "machine"
INCLUDED: Final = "systemd,systemd-sysv,dbus,python3,iproute2,procps"
ASIDE: Final = "apt-get install --yes --download-only python3-venv"
"""What the offline bundle asks for: carried there, not installed, so that nothing leans on it by chance."""
BOOT_S: Final = 90.0
COMMAND_S: Final = 400.0


class TrialError(Exception):
    """The page is not true, here; the text says which command said what."""


def missing() -> str:
    """Return why no trial can be made on this machine; empty if one can."""
    for program in ("debootstrap", "systemd-nspawn", "nsenter", "unshare", "ip", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if os.geteuid() == 0 else "only root can boot a machine"


class Machine:
    """One booted Debian. ``home`` is root's home there, seen from here."""

    def __init__(self, name: str, root: Path, network: int) -> None:
        self.name, self.home, self._root = name, root / "root", root
        self._log = root.with_suffix(".log").open("wb")
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{network}/ns/net", "systemd-nspawn", "--quiet",
             "--register=no", "--keep-unit",
             "--directory", str(root), "--machine", f"wasl-trial-{name}", "--boot", "--console=pipe"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._init = self._wait_for_init()

    def _wait_for_init(self) -> int:
        deadline_s = time.monotonic() + BOOT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            children = (
                Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            )
            for child in children:
                self._init = int(child)
                if self.run("systemctl is-system-running", check=False).strip() in {"running", "degraded"}:
                    return self._init
            time.sleep(0.5)
        raise TrialError(f"{self.name} did not boot: {self._root.with_suffix('.log').read_text()[-500:]}")

    def run(self, line: str, *, check: bool = True, typed: str = "") -> str:
        """Run a shell line in the machine as root, in root's home; returns what it printed."""
        inside = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"]  # fmt: skip
        done = subprocess.run(
            [*inside, *clean, "sh", "-c", f"cd; {line}"],
            capture_output=True, text=True, check=False, timeout=COMMAND_S, input=typed,
        )  # fmt: skip
        if check and done.returncode:
            raise TrialError(f"{self.name}: {line}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def off(self) -> None:
        """Pull the plug: the machine is thrown away."""
        if self._process.poll() is None:
            os.kill(self._init, 9)
            self._process.wait(30)
        self._log.close()


def base() -> Path:
    """Return the base system, made once; ReleaseError if debootstrap fails."""
    if not (BASE / "usr").is_dir():
        BASE.parent.mkdir(parents=True, exist_ok=True)
        making = BASE.with_name(f"machine.{os.getpid()}")
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", "bookworm", str(making)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            shutil.rmtree(making, ignore_errors=True)
            raise ReleaseError(f"debootstrap: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        run("chroot", making, "sh", "-c", f"apt-get clean; apt-get update; {ASIDE}")
        making.rename(BASE)
    return BASE


@contextmanager
def booted(*there: Path) -> Iterator[dict[str, Machine]]:
    """Boot the three of them, with these files in root's home; throw them away at the end."""
    system = base()
    with tempfile.TemporaryDirectory(dir=DIST, prefix="trial-") as scratch, ExitStack() as running:
        networks = _networks(running)
        found = {}
        for name in MACHINES:
            root = Path(scratch) / name
            subprocess.run(["cp", "-a", "--reflink=auto", str(system), str(root)], check=True)
            (root / "etc/hostname").write_text(f"{name}\n")
            (root / "etc/machine-id").write_text("")
            for file in there:
                shutil.copy(file, root / "root")
            found[name] = Machine(name, root, networks[name])
            running.callback(found[name].off)
        yield found


def _networks(running: ExitStack) -> dict[str, int]:
    """Make a network namespace for each machine, bridged in the hub's; returns who holds each one."""
    holders = {}
    for name in MACHINES:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        running.callback(holder.wait)
        running.callback(holder.kill)
        holders[name] = holder.pid
    time.sleep(0.5)
    _ip(holders["hub"], "link add lan type bridge", "link set lan up")
    for name, address in MACHINES.items():
        device = "lan"
        if name != "hub":
            device = "eth0"
            _ip(
                holders["hub"],
                f"link add {name} type veth peer name {device} netns {holders[name]}",
                f"link set {name} master lan up",
            )
        _ip(
            holders[name],
            f"addr add {address}/24 dev {device}",
            f"link set {device} up",
            "link set lo up",
        )
    return holders


def _ip(holder: int, *lines: str) -> None:
    for line in lines:
        subprocess.run(["nsenter", f"--net=/proc/{holder}/ns/net", "ip", *line.split()], check=True)
