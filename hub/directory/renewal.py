"""New keys for a node that is in already: it asks with its present ones, and both count for a while.

What the present signing key endorsed needs no second person. The credential before stays in the directory,
so that what was signed with it still verifies; its link key opens no session any more once the node has
connected with the new one (``store.retire_before``). Nodes keep two credentials of a facility in mind, so a
third may come only when no message can be under way that the first one signed: ``RENEWAL_SPACING_MS``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from crypto import identity as statements
from crypto.errors import CryptoError
from crypto.keys import LinkPublicKey, SealingPublicKey, SigningPublicKey
from hub.directory import requests, store
from hub.directory.requests import Request
from hub.directory.service import Issuer, settle
from protocols.link import frames as f
from protocols.link import limits
from protocols.link.errors import RemoteError
from protocols.link.joincode import renewal_text

BY_KEYS: Final = "the keys before"
"""Who approved a renewal."""
RENEWAL_SPACING_MS: Final = limits.VALID_FOR_MAX_MS


class RenewalRefused(Exception):  # noqa: N818 - past tense states the outcome
    """Not now, or not these keys; the code is stable, the text is for the node's operator."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def renew(
    connection: Connection, issuer: Issuer, link_key: bytes, frame: f.Renew, now_ms: int
) -> store.CredentialRow | Request:
    """Certify the keys in ``frame`` for the facility whose session has ``link_key``, or note that they wait.

    Raises :class:`RemoteError` for signatures that are wrong, :class:`RenewalRefused`.
    """
    present = store.find_credential(connection, link_key)
    if present is None or present.revoked:
        raise RenewalRefused("renewal-refused", "the present keys are not known here, or were revoked")
    link, signing, sealing = _keys(present, frame)
    known = store.find_credential(connection, frame.link_key)
    if known is not None:
        if known.facility != present.facility or _certified(known) != (link, signing, sealing):
            raise RenewalRefused("renewal-refused", "this link key belongs to other keys already")
        return known
    request = requests.find(connection, link)
    if request is None:
        _check_spacing(connection, present.facility, now_ms)
        # What the node asked for before, and did not get, it does not want any more.
        for stale in requests.waiting(connection, present.facility):
            if stale.proof:
                requests.remove(connection, stale.link_key)
        request = Request(present.facility, link, signing, sealing, now_ms, "", BY_KEYS, frame.endorsement)
        requests.put(connection, request)
    elif (request.facility, request.signing_key, request.sealing_key) != (present.facility, signing, sealing):
        raise RenewalRefused("renewal-refused", "this link key was asked for with other keys")
    return settle(connection, issuer, request, now_ms)


def _keys(
    present: store.CredentialRow, frame: f.Renew
) -> tuple[LinkPublicKey, SigningPublicKey, SealingPublicKey]:
    """Return the new keys, if the node holds them and its present signing key endorses them."""
    text = renewal_text(
        present.facility, present.serial, frame.link_key, frame.signing_key, frame.sealing_key
    )
    try:
        link, sealing = LinkPublicKey(frame.link_key), SealingPublicKey(frame.sealing_key)
        signing = SigningPublicKey(frame.signing_key)
        signing.verify(frame.proof, text)
        _certified(present)[1].verify(frame.endorsement, text)
    except CryptoError as error:
        raise RemoteError("malformed", f"RENEW: {error}") from None
    if link.low_order or sealing.low_order:
        raise RemoteError("malformed", "RENEW: a key of low order: nobody could seal anything for it")
    return link, signing, sealing


def _certified(row: store.CredentialRow) -> tuple[LinkPublicKey, SigningPublicKey, SealingPublicKey]:
    credential = statements.recall(row.statement)
    assert isinstance(credential, statements.Credential)
    return credential.link_key, credential.signing_key, credential.sealing_key


def _check_spacing(connection: Connection, facility: str, now_ms: int) -> None:
    rows = store.credentials_of(connection, facility)
    if len(rows) > 1 and now_ms < rows[0].issued_ms + RENEWAL_SPACING_MS:
        days = -((now_ms - rows[0].issued_ms - RENEWAL_SPACING_MS) // 86_400_000)
        raise RenewalRefused(
            "renewal-early",
            f"messages may be under way that the keys before the present ones signed: again in {days} days. "
            "If a key was stolen, have the facility revoked and join anew",
        )
