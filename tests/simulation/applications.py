"""The programs at each facility: they put messages, and take or refuse what arrives.

They are as careless as real ones: they use a key again, sometimes for something else, ask again when no
answer came, and leave what arrived lying for a while.
"""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING, Final

from nodes.link import files, inbox, outbox
from nodes.link.errors import KeyConflict, NodeError
from protocols.link.envelope import State
from runtime.storage_errors import StorageError
from runtime.tasks import spawn
from tests.simulation import letters
from tests.simulation.letters import Letter
from tests.simulation.machines import NodeMachine

if TYPE_CHECKING:
    from tests.simulation.world import World

ANSWER: Final = b"MSA|AE|1|no such patient\r"
_RETRY_S: Final = 2.0


class Application:
    """One facility's programs."""

    def __init__(self, world: World, node: NodeMachine, random: Random) -> None:
        self._world = world
        self._node = node
        self._random = random
        self._written: list[Letter] = []
        self._patience_s = random.choice((0.2, 1.0, 6.0))
        self._with_files = random.choice((0.0, 0.1, 0.35))
        self._refusing = random.choice((0.0, 0.2))
        self.everything = False
        """Take all that waits, every time, and put no more: the end of a world."""

    def begin(self, messages: int, within_s: float) -> None:
        """Plan what will be put; ``messages`` of them rather in bursts, and begin to take."""
        for number in range(messages):
            at_s = self._world.moment_s(self._random, within_s)
            self._world.clock.callLater(at_s, self._put, f"{self._node.name}-{number}")
        self._world.clock.callLater(self._random.uniform(0, self._patience_s), self._take)

    # ── sending ────────────────────────────────────────────────────────────────────────

    def _put(self, token: str) -> None:
        letter = letters.write(
            self._random, self._node.name, token, self._world.facilities, with_files=self._with_files
        )
        with_keys = [earlier for earlier in self._written if earlier.key]
        if with_keys and self._random.random() < 0.15:
            letter = self._random.choice(with_keys)
            if self._random.random() < 0.3:
                letter = letters.with_another_body(letter)
        if letter not in self._written:
            self._written.append(letter)
        self.ask(letter)

    def ask(self, letter: Letter) -> None:
        """Put ``letter`` if the node runs, or ask again later if it has a key."""
        node = self._node
        self._world.invariant.meant(letter)
        if node.up:
            node.life.enter(lambda: spawn(self._send(letter), self._failed))
        if letter.key is not None:
            self._world.clock.callLater(_RETRY_S + self._random.random(), self._again, letter)

    def _again(self, letter: Letter) -> None:
        if letter.id is None and not letter.refused and not self.everything:
            self.ask(letter)

    async def _send(self, letter: Letter) -> None:
        post = self._node.core.post
        trace, name = self._world.trace, self._node.name
        sources = [
            files.Source(title, "application/octet-stream", io.BytesIO(data), len(data))
            for title, data in letter.files.items()
        ]
        try:
            prepared = await post.prepare(letter.body, sources)
            done = await post.put(
                outbox.Draft(
                    letter.sender, letter.recipients, letter.kind, prepared, letter.key, letter.token,
                    priority=letter.priority, valid_for_ms=letter.valid_for_ms,
                )
            )  # fmt: skip
        except StorageError as error:
            trace.note(name, f"put {letter.token}: {error}", count="put failed")
        except KeyConflict:
            trace.note(name, f"put {letter.token}: key conflict", count="key conflict")
            letter.refused = True
            self._world.invariant.put_refused(letter)
        except NodeError as error:
            trace.note(name, f"put {letter.token}: {error.code}", count="put refused")
            self._world.invariant.put_refused(letter)
        else:
            trace.note(name, f"put {letter.token} returned, fresh={done.fresh}", count="put")
            self._world.invariant.put_returned(letter, done)

    def _failed(self, error: BaseException) -> None:
        self._world.fail(f"an application of {self._node.name} got {error!r}")

    # ── taking ─────────────────────────────────────────────────────────────────────────

    def _take(self) -> None:
        node = self._node
        if node.up and self._world.invariant.waits(node.name):
            node.life.enter(lambda: spawn(self._conclude(), self._failed))
        wait_s = 0.2 if self.everything else self._random.uniform(0, 2 * self._patience_s)
        self._world.clock.callLater(wait_s, self._take)

    async def _conclude(self) -> None:
        post = self._node.core.post
        try:
            for received in await post.read(lambda c: inbox.waiting(c, limit=20)):
                if not self.everything and self._random.random() < 0.3:
                    continue
                refuse = self._random.random() < self._refusing
                state = State.REFUSED if refuse else State.PROCESSED
                await post.conclude(
                    received.seq, state, code="AE" if refuse else "", answer=ANSWER if refuse else b""
                )
        except StorageError as error:
            self._world.trace.note(self._node.name, f"take: {error}", count="take failed")
