"""Nodes that a restored hub has forgotten: who they are, compared as at their admission, and let in again."""

from __future__ import annotations

from typing import Any, Final

from flask import redirect, render_template, request

from crypto.fingerprint import in_hex
from crypto.identity import MAX_ID_CHARS
from hub.admin import facilities, readmission
from hub.admin.console.context import Console, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.errors import NotThere
from hub.admin.facilities import NotApproved, TooManyMailboxes
from hub.directory import knocks
from hub.directory.knocks import Knock
from hub.directory.service import DirectoryError, check_mailbox
from hub.home import HubHomeError
from protocols.link import limits

FINGERPRINT_CHARS: Final = 64
MAILBOXES_CHARS: Final = limits.MAILBOXES * (MAX_ID_CHARS + len("\r\n"))


def decide(console: Console, name: str) -> str:
    """Show the keys of a node that knocks, to be compared."""
    return _decide(console, name, request.args.get("key", ""), ())


def _decide(console: Console, name: str, key: str, wrong: Errors, mailboxes: str = "") -> str:
    key = key[:FINGERPRINT_CHARS].lower()
    found, known = console.read(
        lambda c: (knocks.waiting(c, name), {one.facility: one for one in facilities.listing(c)}.get(name))
    )
    knock = next((one for one in found if readmission.fingerprint_of(one).hex() == key), None)
    if knock is None and not wrong:
        raise NotThere("no-such-keys", f"no such keys of {name!r} wait to be let in again")
    return render_template(
        "readmission.html", name=name, key=key, knock=knock, known=known, errors=wrong, mailboxes=mailboxes,
        words=_words(knock), digits="" if knock is None else in_hex(readmission.fingerprint_of(knock)),
    )  # fmt: skip


def _words(knock: Knock | None) -> list[str]:
    return [] if knock is None else readmission.words_of(knock).split()


def approve(console: Console, name: str) -> Any:
    """Let a node in again whose keys were compared."""
    key, who, now_ms = request.form.get("key", ""), visitor(), console.clock.now_ms()
    boxes = tuple(dict.fromkeys(request.form.get("mailboxes", "").split()))
    text = "\n".join(boxes)[:MAILBOXES_CHARS]
    if request.form.get("compared") != "1":
        return _decide(console, name, key, errors("not-compared"), text), REFUSED
    try:
        for box in boxes:
            check_mailbox(box)
    except DirectoryError:
        return _decide(console, name, key, errors("bad-mailbox"), text), REFUSED
    try:
        issuer = console.issuer()
        console.change(
            lambda c: readmission.readmit(
                c, issuer, name, mailboxes=boxes, fingerprint=key, actor=who.actor, now_ms=now_ms
            )
        )
    except HubHomeError:
        return _decide(console, name, key, errors("no-public-keys"), text), REFUSED
    except NotApproved as error:
        return _decide(console, name, key, errors(error.code), text), REFUSED
    except TooManyMailboxes:
        return _decide(console, name, key, errors("too-many-mailboxes"), text), REFUSED
    except DirectoryError as error:
        raise NotThere("no-such-facility", str(error)) from error
    return redirect(f"/network/{name}", 303)
