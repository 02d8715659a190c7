"""A hub's end of the link in the hands of a test: real keys and frames over a wire in memory, and no hub.

The node's end is the real :class:`~nodes.link.uplink.Uplink` of a station. The test reads what the node
said (:meth:`HubEnd.heard`), says what a hub would say or what no honest hub would, cuts the wire, and lets
the node call again.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from crypto.keys import LinkPrivateKey, LinkPublicKey
from nodes.link.core import LinkCore
from nodes.link.trust import Trust
from nodes.link.uplink import Uplink
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.session import HelloReceived, HubStatic, LinkEvent, LinkSession
from runtime.clock import Clock
from runtime.executors import ClockExecutor, FailStop
from runtime.link import TwistedLink
from tests.nodes.fixtures import Station

_ROUNDS = 200
_Frame = TypeVar("_Frame")


class Wire:
    """What the node's link takes for its transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False
        self.reading = True
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        """Keep what the node says."""
        self.written.append(data)

    def take(self) -> bytes:
        """Return what the node has said since."""
        data, self.written = b"".join(self.written), []
        return data

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: N802 - Twisted's
        """Keep who is to be told when to hold back."""
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Forget whom."""
        self.producer = None

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Note that the node wants to close."""
        self.closing = True

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Note that the node has cut."""
        self.closing = True

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Hold what the hub says."""
        self.reading = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Let it through again."""
        self.reading = True

    def getPeer(self) -> str:  # noqa: N802 - Twisted's name
        """Name the other end."""
        return "wire"


class HubEnd:
    """The hub's end of one node's link, one connection after another."""

    def __init__(self, station: Station, *, floor_bytes: int = 0) -> None:
        self.station = station
        self.fatal: list[BaseException] = []
        self.files = FailStop(ClockExecutor(station.time), self.fatal.append)
        post = station.post
        self.core = LinkCore(post, self.files, post.metrics, Random(1), Trust({}), floor_bytes)
        self.uplink = Uplink(self.core, self._connect)
        self.calls = 0
        self.reachable = True
        self.answers_directory = True
        self.answer_hello: Callable[[LinkSession], object] = lambda session: session.welcome(self._welcome())
        self.ended: f.End | None = None
        self.keys: tuple[LinkPrivateKey, ...] = (station.network.hub,)
        self.epoch = 0, 0
        """When this hub was restored, and when the backup was made."""
        self.hellos: list[payloads.Hello] = []
        self._frames: list[LinkEvent] = []
        self.wire = Wire()
        self.link: TwistedLink | None = None
        self._hub: LinkSession | None = None

    def start(self) -> HubEnd:
        """Let the node call, and bring it to where it is ready."""
        self.station.run(self.uplink.start())
        self.turn()
        return self

    def say(self, *frames: f.AnyFrame) -> None:
        """Say something to the node and let everything happen that follows at once."""
        assert self._hub is not None
        for frame in frames:
            self._hub.send(frame)
        self.turn()

    def interrupt(self, *frames: f.AnyFrame) -> None:
        """Say something that reaches the node before anything else of what is due happens."""
        assert self._hub is not None
        assert self.link is not None
        for frame in frames:
            self._hub.send(frame)
        self.link.dataReceived(self._hub.data_to_send(64))

    def heard(self, kind: type[_Frame]) -> list[_Frame]:
        """Return the frames of one kind that the node said since the last call, oldest first."""
        found: list[_Frame] = [frame for frame in self._frames if isinstance(frame, kind)]
        self._frames = [frame for frame in self._frames if not isinstance(frame, kind)]
        return found

    def turn(self) -> None:
        """Carry bytes both ways until nobody has anything to say; no time passes."""
        for _ in range(_ROUNDS):
            self.station.settle()
            if not self._carry():
                return
        raise AssertionError("the two ends never stop talking")

    def lose(self) -> None:
        """Cut the wire."""
        link, self.link = self.link, None
        if link is not None:
            link.connectionLost()
        self.station.settle()

    def again(self) -> None:
        """Cut the wire and let the node call again."""
        self.lose()
        calls = self.calls
        for _ in range(2_000):
            if self.calls > calls:
                break
            self.station.advance(0.1)
        self.turn()

    # ── inside ─────────────────────────────────────────────────────────────────────────

    def _connect(self, link: TwistedLink, failed: Callable[[str], object]) -> None:
        self.calls += 1
        clock: Clock = self.station.clock
        if not self.reachable:
            clock.call_later(0, failed, "no route to the hub")
            return
        self.wire, self.link, self.ended = Wire(), link, None
        self._frames = []
        self._hub = LinkSession.hub(
            static=tuple(map(HubStatic, self.keys)), hub_name="hub", now_ms=clock.now_ms,
            submit_window=limits.SUBMIT_WINDOW,
        )  # fmt: skip
        link.makeConnection(self.wire)  # type: ignore[no-untyped-call]  # Twisted's

    def _welcome(self) -> payloads.Welcome:
        now_ms = self.station.clock.now_ms()
        return payloads.Welcome("test", now_ms, limits.SUBMIT_WINDOW, 1 << 40, 1, *self.epoch)

    @property
    def called_by(self) -> LinkPublicKey | None:
        """Which of the hub's keys the node called it by."""
        return None if self._hub is None else self._hub.hub_key

    def _carry(self) -> bool:
        hub, link = self._hub, self.link
        if hub is None or link is None:
            return False
        moved = False
        data = self.wire.take()
        if data:
            moved = True
            for event in hub.receive(data):
                self._hear(hub, event)
        if self.wire.reading and not self.wire.closing:
            data = hub.data_to_send(64)
            if data:
                moved = True
                link.dataReceived(data)
        if self.wire.closing and not self.wire.written:
            self.lose()
            moved = True
        return moved

    def _hear(self, hub: LinkSession, event: LinkEvent) -> None:
        if isinstance(event, HelloReceived):
            self.hellos.append(event.hello)
            self.answer_hello(hub)
        elif isinstance(event, f.DirectoryWanted) and self.answers_directory:
            hub.send(f.Directory((), complete=True))
        elif type(event).__name__ == "PeerLeft":
            self.ended = event.end  # type: ignore[union-attr]  # PeerLeft by name: its class is not exported
        else:
            self._frames.append(event)
