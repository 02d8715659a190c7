"""When the folder's work happens: a loop that sends, concludes and lays out, one thing after the other.

``out/`` is looked at every poll. A message is put (a commit) before its files move to ``sent/``; after a
crash in between it is put again under the same key, which is the same message. Only the file that settled is
put and moved: another that has come under its name since has a turn of its own. What cannot be right goes to
``failed/`` with a reason. What is only wrong for now (no room, database busy) stays in ``out/``, in its
order, and is tried again at the next poll. ``in/`` is looked at every poll and whenever something arrived.

The loop lives in the reactor's thread; everything that blocks runs on the executor that is passed in, which
the caller stops after :meth:`FolderGateway.stop`. Each trouble of a turn is logged (rate-limited) and raised
as an alarm once, until a turn has gone well. The loop outlives its own faults: the tables are the truth, so
all is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge
from twisted.internet.defer import Deferred

from config.node import Folder, Mllp
from nodes.gateways.drafting import ValidFor
from nodes.gateways.folder import bounds, moving, outgoing
from nodes.gateways.folder.laying import Layer, Vanished
from nodes.gateways.folder.places import Look, Places, Unfit, make_places, open_places
from nodes.gateways.folder.sending import Failed, Sender, Taken, shown
from nodes.gateways.folder.unclaimed import NAMED, UNCLAIMED_S, Unclaimed
from nodes.link.errors import NoRoom
from nodes.link.inbox import Received
from nodes.link.post import Post
from runtime import crash
from runtime.clock import Clock, Handle
from runtime.executors import Executor
from runtime.logs import RepeatLimit
from runtime.storage_errors import StorageError

ANY: Final = "*"
_LOG: Final = logging.getLogger(__name__)
_FOR_NOW: Final = (NoRoom, StorageError, OSError, Unfit)

Alarm = Callable[[str, str], object]
"""Told (code, text) when something needs a person; must not raise."""

_T = TypeVar("_T")


class _Metrics:
    def __init__(self, registry: CollectorRegistry, lying: Callable[[], float]) -> None:
        self.sent = Counter("wasl_folder_sent", "Messages taken from out/", registry=registry)
        self.failed = Counter("wasl_folder_failed", "Files moved to failed/", registry=registry)
        self.laid = Counter("wasl_folder_laid", "Messages laid into in/", registry=registry)
        self.taken = Counter("wasl_folder_taken", "Messages that a program took from in/", registry=registry)
        self.troubles = Counter("wasl_folder_troubles", "Turns that trouble cut short", registry=registry)
        self.lying = Gauge("wasl_folder_lying", "Messages in in/ that no program took yet", registry=registry)
        self.lying.set_function(lying)


class FolderGateway:
    """The drop folder of one node; lives in the reactor's thread."""

    def __init__(
        self,
        *,
        post: Post,
        settings: Folder,
        mllp: Mllp,
        facility: str,
        valid_for: ValidFor,
        covers: Callable[[Received], bool],
        floor_bytes: int,
        executor: Executor,
        clock: Clock,
        registry: CollectorRegistry,
        alarm: Alarm,
    ) -> None:
        """``covers`` says whether a received message is the folder's; ``mllp`` addresses plain HL7 files."""
        self.root: Path = post.home / settings.path
        self._post, self._executor, self._clock, self._poll_s = post, executor, clock, settings.poll_s
        mailboxes = None if ANY in settings.mailboxes else frozenset(settings.mailboxes)
        self._sender = Sender(post, self.root, facility, mllp, valid_for, executor)
        self._layer = Layer(post, self.root, mailboxes, covers, floor_bytes, executor)
        self._metrics = _Metrics(registry, lambda: self._layer.lying)
        self._alarm = alarm
        self._alarmed: set[tuple[str, str]] = set()
        self._limit = RepeatLimit(clock)
        self._seen: Mapping[str, Look] = {}
        self._unclaimed = Unclaimed()
        self._looked_s: float | None = None
        self._open = False
        self._again = False
        self._stopping = False
        self._pause: Deferred[None] | None = None
        self._timer: Handle | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; the directories are made as the loop's first work."""
        self._post.on_inbox(lambda _recipients: self.wake())
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Finish the file or message at hand, then end. May be called twice."""
        self._stopping = True
        self.wake()
        running, self._running = self._running, None
        if running is not None:
            await running

    def wake(self) -> None:
        """Look again soon: something may have arrived."""
        self._again = True
        pause, self._pause = self._pause, None
        if pause is not None:
            if self._timer is not None:
                self._timer.cancel()
            pause.callback(None)

    async def _run(self) -> None:
        while not self._stopping:
            self._again = False
            troubles = await _tried(self._turn)
            for fault in troubles:
                self._trouble(fault)
            if troubles:
                self._metrics.troubles.inc()
                self._again = False
            if not self._again:
                await self._rest()

    async def _rest(self) -> None:
        if not self._stopping:
            self._pause = Deferred()
            self._timer = self._clock.call_later(self._poll_s, self.wake)
            await self._pause

    async def _turn(self) -> Sequence[Exception]:
        if not self._open:
            await self._executor.run(lambda: make_places(self.root))
            await self._layer.open()
            self._open = True
        # Each half has its turn, whatever befell the other.
        troubles = [*await _tried(self._send), *await _tried(self._receive)]
        if not troubles:
            self._alarmed.clear()
        return troubles

    async def _send(self) -> Sequence[Exception]:
        now_s = self._clock.monotonic_s()
        if self._looked_s is not None and now_s - self._looked_s < self._poll_s:
            return ()  # woken by an arrival: two looks must be a poll apart to tell what has settled
        await self._do(moving.finish)  # of a crash, or of trouble in the turn before
        found = await self._do(lambda places: outgoing.scan(places.out, self._seen))
        self._seen, self._looked_s = found.seen, now_s
        self._speak_of(self._unclaimed.look(found.unclaimed, now_s))
        work = [*((name, True) for name in found.controls), *((name, False) for name in found.messages)]
        for name, is_control in work[: bounds.TAKEN_A_TURN]:
            if self._stopping:
                return ()
            await self._take(name, found.seen[name], is_control=is_control)
        if len(work) > bounds.TAKEN_A_TURN:
            self._again, self._looked_s = True, None
        return ()

    async def _take(self, name: str, settled: Look, *, is_control: bool) -> None:
        if await self._do(lambda places: outgoing.is_another(places.out, name, settled)):
            return
        taking = self._sender.take_pair if is_control else self._sender.take_message
        await self._leave(name, settled, await taking(name))

    async def _leave(self, name: str, settled: Look, outcome: Taken | Failed) -> None:
        crash.reached("folder-put")
        if isinstance(outcome, Taken):

            def keep(places: Places) -> None:
                if names := outgoing.leaving(places.out, name, settled, outcome.names):
                    moving.perform(places, moving.to_sent(names, outcome.ids[0]))

            await self._do(keep)
            self._metrics.sent.inc(len(outcome.ids))
            return

        def fail(places: Places) -> None:
            move = moving.to_failed(places, outgoing.companions(places.out, name), outcome.reason)
            if outgoing.is_another(places.out, name, settled):
                move = replace(move, files=())
            moving.perform(places, move)

        await self._do(fail)
        self._metrics.sent.inc(outcome.sent)
        self._metrics.failed.inc()
        self._limit.event(("failed", outcome.code), _LOG, logging.WARNING, "folder-failed", code=outcome.code)
        self._alarm(
            "folder-failed",
            f"{shown(name)!r} in the drop folder could not be sent ({outcome.code}): see failed/",
        )

    def _speak_of(self, names: list[str]) -> None:
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            listed = ", ".join(repr(shown(name)) for name in names[:NAMED])
            self._alarm(
                "folder-unclaimed",
                f"out/ of the drop folder has held {listed}{more} for {UNCLAIMED_S / 60:.0f} minutes, and no "
                "control file names it: write NAME.toml beside it, or take it away",
            )

    async def _receive(self) -> Sequence[Exception]:
        self._metrics.taken.inc(await self._layer.conclude())
        await self._layer.sweep()
        laid, damaged = await self._layer.lay()
        self._metrics.laid.inc(laid)
        if laid >= bounds.LAID_A_TURN:
            self._again = True
        return damaged

    async def _do(self, work: Callable[[Places], _T]) -> _T:
        def inside() -> _T:
            with open_places(self.root) as places:
                return work(places)

        return await self._executor.run(inside)

    def _trouble(self, fault: Exception) -> None:
        expected = isinstance(fault, _FOR_NOW)
        code = "folder-vanished" if isinstance(fault, Vanished) else "folder-trouble"
        level, cause = (logging.WARNING, None) if expected else (logging.ERROR, fault)
        text = str(fault)
        # What names a file stands in the alarm alone: a file may be called after a patient.
        self._limit.event(
            (code, text), _LOG, level, code, cause=cause, folder=self.root, fault=type(fault).__name__
        )
        if (code, text) not in self._alarmed and len(self._alarmed) < bounds.ALARMS:
            self._alarmed.add((code, text))
            self._alarm(code, f"the drop folder {self.root}: {fault}")


async def _tried(work: Callable[[], Awaitable[Sequence[Exception]]]) -> Sequence[Exception]:
    """Return every trouble of ``work``: what it gave back, or what ended it."""
    try:
        return await work()
    except Exception as fault:  # noqa: BLE001  # see the module's text: it is logged, and tried again
        return (fault,)
