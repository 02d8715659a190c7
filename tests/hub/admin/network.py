"""A hub's tables filled with a small network that has had a day: what pages and services are tried on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from argon2.profiles import CHEAPEST
from sqlalchemy import Connection, update

from crypto.identity import Credential, issue
from hub.admin import discards, facilities, holds, policy, queues, users
from hub.admin.roles import Role
from hub.directory import service
from hub.directory import store as directory
from hub.directory.knocks import Knock
from hub.routing.route import Reason
from hub.spool import ageing, history, store
from hub.spool.ageing import Presence
from hub.spool.tables import presence
from protocols.link.envelope import State
from protocols.link.joincode import decode_joincode
from protocols.link.places import FacilityKind
from runtime.web.passwords import Passwords
from tests.hub.hubs import AUTHORITY, DAY_MS, ISSUER, NodeKeys, entry, message_id

PASSWORD: Final = "correct horse battery"
HOUR_MS: Final = 3_600_000
PLACES: Final = {
    "chu-oran": ("CHU d’Oran", FacilityKind.CHU, 31),
    "chu-mustapha": ("CHU Mustapha Pacha, Alger", FacilityKind.CHU, 16),
    "ehs-canastel": ("EHS Canastel, مستشفى الأطفال", FacilityKind.EHS, 31),
    "epsp-tindouf": ("EPSP de Tindouf", FacilityKind.EPSP, 37),
    "eph-tizi-ouzou": ("EPH de Tizi Ouzou", FacilityKind.EPH, 15),
    "clinique-sud": ("Clinique du Sud", None, None),
}
DELIVERED, WAITING, RETURNED, REFUSED = (message_id(number) for number in (1, 2, 3, 4))
TWO: Final = replace(ISSUER, two_person=True)
POLICY_ONE: Final = '[policy]\ndefault = "allow"\n'
POLICY_TWO: Final = (
    '[policy]\ndefault = "allow"\n\n[[policy.rule]]\neffect = "allow"\nkind = "ORU^R01"\nto_kind = "chu"\n\n'
    '[[policy.rule]]\neffect = "deny"\nkind = "ORU^R01"\nto = "labo@*"\n'
)
_HASHED: Final[dict[str, str]] = {}


def add_users(connection: Connection, now_ms: int) -> None:
    """Add a user of each role, named like it, with ``PASSWORD``."""
    if not _HASHED:
        _HASHED.update({role: Passwords(CHEAPEST).hash(role, PASSWORD) for role in Role})
    for role, hashed in _HASHED.items():
        users.add(connection, str(role), str(role), hashed, actor="cli:test", now_ms=now_ms)


def make_network(connection: Connection, now_ms: int) -> None:
    """Fill the tables: six facilities, some here, some away; messages of every fate."""
    for number, (name, (title, kind, wilaya)) in enumerate(PLACES.items(), 1):
        directory.put_facility(connection, name, title, ("accueil", "labo"), now_ms - 90 * DAY_MS)
        directory.describe_facility(connection, name, kind=kind, wilaya=wilaya)
        if name == "clinique-sud":
            continue  # invited, and has not joined
        keys = NodeKeys.numbered(number)
        issued_ms = now_ms - {"epsp-tindouf": 718}.get(name, 100) * DAY_MS  # good for two years
        service.certify(connection, ISSUER, name, keys.link.public, keys.signing, keys.sealing, issued_ms)
        ageing.note_presences(
            connection, [Presence(name, connected=True, software="wasl-node/0.1.0")], now_ms, 1
        )
    directory.suspend(connection, "eph-tizi-ouzou", suspended=True)
    away = [
        Presence("epsp-tindouf", connected=False, software="wasl-node/0.1.0"),
        Presence("eph-tizi-ouzou", connected=False, software="wasl-node/0.1.0"),
    ]
    ageing.note_presences(connection, away, now_ms, 1)
    connection.execute(update(presence).where(~presence.c.connected).values(seen_ms=now_ms - 5 * HOUR_MS))
    connection.execute(update(presence).where(presence.c.connected).values(seen_ms=now_ms - 30 * HOUR_MS))
    _messages(connection, now_ms)


def forgotten(facility: str, serial: int, keys: NodeKeys, now_ms: int) -> Knock:
    """Return the knock of a node that a restored hub has forgotten."""
    credential = Credential(
        facility, serial, keys.link.public, keys.signing, keys.sealing, now_ms - DAY_MS, now_ms + 400 * DAY_MS
    )
    return Knock(credential, issue(AUTHORITY, credential), now_ms)


def make_matters(connection: Connection, now_ms: int) -> None:
    """Add what somebody has to decide: keys that wait, a paused queue, a stop, a question, a policy."""
    invited = facilities.invite(
        connection, TWO, "chu-annaba", title="CHU Ibn Rochd, Annaba", kind=FacilityKind.CHU, wilaya=23,
        valid_for_ms=DAY_MS, actor="user:operator", now_ms=now_ms - HOUR_MS,
    )  # fmt: skip
    keys, invitation = NodeKeys.numbered(20), decode_joincode(invited.code).invitation
    service.grant(
        connection, TWO, invitation, keys.link.public, keys.signing, keys.sealing, now_ms - HOUR_MS // 2
    )
    first, second, *_ = [one.seq for one in queues.waiting(connection, "epsp-tindouf")]
    holds.pause(
        connection, "epsp-tindouf", reason="Entretien du nœud, صيانة", actor="user:operator", now_ms=now_ms
    )
    holds.stop(
        connection, "epsp-tindouf", [first], reason="it breaks them", actor="user:operator", now_ms=now_ms
    )
    for reason in ("Doublons d’un essai", "رسائل تجريبية"):
        discards.ask(
            connection, "epsp-tindouf", [first, second], reason=reason, actor="user:operator", now_ms=now_ms
        )
    discards.refuse(connection, 2, actor="user:administrator", now_ms=now_ms)
    for text, note in ((POLICY_ONE, "first"), (POLICY_TWO, "résultats aux hôpitaux seulement")):
        policy.apply(connection, text, note=note, actor="user:administrator", now_ms=now_ms)
    faults = {
        ("epsp-tindouf", "session-failed"): (3, "DatabaseLocked"),
        ("epsp-tindouf", "malformed"): (1, "TAKEN with a NUL in a code"),
    }
    history.note_faults(connection, faults, now_ms - HOUR_MS)


def _messages(connection: Connection, now_ms: int) -> None:
    oran, tindouf, canastel = "labo@chu-oran", "accueil@epsp-tindouf", "accueil@ehs-canastel"
    alger = "labo@chu-mustapha"
    for hour in range(20, 0, -1):
        then_ms = now_ms - hour * HOUR_MS
        batch = [entry(1000 + hour * 20 + n, oran, sender=alger, now_ms=then_ms) for n in range(hour % 7 + 2)]
        taken = store.accept(connection, batch, then_ms)
        _conclude(connection, taken, State.DELIVERED, "", then_ms + 900)
    then_ms = now_ms - 4 * HOUR_MS
    _conclude(
        connection,
        store.accept(connection, [entry(1, oran, sender=alger, now_ms=then_ms)], then_ms),
        State.DELIVERED,
        "",
        then_ms + 840,
    )
    store.add_events(
        connection,
        [store.News(0, "chu-mustapha", DELIVERED, oran, State.PROCESSED, "", then_ms + 61_000, b"")],
    )
    store.accept(connection, [entry(2, tindouf, canastel, sender=oran, now_ms=then_ms, files=2)], then_ms)
    store.add_events(
        connection,
        [
            store.News(
                0, "chu-oran", WAITING, tindouf, State.DELAYED, "recipient-offline", then_ms + HOUR_MS, b""
            )
        ],
    )
    store.accept(
        connection,
        [entry(3, sender=oran, returns=(("nobody@chu-oran", Reason.UNKNOWN_MAILBOX),), now_ms=then_ms)],
        then_ms,
    )
    taken = store.accept(connection, [entry(4, canastel, sender=oran, priority=1, now_ms=then_ms)], then_ms)
    _conclude(connection, taken, State.DELIVERED, "", then_ms + 700)
    store.add_events(
        connection, [store.News(0, "chu-oran", REFUSED, canastel, State.REFUSED, "", then_ms + 9_000, b"")]
    )
    store.accept(
        connection, [entry(5000 + n, tindouf, sender=alger, now_ms=then_ms) for n in range(30)], then_ms
    )


def _conclude(connection: Connection, taken: store.Acceptance, state: State, code: str, at_ms: int) -> None:
    store.conclude(
        connection,
        [
            (
                one.seq,
                store.News(0, one.sender.partition("@")[2], one.id, one.recipient, state, code, at_ms, b""),
            )
            for one in taken.queued
        ],
    )
