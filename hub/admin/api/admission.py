"""Facilities let in and put out: inviting, describing, approving keys, suspending, revoking.

The console has no keys. What it approves is signed by the hub's daemon when the node asks again, within
seconds; a revocation holds at the hub at once, and its signed word follows within seconds.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from config.fields import UnfitError, parse_duration
from hub.admin import facilities, network
from hub.admin.api.network import Facility, facility
from hub.admin.api.routes import Ask, Operation, change
from hub.admin.api.shapes import FacilityId, Reason, Reasoned, Time, time
from hub.admin.holds import check_reason
from hub.admin.roles import Permission
from protocols.link import limits
from protocols.link.entries import Mailbox
from protocols.link.places import WILAYAS, FacilityKind
from runtime.web.problems import ApiError

Title = Annotated[str, Meta(min_length=1, max_length=limits.TITLE_CHARS)]
Part = Annotated[str, Meta(max_length=limits.TITLE_CHARS)]
Wilaya = Annotated[int, Meta(ge=1, le=len(WILAYAS))]
Words = Annotated[
    str, Meta(min_length=1, max_length=200, description="as the facility reads it out: words, or hexadecimal")
]


class NewBox(Struct, frozen=True, forbid_unknown_fields=True):
    """A mailbox to add, or to describe if it is there."""

    name: FacilityId
    title: Part = ""
    specialty: Part = ""


Boxes = Annotated[list[NewBox], Meta(max_length=limits.MAILBOXES)]


class Described(Struct, frozen=True, forbid_unknown_fields=True):
    """What a facility is; what is left out stays as it is."""

    title: Title | None = None
    kind: FacilityKind | None = None
    wilaya: Wilaya | None = None
    mailboxes: Boxes = []


class Invitation(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite, and for how long the code works."""

    title: Title | None = None
    kind: FacilityKind | None = None
    wilaya: Wilaya | None = None
    mailboxes: Boxes = []
    valid_for: Annotated[str, Meta(max_length=40, description="as in 24h or 7d")] = "24h"


class Invited(Struct, frozen=True):
    """The one-time code, a secret; ``joined_before``: it is for another home in place of the first."""

    facility: str
    code: str
    expires: Time
    joined_before: bool


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """The fingerprint of the keys."""

    fingerprint: Words


class Rejection(Struct, frozen=True, forbid_unknown_fields=True):
    """The fingerprint of the keys, and why they are turned down."""

    fingerprint: Words
    reason: Reason = ""


class Revoked(Struct, frozen=True):
    """Up to which serial a facility's credentials are revoked."""

    facility: str
    serial: int


def duration_ms(text: str) -> int:
    """Return a duration in milliseconds; ApiError (422)."""
    try:
        return int(parse_duration(text) * 1000)
    except (UnfitError, OverflowError) as fault:
        raise ApiError(422, "bad-duration", f"{text[:40]!r} {fault}") from None


def _boxes(found: list[NewBox]) -> tuple[Mailbox, ...]:
    return tuple(Mailbox(box.name, box.title, box.specialty) for box in found)


def _shown(ask: Ask, connection: Connection) -> Facility:
    return facility(network.place(connection, ask.path["facility"]))


def invite(ask: Ask) -> Operation:
    """Invite a facility."""
    wanted: Invitation = ask.body
    issuer, valid_for_ms = ask.console.issuer(), duration_ms(wanted.valid_for)

    def operation(connection: Connection) -> Invited:
        made = facilities.invite(
            connection, issuer, ask.path["facility"], title=wanted.title, kind=wanted.kind,
            wilaya=wanted.wilaya, mailboxes=_boxes(wanted.mailboxes), valid_for_ms=valid_for_ms,
            actor=ask.actor, now_ms=ask.now_ms,
        )  # fmt: skip
        return Invited(made.facility, made.code, time(made.expires_ms), made.joined_before)

    return operation


def describe(ask: Ask) -> Operation:
    """Describe a facility."""
    wanted: Described = ask.body

    def operation(connection: Connection) -> Facility:
        facilities.describe(
            connection, ask.path["facility"], title=wanted.title, kind=wanted.kind, wilaya=wanted.wilaya,
            mailboxes=_boxes(wanted.mailboxes), actor=ask.actor, now_ms=ask.now_ms,
        )  # fmt: skip
        return _shown(ask, connection)

    return operation


def approve(ask: Ask) -> Operation:
    """Let pending keys count."""
    issuer = ask.console.issuer()

    def operation(connection: Connection) -> Facility:
        name, words = ask.path["facility"], ask.body.fingerprint
        facilities.approve(connection, issuer, name, fingerprint=words, actor=ask.actor, now_ms=ask.now_ms)
        return _shown(ask, connection)

    return operation


def reject(ask: Ask) -> Operation:
    """Turn pending keys down."""
    check_reason(ask.body.reason)

    def operation(connection: Connection) -> Facility:
        facilities.reject(
            connection, ask.path["facility"], fingerprint=ask.body.fingerprint, reason=ask.body.reason,
            actor=ask.actor, now_ms=ask.now_ms,
        )  # fmt: skip
        return _shown(ask, connection)

    return operation


def suspend(ask: Ask) -> Operation:
    """Take a facility out of traffic."""

    def operation(connection: Connection) -> Facility:
        facilities.suspend(
            connection, ask.path["facility"], reason=ask.body.reason, actor=ask.actor, now_ms=ask.now_ms
        )
        return _shown(ask, connection)

    return operation


def resume(ask: Ask) -> Operation:
    """Let a facility back."""

    def operation(connection: Connection) -> Facility:
        facilities.resume(connection, ask.path["facility"], actor=ask.actor, now_ms=ask.now_ms)
        return _shown(ask, connection)

    return operation


def revoke(ask: Ask) -> Operation:
    """Revoke a facility's keys for good."""
    check_reason(ask.body.reason)
    issuer = ask.console.issuer()

    def operation(connection: Connection) -> Revoked:
        name = ask.path["facility"]
        serial = facilities.revoke(
            connection, issuer, name, reason=ask.body.reason, actor=ask.actor, now_ms=ask.now_ms
        )
        return Revoked(name, serial)

    return operation


_ONE: Final = "/facilities/{facility}"
_NETWORK: Final = Permission.NETWORK
ROUTES: Final = (
    change(f"{_ONE}/invite", "inviteFacility", "Let a facility in: make its one-time code", _NETWORK,
           invite, Invited, Invitation, status=201),
    change(_ONE, "describeFacility", "Say what a facility is, and add or describe mailboxes", _NETWORK,
           describe, Facility, Described, method="PATCH"),
    change(f"{_ONE}/approve", "approveKeys", "Let keys count after their fingerprint was read out", _NETWORK,
           approve, Facility, Approval),
    change(f"{_ONE}/reject", "rejectKeys", "Turn down keys; the code that brought them works no more",
           _NETWORK, reject, Facility, Rejection),
    change(f"{_ONE}/suspend", "suspendFacility", "Take a facility out of traffic; what waits stays", _NETWORK,
           suspend, Facility, Reasoned),
    change(f"{_ONE}/resume", "resumeFacility", "Let a suspended facility back", _NETWORK, resume, Facility),
    change(f"{_ONE}/revoke", "revokeFacility", "Revoke a facility's keys for good", _NETWORK,
           revoke, Revoked, Reasoned),
)  # fmt: skip
