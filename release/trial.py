"""The proof that ``docs/install.md`` and ``docs/upgrade.md`` are true: their commands, on empty Debians.

Each fenced block of the install page that names machines in its title is run there (:mod:`release.machines`),
line by line, under a real systemd, and timed. Then its promises are tried: that the daemons run from sealed
keys, that the desk answers and is shown no key of its node, that a daemon whose database cannot be written
is restarted by systemd. Then the upgrade page is followed with a later package, and messages must go on.
Removing the package must leave homes alone, and at last the offline bundle takes its place.

``--since COMMIT`` begins with the package and the page of that commit, and so tries a real upgrade.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from release import bundle, debian
from release.machines import MACHINES, Machine, TrialError, booted, missing
from release.wheels import DIST, ROOT, ReleaseError, run
from runtime.version import VERSION

PAGE: Final = Path("docs/install.md")
UPGRADE: Final = Path("docs/upgrade.md")
PASSWORD: Final = "seven birds over Oran"  # noqa: S105 - of machines that are thrown away
NODE_HOME: Final = "/var/lib/wasl-node"
AS_NODE: Final = "runuser -u wasl-node --"
SEALED_NODE: Final = (
    "systemd-run --quiet --pipe --wait --collect --uid=wasl-node -p LoadCredentialEncrypted=wasl-node.keys"
)
DESK: Final = "http://127.0.0.1:7612/sign-in"
_FORBIDS: Final = re.compile(
    "(NoNew|Cap|Ambient|Protect|Private|Proc|Restrict|Remove|Lock|Memory|System|Keyring|Device|Limit)"
)
_DRAWN: Final = (
    "import io; from PIL import Image; from nodes.desk.viewing import drawing; given = io.BytesIO();"
    "Image.new('RGB', (64, 64)).save(given, 'PNG'); print(drawing.image(given, given.tell()).media_type)"
)
_BLOCK: Final = re.compile(r'^```sh title="([a-z, ]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path = ROOT / PAGE) -> list[tuple[str, str]]:
    """Return a page's commands in order: (machine, line)."""
    found = []
    for titles, lines in _BLOCK.findall(page.read_text(encoding="utf-8")):
        found += [(name, line) for name in titles.split(", ") for line in lines.splitlines()]
    return found


class Trial:
    """The pages' commands, and then their promises."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self._machines = machines
        self._codes: dict[str, str] = {}
        self.took: list[tuple[str, str, float]] = []

    def follow(self, page: Path) -> None:
        """Run every command of a page."""
        for name, told in blocks(page):
            line = told.replace("CODE", self._codes.get(name, "")).replace("ADDRESS", MACHINES["hub"])
            line = line.replace("NAME", "amina")
            began_s = time.monotonic()
            said = self._machines[name].run(line, typed=f"{PASSWORD}\n" if " adduser " in line else "")
            self.took.append((name, told, time.monotonic() - began_s))
            sys.stderr.write(f"{self.took[-1][2]:7.1f} s  {name:5}  {told}\n")
            invited = re.search(r" invite chu-(\w+)", line)
            if invited:
                self._codes[invited.group(1)] = said.split()[-1]
            if "inbox" in line and "labo@chu-alger" not in said:
                raise TrialError(f"the message is not in the inbox: {said}")

    def keys_are_sealed(self) -> None:
        """Both daemons that sealed their keys are ready, and no key lies in their homes."""
        for name, home, port in (("hub", "wasl-hub", 7601), ("alger", "wasl-node", 7610)):
            machine = self._machines[name]
            machine.run(f"systemctl is-active {home} && ! test -e /var/lib/{home}/keys")
            ready = f"http://127.0.0.1:{port}/readyz"
            asked = f"import urllib.request; urllib.request.urlopen('{ready}', timeout=10)"
            machine.run(f'for n in $(seq 60); do python3 -c "{asked}" && exit 0; sleep 1; done; exit 1')

    def the_desk_is_shown_no_key(self) -> None:
        """Promise: the desk's process finds no key of its node, the first as little as later ones."""
        for name, node in (("oran", f"{AS_NODE} wasl-node"), ("alger", f"{SEALED_NODE} wasl-node")):
            machine = self._machines[name]
            machine.run("systemctl start wasl-desk")
            self.the_desk_answers(name)
            machine.run(f"{node} rotate --home {NODE_HOME} --timeout 120s")
            keys = machine.run(f"ls {NODE_HOME}/renewed-keys/keys-*").split()
            pids = {
                unit: machine.run(f"systemctl show -p MainPID --value {unit}").strip()
                for unit in ("wasl-node", "wasl-desk")
            }
            hidden = [f"{NODE_HOME}/keys", *keys, "/run/credentials/wasl-node.service/wasl-node.keys"]
            hidden += [f"/proc/{pids['wasl-node']}/root{path}" for path in hidden[:2]]
            as_desk = f"nsenter -t {pids['wasl-desk']} -m -U -S $(id -u wasl-node) -G $(id -g wasl-node)"
            machine.run(f"{as_desk} test -r {NODE_HOME}/node.db")
            machine.run(f"{AS_NODE} head -c 1 {keys[0]}")  # it is the unit that hides them
            for path in hidden:
                machine.run(f"! {as_desk} head -c 1 {path}")

    def the_desk_answers(self, name: str) -> None:
        """Somebody can sign in at the desk."""
        asked = f"import urllib.request; print(urllib.request.urlopen('{DESK}', timeout=60).read().decode())"
        if 'name="password"' not in self._machines[name].run(f'python3 -c "{asked}"'):
            raise TrialError(f"{name}: {DESK} asks for no password")

    def the_desk_draws(self) -> None:
        """Promise: what the unit forbids the desk leaves it able to have a stranger's image drawn."""
        machine = self._machines["oran"]
        unit = machine.run("systemctl cat wasl-desk")
        sandbox = " ".join(f"-p {shlex.quote(line)}" for line in unit.splitlines() if _FORBIDS.match(line))
        done = machine.run(
            f"systemd-run --quiet --pipe --wait --collect --uid=wasl-node {sandbox}"
            f" /usr/lib/wasl/bin/python3 -c {shlex.quote(_DRAWN)}"
        )
        if done.strip() not in {"image/png", "image/jpeg"}:
            raise TrialError(f"the desk draws nothing: {done}")

    def a_blocked_database_is_restarted(self) -> None:
        """Promise: a daemon whose database takes nothing is given up by systemd and comes back."""
        machine = self._machines["oran"]
        place = "/run/systemd/system/wasl-node.service.d"
        machine.run(f"mkdir -p {place} && printf '[Service]\\nWatchdogSec=8\\n' > {place}/trial.conf")
        machine.run("systemctl daemon-reload && systemctl restart wasl-node")
        holder = ("import sqlite3,time;"
                  f"c=sqlite3.connect('{NODE_HOME}/node.db',isolation_level=None,timeout=30);"
                  "c.execute('BEGIN IMMEDIATE'); time.sleep(20)")  # fmt: skip
        machine.run(f'/usr/lib/wasl/bin/python3 -c "{holder}"')
        machine.run(
            "for n in $(seq 120); do systemctl is-active -q wasl-node && exit 0; sleep 1; done; exit 1"
        )
        journal = machine.run("journalctl -u wasl-node --no-pager -o cat")
        if "Watchdog timeout" not in journal:
            raise TrialError(f"the watchdog did not bite: {journal[-1500:]}")
        machine.run(f"rm -r {place} && systemctl daemon-reload")

    def messages_go(self, key: str) -> None:
        """Send a message either way; Alger's keys are sealed, Oran's are not."""
        for name, node, to in (
            ("alger", f"{SEALED_NODE} wasl-node", "cardio@chu-oran"),
            ("oran", f"{AS_NODE} wasl-node", "cardio@chu-alger"),
        ):
            self._machines[name].run(
                f"printf {key} > /tmp/{key}.txt && chmod 0644 /tmp/{key}.txt && {node} send"
                f" --home {NODE_HOME} --from labo --to {to} --file /tmp/{key}.txt --id {key} --wait delivered"
            )

    def upgraded(self, later: Path) -> None:
        """Follow the upgrade page with a later package, while a message waits: nothing is lost."""
        for machine in self._machines.values():
            machine.run("rm -f wasl_*.deb")
            shutil.copy(later, machine.home)
        oran = self._machines["oran"]
        before = oran.run("systemctl show -p MainPID --value wasl-node")
        self._machines["hub"].run("systemctl stop wasl-hub")  # what is sent now waits for the new version
        oran.run(
            f"printf waits > /tmp/waits.txt && {AS_NODE} wasl-node send --home {NODE_HOME} --from labo"
            " --to cardio@chu-alger --file /tmp/waits.txt --subject waits --id waits"
        )
        self._machines["hub"].run("systemctl start wasl-hub")
        self.follow(ROOT / UPGRADE)
        if before == oran.run("systemctl show -p MainPID --value wasl-node"):
            raise TrialError("the upgrade did not restart the node")
        inbox = f"inbox --home {NODE_HOME}"
        if "labo@chu-alger" not in oran.run(f"{AS_NODE} wasl-node {inbox}"):
            raise TrialError("the inbox is empty after the upgrade")
        self.messages_go("later")
        if "waits" not in self._machines["alger"].run(f"{SEALED_NODE} wasl-node {inbox}"):
            raise TrialError("what waited during the upgrade has not come")

    def removed(self) -> None:
        """Purge the package: nothing runs, no file is left, the home is."""
        machine = self._machines["oran"]
        machine.run("apt-get purge --yes wasl")
        machine.run("! pgrep -u wasl-node && ! test -e /usr/lib/wasl && ! test -e /usr/bin/wasl-node"
                    f" && test -e {NODE_HOME}/keys && test -e {NODE_HOME}/node.db")  # fmt: skip

    def bundled(self, offline: Path) -> None:
        """Install the offline bundle where the package was: node and desk go on in the same home."""
        machine = self._machines["oran"]
        shutil.copy(offline, machine.home)
        machine.run("dpkg --install /var/cache/apt/archives/*.deb")
        began_s = time.monotonic()
        machine.run("tar xf wasl-*-offline-*.tar && wasl-*-offline-*/install.sh")
        self.took.append(("oran", "offline bundle: install.sh", time.monotonic() - began_s))
        machine.run("systemctl start wasl-node wasl-desk && test $(readlink -f /usr/local/bin/wasl-desk)"
                    " = /opt/wasl/bin/wasl-desk")  # fmt: skip
        self.the_desk_answers("oran")
        self.messages_go("bundled")


def lint(package: Path) -> None:
    """Ask lintian about the package; TrialError if it finds an error. Without lintian that is said."""
    if shutil.which("lintian") is None:
        sys.stderr.write("lintian is not installed: the package was not asked about\n")
        return
    done = subprocess.run(
        ["lintian", "--fail-on", "error", str(package)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TrialError(f"lintian: {done.stdout}{done.stderr}")


@contextmanager
def sources(since: str) -> Iterator[Path]:
    """Yield the repository as it was at a commit; as it is if none is named."""
    if not since:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="wasl-since-") as scratch:
        place = Path(scratch) / "wasl"
        run("git", "-C", ROOT, "worktree", "add", "--detach", place, since)
        try:
            yield place
        finally:
            run("git", "-C", ROOT, "worktree", "remove", "--force", place)


def packages(since: str, place: Path) -> tuple[Path, Path]:
    """Build the package of a commit with its own program, and today's as a later one."""
    with sources(since) as old:
        said = run(sys.executable, "-m", "release.debian", "--into", place, cwd=old)
        shutil.copy(old / PAGE, place / "install.md")
    later = run(
        sys.executable, "-m", "release.debian", "--into", place, "--version", f"{VERSION}+later", cwd=ROOT
    )
    return Path(said.strip()), Path(later.strip())


def main() -> int:
    """Build two packages, try them, print what each command took."""
    parser = argparse.ArgumentParser(prog="python -m release.trial", description="Try docs/install.md.")
    parser.add_argument("--packages", type=Path, default=DIST, help="where packages will be built")
    parser.add_argument("--since", default="", metavar="COMMIT", help="begin with the package of this commit")
    asked = parser.parse_args()
    reason = missing()
    if reason:
        sys.stderr.write(f"no trial: {reason}\n")
        return 1
    place = asked.packages.absolute()
    try:
        first, later = packages(asked.since, place)
        offline = bundle.build(place, (debian.python_version(),))
        lint(later)
        with booted(first) as machines:
            trial = Trial(machines)
            trial.follow(place / "install.md")
            if not asked.since:  # of one before there may be no such promise yet
                trial.keys_are_sealed()
                trial.the_desk_answers("oran")
                trial.a_blocked_database_is_restarted()
            trial.upgraded(later)
            trial.keys_are_sealed()
            trial.the_desk_is_shown_no_key()
            trial.the_desk_draws()
            trial.messages_go("renewed")
            trial.removed()
            trial.bundled(offline)
    except (TrialError, ReleaseError) as error:
        sys.stderr.write(f"the trial failed: {error}\n")
        return 1
    for name, told, took_s in trial.took:
        sys.stdout.write(f"{took_s:7.1f} s  {name:5}  {told}\n")
    sys.stdout.write(f"{sum(took_s for _, _, took_s in trial.took):7.1f} s  in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
