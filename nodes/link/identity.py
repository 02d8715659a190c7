"""Who this node is: its keys, its credential, and the hub and authority it trusts.

``identity.json`` (public) lies in the home, mode 0600, beside the private keys (``nodes.link.keyfiles``).
After a renewal (``nodes.link.renewal``) it names the file of the present keys and those of the keys before,
with which messages are opened that were sealed for them, so one rename changes from old to new.
The hub's link key and the authority's key are the newest of a chain that the node has followed
(``crypto.trust``); ``trust-next`` is a further piece of it that somebody carried here by hand.
Both are written by ``wasl-node join`` and read by every process that works on the home.
Both check themselves: ``identity.json`` holds a digest over its other fields, so that a
damaged hub key is found here, and not guessed from a hub that does not answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from crypto import identity as statements
from crypto import sealing
from crypto.errors import BadStatement, CryptoError
from crypto.keys import LinkPublicKey, SealingPrivateKey, SigningPublicKey
from crypto.primitives import blake2b
from crypto.trust import AUTHORITIES_KEPT, Anchors
from nodes.link.errors import NodeError
from nodes.link.keyfiles import (
    CREDENTIAL,
    KEYS,
    NEXT,
    RENEWED,
    NodeKeys,
    keep_renewed_apart,
    key_file,
    key_text,
    load_keys,
)
from protocols.link.envelope import Receipt, SignedReceipt, encode
from protocols.link.joincode import Endpoint
from runtime import crash
from runtime.home import read_bounded, write_private

TRUST_NEXT: Final = "trust-next"
EARLIER_KEPT: Final = 2
"""Sets of keys before the present ones that still open what was sealed for them."""
IDENTITY: Final = "identity.json"
_FILE_BYTES: Final = 64 * 1_024
_CHECK_BYTES: Final = 16
_T = TypeVar("_T")


KeysName = Annotated[str, Meta(pattern=r"^keys(-[0-9]{1,19})?\Z")]


class _IdentityFile(Struct, frozen=True, omit_defaults=True):
    """``identity.json``: bytes are base64."""

    facility: str
    hub: Endpoint
    hub_name: str
    hub_key: bytes
    authority_key: bytes
    credential: bytes
    keys: KeysName = KEYS
    earlier: Annotated[tuple[KeysName, ...], Meta(max_length=EARLIER_KEPT)] = ()
    trust_serial: int = 0
    hub_key_next: bytes = b""
    authorities_before: Annotated[tuple[bytes, ...], Meta(max_length=AUTHORITIES_KEPT)] = ()
    authorities_retired: Annotated[tuple[bytes, ...], Meta(max_length=AUTHORITIES_KEPT)] = ()
    check: bytes = b""
    """``_CHECK_BYTES`` over all the others; against damage, not against a person who means to change it."""

    def checked(self) -> _IdentityFile:
        """Return the same with the digest that belongs to it."""
        plain = msgspec.structs.asdict(self) | {"check": b""}
        if not self.earlier:  # as it was before there were renewals
            del plain["keys"], plain["earlier"]
        if not self.trust_serial:  # as it was before keys of the network's own could change
            for name in ("trust_serial", "hub_key_next", "authorities_before", "authorities_retired"):
                del plain[name]
        check = blake2b(msgspec.msgpack.encode(plain), size=_CHECK_BYTES, person=b"wasl identity")
        return msgspec.structs.replace(self, check=check)


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
    earlier: tuple[NodeKeys, ...] = ()
    upcoming: NodeKeys | None = None
    keys_name: str = KEYS
    earlier_names: tuple[str, ...] = ()
    trust_serial: int = 0
    """How far this node has followed the changes of the network's own keys (``crypto.trust``)."""
    hub_key_next: LinkPublicKey | None = None
    """Takes the place of ``hub_key`` once the hub has answered by it."""
    authorities_before: tuple[SigningPublicKey, ...] = ()
    authorities_retired: tuple[SigningPublicKey, ...] = ()

    @property
    def authorities(self) -> tuple[SigningPublicKey, ...]:
        """Whose signature makes a statement believed; the present authority is the first."""
        return self.authority_key, *self.authorities_before

    @property
    def known_authorities(self) -> tuple[SigningPublicKey, ...]:
        """Whose signature what is kept here may bear: it was verified when it came."""
        return *self.authorities, *self.authorities_retired

    def following(self, changes: Iterable[bytes]) -> Identity:
        """Return the identity after these changes of the network's keys, in order; the same if none is new.

        Raises ``BadStatement`` for the first one that this node has no reason to believe; nothing counts
        then.
        """
        now = Anchors(
            self.hub_name, self.trust_serial, self.hub_key_next or self.hub_key, self.authority_key,
            self.authorities_before, self.authorities_retired,
        )  # fmt: skip
        for blob in changes:
            now = now.follow(blob)
        if now.serial == self.trust_serial:
            return self
        return replace(
            self,
            trust_serial=now.serial,
            hub_key_next=None if now.link == self.hub_key else now.link,
            authority_key=now.authority,
            authorities_before=now.before,
            authorities_retired=now.retired,
        )

    def signed_again(self, blobs: Iterable[bytes]) -> Identity:
        """Return the identity with our credential as the present authority signed it, if that is here."""
        for blob in blobs:
            if blob != self.credential_blob and statements.same(blob, self.credential_blob):
                try:
                    statements.verify(blob, self.authority_key)
                except BadStatement:
                    continue
                return replace(self, credential_blob=blob)
        return self

    def open_with_any(self, sealed: bytes, opener: Callable[[SealingPrivateKey, bytes], _T]) -> _T:
        """Return what ``opener`` makes of ``sealed`` with the first of our sealing keys that fits.

        Others may seal for new keys before we use them, and for the keys before until they have heard of
        these. Raises what ``opener`` raises for the present key if none fits.
        """
        try:
            return opener(self.keys.sealing, sealed)
        except CryptoError:
            for one in (*((self.upcoming,) if self.upcoming else ()), *self.earlier):
                with contextlib.suppress(CryptoError):
                    return opener(one.sealing, sealed)
            raise

    def sign_receipt(self, receipt: Receipt) -> bytes:
        """Return the receipt with this facility's signature, encoded."""
        data = encode(receipt)
        return encode(SignedReceipt(data, sealing.sign_receipt(self.keys.signing, data)))


def save_identity(home: Path, identity: Identity) -> None:
    """Write what ``join`` learned."""
    file = _IdentityFile(
        identity.facility,
        identity.hub,
        identity.hub_name,
        bytes(identity.hub_key),
        bytes(identity.authority_key),
        identity.credential_blob,
        identity.keys_name,
        identity.earlier_names,
        identity.trust_serial,
        b"" if identity.hub_key_next is None else bytes(identity.hub_key_next),
        tuple(map(bytes, identity.authorities_before)),
        tuple(map(bytes, identity.authorities_retired)),
    ).checked()
    write_private(home / IDENTITY, msgspec.json.format(msgspec.json.encode(file), indent=2))


def switch(
    home: Path, identity: Identity, credential: statements.Credential, credential_blob: bytes
) -> Identity:
    """Make the upcoming keys the present ones, on the disk; returns the identity from now on.

    Safe to be cut anywhere and to be done again. The keys before stay, ``EARLIER_KEPT`` sets of them.
    Raises OSError.
    """
    assert identity.upcoming is not None
    name = f"{KEYS}-{credential.serial}"
    keep_renewed_apart(home)
    write_private(home / RENEWED / name, key_text(identity.upcoming))
    earlier = (
        (identity.keys_name, identity.keys),
        *zip(identity.earlier_names, identity.earlier, strict=True),
    )
    kept = earlier[:EARLIER_KEPT]
    following = replace(
        identity,
        credential=credential,
        credential_blob=credential_blob,
        keys=identity.upcoming,
        upcoming=None,
        keys_name=name,
        earlier=tuple(keys for _, keys in kept),
        earlier_names=tuple(kept_name for kept_name, _ in kept),
    )
    save_identity(home, following)
    crash.reached("node-keys-switched")
    for gone in (NEXT, *(gone_name for gone_name, _ in earlier[EARLIER_KEPT:])):
        key_file(home, gone).unlink(missing_ok=True)
    return following


def moved(identity: Identity) -> Identity:
    """Return the identity with the hub's next link key in place of the present one."""
    if identity.hub_key_next is None:
        return identity
    return replace(identity, hub_key=identity.hub_key_next, hub_key_next=None)


def load_identity(home: Path) -> Identity:
    """Return who this node is; :class:`NodeError` says what is missing or damaged, and what to do."""
    path = home / IDENTITY
    if not path.exists():
        raise NodeError(
            "not-joined", f"{home} belongs to no network yet: run `wasl-node join CODE --home {home}` first"
        )
    file = _read_file(path)
    keys = load_keys(home, file.keys)
    if keys is None:
        raise NodeError(
            "keys",
            f"{key_file(home, file.keys)} is missing: restore it from a backup; "
            f"if it is sealed ({CREDENTIAL}), run the command as docs/install.md shows for sealed keys",
        )
    earlier = [(name, found) for name in file.earlier if (found := load_keys(home, name)) is not None]
    upcoming = load_keys(home, NEXT)
    try:
        authority = SigningPublicKey(file.authority_key)
        before = tuple(map(SigningPublicKey, file.authorities_before))
        retired = tuple(map(SigningPublicKey, file.authorities_retired))
        credential = statements.verify_by_any(file.credential, (authority, *before, *retired))
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
            tuple(found for _, found in earlier),
            None if upcoming == keys else upcoming,
            file.keys,
            tuple(name for name, _ in earlier),
            file.trust_serial,
            LinkPublicKey(file.hub_key_next) if file.hub_key_next else None,
            before,
            retired,
        )
    except CryptoError as fault:
        raise NodeError("identity", f"{path}: {fault}") from None


def load_facility(home: Path) -> str:
    """Return which facility's home this is, without its keys; raises as :func:`load_identity` does.

    For processes that must not hold keys. The authority's signature and the file's digest are checked.
    """
    path = home / IDENTITY
    if not path.exists():
        raise NodeError(
            "not-joined", f"{home} belongs to no network yet: run `wasl-node join CODE --home {home}` first"
        )
    file = _read_file(path)
    try:
        known = map(
            SigningPublicKey, (file.authority_key, *file.authorities_before, *file.authorities_retired)
        )
        credential = statements.verify_by_any(file.credential, tuple(known))
    except CryptoError as fault:
        raise NodeError("identity", f"{path}: {fault}") from None
    if not isinstance(credential, statements.Credential) or file.check != file.checked().check:
        raise NodeError("identity", f"{path}: damaged: restore it from a backup")
    return credential.facility


def _read_file(path: Path) -> _IdentityFile:
    try:
        return msgspec.json.decode(read_bounded(path, _FILE_BYTES), type=_IdentityFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
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
