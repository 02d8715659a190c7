"""Light nodes: the real link protocol without a node's stores and keys, many in one process.

A sender submits messages made beforehand and keeps so many under way; a receiver answers DELIVER with TAKEN
at once. The bytes are a node's in shape and size: envelope, sealed content, wrap, signature, receipt; only
the random parts are not real keys' work, which a hub cannot tell and does not try to.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from benchmarks.place import Member, Place
from protocols.link import frames as f
from protocols.link import limits, payloads
from protocols.link.envelope import (
    Envelope,
    Priority,
    Receipt,
    SealedMessage,
    SignedReceipt,
    State,
    Wrap,
    encode,
)
from protocols.link.session import Broken, LinkSession, Opened, PeerLeft

_ID: Final = b"\xa5" * limits.ID_BYTES
SUBMITS_PER_FRAME: Final = 32
MESSAGE_BYTES: Final = 1_024


def now_ms() -> int:
    """Return the time of day."""
    return time.time_ns() // 1_000_000


class Letters:
    """Makes messages of about ``MESSAGE_BYTES`` from one mailbox to another, each with an id of its own."""

    def __init__(self, sender: str, recipient: str) -> None:
        envelope = encode(
            Envelope(
                version=1, id=_ID, sender=f"box@{sender}", recipients=(f"box@{recipient}",), kind="ORU^R01",
                priority=Priority.ROUTINE, created_ms=now_ms(), valid_for_ms=5 * 86_400_000,
                commitment=os.urandom(32),
            )
        )  # fmt: skip
        message = SealedMessage(envelope, b"", (Wrap(recipient, 1, os.urandom(80)),), 1, os.urandom(64))
        sealed = os.urandom(MESSAGE_BYTES - len(encode(message)))
        blob = encode(SealedMessage(envelope, sealed, message.wraps, 1, message.signature))
        self._before, _, self._after = blob.partition(_ID)

    def make(self, count: int) -> list[bytes]:
        """Return so many new messages."""
        before, after = self._before, self._after
        return [before + os.urandom(limits.ID_BYTES) + after for _ in range(count)]

    def id_of(self, message: bytes) -> bytes:
        """Return the id inside a message of this pair."""
        start = len(self._before)
        return message[start : start + limits.ID_BYTES]


def node_session(place: Place, member: Member) -> LinkSession:
    """Return a member's end of a link, its first packet ready."""
    return LinkSession.node(
        static=member.key,
        hub_key=place.key.link.public,
        hub_name=place.name,
        hello=payloads.Hello("light/1", now_ms(), limits.DELIVER_WINDOW),
        now_ms=now_ms,
    )


class LightNode(asyncio.Protocol):
    """One connection to the hub; frames go to ``heard``."""

    def __init__(self, session: LinkSession) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.session = session
        self._transport: Any = None
        self._flushing = False

    def connection_made(self, transport: Any) -> None:
        """Call."""
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Act on what the hub says."""
        for event in self.session.receive(data):
            if isinstance(event, Opened):
                self.opened.set_result(None)
            elif isinstance(event, (Broken, PeerLeft)):
                raise SystemExit(f"the hub ended a session: {event}")
            else:
                self.heard(event)
        self.flush_soon()

    def heard(self, frame: Any) -> None:
        """Take one frame."""

    def say(self, frame: f.AnyFrame) -> None:
        """Say a frame at the end of this turn."""
        self.session.send(frame)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Write what waits at the end of this turn."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if data := self.session.data_to_send():
            self._transport.write(data)

    def hang_up(self) -> None:
        """Cut the connection."""
        self._transport.abort()


class Sender(LightNode):
    """Keeps ``under_way`` messages between SUBMIT and the news of their delivery."""

    def __init__(self, place: Place, member: Member, recipient: str) -> None:
        super().__init__(node_session(place, member))
        self.letters = Letters(member.facility, recipient)
        self.queue: deque[bytes] = deque()
        self.under_way = 0
        self.submitted_s: dict[bytes, float] = {}
        self.accepted_s: list[float] = []
        self.delivered_s: list[float] = []
        self.on_delivered: Callable[[int], None] = lambda _count: None

    def submit(self, messages: list[bytes]) -> None:
        """Submit these now."""
        now_s = time.perf_counter()
        for message in messages:
            self.submitted_s[self.letters.id_of(message)] = now_s
        for start in range(0, len(messages), SUBMITS_PER_FRAME):
            page = messages[start : start + SUBMITS_PER_FRAME]
            self.say(f.Submit(tuple(f.Submission(message, 0) for message in page)))

    def fill(self) -> None:
        """Submit from the queue until enough is under way."""
        room = min(self.under_way - len(self.submitted_s), len(self.queue))
        if room > 0:
            self.submit([self.queue.popleft() for _ in range(room)])

    def heard(self, frame: Any) -> None:
        """Count acceptances and deliveries."""
        now_s = time.perf_counter()
        if isinstance(frame, f.Accepted):
            self.accepted_s += [now_s - self.submitted_s[one] for one in frame.ids if one in self.submitted_s]
        elif isinstance(frame, f.Events):
            for event in frame.events:
                assert event.state is State.DELIVERED, event
                self.delivered_s.append(now_s - self.submitted_s.pop(event.id))
            self.say(f.EventsTaken(frame.events[-1].sequence))
            self.on_delivered(len(frame.events))
            self.fill()
        elif isinstance(frame, (f.Refused, f.Busy)):
            raise SystemExit(f"the hub says {frame}")


class Receiver(LightNode):
    """Takes everything at once."""

    def __init__(self, place: Place, member: Member, sender: str) -> None:
        super().__init__(node_session(place, member))
        self._letters = Letters(sender, member.facility)
        receipt = Receipt(
            1,
            _ID,
            os.urandom(32),
            f"box@{sender}",
            f"box@{member.facility}",
            State.DELIVERED,
            "",
            now_ms(),
            1,
        )
        blob = encode(SignedReceipt(encode(receipt), os.urandom(64)))
        self._before, _, self._after = blob.partition(_ID)
        self.arrived_s: dict[bytes, float] = {}

    def heard(self, frame: Any) -> None:
        """Answer deliveries."""
        if isinstance(frame, f.Deliver):
            now_s = time.perf_counter()
            takings = []
            for one in frame.deliveries:
                identifier = self._letters.id_of(one.message)
                self.arrived_s[identifier] = now_s
                receipt = self._before + identifier + self._after
                takings.append(f.Taking(one.sequence, State.DELIVERED, "", receipt))
            self.say(f.Taken(tuple(takings)))
