"""A drop folder over a station's real stores, on a simulated clock and a real file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from config.node import Folder, Mllp
from crypto.primitives import blake2b
from nodes.gateways.folder import FolderGateway
from nodes.link import tables
from nodes.link.inbox import Received
from protocols.link.envelope import State
from runtime.executors import ClockExecutor, FailStop
from tests.nodes.fixtures import HERE, Station

POLL_S: Final = 1.0
DAY_MS: Final = 86_400_000


def hl7(control_id: str = "1", *, to: str = "labo|chu-oran", sender: str = "urgences|chu-alger") -> bytes:
    return (
        f"MSH|^~\\&|{sender}|{to}|20260101||ADT^A01|{control_id}|P|2.5\rPID|1||77^^^CHU||BENALI^AMINE\r"
    ).encode()


def attach(station: Station, seq: int, name: str, content: bytes) -> Path:
    """Add a file to a received message, as the link stores it."""
    path = station.home / f"incoming-{name.encode().hex()[:40]}"
    path.write_bytes(content)
    station.do(
        lambda connection: connection.execute(
            insert(tables.inbox_files).values(
                inbox_seq=seq, position=len(name), name=name, media_type="image/png", size=len(content),
                digest=blake2b(content), path=path.name,
            )
        )
    )  # fmt: skip
    return path


def state_of(station: Station, seq: int) -> State:
    return State(station.inbox_row(seq).state)


@dataclass
class Desk:
    """One gateway and what is around it."""

    station: Station
    gateway: FolderGateway
    alarms: list[tuple[str, str]] = field(default_factory=list)
    fatal: list[BaseException] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.gateway.root

    def polls(self, count: int = 3) -> None:
        self.station.advance(count * POLL_S + 0.5)

    def drop(self, name: str, content: bytes | str) -> Path:
        path = self.root / "out" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def names(self, place: str) -> list[str]:
        return sorted(path.name for path in (self.root / place).iterdir())

    def shown(self, place: str = "in") -> list[str]:
        return [name for name in self.names(place) if not name.startswith(".")]

    def reason(self) -> str:
        (path,) = (self.root / "failed").glob("*.reason.txt")
        return path.read_text()


@contextmanager
def open_folder(
    station: Station,
    *,
    covers: Callable[[Received], bool] = lambda _: True,
    mllp: Mllp | None = None,
    settings: Folder | None = None,
    floor_bytes: int = 0,
) -> Iterator[Desk]:
    """Start a gateway, let it make its folder, and stop it at the end."""
    alarms: list[tuple[str, str]] = []
    fatal: list[BaseException] = []
    executor = FailStop(ClockExecutor(station.time), fatal.append)
    gateway = FolderGateway(
        post=station.post,
        settings=settings or Folder(),
        mllp=mllp or Mllp(),
        facility=HERE,
        valid_for=lambda _: 5 * DAY_MS,
        covers=covers,
        floor_bytes=floor_bytes,
        executor=executor,
        clock=station.clock,
        registry=CollectorRegistry(),
        alarm=lambda code, text: alarms.append((code, text)),
    )
    gateway.start()
    station.advance(0.5)
    try:
        yield Desk(station, gateway, alarms, fatal)
    finally:
        station.run(gateway.stop())
        executor.stop()


@contextmanager
def crashed_folder(station: Station) -> Iterator[Desk]:
    """Like :func:`open_folder`, but it ends as a crash does: nothing that was under way goes on."""
    alarms: list[tuple[str, str]] = []
    executor = ClockExecutor(station.time)
    gateway = FolderGateway(
        post=station.post, settings=Folder(), mllp=Mllp(), facility=HERE, valid_for=lambda _: DAY_MS,
        covers=lambda _: True, floor_bytes=0, executor=executor, clock=station.clock,
        registry=CollectorRegistry(), alarm=lambda code, text: alarms.append((code, text)),
    )  # fmt: skip
    gateway.start()
    try:
        yield Desk(station, gateway, alarms)
    finally:
        executor.stop()
        gateway._stopping = True
        gateway.wake()
