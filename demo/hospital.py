"""A simulated hospital system: it sends messages over MLLP, takes what comes, and answers it.

It is what stands beside a node in real life, and knows nothing of Wasl: one port of the node to send to, one
port of its own to be delivered at. It keeps what it received and what it answered, for the checks. Like a
careful real one it repeats, with the same bytes, what was answered AR (not now) or not at all; it never
repeats what was answered otherwise. It opens as many connections as it has messages under way.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from demo.network import HOST, DemoError, Node
from protocols.hl7.acks import read_ack
from protocols.hl7.er7 import Message
from protocols.mllp import FrameReader, MessageReceived, frame

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
ANSWER_TIMEOUT_S: Final = 10.0
REPEAT_AFTER_S: Final = 0.5
GIVE_UP_AFTER_S: Final = 60.0
REMEMBERED: Final = 500
"""Messages that are kept to be compared; the demo may run for days."""
_READ_BYTES: Final = 65_536

Answerer = Callable[["HospitalSystem", Message], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was delivered here, and the answer that was given."""

    payload: bytes
    answer: bytes


@dataclass(slots=True)
class _Line:
    """A connection to the node, idle or in use by one message."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader = field(default_factory=lambda: FrameReader(MAX_FRAME_BYTES))


class HospitalSystem:
    """The local system of one facility; lives in one event loop. ``answerer`` makes its answers."""

    def __init__(self, node: Node, answerer: Answerer) -> None:
        self.node = node
        self.taken: deque[Taken] = deque(maxlen=REMEMBERED)
        """In the order in which answers were given."""
        self._answerer = answerer
        self._idle: list[_Line] = []
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen for what the node delivers."""
        self._server = await asyncio.start_server(self._serve, HOST, self.node.ports.system)

    async def stop(self) -> None:
        """Close everything; what is half answered is not answered."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for line in self._idle:
            line.writer.close()

    async def send(self, payload: bytes) -> bytes:
        """Send a message and return the application's answer, whatever it says, once it is not AR.

        DemoError if none came within ``GIVE_UP_AFTER_S``.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + GIVE_UP_AFTER_S
        said = "nothing"
        while loop.time() < deadline_s:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                answer = await asyncio.wait_for(self._exchange(payload), ANSWER_TIMEOUT_S)
                ack = read_ack(answer)
                if not ack.repeatable:
                    return answer
                said = f"{ack.code} {ack.text}"
            await asyncio.sleep(REPEAT_AFTER_S)
        name = self.node.site.name
        raise DemoError(f"{name}: the node answered {said} for {GIVE_UP_AFTER_S:.0f} s")

    async def _exchange(self, payload: bytes) -> bytes:
        line = (
            self._idle.pop()
            if self._idle
            else _Line(*await asyncio.open_connection(HOST, self.node.ports.mllp))
        )
        try:
            line.writer.write(frame(payload))
            answer = await _next_message(line)
        except BaseException:
            line.writer.close()
            raise
        self._idle.append(line)
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        line = _Line(reader, writer)
        try:
            while True:
                payload = await _next_message(line)
                answer = await self._answerer(self, Message(payload))
                self.taken.append(Taken(payload, answer))
                writer.write(frame(answer))
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()


async def _next_message(line: _Line) -> bytes:
    """Return the next whole message; both sides wait for an answer, so no second one is behind it."""
    while True:
        data = await line.reader.read(_READ_BYTES)
        if not data:
            raise EOFError
        for event in line.frames.feed(data):
            if isinstance(event, MessageReceived):
                return event.payload
