"""What codes are called in the reader's language: standings, states, reasons, roles, what needs attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from markupsafe import Markup

from hub.admin.facilities import FacilityState
from hub.admin.overview import Concern, Grade, Matter
from hub.admin.roles import Role
from protocols.link.envelope import State
from protocols.link.places import WILAYAS, FacilityKind
from runtime.web import languages

STANDINGS: Final = {
    FacilityState.INVITED: ("info", _("Invited")),
    FacilityState.PENDING: ("warn", _("To be approved")),
    FacilityState.UNSIGNED: ("warn", _("To be signed")),
    FacilityState.ACTIVE: ("ok", _("Active")),
    FacilityState.SUSPENDED: ("warn", _("Suspended")),
    FacilityState.REVOKED: ("bad", _("Revoked")),
}
KINDS: Final = {
    FacilityKind.CHU: _("University hospital (CHU)"),
    FacilityKind.EHU: _("University hospital establishment (EHU)"),
    FacilityKind.EHS: _("Specialised hospital (EHS)"),
    FacilityKind.EPH: _("Public hospital (EPH)"),
    FacilityKind.EPSP: _("Local public health establishment (EPSP)"),
    FacilityKind.POLYCLINIC: _("Polyclinic"),
    FacilityKind.TREATMENT_ROOM: _("Treatment room"),
    FacilityKind.MINISTRY: _("Ministry"),
    FacilityKind.PHARMACY: _("Pharmacy"),
}
STATES: Final = {
    State.ACCEPTED: ("ok", _("Accepted by the hub")),
    State.DELAYED: ("warn", _("Late: the sender was warned")),
    State.DELIVERED: ("ok", _("Delivered to the node")),
    State.PROCESSED: ("ok", _("Processed by the application")),
    State.REFUSED: ("bad", _("Refused by the application")),
    State.RETURNED: ("bad", _("Returned to the sender")),
}
REASONS: Final = {
    "unknown-facility": _("There is no such facility"),
    "unknown-mailbox": _("The facility has no such mailbox"),
    "facility-inactive": _("The facility takes no part now"),
    "not-allowed": _("The policy does not allow it"),
    "expired": _("Its time was over before it could be delivered"),
    "damaged-in-store": _("It was damaged on the hub's disk"),
    "given-up": _(
        "It was given up, by an administrator or long after the hub was restored; it may be delivered"
    ),
    "returned-before": _("It had come back to its sender before"),
    "recipient-offline": _("The recipient's node is not connected"),
    "recipient-slow": _("The recipient's node does not take it"),
    "in-doubt": _("It may have been delivered: the recipient's node has to say"),
    "wrong-key": _("It was sealed for a key that the recipient no longer has"),
    "duplicate": _("The recipient has it already"),
}
ROLES: Final = {
    Role.VIEWER: _("Viewer"),
    Role.OPERATOR: _("Operator"),
    Role.ADMINISTRATOR: _("Administrator"),
    Role.AUDITOR: _("Auditor"),
}
ROLE_HINTS: Final = {
    Role.VIEWER: _("sees the network and what became of messages"),
    Role.OPERATOR: _("also returns messages that are never taken"),
    Role.ADMINISTRATOR: _("may do everything"),
    Role.AUDITOR: _("sees all that a viewer sees, and the journal"),
}
SENTENCES: Final = {
    Matter.DAEMON_SILENT: _("The hub's daemon does not answer: no message is taken or delivered."),
    Matter.CHECK_FAILED: _("The hub is not ready: %(check)s (%(text)s)."),
    Matter.KEY_EXPIRED: _("The key of %(facility)s expired %(span)s ago."),
    Matter.KEY_ENDS: _("The key of %(facility)s expires in %(span)s."),
    Matter.FACILITY_SILENT: _(
        "%(facility)s has not been seen for %(span)s. Messages that wait for it: %(count)s."
    ),
    Matter.QUEUE_OLD: _(
        "%(facility)s is connected, but messages have waited for it for %(span)s: %(count)s."
    ),
    Matter.PENDING: _("The keys of %(facility)s wait for an approval: see %(admission)s."),
    Matter.PAUSED: _(
        "The queue of %(facility)s has been paused for %(span)s. Messages that wait: %(count)s."
    ),
    Matter.DISCARD: _("Somebody asks to discard messages, and a second person has to decide: %(discards)s."),
    Matter.KNOCKING: _("Nodes that the backup did not know ask to be let in again: %(knocking)s."),
    Matter.KEYS_CHANGE: _("A change of the network’s keys has been under way for %(span)s: see %(keys)s."),
    Matter.RETURNED: _("Messages returned to their senders in 24 hours: %(count)s."),
}
GRADES: Final = {
    Grade.NOTE: ("info", _("Note")),
    Grade.WARNING: ("warn", _("Warning")),
    Grade.FAULT: ("bad", _("Fault")),
}


def wilaya(number: int) -> str:
    """Return a province's number and name in the reader's language, a dash if it is not known."""
    if number not in WILAYAS:
        return "–"
    names = WILAYAS[number]
    return f"{number} {names.arabic if languages.language() == 'ar' else names.french}"


def kind(code: str) -> str:
    """Return what a kind of facility is called; one of a later version is shown as it is."""
    return str(KINDS[FacilityKind(code)]) if code in {str(one) for one in FacilityKind} else code or "–"


def role_word(role: str) -> str:
    """Return what a role is called."""
    return str(ROLES[Role(role)]) if role in {str(one) for one in Role} else role


def reason(code: str) -> str:
    """Return what a reason code means; one of another node's is shown as it is."""
    return str(REASONS[code]) if code in REASONS else code


def concern(one: Concern, now_ms: int) -> Markup:
    """Return one thing that needs attention as a sentence, with a link to where it is."""
    name = Markup('<a href="/network/{}"><bdi class="id">{}</bdi></a>').format(one.subject, one.subject)
    values = {
        "facility": name,
        "check": one.subject,
        "text": one.text,
        "span": languages.span(abs(now_ms - one.at_ms) / 1000),
        "count": languages.number(one.count),
        "admission": Markup('<a href="/admission">{}</a>').format(gettext("Admission")),
        "knocking": Markup('<a href="/admission#forgotten">{}</a>').format(languages.number(one.count)),
        "keys": Markup('<a href="/keys">{}</a>').format(gettext("Keys of the network")),
        "discards": Markup('<a href="/discards">{}</a>').format(languages.number(one.count)),
    }
    return Markup(str(SENTENCES[one.matter])) % values  # noqa: S704 - our own words; the values are escaped


def choices(named: Mapping[Any, Any], part: int | None = None) -> list[tuple[str, str]]:
    """Return codes with their words, for a list to choose from; ``part`` of the word if it has several."""
    return [(str(code), str(word if part is None else word[part])) for code, word in named.items()]
