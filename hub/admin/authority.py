"""The authority's key on another machine: what waits for it goes there as a file, and its word comes back.

    hub: export ──requests.json──▶ elsewhere: sign ──signed.json──▶ hub: import_signed

The hub works without the key: nodes that are in send and receive, suspensions and revocations take effect
here at once. New keys wait (``hub.admin.facilities.FacilityState.UNSIGNED``), other nodes hear the *signed*
word of a revocation later, and groups cannot be changed. Neither file is secret. ``sign`` needs no hub and no
database: it checks that renewed keys were endorsed by keys which this authority certified before.

When another key takes the authority's place, everything that was signed goes along (``everything``), and
``succeed`` signs it again with the new key, whose name the old one signs (``crypto.trust``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, select

from crypto import identity as statements
from crypto import trust as changes
from crypto.errors import CryptoError
from crypto.fingerprint import in_words, node_fingerprint
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPrivateKey, SigningPublicKey
from crypto.trust import Subject, TrustChange
from hub.admin import rotation
from hub.audit.journal import HUB, Act, record
from hub.audit.tables import audit
from hub.directory import reissue, requests, service, store, trust
from hub.directory.service import BACKDATED_MS, CREDENTIAL_VALID_MS, DirectoryError
from protocols.link.joincode import renewal_text

FILE_BYTES: Final = 64 * 1_048_576
FORMAT: Final = 1


class WrongFile(DirectoryError):  # noqa: N818 - it names a state
    """A file of requests or of signed statements that is none, or is not for this authority."""


class KeysWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys to certify as ``serial`` of ``facility``; bytes are base64.

    ``present`` and ``endorsement`` are there if the facility's present keys ask for them.
    """

    facility: str
    serial: int
    link_key: bytes
    signing_key: bytes
    sealing_key: bytes
    approved_by: str
    present: bytes = b""
    endorsement: bytes = b""

    @property
    def words(self) -> str:
        """The fingerprint, for people."""
        return in_words(
            node_fingerprint(
                LinkPublicKey(self.link_key),
                SigningPublicKey(self.signing_key),
                SealingPublicKey(self.sealing_key),
            )
        )


class RevocationWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Credentials up to ``serial`` that the hub has revoked already, and why, as every node will read it."""

    facility: str
    serial: int
    reason: Annotated[str, msgspec.Meta(max_length=statements.MAX_REASON_CHARS)] = ""


class ChangeWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the network's own keys (``crypto.trust.TrustChange``) that an administrator began."""

    serial: int
    subject: Subject
    key: bytes
    at_ms: int


class Everything(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a successor has to sign again, and the serial of its succession."""

    serial: int
    statements: tuple[bytes, ...]


class RequestFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What waits for the authority whose public key is ``authority``, at the hub named ``hub``."""

    format: int
    authority: bytes
    keys: tuple[KeysWanted, ...]
    revocations: tuple[RevocationWanted, ...]
    hub: str = ""
    changes: tuple[ChangeWanted, ...] = ()
    everything: Everything | None = None


class SignedAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement as the authority before signed it, and as its successor does."""

    before: bytes
    after: bytes


class SignedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The authority's word: statements as in the directory."""

    format: int
    statements: tuple[bytes, ...]
    changes: tuple[bytes, ...] = ()
    again: tuple[SignedAgain, ...] | None = None
    """With the one change in ``changes`` if that is a succession."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How much of a file was taken, and what was left, with the reason."""

    keys: int
    revocations: int
    left: tuple[str, ...]
    changes: int = 0


def waiting(connection: Connection, issuer: service.Issuer, *, everything: bool = False) -> RequestFile:
    """Return what waits for a signature; ``everything``: and what has one, for a successor to sign again."""
    keys = []
    for request in requests.waiting(connection):
        if not request.approved_by:
            continue
        usable = store.credentials_of(connection, request.facility)
        keys.append(
            KeysWanted(
                request.facility,
                service.next_serial(connection, request.facility),
                bytes(request.link_key),
                bytes(request.signing_key),
                bytes(request.sealing_key),
                request.approved_by,
                usable[0].statement if request.proof and usable else b"",
                request.proof,
            )
        )
    revoked = _unsigned_revocations(connection)
    unsigned = tuple(
        ChangeWanted(row.serial, row.subject, row.key, row.at_ms)
        for row in trust.rows(connection)
        if not row.statement
    )
    again = None
    if everything:
        again = Everything(rotation.next_serial(connection), reissue.present(connection))
    public = bytes(issuer.authority_key)
    return RequestFile(FORMAT, public, tuple(keys), tuple(revoked), issuer.hub_name, unsigned, again)


def _unsigned_revocations(connection: Connection) -> list[RevocationWanted]:
    found = []
    for row in store.all_facilities(connection):
        serial = max((credential.serial for credential in row.credentials if credential.revoked), default=0)
        told = statements.recall(row.revocation) if row.revocation else None
        if serial > (told.serial if isinstance(told, statements.Revocation) else 0):
            found.append(RevocationWanted(row.facility, serial, _reason(connection, row.facility)))
    return found


def _reason(connection: Connection, facility: str) -> str:
    """Return why a facility was revoked last, as its administrator wrote it to the journal."""
    query = select(audit.c.details).where(audit.c.subject == facility, audit.c.action == "facility.revoked")
    details = connection.execute(query.order_by(audit.c.number.desc()).limit(1)).scalar_one_or_none()
    try:
        text = msgspec.json.decode(details or "{}", type=dict[str, str]).get("reason", "")
    except msgspec.MsgspecError:
        return ""  # a damaged entry is told of by the walk over the log, and keeps no revocation back
    return text[: statements.MAX_REASON_CHARS]


def has_unsigned(connection: Connection) -> bool:
    """Return whether a revocation waits for the authority's signature."""
    return bool(_unsigned_revocations(connection))


def sign_revocations(connection: Connection, signer: SigningPrivateKey, now_ms: int) -> None:
    """Sign the revocations that were made where the authority's key is not; safe to run twice."""
    for wanted in _unsigned_revocations(connection):
        statement = _revocation(wanted, now_ms)
        _take_revocation(connection, statement, statements.issue(signer, statement), HUB, now_ms)


def _revocation(wanted: RevocationWanted, now_ms: int) -> statements.Revocation:
    return statements.Revocation(
        facility=wanted.facility, serial=wanted.serial, at_ms=now_ms, reason=wanted.reason
    )


def encode(file: RequestFile | SignedFile) -> bytes:
    """Return the file's bytes: JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2)


def read_requests(content: bytes) -> RequestFile:
    """Read a file of requests; :class:`WrongFile`."""
    try:
        file = msgspec.json.decode(content, type=RequestFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise WrongFile(f"this is no file of requests: {fault}") from None
    if file.format != FORMAT:
        raise WrongFile(f"a file of format {file.format}; this program reads {FORMAT}")
    return file


def sign(authority: SigningPrivateKey, file: RequestFile, now_ms: int) -> SignedFile:
    """Sign everything in ``file``, all or nothing; :class:`WrongFile` names what must not be signed."""
    if file.authority != bytes(authority.public):
        raise WrongFile("these requests are for another authority")
    signed = [statements.issue(authority, _credential(authority, wanted, now_ms)) for wanted in file.keys]
    signed += [statements.issue(authority, _revocation(ended, now_ms)) for ended in file.revocations]
    wanted = [TrustChange(file.hub, one.serial, one.subject, one.key, one.at_ms) for one in file.changes]
    return SignedFile(FORMAT, tuple(signed), tuple(changes.issue(authority, one) for one in wanted))


def succeed(
    authority: SigningPrivateKey, following: SigningPrivateKey, file: RequestFile, now_ms: int
) -> SignedFile:
    """Sign the name of the key that takes the authority's place, and everything again by that key.

    :class:`WrongFile` for requests of another authority, without everything, or with what it did not sign.
    """
    if file.authority != bytes(authority.public):
        raise WrongFile("these requests are for another authority")
    if file.everything is None:
        raise WrongFile("these are requests only: `wasl-hub authority export-requests --everything`")
    try:
        for blob in file.everything.statements:
            statements.verify(blob, authority.public)
        change = TrustChange(
            file.hub, file.everything.serial, Subject.AUTHORITY, bytes(following.public), now_ms
        )
        again = tuple(
            SignedAgain(blob, statements.sign_again(blob, following)) for blob in file.everything.statements
        )
        return SignedFile(FORMAT, (), (changes.issue(authority, change),), again)
    except CryptoError as fault:
        raise WrongFile(f"{fault}; nothing was signed") from None


def _credential(authority: SigningPrivateKey, wanted: KeysWanted, now_ms: int) -> statements.Credential:
    try:
        if wanted.endorsement:
            present = statements.verify(wanted.present, authority.public)
            if not isinstance(present, statements.Credential) or present.facility != wanted.facility:
                raise WrongFile(f"{wanted.facility}: the keys that endorse the new ones are not its own")
            keys = wanted.link_key, wanted.signing_key, wanted.sealing_key
            text = renewal_text(wanted.facility, present.serial, *keys)
            present.signing_key.verify(wanted.endorsement, text)
        return statements.Credential(
            facility=wanted.facility,
            serial=wanted.serial,
            link_key=LinkPublicKey(wanted.link_key),
            signing_key=SigningPublicKey(wanted.signing_key),
            sealing_key=SealingPublicKey(wanted.sealing_key),
            not_before_ms=now_ms - BACKDATED_MS,
            not_after_ms=now_ms + CREDENTIAL_VALID_MS,
        )
    except CryptoError as fault:
        raise WrongFile(f"{wanted.facility}: {fault}; nothing was signed") from None


def import_signed(
    connection: Connection, issuer: service.Issuer, content: bytes, *, actor: str, now_ms: int
) -> Imported:
    """Take the authority's word; what does not verify or was not asked for is left, with the reason.

    :class:`WrongFile` for what is no such file.
    """
    try:
        file = msgspec.json.decode(content, type=SignedFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise WrongFile(f"this is no file of signed statements: {fault}") from None
    left: list[str] = []
    keys, revocations = 0, 0
    taken = _take_changes(connection, issuer, file, left, actor, now_ms)
    for blob in file.statements:
        try:
            statement = statements.verify(blob, issuer.authority_key)
        except CryptoError as fault:
            left.append(str(fault))
            continue
        if isinstance(statement, statements.Credential):
            reason = _take_credential(connection, statement, blob, actor, now_ms)
            keys += not reason
        elif isinstance(statement, statements.Revocation):
            reason = _take_revocation(connection, statement, blob, actor, now_ms)
            revocations += not reason
        else:
            reason = "a statement that nobody asked for"
        if reason:
            left.append(reason)
    return Imported(keys, revocations, tuple(left), taken)


def _take_changes(
    connection: Connection, issuer: service.Issuer, file: SignedFile, left: list[str], actor: str, now_ms: int
) -> int:
    """Take changes of the network's own keys, and note in ``left`` why one was not; returns how many."""
    try:
        if file.again is not None:
            if len(file.changes) != 1:
                raise WrongFile("a succession is one change")
            again = {one.before: one.after for one in file.again}
            rotation.take_succession(connection, issuer, file.changes[0], again, actor=actor, now_ms=now_ms)
            return 1
        reasons = [
            rotation.take_signed(connection, issuer, blob, actor=actor, now_ms=now_ms)
            for blob in file.changes
        ]
    except CryptoError as fault:
        raise WrongFile(f"{fault}; nothing was taken") from None
    left += [reason for reason in reasons if reason]
    return sum(not reason for reason in reasons)


def _take_credential(
    connection: Connection, credential: statements.Credential, blob: bytes, actor: str, now_ms: int
) -> str:
    request = requests.find(connection, credential.link_key)
    where = f"{credential.facility}, serial {credential.serial}"
    if request is None or not request.approved_by:
        return f"{where}: no approved keys wait for this"
    wanted = request.facility, request.signing_key, request.sealing_key
    if wanted != (credential.facility, credential.signing_key, credential.sealing_key):
        return f"{where}: the keys that wait are others"
    if credential.serial != service.next_serial(connection, credential.facility):
        return f"{where}: another credential has come since; export again"
    requests.remove(connection, credential.link_key)
    row = store.CredentialRow(
        credential.facility, credential.serial, bytes(credential.link_key), blob,
        revoked=False, not_after_ms=credential.not_after_ms, issued_ms=now_ms,
    )  # fmt: skip
    store.put_credential(connection, row)
    details = {"serial": str(credential.serial), "fingerprint": in_words(request.fingerprint)}
    record(connection, Act(actor, "facility.signed", credential.facility, details), now_ms)
    return ""


def _take_revocation(
    connection: Connection, revocation: statements.Revocation, blob: bytes, actor: str, now_ms: int
) -> str:
    wanted = {(one.facility, one.serial) for one in _unsigned_revocations(connection)}
    if (revocation.facility, revocation.serial) not in wanted:
        return f"{revocation.facility}: no revocation up to {revocation.serial} waits"
    store.revoke(connection, revocation.facility, revocation.serial, blob)
    details = {"serial": str(revocation.serial)}
    record(connection, Act(actor, "facility.revocation-signed", revocation.facility, details), now_ms)
    return ""
