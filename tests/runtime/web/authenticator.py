"""An authenticator in memory: what a browser and a security key do with a site's questions."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT: Final = 0x01
VERIFIED: Final = 0x04
_ATTESTED: Final = 0x40


def encoded(content: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """Return what :func:`encoded` was given."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(slots=True)
class Authenticator:
    """One credential on one device. ``origin`` is the page's; ``flags`` what the user did."""

    origin: str
    flags: int = PRESENT | VERIFIED
    uses: int = 0
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""
    rp_id: str = ""
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: str) -> str:
        """Do ``navigator.credentials.create``; returns what the page sends."""
        asked = json.loads(options)
        self.handle, self.rp_id = decoded(asked["user"]["id"]), asked["rp"]["id"]
        point = self._key.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)})
        credential = bytes(16) + len(self.id).to_bytes(2) + self.id + public
        attested = {"fmt": "none", "attStmt": {}, "authData": self._data(_ATTESTED) + credential}
        return self._answer(
            {
                "clientDataJSON": encoded(self._client("webauthn.create", asked)),
                "attestationObject": encoded(cbor2.dumps(attested)),
            }
        )

    def get(self, options: str) -> str:
        """Do ``navigator.credentials.get``; returns what the page sends."""
        client = self._client("webauthn.get", json.loads(options))
        self.uses += bool(self.uses)
        data = self._data(0)
        signed = self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": encoded(client),
                "authenticatorData": encoded(data),
                "signature": encoded(signed),
                "userHandle": encoded(self.handle),
            }
        )

    def _client(self, kind: str, asked: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": asked["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _data(self, more: int) -> bytes:
        return (
            hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags | more]) + self.uses.to_bytes(4)
        )

    def _answer(self, response: dict[str, str]) -> str:
        name = encoded(self.id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
