"""The network: connections between links, in memory, as slow and unreliable as the seed says.

A :class:`Pipe` is one connection with two :class:`End` s, which are the transports that ``runtime.link``
writes to. Bytes arrive in order and late, in pieces of any size down to one byte. When a connection is cut,
some of what was under way still arrives, and then each end hears of the loss, not at the same time: until the
hub hears of it, the same node may have connected again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock as TaskClock
from twisted.python.failure import Failure

from tests.simulation.lives import Life

HIGH_WATER_BYTES: Final = 65_536
DRIBBLES: Final = 300
"""How many pieces of one to three bytes a dribbling connection delivers before it goes on normally."""
UNHEARD_S: Final = 50.0
"""A loss may go unnoticed at one end for so long."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a caller is."""

    host: str
    port: int = 7600


class Weather:
    """How the network is at present."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.typical_s = random.choice((0.0, 0.001, 0.01, 0.1))
        self.slowness = 1.0
        self.refusing_rate = random.choice((0.0, 0.0, 0.1))
        self.dribble_rate = random.choice((0.0, 0.02, 0.1))

    def wait_s(self) -> float:
        """Return how long the next piece is under way."""
        return self.slowness * self.typical_s * self.random.expovariate(1.0)

    def calm(self) -> None:
        """End all faults."""
        self.slowness, self.refusing_rate, self.dribble_rate = 1.0, 0.0, 0.0


class End:
    """One end's transport, as ``runtime.link`` uses it."""

    def __init__(self, pipe: Pipe, life: Life, protocol: Protocol, peer: Address) -> None:
        self.pipe = pipe
        self.life = life
        self.protocol = protocol
        self.reading = True
        self.closing = False
        self.gone = False
        self.producer: Any = None
        self.out: _Flow
        self._peer = peer

    # ── what the link calls ────────────────────────────────────────────────────────────

    def write(self, data: bytes) -> None:
        """Send; what is written after the end of the connection vanishes."""
        if not (self.gone or self.closing or not self.life.alive):
            self.out.put(data)

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close once everything is sent."""
        if not (self.gone or self.closing):
            self.closing = True
            self.reading = False
            self.out.finish()

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close at once; the peer may still get some of what was sent."""
        if not self.gone:
            self.life.callLater(0, self.lose, ConnectionLost("aborted"))
            self.out.cut()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802 - Twisted's
        """Pause ``producer`` while too much is under way."""
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Pause nobody any more."""
        self.producer = None

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Take no more from the peer."""
        self.reading = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Take more again."""
        if not self.closing:
            self.reading = True
            self.pipe.into(self).go_on()

    def getPeer(self) -> Address:  # noqa: N802 - Twisted's name
        """Return who is at the other end."""
        return self._peer

    # ── what the network does ──────────────────────────────────────────────────────────

    def lose(self, why: Exception) -> None:
        """Tell the protocol that the connection is gone, once."""
        if not self.gone:
            self.gone = True
            reason: Any = Failure(why)  # type: ignore[no-untyped-call]  # Twisted has no types here
            self.life.enter(self.protocol.connectionLost, reason)

    def crashed(self) -> None:
        """Take note that the process at this end is no more."""
        self.gone = True
        self.out.cut()


class _Flow:
    """One direction."""

    def __init__(self, pipe: Pipe, source: End, target: End, random: Random) -> None:
        self._pipe = pipe
        self._source = source
        self._target = target
        self._random = random
        self._buffer = bytearray()
        self._timer: Any = None
        self._full = False
        self._stalled_until_s = 0.0
        self._loss: Exception | None = None
        self._dribbles = DRIBBLES if random.random() < pipe.weather.dribble_rate else 0
        self._cuts = random.random() < 0.3

    def put(self, data: bytes) -> None:
        if self._loss is not None:
            return
        self._buffer += data
        if len(self._buffer) > HIGH_WATER_BYTES and not self._full and self._source.producer is not None:
            self._full = True
            self._source.life.enter(self._source.producer.pauseProducing)
        self.go_on()

    def finish(self) -> None:
        """Close from the source, in order."""
        if self._loss is None:
            self._loss = ConnectionDone()
        self.go_on()

    def cut(self) -> None:
        """Lose what has not arrived, or some of it."""
        keep = self._random.choice((0, len(self._buffer), self._random.randint(0, len(self._buffer))))
        del self._buffer[keep:]
        self._loss = ConnectionLost("cut")
        self.go_on()

    def stall(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._stalled_until_s = self._pipe.clock.seconds() + seconds
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
            self._timer = None
        self.go_on()

    def go_on(self) -> None:
        """Move on, if there is anything to move."""
        if self._timer is None and (self._buffer or self._loss is not None):
            wait_s = max(self._pipe.weather.wait_s(), self._stalled_until_s - self._pipe.clock.seconds())
            self._timer = self._pipe.clock.callLater(wait_s, self._move)

    def _move(self) -> None:
        self._timer = None
        if self._target.gone:
            self._buffer.clear()
        if self._buffer and not self._target.reading and self._loss is None:
            return
        if self._buffer:
            piece = self._piece()
            if self._target.reading:
                self._target.life.enter(self._target.protocol.dataReceived, piece)
        if self._buffer:
            self.go_on()
            return
        if self._full:
            self._full = False
            if not self._source.gone and self._source.producer is not None:
                self._source.life.enter(self._source.producer.resumeProducing)
        if self._loss is not None and not self._buffer:
            self._over(self._loss)

    def _piece(self) -> bytes:
        length = len(self._buffer)
        if self._dribbles:
            self._dribbles -= 1
            length = self._random.randint(1, 3)
        elif self._cuts:
            length = self._random.randint(1, length)
        piece = bytes(self._buffer[:length])
        del self._buffer[:length]
        return piece

    def _over(self, why: Exception) -> None:
        wait_s = self._random.uniform(0, 0.1)
        if isinstance(why, ConnectionLost) and self._random.random() < 0.2:
            wait_s = self._random.uniform(0, UNHEARD_S)
        self._pipe.clock.callLater(wait_s, self._target.lose, why)
        if self._source.closing:
            self._pipe.clock.callLater(0, self._source.lose, why)


class Pipe:
    """One connection between a node's link and a hub's."""

    def __init__(
        self,
        clock: TaskClock,
        weather: Weather,
        random: Random,
        node: tuple[Life, Protocol],
        hub: tuple[Life, Protocol],
        caller: Address,
    ) -> None:
        self.clock = clock
        self.weather = weather
        self.node = End(self, *node, peer=Address("hub"))
        self.hub = End(self, *hub, peer=caller)
        self.node.out = _Flow(self, self.node, self.hub, random)
        self.hub.out = _Flow(self, self.hub, self.node, random)
        for end in (self.hub, self.node):
            end.life.enter(end.protocol.makeConnection, end)

    @property
    def open(self) -> bool:
        """Neither end has heard of its end yet."""
        return not (self.node.gone or self.hub.gone)

    def into(self, end: End) -> _Flow:
        """Return the direction that arrives at ``end``."""
        return self.hub.out if end is self.node else self.node.out

    def cut(self) -> None:
        """Break it."""
        self.node.out.cut()
        self.hub.out.cut()

    def stall(self, seconds: float) -> None:
        """Let nothing through, either way, for so long."""
        self.node.out.stall(seconds)
        self.hub.out.stall(seconds)


class Network:
    """Every connection that there is; ``answer`` gives the hub's process and a protocol for a caller."""

    def __init__(self, clock: TaskClock, weather: Weather, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.weather = weather
        self.pipes: list[Pipe] = []
        self.answer: Callable[[Address], tuple[Life, Protocol] | None] = lambda _caller: None

    def connect(self, life: Life, name: str, protocol: Protocol, failed: Callable[[str], object]) -> None:
        """Connect a node's protocol to the hub, or say why not, later."""
        self._clock.callLater(self.weather.wait_s(), self._connect, life, name, protocol, failed)

    def _connect(self, life: Life, name: str, protocol: Protocol, failed: Callable[[str], object]) -> None:
        if not life.alive:
            return
        caller = Address(name)
        refusing = self._random.random() < self.weather.refusing_rate
        answered = None if refusing else self.answer(caller)
        if answered is None:
            life.enter(failed, "connection refused")
            return
        self.pipes = [pipe for pipe in self.pipes if not (pipe.node.gone and pipe.hub.gone)]
        self.pipes.append(Pipe(self._clock, self.weather, self._random, (life, protocol), answered, caller))

    def unstall(self) -> None:
        """Let everything through again."""
        for pipe in self.pipes:
            pipe.stall(0.0)

    def crashed(self, life: Life) -> None:
        """Break what a process that died had open."""
        for pipe in self.pipes:
            for end in (pipe.node, pipe.hub):
                if end.life is life and not end.gone:
                    end.crashed()
