"""One conversation between a node and its hub: bytes in, events and bytes out.

A session knows the keys, the phase and the windows, and nothing else: no socket, no
clock, no queue of messages. Its owner feeds it what arrived (:meth:`LinkSession.receive`),
acts on the events, says what it has to say (:meth:`~LinkSession.send`), and writes
:meth:`~LinkSession.data_to_send`, which packs as many frames into a record as fit:
batching is where the speed is. Chunks of attachments wait in a lane of their own and go
out only behind every other frame, so that a scan never delays an order.

What is wrong in the peer's bytes never raises: it becomes a :class:`Broken` event, the
session says goodbye with the code if it still can, and takes nothing more. What is wrong
in the owner's calls raises :class:`~protocols.link.errors.LocalError`.

A hub must not trust a HELLO further than to look up its key: message 1 of Noise IK can be
replayed. Only the first record (READY) proves that the caller holds the key, so the hub's
:class:`Opened` event comes then, and not before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, LinkPublicKey
from crypto.noise import CipherState, Handshake, Pattern
from protocols.link import frames as f
from protocols.link import limits, opening
from protocols.link.errors import LocalError, RemoteError
from protocols.link.states import RECEIVES, Phase, Role, Step, follow

_LENGTH_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """Hub: somebody claims ``key``; answer with ``welcome``, ``welcome_to_join`` or ``refuse``."""

    key: LinkPublicKey
    hello: f.Hello
    joining: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer is authenticated and frames may be sent. ``welcome`` is set at the node only."""

    welcome: f.Welcome | None


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer said goodbye."""

    end: f.End


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer's bytes were wrong; write what is pending and close."""

    code: str
    text: str


LinkEvent = HelloReceived | Opened | PeerLeft | Broken | f.AnyFrame


class LinkSession:
    """One end of one connection. Make it with :meth:`node` or :meth:`hub`."""

    def __init__(self, role: Role, *, now_ms: Callable[[], int], window: int) -> None:
        self.role = role
        self.phase = Phase.AWAITING_WELCOME if role is Role.NODE else Phase.AWAITING_HELLO
        self._now_ms = now_ms
        self._received = bytearray()
        self._raw: list[bytes] = []
        self._frames: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._pending_bytes = 0
        self._sender: CipherState | None = None
        self._receiver: CipherState | None = None
        self._records_sent = 0
        self._records_received = 0
        self._rekey_due = False
        self._handshake: Handshake | None = None
        self._pattern = Pattern.IK
        self._static: LinkPrivateKey | None = None
        self._hub_name = ""
        self._mac1_key = b""
        self._preamble: opening.Preamble | None = None
        self._incoming = Window(window, "messages")
        self._outgoing = Window(limits.WINDOW_MAX, "messages")

    # ── the two ends ───────────────────────────────────────────────────────────────────

    @classmethod
    def node(
        cls,
        *,
        static: LinkPrivateKey,
        hub_key: LinkPublicKey,
        hub_name: str,
        hello: f.Hello,
        now_ms: Callable[[], int],
        psk: bytes | None = None,
    ) -> LinkSession:
        """Return the calling end, its first packet ready to send; with ``psk`` it asks to join."""
        session = cls(Role.NODE, now_ms=now_ms, window=hello.deliver_window)
        pattern = session._pattern = Pattern.IK if psk is None else Pattern.IKPSK2
        session._handshake = Handshake.initiator(
            pattern,
            prologue=opening.prologue(pattern, hub_name),
            static=static,
            remote_static=hub_key,
            psk=psk,
        )
        message = session._handshake.write_message(f.encode_payload(hello))
        session._raw.append(opening.first_packet(pattern, hub_key, message))
        return session

    @classmethod
    def hub(
        cls, *, static: LinkPrivateKey, hub_name: str, now_ms: Callable[[], int], submit_window: int
    ) -> LinkSession:
        """Return the answering end."""
        session = cls(Role.HUB, now_ms=now_ms, window=submit_window)
        session._static = static
        session._hub_name = hub_name
        session._mac1_key = opening.mac1_key(static.public)
        return session

    # ── the hub's answers to HELLO ─────────────────────────────────────────────────────

    def welcome(self, welcome: f.Welcome) -> None:
        """Let an enrolled node in."""
        self._answer_hello(welcome, Step.WELCOME_SENT)

    def welcome_to_join(self, welcome: f.Welcome, psk: bytes) -> None:
        """Let the holder of an invitation ask for its credential."""
        self._expect_handshake().set_psk(psk)
        self._answer_hello(welcome, Step.JOIN_WELCOME_SENT)

    def refuse(self, welcome: f.Welcome, end: f.End) -> None:
        """Finish the handshake, so that the reason is authentic, and say goodbye. Not for joining."""
        self._answer_hello(welcome, Step.REFUSED)
        self._frames.append(f.encode_frame(end))

    def _answer_hello(self, welcome: f.Welcome, step: Step) -> None:
        handshake = self._expect_handshake()
        self.phase = follow(self.phase, step)
        message = handshake.write_message(f.encode_payload(welcome))
        self._raw.append(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
        self._take_keys(handshake)

    def _expect_handshake(self) -> Handshake:
        if self.phase is not Phase.DECIDING or self._handshake is None:
            raise LocalError(f"there is no HELLO to answer: the session is {self.phase.value}")
        return self._handshake

    def _take_keys(self, handshake: Handshake) -> None:
        pair = handshake.split()
        self._sender, self._receiver = pair.send, pair.receive
        self._handshake = None

    # ── sending ────────────────────────────────────────────────────────────────────────

    @property
    def open(self) -> bool:
        """Frames other than END may be sent."""
        return self.phase in (Phase.OPEN, Phase.JOINING)

    @property
    def pending_bytes(self) -> int:
        """Bytes of frames that wait for ``data_to_send``, chunks left out."""
        return self._pending_bytes

    @property
    def bulk_room(self) -> int:
        """How many more chunks :meth:`send` takes now."""
        return limits.PENDING_BULK_FRAMES - len(self._bulk)

    @property
    def window_left(self) -> int:
        """How many more messages may be sent before answers to the earlier ones come."""
        return self._outgoing.left

    def send(self, frame: f.AnyFrame) -> None:
        """Queue one frame; :class:`LocalError` if the phase, the window or a bound forbids it."""
        if not self.open:
            raise LocalError(f"{type(frame).__name__} cannot be sent: the session is {self.phase.value}")
        if isinstance(frame, f.Chunk):
            if self.bulk_room <= 0:
                raise LocalError(f"{len(self._bulk)} chunks wait already")
            self._bulk.append(f.encode_frame(frame))
            return
        self._count_sent(frame)
        self._queue(frame)

    def end(self, end: f.End) -> None:
        """Say goodbye; nothing can be sent after it. In a phase without keys the session just closes."""
        if self.phase in (Phase.ENDING, Phase.CLOSED):
            return
        if self._sender is None:
            self.phase = follow(self.phase, Step.LOST)
            return
        self.phase = follow(self.phase, Step.END_SENT)
        self._bulk.clear()
        self._queue(end)

    def rekey(self) -> None:
        """Change the sending key with the next record (the owner calls this every ``REKEY_S``)."""
        if self.open:
            self._rekey_due = True

    def data_to_send(self, bulk_records: int = 0) -> bytes:
        """Return what to write now: every waiting frame, then at most ``bulk_records`` chunks."""
        out, self._raw = self._raw, []
        sender = self._sender
        if sender is not None:
            if self._rekey_due and (self._frames or self._bulk or self.open):
                self._seal(sender, [f.encode_frame(f.Rekey())], out)
                sender.rekey()
                self._records_sent = 0
                self._rekey_due = False
            while self._frames:
                self._seal(sender, self._fill_record(), out)
            self._pending_bytes = 0
            for _ in range(min(bulk_records, len(self._bulk))):
                self._seal(sender, [self._bulk.popleft()], out)
        return b"".join(out)

    def _queue(self, frame: f.AnyFrame) -> None:
        data = f.encode_frame(frame)
        if self._pending_bytes + len(data) > limits.PENDING_BYTES and not isinstance(frame, f.End):
            raise LocalError(f"{self._pending_bytes} bytes wait already, at most {limits.PENDING_BYTES}")
        self._pending_bytes += len(data)
        self._frames.append(data)

    def _fill_record(self) -> list[bytes]:
        parts = [self._frames.popleft()]
        room = limits.RECORD_PLAIN_BYTES - len(parts[0])
        while self._frames and len(self._frames[0]) <= room:
            room -= len(self._frames[0])
            parts.append(self._frames.popleft())
        return parts

    def _seal(self, sender: CipherState, parts: list[bytes], out: list[bytes]) -> None:
        record = sender.encrypt(parts[0] if len(parts) == 1 else b"".join(parts))
        out.append(len(record).to_bytes(_LENGTH_BYTES, "big"))
        out.append(record)
        self._records_sent += 1
        if self._records_sent >= limits.REKEY_RECORDS:
            self._rekey_due = True

    def _count_sent(self, frame: f.AnyFrame) -> None:
        match frame:
            case f.Submit():
                self._outgoing.take(len(frame.messages), LocalError)
            case f.Deliver():
                self._outgoing.take(len(frame.deliveries), LocalError)
            case f.Accepted():
                self._incoming.give(len(frame.ids))
            case f.Refused():
                self._incoming.give(len(frame.refusals))
            case f.Busy():
                self._incoming.reset()
            case f.Taken():
                self._incoming.give(len(frame.takings))
            case _:
                pass

    # ── receiving ──────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes) -> list[LinkEvent]:
        """Take bytes from the peer and return what they mean. Never raises for what they hold."""
        if self.phase is Phase.CLOSED:
            return []
        self._received += data
        events: list[LinkEvent] = []
        try:
            if self._receiver is None:
                self._receive_handshake(events)
            if self._receiver is not None:
                self._receive_records(events)
        except RemoteError as fault:
            self._break(fault.code, fault.text, events)
        except CryptoError as fault:
            self._break("not-authentic", str(fault), events)
        return events

    def lost(self) -> None:
        """Take note that the connection is gone."""
        self.phase = follow(self.phase, Step.LOST)

    def _break(self, code: str, text: str, events: list[LinkEvent]) -> None:
        self.phase = follow(self.phase, Step.FAULT)
        self._received.clear()
        self._bulk.clear()
        if self._sender is not None:
            note = f"{code}: {text}"[: limits.REASON_TEXT_CHARS]
            self._frames.append(f.encode_frame(f.End(f.Goodbye.PROTOCOL_FAULT, note)))
        events.append(Broken(code, text))

    def _receive_handshake(self, events: list[LinkEvent]) -> None:
        if self.phase is Phase.AWAITING_HELLO:
            self._receive_hello(events)
        elif self.phase is Phase.AWAITING_WELCOME:
            self._receive_welcome(events)
        elif self._received:
            raise RemoteError("out-of-turn", f"{len(self._received)} bytes before the hub's answer")

    def _receive_hello(self, events: list[LinkEvent]) -> None:
        if self._preamble is None:
            if len(self._received) < opening.PREAMBLE_BYTES:
                return
            self._preamble = opening.read_preamble(bytes(self._received[: opening.PREAMBLE_BYTES]))
        packet_bytes = self._preamble.packet_bytes
        if len(self._received) < packet_bytes:
            return
        if len(self._received) > packet_bytes:
            raise RemoteError("out-of-turn", "bytes after HELLO, before the hub's answer")
        packet = bytes(self._received)
        self._received.clear()
        message = opening.read_first_packet(packet, self._preamble, self._mac1_key)
        pattern = self._pattern = self._preamble.pattern
        assert self._static is not None
        handshake = Handshake.responder(
            pattern, prologue=opening.prologue(pattern, self._hub_name), static=self._static
        )
        hello = f.decode_hello(handshake.read_message(message))
        self.phase = follow(self.phase, Step.HELLO_RECEIVED)
        self._handshake = handshake
        self._outgoing = Window(hello.deliver_window, "messages")
        events.append(HelloReceived(handshake.remote_static, hello, pattern is Pattern.IKPSK2))

    def _receive_welcome(self, events: list[LinkEvent]) -> None:
        message = self._next_packet(opening.WELCOME_PACKET_BYTES)
        if message is None:
            return
        assert self._handshake is not None
        handshake = self._handshake
        welcome = f.decode_welcome(handshake.read_message(message))
        joining = self._pattern is Pattern.IKPSK2
        self.phase = follow(self.phase, Step.JOIN_WELCOME_RECEIVED if joining else Step.WELCOME_RECEIVED)
        self._take_keys(handshake)
        self._outgoing = Window(welcome.submit_window, "messages")
        if not joining:
            self._queue(f.Ready())
        events.append(Opened(welcome))

    def _next_packet(self, bound_bytes: int) -> bytes | None:
        if len(self._received) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._received[:_LENGTH_BYTES], "big")
        if length > bound_bytes:
            raise RemoteError("too-large", f"packet of {length} bytes, at most {bound_bytes}")
        if len(self._received) < _LENGTH_BYTES + length:
            return None
        packet = bytes(self._received[_LENGTH_BYTES : _LENGTH_BYTES + length])
        del self._received[: _LENGTH_BYTES + length]
        return packet

    def _receive_records(self, events: list[LinkEvent]) -> None:
        receiver = self._receiver
        assert receiver is not None
        while self.phase is not Phase.CLOSED:
            record = self._next_packet(limits.RECORD_BYTES)
            if record is None:
                return
            plain = receiver.decrypt(record)
            self._records_received += 1
            if self._records_received > limits.RECORDS_WITHOUT_REKEY:
                raise RemoteError("rekey", f"{self._records_received} records under one key")
            rekeyed = False
            for frame in f.decode_frames(plain):
                if rekeyed:
                    raise RemoteError("malformed", "a frame after REKEY in one record")
                rekeyed = isinstance(frame, f.Rekey)
                self._receive_frame(frame, events)
            if rekeyed:
                receiver.rekey()
                self._records_received = 0

    def _receive_frame(self, frame: f.AnyFrame, events: list[LinkEvent]) -> None:
        if self.phase is Phase.CLOSED or (self.phase is Phase.ENDING and not isinstance(frame, f.End)):
            return
        if self.phase is not Phase.ENDING and type(frame) not in RECEIVES[self.role, self.phase]:
            name = type(frame).__name__
            raise RemoteError("out-of-turn", f"{name} to the {self.role.name} while {self.phase.value}")
        match frame:
            case f.Ready():
                self.phase = follow(self.phase, Step.READY_RECEIVED)
                events.append(Opened(None))
                return
            case f.End():
                self.phase = follow(self.phase, Step.END_RECEIVED)
                events.append(PeerLeft(frame))
                return
            case f.Ping():
                # A peer that asks and never reads gets no more answers than fit one record.
                if self._pending_bytes < limits.RECORD_BYTES:
                    self._queue(f.Pong(frame.token, self._now_ms()))
                return
            case f.Rekey():
                return
            case _:
                self._count_received(frame)
        events.append(frame)

    def _count_received(self, frame: f.AnyFrame) -> None:
        match frame:
            case f.Submit():
                self._incoming.take(len(frame.messages), _window_exceeded)
            case f.Deliver():
                self._incoming.take(len(frame.deliveries), _window_exceeded)
            case f.Accepted():
                self._outgoing.give(len(frame.ids))
            case f.Refused():
                self._outgoing.give(len(frame.refusals))
            case f.Busy():
                self._outgoing.reset()
            case f.Taken():
                self._outgoing.give(len(frame.takings))
            case f.Resume():
                self._incoming.reset()
            case _:
                pass


class Window:
    """How many messages may be under way and unanswered; the receiver's protection against a flood."""

    def __init__(self, size: int, what: str) -> None:
        self._size = size
        self._what = what
        self._used = 0

    @property
    def left(self) -> int:
        """Messages that may still be sent."""
        return self._size - self._used

    def take(self, count: int, error: Callable[[str], Exception]) -> None:
        """Use ``count``; raises ``error`` with a text if that is more than is left."""
        if count > self.left:
            raise error(f"{count} {self._what} with {self.left} of {self._size} left in the window")
        self._used += count

    def give(self, count: int) -> None:
        """Return ``count`` after an answer; an answer too many is no credit."""
        self._used = max(0, self._used - count)

    def reset(self) -> None:
        """Return everything."""
        self._used = 0


def _window_exceeded(text: str) -> RemoteError:
    return RemoteError("window", text)
