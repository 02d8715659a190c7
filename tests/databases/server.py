"""A PostgreSQL server of the tests' own: made by initdb in a directory, on loopback, ended by process id.

The programs are Debian's (``/usr/lib/postgresql/15/bin`` and later), or those on the PATH. PostgreSQL refuses
to be run by root, so root runs it as the package's user ``postgres``, in a directory that this user owns;
anybody else runs it as himself. What it holds is as durable as in production: ``fsync`` stays on, because the
product refuses a server without.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.integration.ports import free_port

OLDEST: Final = 15
USER: Final = "wasl"
START_S: Final = 60.0
STOP_S: Final = 30.0

SETTINGS: Final = """
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = 32MB
autovacuum_naptime = 10
log_min_messages = warning
log_line_prefix = '%m [%p] '
lc_messages = 'C'
"""

# Reads until the tests' process is gone, however it ended, and then ends the server and removes its files.
WATCHER: Final = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.kill(int(sys.argv[1]), signal.SIGQUIT)
except ProcessLookupError:
    pass
else:
    shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


def missing() -> str:
    """Return why there can be no server here, empty if there can."""
    if programs() is None:
        return f"PostgreSQL {OLDEST} or later is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _owner() is None:
        return "PostgreSQL does not run as root, and the user postgres is missing"
    return ""


def programs() -> Path | None:
    """Return the directory of initdb and postgres, the newest one there is."""
    found = [
        path
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if path.parent.name.isdecimal() and int(path.parent.name) >= OLDEST and (path / "initdb").exists()
    ]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


def _owner() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return None


def identity() -> dict[str, Any]:
    """Return what ``Popen`` needs so that PostgreSQL runs as a user that it accepts."""
    if os.geteuid() != 0:
        return {}
    owner = _owner()
    assert owner is not None
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def give_away(path: Path) -> None:
    """Let the user of :func:`identity` own it."""
    if os.geteuid() == 0:
        owner = _owner()
        assert owner is not None
        os.chown(path, owner.pw_uid, owner.pw_gid)


class Server:
    """One server, made but not started. :meth:`close` ends it and removes its directory."""

    def __init__(self, more: str = "") -> None:
        assert not missing(), missing()
        found = programs()
        assert found is not None
        self._programs = found
        self.directory = Path(tempfile.mkdtemp(prefix="wasl-pg-"))  # short: a socket's path has 107 bytes
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        give_away(self.directory)
        self._settings = (
            SETTINGS + f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n" + more
        )

    def make(self) -> None:
        """Make the database's files."""
        self.run(
            "initdb", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust",
            f"--username={USER}", f"--pgdata={self.data}",
        )  # fmt: skip
        self.configure()
        with (self.data / "pg_hba.conf").open("a", encoding="ascii") as access:
            access.write("host replication all 127.0.0.1/32 trust\n")

    def copy_of(self, primary: Server) -> None:
        """Make the files of a standby of ``primary``, by the name of its own port."""
        self.run(
            "pg_basebackup", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync",
            f"--pgdata={self.data}",
            f"--dbname=host=127.0.0.1 port={primary.port} user={USER} application_name=standby",
        )  # fmt: skip
        self.configure()

    def configure(self, more: str = "") -> None:
        """Write the settings, ``more`` behind the others."""
        (self.data / "wasl.conf").write_text(self._settings + more, encoding="ascii")
        include = "include 'wasl.conf'\n"
        settings = self.data / "postgresql.conf"
        if include not in settings.read_text(encoding="utf-8"):
            with settings.open("a", encoding="utf-8") as file:
                file.write(include)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert self._process is None or self._process.poll() is not None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **identity(),
            )  # fmt: skip
        self._watch(self._process.pid)
        deadline_s = time.monotonic() + START_S
        while not self._answers():
            assert self.running, f"PostgreSQL ended:\n{self.log.read_text(errors='replace')[-3000:]}"
            assert time.monotonic() < deadline_s, f"PostgreSQL does not answer, see {self.log}"
            time.sleep(0.05)

    def _watch(self, pid: int) -> None:
        self._forget()
        self._watcher = subprocess.Popen(
            [sys.executable, "-c", WATCHER, str(pid), self.directory],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def _forget(self) -> None:
        """End the watcher: the server is ended here."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts every session and closes in good order, SIGQUIT does not care to."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(STOP_S)

    def kill(self) -> None:
        """SIGKILL to the server and all of its processes, as the loss of the machine does."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = [self._process.pid, *map(int, children.read_text().split())]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def freeze(self, *, frozen: bool = True) -> None:
        """Stop, or continue, the server's first process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def promote(self) -> None:
        """Make this standby the primary; returns when it takes writes."""
        self.run("pg_ctl", "promote", "--wait", f"--pgdata={self.data}")

    def reload(self) -> None:
        """Have it read its settings again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End it and remove its files."""
        if self.running:
            self.stop(signal.SIGQUIT)
        self._forget()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str, *, port: int | None = None) -> str:
        """Return SQLAlchemy's URL of one of its databases."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection past the project's own code; every statement is a transaction."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=database, autocommit=True, connect_timeout=5
        )

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True, check=False, cwd=self.directory, timeout=START_S * 2, **identity(),
        )  # fmt: skip
        assert done.returncode == 0, (program, done.stdout.decode(), done.stderr.decode())
