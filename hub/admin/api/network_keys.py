"""The network's own keys, and nodes that a restored hub has forgotten.

Two steps of replacing a key change tables alone, and are done here; for the others there is the command and
the machine where it is given (:mod:`hub.admin.network_keys`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection

from crypto.fingerprint import in_hex, in_words
from hub.admin import network, network_keys, readmission
from hub.admin.api import routes
from hub.admin.api.admission import Words
from hub.admin.api.network import Facility, Fingerprint, facility
from hub.admin.api.routes import Ask, Operation, PageQuery, change, look
from hub.admin.api.shapes import FacilityId, Time, time, time_or_none
from hub.admin.network_keys import KeyState
from hub.admin.roles import Permission
from hub.directory import knocks
from hub.directory.knocks import Knock
from hub.home import PublicKeys
from protocols.link import limits

Step = Literal["begin", "sign", "lacking", "announce", "wait", "finish", "tidy", "first"]
LinkKey = Annotated[str, Meta(max_length=64, description="the fingerprint of the key that takes the place")]


class Command(Struct, frozen=True):
    """A line for a terminal, and on which machine."""

    where: Literal["hub", "authority", "node"]
    command: str


class Behind(Struct, frozen=True):
    """An active facility whose node has not followed a change."""

    facility: str
    seen: Time | None


class KeyChange(Struct, frozen=True):
    """A change under way: the key that takes the place of the one before."""

    serial: int
    fingerprint: str
    begun: Time
    signed: bool
    announced: Time | None
    behind: list[Behind]


class NetworkKey(Struct, frozen=True):
    """A key, empty if there is none; ``step`` is the next, ``here``: it is one that this API does."""

    fingerprint: str
    since: Time | None
    step: Step
    here: bool
    commands: list[Command]
    change: KeyChange | None


class NetworkKeys(Struct, frozen=True):
    """The network's own keys."""

    link: NetworkKey
    authority: NetworkKey
    audit: NetworkKey


class WhichKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The change that is meant, by its key."""

    fingerprint: LinkKey


class Forgotten(Struct, frozen=True):
    """A node that knocks with a credential of the authority's which the backup did not know."""

    facility: str
    serial: int
    fingerprint: Fingerprint
    expires: Time
    asked: Time


class ForgottenList(Struct, frozen=True):
    """Such nodes, by facility."""

    items: list[Forgotten]
    next: str | None


class Readmission(Struct, frozen=True, forbid_unknown_fields=True):
    """The fingerprint as the facility reads it out; the mailboxes that the backup did not know."""

    fingerprint: Words
    mailboxes: Annotated[list[FacilityId], Meta(max_length=limits.MAILBOXES)] = []


def _key(one: KeyState) -> NetworkKey:
    row, under_way = one.change, None
    if row is not None:
        behind = [Behind(left.facility, time_or_none(left.seen_ms)) for left in one.behind]
        under_way = KeyChange(
            row.serial, row.fingerprint, time(row.at_ms), bool(row.statement), time_or_none(row.announced_ms),
            behind,
        )  # fmt: skip
    commands = [Command(line.where.value, line.text) for line in one.commands]
    return NetworkKey(
        one.fingerprint, time_or_none(one.since_ms), one.step.value, one.over_web, commands, under_way
    )


def _shown(ask: Ask, connection: Connection, public: PublicKeys) -> NetworkKeys:
    return NetworkKeys(*map(_key, network_keys.look(connection, public, ask.console.home)))


def show_keys(ask: Ask) -> NetworkKeys:
    """Show the keys."""
    public = ask.console.public()
    return ask.read(lambda c: _shown(ask, c, public))


def announce(ask: Ask) -> Operation:
    """Tell nodes of the next link key."""
    issuer, public = ask.console.issuer(), ask.console.public()

    def operation(connection: Connection) -> NetworkKeys:
        network_keys.announce(
            connection, issuer, public, ask.body.fingerprint, actor=ask.actor, now_ms=ask.now_ms
        )
        return _shown(ask, connection, public)

    return operation


def finish(ask: Ask) -> Operation:
    """Let the link key before count no more."""
    issuer, public = ask.console.issuer(), ask.console.public()

    def operation(connection: Connection) -> NetworkKeys:
        network_keys.finish(
            connection, issuer, public, ask.body.fingerprint, actor=ask.actor, now_ms=ask.now_ms
        )
        return _shown(ask, connection, public)

    return operation


def list_forgotten(ask: Ask) -> ForgottenList:
    """List nodes that a restored hub has forgotten."""
    query: PageQuery = ask.query
    after = routes.after(query, "forgotten")
    found = sorted(filter(lambda one: _place(one) > after, ask.read(knocks.waiting)), key=_place)
    rows, cursor = routes.page(query, "forgotten", found, _place)
    return ForgottenList([_forgotten(one) for one in rows], cursor)


def _place(knock: Knock) -> str:
    """Return where a knock stands in the list."""
    return f"{knock.credential.facility} {bytes(knock.credential.link_key).hex()}"


def _forgotten(knock: Knock) -> Forgotten:
    credential, raw = knock.credential, readmission.fingerprint_of(knock)
    return Forgotten(
        credential.facility, credential.serial, Fingerprint(in_words(raw), in_hex(raw)),
        time(credential.not_after_ms), time(knock.seen_ms),
    )  # fmt: skip


def readmit(ask: Ask) -> Operation:
    """Let a node in again."""
    issuer, wanted = ask.console.issuer(), ask.body

    def operation(connection: Connection) -> Facility:
        name = ask.path["facility"]
        readmission.readmit(
            connection, issuer, name, mailboxes=tuple(wanted.mailboxes), fingerprint=wanted.fingerprint,
            actor=ask.actor, now_ms=ask.now_ms,
        )  # fmt: skip
        return facility(network.place(connection, name))

    return operation


_NETWORK: Final = Permission.NETWORK
ROUTES: Final = (
    look("/keys", "showKeys", "The network's own keys, what is under way, and the next step", Permission.SEE,
         show_keys, NetworkKeys),
    change("/keys/link/announce", "announceLinkKey", "Tell nodes of the hub's next link key", _NETWORK,
           announce, NetworkKeys, WhichKey),
    change("/keys/link/finish", "finishLinkKey", "Let the link key before count no more; all have followed",
           _NETWORK, finish, NetworkKeys, WhichKey),
    look("/forgotten", "listForgotten", "Nodes that knock and that a restored hub has forgotten", _NETWORK,
         list_forgotten, ForgottenList, query=PageQuery),
    change("/facilities/{facility}/readmit", "readmitFacility",
           "Let a forgotten node in again after its fingerprint was read out", _NETWORK, readmit, Facility,
           Readmission),
)  # fmt: skip
