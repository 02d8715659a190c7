"""Letting nodes back in that a restored hub has forgotten (``hub.directory.knocks`` has the rule)."""

from __future__ import annotations

from sqlalchemy import Connection, select

from crypto.fingerprint import in_words, is_written, node_fingerprint
from hub.admin.facilities import NotApproved, TooManyMailboxes, told
from hub.audit.journal import Act, record
from hub.directory import knocks, store
from hub.directory.knocks import Knock
from hub.directory.service import DEFAULT_MAILBOX, Issuer, check_facility, check_mailbox
from hub.directory.tables import credentials
from protocols.link import limits


def readmit(
    connection: Connection,
    issuer: Issuer,
    facility: str,
    *,
    mailboxes: tuple[str, ...],
    fingerprint: str | None = None,
    actor: str,
    now_ms: int,
) -> Knock:
    """Let a credential with which a facility's node knocks count again.

    ``fingerprint``: of its keys, in words or digits; None: the newest that knocks. ``mailboxes``: all that it
    has if the backup does not know it (it is added then), or those that it got since. :class:`NotApproved`
    (``nothing-waits``, ``other-fingerprint``, ``join-anew``), :class:`DirectoryError`.
    """
    check_facility(facility)
    for name in mailboxes:
        check_mailbox(name)
    known = next((row for row in store.all_facilities(connection) if row.facility == facility), None)
    before = set() if known is None else {box.name for box in known.mailboxes}
    if len(before | set(mailboxes)) > limits.MAILBOXES:
        raise TooManyMailboxes(f"a facility has at most {limits.MAILBOXES} mailboxes")
    knock = _named(knocks.waiting(connection, facility), facility, fingerprint)
    credential = knocks.believed(knock.statement, bytes(knock.credential.link_key), issuer.authority_key)
    if credential is None:
        raise NotApproved("join-anew", "another authority's key holds since: the node has to join anew")
    if credential.serial <= knocks.revoked_up_to(connection, facility):
        raise NotApproved("join-anew", f"{facility!r} was revoked up to this credential: it has to join anew")
    taken = connection.execute(
        select(credentials.c.link_key).where(
            credentials.c.facility == facility, credentials.c.serial == credential.serial
        )
    ).scalar_one_or_none()
    if taken is not None:
        raise NotApproved(
            "join-anew",
            f"credential {credential.serial} of {facility!r} is known here for another key: join anew",
        )
    if known is None or mailboxes:
        names = mailboxes or (DEFAULT_MAILBOX,)
        store.put_facility(connection, facility, None, names, now_ms)
    knocks.admit(connection, knock)
    knocks.forget_of(connection, facility)
    details = {"serial": str(credential.serial), "fingerprint": words_of(knock)}
    if mailboxes:
        details["mailboxes"] = told(mailboxes)
    record(connection, Act(actor, "facility.readmitted", facility, details), now_ms)
    return knock


def _named(found: list[Knock], facility: str, fingerprint: str | None) -> Knock:
    if not found:
        raise NotApproved(
            "nothing-waits",
            f"no node of {facility!r} knocks with a credential that this hub has forgotten",
        )
    if fingerprint is None:
        return found[0]
    for knock in found:
        if is_written(fingerprint_of(knock), fingerprint):
            return knock
    raise NotApproved(
        "other-fingerprint", f"no node of {facility!r} knocks with keys of this fingerprint: compare anew"
    )


def fingerprint_of(knock: Knock) -> bytes:
    """Return the fingerprint of a knocking node's keys."""
    keys = knock.credential
    return node_fingerprint(keys.link_key, keys.signing_key, keys.sealing_key)


def words_of(knock: Knock) -> str:
    """Return the fingerprint of a knocking node's keys, for people."""
    return in_words(fingerprint_of(knock))
