"""The link's timers, on a clock that stands still and a transport that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import Clock as TaskClock
from twisted.internet.testing import StringTransport

from crypto.keys import LinkPrivateKey
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.session import HelloReceived, LinkEvent, LinkSession, Opened, PeerLeft
from runtime.clock import SimulatedClock
from runtime.link import TwistedLink

NOW_MS = 1_790_000_000_000


class _Wire(StringTransport):
    """A transport that notes how it was closed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.aborted = False

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.aborted = True


@dataclass
class End:
    """One end: the link, its transport, and what its owner was told."""

    session: LinkSession
    clock: SimulatedClock
    events: list[LinkEvent] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    asked_for_more: int = 0
    on_room: Callable[[], object] = lambda: None
    wire: Any = field(default_factory=_Wire)
    psk: bytes | None = None

    def __post_init__(self) -> None:
        self.link = TwistedLink(self.session, self, self.clock)

    def link_event(self, event: LinkEvent) -> None:
        self.events.append(event)
        if not isinstance(event, HelloReceived):
            return
        welcome = payloads.Welcome("hub", NOW_MS, 512, 1 << 30)
        if event.joining:
            assert self.psk is not None
            self.session.welcome_to_join(welcome, self.psk)
        else:
            self.session.welcome(welcome)

    def link_has_room(self) -> None:
        self.asked_for_more += 1
        self.on_room()

    def link_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def take(self) -> bytes:
        data = bytes(self.wire.value())
        self.wire.clear()
        return data

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


@dataclass
class Pair:
    """A node and a hub on one clock; bytes move when the test says so."""

    time: TaskClock = field(default_factory=TaskClock)
    psk: bytes | None = None

    def __post_init__(self) -> None:
        key = LinkPrivateKey.generate()
        clock = SimulatedClock(self.time, NOW_MS)
        self.hub = End(
            LinkSession.hub(static=key, hub_name="h", now_ms=clock.now_ms, submit_window=512),
            clock,
            psk=self.psk,
        )
        self.node = End(
            LinkSession.node(
                static=LinkPrivateKey.generate(), hub_key=key.public, hub_name="h",
                hello=payloads.Hello("node", NOW_MS, 512), now_ms=clock.now_ms, psk=self.psk,
            ),
            clock,
        )  # fmt: skip

    def connect(self) -> Pair:
        for end in (self.node, self.hub):
            end.link.makeConnection(end.wire)  # type: ignore[no-untyped-call]  # Twisted's
        return self

    def open(self) -> Pair:
        self.connect()
        self.carry()
        assert self.node.session.open
        assert self.hub.session.open
        return self

    def carry(self) -> None:
        for _ in range(20):
            self.time.advance(0)
            node, hub = self.node.take(), self.hub.take()
            if not node and not hub:
                return
            for end, data in ((self.hub, node), (self.node, hub)):
                if data:
                    end.link.dataReceived(data)

    def pass_time(self, seconds: float, *, carry: bool = True) -> None:
        for _ in range(round(seconds)):
            self.time.advance(1)
            if carry:
                self.carry()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_both_ends_open(pair: Pair) -> None:
    pair.open()
    assert pair.node.kinds() == ["Opened"]
    assert pair.hub.kinds() == ["HelloReceived", "Opened"]


def test_a_caller_that_says_nothing_is_cut_at_the_deadline(pair: Pair) -> None:
    pair.connect()
    pair.time.advance(limits.HANDSHAKE_TIMEOUT_S - 0.1)
    assert not pair.hub.wire.aborted
    pair.time.advance(0.2)
    assert (pair.hub.wire.aborted, pair.node.wire.aborted) == (True, True)


def test_a_caller_that_drips_is_cut_at_the_same_deadline(pair: Pair) -> None:
    """Every byte is heard, and none of them moves the deadline."""
    pair.connect()
    hello = pair.node.take()
    for position in range(12):
        pair.hub.link.dataReceived(hello[position : position + 1])
        pair.time.advance(1)
    assert pair.hub.wire.aborted


def test_an_open_link_has_no_deadline(pair: Pair) -> None:
    pair.open()
    pair.pass_time(3 * limits.HANDSHAKE_TIMEOUT_S)
    assert not pair.hub.wire.aborted


def test_a_joining_session_is_over_by_the_deadline() -> None:
    """The hub may take long over JOIN, or never answer: neither end waits longer than for a handshake."""
    pair = Pair(psk=bytes(32)).open()
    pair.pass_time(limits.HANDSHAKE_TIMEOUT_S - 1)
    assert [end.wire.aborted for end in (pair.node, pair.hub)] == [False, False]
    pair.pass_time(2)
    assert [end.wire.aborted for end in (pair.node, pair.hub)] == [True, True]


def test_silence_is_asked_into_and_answered(pair: Pair) -> None:
    pair.open()
    pair.pass_time(limits.PING_S + 6, carry=False)
    pair.carry()
    assert "Pong" in pair.node.kinds()
    pair.pass_time(600)
    assert (pair.node.lost, pair.node.wire.aborted) == ([], False)


def test_a_silent_link_holds_no_cipher_contexts(pair: Pair) -> None:
    pair.open()
    for token in range(20):
        pair.hub.link.send(f.Ping(token))
        pair.carry()
    ends = pair.node.session, pair.hub.session
    ciphers = [side._cipher for end in ends for side in (end._writer, end._reader)]
    assert all(cipher is not None and cipher._aead._cipher is not None for cipher in ciphers)
    pair.pass_time(15)
    assert all(cipher is not None and cipher._aead._cipher is None for cipher in ciphers)
    pair.pass_time(3 * limits.SILENCE_S)
    assert pair.hub.lost == pair.node.lost == []


def test_a_peer_that_is_gone_is_given_up(pair: Pair) -> None:
    pair.open()
    pair.pass_time(limits.SILENCE_S - 5, carry=False)
    assert not pair.node.wire.aborted
    pair.pass_time(15, carry=False)
    assert pair.node.wire.aborted
    pair.node.link.connectionLost()
    assert pair.node.lost == ["no byte from the peer for 60 s"]


def test_who_reads_nothing_cannot_call_the_peer_silent(pair: Pair) -> None:
    pair.open()
    pair.node.link.pause_reading()
    pair.pass_time(3 * limits.SILENCE_S, carry=False)
    assert not pair.node.wire.aborted
    pair.node.link.resume_reading()
    pair.pass_time(limits.PING_S, carry=False)
    assert not pair.node.wire.aborted


def test_keys_change_with_time_and_both_ends_follow(pair: Pair) -> None:
    pair.open()
    pair.pass_time(2 * limits.REKEY_S + 60)
    pair.node.link.send(f.DirectoryWanted(7))
    pair.carry()
    assert f.DirectoryWanted(7) in pair.hub.events
    assert (pair.node.lost, pair.hub.lost) == ([], [])


def test_what_is_said_in_one_turn_is_written_once(pair: Pair) -> None:
    pair.open()
    for version in range(5):
        pair.node.link.send(f.DirectoryWanted(version))
    assert pair.node.wire.value() == b""
    pair.time.advance(0)
    data = pair.node.take()
    assert int.from_bytes(data[:2], "big") == len(data) - 2
    pair.hub.link.dataReceived(data)
    assert [event.version for event in pair.hub.events if isinstance(event, f.DirectoryWanted)] == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


def test_a_goodbye_is_read_and_both_close(pair: Pair) -> None:
    pair.open()
    pair.node.link.end(f.Goodbye.DONE, "going down")
    assert pair.node.wire.disconnecting
    pair.carry()
    (left,) = [event for event in pair.hub.events if isinstance(event, PeerLeft)]
    assert (left.end.reason, left.end.text) == (f.Goodbye.DONE, "going down")
    assert pair.hub.wire.disconnecting
    pair.hub.link.connectionLost()
    assert pair.hub.lost == ["going down"]


def test_a_goodbye_that_nobody_reads_ends_all_the_same(pair: Pair) -> None:
    pair.open()
    pair.node.link.end(f.Goodbye.DONE)
    pair.time.advance(limits.GOODBYE_S - 0.1)
    assert not pair.node.wire.aborted
    pair.time.advance(0.2)
    assert pair.node.wire.aborted


class _Descriptor(FileDescriptor):
    """Twisted's own buffer and producers, over a socket that takes what the test lets it take."""

    connected = 1

    def __init__(self) -> None:
        self.ready = False
        super().__init__(self)  # type: ignore[arg-type]  # it is its own reactor: nothing but writing counts
        self.sent = b""
        self.closed = False

    def addWriter(self, _: object) -> None:  # noqa: N802 - Twisted's name
        self.ready = True

    def removeWriter(self, _: object) -> None:  # noqa: N802 - Twisted's name
        self.ready = False

    def removeReader(self, _: object) -> None:  # noqa: N802 - Twisted's name
        """Nothing is read here."""

    def getPeer(self) -> str:  # noqa: N802 - Twisted's name
        return "peer"

    def writeSomeData(self, data: bytes) -> int:  # noqa: N802 - Twisted's name
        self.sent += bytes(data)
        return len(data)

    def read(self) -> bytes:
        """Take all that is written, as a peer that reads again."""
        while self.ready and not self.closed:
            self.closed = self.doWrite() is not None  # type: ignore[no-untyped-call]  # Twisted's
        data, self.sent = self.sent, b""
        return data


def test_a_goodbye_to_a_peer_that_reads_late_still_closes_in_order(pair: Pair) -> None:
    """Chunks had filled the connection: it was paused when the goodbye was said."""
    pair.node.wire = wire = _Descriptor()
    pair.connect()
    pair.hub.link.dataReceived(wire.read())
    pair.time.advance(0)
    pair.node.link.dataReceived(pair.hub.take())
    pair.hub.link.dataReceived(wire.read())
    for index in range(3):
        pair.node.link.send(chunk(index))
    pair.time.advance(0)
    assert not pair.node.link.has_room
    pair.node.link.end(f.Goodbye.RESTARTING)
    pair.node.link.end(f.Goodbye.DONE)
    pair.hub.link.dataReceived(wire.read())
    assert wire.closed
    assert [event.end.reason for event in pair.hub.events if isinstance(event, PeerLeft)] == [
        f.Goodbye.RESTARTING
    ]


def test_nothing_is_said_after_the_end(pair: Pair) -> None:
    pair.open()
    pair.node.link.connectionLost()
    pair.node.link.end(f.Goodbye.DONE)
    pair.node.link.flush_soon()
    pair.node.link.abort("late")
    pair.node.link.pause_reading()
    pair.node.link.connectionLost()
    assert pair.node.take() == b""
    assert len(pair.node.lost) == 1
    assert not pair.node.wire.aborted


def test_no_timer_survives_the_connection(pair: Pair) -> None:
    pair.open()
    pair.node.link.send(f.DirectoryWanted(1))
    pair.node.link.connectionLost()
    pair.hub.link.connectionLost()
    pair.time.advance(0)  # what was to be said at the end of the turn
    assert pair.time.getDelayedCalls() == []


def test_garbage_ends_the_link_with_its_name(pair: Pair) -> None:
    pair.connect()
    pair.hub.link.dataReceived(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert pair.hub.kinds() == ["Broken"]
    assert pair.hub.wire.disconnecting
    pair.hub.link.connectionLost()
    assert pair.hub.lost[0].startswith("not-wasl")


def test_no_event_comes_after_the_owner_cut(pair: Pair) -> None:
    pair.open()
    pair.node.link.send(f.DirectoryWanted(1))
    pair.node.link.send(f.DirectoryWanted(2))
    pair.time.advance(0)
    data = pair.node.take()
    original = pair.hub.link_event

    def cut(event: LinkEvent) -> None:
        original(event)
        pair.hub.link.connectionLost()

    pair.hub.link_event = cut  # type: ignore[method-assign]  # an owner that cuts at the first event
    pair.hub.link.dataReceived(data)
    assert [event for event in pair.hub.events if isinstance(event, f.DirectoryWanted)] == [
        f.DirectoryWanted(1)
    ]


def test_frames_behind_the_one_that_made_the_owner_say_goodbye_are_not_heard(pair: Pair) -> None:
    pair.open()
    pair.node.link.send(f.DirectoryWanted(1))
    pair.node.link.send(f.DirectoryWanted(2))
    pair.node.link.end(f.Goodbye.DONE)
    data = pair.node.take()
    original = pair.hub.link_event

    def refuse(event: LinkEvent) -> None:
        original(event)
        pair.hub.link.end(f.Goodbye.PROTOCOL_FAULT)

    pair.hub.link_event = refuse  # type: ignore[method-assign]  # an owner that refuses the first event
    pair.hub.link.dataReceived(data)
    assert pair.hub.kinds() == ["HelloReceived", "Opened", "DirectoryWanted", "PeerLeft"]


# ── chunks and room ────────────────────────────────────────────────────────────────────────


def chunk(index: int) -> f.Chunk:
    return f.Chunk(bytes(16), index, bytes(50_000))


def test_chunks_stand_behind_every_other_frame(pair: Pair) -> None:
    pair.open()
    for index in range(3):
        pair.node.link.send(chunk(index))
    pair.node.link.send(f.DirectoryWanted(9))
    pair.carry()
    kinds = [kind for kind in pair.hub.kinds() if kind in {"Chunk", "DirectoryWanted"}]
    assert kinds == ["DirectoryWanted", "Chunk", "Chunk", "Chunk"]


def test_chunks_wait_while_the_transport_is_full(pair: Pair) -> None:
    pair.open()
    pair.node.link.pauseProducing()
    assert not pair.node.link.has_room
    pair.node.link.send(chunk(0))
    pair.carry()
    assert "Chunk" not in pair.hub.kinds()
    asked = pair.node.asked_for_more
    pair.node.link.resumeProducing()
    pair.carry()
    assert "Chunk" in pair.hub.kinds()
    assert pair.node.asked_for_more > asked


def test_the_owner_is_asked_for_more_as_long_as_there_is_room(pair: Pair) -> None:
    """A scan flows without anybody waking it: each write asks for the next chunks."""
    pair.open()
    left = list(range(100))

    def more() -> None:
        while left and pair.node.link.has_room:
            pair.node.link.send(chunk(left.pop(0)))

    pair.node.on_room = more
    pair.node.link.flush_soon()
    pair.carry()
    assert [event.index for event in pair.hub.events if isinstance(event, f.Chunk)] == list(range(100))


def test_opened_comes_once(pair: Pair) -> None:
    pair.open()
    pair.pass_time(120)
    assert sum(isinstance(event, Opened) for event in pair.node.events + pair.hub.events) == 2
