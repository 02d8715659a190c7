"""What a browser is asked about passkeys, and what its answer is worth (WebAuthn level 2, chapter 7).

*Challenges* are made without writing anything: a nonce and a time with a MAC over both, over what they are
for, and over the browser's own session, by the site's secret. So a stranger who asks a thousand times costs
nothing, and an answer fits only the browser, the purpose and the ``ANSWER_MS`` that it was asked in. That it
counts once is the table's part (:func:`runtime.web.passkeys.spend`).

*Answers* are checked by py_webauthn against this site's name and origin. The user must have been verified by
the authenticator (a finger, a face, a PIN), and a passkey is found without a name having been typed, so it
is a second factor and a first one in one step. The authenticator's count must rise, if it keeps one: two
devices with the same passkey give themselves away. The count is compared after the signature, so a stranger
cannot raise that alarm. No attestation is asked for: which make it is matters to nobody here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from runtime.web import passkeys
from runtime.web.passkeys import Passkey, PasskeyTables

if TYPE_CHECKING:
    from runtime.web.site import SitePlan

ANSWER_MS: Final = 10 * 60_000
ANSWER_CHARS: Final = 16_384
"""Of the browser's JSON; an RSA key with its attestation takes 3,000."""
_ASKED_MS: Final = 120_000
"""How long the browser lets the user search for the authenticator."""
_NONCE: Final = struct.Struct(">16sQ")
_MAC_BYTES: Final = 32
ID_BYTES: Final = 1_023
"""WebAuthn level 2, 6.1: the longest credential id."""
RP_NAME: Final = "Wasl"
REGISTER: Final = "register"
SIGN_IN: Final = "sign-in"


class PasskeyRefused(ValueError):  # noqa: N818 - says what it is
    """An answer that is not taken: ``malformed``, ``late``, ``wrong`` or ``copied``.

    Of a new passkey also ``bad-label``, ``too-many`` or ``known``.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Party:
    """The site as authenticators know it: ``id`` is its host's name, ``origin`` where browsers reach it."""

    id: str
    origin: str
    name: str


def party_of(plan: SitePlan) -> Party | None:
    """Return how authenticators know a site; None where browsers have no passkeys for it.

    They have them by TLS and for ``localhost``, and never for an address made of numbers. Without an origin a
    site is reached at ``http://localhost`` and its port, which a tunnel must not change.
    """
    origin = plan.origin or (f"http://localhost:{plan.port}" if plan.port else "")
    parts = urlsplit(origin)
    host = parts.hostname or ""
    trusted = parts.scheme == "https" or host == "localhost"
    numbers = ":" in host or host.rpartition(".")[2].isdigit()
    return Party(host, origin, RP_NAME) if host and trusted and not numbers else None


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom a challenge is good: the site's ``secret``, the ``purpose``, the browser's ``session``."""

    secret: bytes
    purpose: str
    session: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A passkey's answer that is right, and what to note of it."""

    passkey: Passkey
    uses: int
    challenge: bytes
    until_ms: int


def challenge(asked: Asked) -> bytes:
    """Return a new challenge."""
    head = _NONCE.pack(secrets.token_bytes(16), asked.now_ms + ANSWER_MS)
    return head + _mac(asked, head)


def _mac(asked: Asked, head: bytes) -> bytes:
    bound = b"\0".join((b"wasl passkey", asked.purpose.encode(), asked.session.encode(), head))
    return hmac.digest(asked.secret, bound, "sha256")


def _until_ms(asked: Asked, found: bytes) -> int:
    """Return until when a challenge is good; PasskeyRefused for one that is not ours, or too old."""
    head, mac = found[: _NONCE.size], found[_NONCE.size :]
    if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, _mac(asked, head)):
        raise PasskeyRefused("late", "the challenge was not made for this browser's session")
    until_ms = int(_NONCE.unpack(head)[1])
    if not asked.now_ms <= until_ms <= asked.now_ms + ANSWER_MS:
        raise PasskeyRefused("late", "the challenge is too old")
    return until_ms


def handle_of(secret: bytes, name: str) -> bytes:
    """Return how authenticators tell this user from others: 32 bytes that do not say the name."""
    return hmac.digest(secret, b"wasl passkey handle\0" + name.encode(), "sha256")


def creation_options(party: Party, asked: Asked, name: str, known: Sequence[Passkey]) -> str:
    """Return what ``navigator.credentials.create`` is asked, as JSON; ``known`` may not be made again."""
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_name=name,
        user_id=known[0].handle if known else handle_of(asked.secret, name),
        challenge=challenge(asked),
        timeout=_ASKED_MS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one.id) for one in known],
    )
    return options_to_json(options)


def request_options(party: Party, asked: Asked) -> str:
    """Return what ``navigator.credentials.get`` is asked, as JSON: any passkey of this site."""
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge(asked),
        timeout=_ASKED_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def made(party: Party, asked: Asked, text: str, *, name: str, label: str, handle: bytes) -> Passkey:
    """Return the passkey that a browser says was made for ``name``; raises :class:`PasskeyRefused`."""
    found, answered = _answered(text)
    _until_ms(asked, answered)
    try:
        made = verify_registration_response(
            credential=found,
            expected_challenge=answered,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except Exception as error:  # whatever another's parser says of foreign bytes
        raise PasskeyRefused("wrong", str(error)[:200]) from error
    if not 0 < len(made.credential_id) <= ID_BYTES:
        raise PasskeyRefused("wrong", f"a credential id has at most {ID_BYTES} bytes")
    return Passkey(
        made.credential_id, name, label, handle, made.credential_public_key, made.sign_count,
        asked.now_ms, None,
    )  # fmt: skip


def credential_id(text: str) -> bytes:
    """Return which credential an answer is from, before anything of it is believed."""
    found, _ = _answered(text)
    return _bytes(found.get("rawId"))


def answered(party: Party, asked: Asked, text: str, passkey: Passkey) -> Answer:
    """Return what to note of an answer by ``passkey``; raises :class:`PasskeyRefused`.

    ``copied``: it is signed rightly, but the authenticator's count has not risen.
    """
    found, challenged = _answered(text)
    until_ms = _until_ms(asked, challenged)
    try:
        right = verify_authentication_response(
            credential=found,
            expected_challenge=challenged,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
        handle = _bytes(found["response"]["userHandle"])
    except Exception as error:  # whatever another's parser says of foreign bytes
        raise PasskeyRefused("wrong", str(error)[:200]) from error
    if right.credential_id != passkey.id or handle != passkey.handle:
        raise PasskeyRefused("wrong", "the answer is from another passkey")
    if passkey.uses and right.new_sign_count <= passkey.uses:
        raise PasskeyRefused("copied", "the authenticator's count has not risen: there may be a copy of it")
    return Answer(passkey, right.new_sign_count, hashlib.sha256(challenged).digest(), until_ms)


def settle(connection: Connection, tables: PasskeyTables, answer: Answer, now_ms: int) -> None:
    """Let an answer count, once; raises PasskeyRefused (late) if it has, or if the passkey went meanwhile.

    In the transaction that begins the session.
    """
    once = passkeys.spend(connection, tables, answer.challenge, until_ms=answer.until_ms, now_ms=now_ms)
    if not once or not passkeys.used(connection, tables, answer.passkey, answer.uses, now_ms):
        raise PasskeyRefused("late", "this answer has been used before")


def _answered(text: str) -> tuple[dict[str, Any], bytes]:
    """Return a browser's JSON and the challenge in it."""
    if not text or len(text) > ANSWER_CHARS:
        raise PasskeyRefused("malformed", f"an answer has 1 to {ANSWER_CHARS:,} characters")
    try:
        found = json.loads(text)
        said = json.loads(_bytes(found["response"]["clientDataJSON"]))
        return found, _bytes(said["challenge"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PasskeyRefused("malformed", "this is no answer of a browser") from error


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise PasskeyRefused("malformed", "base64url expected")
    try:
        return bytes(base64url_to_bytes(text))
    except ValueError as error:
        raise PasskeyRefused("malformed", "base64url expected") from error
