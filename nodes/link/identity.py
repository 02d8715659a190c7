"""Who this node is: its keys, its credential, and the hub and authority it trusts.

``keys`` (three private keys) and ``identity.json`` (public) lie in the home, mode 0600.
Both are written by ``wasl-node join`` and read by every process that works on the home.
Both check themselves: ``identity.json`` holds a digest over its other fields, so that a
damaged hub key is found here, and not guessed from a hub that does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from crypto import identity as statements
from crypto import keystore, sealing
from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, LinkPublicKey, SealingPrivateKey, SigningPrivateKey, SigningPublicKey
from crypto.primitives import blake2b
from nodes.link.errors import NodeError
from protocols.link.envelope import Receipt, SignedReceipt, encode
from protocols.link.joincode import Endpoint
from runtime.home import read_bounded, write_new, write_private

KEYS: Final = "keys"
IDENTITY: Final = "identity.json"
_FILE_BYTES: Final = 64 * 1_024
_CHECK_BYTES: Final = 16


class _IdentityFile(Struct, frozen=True):
    """``identity.json``: bytes are base64."""

    facility: str
    hub: Endpoint
    hub_name: str
    hub_key: bytes
    authority_key: bytes
    credential: bytes
    check: bytes = b""
    """``_CHECK_BYTES`` over all the others; against damage, not against a person who means to change it."""

    def checked(self) -> _IdentityFile:
        """Return the same with the digest that belongs to it."""
        plain = msgspec.structs.replace(self, check=b"")
        check = blake2b(msgspec.msgpack.encode(plain), size=_CHECK_BYTES, person=b"wasl identity")
        return msgspec.structs.replace(self, check=check)


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The private half. ``repr`` of a key shows its fingerprint only."""

    link: LinkPrivateKey
    signing: SigningPrivateKey
    sealing: SealingPrivateKey

    @classmethod
    def generate(cls) -> NodeKeys:
        """Return fresh keys."""
        return cls(LinkPrivateKey.generate(), SigningPrivateKey.generate(), SealingPrivateKey.generate())


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything a node must know before it speaks. ``hub`` is ``host:port``."""

    facility: str
    hub: str
    hub_name: str
    hub_key: LinkPublicKey
    authority_key: SigningPublicKey
    credential: statements.Credential
    credential_blob: bytes
    keys: NodeKeys

    def sign_receipt(self, receipt: Receipt) -> bytes:
        """Return the receipt with this facility's signature, encoded."""
        data = encode(receipt)
        return encode(SignedReceipt(data, sealing.sign_receipt(self.keys.signing, data)))


def save_keys(home: Path, keys: NodeKeys) -> None:
    """Write the private keys; before they are ever used, so that a retried join is the same node.

    Raises FileExistsError rather than replace any, OSError.
    """
    named: dict[str, LinkPrivateKey | SigningPrivateKey | SealingPrivateKey] = {
        "link": keys.link,
        "signing": keys.signing,
        "sealing": keys.sealing,
    }
    write_new(home / KEYS, keystore.encode(named))


def load_keys(home: Path) -> NodeKeys | None:
    """Return the private keys, None if there are none yet; :class:`NodeError` names a damaged file."""
    path = home / KEYS
    if not path.exists():
        return None
    try:
        found = keystore.parse(read_bounded(path, _FILE_BYTES))
        return NodeKeys(found.link, found.signing, found.sealing)
    except CryptoError as fault:
        raise NodeError("keys", f"{path}: {fault}") from None


def save_identity(home: Path, identity: Identity) -> None:
    """Write what ``join`` learned."""
    file = _IdentityFile(
        identity.facility,
        identity.hub,
        identity.hub_name,
        bytes(identity.hub_key),
        bytes(identity.authority_key),
        identity.credential_blob,
    ).checked()
    write_private(home / IDENTITY, msgspec.json.format(msgspec.json.encode(file), indent=2))


def load_identity(home: Path) -> Identity:
    """Return who this node is; :class:`NodeError` says what is missing or damaged, and what to do."""
    path = home / IDENTITY
    keys = load_keys(home)
    if keys is None or not path.exists():
        raise NodeError(
            "not-joined", f"{home} belongs to no network yet: run `wasl-node join CODE --home {home}` first"
        )
    try:
        file = msgspec.json.decode(read_bounded(path, _FILE_BYTES), type=_IdentityFile)
        authority = SigningPublicKey(file.authority_key)
        credential = statements.verify(file.credential, authority)
        if not isinstance(credential, statements.Credential):
            raise NodeError("identity", f"{path}: `credential` is another kind of statement")
        _check_whose(path, file, credential, keys)
        if file.check != file.checked().check:
            raise NodeError("identity", f"{path}: damaged (`check` does not fit): restore it from a backup")
        return Identity(
            file.facility,
            file.hub,
            file.hub_name,
            LinkPublicKey(file.hub_key),
            authority,
            credential,
            file.credential,
            keys,
        )
    except (CryptoError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise NodeError("identity", f"{path}: {fault}") from None


def _check_whose(path: Path, file: _IdentityFile, credential: statements.Credential, keys: NodeKeys) -> None:
    if credential.facility != file.facility:
        raise NodeError(
            "identity",
            f"{path}: `facility` is {file.facility!r}, the credential is {credential.facility!r}'s",
        )
    mine = keys.link.public, keys.signing.public, keys.sealing.public
    if mine != (credential.link_key, credential.signing_key, credential.sealing_key):
        raise NodeError(
            "identity", f"{path}: the credential is for other keys than those beside it; restore both files"
        )
