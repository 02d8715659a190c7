"""What is under way and unanswered: the credits that keep either side from being flooded.

Every frame that asks for work belongs to a window, and its answer gives the room back. A
frame type travels in one direction only, so both ends keep the same account of the same
frames: :meth:`Flow.note` is called for what is sent and for what is received alike, and
only the blame differs, which the caller chooses.

    asks               answered by           room
    SUBMIT messages    ACCEPTED, REFUSED     as WELCOME says; BUSY and RESUME give all of it back
    DELIVER            TAKEN, by sequence    as HELLO says
    RECEIPTS           RECEIPTS_STORED       RECEIPT_WINDOW, answered up to a sequence number
    EVENTS             EVENTS_TAKEN          RECEIPT_WINDOW, answered up to a sequence number

Answers that answer nothing are faults where they can be told apart, because each of them
costs the other side a transaction; for SUBMIT, whose messages are opaque here, an answer
too many merely gives no credit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from protocols.link import frames as f
from protocols.link import limits

Fault = Callable[[str, str], Exception]
"""Makes the error to raise, from a code and a text; says by its type whose fault it is."""


class Window:
    """How many messages may be under way and unanswered."""

    __slots__ = ("_size", "_used", "_what")

    def __init__(self, size: int, what: str) -> None:
        self._size = size
        self._what = what
        self._used = 0

    @property
    def left(self) -> int:
        """Messages that may still be sent."""
        return self._size - self._used

    def take(self, count: int, fault: Fault) -> None:
        """Use ``count``; raises ``fault`` (``window``) if that is more than is left."""
        if count > self.left:
            raise fault("window", f"{count} {self._what}, {self.left} of {self._size} are left")
        self._used += count

    def give(self, count: int) -> None:
        """Return ``count`` after an answer; an answer too many is no credit."""
        self._used = max(0, self._used - count)

    def reset(self) -> None:
        """Return everything."""
        self._used = 0


class NumberedWindow:
    """Deliveries under way, each known by its sequence number and answered once."""

    __slots__ = ("_open", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: set[int] = set()

    @property
    def left(self) -> int:
        """Deliveries that may still be sent."""
        return self._size - len(self._open)

    def take(self, sequences: list[int], fault: Fault) -> None:
        """Add deliveries; raises ``fault`` for one too many (``window``) or one that is there already."""
        if len(sequences) > self.left:
            raise fault("window", f"{len(sequences)} deliveries, {self.left} of {self._size} are left")
        fresh = set(sequences)
        if len(fresh) != len(sequences) or not fresh.isdisjoint(self._open):
            raise fault("out-of-turn", "a delivery whose sequence number is under way already")
        self._open |= fresh

    def give(self, sequences: list[int], fault: Fault) -> None:
        """Remove what was answered; raises ``fault`` (``out-of-turn``) for what is not under way."""
        answered = set(sequences)
        if len(answered) != len(sequences) or not answered <= self._open:
            raise fault("out-of-turn", "an answer to a delivery that is not under way")
        self._open -= answered


class Stream:
    """A numbered stream, answered by "up to and including"."""

    __slots__ = ("_last", "_open", "_size", "_what")

    def __init__(self, size: int, what: str) -> None:
        self._size = size
        self._what = what
        self._open: list[int] = []
        self._last = -1

    def take(self, sequences: Iterable[int], fault: Fault) -> None:
        """Add items; raises ``fault`` for one too many (``window``) or out of order (``out-of-turn``)."""
        fresh = list(sequences)
        if len(fresh) > self._size - len(self._open):
            left = self._size - len(self._open)
            raise fault("window", f"{len(fresh)} {self._what}, {left} of {self._size} are left")
        last = self._last
        for sequence in fresh:
            if sequence <= last:
                raise fault("out-of-turn", f"{self._what}: sequence {sequence} after {last}")
            last = sequence
        self._last = last
        self._open.extend(fresh)

    def give(self, up_to: int, fault: Fault) -> None:
        """Remove what was answered; raises ``fault`` (``out-of-turn``) if that is nothing, or too much.

        Too much would also answer what is still on its way to the one who answers.
        """
        if not self._open or not self._open[0] <= up_to <= self._last:
            raise fault("out-of-turn", f"an answer up to {up_to}, which answers no {self._what} under way")
        del self._open[: bisect_right(self._open, up_to)]


class Flow:
    """All windows of one session."""

    __slots__ = ("_busy", "_events", "_receipts", "deliveries", "submits")

    def __init__(self, *, submit_window: int, deliver_window: int) -> None:
        self.submits = Window(submit_window, "messages")
        self.deliveries = NumberedWindow(deliver_window)
        self._receipts = Stream(limits.RECEIPT_WINDOW, "receipts")
        self._events = Stream(limits.RECEIPT_WINDOW, "events")
        self._busy = False

    def note(self, frame: f.AnyFrame, fault: Fault) -> None:  # noqa: C901, PLR0912 - a case a frame, flat
        """Count one frame; raises ``fault`` and changes nothing if the windows forbid it."""
        match frame:
            case f.Submit():
                self.submits.take(len(frame.messages), fault)
            case f.Accepted():
                self.submits.give(len(frame.ids))
            case f.Refused():
                self.submits.give(len(frame.refusals))
            case f.Deliver():
                self.deliveries.take([one.sequence for one in frame.deliveries], fault)
            case f.Taken():
                self.deliveries.give([one.sequence for one in frame.takings], fault)
            case f.Busy():
                if self._busy:
                    raise fault("out-of-turn", "BUSY again, before RESUME")
                self._busy = True
            case f.Resume():
                # Without this rule RESUME would be a licence to submit without end.
                if not self._busy:
                    raise fault("out-of-turn", "RESUME without BUSY")
                self._busy = False
                self.submits.reset()
            case f.Receipts():
                self._receipts.take((one.sequence for one in frame.items), fault)
            case f.ReceiptsStored():
                self._receipts.give(frame.up_to, fault)
            case f.Events():
                self._events.take((one.sequence for one in frame.events), fault)
            case f.EventsTaken():
                self._events.give(frame.up_to, fault)
            case _:
                pass
