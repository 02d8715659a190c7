"""Whether the database takes writes: one small real write every few seconds, and what became of the last.

A daemon whose disk is full or whose database is locked looks well from outside: it answers, and nothing goes
in. So it writes a row of its own, through the same group commit as everything else, and reads on the way
which schema the database has by now. Whoever asks (readiness, metrics) is told what is remembered: a thousand
questions cost no write.

The database is *writable* if the last probe was committed, and not longer than ``LATE_S`` ago.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Connection

from runtime import migrations
from runtime.clock import Clock, sleep
from runtime.database import Database
from runtime.logs import event
from runtime.status import Readiness
from runtime.storage_errors import StorageError
from runtime.tasks import spawn

PROBE_S: Final = 5.0
LATE_S: Final = 15.0
"""A probe that has waited for its commit for this long has failed, whatever becomes of it."""

_LOG = logging.getLogger(__name__)


class WriteProbe:
    """The probe of one database. ``write`` is a small write; ``package`` owns the schema ("hub", "nodes")."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        package: str,
        write: Callable[[Connection], object],
    ) -> None:
        self._database, self._clock = database, clock
        self._package, self._write = package, write
        self._running = False
        self._written_s: float | None = None
        self._error = "nothing was written yet"
        self._schema: str | None = None
        writable = Gauge(
            "wasl_database_writable",
            "1 if the last small write was committed, not long ago",
            registry=registry,
        )
        writable.set_function(lambda: self.writable().ok)

    def start(self) -> None:
        """Begin to write."""
        self._running = True
        spawn(self._run(), lambda error: event(_LOG, logging.ERROR, "probe-ended", cause=error))

    def stop(self) -> None:
        """Write no more."""
        self._running = False

    async def _run(self) -> None:
        while self._running:
            await self.probe()
            await sleep(self._clock, PROBE_S)

    async def probe(self) -> None:
        """Write once."""
        try:
            self._schema = await self._database.write(self._operation)
        except StorageError as error:
            self._error = str(error)
        else:
            self._written_s, self._error = self._clock.monotonic_s(), ""

    def _operation(self, connection: Connection) -> str | None:
        self._write(connection)
        return migrations.found_by(connection)

    def writable(self) -> Readiness:
        """Return whether the database takes writes."""
        advice = "look at the disk (df, dmesg) and at who holds the database; see docs/runbooks.md"
        if self._error or self._written_s is None:
            return Readiness(ok=False, text=self._error, advice=advice)
        ago_s = self._clock.monotonic_s() - self._written_s
        if ago_s > LATE_S:
            return Readiness(ok=False, text=f"the last write was {ago_s:.0f} s ago", advice=advice)
        return Readiness(ok=True, text=f"writable, written {ago_s:.1f} s ago")

    def schema(self) -> Readiness:
        """Return whether the schema is the one that this program was written for."""
        wanted = migrations.head(self._package)
        if self._schema is None:
            return Readiness(ok=False, text="not read yet", advice="see the check of the database")
        if self._schema != wanted:
            return Readiness(
                ok=False,
                text=f"the database has schema {self._schema}, this program was written for {wanted}",
                advice="restart this daemon with the version of the program that belongs to the database",
            )
        return Readiness(ok=True, text=f"schema {wanted}")
