"""``invite``, ``describe``, ``facilities``, ``approve``, ``reject``, ``suspend``, ``resume``, ``revoke``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from crypto.fingerprint import in_hex, in_words
from hub.admin import facilities as service
from hub.admin.errors import AdminRefused
from hub.admin.facilities import Facility
from hub.admin.holds import check_reason
from hub.cli.opened import OpenedHub, cli_actor, opened_hub
from hub.directory.requests import Request
from protocols.link.entries import Mailbox
from protocols.link.places import FacilityKind, wilaya_name
from runtime.cli import EXIT_USAGE, done, facts, fail, moment, plain, say, table
from runtime.transactions import read, transact


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def invite(
    facility: str,
    home: Path,
    title: str | None,
    kind: str | None,
    wilaya: int | None,
    mailboxes: tuple[str, ...],
    valid_for: float,
    as_json: bool,
) -> None:
    """Do ``wasl-hub invite``."""
    with opened_hub(home) as hub:
        issuer = hub.issuer
        invited = transact(
            hub.engine,
            lambda connection: service.invite(
                connection,
                issuer,
                facility,
                title=title,
                kind=FacilityKind(kind) if kind else None,
                wilaya=wilaya,
                mailboxes=_boxes(mailboxes),
                valid_for_ms=int(valid_for * 1000),
                actor=cli_actor(),
                now_ms=_now_ms(),
            ),
        )
        hub.poke()
    value = {"facility": invited.facility, "code": invited.code, "expires": moment(invited.expires_ms)}
    facts(value, as_json=as_json, text=lambda: invited.code)
    if invited.joined_before:
        say(
            f"{facility} has joined already. If this was to add mailboxes, that is done: discard the code.\n"
            "A new home that joins with it takes the place of the old one: messages are then sealed for it.\n"
            f"If the old home is lost or stolen, first run: wasl-hub revoke {facility} --reason WHY"
            f" --home {home}"
        )
    if not as_json:
        say(f"Works once, until {value['expires']}. At {facility}: wasl-node join CODE --home DIR")
        if issuer.two_person:
            say(f"Then another administrator has to: wasl-hub approve {facility} --home {home}")


def _boxes(texts: tuple[str, ...]) -> tuple[Mailbox, ...]:
    """Read ``NAME[:SPECIALTY[:TITLE]]``."""
    boxes = []
    for text in texts:
        name, _, rest = text.partition(":")
        specialty, _, title = rest.partition(":")
        boxes.append(Mailbox(name, title.strip(), specialty.strip()))
    return tuple(boxes)


def describe(
    facility: str,
    home: Path,
    title: str | None,
    kind: str | None,
    wilaya: int | None,
    mailboxes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Do ``wasl-hub describe``."""
    if title is None and kind is None and wilaya is None and not mailboxes:
        fail("nothing to change: give --title, --kind, --wilaya or --mailbox", EXIT_USAGE)
    with opened_hub(home) as hub:
        transact(
            hub.engine,
            lambda connection: service.describe(
                connection,
                facility,
                title=title,
                kind=FacilityKind(kind) if kind else None,
                wilaya=wilaya,
                mailboxes=_boxes(mailboxes),
                actor=cli_actor(),
                now_ms=_now_ms(),
            ),
        )
        hub.poke()
        _done(hub, facility, f"{facility} is described; connected nodes hear of it.", as_json=as_json)


def _done(hub: OpenedHub, facility: str, text: str, *, as_json: bool) -> None:
    """Tell what was done, or print the facility as it is now."""
    value = _value(read(hub.engine, lambda c: service.one(c, facility))) if as_json else None
    done(value, text, as_json=as_json)


def facilities(home: Path, as_json: bool) -> None:
    """Do ``wasl-hub facilities``."""
    with opened_hub(home) as hub:
        found = read(hub.engine, service.listing)
    facts([_value(one) for one in found], as_json=as_json, text=lambda: _told(found))


def _value(one: Facility) -> dict[str, Any]:
    return {
        "facility": one.facility,
        "title": one.title,
        "kind": one.kind or None,
        "wilaya": one.wilaya or None,
        "mailboxes": [box.name for box in one.mailboxes],
        "departments": [
            {"mailbox": box.name, "title": box.title, "specialty": box.specialty} for box in one.mailboxes
        ],
        "state": str(one.state),
        "connected": one.connected,
        "seen": None if one.seen_ms is None else moment(one.seen_ms),
        "software": one.software or None,
        "keys": None
        if one.keys is None
        else {
            "serial": one.keys.serial,
            "fingerprint": {"words": in_words(one.keys.fingerprint), "hex": in_hex(one.keys.fingerprint)},
            "issued": moment(one.keys.issued_ms) if one.keys.issued_ms else None,
            "expires": moment(one.keys.expires_ms),
        },
        "waiting": [_waiting_value(request) for request in one.waiting],
    }


def _waiting_value(request: Request) -> dict[str, Any]:
    return {
        "for": "signature" if request.approved_by else "approval",
        "fingerprint": {"words": in_words(request.fingerprint), "hex": in_hex(request.fingerprint)},
        "asked": moment(request.asked_ms),
        "invited_by": request.invited_by or None,
        "approved_by": request.approved_by or None,
        "renewal": bool(request.proof),
    }


def _told(found: list[Facility]) -> str:
    rows = [
        (
            one.facility, one.state, one.kind or "-",
            f"{one.wilaya:02} {wilaya_name(one.wilaya)}" if one.wilaya else "-",
            "yes" if one.connected else "no", "never" if one.seen_ms is None else moment(one.seen_ms),
            ",".join(box.name for box in one.mailboxes), one.title,
        )
        for one in found
    ]  # fmt: skip
    header = ("facility", "state", "kind", "wilaya", "connected", "seen", "mailboxes", "title")
    lines = [table(rows, header)]
    for one in found:
        for request in one.waiting:
            what = "the authority's signature" if request.approved_by else "an approval"
            lines.append(
                plain(f"{one.facility}: keys {in_words(request.fingerprint)} wait for {what}"
                      f" since {moment(request.asked_ms)}")
            )  # fmt: skip
    return "\n".join(lines)


def approve(facility: str, home: Path, fingerprint: str | None, as_json: bool) -> None:
    """Do ``wasl-hub approve``."""
    with opened_hub(home) as hub:
        issuer = hub.issuer
        said = fingerprint or _ask(read(hub.engine, lambda c: service.one(c, facility)))
        found = transact(
            hub.engine,
            lambda connection: service.approve(
                connection, issuer, facility, fingerprint=said, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
    text = f"{facility} is {found.state}; its node goes on within seconds."
    if found.waiting:
        text = f"{facility} is approved; its keys wait for the authority's signature."
    done(_value(found), text, as_json=as_json)


def reject(facility: str, home: Path, fingerprint: str | None, reason: str, as_json: bool) -> None:
    """Do ``wasl-hub reject``."""
    _said(reason)
    with opened_hub(home) as hub:
        said = fingerprint or _ask(read(hub.engine, lambda c: service.one(c, facility)))
        transact(
            hub.engine,
            lambda connection: service.reject(
                connection, facility, fingerprint=said, reason=reason, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
        text = f"{facility}: those keys are refused. Its node needs a new code and an empty home."
        _done(hub, facility, text, as_json=as_json)


def _said(reason: str) -> None:
    """End the command unless somebody said why, as the console and its API do."""
    try:
        check_reason(reason)
    except AdminRefused as error:
        fail(f"--reason: {error}", EXIT_USAGE)


def _ask(found: Facility) -> str:
    """Show what waits and have the person type what the facility reads out."""
    pending = [request for request in found.waiting if not request.approved_by]
    if not pending:
        fail(f"no keys of {found.facility!r} wait for an approval")
    if not sys.stdin.isatty():
        fail(
            "without a terminal give --fingerprint: the words that the facility reads out from its screen",
            EXIT_USAGE,
        )
    say(f"Keys that wait for {found.facility}:")
    for request in pending:
        say(f"  {in_words(request.fingerprint)}\n  {in_hex(request.fingerprint)}")
    say("Call the facility by a number that you knew before, and have its words read out.")
    return str(click.prompt("The words as the facility reads them", err=True))


def suspend(facility: str, home: Path, reason: str, as_json: bool) -> None:
    """Do ``wasl-hub suspend``."""
    with opened_hub(home) as hub:
        transact(
            hub.engine,
            lambda connection: service.suspend(
                connection, facility, reason=reason, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
        _done(hub, facility, f"{facility} is suspended.", as_json=as_json)


def resume(facility: str, home: Path, as_json: bool) -> None:
    """Do ``wasl-hub resume``."""
    with opened_hub(home) as hub:
        transact(
            hub.engine,
            lambda connection: service.resume(connection, facility, actor=cli_actor(), now_ms=_now_ms()),
        )
        hub.poke()
        _done(hub, facility, f"{facility} is active again.", as_json=as_json)


def revoke(facility: str, home: Path, reason: str, as_json: bool) -> None:
    """Do ``wasl-hub revoke``."""
    _said(reason)
    with opened_hub(home) as hub:
        issuer = hub.issuer
        serial = transact(
            hub.engine,
            lambda connection: service.revoke(
                connection, issuer, facility, reason=reason, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
    text = f"{facility}: every credential up to serial {serial} is revoked."
    done({"facility": facility, "serial": serial}, text, as_json=as_json)


def group(name: str, members: tuple[str, ...], home: Path, title: str, as_json: bool) -> None:
    """Do ``wasl-hub group``."""
    with opened_hub(home) as hub:
        issuer = hub.issuer
        transact(
            hub.engine,
            lambda connection: service.group(
                connection, issuer, name, title=title, members=members, actor=cli_actor(), now_ms=_now_ms()
            ),
        )
        hub.poke()
    value = {"group": f"{name}@group", "members": list(members)}
    done(value, f"{name}@group has {len(members)} members.", as_json=as_json)
