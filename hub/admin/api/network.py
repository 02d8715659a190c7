"""Looking at the network: the hub's health, what needs attention, and facilities."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from crypto.fingerprint import in_hex, in_words
from hub.admin import network, overview, rates
from hub.admin.api import routes
from hub.admin.api.routes import LISTED, Ask, Cursor, Limit, look
from hub.admin.api.shapes import Time, time, time_or_none
from hub.admin.facilities import Keys
from hub.admin.network import Place, Sought
from hub.admin.overview import HOURS_SHOWN
from hub.admin.rates import Bar
from hub.admin.roles import Permission
from hub.directory.requests import Request
from hub.spool.holds import Pause
from protocols.link.places import WILAYAS

QUERY_CHARS: Final = 100
GRADES: Final = ("note", "warning", "fault")
Standing = Literal["invited", "pending", "unsigned", "active", "suspended", "revoked"]


class Check(Struct, frozen=True):
    """One thing that the hub's daemon looked at."""

    name: str
    ok: bool
    text: str


class Health(Struct, frozen=True):
    """What the hub's daemon says of itself. ``answers``: it is there. ``ready``: it takes messages."""

    answers: bool
    ready: bool
    checks: list[Check]


class Hour(Struct, frozen=True, rename={"since": "from"}):
    """Messages accepted in one hour."""

    since: Time
    messages: int


class Concern(Struct, frozen=True):
    """Something that needs somebody; which fields mean what depends on ``matter``."""

    grade: Literal["note", "warning", "fault"]
    matter: str
    subject: str
    at: Time | None
    count: int
    text: str


class Overview(Struct, frozen=True):
    """How the network is; ``attention`` begins with the gravest."""

    at: Time
    facilities: int
    active: int
    connected: int
    queued: int
    oldest: Time | None
    accepted_in_five_minutes: int
    returned_in_a_day: int
    hours: list[Hour]
    attention: list[Concern]


class Fingerprint(Struct, frozen=True):
    """What two people compare."""

    words: str
    hex: str


class KeysInUse(Struct, frozen=True):
    """A facility's present keys."""

    serial: int
    fingerprint: Fingerprint
    issued: Time | None
    expires: Time


class KeysWaiting(Struct, frozen=True, rename={"waits_for": "for"}):
    """Keys that do not count yet."""

    waits_for: Literal["approval", "signature"]
    fingerprint: Fingerprint
    asked: Time
    invited_by: str
    approved_by: str
    renewal: bool


class Box(Struct, frozen=True):
    """A mailbox of a facility."""

    name: str
    title: str
    specialty: str


class Paused(Struct, frozen=True):
    """A queue that is paused. ``held``: the facility's node gets nothing any more."""

    since: Time
    by: str
    reason: str
    held: bool


class Session(Struct, frozen=True, rename={"began": "from", "ended": "until"}):
    """A past session of a facility's node; ``until`` is null while it lasts."""

    began: Time
    ended: Time | None
    software: str
    reason: str


class LinkFault(Struct, frozen=True):
    """What went wrong on a facility's link ``times`` times; ``text`` is of the last time."""

    code: str
    text: str
    times: int
    first: Time
    last: Time


class Facility(Struct, frozen=True):
    """A facility and its queue. ``kind`` may be empty, ``wilaya`` is 0 if it is not known."""

    facility: str
    title: str
    kind: str
    wilaya: int
    state: Standing
    connected: bool
    seen: Time | None
    software: str
    created: Time
    mailboxes: list[Box]
    keys: KeysInUse | None
    waiting_keys: list[KeysWaiting]
    queued: int
    queued_bytes: int | None
    oldest: Time | None
    paused: Paused | None


class FacilityList(Struct, frozen=True):
    """Facilities, by id."""

    items: list[Facility]
    next: str | None


class FacilityView(Struct, frozen=True):
    """One facility: ``sent`` by the hour, how many copies from it wait for others, and its link's past."""

    facility: Facility
    sent: list[Hour]
    waiting_for_others: int
    sessions: list[Session]
    faults: list[LinkFault]


class FacilityQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which facilities; ``connected`` and ``away`` are active ones that are here, or not."""

    text: Annotated[str, Meta(max_length=QUERY_CHARS, description="part of an id or a title")] = ""
    state: Standing | Literal["connected", "away"] | None = None
    kind: Annotated[str, Meta(max_length=QUERY_CHARS)] = ""
    wilaya: Annotated[int, Meta(ge=0, le=len(WILAYAS))] = 0
    limit: Limit = LISTED
    cursor: Cursor | None = None


def facility(place: Place) -> Facility:
    """Return a facility as the API shows it."""
    one = place.of
    return Facility(
        facility=one.facility, title=one.title, kind=one.kind, wilaya=one.wilaya, state=one.state.value,
        connected=one.connected, seen=time_or_none(one.seen_ms), software=one.software,
        created=time(one.created_ms),
        mailboxes=[Box(box.name, box.title, box.specialty) for box in one.mailboxes],
        keys=None if one.keys is None else _keys(one.keys),
        waiting_keys=[_waiting(request) for request in one.waiting],
        queued=place.queued, queued_bytes=place.queued_bytes, oldest=time_or_none(place.oldest_ms),
        paused=paused(place.paused),
    )  # fmt: skip


def paused(pause: Pause | None) -> Paused | None:
    """Return a pause as the API shows it, if there is one."""
    return None if pause is None else Paused(time(pause.since_ms), pause.actor, pause.reason, pause.held)


def _keys(keys: Keys) -> KeysInUse:
    issued, expires = time_or_none(keys.issued_ms), time(keys.expires_ms)
    return KeysInUse(keys.serial, _fingerprint(keys.fingerprint), issued, expires)


def _waiting(request: Request) -> KeysWaiting:
    return KeysWaiting(
        "signature" if request.approved_by else "approval", _fingerprint(request.fingerprint),
        time(request.asked_ms), request.invited_by, request.approved_by, bool(request.proof),
    )  # fmt: skip


def _fingerprint(raw: bytes) -> Fingerprint:
    return Fingerprint(in_words(raw), in_hex(raw))


def _hours(bars: list[Bar] | tuple[Bar, ...]) -> list[Hour]:
    return [Hour(time(one.from_ms), one.messages) for one in bars]


def show_health(ask: Ask) -> Health:
    """Ask the daemon."""
    found = ask.console.health()
    return Health(found.answers, found.ready, [Check(one.name, one.ok, one.text) for one in found.checks])


def show_overview(ask: Ask) -> Overview:
    """Gather and judge."""
    seen, health = ask.read(lambda c: overview.look(c, ask.now_ms)), ask.console.health()
    concerns = [
        Concern(GRADES[one.grade], str(one.matter), one.subject, time_or_none(one.at_ms), one.count, one.text)
        for one in overview.attention(seen, health)
    ]
    return Overview(
        time(seen.now_ms), len(seen.places), seen.active, seen.connected, seen.queued,
        time_or_none(seen.oldest_ms), seen.last_five_minutes, seen.returned_today, _hours(seen.hours),
        concerns,
    )  # fmt: skip


def list_facilities(ask: Ask) -> FacilityList:
    """Search facilities."""
    query: FacilityQuery = ask.query
    after = routes.after(query, "facilities")
    sought = Sought(query.text, query.state or "", query.kind, query.wilaya)
    found = [one for one in network.matching(ask.read(network.places), sought) if one.of.facility > after]
    rows, cursor = routes.page(query, "facilities", found, lambda one: one.of.facility)
    return FacilityList([facility(one) for one in rows], cursor)


def show_facility(ask: Ask) -> FacilityView:
    """Show one facility."""
    name = ask.path["facility"]
    place, hours, out, link = ask.read(
        lambda c: (
            network.place(c, name),
            rates.hourly_of(c, name, HOURS_SHOWN, ask.now_ms),
            network.waiting_from(c, name),
            network.link(c, name),
        )
    )
    sessions = [
        Session(time(one.began_ms), time_or_none(one.ended_ms), one.software, one.reason)
        for one in link.sessions
    ]
    faults = [
        LinkFault(one.code, one.text, one.times, time(one.first_ms), time(one.last_ms)) for one in link.faults
    ]
    return FacilityView(facility(place), _hours(hours), out, sessions, faults)


ROUTES: Final = (
    look("/health", "showHealth", "What the hub's daemon says of itself", Permission.SEE, show_health,
         Health),
    look("/overview", "showOverview", "How the network is, and what needs attention", Permission.SEE,
         show_overview, Overview),
    look("/facilities", "listFacilities", "Facilities with their queues, by id", Permission.SEE,
         list_facilities, FacilityList, query=FacilityQuery),
    look("/facilities/{facility}", "showFacility", "One facility", Permission.SEE,
         show_facility, FacilityView, missing=True),
)  # fmt: skip
