"""Letting facilities in and putting them out: the rules, and the authority's signature.

Everything here changes tables inside the caller's transaction; the daemon hears of it by a
poke, or within seconds by itself, and tells every connected node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto import identity as statements
from crypto.fingerprint import in_words
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.primitives import random_bytes
from hub.audit.journal import Act, record
from hub.directory import knocks, requests, store
from hub.directory.requests import Request
from hub.spool import epoch
from protocols.link import limits
from protocols.link.envelope import facility_of, mailbox_of
from protocols.link.joincode import JoinCode, encode_joincode, join_psk

DAY_MS: Final = 86_400_000
CREDENTIAL_VALID_MS: Final = 2 * 365 * DAY_MS
BACKDATED_MS: Final = 2 * DAY_MS
"""Credentials begin two days early, so that a node whose clock is a day slow believes its own."""
RESERVED_FACILITIES: Final = frozenset({"group"})
DEFAULT_MAILBOX: Final = "inbox"
INVITATION_MAX_MS: Final = 30 * DAY_MS
SECRET_BYTES: Final = 32
BY_CODE: Final = "the code"
"""Who approved a request for which the one-time code was enough."""


class DirectoryError(Exception):
    """What the directory's rules refuse; the text is for the administrator."""


class InvitationRefused(DirectoryError):  # noqa: N818 - past tense states the outcome
    """A join that cannot be granted: unknown, used by another node, or too late."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """The authority's key and what an invitation tells about this hub. ``hub`` is ``host:port``.

    ``authority`` is the public half only if the private one lives on another machine. ``two_person``: keys
    that a code brought wait for the approval of an administrator who did not make the invitation.
    ``trust_serial``: of the last change of hub's and authority's keys (``hub.directory.trust``).
    """

    authority: SigningPrivateKey | SigningPublicKey
    hub: str
    hub_name: str
    hub_key: LinkPublicKey
    two_person: bool = False
    trust_serial: int = 0

    @property
    def authority_key(self) -> SigningPublicKey:
        """By which every statement is verified."""
        return self.authority if isinstance(self.authority, SigningPublicKey) else self.authority.public

    @property
    def signer(self) -> SigningPrivateKey | None:
        """What signs here and now; None if the authority is elsewhere."""
        return self.authority if isinstance(self.authority, SigningPrivateKey) else None

    def sign(self, statement: statements.Statement) -> bytes:
        """Return the signed statement; :class:`DirectoryError` if the authority is elsewhere."""
        if self.signer is None:
            raise DirectoryError("the authority's key is not on this machine")
        return statements.issue(self.signer, statement)


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation just made: the line to hand over, and until when it works."""

    facility: str
    code: str
    expires_ms: int
    joined_before: bool
    """A node of this facility has joined, and is not revoked: the code is for another home in its place."""


def invite(
    connection: Connection,
    issuer: Issuer,
    facility: str,
    *,
    title: str | None,
    mailboxes: tuple[str, ...],
    valid_for_ms: int,
    now_ms: int,
    invited_by: str = "",
) -> Invited:
    """Add ``facility`` (or add to it) and make a one-time code for its node.

    Raises :class:`DirectoryError` for an id that cannot be one.
    """
    check_facility(facility)
    for name in mailboxes:
        check_mailbox(name)
    if not 0 < valid_for_ms <= INVITATION_MAX_MS:
        raise DirectoryError(f"an invitation is valid for up to {INVITATION_MAX_MS // DAY_MS} days")
    known = next((row for row in store.all_facilities(connection) if row.facility == facility), None)
    if known is None or not known.mailboxes:
        mailboxes = mailboxes or (DEFAULT_MAILBOX,)
    if known is not None and len({box.name for box in known.mailboxes} | set(mailboxes)) > limits.MAILBOXES:
        raise DirectoryError(f"a facility has at most {limits.MAILBOXES} mailboxes")
    store.put_facility(connection, facility, title, mailboxes, now_ms)
    identifier, secret = random_bytes(limits.ID_BYTES), random_bytes(SECRET_BYTES)
    expires_ms = now_ms + valid_for_ms
    invitation = store.Invitation(
        identifier, facility, join_psk(identifier, secret), expires_ms, None, invited_by
    )
    store.put_invitation(connection, invitation, now_ms)
    code = JoinCode(
        hub=issuer.hub,
        hub_name=issuer.hub_name,
        hub_key=bytes(issuer.hub_key),
        authority_key=bytes(issuer.authority_key),
        facility=facility,
        invitation=identifier,
        secret=secret,
        trust=issuer.trust_serial,
    )
    joined = known is not None and any(not credential.revoked for credential in known.credentials)
    return Invited(facility, encode_joincode(code), expires_ms, joined)


def usable_invitation(
    connection: Connection, invitation: bytes, link_key: bytes, now_ms: int
) -> store.Invitation:
    """Return the invitation that a calling key may use now; :class:`InvitationRefused` says why not.

    A node that used it before may ask again (its answer may have been lost), even late.
    """
    found = store.find_invitation(connection, invitation)
    if found is None:
        raise InvitationRefused("this hub gave out no such invitation")
    if found.used_by == link_key:
        return found
    if found.used_by == store.REFUSED:
        raise InvitationRefused("an administrator refused this node's keys, or the code; ask for a new code")
    if found.used_by is not None:
        raise InvitationRefused("the code was used before by another node; ask for a new one")
    if now_ms >= found.expires_ms:
        raise InvitationRefused("the code has expired; ask for a new one")
    return found


def grant(
    connection: Connection,
    issuer: Issuer,
    invitation: bytes,
    link_key: LinkPublicKey,
    signing_key: SigningPublicKey,
    sealing_key: SealingPublicKey,
    now_ms: int,
) -> store.CredentialRow | Request:
    """Certify a node's keys for the invited facility, or note that they wait (:func:`settle`).

    Asked again with the same keys, the same credential, or the same wait.
    """
    found = usable_invitation(connection, invitation, bytes(link_key), now_ms)
    known = store.find_credential(connection, bytes(link_key))
    if known is not None:
        _check_known(known, found, signing_key, sealing_key, issuer)
    if not store.use_invitation(connection, invitation, bytes(link_key)):
        raise InvitationRefused("the code was used before by another node; ask for a new one")
    if known is not None:
        return known
    request = requests.find(connection, link_key)
    if request is None:
        approved_by = "" if issuer.two_person else BY_CODE
        request = Request(
            found.facility, link_key, signing_key, sealing_key, now_ms, found.invited_by, approved_by
        )
        requests.put(connection, request)
        if issuer.two_person or issuer.signer is None:
            details = {"fingerprint": in_words(request.fingerprint), "invitation": invitation.hex()}
            record(
                connection, Act(f"node:{found.facility}", "facility.asked", found.facility, details), now_ms
            )
    elif (request.facility, request.signing_key, request.sealing_key) != (
        found.facility,
        signing_key,
        sealing_key,
    ):
        raise InvitationRefused("this node has asked before with other keys; start over with an empty home")
    return settle(connection, issuer, request, now_ms)


def settle(
    connection: Connection, issuer: Issuer, request: Request, now_ms: int
) -> store.CredentialRow | Request:
    """Issue the credential that was asked for, if it is approved and the authority's key is here."""
    if not request.approved_by or issuer.signer is None:
        return request
    requests.remove(connection, request.link_key)
    facility = request.facility
    made = certify(
        connection, issuer, facility, request.link_key, request.signing_key, request.sealing_key, now_ms
    )
    details = {"serial": str(made.serial), "fingerprint": in_words(request.fingerprint)}
    action = "facility.renewed" if request.proof else "facility.joined"
    record(connection, Act(f"node:{facility}", action, facility, details), now_ms)
    return made


def certify(
    connection: Connection,
    issuer: Issuer,
    facility: str,
    link_key: LinkPublicKey,
    signing_key: SigningPublicKey,
    sealing_key: SealingPublicKey,
    now_ms: int,
) -> store.CredentialRow:
    """Sign and keep the next credential of a facility."""
    credential = statements.Credential(
        facility=facility,
        serial=next_serial(connection, facility),
        link_key=link_key,
        signing_key=signing_key,
        sealing_key=sealing_key,
        not_before_ms=now_ms - BACKDATED_MS,
        not_after_ms=now_ms + CREDENTIAL_VALID_MS,
    )
    row = store.CredentialRow(
        facility,
        credential.serial,
        bytes(link_key),
        issuer.sign(credential),
        revoked=False,
        not_after_ms=credential.not_after_ms,
        issued_ms=now_ms,
    )
    store.put_credential(connection, row)
    return row


def next_serial(connection: Connection, facility: str) -> int:
    """Return the serial of a facility's next credential: one that no hub before a restore can have used."""
    return max(store.next_serial(connection, facility), epoch.serial_floor(connection) + 1)


def revoke(connection: Connection, issuer: Issuer, facility: str, reason: str, now_ms: int) -> int:
    """Revoke all of a facility's credentials; returns the serial up to which. Its sessions end at once.

    Codes that were given out for it and not used yet work no more: who has one may be who stole the keys.
    """
    known = store.next_serial(connection, facility) - 1
    # A hub that was restored may have forgotten credentials: their serials are at or under the floor.
    serial = max(known, epoch.serial_floor(connection))
    if serial == 0:
        raise DirectoryError(f"{facility!r} has no credential to revoke")
    statement = statements.Revocation(facility=facility, serial=serial, at_ms=now_ms, reason=reason)
    # Without the authority here the hub enforces it alone until the signed word comes (hub.admin.authority).
    store.revoke(connection, facility, serial, b"" if issuer.signer is None else issuer.sign(statement))
    for request in requests.waiting(connection, facility):
        refuse(connection, request)
    store.spoil_unused_invitations(connection, facility)
    knocks.forget_of(connection, facility)
    return serial


def refuse(connection: Connection, request: Request) -> None:
    """Turn a request down for good: its code works no more, for anybody."""
    requests.remove(connection, request.link_key)
    store.spoil_invitations(connection, bytes(request.link_key))


def define_group(
    connection: Connection, issuer: Issuer, name: str, title: str, members: tuple[str, ...]
) -> None:
    """Make a group, or replace its members, who must be mailboxes that exist."""
    _check_id("group", name)
    boxes = {row.facility: {box.name for box in row.mailboxes} for row in store.all_facilities(connection)}
    for member in members:
        if mailbox_of(member) not in boxes.get(facility_of(member), set()):
            raise DirectoryError(f"there is no mailbox {member!r}")
    serial = max(store.group_serial(connection, name), epoch.serial_floor(connection)) + 1
    statement = statements.Group(name=name, serial=serial, members=members)
    store.put_group(connection, name, title, serial, issuer.sign(statement))


def check_facility(facility: str) -> None:
    """Raise :class:`DirectoryError` unless this can be a facility id."""
    _check_id("facility", facility)
    if facility in RESERVED_FACILITIES:
        raise DirectoryError(f"{facility!r} is reserved: addresses like name@{facility} are groups")


def check_mailbox(name: str) -> None:
    """Raise :class:`DirectoryError` unless this can be a mailbox's name."""
    _check_id("mailbox", name)


def _check_id(what: str, name: str) -> None:
    if not statements.is_id(name):
        if statements.is_id(name.lower()):
            raise DirectoryError(f"{name!r} has capitals, and a {what} id has none: {name.lower()!r}")
        raise DirectoryError(
            f"{name!r} cannot be a {what} id: 1 to 63 of a-z, 0-9, dot and hyphen, the first no dot or hyphen"
        )


def _check_known(
    known: store.CredentialRow,
    found: store.Invitation,
    signing_key: SigningPublicKey,
    sealing_key: SealingPublicKey,
    issuer: Issuer,
) -> None:
    """Refuse a node that has a credential already, unless it asks again for that very one."""
    if known.facility != found.facility:
        raise InvitationRefused(f"this node is {known.facility!r} already; start over with an empty home")
    if known.revoked:
        raise InvitationRefused("this node's keys have been revoked; start over with an empty home")
    credential = statements.verify(known.statement, issuer.authority_key)
    assert isinstance(credential, statements.Credential)
    if (credential.signing_key, credential.sealing_key) != (signing_key, sealing_key):
        raise InvitationRefused("this node has joined before with other keys; start over with an empty home")
