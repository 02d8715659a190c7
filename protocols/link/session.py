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

The parts: ``records`` packs and opens, ``flow`` counts what is unanswered, ``states`` says
what may be said when; this file decides.

A hub must not trust a HELLO further than to look up its key: message 1 of Noise IK can be
replayed. Only the first record (READY) proves that the caller holds the key, so the hub's
:class:`Opened` event comes then, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, LinkPublicKey
from crypto.noise import Handshake, Pattern
from protocols.link import frames as f
from protocols.link import limits, opening, payloads
from protocols.link.errors import LocalError, RemoteError
from protocols.link.flow import Flow
from protocols.link.records import LENGTH_BYTES, RecordReader, RecordWriter
from protocols.link.states import RECEIVES, SENDS, Phase, Role, Step, follow


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """Hub: somebody claims ``key``; answer with ``welcome``, ``welcome_to_join`` or ``refuse``."""

    key: LinkPublicKey
    hello: payloads.Hello
    joining: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer is authenticated and frames may be sent. ``welcome`` is set at the node only."""

    welcome: payloads.Welcome | None


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


class HubStatic:
    """One of a hub's link keys, with what is computed of it once and not for each caller."""

    __slots__ = ("key", "mac1_key")

    def __init__(self, key: LinkPrivateKey) -> None:
        self.key = key
        self.mac1_key = opening.mac1_key(key.public)


class LinkSession:
    """One end of one connection. Make it with :meth:`node` or :meth:`hub`."""

    __slots__ = (
        "_flow", "_handshake", "_hub_name", "_now_ms", "_pattern", "_reader", "_statics", "_window",
        "_writer", "hub_key", "phase", "role",
    )  # fmt: skip

    def __init__(self, role: Role, *, now_ms: Callable[[], int], window: int) -> None:
        self.role = role
        self.phase = Phase.AWAITING_WELCOME if role is Role.NODE else Phase.AWAITING_HELLO
        self._now_ms = now_ms
        self._window = window
        self._writer = RecordWriter()
        self._reader = RecordReader()
        self._flow = Flow(submit_window=0, deliver_window=0)
        self._handshake: Handshake | None = None
        self._pattern = Pattern.IK
        self._statics: tuple[HubStatic, ...] = ()
        self._hub_name = ""
        self.hub_key: LinkPublicKey | None = None
        """By which of its keys the node called the hub; None before it is known."""

    # ── the two ends ───────────────────────────────────────────────────────────────────

    @classmethod
    def node(
        cls,
        *,
        static: LinkPrivateKey,
        hub_key: LinkPublicKey,
        hub_name: str,
        hello: payloads.Hello,
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
        message = session._handshake.write_message(payloads.encode_payload(hello))
        session._writer.put_packet(opening.first_packet(pattern, hub_key, message))
        session.hub_key = hub_key
        return session

    @classmethod
    def hub(
        cls,
        *,
        static: LinkPrivateKey | tuple[HubStatic, ...],
        hub_name: str,
        now_ms: Callable[[], int],
        submit_window: int,
    ) -> LinkSession:
        """Return the answering end; with several keys it answers by the one that the caller's mac1 fits."""
        session = cls(Role.HUB, now_ms=now_ms, window=submit_window)
        session._statics = static if isinstance(static, tuple) else (HubStatic(static),)
        session._hub_name = hub_name
        return session

    # ── the hub's answers to HELLO ─────────────────────────────────────────────────────
    # A caller may be gone, or may have misbehaved, before its answer is known: then these do nothing.

    def welcome(self, welcome: payloads.Welcome) -> None:
        """Let an enrolled node in."""
        self._answer_hello(welcome, Step.WELCOME_SENT)

    def welcome_to_join(self, welcome: payloads.Welcome, psk: bytes) -> None:
        """Let the holder of an invitation ask for its credential."""
        self._answer_hello(welcome, Step.JOIN_WELCOME_SENT, psk)

    def refuse(self, welcome: payloads.Welcome, end: f.End) -> None:
        """Finish the handshake, so that the reason is authentic, and say goodbye. Not for joining."""
        if self._answer_hello(welcome, Step.REFUSED):
            self._writer.put(f.encode_frame(end))

    def _answer_hello(self, welcome: payloads.Welcome, step: Step, psk: bytes | None = None) -> bool:
        if self.phase is Phase.CLOSED:
            return False
        if self.phase is not Phase.DECIDING or self._handshake is None:
            raise LocalError(f"there is no HELLO to answer: the session is {self.phase.value}")
        if (psk is None) is (self._pattern is Pattern.IKPSK2):
            raise LocalError(f"{step.name} is no answer to a HELLO in pattern {self._pattern.name}")
        handshake = self._handshake
        if psk is not None:
            handshake.set_psk(psk)
        self.phase = follow(self.phase, step)
        message = handshake.write_message(payloads.encode_payload(welcome))
        self._writer.put_packet(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        self._take_keys(handshake)
        return True

    def _take_keys(self, handshake: Handshake) -> None:
        pair = handshake.split()
        self._writer.start(pair.send)
        self._reader.start(pair.receive)
        self._handshake = None

    # ── sending ────────────────────────────────────────────────────────────────────────

    @property
    def open(self) -> bool:
        """Frames other than END may be sent."""
        return self.phase in (Phase.OPEN, Phase.JOINING)

    @property
    def pending_bytes(self) -> int:
        """Bytes of frames that wait for ``data_to_send``, chunks left out."""
        return self._writer.pending_bytes

    @property
    def bulk_room(self) -> int:
        """How many more chunks :meth:`send` takes now."""
        return limits.PENDING_BULK_FRAMES - self._writer.bulk_waiting

    @property
    def window_left(self) -> int:
        """How many more messages may be sent before answers to the earlier ones come."""
        flow = self._flow
        return flow.submits.left if self.role is Role.NODE else flow.deliveries.left

    def send(self, frame: f.AnyFrame) -> None:
        """Queue one frame; :class:`LocalError`, nothing queued, if phase, window or a bound forbids it.

        READY and REKEY are the session's own, END is said by :meth:`end`.
        """
        if not self.open:
            raise LocalError(f"{type(frame).__name__} cannot be sent: the session is {self.phase.value}")
        if type(frame) not in SENDS[self.role, self.phase]:
            name = type(frame).__name__
            raise LocalError(f"{name} is not for the {self.role.name} to send while {self.phase.value}")
        data = f.encode_frame(frame)
        if isinstance(frame, f.Chunk):
            if self.bulk_room <= 0:
                raise LocalError(f"{self._writer.bulk_waiting} chunks wait already")
            self._writer.put_bulk(data)
            return
        self._writer.check_room(data)
        self._flow.note(frame, _ours)
        self._writer.put(data)

    def end(self, end: f.End) -> None:
        """Say goodbye; nothing can be sent after it. In a phase without keys the session just closes."""
        if self.phase in (Phase.ENDING, Phase.CLOSED):
            return
        if not self._writer.encrypting:
            self.phase = follow(self.phase, Step.LOST)
            return
        self.phase = follow(self.phase, Step.END_SENT)
        self._writer.drop_bulk()
        self._writer.put(f.encode_frame(end))

    def rekey(self) -> None:
        """Change the sending key with the next record (the owner calls this every ``REKEY_S``)."""
        if self.open:
            self._writer.rekey_due = True

    def rest(self) -> None:
        """Hold less memory until something is said again; costs some microseconds then."""
        self._writer.rest()
        self._reader.rest()

    def data_to_send(self, bulk_records: int = 0) -> bytes:
        """Return what to write now: every waiting frame, then at most ``bulk_records`` chunks."""
        return self._writer.take(bulk_records, may_rekey=self.open)

    # ── receiving ──────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes) -> list[LinkEvent]:
        """Take bytes from the peer and return what they mean. Never raises for what they hold."""
        if self.phase is Phase.CLOSED:
            return []
        self._reader.feed(data)
        events: list[LinkEvent] = []
        try:
            if not self._reader.decrypting:
                self._receive_handshake(events)
            if self._reader.decrypting:
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
        if self._writer.encrypting and self.phase is not Phase.ENDING:
            note = f"{code}: {text}"[: limits.REASON_TEXT_CHARS]
            self._writer.put(f.encode_frame(f.End(f.Goodbye.PROTOCOL_FAULT, note)))
        self.phase = follow(self.phase, Step.FAULT)
        self._reader.drop()
        self._writer.drop_bulk()
        events.append(Broken(code, text))

    def _receive_handshake(self, events: list[LinkEvent]) -> None:
        if self.phase is Phase.AWAITING_HELLO:
            self._receive_hello(events)
        elif self.phase is Phase.AWAITING_WELCOME:
            self._receive_welcome(events)
        if self.phase is Phase.DECIDING and len(self._reader):
            raise RemoteError("out-of-turn", f"{len(self._reader)} bytes before the hub's answer")

    def _receive_hello(self, events: list[LinkEvent]) -> None:
        head = self._reader.peek(opening.PREAMBLE_BYTES)
        if head is None:
            return
        preamble = opening.read_preamble(head)
        packet = self._reader.take(preamble.packet_bytes)
        if packet is None:
            return
        which, message = opening.read_first_packet(
            packet, preamble, *[static.mac1_key for static in self._statics]
        )
        pattern, static = preamble.pattern, self._statics[which].key
        self._pattern, self.hub_key = pattern, static.public
        handshake = Handshake.responder(
            pattern, prologue=opening.prologue(pattern, self._hub_name), static=static
        )
        hello = payloads.decode_hello(handshake.read_message(message))
        self.phase = follow(self.phase, Step.HELLO_RECEIVED)
        self._handshake = handshake
        # A node may bear more than this hub wants to hold unanswered in memory.
        deliver_window = min(hello.deliver_window, limits.DELIVER_WINDOW)
        self._flow = Flow(submit_window=self._window, deliver_window=deliver_window)
        events.append(HelloReceived(handshake.remote_static, hello, pattern is Pattern.IKPSK2))

    def _receive_welcome(self, events: list[LinkEvent]) -> None:
        message = self._reader.next_packet(opening.WELCOME_PACKET_BYTES)
        if message is None:
            return
        assert self._handshake is not None
        handshake = self._handshake
        welcome = payloads.decode_welcome(handshake.read_message(message))
        joining = self._pattern is Pattern.IKPSK2
        self.phase = follow(self.phase, Step.JOIN_WELCOME_RECEIVED if joining else Step.WELCOME_RECEIVED)
        self._take_keys(handshake)
        self._flow = Flow(submit_window=welcome.submit_window, deliver_window=self._window)
        if not joining:
            self._writer.put(f.encode_frame(f.Ready()))
        events.append(Opened(welcome))

    def _receive_records(self, events: list[LinkEvent]) -> None:
        while not self._over():
            plain = self._reader.next_record()
            if plain is None:
                return
            rekeyed = False
            for frame in f.decode_frames(plain):
                if rekeyed:
                    raise RemoteError("malformed", "a frame after REKEY in one record")
                rekeyed = isinstance(frame, f.Rekey)
                self._receive_frame(frame, events)
                if self._over():
                    return
            if rekeyed:
                self._reader.rekey()

    def _over(self) -> bool:
        return self.phase is Phase.CLOSED

    def _receive_frame(self, frame: f.AnyFrame, events: list[LinkEvent]) -> None:
        if self.phase is Phase.ENDING and not isinstance(frame, f.End):
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
                self._writer.drop_bulk()
                events.append(PeerLeft(frame))
                return
            case f.Ping():
                # A peer that asks and never reads gets no more answers than fit one record.
                if self.pending_bytes < limits.RECORD_BYTES:
                    self._writer.put(f.encode_frame(f.Pong(frame.token, self._now_ms())))
                return
            case f.Rekey():
                return
            case _:
                self._flow.note(frame, RemoteError)
        events.append(frame)


def _ours(_code: str, text: str) -> LocalError:
    return LocalError(text)
