"""Facilities: who they are, and the steps of their admission.

    invited ──join──▶ pending ──approve──▶ active ⇄ suspended
                 └──(admission = "code")──▶ active ──revoke──▶ revoked ──invite──▶ …

A facility begins when it is invited. Its node brings keys with the one-time code; with ``admission =
"two-person"`` they are *pending* until somebody who did not make the code has compared their fingerprint,
read out at the facility (``wasl-node join`` shows it), and approved. If the authority's key lives elsewhere,
they are then *unsigned* until its signature has come. Suspension and revocation take effect when the daemon
is poked, and within two seconds otherwise: the facility's session ends, no other does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from crypto import identity as statements
from crypto.fingerprint import in_words, is_written, node_fingerprint
from hub.admin import users
from hub.audit import journal
from hub.audit.journal import Act
from hub.directory import requests, service, store
from hub.directory.requests import Request
from hub.directory.service import DirectoryError, Invited, Issuer
from hub.spool.tables import presence
from protocols.link import limits
from protocols.link.entries import Mailbox
from protocols.link.places import WILAYAS, FacilityKind

REASON_CHARS: Final = 200
_NAMES_TOLD: Final = 20


class UnknownFacility(DirectoryError):  # noqa: N818 - past tense states the outcome
    """There is no such facility in this hub's directory."""


class TooManyMailboxes(DirectoryError):  # noqa: N818 - states the condition
    """A facility would have more than ``limits.MAILBOXES``."""


class NotApproved(DirectoryError):  # noqa: N818 - past tense states the outcome
    """An approval that the rules refuse: ``same-person``, ``other-fingerprint``, or ``nothing-waits``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NothingChanged(DirectoryError):  # noqa: N818 - past tense states the outcome
    """It is so already, and the journal gets no entry: ``suspended``, or ``not-suspended``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class FacilityState(StrEnum):
    """Where a facility is on its way."""

    INVITED = "invited"
    PENDING = "pending"
    UNSIGNED = "unsigned"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Keys:
    """A facility's present credential. ``issued_ms`` 0: before this was noted."""

    serial: int
    fingerprint: bytes
    issued_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Facility:
    """A facility as administrators see it. ``wilaya`` 1 to 58, 0 if not said; ``kind`` may be empty."""

    facility: str
    title: str
    kind: str
    wilaya: int
    state: FacilityState
    mailboxes: tuple[Mailbox, ...]
    created_ms: int
    connected: bool
    seen_ms: int | None
    software: str
    keys: Keys | None
    waiting: tuple[Request, ...]
    """Keys that wait for an approval or a signature; see :class:`hub.directory.requests.Request`."""


# ── looking ────────────────────────────────────────────────────────────────────────────────


def listing(connection: Connection) -> list[Facility]:
    """Return all facilities, by id."""
    seen = {row.facility: row for row in connection.execute(select(presence))}
    waiting: dict[str, list[Request]] = {}
    for request in requests.waiting(connection):
        waiting.setdefault(request.facility, []).append(request)
    return [
        _facility(row, seen.get(row.facility), tuple(waiting.get(row.facility, ())))
        for row in store.all_facilities(connection)
    ]


def one(connection: Connection, facility: str) -> Facility:
    """Return one facility; :class:`UnknownFacility`."""
    for found in listing(connection):
        if found.facility == facility:
            return found
    raise UnknownFacility(f"there is no facility {facility!r} in this hub's directory")


def _facility(row: store.FacilityRow, seen: object | None, waiting: tuple[Request, ...]) -> Facility:
    usable = [credential for credential in row.credentials if not credential.revoked]
    return Facility(
        facility=row.facility,
        title=row.title,
        kind=row.kind,
        wilaya=row.wilaya,
        state=_state(row, usable, waiting),
        mailboxes=row.mailboxes,
        created_ms=row.created_ms,
        connected=bool(getattr(seen, "connected", False)),
        seen_ms=getattr(seen, "seen_ms", None),
        software=getattr(seen, "software", ""),
        keys=_keys(usable[-1]) if usable else None,
        waiting=waiting,
    )


def _state(
    row: store.FacilityRow, usable: list[store.CredentialRow], waiting: tuple[Request, ...]
) -> FacilityState:
    if row.suspended:
        return FacilityState.SUSPENDED
    if usable:
        return FacilityState.ACTIVE
    if any(not request.approved_by for request in waiting):
        return FacilityState.PENDING
    if waiting:
        return FacilityState.UNSIGNED
    return FacilityState.REVOKED if row.credentials else FacilityState.INVITED


def _keys(row: store.CredentialRow) -> Keys:
    credential = statements.recall(row.statement)
    assert isinstance(credential, statements.Credential)
    fingerprint = node_fingerprint(credential.link_key, credential.signing_key, credential.sealing_key)
    return Keys(credential.serial, fingerprint, row.issued_ms, credential.not_after_ms)


# ── admitting ──────────────────────────────────────────────────────────────────────────────


def invite(
    connection: Connection,
    issuer: Issuer,
    facility: str,
    *,
    title: str | None = None,
    kind: FacilityKind | None = None,
    wilaya: int | None = None,
    mailboxes: tuple[Mailbox, ...] = (),
    valid_for_ms: int,
    actor: str,
    now_ms: int,
) -> Invited:
    """Add ``facility`` (or add to it) and make a one-time code for its node; :class:`DirectoryError`."""
    names = tuple(box.name for box in mailboxes)
    invited = service.invite(
        connection, issuer, facility, title=title, mailboxes=names, valid_for_ms=valid_for_ms, now_ms=now_ms,
        invited_by=actor,
    )  # fmt: skip
    _describe(connection, facility, kind, wilaya, mailboxes)
    details = _changed(title, kind, wilaya, names) | {"expires_ms": str(invited.expires_ms)}
    _note(connection, actor, "facility.invited", facility, details, now_ms)
    return invited


def describe(
    connection: Connection,
    facility: str,
    *,
    title: str | None = None,
    kind: FacilityKind | None = None,
    wilaya: int | None = None,
    mailboxes: tuple[Mailbox, ...] = (),
    actor: str,
    now_ms: int,
) -> None:
    """Change what a known facility is called, is, where it is, and add mailboxes or describe them.

    What is so already is left out: if nothing is left, no node is told and the journal gets no entry.
    """
    known = _known(connection, facility)
    names = tuple(box.name for box in mailboxes)
    for name in names:
        service.check_mailbox(name)
    if len({box.name for box in known.mailboxes} | set(names)) > limits.MAILBOXES:
        raise TooManyMailboxes(f"a facility has at most {limits.MAILBOXES} mailboxes")
    title, kind = None if title == known.title else title, None if kind == known.kind else kind
    wilaya = None if wilaya == known.wilaya else wilaya
    mailboxes = tuple(box for box in mailboxes if not _is_described(box, known.mailboxes))
    names = tuple(box.name for box in mailboxes)
    changed = _changed(title, kind, wilaya, names)
    if not changed:
        return
    store.put_facility(connection, facility, title, names, now_ms)
    _describe(connection, facility, kind, wilaya, mailboxes)
    _note(connection, actor, "facility.described", facility, changed, now_ms)


def _is_described(box: Mailbox, known: tuple[Mailbox, ...]) -> bool:
    """Return whether a mailbox is known with what ``box`` says of it; what is empty says nothing."""
    same = [one for one in known if one.name == box.name]
    return any(box.title in ("", one.title) and box.specialty in ("", one.specialty) for one in same)


def _changed(
    title: str | None, kind: FacilityKind | None, wilaya: int | None, names: tuple[str, ...]
) -> dict[str, str]:
    """Return what the journal says of a description."""
    boxes = told(names)
    changed = {"title": title or "", "kind": kind or "", "wilaya": str(wilaya or ""), "mailboxes": boxes}
    return {name: text for name, text in changed.items() if text}


def told(names: tuple[str, ...]) -> str:
    """Return mailboxes as the journal tells them: of many the first, and how many more."""
    return " ".join(names[:_NAMES_TOLD]) + (f" +{len(names) - _NAMES_TOLD}" if names[_NAMES_TOLD:] else "")


def _describe(
    connection: Connection,
    facility: str,
    kind: FacilityKind | None,
    wilaya: int | None,
    mailboxes: tuple[Mailbox, ...],
) -> None:
    if wilaya is not None and wilaya not in WILAYAS:
        raise DirectoryError(f"there is no wilaya {wilaya}: 1 to {len(WILAYAS)} expected")
    for box in mailboxes:
        if len(box.title) > limits.TITLE_CHARS or len(box.specialty) > limits.TITLE_CHARS:
            raise DirectoryError(
                f"mailbox {box.name}: title and specialty have at most {limits.TITLE_CHARS} characters"
            )
    store.describe_facility(connection, facility, kind=kind, wilaya=wilaya)
    for box in mailboxes:
        store.describe_mailbox(connection, facility, box)


def approve(
    connection: Connection, issuer: Issuer, facility: str, *, fingerprint: str, actor: str, now_ms: int
) -> Facility:
    """Let pending keys count, whose ``fingerprint`` (words or digits) the facility has read out.

    Raises :class:`NotApproved` for an approver who made the invitation, another fingerprint, or if nothing is
    pending.
    """
    request = _pending(connection, facility, fingerprint)
    from_ms = users.second_from_ms(connection, request.invited_by, actor, now_ms)
    if from_ms != 0:
        raise NotApproved("same-person", f"the invitation of {facility!r}: {users.why_not_second(from_ms)}")
    requests.approve(connection, request.link_key, actor)
    details = {"fingerprint": in_words(request.fingerprint), "invited_by": request.invited_by}
    _note(connection, actor, "facility.approved", facility, details, now_ms)
    approved = requests.find(connection, request.link_key)
    assert approved is not None
    service.settle(connection, issuer, approved, now_ms)
    return one(connection, facility)


def reject(
    connection: Connection, facility: str, *, fingerprint: str, reason: str, actor: str, now_ms: int
) -> None:
    """Turn pending keys down: their code works no more. :class:`NotApproved` as ``approve``."""
    request = _pending(connection, facility, fingerprint)
    service.refuse(connection, request)
    details = {"fingerprint": in_words(request.fingerprint), "reason": _reason(reason)}
    _note(connection, actor, "facility.rejected", facility, details, now_ms)


def _pending(connection: Connection, facility: str, fingerprint: str) -> Request:
    _known(connection, facility)
    pending = [request for request in requests.waiting(connection, facility) if not request.approved_by]
    if not pending:
        raise NotApproved("nothing-waits", f"no keys of {facility!r} wait for an approval")
    for request in pending:
        if is_written(request.fingerprint, fingerprint):
            return request
    raise NotApproved(
        "other-fingerprint",
        f"that is not the fingerprint of the keys that wait for {facility!r}: compare it word by word, and "
        "reject them if the facility reads out another one",
    )


# ── taking out ─────────────────────────────────────────────────────────────────────────────


def suspend(connection: Connection, facility: str, *, reason: str = "", actor: str, now_ms: int) -> None:
    """Take a facility out of traffic; what waits stays. :class:`UnknownFacility`, :class:`NothingChanged`."""
    if _known(connection, facility).suspended:
        raise NothingChanged("suspended", f"{facility} is suspended already: nothing was changed")
    store.suspend(connection, facility, suspended=True)
    _note(connection, actor, "facility.suspended", facility, {"reason": _reason(reason)}, now_ms)


def resume(connection: Connection, facility: str, *, actor: str, now_ms: int) -> None:
    """Let a suspended facility back. :class:`UnknownFacility`, :class:`NothingChanged`."""
    if not _known(connection, facility).suspended:
        raise NothingChanged("not-suspended", f"{facility} is not suspended: nothing was changed")
    store.suspend(connection, facility, suspended=False)
    _note(connection, actor, "facility.resumed", facility, {}, now_ms)


def revoke(
    connection: Connection, issuer: Issuer, facility: str, *, reason: str, actor: str, now_ms: int
) -> int:
    """Revoke all of a facility's keys for good; returns the serial up to which. :class:`DirectoryError`."""
    _known(connection, facility)
    serial = service.revoke(connection, issuer, facility, _reason(reason), now_ms)
    _note(connection, actor, "facility.revoked", facility, {"serial": str(serial), "reason": reason}, now_ms)
    return serial


def group(
    connection: Connection,
    issuer: Issuer,
    name: str,
    *,
    title: str = "",
    members: tuple[str, ...],
    actor: str,
    now_ms: int,
) -> None:
    """Make a group, or replace its members; :class:`DirectoryError`."""
    service.define_group(connection, issuer, name, title or name, members)
    _note(connection, actor, "group.defined", name, {"members": str(len(members))}, now_ms)


def _known(connection: Connection, facility: str) -> store.FacilityRow:
    for row in store.all_facilities(connection):
        if row.facility == facility:
            return row
    raise UnknownFacility(f"there is no facility {facility!r} in this hub's directory")


def _reason(text: str) -> str:
    if len(text) > REASON_CHARS:
        raise DirectoryError(f"a reason has at most {REASON_CHARS} characters")
    return text


def _note(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, str], now_ms: int
) -> None:
    journal.record(connection, Act(actor, action, subject, details), now_ms)
