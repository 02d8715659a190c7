"""Both ends of MLLP in memory: a hospital system that sends, and one that is delivered to."""

# Twisted's test transport is unannotated:
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.error import ConnectionLost as TwistedConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from config.node import Mllp, load_node
from nodes.gateways.mllp_in import MllpInbound
from protocols.hl7.acks import Acknowledgement, read_ack
from protocols.mllp import FrameReader, MessageReceived, frame
from tests.nodes.fixtures import HERE, Station

VALID_FOR_MS = 5 * 86_400_000


def settings(tmp_path: Path, text: str = "") -> Mllp:
    """Return ``[mllp]`` as the settings file gives it."""
    file = tmp_path / "node.toml"
    file.write_text("[mllp]\n" + text)
    read = load_node(file).mllp
    assert read is not None
    return read


def message(
    control_id: str = "1",
    *,
    sender: str = "LABO|CHU-Alger",
    to: str = "cardio|chu-oran",
    kind: str = "ORU^R01^ORU_R01",
    modes: str = "",
    tail: str = "PID|1||12345^^^CHU||Benali^Amina\rOBX|1|ST|x||é\r",
) -> bytes:
    """Return a message; ``modes`` is ``MSH-15|MSH-16``."""
    head = f"MSH|^~\\&|{sender}|{to}|20260101||{kind}|{control_id}|P|2.5.1"
    if modes:
        head += f"|||{modes}"
    return f"{head}\r{tail}".encode()


class Pipe(StringTransport):
    """A transport whose end is seen by its protocol, as a real one's is."""

    protocol: Any = None

    def abortConnection(self) -> None:  # noqa: N802 (Twisted's name)
        self.end(TwistedConnectionLost())

    def loseConnection(self) -> None:  # noqa: N802 (Twisted's name)
        self.end()

    def end(self, reason: Exception | None = None) -> None:
        self.disconnecting = True
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class Sender:
    """A hospital system connected to the gateway under test."""

    def __init__(self, station: Station, mllp: Mllp) -> None:
        self.station = station
        self.registry = CollectorRegistry()
        self.alarms: list[tuple[str, str]] = []
        self.gateway = MllpInbound(
            station.post,
            mllp,
            HERE,
            lambda _kind: VALID_FOR_MS,
            lambda code, text: self.alarms.append((code, text)),
            station.clock,
            self.registry,
        )
        self.pipe = Pipe()
        protocol = self.gateway.factory.buildProtocol(None)
        self.pipe.protocol = protocol
        protocol.makeConnection(self.pipe)
        self._reader = FrameReader(1 << 24)

    def send(self, *payloads: bytes) -> list[bytes]:
        """Send messages and return what is answered without time passing."""
        self.pipe.protocol.dataReceived(b"".join(map(frame, payloads)))
        self.station.settle()
        return self.answers()

    def answers(self) -> list[bytes]:
        """Return what was answered since it was last asked."""
        events = self._reader.feed(self.pipe.value())
        self.pipe.clear()
        return [event.payload for event in events if isinstance(event, MessageReceived)]

    def ask(self, payload: bytes) -> Acknowledgement:
        """Send a message and read its one answer."""
        answers = self.send(payload)
        assert len(answers) == 1
        return read_ack(answers[0])

    def count(self, name: str, **labels: str) -> float:
        """Return a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0


class LocalSystem:
    """A hospital system that is delivered to; as an endpoint, it is what a client connects to."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.connections: list[Pipe] = []
        self.up = True
        self.answer: Callable[[bytes], list[bytes]] | None = None
        """Answers given at once to each message; None: silence."""

    def connect(self, factory: Any) -> Deferred[Any]:
        if not self.up:
            return fail(ConnectError(string="down"))
        system = self

        class End(Pipe):
            reader = FrameReader(1 << 24)

            def write(self, data: bytes) -> None:
                for event in self.reader.feed(data):
                    if isinstance(event, MessageReceived):
                        system.took(self, event.payload)

        pipe = End()
        pipe.reader = FrameReader(1 << 24)
        protocol = factory.buildProtocol(None)
        pipe.protocol = protocol
        protocol.makeConnection(pipe)
        self.connections.append(pipe)
        return succeed(protocol)

    def took(self, pipe: Pipe, payload: bytes) -> None:
        self.received.append(payload)
        for answer in [] if self.answer is None else self.answer(payload):
            self.say(answer, pipe)

    def say(self, payload: bytes, pipe: Pipe | None = None) -> None:
        """Send a frame on the given (or the latest) connection, if it still stands."""
        pipe = pipe or self.connections[-1]
        if pipe.connected:
            pipe.protocol.dataReceived(frame(payload))


def ack(
    code: str, control_id: str | None, *, head: str = "MSH|^~\\&|A|B|C|D|20260101||ACK|ACK|P|2.3"
) -> bytes:
    """Return a sloppy but common answer; ``control_id`` None leaves MSA-2 out."""
    return f"{head}\rMSA|{code}{'' if control_id is None else '|' + control_id}".encode()
