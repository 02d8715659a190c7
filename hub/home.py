"""A hub's home: its settings, its keys, its database, and nothing that anybody else may read.

hub.toml      settings
keys          the hub's link key, the authority's and the audit log's signing keys
              (or systemd's credential ``wasl-hub.keys``)
public.json   the public halves of those that hold, for the console, which never opens ``keys``
hub.db        tables (unless the settings name another database)
attachments/  sealed chunks (unless the settings name another directory)
run.lock, poke  of the running daemon
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Engine

from config.hub import Admission, HubSettings, load_hub
from config.load import parse_settings, render
from crypto import keystore
from crypto.errors import CryptoError
from crypto.keys import (
    LinkPrivateKey,
    LinkPublicKey,
    SealingPrivateKey,
    SigningPrivateKey,
    SigningPublicKey,
)
from hub.directory.service import Issuer
from hub.keys import AUDIT_NEXT, AUTHORITY_NEXT, LINK_NEXT, HubKeys
from runtime import credentials
from runtime.database import open_engine
from runtime.home import (
    NODE_MARKS,
    HomeError,
    check_home,
    create_home,
    foreign_in,
    marks_in,
    read_bounded,
    write_new,
    write_private,
)

SETTINGS: Final = "hub.toml"
KEYS: Final = "keys"
PUBLIC: Final = "public.json"
AUTHORITY_PUBLIC: Final = "authority.pub"
CREDENTIAL: Final = "wasl-hub.keys"
"""The key file's name where systemd hands it over (:mod:`runtime.credentials`)."""
DATABASE: Final = "hub.db"
ATTACHMENTS: Final = "attachments"
POKE: Final = "poke"


class HubHomeError(Exception):
    """A home that cannot be used, with what to do about it."""


class _Public(msgspec.Struct, frozen=True):
    """The file ``PUBLIC``: hexadecimal digits, and the serial of the change that led to these keys."""

    link: str
    authority: str
    trust: int = 0
    link_next: str = ""
    audit: str = ""
    signs: bool = False


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The public halves of the keys that hold.

    ``trust``: the serial of the change that led to them. ``link_next``: the link key that lies beside the one
    in use, in the key file of the daemon that published this. ``signs``: the authority's key is there too.
    """

    link: LinkPublicKey
    authority: SigningPublicKey
    trust: int
    link_next: LinkPublicKey | None
    audit: SigningPublicKey | None
    signs: bool


def publish(home: Path, keys: HubKeys, trust_serial: int) -> None:
    """Leave the public halves of the keys that hold in the home; raises OSError."""
    public = _Public(
        link=bytes(keys.link.public).hex(),
        authority=bytes(keys.authority_key).hex(),
        trust=trust_serial,
        link_next="" if keys.link_next is None else bytes(keys.link_next.public).hex(),
        audit="" if keys.audit is None else bytes(keys.audit.public).hex(),
        signs=isinstance(keys.authority, SigningPrivateKey),
    )
    content = msgspec.json.encode(public)
    if not (home / PUBLIC).exists() or read_bounded(home / PUBLIC, credentials.MAX_BYTES) != content:
        write_private(home / PUBLIC, content)


def public_keys(home: Path) -> PublicKeys:
    """Return what :func:`publish` left; :class:`HubHomeError` if there is nothing, or nothing that reads."""
    path = home / PUBLIC
    try:
        found = msgspec.json.decode(read_bounded(path, credentials.MAX_BYTES), type=_Public)
        return PublicKeys(
            link=LinkPublicKey(bytes.fromhex(found.link)),
            authority=SigningPublicKey(bytes.fromhex(found.authority)),
            trust=found.trust,
            link_next=LinkPublicKey(bytes.fromhex(found.link_next)) if found.link_next else None,
            audit=SigningPublicKey(bytes.fromhex(found.audit)) if found.audit else None,
            signs=found.signs,
        )
    except FileNotFoundError:
        raise HubHomeError(f"{path} is missing: the hub's daemon writes it when it starts") from None
    except (msgspec.MsgspecError, ValueError, CryptoError, OSError, HomeError) as fault:
        raise HubHomeError(f"{path}: {fault}; remove it, and restart the hub's daemon") from None


def public_issuer(home: Path, settings: HubSettings) -> Issuer:
    """Return what makes invitations and signs nothing, from public keys alone; :class:`HubHomeError`."""
    found = public_keys(home)
    return _issuer(settings, found.authority, found.link, found.trust)


def make_home(home: Path, values: dict[str, dict[str, object]]) -> None:
    """Make a new home with fresh keys and the given settings. Nothing that is there is ever replaced.

    Raises :class:`HubHomeError` if the directory is a home already, whole or not, or holds something else;
    SettingsError with the faults in ``values`` before anything is written; HomeError and OSError if it cannot
    be made.
    """
    found = marks_in(home)
    if SETTINGS in found:
        raise HubHomeError(f"{home} is a hub's home already; nothing was changed")
    if found:
        raise HubHomeError(f"{_not_a_home(home, found)}; nothing was changed")
    if foreign := foreign_in(home):
        raise HubHomeError(
            f"{home} holds something else ({', '.join(foreign)}): a new home is a directory that is empty or "
            "not there yet; nothing was changed"
        )
    text = render(values, title="Settings of a Wasl hub").encode("utf-8")
    parse_settings(text, home / SETTINGS, HubSettings)
    create_home(home)
    keys: dict[str, LinkPrivateKey | SigningPrivateKey | SealingPrivateKey] = {
        "link": LinkPrivateKey.generate(),
        "authority": SigningPrivateKey.generate(),
        "audit": SigningPrivateKey.generate(),
    }
    write_new(home / KEYS, keystore.encode(keys))
    write_new(home / SETTINGS, text)


def add_audit_key(home: Path) -> SigningPrivateKey:
    """Draw the audit key of a home that was made before there was one, and return it.

    Raises HubHomeError if it has one, or if its keys are sealed for systemd: seal them anew then.
    """
    if _key_file(home).audit is not None:
        raise HubHomeError(f"{home / KEYS} has an audit key already")
    made = SigningPrivateKey.generate()
    change_keys(home, {"audit": made})
    return made


def change_keys(
    home: Path, changes: Mapping[str, LinkPrivateKey | SigningPrivateKey | None]
) -> keystore.KeyFile:
    """Write keys into the key file, or take out those for which there is None; returns what it holds then.

    Raises HubHomeError if it cannot be read: sealed keys have to be unsealed first.
    """
    left = {name: key for name, key in _key_file(home).keys.items() if name not in changes}
    left.update((name, key) for name, key in changes.items() if key is not None)
    write_private(home / KEYS, keystore.encode(left))
    return _key_file(home)


def _key_file(home: Path) -> keystore.KeyFile:
    path = home / KEYS
    try:
        return keystore.parse(read_bounded(path, credentials.MAX_BYTES))
    except (CryptoError, OSError, HomeError) as fault:
        raise HubHomeError(f"{path}: {fault}; if the keys are sealed, unseal them first") from None


def load_settings(home: Path) -> HubSettings:
    """Return the settings; raises SettingsError with all faults, HomeError, HubHomeError."""
    found = marks_in(home)
    if SETTINGS not in found:
        raise HubHomeError(_not_a_home(home, found))
    check_home(home)
    return load_hub(home / SETTINGS)


def _not_a_home(home: Path, found: tuple[str, ...]) -> str:
    """Say what a directory without hub.toml is, and what to do; never ``init`` where keys could be."""
    if not found:
        return f"{home} is no hub's home yet: run `wasl-hub init --home {home}` first"
    names = ", ".join(found)
    if set(found) & set(NODE_MARKS):
        return f"{home} is a node's home (it holds {names}): a hub needs a directory of its own"
    return (
        f"{home} holds {names}, but {SETTINGS} is missing: put it back (an empty file means the defaults), "
        "or name another directory for a new hub"
    )


def load_keys(home: Path) -> HubKeys:
    """Return the keys in the hub's key file; :class:`HubHomeError` names a missing or damaged file.

    Which of them hold the database says: :func:`hub.keys.in_force`.
    """
    path = home / KEYS
    try:
        path = credentials.find(path, CREDENTIAL)
        file = keystore.parse(read_bounded(path, credentials.MAX_BYTES))
        return HubKeys(
            file.link,
            _authority(home, file),
            file.audit,
            file.optional(LINK_NEXT, LinkPrivateKey),
            file.optional(AUTHORITY_NEXT, SigningPrivateKey),
            file.optional(AUDIT_NEXT, SigningPrivateKey),
        )
    except FileNotFoundError:
        raise HubHomeError(
            f"{path} is missing: restore it from a backup; if it is sealed ({CREDENTIAL}), "
            "run the command as docs/install.md shows for sealed keys"
        ) from None
    except (CryptoError, OSError, HomeError) as fault:
        raise HubHomeError(f"{path}: {fault}") from None


def _authority(home: Path, file: keystore.KeyFile) -> SigningPrivateKey | SigningPublicKey:
    """Return the authority's key, or its public half if the key was taken away (``authority detach``)."""
    public = home / AUTHORITY_PUBLIC
    if "authority" in file.keys or not public.exists():
        return file.authority
    try:
        return SigningPublicKey(bytes.fromhex(read_bounded(public, credentials.MAX_BYTES).decode("ascii")))
    except ValueError as fault:
        raise HubHomeError(f"{public}: 64 hexadecimal digits expected ({fault})") from None


def detach_authority(home: Path, into: Path) -> SigningPublicKey:
    """Move the authority's private key from the home into the new file ``into``; returns its public half.

    Cut anywhere, the key is in at least one place. Raises HubHomeError, FileExistsError, OSError.
    """
    path = home / KEYS
    try:
        file = keystore.parse(read_bounded(path, credentials.MAX_BYTES))
        authority = file.authority
    except (CryptoError, OSError) as fault:
        raise HubHomeError(f"{path}: {fault}") from None
    if AUTHORITY_NEXT in file.keys:
        raise HubHomeError(
            "another authority's key is taking its place: `wasl-hub rotate authority finish` first"
        )
    write_new(into, keystore.encode({"authority": authority}))
    write_private(home / AUTHORITY_PUBLIC, bytes(authority.public).hex().encode("ascii"))
    left = {name: key for name, key in file.keys.items() if name != "authority"}
    write_private(path, keystore.encode(left))
    return authority.public


def database_url(home: Path, settings: HubSettings) -> str:
    """Return the database's URL: the settings', or SQLite in the home."""
    return settings.database.url or f"sqlite:///{(home / DATABASE).absolute()}"


def attachments(home: Path, settings: HubSettings) -> Path:
    """Return the directory of sealed chunks: the settings', or one in the home."""
    return home / (settings.files.path or ATTACHMENTS)


def open_database(home: Path, settings: HubSettings) -> Engine:
    """Return an engine on the hub's database; raises StorageError."""
    return open_engine(database_url(home, settings))


def issuer(settings: HubSettings, keys: HubKeys, trust_serial: int = 0) -> Issuer:
    """Return what signs credentials and invitations, with keys that hold (:func:`hub.keys.in_force`)."""
    return _issuer(settings, keys.authority, keys.link.public, trust_serial)


def _issuer(
    settings: HubSettings,
    authority: SigningPrivateKey | SigningPublicKey,
    link: LinkPublicKey,
    trust_serial: int,
) -> Issuer:
    advertised = settings.hub.advertise or settings.hub.listen[0]
    two_person = settings.hub.admission is Admission.TWO_PERSON
    return Issuer(authority, str(advertised), settings.hub.name, link, two_person, trust_serial)
