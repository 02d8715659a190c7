"""Queues, what came back, and what is done about what waits. Each change is previewed, then confirmed.

What a preview shows is what is done: the form carries the numbers of the copies, so what came later is not
among them, and what left meanwhile is not touched.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from hub.admin import discards, facilities, holds, network, queues
from hub.admin.console import words
from hub.admin.console.context import Console, reason, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.console.views import number_in
from hub.admin.errors import AdminRefused, NotThere
from hub.admin.facilities import NothingChanged
from hub.admin.queues import Waiting, Wanted
from hub.directory.service import DirectoryError

QUERY_CHARS: Final = 130
HOUR_MS: Final = 3_600_000
AGES: Final = {"": _("Any age"), "1": _("Over 1 hour"), "24": _("Over 1 day"), "72": _("Over 3 days")}
RETURN: Final = "return"
DISCARD: Final = "discard"
STOP: Final = "stop"
RELEASE: Final = "release"


def all_queues(console: Console) -> str:
    """Show what waits for which facility, the longest queue first, and what is paused."""
    found, asked = console.read(lambda c: (network.places(c), discards.waiting_count(c)))
    listed = [one for one in found if one.queued or one.paused]
    return render_template("queues.html", found=sorted(listed, key=lambda one: -one.queued), asked=asked)


def one_queue(console: Console, name: str) -> str:
    """Show what waits for one facility, all of it or what is looked for."""
    after, wanted = number_in(request.args.get("after", "")), _wanted(console)
    place, rows, stopped = console.read(
        lambda c: (network.place(c, name), queues.waiting(c, name, after, wanted), holds.stopped(c, name))
    )
    return render_template(
        "queue.html", place=place, name=name, waiting=rows, stopped=stopped, uuid=_uuid, ages=AGES,
        more=rows[-1].seq if len(rows) == queues.LISTED else 0, asked=_asked(), most=queues.AT_ONCE,
    )  # fmt: skip


def _asked() -> dict[str, str]:
    """Return what is looked for, as it was typed."""
    return {key: request.values.get(key, "").strip()[:QUERY_CHARS] for key in ("sender", "recipient", "age")}


def _wanted(console: Console) -> Wanted:
    asked = _asked()
    hours = number_in(asked["age"], 24 * 365)
    before_ms = console.clock.now_ms() - hours * HOUR_MS if hours else None
    return Wanted(asked["sender"], asked["recipient"], before_ms)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done, to which copies, and how many of them may be at their recipient already."""

    act: str
    copies: list[Waiting]
    on_their_way: int
    in_doubt: int

    @property
    def sequences(self) -> str:
        """The numbers, for the form that confirms."""
        return " ".join(str(one.seq) for one in self.copies)


def preview(console: Console, name: str) -> Any:
    """Show what would be done, and ask for a reason."""
    act, wanted = request.form.get("act", RETURN), _wanted(console)
    if act not in {RETURN, DISCARD, STOP, RELEASE}:
        act = RETURN
    if request.form.get("which") == "all":
        rows = console.read(lambda c: queues.waiting(c, name, 0, wanted, queues.AT_ONCE))
        return _preview(console, name, act, [one.seq for one in rows], ())
    return _preview(console, name, act, _chosen(), ())


def _chosen() -> list[int]:
    found = [number_in(text) for text in request.form.getlist("seq")]
    found += [number_in(text) for text in request.form.get("seqs", "").split()]
    return found[: queues.AT_ONCE]


def _preview(console: Console, name: str, act: str, sequences: list[int], wrong: Errors) -> Any:
    now_ms = console.clock.now_ms()

    def look(connection: Connection) -> tuple[network.Place, Preview]:
        place, rows = network.place(connection, name), queues.chosen(connection, name, sequences)
        going = queues.may_be_on_its_way(connection, name, rows, now_ms)
        return place, Preview(act, rows, len(going), sum(one.in_doubt for one in rows))

    place, seen = console.read(look)
    if not seen.copies:
        return redirect(f"/queues/{name}", 303)
    page = render_template(
        "queue_act.html", place=place, name=name, seen=seen, errors=wrong, uuid=_uuid, listed=queues.LISTED,
        away_s=queues.SILENT_MS / 1000,
    )  # fmt: skip
    return (page, REFUSED) if wrong else page


def give_up(console: Console, name: str) -> Any:
    """Return what was previewed to its senders."""
    who, now_ms, why, chosen = visitor(), console.clock.now_ms(), reason(), _chosen()
    return _do(
        console, name, RETURN, chosen, "/returned",
        lambda c: queues.give_up(c, name, chosen, reason=why, actor=who.actor, now_ms=now_ms),
    )  # fmt: skip


def discard(console: Console, name: str) -> Any:
    """Ask that what was previewed be discarded; a second person decides."""
    who, now_ms, why, chosen = visitor(), console.clock.now_ms(), reason(), _chosen()
    return _do(
        console, name, DISCARD, chosen, "/discards",
        lambda c: discards.ask(c, name, chosen, reason=why, actor=who.actor, now_ms=now_ms),
    )  # fmt: skip


def stop(console: Console, name: str) -> Any:
    """Send what was previewed no more."""
    who, now_ms, why, chosen = visitor(), console.clock.now_ms(), reason(), _chosen()
    return _do(
        console, name, STOP, chosen, f"/queues/{name}",
        lambda c: _some(
            holds.stop(c, name, chosen, reason=why, actor=who.actor, now_ms=now_ms), "stopped"
        ),
    )  # fmt: skip


def release(console: Console, name: str) -> Any:
    """Send what was stopped again."""
    who, now_ms, chosen = visitor(), console.clock.now_ms(), _chosen()
    return _do(
        console, name, RELEASE, chosen, f"/queues/{name}",
        lambda c: _some(holds.let_go(c, name, chosen, actor=who.actor, now_ms=now_ms), "not-stopped"),
    )  # fmt: skip


def _some(changed: int, code: str) -> None:
    if not changed:
        raise AdminRefused(code, "it was so already: nothing was changed")


def _do(console: Console, name: str, act: str, chosen: list[int], then: str, operation: Any) -> Any:
    try:
        console.change(operation)
    except NotThere:
        raise
    except AdminRefused as error:
        return _preview(console, name, act, chosen, errors(error.code))
    return redirect(then, 303)


def confirm_pause(console: Console, name: str) -> str:
    """Ask whether a queue is to be paused, and why, or to be resumed."""
    return _pause(console, name, ())


def _pause(console: Console, name: str, wrong: Errors) -> str:
    place = console.read(lambda c: network.place(c, name))
    return render_template("pause.html", place=place, name=name, errors=wrong)


def pause(console: Console, name: str) -> Any:
    """Pause a queue, or let it go."""
    who, now_ms, why = visitor(), console.clock.now_ms(), reason()
    change = holds.resume if request.form.get("paused") == "0" else holds.pause
    try:
        console.change(lambda c: change(c, name, reason=why, actor=who.actor, now_ms=now_ms))
    except NotThere:
        raise
    except AdminRefused as error:
        return _pause(console, name, errors(error.code)), REFUSED
    return redirect(f"/queues/{name}", 303)


def returned(console: Console) -> str:
    """Show what came back."""
    before = number_in(request.args.get("before", "")) or None
    rows = console.read(lambda c: queues.came_back(c, before))
    more = rows[-1].seq if len(rows) == queues.LISTED else 0
    return render_template("returned.html", rows=rows, more=more, uuid=_uuid, reason=words.reason)


def suspend(console: Console, name: str) -> Any:
    """Take a facility out of traffic, or let it back."""
    who, now_ms = visitor(), console.clock.now_ms()
    why = reason()[: facilities.REASON_CHARS]

    def change(connection: Connection) -> None:
        if request.form.get("suspended") == "1":
            facilities.suspend(connection, name, reason=why, actor=who.actor, now_ms=now_ms)
        else:
            facilities.resume(connection, name, actor=who.actor, now_ms=now_ms)

    try:
        console.change(change)
    except NothingChanged as error:
        return _suspend(console, name, errors(error.code)), REFUSED
    except DirectoryError as error:
        raise NotThere("no-such-facility", str(error)) from error
    return redirect(f"/network/{name}", 303)


def confirm_suspend(console: Console, name: str) -> str:
    """Ask whether a facility is to be suspended, and why, or to be let back."""
    return _suspend(console, name, ())


def _suspend(console: Console, name: str, wrong: Errors) -> str:
    place = console.read(lambda c: network.place(c, name))
    title = gettext("Suspend %(name)s", name=name)
    return render_template("suspend.html", place=place, name=name, title=title, errors=wrong)


def _uuid(identifier: bytes) -> str:
    return str(uuid.UUID(bytes=identifier))
