"""What arrived goes into ``in/``; what was taken from there is concluded.

Which messages lie there is remembered here, and found again in the inbox at :meth:`Layer.open`. If ``in/``
does not carry the marker then, it is another directory than the one written before (new, or the old one was
removed): all that was handed out is taken back and laid out again, each in its turn, since nobody can have
taken it from here. If the marker goes missing later, nothing more happens in ``in/`` until the node is
started again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from nodes.gateways.folder import arrivals, bounds
from nodes.gateways.folder.leftovers import Leftovers
from nodes.gateways.folder.places import Place, open_places
from nodes.link import inbox
from nodes.link.errors import Damaged
from nodes.link.inbox import Received
from nodes.link.post import Post
from protocols.link.envelope import State, mailbox_of
from runtime import crash
from runtime.executors import Executor

_PAGE: Final = 1_000
_T = TypeVar("_T")


class Vanished(OSError):  # noqa: N818 - past tense states the outcome
    """``in/`` does not carry our marker any more: what is missing from it may not have been taken."""


class Layer:
    """Lays messages into ``in/`` below ``root``; reactor's thread, file work on the executor."""

    def __init__(
        self,
        post: Post,
        root: Path,
        mailboxes: frozenset[str] | None,
        covers: Callable[[Received], bool],
        floor_bytes: int,
        executor: Executor,
    ) -> None:
        """``mailboxes`` None means all; of those, ``covers`` says which messages are the folder's."""
        self._post, self._root, self._executor = post, root, executor
        self._mailboxes, self._covers, self._floor_bytes = mailboxes, covers, floor_bytes
        self._lying: dict[int, str] = {}
        self._unshown: dict[int, bytes] = {}
        self._leftovers = Leftovers()

    @property
    def lying(self) -> int:
        """How many messages lie in ``in/``."""
        return len(self._lying)

    async def open(self) -> None:
        """Find what lies in ``in/``, and repair what a crash cut short."""
        handed: list[tuple[int, bytes]] = []
        while page := await self._handed_after(handed[-1][0] if handed else 0):
            handed += page
        if await self._in(lambda place: _show_if_ours(place, handed)):
            self._lying = {seq: arrivals.stem(seq, identifier) for seq, identifier in handed}
            return
        # What waits unhanded must not be seen, and with the marker in place what is handed would seem taken.
        await self._in(lambda place: arrivals.hide(place, handed))
        await self._post.database.write(inbox.take_back)
        await self._in(arrivals.mark)

    async def _handed_after(self, seq: int) -> list[tuple[int, bytes]]:
        return await self._post.read(lambda connection: inbox.handed(connection, after_seq=seq, limit=_PAGE))

    async def conclude(self) -> int:
        """Conclude what was taken as processed; return how many. Raises Vanished, OSError, StorageError.

        What could not be shown when it was laid out is shown before.
        """
        if not self._lying:
            return 0
        if unshown := list(self._unshown.items()):
            await self._in(lambda place: _show_late(place, unshown))
            self._unshown.clear()
        there = await self._in(lambda place: _still_there(place, self._lying))
        gone = sorted(self._lying.keys() - there)
        for seq in gone:
            await self._post.conclude(seq, State.PROCESSED)
            del self._lying[seq]
        return len(gone)

    async def sweep(self) -> None:
        """Remove what programs left of messages that they took long ago. Raises as :meth:`conclude` does."""
        now_s = self._post.clock.monotonic_s()
        if self._leftovers.due(now_s):
            await self._in(partial(self._sweep_if_ours, set(self._lying.values()), now_s))

    def _sweep_if_ours(self, lying: set[str], now_s: float, place: Place) -> None:
        _check_ours(place)
        self._leftovers.sweep(place, lying, now_s)

    async def lay(self) -> tuple[int, list[Damaged]]:
        """Lay out what waits, a turn's worth; return how many, and what could not be.

        Raises as :meth:`conclude` does, and NoRoom. ``covers`` is asked of the first message of a kind.
        """
        laid = 0
        damaged: list[Damaged] = []
        for recipient, kinds in (await self._ours()).items():
            room = min(bounds.LAID_AT_ONCE - len(self._lying), bounds.LAID_A_TURN - laid)
            for received in await self._waiting(recipient, tuple(kinds), room) if room > 0 else ():
                try:
                    laid += await self._lay_one(received)
                except Damaged as fault:
                    damaged.append(fault)
        return laid, damaged

    async def _ours(self) -> dict[str, list[str]]:
        """Return recipients and their kinds of which something waits that is the folder's."""
        found: dict[str, list[str]] = {}
        for recipient, kind in await self._post.read(inbox.waiting_lots):
            if self._mailboxes is None or mailbox_of(recipient) in self._mailboxes:
                first = await self._waiting(recipient, (kind,), 1)
                if first and self._covers(first[0]):
                    found.setdefault(recipient, []).append(kind)
        return found

    async def _waiting(self, recipient: str, kinds: tuple[str, ...], limit: int) -> list[Received]:
        return await self._post.read(
            lambda connection: inbox.waiting(
                connection, recipients=(recipient,), kinds=kinds, limit=limit, unhanded_only=True
            )
        )

    async def _lay_one(self, received: Received) -> bool:
        """Return False if another door concluded it meanwhile."""
        await self._in(partial(self._stage_if_ours, received))
        crash.reached("folder-staged")
        now_ms = self._post.clock.now_ms()
        if not await self._post.database.write(
            lambda connection: inbox.hand(connection, received.seq, now_ms)
        ):
            await self._in(lambda place: arrivals.unstage(place, received.seq, received.id))
            return False
        self._lying[received.seq] = arrivals.stem(received.seq, received.id)
        self._unshown[received.seq] = received.id
        crash.reached("folder-handed")
        await self._in(partial(_show, received))
        del self._unshown[received.seq]
        crash.reached("folder-shown")
        return True

    def _stage_if_ours(self, received: Received, place: Place) -> None:
        _check_ours(place)
        arrivals.stage(place, received, self._post.home, self._floor_bytes)

    async def _in(self, work: Callable[[Place], _T]) -> _T:
        def inside() -> _T:
            with open_places(self._root) as places:
                return work(places.arrivals)

        return await self._executor.run(inside)


def _show(received: Received, place: Place) -> None:
    arrivals.show(place, received.seq, received.id)


def _show_if_ours(place: Place, handed: list[tuple[int, bytes]]) -> bool:
    if not arrivals.is_ours(place):
        return False
    arrivals.show_staged(place, handed)
    return True


def _show_late(place: Place, unshown: list[tuple[int, bytes]]) -> None:
    _check_ours(place)
    arrivals.show_staged(place, unshown)


def _still_there(place: Place, lying: dict[int, str]) -> set[int]:
    found = arrivals.still_there(place, lying)
    _check_ours(place)  # after looking: had in/ been emptied meanwhile, all would seem to be taken
    return found


def _check_ours(place: Place) -> None:
    if not arrivals.is_ours(place):
        raise Vanished(
            f"in/ of the drop folder has lost its file {arrivals.MARKER}: put the directory back, or restart "
            "the node to have everything that was not taken laid out again"
        )
