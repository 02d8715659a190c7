"""Keys that wait: for a second administrator, or for the authority's signature. SQL in, values out.

A node that asked to join, or for new keys, and could not be given its credential at once has one row here.
The row goes when the credential is issued, or when somebody refused it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from crypto.fingerprint import node_fingerprint
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPublicKey
from hub.directory.tables import requests


@dataclass(frozen=True, slots=True)
class Request:
    """Three public keys that want a credential of ``facility``.

    ``invited_by`` made the invitation; ``approved_by`` compared the fingerprint, empty if nobody has yet;
    ``proof`` is a renewal's signature with the key before (``crypto.identity.renewal``), empty for a join.
    """

    facility: str
    link_key: LinkPublicKey
    signing_key: SigningPublicKey
    sealing_key: SealingPublicKey
    asked_ms: int
    invited_by: str
    approved_by: str
    proof: bytes = b""

    @property
    def fingerprint(self) -> bytes:
        """What the two sides compare, 10 bytes."""
        return node_fingerprint(self.link_key, self.signing_key, self.sealing_key)


def put(connection: Connection, request: Request) -> None:
    """Keep a request."""
    connection.execute(
        insert(requests).values(
            link_key=bytes(request.link_key),
            facility=request.facility,
            signing_key=bytes(request.signing_key),
            sealing_key=bytes(request.sealing_key),
            asked_ms=request.asked_ms,
            invited_by=request.invited_by,
            approved_by=request.approved_by,
            proof=request.proof,
        )
    )


def find(connection: Connection, link_key: LinkPublicKey) -> Request | None:
    """Return the request for this link key."""
    row = connection.execute(select(requests).where(requests.c.link_key == bytes(link_key))).one_or_none()
    return None if row is None else _request(row)


def waiting(connection: Connection, facility: str | None = None) -> list[Request]:
    """Return what waits, of one facility or of all, oldest first."""
    query = select(requests).order_by(requests.c.asked_ms, requests.c.link_key)
    if facility is not None:
        query = query.where(requests.c.facility == facility)
    return [_request(row) for row in connection.execute(query)]


def approve(connection: Connection, link_key: LinkPublicKey, by: str) -> None:
    """Note who approved."""
    connection.execute(update(requests).where(requests.c.link_key == bytes(link_key)).values(approved_by=by))


def remove(connection: Connection, link_key: LinkPublicKey) -> None:
    """Forget a request: it was granted or refused."""
    connection.execute(delete(requests).where(requests.c.link_key == bytes(link_key)))


def remove_of(connection: Connection, facility: str) -> None:
    """Forget all requests of a facility."""
    connection.execute(delete(requests).where(requests.c.facility == facility))


def _request(row: object) -> Request:
    values = {name: getattr(row, name) for name in Request.__slots__}
    return Request(
        **{
            **values,
            "link_key": LinkPublicKey(values["link_key"]),
            "signing_key": SigningPublicKey(values["signing_key"]),
            "sealing_key": SealingPublicKey(values["sealing_key"]),
        }
    )
