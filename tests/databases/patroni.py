"""PostgreSQL under Patroni with etcd, on loopback: two members of one cluster, as ``docs/scaling.md`` says.

Patroni makes, starts and promotes the servers; nobody here does. A member is lost like its machine: SIGKILL
to Patroni and to all processes of its PostgreSQL. The other one takes over when the dead one's lease in etcd
has run out, ``LEASE_S`` at most. The programs are Debian's (``patroni``, ``etcd-server``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.databases import server
from tests.integration.ports import free_port
from tests.integration.waiting import wait_until

LEASE_S: Final = 20
"""The shortest that Patroni allows."""
START_S: Final = 120.0
STOP_S: Final = 60.0

# Reads until the tests' process is gone, however it ended; Patroni then stops its server.
WATCHER: Final = """
import os, signal, sys
sys.stdin.read()
for pid in map(int, sys.argv[1:]):
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
"""


def missing() -> str:
    """Return why there can be no such cluster here, empty if there can."""
    if why := server.missing():
        return why
    absent = [name for name in ("patroni", "etcd") if shutil.which(name) is None]
    return f"{' and '.join(absent)} missing (Debian: apt-get install patroni etcd-server)" if absent else ""


class Member:
    """One Patroni and its PostgreSQL."""

    def __init__(self, name: str, directory: Path, etcd_port: int) -> None:
        self.name = name
        self.port = free_port()
        self._rest_port = free_port()
        self._home = directory / name
        self._home.mkdir()
        server.give_away(self._home)
        self._log = self._home / "log"
        self._settings = self._home / "patroni.json"
        self._settings.write_text(json.dumps(self._configuration(etcd_port), indent=2), encoding="ascii")
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = False

    def _configuration(self, etcd_port: int) -> dict[str, Any]:
        programs = server.programs()
        return {
            "scope": "wasl",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self._rest_port}",
                "connect_address": f"127.0.0.1:{self._rest_port}",
            },
            "etcd3": {"host": f"127.0.0.1:{etcd_port}"},
            "bootstrap": {
                "dcs": {
                    "ttl": LEASE_S,
                    "loop_wait": 1,
                    "retry_timeout": 3,
                    "maximum_lag_on_failover": 0,
                    "synchronous_mode": True,
                    "synchronous_mode_strict": True,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {"max_connections": 60, "shared_buffers": "32MB"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self._home / "data"),
                "bin_dir": str(programs),
                "pgpass": str(self._home / "pgpass"),
                "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                "authentication": {
                    "superuser": {"username": server.USER},
                    "replication": {"username": server.USER},
                    "rewind": {"username": server.USER},
                },
                "parameters": {"unix_socket_directories": str(self._home)},
            },
        }

    def start(self) -> None:
        """Start Patroni; it does the rest."""
        self.killed = False
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["patroni", self._settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._home, **server.identity(),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Patroni's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether Patroni lives."""
        return self._process is not None and self._process.poll() is None

    def is_(self, role: str) -> bool:
        """Whether Patroni says so: ``primary``, ``replica``, ``synchronous``."""
        url = f"http://127.0.0.1:{self._rest_port}/{role}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def said(self) -> str:
        """Return the end of what Patroni and PostgreSQL wrote."""
        return self._log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """SIGKILL to Patroni and to PostgreSQL with all of its processes."""
        self.killed = True
        first = int((self._home / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for pid in (self.pid, first, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(STOP_S)

    def stop(self) -> None:
        """Stop both in good order."""
        if self._process is not None and self.running:
            self._process.terminate()
            self._process.wait(STOP_S)


class PatroniCluster:
    """An etcd and two members; :meth:`close` ends everything and removes its files."""

    def __init__(self) -> None:
        assert not missing(), missing()
        self.directory = Path(tempfile.mkdtemp(prefix="wasl-pt-"))
        server.give_away(self.directory)
        self._etcd_port = free_port()
        self.members = [Member(name, self.directory, self._etcd_port) for name in ("one", "two")]
        self._etcd: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything; returns when one is the primary and the other its synchronous standby."""
        own, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        with (self.directory / "etcd.log").open("ab") as log:
            self._etcd = subprocess.Popen(
                ["etcd", "--name", "one", "--data-dir", self.directory / "etcd",
                 "--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", peer,
                 "--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **server.identity(),
            )  # fmt: skip
        for member in self.members:
            member.start()
        pids = [str(pid) for pid in (*(one.pid for one in self.members), self._etcd.pid)]
        self._watcher = subprocess.Popen(
            [sys.executable, "-c", WATCHER, *pids], stdin=subprocess.PIPE, start_new_session=True
        )
        wait_until("one is the primary", lambda: self.primary() is not None, START_S, 0.2)
        wait_until("the other is synchronous", lambda: self.standby().is_("synchronous"), START_S, 0.2)

    def primary(self) -> Member | None:
        """Return the member that takes writes, None while nobody does; AssertionError if one has ended."""
        for one in self.members:
            assert one.running or one.killed, one.said()
        return next((one for one in self.members if one.is_("primary")), None)

    def standby(self) -> Member:
        """Return the member that is not the primary."""
        primary = self.primary()
        return next(one for one in self.members if one is not primary)

    def url(self, database: str) -> str:
        """Return the URL that names both members."""
        hosts = "&".join(f"host=127.0.0.1:{one.port}" for one in self.members)
        return f"postgresql+psycopg://{server.USER}@/{database}?{hosts}"

    def execute(self, statement: str) -> None:
        """Run a statement at the primary."""
        primary = self.primary()
        assert primary is not None
        with psycopg.connect(
            host="127.0.0.1", port=primary.port, user=server.USER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def close(self) -> None:
        """End everything and remove its files."""
        for member in self.members:
            member.stop()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait(STOP_S)
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
        shutil.rmtree(self.directory, ignore_errors=True)
