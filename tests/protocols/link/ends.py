"""Both ends of a link in one test: bytes go to and fro, events are kept, and anything can be replayed.

Randomness is the only thing that a test takes away: with :func:`seeded` a handshake comes out the same each
time, so that recorded bytes can be fed again, whole, byte by byte or damaged, to an end that has the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from crypto import primitives
from crypto.keys import LinkPrivateKey
from protocols.link import frames as f
from protocols.link import payloads
from protocols.link.errors import LocalError
from protocols.link.joincode import join_psk
from protocols.link.session import HelloReceived, LinkEvent, LinkSession
from protocols.link.states import Phase, Role
from tests.protocols.link.samples import SAMPLE

NOW_MS: Final = 1_790_000_000_000
HUB_NAME: Final = "hub"
HUB_KEY: Final = LinkPrivateKey(bytes(range(1, 33)))
NODE_KEY: Final = LinkPrivateKey(bytes(range(33, 65)))
INVITATION: Final = bytes(range(16))
PSK: Final = join_psk(INVITATION, bytes(32))
WELCOME: Final = payloads.Welcome("hub 1", NOW_MS, 8, 1 << 30, 5)
WINDOW: Final = 8


@contextmanager
def seeded(label: bytes) -> Iterator[None]:
    """Make randomness a function of ``label`` and a counter."""
    original, count = primitives.random_bytes, 0

    def fixed(size_bytes: int) -> bytes:
        nonlocal count
        count += 1
        return primitives.blake2b(label + bytes((count,)), size=size_bytes)

    primitives.random_bytes = fixed
    try:
        yield
    finally:
        primitives.random_bytes = original


def make_hub(*, submit_window: int = WINDOW, key: LinkPrivateKey = HUB_KEY) -> LinkSession:
    return LinkSession.hub(static=key, hub_name=HUB_NAME, now_ms=lambda: NOW_MS, submit_window=submit_window)


def make_node(
    *,
    deliver_window: int = WINDOW,
    joining: bool = False,
    hub_name: str = HUB_NAME,
    hub_key: LinkPrivateKey = HUB_KEY,
    psk: bytes = PSK,
) -> LinkSession:
    with seeded(b"node"):
        return LinkSession.node(
            static=NODE_KEY,
            hub_key=hub_key.public,
            hub_name=hub_name,
            hello=payloads.Hello("node 1", NOW_MS, deliver_window, INVITATION if joining else b""),
            now_ms=lambda: NOW_MS,
            psk=psk if joining else None,
        )


def welcome(hub: LinkSession, hello: HelloReceived) -> None:
    """Answer as a hub that knows everybody does."""
    with seeded(b"hub"):
        if hello.joining:
            hub.welcome_to_join(WELCOME, PSK)
        else:
            hub.welcome(WELCOME)


Answer = Callable[[LinkSession, HelloReceived], None]


def feed(session: LinkSession, data: bytes, *, answer: Answer = welcome, piece: int = 0) -> list[LinkEvent]:
    """Give ``data`` to one end, ``piece`` bytes at a time (0: whole); a hub answers HELLO at once."""
    events: list[LinkEvent] = []
    step = piece or max(1, len(data))
    for start in range(0, len(data), step):
        for event in session.receive(data[start : start + step]):
            events.append(event)
            if isinstance(event, HelloReceived):
                answer(session, event)
    return events


@dataclass
class Pair:
    """A node and a hub with a perfect wire between them; what each said and heard is kept in order."""

    node: LinkSession
    hub: LinkSession
    answer: Answer = welcome
    at_node: list[LinkEvent] = field(default_factory=list)
    at_hub: list[LinkEvent] = field(default_factory=list)
    log: dict[Role, list[Entry]] = field(default_factory=lambda: {role: [] for role in Role})

    def say(self, role: Role, *frames: f.AnyFrame) -> None:
        """Let one end say ``frames``; END and REKEY are said as an owner says them."""
        for frame in frames:
            self.log[role].append(frame)
            say(self.node if role is Role.NODE else self.hub, frame)

    def pump(self, bulk_records: int = 4) -> Pair:
        """Carry bytes until neither end has anything to say."""
        while True:
            up = self.node.data_to_send(bulk_records)
            if up:
                self.log[Role.HUB].append(up)
                self.at_hub += feed(self.hub, up, answer=self.answer)
            down = self.hub.data_to_send(bulk_records)
            if down:
                self.log[Role.NODE].append(down)
                self.at_node += feed(self.node, down)
            if not up and not down:
                return self

    def heard(self) -> tuple[list[LinkEvent], list[LinkEvent]]:
        """Return what each end (node, hub) heard since the last call."""
        heard = self.at_node, self.at_hub
        self.at_node, self.at_hub = [], []
        return heard


Entry = bytes | f.AnyFrame


def say(session: LinkSession, frame: f.AnyFrame) -> None:
    """Say one frame as the owner of a session does."""
    if isinstance(frame, f.End):
        session.end(frame)
    elif isinstance(frame, f.Rekey):
        session.rekey()
    else:
        session.send(frame)


def replay(session: LinkSession, log: list[Entry], piece: int = 0) -> list[LinkEvent]:
    """Let a fresh end say and hear what is in ``log``, until it hears no more.

    What it cannot say, because it has not heard what goes before, it leaves out; hearing raises nothing.
    """
    events: list[LinkEvent] = []
    for entry in log:
        if session.phase is Phase.CLOSED:
            break
        if isinstance(entry, bytes):
            events += feed(session, entry, piece=piece)
        else:
            with suppress(LocalError):
                say(session, entry)
        session.data_to_send(4)
    return events


def pair(*, joining: bool = False, window: int = WINDOW, answer: Answer = welcome) -> Pair:
    """Return two ends that have not met yet."""
    return Pair(make_node(deliver_window=window, joining=joining), make_hub(submit_window=window), answer)


def opened(*, joining: bool = False, window: int = WINDOW) -> Pair:
    """Return two ends after the handshake, with nothing heard yet."""
    ends = pair(joining=joining, window=window).pump()
    assert ends.node.phase is ends.hub.phase is (Phase.JOINING if joining else Phase.OPEN)
    ends.heard()
    return ends


def conversation(*, joining: bool = False) -> Pair:
    """Return two ends after a whole conversation with nearly every frame in it, goodbyes included."""
    ends = pair(joining=joining).pump()
    node, hub = Role.NODE, Role.HUB
    if joining:
        ends.say(node, SAMPLE[f.Join])
        ends.pump().say(hub, SAMPLE[f.Joined])
    else:
        first = (f.DirectoryWanted, f.Submit, f.Receipts, f.Offer, f.Chunk, f.Ping)
        ends.say(node, *(SAMPLE[kind] for kind in first))
        ends.say(hub, *(SAMPLE[kind] for kind in (f.Directory, f.Deliver, f.Events, f.Chunk, f.Ping)))
        ends.pump().say(node, *(SAMPLE[kind] for kind in (f.Taken, f.EventsTaken, f.Rekey, f.Want)))
        ends.say(hub, *(SAMPLE[kind] for kind in (f.Accepted, f.ReceiptsStored, f.Want, f.Rekey, f.Busy)))
        ends.pump().say(node, SAMPLE[f.Resume], SAMPLE[f.Submit])
        ends.say(hub, *(SAMPLE[kind] for kind in (f.Stored, f.FileRefused)))
        ends.pump().say(hub, SAMPLE[f.Refused])
    ends.pump().say(node, f.End(f.Goodbye.DONE))
    ends.say(hub, f.End(f.Goodbye.DONE))
    return ends.pump()
