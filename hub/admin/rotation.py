"""Replacing the network's own keys: the hub's link key, the authority's key, the key of the audit log.

The rules and the journal; the keys themselves are drawn and kept by ``hub.cli.rotation``, since only who is
at the home may touch its key file. What nodes do is in ``nodes.link.following``, who may sign what in
``crypto.trust``, and how the audit log goes on in ``protocols.audit.succession``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, select

from crypto import identity as statements
from crypto import trust as changes
from crypto.keys import LinkPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.trust import Subject, TrustChange
from hub.audit.journal import Act, record
from hub.directory import reissue, store, trust
from hub.directory.service import DirectoryError, Issuer
from hub.directory.trust import Row
from hub.spool.tables import presence
from protocols.audit import succession

WORDS: Final = {Subject.LINK: "link", Subject.AUTHORITY: "authority", Subject.RETIRED: "authority-retired"}


@dataclass(frozen=True, slots=True)
class Behind:
    """A facility whose node has not followed yet. ``seen_ms``: its last session; 0 if there was none."""

    facility: str
    seen_ms: int


class NotAllMoved(DirectoryError):  # noqa: N818 - it names a state
    """Some nodes would be locked out; the text names them."""


def begin_link(connection: Connection, issuer: Issuer, key: LinkPublicKey, *, actor: str, now_ms: int) -> Row:
    """Note the hub's next link key, signed if the authority is here. Nobody is told yet."""
    if (begun := trust.open_row(connection, Subject.LINK)) is not None:
        raise DirectoryError(
            f"the change to link key {begun.fingerprint} is not finished: see `rotate status`"
        )
    row = _row(connection, issuer, Subject.LINK, bytes(key), now_ms)
    trust.put(connection, row)
    _record(connection, issuer, row, "keys.link-begun", actor, now_ms)
    return row


def announce_link(connection: Connection, issuer: Issuer, *, actor: str, now_ms: int) -> Row:
    """Tell nodes of the hub's next link key."""
    row = _begun_link(connection)
    if not row.statement:
        raise DirectoryError(
            "the authority has not signed it yet: `wasl-hub authority export-requests`, sign, import"
        )
    if row.announced_ms is None:
        trust.announce(connection, row.serial, now_ms)
        _record(connection, issuer, row, "keys.link-announced", actor, now_ms)
    return row


def finish_link(
    connection: Connection, issuer: Issuer, *, actor: str, now_ms: int, force: bool = False
) -> Row:
    """Let the link key before count no more."""
    row = _begun_link(connection)
    if row.announced_ms is None:
        raise DirectoryError("nodes have not been told yet: `wasl-hub rotate link announce`")
    _require_moved(behind(connection, row), force=force)
    trust.finish(connection, row.serial)
    _record(connection, issuer, row, "keys.link-finished", actor, now_ms)
    return row


def _begun_link(connection: Connection) -> Row:
    row = trust.open_row(connection, Subject.LINK)
    if row is None:
        raise DirectoryError("no other link key is under way: `wasl-hub rotate link begin`")
    return row


def begin_authority(
    connection: Connection, issuer: Issuer, following: SigningPrivateKey, *, actor: str, now_ms: int
) -> Row:
    """Put another key in the authority's place: the present one signs its name, it signs everything again.

    One transaction; the present key signs nothing after that, and counts until :func:`retire_authority`.
    """
    _require_one(connection)
    row = _row(connection, issuer, Subject.AUTHORITY, bytes(following.public), now_ms)
    if not row.statement:
        raise DirectoryError("the authority's key is not on this machine: `wasl-hub authority succeed` there")
    again = {blob: statements.sign_again(blob, following) for blob in reissue.present(connection)}
    return _succeed(connection, issuer, row, again, actor=actor, now_ms=now_ms)


def take_succession(
    connection: Connection,
    issuer: Issuer,
    statement: bytes,
    again: dict[bytes, bytes],
    *,
    actor: str,
    now_ms: int,
) -> Row:
    """Do what :func:`begin_authority` does, with what another machine signed and :func:`_succeed` checks."""
    _require_one(connection)
    change = changes.verify(statement, issuer.authority_key)
    if change.hub != issuer.hub_name or change.subject is not Subject.AUTHORITY:
        raise DirectoryError("this is no succession of this hub's authority")
    if change.serial != next_serial(connection):
        raise DirectoryError("other keys have changed since the requests were exported: export again")
    row = Row(
        change.serial, change.subject, change.key, bytes(issuer.authority_key), statement, change.at_ms, None,
        finished=False,
    )  # fmt: skip
    return _succeed(connection, issuer, row, again, actor=actor, now_ms=now_ms)


def _succeed(
    connection: Connection,
    issuer: Issuer,
    row: Row,
    again: dict[bytes, bytes],
    *,
    actor: str,
    now_ms: int,
) -> Row:
    following = SigningPublicKey(row.key)
    for before, after in again.items():
        statements.verify(after, following)
        if not statements.same(before, after):
            raise DirectoryError("a statement that was signed again says something else than before")
    try:
        count = reissue.replace_all(connection, again)
    except reissue.IssuedSince as error:
        raise DirectoryError(f"{error}: export again") from None
    told = replace(row, announced_ms=now_ms)
    trust.put(connection, told)
    details = {"before": issuer.authority_key.fingerprint(), "signed_again": str(count)}
    _record(connection, issuer, told, "keys.authority-replaced", actor, now_ms, **details)
    return told


def retire_authority(
    connection: Connection, issuer: Issuer, *, actor: str, now_ms: int, force: bool = False
) -> Row:
    """Let the authority's key before the present one count no more; waits if the authority is elsewhere."""
    row = trust.open_row(connection, Subject.AUTHORITY)
    if row is None:
        raise DirectoryError("no other authority's key is under way: `wasl-hub rotate authority begin`")
    waiting = trust.open_row(connection, Subject.RETIRED)
    if waiting is not None:
        raise DirectoryError("the end of the key before waits for the authority's signature")
    _require_moved(behind(connection, row), force=force)
    end = _row(connection, issuer, Subject.RETIRED, row.before, now_ms)
    trust.put(connection, end)
    if issuer.signer is not None:
        strays = reissue.strays(connection, issuer.signer, SigningPublicKey(row.before))
        if strays:
            again = {blob: blob for blob in reissue.present(connection)} | strays
            reissue.replace_all(connection, again)
        _retired(connection, issuer, end, row, actor, now_ms)
    return end


def _retired(connection: Connection, issuer: Issuer, end: Row, row: Row, actor: str, now_ms: int) -> None:
    trust.announce(connection, end.serial, now_ms)
    trust.finish(connection, end.serial)
    trust.finish(connection, row.serial)
    _record(connection, issuer, end, "keys.authority-retired", actor, now_ms)


def take_signed(connection: Connection, issuer: Issuer, blob: bytes, *, actor: str, now_ms: int) -> str:
    """Keep the authority's signature of a change that waits for it; returns why not, empty if it was kept."""
    change = changes.verify(blob, issuer.authority_key)
    row = next((one for one in trust.rows(connection) if one.serial == change.serial), None)
    if row is None or (row.subject, row.key) != (change.subject, change.key) or change.hub != issuer.hub_name:
        return f"change {change.serial} of the network's keys: nothing waits for this"
    if row.statement:
        return "" if row.statement == blob else f"change {change.serial} was signed before"
    trust.sign(connection, row.serial, blob)
    if row.subject is Subject.RETIRED:
        replaced = trust.open_row(connection, Subject.AUTHORITY)
        assert replaced is not None  # it began before its end
        _retired(connection, issuer, row, replaced, actor, now_ms)
    else:
        _record(connection, issuer, row, "keys.link-signed", actor, now_ms)
    return ""


def rotate_audit(
    connection: Connection,
    hub_name: str,
    key: SigningPrivateKey,
    following: SigningPublicKey,
    *,
    actor: str,
    now_ms: int,
) -> int:
    """Let another key sign the audit log from the entry on whose number is returned."""
    blob = succession.issue(key, following, origin=hub_name, at_ms=now_ms)
    details = {
        "before": key.fingerprint(),
        "next": following.fingerprint(),
        succession.STATEMENT: blob.hex(),
    }
    number = record(connection, Act(actor, succession.ACTION, hub_name, details), now_ms)
    store.next_version(connection)  # so that the daemons look at their keys
    return number


def behind(connection: Connection, row: Row) -> list[Behind]:
    """Return the active facilities whose nodes have not followed this change, by id."""
    seen = {one.facility: one for one in connection.execute(select(presence))}
    found = []
    for facility in store.all_facilities(connection):
        if facility.suspended or not any(not credential.revoked for credential in facility.credentials):
            continue
        one = seen.get(facility.facility)
        if one is None or (one.hub_key != row.fingerprint if row.about_link else one.trust < row.serial):
            found.append(Behind(facility.facility, 0 if one is None else one.seen_ms))
    return found


def _require_moved(left: list[Behind], *, force: bool) -> None:
    if left and not force:
        names = ", ".join(one.facility for one in left)
        raise NotAllMoved(f"{len(left)} have not followed yet: {names}")


def _require_one(connection: Connection) -> None:
    if trust.open_row(connection, Subject.AUTHORITY) is not None:
        raise DirectoryError("another authority's key is under way: `wasl-hub rotate authority finish` first")


def next_serial(connection: Connection) -> int:
    """Return the serial of the next change; one that waits comes first: nodes pass over lower serials."""
    for row in trust.rows(connection):
        if row.announced_ms is None:
            raise DirectoryError(f"a change of the {WORDS[row.subject]} key is not announced yet: first that")
    return trust.next_serial(connection)


def _row(connection: Connection, issuer: Issuer, subject: Subject, key: bytes, now_ms: int) -> Row:
    serial = next_serial(connection)
    change = TrustChange(issuer.hub_name, serial, subject, key, now_ms)
    statement = b"" if issuer.signer is None else changes.issue(issuer.signer, change)
    before = {
        Subject.LINK: bytes(issuer.hub_key),
        Subject.AUTHORITY: bytes(issuer.authority_key),
        Subject.RETIRED: key,
    }[subject]  # fmt: skip
    return Row(serial, subject, key, before, statement, now_ms, None, finished=False)


def _record(
    connection: Connection, issuer: Issuer, row: Row, action: str, actor: str, now_ms: int, **more: str
) -> None:
    details = {
        "serial": str(row.serial),
        "fingerprint": row.fingerprint,
        "statement": row.statement.hex(),
        **more,
    }
    record(connection, Act(actor, action, issuer.hub_name, details), now_ms)
