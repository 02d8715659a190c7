"""What codes are called, in the reader's language: roles, kinds of message, states, reasons."""

from __future__ import annotations

from typing import Final

from flask_babel import gettext
from flask_babel import lazy_gettext as _

from nodes.desk import heavy
from nodes.desk.roles import Role
from nodes.desk.sent.lateness import Why
from protocols.hl7 import catalogue
from protocols.link.envelope import FILE_KIND, State
from runtime.web import languages

ROLES: Final = {
    Role.CLINICIAN: _("Clinician"),
    Role.NURSE: _("Nurse"),
    Role.LABORATORY: _("Laboratory"),
    Role.PHARMACY: _("Pharmacy"),
    Role.SECRETARY: _("Secretary"),
    Role.ADMINISTRATOR: _("Administrator of the facility"),
}


STATES: Final = {
    State.QUEUED: ("info", _("Waits in this facility")),
    State.ACCEPTED: ("info", _("Taken by the hub")),
    State.DELAYED: ("warn", _("Late")),
    State.DELIVERED: ("info", _("Delivered")),
    State.PROCESSED: ("ok", _("Opened")),
    State.REFUSED: ("bad", _("Refused")),
    State.RETURNED: ("bad", _("Came back")),
}
FOLLOWING: Final = {
    State.QUEUED: _("Goes to the hub"),
    State.ACCEPTED: _("Goes to the recipient’s facility"),
    State.DELAYED: _("Goes to the recipient’s facility"),
    State.DELIVERED: _("Waits for somebody there to open it"),
}
LATE: Final = {
    Why.NODE_STOPPED: _("This facility’s node is not running. Waits for %(span)s."),
    Why.NODE_REFUSED: _("The hub does not let this facility’s node in. Waits for %(span)s."),
    Why.NODE_OFFLINE: _("This facility’s node has no connection to the hub. Waits for %(span)s."),
    Why.LEAVING: _("Its attachments are on the way to the hub. Waits for %(span)s."),
    Why.NOT_TAKEN: _("The recipient’s facility has not taken it for %(span)s."),
    Why.RECIPIENT_OFFLINE: _("The recipient’s facility is offline, as the hub said %(span)s ago."),
    Why.RECIPIENT_SLOW: _(
        "The recipient’s facility is connected and does not take it, as the hub said %(span)s ago."
    ),
    Why.IN_DOUBT: _("The recipient’s facility went offline while it took it, as the hub said %(span)s ago."),
    Why.UNOPENED: _("Nobody has opened it there for %(span)s."),
}
REASONS: Final = {
    "unknown-facility": _("There is no such facility."),
    "unknown-mailbox": _("The facility has no such department."),
    "facility-inactive": _("The facility takes no part now."),
    "not-allowed": _("The network’s policy does not allow it."),
    "expired": _("Its time was over before it could be delivered."),
    "damaged-in-store": _("An attachment was damaged at the hub: send it again."),
    "given-up": _("The hub gave it up: by its administrator, or long after a restore."),
    "returned-before": _("It had come back before."),
    "recipient-offline": _("The recipient’s facility is offline."),
    "recipient-slow": _("The recipient’s facility does not take it."),
    "in-doubt": _("The recipient’s facility may have it."),
    "recalled": _("It was taken back before it left."),
    "AE": _("The hospital system there refused it."),
    "CE": _("The hospital system there refused it."),
    "refused": _("A program there refused it."),
    "not-for-mllp": _("The hospital system there cannot take such a message."),
    "wrong-key": _("It was sealed for a key that the recipient no longer has: send it again."),
    "damaged": _("This node’s disk has spoiled it: send it again."),
    "file-lost": _("This node’s disk has spoiled it: send it again."),
}
REFUSALS: Final = {
    "not-your-kind": _("Your role does not send this kind of message: ask a colleague who may."),
    "not-first": _("Orders and results are opened first by somebody who treats: ask a colleague."),
    "led-here": _("Another page led here, so the message was not opened: open it from this list."),
    "too-late": _("It may have left this facility already, and nothing takes it back from there."),
    "not-kept": _("This node does not have its files any more."),
    "no-such-copy": _("This is no recipient of the message."),
    heavy.CODE: heavy.SAID,
    "no-room": _("The disk of this node is too full to take it."),
    "unknown-mailbox": _("The facility has no such department."),
    "facility-inactive": _("The facility takes no part now."),
}


def state_of(state: State, *, answered: bool) -> tuple[str, str]:
    """Return the kind of tag and the words for where a copy is."""
    if answered and state in (State.DELIVERED, State.PROCESSED):
        return "ok", str(gettext("Answered"))
    kind, text = STATES[state]
    return kind, str(text)


def following(state: State) -> str:
    """Return what comes next; empty at an end."""
    return str(FOLLOWING.get(state, ""))


def late(why: Why, waits_ms: int) -> str:
    """Return what is late, and for how long."""
    return str(LATE[why]) % {"span": languages.span(waits_ms / 1000)}


def reason(code: str) -> str:
    """Return what a reason code means; one that this version does not know is shown as it is."""
    return str(REASONS.get(code, code))


def refusal(code: str) -> str:
    """Return why something is not done."""
    return str(REFUSALS.get(code) or gettext("This was refused (%(code)s).", code=code))


def role(code: str) -> str:
    """Return what a role is called."""
    return str(ROLES[Role(code)]) if code in {str(one) for one in Role} else code


def kind(code: str) -> str:
    """Return what a kind of message is called; one that nobody knows is shown as it is."""
    if code == FILE_KIND:
        return str(gettext("Files"))
    return catalogue.title_of(code, languages.language())


def kinds(codes: list[str]) -> list[tuple[str, str]]:
    """Return kinds with what they are called, by that, for a list to choose from."""
    return sorted(((code, kind(code)) for code in codes), key=lambda one: one[1])
