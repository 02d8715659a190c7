"""Admission: whom to let in, whose keys wait, what a facility is called, and putting it out for good.

The console has no private key. It makes invitations from the hub's public keys, and notes approvals and
revocations; the daemon signs, or the authority elsewhere does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask import redirect, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Connection

from crypto.fingerprint import in_hex, in_words
from hub.admin import facilities, network, readmission, users
from hub.admin.console.context import Console, reason, visitor
from hub.admin.console.refusals import REFUSED, Errors, errors
from hub.admin.console.views import number_in
from hub.admin.errors import NotThere
from hub.admin.facilities import FacilityState, NotApproved
from hub.directory import knocks, service
from hub.directory.requests import Request
from hub.directory.service import DirectoryError, Issuer
from hub.home import HubHomeError
from protocols.link import limits
from protocols.link.entries import Mailbox
from protocols.link.places import WILAYAS, FacilityKind

HOUR_MS: Final = 3_600_000
VALID: Final = {"24": _("24 hours"), "72": _("3 days"), "168": _("7 days"), "720": _("30 days")}
TEXT_CHARS: Final = 8_000
FINGERPRINT_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in about a facility, as it was typed."""

    facility: str = ""
    title: str = ""
    kind: str = ""
    wilaya: int = 0
    mailboxes: str = ""
    valid: str = "24"

    @classmethod
    def sent(cls) -> Form:
        """Return the form of this request."""
        text = {name: request.form.get(name, "").strip()[:TEXT_CHARS] for name in cls.__slots__}
        return cls(
            text["facility"], text["title"], text["kind"], number_in(text["wilaya"], len(WILAYAS)),
            text["mailboxes"], text["valid"],
        )  # fmt: skip

    @property
    def boxes(self) -> tuple[Mailbox, ...]:
        """The mailboxes: a line each, ``name | specialty | title``."""
        found = []
        for line in self.mailboxes.splitlines():
            name, specialty, title, *_rest = [part.strip() for part in line.split("|")] + ["", ""]
            if name:
                found.append(Mailbox(name, title, specialty))
        return tuple(found)

    def faults(self) -> Errors:
        """Return what is wrong, by field; the service says no to the same."""
        found = []
        if not _fits(service.check_facility, self.facility):
            found.append(("facility", gettext("An id has small letters, digits, dot and hyphen.")))
        if len(self.title) > limits.TITLE_CHARS:
            found.append(("title", gettext("This is too long.")))
        long = [b for b in self.boxes if max(len(b.title), len(b.specialty)) > limits.TITLE_CHARS]
        if long or not all(_fits(service.check_mailbox, box.name) for box in self.boxes):
            found.append(("mailboxes", gettext("A mailbox has small letters, digits, dot and hyphen.")))
        if len({box.name for box in self.boxes}) > limits.MAILBOXES:
            found.append(("mailboxes", gettext("These are too many mailboxes.")))
        if self.valid not in VALID or self.kind not in {"", *map(str, FacilityKind)}:
            found.append(("kind", gettext("Choose one of the list.")))
        return tuple(found)


def _fits(check: Any, name: str) -> bool:
    try:
        check(name)
    except DirectoryError:
        return False
    return True


def waiting(console: Console) -> str:
    """Show whose keys wait, who was invited and has not come, and the form to invite somebody."""
    return _page(console, Form(), ())


def _page(console: Console, form: Form, wrong: Errors) -> str:
    found, forgotten = console.read(lambda c: (facilities.listing(c), knocks.waiting(c)))
    return render_template(
        "admission.html",
        pending=[(one, key) for one in found for key in one.waiting],
        invited=[one for one in found if one.state is FacilityState.INVITED],
        two_person=console.settings.hub.admission == "two-person",
        forgotten=[(one, readmission.fingerprint_of(one)) for one in forgotten],
        form=form, errors=wrong, wilayas=sorted(WILAYAS), valid=VALID, words=_words, in_words=in_words,
    )  # fmt: skip


def _words(key: Request) -> list[str]:
    return in_words(key.fingerprint).split()


def invite(console: Console) -> Any:
    """Make a one-time code, and show it this once."""
    form, who, now_ms = Form.sent(), visitor(), console.clock.now_ms()
    wrong = form.faults()
    issuer = _issuer(console)
    if issuer is None:
        wrong = (*wrong, *errors("no-public-keys"))
    if wrong or issuer is None:
        return _page(console, form, wrong), REFUSED
    try:
        invited = console.change(
            lambda c: facilities.invite(
                c,
                issuer,
                form.facility,
                title=form.title or None,
                kind=FacilityKind(form.kind) if form.kind else None,
                wilaya=form.wilaya or None,
                mailboxes=form.boxes,
                valid_for_ms=int(form.valid) * HOUR_MS,
                actor=who.actor,
                now_ms=now_ms,
            )
        )
    except DirectoryError:  # what the form does not know: more mailboxes than it may have in all
        return _page(console, form, (("mailboxes", gettext("These are too many mailboxes.")),)), REFUSED
    return render_template("invited.html", invited=invited, two_person=issuer.two_person)


def _issuer(console: Console) -> Issuer | None:
    try:
        return console.issuer()
    except HubHomeError:
        return None


def decide(console: Console, name: str) -> str:
    """Show keys that wait for an approval, to be compared."""
    return _decide(console, name, request.args.get("key", ""), ())


def _decide(console: Console, name: str, key: str, wrong: Errors) -> str:
    key, who, now_ms = key[:FINGERPRINT_CHARS].lower(), visitor(), console.clock.now_ms()

    def look(connection: Connection) -> tuple[network.Place, Request | None, int | None]:
        place = network.place(connection, name)
        found = [one for one in place.of.waiting if not one.approved_by and one.fingerprint.hex() == key]
        if not found:
            return place, None, 0
        return place, found[0], users.second_from_ms(connection, found[0].invited_by, who.actor, now_ms)

    place, asked, second_ms = console.read(look)
    if asked is None and not wrong:
        raise NotThere("no-such-keys", f"no such keys of {name!r} wait for an approval")
    return render_template(
        "admission_decide.html", name=name, one=place.of, key=key, asked=asked, errors=wrong,
        words=_words(asked) if asked else [], digits=in_hex(asked.fingerprint) if asked else "",
        second=second_ms,
    )  # fmt: skip


def approve(console: Console, name: str) -> Any:
    """Let keys count that were compared."""
    key, who, now_ms = request.form.get("key", ""), visitor(), console.clock.now_ms()
    issuer = _issuer(console)
    if issuer is None:
        return _decide(console, name, key, errors("no-public-keys")), REFUSED
    if request.form.get("compared") != "1":
        return _decide(console, name, key, errors("not-compared")), REFUSED
    return _settle(
        console, name, key,
        lambda c: facilities.approve(c, issuer, name, fingerprint=key, actor=who.actor, now_ms=now_ms),
    )  # fmt: skip


def reject(console: Console, name: str) -> Any:
    """Turn keys down, for a reason."""
    key, who, now_ms, why = request.form.get("key", ""), visitor(), console.clock.now_ms(), reason()
    if not why or len(why) > facilities.REASON_CHARS:
        return _decide(console, name, key, errors("long-reason" if why else "no-reason")), REFUSED
    return _settle(
        console, name, key,
        lambda c: facilities.reject(c, name, fingerprint=key, reason=why, actor=who.actor, now_ms=now_ms),
    )  # fmt: skip


def _settle(console: Console, name: str, key: str, operation: Any) -> Any:
    try:
        console.change(operation)
    except NotApproved as error:
        return _decide(console, name, key, errors(error.code)), REFUSED
    except DirectoryError as error:
        raise NotThere("no-such-facility", str(error)) from error
    return redirect("/admission", 303)


def describe(console: Console, name: str) -> str:
    """Show what a facility is called, is, and where, to be changed."""
    one = console.read(lambda c: network.place(c, name)).of
    boxes = "\n".join(
        f"{box.name} | {box.specialty} | {box.title if box.title != box.name else ''}".rstrip(" |")
        for box in one.mailboxes
    )
    return _describe(name, Form(name, one.title, one.kind, one.wilaya, boxes), ())


def _describe(name: str, form: Form, wrong: Errors) -> str:
    return render_template("describe.html", name=name, form=form, errors=wrong, wilayas=sorted(WILAYAS))


def described(console: Console, name: str) -> Any:
    """Change what a facility is called, is, where, and its mailboxes."""
    sent, who, now_ms = Form.sent(), visitor(), console.clock.now_ms()
    form = Form(name, sent.title, sent.kind, sent.wilaya, sent.mailboxes)
    console.read(lambda c: network.place(c, name))
    wrong = form.faults()
    if wrong:
        return _describe(name, form, wrong), REFUSED
    try:
        console.change(
            lambda c: facilities.describe(
                c,
                name,
                title=form.title or None,
                kind=FacilityKind(form.kind) if form.kind else None,
                wilaya=form.wilaya or None,
                mailboxes=form.boxes,
                actor=who.actor,
                now_ms=now_ms,
            )
        )
    except DirectoryError:
        return _describe(name, form, (("mailboxes", gettext("These are too many mailboxes.")),)), REFUSED
    return redirect(f"/network/{name}", 303)


def confirm_revoke(console: Console, name: str) -> str:
    """Ask whether a facility's keys are to be revoked for good."""
    return _revoke(console, name, ())


def _revoke(console: Console, name: str, wrong: Errors) -> str:
    place = console.read(lambda c: network.place(c, name))
    return render_template("revoke.html", place=place, name=name, errors=wrong)


def revoke(console: Console, name: str) -> Any:
    """Revoke a facility's keys for good, by whoever typed its name."""
    who, now_ms, why, issuer = visitor(), console.clock.now_ms(), reason(), _issuer(console)
    if request.form.get("name", "").strip() != name:
        return _revoke(console, name, errors("other-name")), REFUSED
    if not why or len(why) > facilities.REASON_CHARS:
        return _revoke(console, name, errors("long-reason" if why else "no-reason")), REFUSED
    if issuer is None:
        return _revoke(console, name, errors("no-public-keys")), REFUSED
    try:
        console.change(
            lambda c: facilities.revoke(c, issuer, name, reason=why, actor=who.actor, now_ms=now_ms)
        )
    except DirectoryError as error:
        raise NotThere("nothing-to-revoke", str(error)) from error
    return redirect(f"/network/{name}", 303)
