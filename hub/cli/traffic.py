"""``queue`` with ``pause`` and ``resume``, ``track``, ``give-up``, ``tell-again``."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from sqlalchemy import Connection

from hub.admin import facilities, holds, queues
from hub.admin.errors import AdminRefused
from hub.admin.facilities import FacilityState
from hub.admin.queues import Waiting
from hub.audit.journal import Act, record
from hub.cli.opened import cli_actor, opened_hub
from hub.spool import ageing, telling, tracking
from runtime.cli import EXIT_USAGE, done, facts, fail, moment, plain, say, table
from runtime.transactions import read, transact


def queue(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub queue``."""
    with opened_hub(home) as hub:
        depths, paused = read(hub.engine, lambda c: (tracking.depths(c), holds.pauses(c)))
    now_ms = time.time_ns() // 1_000_000
    value = [
        {
            "facility": depth.facility,
            "messages": depth.messages,
            "bytes": depth.bytes,
            "oldest": moment(depth.oldest_ms),
            "oldest_age_s": max(0, (now_ms - depth.oldest_ms) // 1000),
            "paused": depth.facility in paused,
        }
        for depth in depths
    ]
    header = ("facility", "messages", "bytes", "oldest", "age s", "paused")
    facts(value, as_json=as_json, text=lambda: table([tuple(one.values()) for one in value], header))


def pause(facility: str, home: Path, reason: str, as_json: bool) -> None:
    """Do ``wasl-hub queue pause``."""
    now_ms = time.time_ns() // 1_000_000
    with opened_hub(home) as hub:
        try:
            transact(
                hub.engine,
                lambda c: holds.pause(c, facility, reason=reason, actor=cli_actor(), now_ms=now_ms),
            )
        except AdminRefused as error:
            fail(str(error))
        hub.poke()
    text = (
        f"Nothing is delivered to {facility} until: wasl-hub queue resume {facility} --home {home}\n"
        "Time limits go on: what is over comes back to its sender as expired."
    )
    done({"facility": facility, "paused": True}, text, as_json=as_json)


def resume(facility: str, home: Path, reason: str, as_json: bool) -> None:
    """Do ``wasl-hub queue resume``."""
    now_ms = time.time_ns() // 1_000_000
    with opened_hub(home) as hub:
        try:
            transact(
                hub.engine,
                lambda c: holds.resume(c, facility, reason=reason, actor=cli_actor(), now_ms=now_ms),
            )
        except AdminRefused as error:
            fail(str(error))
        hub.poke()
    text = f"What waits for {facility} is delivered again."
    done({"facility": facility, "paused": False}, text, as_json=as_json)


def track(identifier: str, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub track``."""
    raw = _id(identifier)
    with opened_hub(home) as hub:
        found = read(hub.engine, lambda connection: tracking.track(connection, raw))
    if not found:
        fail(f"no message {identifier} was accepted by this hub")
    value = [
        {
            "id": identifier,
            "from": one.sender,
            "to": list(one.recipients),
            "kind": one.kind,
            "priority": "stat" if one.priority else "routine",
            "size": one.size,
            "attachments": one.files,
            "accepted": moment(one.accepted_ms),
            "expires": moment(one.expires_ms),
            "waiting": list(one.waiting),
            "history": [
                {"recipient": n.recipient, "state": n.state.word, "reason": n.code, "at": moment(n.at_ms)}
                for n in one.news
            ],
        }
        for one in found
    ]
    facts(value if len(value) > 1 else value[0], as_json=as_json, text=lambda: _told(found))


def _id(identifier: str) -> bytes:
    try:
        return uuid.UUID(identifier).bytes
    except ValueError:
        fail(f"{identifier!r} is no message id; it should be like 019a…-….", EXIT_USAGE)


def _told(found: list[tracking.Tracked]) -> str:
    lines: list[str] = []
    for one in found:
        lines.append(
            f"{one.kind} from {one.sender} to {' '.join(one.recipients)}, accepted {moment(one.accepted_ms)}"
        )
        lines += [
            f"  {moment(n.at_ms)}  {n.state.word:<10} {n.recipient}  {n.code}".rstrip() for n in one.news
        ]
        lines += [f"  {'now':<24}  {'waiting':<10} {recipient}" for recipient in one.waiting]
    return "\n".join(plain(line) for line in lines)


def give_up(identifier: str, home: Path, recipient: str | None, as_json: bool) -> None:
    """Do ``wasl-hub give-up``."""
    raw = _id(identifier)
    now_ms = time.time_ns() // 1_000_000
    with opened_hub(home) as hub:

        def operation(connection: Connection) -> tuple[bool, list[Waiting], list[str]]:
            found = ageing.waiting(connection, raw)
            waiting: dict[str, list[int]] = {}
            for one in found:
                if recipient in (None, one.recipient):
                    waiting.setdefault(one.facility, []).append(one.seq)
            away: list[Waiting] = []
            kept: list[str] = []
            for facility, sequences in sorted(waiting.items()):
                gone, why = _gone(connection, facility, sequences, now_ms)
                queues.send_back(connection, facility, gone, {}, actor=cli_actor(), now_ms=now_ms)
                away += gone
                kept += why
            return bool(waiting), away, kept

        found, away, kept = transact(hub.engine, operation)
        hub.poke()
    if not found:
        fail(f"nothing of message {identifier} waits at this hub")
    doubts = {one.recipient: "; it may have been delivered before" if one.in_doubt else "" for one in away}
    lines = [
        f"{identifier} for {one.recipient} goes back to {one.sender}{doubts[one.recipient]}." for one in away
    ]
    value = [{"to": one.recipient, "from": one.sender, "in_doubt": one.in_doubt} for one in away]
    if away or as_json:
        done({"id": identifier, "returned": value}, "\n".join(lines), as_json=as_json)
    if kept:
        fail("\n".join(kept))


def _gone(
    connection: Connection, facility: str, sequences: list[int], now_ms: int
) -> tuple[list[Waiting], list[str]]:
    """Return what of ``sequences`` may be given up, and why the others stay.

    Who is suspended or revoked, and has left, does not come back to say what it took: nobody has to wait.
    """
    chosen = queues.chosen(connection, facility, sequences)
    since_ms = queues.away_since_ms(connection, facility)
    out = any(
        one.facility == facility and one.state in (FacilityState.SUSPENDED, FacilityState.REVOKED)
        for one in facilities.listing(connection)
    )
    if since_ms is not None and out:
        return chosen, []
    kept = queues.may_be_on_its_way(connection, facility, chosen, now_ms)
    if not kept:
        return chosen, []
    if since_ms is None:
        why = f"{facility} is connected and may be taking it now: suspend it first, or wait"
    else:
        why = (
            f"{facility} is away since {moment(since_ms)} and may have taken it: it may be given up from"
            f" {moment(since_ms + queues.SILENT_MS)} on, or at once if {facility} is suspended or revoked"
        )
    return [one for one in chosen if one not in kept], [why]


def tell_again(facility: str, home: Path, since: float, as_json: bool) -> None:
    """Do ``wasl-hub tell-again``."""
    now_ms = time.time_ns() // 1_000_000
    since_ms = now_ms - int(since * 1000)
    with opened_hub(home) as hub:

        def operation(connection: Connection) -> tuple[int, list[telling.Delivered]]:
            told = telling.tell_again(connection, facility, since_ms)
            details = {"since": moment(since_ms), "events": str(told)}
            record(connection, Act(cli_actor(), "facility.told_again", facility, details), now_ms)
            return told, telling.delivered_to(connection, facility, since_ms)

        try:
            told, lost = transact(hub.engine, operation)
        except telling.StillConnected as error:
            fail(str(error))
    value = {
        "events": told,
        "delivered": [
            {
                "id": str(uuid.UUID(bytes=one.id)), "from": one.sender_facility, "to": one.recipient,
                "at": moment(one.at_ms),
            }
            for one in lost
        ],
    }  # fmt: skip
    rows = [(moment(one.at_ms), one.sender_facility, one.recipient, uuid.UUID(bytes=one.id)) for one in lost]
    facts(value, as_json=as_json, text=lambda: table(rows, ("delivered", "from", "to", "id")))
    say(f"{facility} will hear {told} events again when its node calls.")
    if lost:
        say("What stands above was delivered to it: of what its backup does not hold, ask its sender.")
