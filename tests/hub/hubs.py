"""A hub's stores on a clock that stands still: real SQLite, real keys, no network, no threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as TaskClock

import hub.audit.tables
import hub.directory.tables
import hub.spool.tables  # noqa: F401 - declares its tables
from config.hub import HubSettings
from crypto.keys import LinkPrivateKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.sealing import message_digest
from hub.compose import compose
from hub.core import HubCore
from hub.directory.service import Issuer
from hub.keys import HubKeys
from hub.metadata import metadata
from hub.routing.route import Reason
from hub.spool.store import Entry
from protocols.link.envelope import SealedMessage, decode_message, encode, facility_of
from protocols.link.errors import RemoteError
from runtime.clock import SimulatedClock
from runtime.database import ClockExecutor, open_engine, transact
from tests.databases.files import make_file

EPOCH_MS: Final = 1_790_000_000_000
DAY_MS: Final = 86_400_000
ALGER: Final = "labo@chu-alger"
ORAN: Final = "cardio@chu-oran"
SUD: Final = "accueil@clinique-sud"
AUTHORITY: Final = SigningPrivateKey(bytes(range(32)))
AUDIT: Final = SigningPrivateKey(bytes(range(64, 96)))
HUB_KEY: Final = LinkPrivateKey(bytes(range(32, 64)))
ISSUER: Final = Issuer(AUTHORITY, "hub.example:7600", "hub", HUB_KEY.public)

MESSAGE: Final = encode(SealedMessage(b"envelope", b"sealed", (), 1, bytes(64)))
"""Enough for who does not open it."""

_T = TypeVar("_T")


@contextmanager
def open_store(home: Path, url: str | None = None) -> Iterator[Engine]:
    """Yield an engine on a fresh hub's database; ``url`` names one that has the tables already."""
    if url is None and not (home / "hub.db").exists():
        make_file(home / "hub.db", metadata)
    engine = open_engine(url or f"sqlite:///{home / 'hub.db'}")
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Rest:
    """A whole hub without its sockets; ``run`` lets a coroutine end without time passing."""

    core: HubCore
    time: TaskClock
    clock: SimulatedClock
    engine: Engine

    def run(self, awaitable: Awaitable[_T]) -> _T:
        """Return what a coroutine returns; it may use the stores, not time."""
        results: list[Any] = []
        Deferred.fromCoroutine(awaitable).addBoth(results.append)  # type: ignore[arg-type]  # an async def's coroutine
        for _ in range(1_000):
            if results:
                break
            self.time.advance(0)
        (result,) = results
        if hasattr(result, "raiseException"):
            result.raiseException()
        return result  # type: ignore[no-any-return]  # what the coroutine returned

    def sql(self, operation: Callable[[Connection], _T]) -> _T:
        """Run one transaction."""
        return transact(self.engine, operation)


@contextmanager
def open_hub(home: Path, settings: HubSettings | None = None, url: str | None = None) -> Iterator[Rest]:
    """Yield a hub at rest in ``home``."""
    with open_store(home, url) as engine:
        time = TaskClock()
        clock = SimulatedClock(time, EPOCH_MS)

        def fatal(error: BaseException) -> None:
            raise error

        core = compose(
            home=home,
            settings=settings or HubSettings(),
            keys=HubKeys(HUB_KEY, AUTHORITY, AUDIT),
            engine=engine,
            clock=clock,
            writer=ClockExecutor(time),
            reader=ClockExecutor(time),
            file_worker=ClockExecutor(time),
            on_fatal=fatal,
            registry=CollectorRegistry(),
        )
        core.first = True  # no membership is started that would find it out
        rest = Rest(core, time, clock, engine)
        yield rest
        rest.run(core.files.close())
        rest.run(core.database.close())


def message_id(number: int) -> bytes:
    """Return the ``number``-th id."""
    return number.to_bytes(16, "big")


def _digest(message: bytes) -> bytes:
    try:
        decoded = decode_message(message)
    except RemoteError:
        return bytes(32)
    return message_digest(decoded.envelope, decoded.sealed)


def entry(
    number: int,
    *deliveries: str,
    digest: bytes | None = None,
    sender: str = ALGER,
    returns: tuple[tuple[str, Reason], ...] = (),
    priority: int = 0,
    files: int = 0,
    valid_for_ms: int = DAY_MS,
    warn_after_ms: int | None = None,
    now_ms: int = EPOCH_MS,
    message: bytes = MESSAGE,
) -> Entry:
    """Return a message as the intake hands it to the spool, with the right ``digest`` unless one is given."""
    warn = valid_for_ms * 4 // 5 if warn_after_ms is None else warn_after_ms
    return Entry(
        id=message_id(number),
        facility=facility_of(sender),
        digest=_digest(message) if digest is None else digest,
        sender=sender,
        recipients=" ".join((*deliveries, *(address for address, _ in returns))),
        kind="ORU^R01",
        priority=priority,
        size=len(message),
        files=files,
        expires_ms=now_ms + valid_for_ms,
        due_ms=now_ms + warn,
        message=message,
        deliveries=deliveries,
        returns=returns,
    )


@dataclass(frozen=True)
class NodeKeys:
    """What a node shows when it joins."""

    link: LinkPrivateKey
    signing: SigningPublicKey
    sealing: SealingPublicKey

    @classmethod
    def numbered(cls, number: int) -> NodeKeys:
        """Return the same keys for the same number."""
        seed = bytes((number,)) * 32
        return cls(LinkPrivateKey(seed), SigningPrivateKey(seed).public, SealingPublicKey(seed))
