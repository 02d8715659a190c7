"""MLLP over Twisted: order, bounds, timers, and answers that are never taken for another's."""

# Twisted's test transport is unannotated:
# mypy: allow-untyped-calls

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionLost as TwistedConnectionLost
from twisted.internet.task import Clock as TaskClock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from protocols.mllp import FrameTooLarge, GarbageSkipped, UnframeablePayload, frame
from runtime.clock import SimulatedClock
from runtime.mllp import MllpLimits, MllpServerFactory, MllpServerProtocol, Peer
from runtime.mllp_client import (
    QUIET_S,
    AlreadySending,
    AnswerTimeout,
    ConnectFailed,
    ConnectionLost,
    MllpClient,
)

LIMITS = MllpLimits(
    max_frame_bytes=100,
    max_connections=3,
    max_in_flight=2,
    max_buffered_bytes=250,
    max_garbage_bytes=1000,
    idle_timeout_s=60,
    frame_timeout_s=10,
    quiet_s=0.25,
)


class Pipe(StringTransport):
    """A transport whose end is seen by its protocol, as a real one's is."""

    aborted = False
    protocol: Any = None

    def abortConnection(self) -> None:  # noqa: N802 (Twisted's name)
        self.aborted = True
        self.end(TwistedConnectionLost())

    def end(self, reason: Exception | None = None) -> None:
        self.disconnecting = True
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def flow(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def written(self) -> bytes:
        data: bytes = self.value()
        self.clear()
        return data


class Listener:
    """A server under test, whose handler answers when it is told to."""

    def __init__(self, limits: MllpLimits = LIMITS, on_fault: Any = None) -> None:
        self.time = TaskClock()
        self.asked: list[tuple[bytes, Deferred[Any]]] = []
        self.peers: list[Peer] = []
        self.factory = MllpServerFactory(
            self.handle, clock=SimulatedClock(self.time, 0), limits=limits, on_fault=on_fault
        )

    async def handle(self, payload: bytes, peer: Peer) -> Any:
        answer: Deferred[Any] = Deferred()
        self.asked.append((payload, answer))
        self.peers.append(peer)
        return await answer

    def connect(self) -> Pipe:
        pipe = Pipe()
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, MllpServerProtocol)
        pipe.protocol = protocol
        protocol.makeConnection(pipe)
        return pipe

    def answer(self, index: int, value: Any) -> None:
        self.asked[index][1].callback(value)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for payload, _ in self.asked]


def test_a_message_is_handled_and_answered() -> None:
    listener = Listener()
    pipe = listener.connect()
    for byte in frame(b"MSH|1"):
        pipe.flow(bytes([byte]))
    assert listener.payloads == [b"MSH|1"]
    assert listener.peers == [Peer("192.168.1.1", 54321)]
    assert pipe.written() == b""
    listener.answer(0, b"ACK")
    assert pipe.written() == frame(b"ACK")


@pytest.mark.parametrize(
    ("answer", "written"), [(None, b""), ([], b""), ([b"CA", b"AA"], frame(b"CA") + frame(b"AA"))]
)
def test_none_or_several_answers(answer: Any, written: bytes) -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a"))
    listener.answer(0, answer)
    assert pipe.written() == written


def test_answers_keep_the_order_of_the_messages() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"b"))
    listener.answer(1, b"B")
    assert pipe.written() == b""
    listener.answer(0, b"A")
    assert pipe.written() == frame(b"A") + frame(b"B")


def test_messages_in_flight_are_bounded_and_reading_stops() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"b") + frame(b"c"))
    assert listener.payloads == [b"a", b"b"]
    assert pipe.producerState == "paused"
    listener.answer(0, b"A")
    assert listener.payloads == [b"a", b"b", b"c"]
    assert pipe.producerState == "paused"
    listener.answer(1, b"B")
    assert pipe.producerState == "producing"


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    pipe = Listener().connect()
    assert pipe.producer is not None
    pipe.producer.pauseProducing()
    assert pipe.producerState == "paused"
    pipe.producer.resumeProducing()
    assert pipe.producerState == "producing"


def test_a_frame_without_final_cr_is_taken_after_silence() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"\x0ba\x1c")
    listener.time.advance(0.2)
    assert listener.payloads == []
    listener.time.advance(0.1)
    assert listener.payloads == [b"a"]
    pipe.flow(b"\r" + frame(b"b"))
    assert listener.payloads == [b"a", b"b"]


def test_a_frame_without_final_cr_is_taken_when_the_peer_closes() -> None:
    """The message counts although nobody is left to hear the answer."""
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"\x0ba\x1c")
    pipe.end()
    assert listener.payloads == [b"a"]
    listener.answer(0, b"A")
    assert pipe.written() == b""
    assert listener.time.getDelayedCalls() == []


def test_an_unfinished_frame_is_not_taken_when_the_connection_breaks() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"\x0ba\x1c")
    pipe.end(TwistedConnectionLost())
    assert listener.payloads == []


def test_a_half_closed_peer_gets_its_answers() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"b") + frame(b"c"))
    pipe.protocol.readConnectionLost()
    for index in range(3):
        assert not pipe.disconnecting
        listener.answer(index, b"ok")
    assert pipe.written() == frame(b"ok") * 3
    assert pipe.disconnecting
    assert pipe.producer is None, "Twisted would wait for a paused producer before it closes"


def test_a_frame_that_does_not_end_is_dropped_in_time() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"\x0ba")
    for _ in range(9):
        listener.time.advance(1)
        pipe.flow(b"a")
    assert not pipe.aborted
    listener.time.advance(1)
    assert (pipe.aborted, listener.factory.dropped) == (True, 1)
    assert listener.time.getDelayedCalls() == []


def test_each_frame_has_its_own_time() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"\x0ba")
    listener.time.advance(9)
    pipe.flow(b"\x1c\r\x0bb")
    listener.time.advance(9)
    assert not pipe.aborted
    listener.time.advance(1)
    assert pipe.aborted


def test_an_idle_peer_is_dropped_but_not_one_that_waits_for_us() -> None:
    listener = Listener()
    idle, waiting = listener.connect(), listener.connect()
    listener.time.advance(30)
    waiting.flow(frame(b"a"))
    listener.time.advance(30)
    assert idle.aborted
    for _ in range(5):
        listener.time.advance(60)
    assert not waiting.aborted
    listener.answer(0, b"A")
    for _ in range(3):
        listener.time.advance(60)
    assert waiting.aborted


def test_connections_are_bounded() -> None:
    listener = Listener()
    pipes = [listener.connect() for _ in range(4)]
    assert [pipe.aborted for pipe in pipes] == [False, False, False, True]
    assert listener.factory.refused == 1
    pipes[0].end()
    assert not listener.connect().aborted


def test_memory_is_bounded_by_dropping_the_greediest() -> None:
    listener = Listener()
    pipes = [listener.connect() for _ in range(3)]
    pipes[0].flow(b"\x0b" + b"x" * 80)
    pipes[1].flow(b"\x0b" + b"x" * 99)
    pipes[2].flow(frame(b"x" * 60))
    assert [pipe.aborted for pipe in pipes] == [False, False, False]
    pipes[0].flow(b"x" * 12)
    assert [pipe.aborted for pipe in pipes] == [False, True, False]
    listener.answer(0, b"A")
    assert pipes[2].written() == frame(b"A")


def test_garbage_and_large_frames_are_reported_and_may_be_answered_in_order() -> None:
    faults: list[Any] = []

    def on_fault(fault: Any, peer: Peer) -> bytes | None:
        faults.append(fault)
        return b"AR" if isinstance(fault, FrameTooLarge) else None

    listener = Listener(on_fault=on_fault)
    pipe = listener.connect()
    pipe.flow(b"hello" + frame(b"a") + frame(b"x" * 101) + frame(b"b"))
    assert faults == [GarbageSkipped(5, b"hello"), FrameTooLarge(100)]
    assert pipe.written() == b""
    listener.answer(1, b"B")
    listener.answer(0, b"A")
    assert pipe.written() == frame(b"A") + frame(b"AR") + frame(b"B")


def test_the_answer_to_a_large_frame_starts_no_message_early() -> None:
    listener = Listener(MllpLimits(max_in_flight=1, max_frame_bytes=8), on_fault=lambda *_: b"AR")
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"b") + frame(b"x" * 20) + frame(b"c"))
    for index, payload in enumerate([b"a", b"b", b"c"]):
        assert listener.payloads[index:] == [payload]
        listener.answer(index, payload.upper())
    assert pipe.written() == frame(b"A") + frame(b"B") + frame(b"AR") + frame(b"C")
    assert pipe.producerState == "producing"


def test_what_waits_when_a_handler_fails_is_neither_started_nor_waited_for(
    failures: list[LogEvent],
) -> None:
    listener = Listener(MllpLimits(max_in_flight=1, max_frame_bytes=8), on_fault=lambda *_: b"AR")
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"x" * 20) + frame(b"b"))
    listener.asked[0][1].errback(RuntimeError("disk"))
    assert (listener.payloads, pipe.written(), pipe.disconnecting) == ([b"a"], b"", True)
    listener.time.advance(600)
    assert pipe.aborted
    assert failures


def test_a_peer_that_does_not_speak_mllp_is_dropped() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(b"GET / HTTP/1.1\r\n" * 5000)
    assert pipe.aborted


@pytest.fixture
def failures() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    observer = cast("ILogObserver", events.append)
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


def test_a_failing_handler_acknowledges_nothing_and_closes_behind_the_answers_before_it(
    failures: list[LogEvent],
) -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a") + frame(b"b") + frame(b"c"))
    listener.asked[1][1].errback(RuntimeError("disk"))
    assert not pipe.disconnecting
    listener.answer(0, b"A")
    assert (pipe.written(), pipe.disconnecting) == (frame(b"A"), True)
    pipe.flow(frame(b"d"))
    assert b"d" not in listener.payloads
    assert any("MLLP handler failed" in event.get("log_format", "") for event in failures)


def test_closing_answers_what_was_received_and_leaves_no_timer() -> None:
    listener = Listener()
    pipe, quiet = listener.connect(), listener.connect()
    pipe.flow(frame(b"a"))
    done = ensureDeferred(listener.factory.close(5))
    assert quiet.disconnecting
    quiet.end()
    assert listener.connect().aborted
    listener.answer(0, b"A")
    assert pipe.written() == frame(b"A")
    assert pipe.disconnecting
    pipe.end()
    assert done.called
    assert listener.time.getDelayedCalls() == []


def test_closing_does_not_wait_for_ever() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a"))
    done = ensureDeferred(listener.factory.close(5))
    listener.time.advance(5)
    assert pipe.aborted
    assert done.called


def test_closing_does_not_wait_for_a_peer_that_does_not_read_its_answers() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a"))
    done = ensureDeferred(listener.factory.close(5))
    listener.answer(0, b"A")
    assert (pipe.disconnecting, pipe.aborted) == (True, False)
    listener.time.advance(5)
    assert pipe.aborted
    assert done.called
    assert listener.time.getDelayedCalls() == []


def test_a_peer_that_does_not_read_its_last_answers_is_dropped_when_idle() -> None:
    listener = Listener()
    pipe = listener.connect()
    pipe.flow(frame(b"a") + b"\x0bb")
    pipe.protocol.readConnectionLost()
    listener.answer(0, b"A")
    assert pipe.disconnecting
    listener.time.advance(59)
    assert not pipe.aborted, "no frame is waited for any more"
    listener.time.advance(1)
    assert (pipe.aborted, listener.factory.dropped) == (True, 1)
    assert listener.factory.connections == set()


class Sender:
    """A client under test, and the far ends of its connections."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        endpoint = TCP4ClientEndpoint(self.reactor, "10.0.0.1", 2575)
        self.client = MllpClient(
            endpoint, clock=SimulatedClock(self.reactor, 0), max_frame_bytes=100, connect_timeout_s=3
        )

    def send(self, payload: bytes, is_answer: Callable[[bytes], bool] = lambda _: True) -> Deferred[bytes]:
        return ensureDeferred(self.client.send(payload, timeout_s=5, is_answer=is_answer))

    def accept(self) -> Pipe:
        factory = self.reactor.tcpClients[-1][2]
        pipe = Pipe()
        pipe.protocol = factory.buildProtocol(None)
        pipe.protocol.makeConnection(pipe)
        return pipe


def result(deferred: Deferred[bytes]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "nothing yet"
    return found[0].value if isinstance(found[0], Failure) else found[0]


def test_a_message_out_its_answer_in_on_one_connection() -> None:
    sender = Sender()
    first = sender.send(b"a")
    pipe = sender.accept()
    assert pipe.written() == frame(b"a")
    pipe.flow(frame(b"A"))
    assert result(first) == b"A"
    second = sender.send(b"b")
    assert pipe.written() == frame(b"b")
    pipe.flow(frame(b"B"))
    assert result(second) == b"B"
    assert len(sender.reactor.tcpClients) == 1
    assert sender.reactor.getDelayedCalls() == []


def test_foreign_and_unasked_answers_are_dropped() -> None:
    sender = Sender()
    waiting = sender.send(b"a", lambda payload: payload == b"A")
    pipe = sender.accept()
    pipe.flow(b"junk" + frame(b"X") + frame(b"A") + frame(b"Y"))
    assert result(waiting) == b"A"
    pipe.flow(frame(b"Z"))
    assert sender.client.dropped_answers == 3


def test_a_late_answer_is_never_the_next_ones() -> None:
    sender = Sender()
    first = sender.send(b"a")
    pipe = sender.accept()
    sender.reactor.advance(5)
    assert isinstance(result(first), AnswerTimeout)
    assert pipe.aborted
    second = sender.send(b"b")
    fresh = sender.accept()
    pipe.flow(frame(b"A"))
    assert not second.called
    fresh.flow(frame(b"B"))
    assert result(second) == b"B"


def test_an_answer_without_final_cr() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    pipe = sender.accept()
    pipe.flow(b"\x0bA\x1c")
    sender.reactor.advance(QUIET_S)
    assert result(waiting) == b"A"


def test_an_answer_without_final_cr_before_the_end() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    pipe = sender.accept()
    pipe.flow(b"\x0bA\x1c")
    pipe.end()
    assert result(waiting) == b"A"
    assert not sender.client.connected


def test_no_connection() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    sender.reactor.advance(3)
    assert isinstance(result(waiting), ConnectFailed)
    again = sender.send(b"a")
    sender.accept().flow(frame(b"A"))
    assert result(again) == b"A"


def test_a_connection_that_ends_before_the_answer() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    sender.accept().end()
    assert isinstance(result(waiting), ConnectionLost)
    assert not sender.client.connected
    assert sender.reactor.getDelayedCalls() == []


def test_a_connection_that_ends_while_idle_is_made_again() -> None:
    sender = Sender()
    first = sender.send(b"a")
    pipe = sender.accept()
    pipe.flow(frame(b"A"))
    pipe.end()
    assert result(first) == b"A"
    second = sender.send(b"b")
    sender.accept().flow(frame(b"B"))
    assert result(second) == b"B"


def test_an_answer_too_large_ends_the_connection() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    pipe = sender.accept()
    pipe.flow(b"\x0b" + b"x" * 200)
    assert isinstance(result(waiting), ConnectionLost)
    assert pipe.aborted


def test_one_message_at_a_time() -> None:
    sender = Sender()
    first = sender.send(b"a")
    assert isinstance(result(sender.send(b"b")), AlreadySending)
    sender.accept().flow(frame(b"A"))
    assert result(first) == b"A"


def test_what_cannot_be_framed_is_not_sent() -> None:
    sender = Sender()
    assert isinstance(result(sender.send(b"a\x1c\rb")), UnframeablePayload)
    assert sender.reactor.tcpClients == []


def test_a_fault_in_is_answer_is_the_callers_and_ends_the_connection() -> None:
    sender = Sender()
    waiting = sender.send(b"a", lambda _: bool(1 / 0))
    pipe = sender.accept()
    pipe.flow(frame(b"A"))
    assert isinstance(result(waiting), ZeroDivisionError)
    assert pipe.aborted


@pytest.mark.parametrize("while_connecting", [True, False])
def test_closing_ends_what_is_on_the_way(while_connecting: bool) -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    if not while_connecting:
        sender.accept()
    sender.client.close()
    assert isinstance(result(waiting), ConnectFailed if while_connecting else ConnectionLost)
    assert sender.reactor.getDelayedCalls() == []


def test_cancelling_ends_the_connection() -> None:
    sender = Sender()
    waiting = sender.send(b"a")
    pipe = sender.accept()
    waiting.cancel()
    result(waiting)
    assert pipe.aborted


def test_client_and_listener_speak_with_each_other() -> None:
    listener, sender = Listener(), Sender()
    waiting = sender.send(b"a")
    near, far = sender.accept(), listener.connect()
    far.flow(near.written())
    listener.answer(0, b"A")
    near.flow(far.written())
    assert result(waiting) == b"A"
