"""Which keys hold at this hub: the key file has them, the database says which of them are in force.

A key that takes the place of another is drawn first, and both lie in the key file: ``link`` and
``link-next``, ``authority`` and ``authority-next``, ``audit`` and ``audit-next``. What the one does, and the
other no more, is a change in the database (``hub.directory.trust``, ``hub.audit.keys``), one transaction
each; then the file is tidied. Cut between the two, the file has one key too many, and nothing else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from crypto.keys import LinkPrivateKey, SigningPrivateKey, SigningPublicKey
from hub.audit import keys as audit_keys
from hub.directory import trust

LINK_NEXT: Final = "link-next"
AUTHORITY_NEXT: Final = "authority-next"
AUDIT_NEXT: Final = "audit-next"


@dataclass(frozen=True, slots=True)
class HubKeys:
    """The hub's private keys. The authority's may live elsewhere; then facilities are admitted there."""

    link: LinkPrivateKey
    authority: SigningPrivateKey | SigningPublicKey
    audit: SigningPrivateKey | None = None
    """Signs the audit log's checkpoints; None in a home that was made before there were any."""
    link_next: LinkPrivateKey | None = None
    authority_next: SigningPrivateKey | None = None
    audit_next: SigningPrivateKey | None = None

    @property
    def authority_key(self) -> SigningPublicKey:
        """The public half of the authority's key, which is here in any case."""
        return self.authority if isinstance(self.authority, SigningPublicKey) else self.authority.public


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds now. ``keys``: each as it is used, nothing that is only drawn.

    ``links``: by which nodes may call, the newest that was announced first. ``told``: (serial, statement) of
    each change that nodes are told, in order. ``lacking``: the fingerprint of a link key that was announced
    and that this key file has not, or empty; what was announced after it is not told by this process.
    """

    keys: HubKeys
    links: tuple[LinkPrivateKey, ...]
    told: tuple[tuple[int, bytes], ...] = ()
    lacking: str = ""

    @property
    def serial(self) -> int:
        """Of the last change that nodes are told."""
        return self.told[-1][0] if self.told else 0


def in_force(connection: Connection, file: HubKeys) -> InForce:
    """Return which of the keys in the key file hold, by the database."""
    rows = trust.rows(connection)
    links, lacking = _links(file, rows)
    told = []
    for row in rows:
        if lacking and row.about_link and row.fingerprint == lacking:
            break
        if row.announced_ms is not None:
            told.append((row.serial, row.statement))
    audit = _audit(file, audit_keys.present(connection))
    keys = replace(file, link=links[0], authority=_authority(file, rows), audit=audit)
    return InForce(keys, links, tuple(told), lacking)


def _links(file: HubKeys, rows: list[trust.Row]) -> tuple[tuple[LinkPrivateKey, ...], str]:
    announced = [row for row in rows if row.about_link and row.announced_ms is not None]
    if not announced:
        return (file.link,), ""
    newest = announced[-1]
    mine = next((key for key in _of(file.link_next, file.link) if bytes(key.public) == newest.key), None)
    if mine is None:
        return (file.link,), newest.fingerprint
    if newest.finished or mine is file.link:
        return (mine,), ""
    return (mine, file.link), ""


def _of(*keys: LinkPrivateKey | None) -> Iterator[LinkPrivateKey]:
    yield from (key for key in keys if key is not None)


def _authority(file: HubKeys, rows: list[trust.Row]) -> SigningPrivateKey | SigningPublicKey:
    public = trust.authority(rows)
    if public is None:
        return file.authority
    for key in (file.authority_next, file.authority):
        if isinstance(key, SigningPrivateKey) and key.public == public:
            return key
    return public


def _audit(file: HubKeys, public: SigningPublicKey | None) -> SigningPrivateKey | None:
    if public is None:
        return file.audit
    return next((key for key in (file.audit_next, file.audit) if key and key.public == public), None)
