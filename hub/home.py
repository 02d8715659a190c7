"""A hub's home: its settings, its keys, its database, and nothing that anybody else may read.

hub.toml      settings
keys          the hub's link key and the authority's signing key
hub.db        tables (unless the settings name another database)
attachments/  sealed chunks
run.lock, poke  of the running daemon
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from config.hub import HubSettings, load_hub
from config.load import parse_settings, render
from crypto import keystore
from crypto.errors import CryptoError
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from hub.directory.service import Issuer
from runtime.database import open_engine
from runtime.home import NODE_MARKS, check_home, create_home, marks_in, read_bounded, write_new

SETTINGS: Final = "hub.toml"
KEYS: Final = "keys"
DATABASE: Final = "hub.db"
ATTACHMENTS: Final = "attachments"
POKE: Final = "poke"
_KEYS_BYTES: Final = 64 * 1_024


class HubHomeError(Exception):
    """A home that cannot be used, with what to do about it."""


@dataclass(frozen=True, slots=True)
class HubKeys:
    """The hub's private keys. The authority's may live elsewhere; then facilities are admitted there."""

    link: LinkPrivateKey
    authority: SigningPrivateKey


def make_home(home: Path, values: dict[str, dict[str, object]]) -> None:
    """Make a new home with fresh keys and the given settings. Nothing that is there is ever replaced.

    Raises :class:`HubHomeError` if the directory is a home already, whole or not; SettingsError with the
    faults in ``values`` before anything is written; HomeError and OSError if it cannot be made.
    """
    found = marks_in(home)
    if SETTINGS in found:
        raise HubHomeError(f"{home} is a hub's home already; nothing was changed")
    if found:
        raise HubHomeError(f"{_not_a_home(home, found)}; nothing was changed")
    text = render(values, title="Settings of a Wasl hub").encode("utf-8")
    parse_settings(text, home / SETTINGS, HubSettings)
    create_home(home)
    keys: dict[str, LinkPrivateKey | SigningPrivateKey | SealingPrivateKey] = {
        "link": LinkPrivateKey.generate(),
        "authority": SigningPrivateKey.generate(),
    }
    write_new(home / KEYS, keystore.encode(keys))
    write_new(home / SETTINGS, text)


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
    """Return the hub's keys; :class:`HubHomeError` names a missing or damaged file."""
    path = home / KEYS
    try:
        file = keystore.parse(read_bounded(path, _KEYS_BYTES))
        return HubKeys(file.link, file.authority)
    except (CryptoError, OSError) as fault:
        raise HubHomeError(f"{path}: {fault}") from None


def database_url(home: Path, settings: HubSettings) -> str:
    """Return the database's URL: the settings', or SQLite in the home."""
    return settings.database.url or f"sqlite:///{(home / DATABASE).absolute()}"


def open_database(home: Path, settings: HubSettings) -> Engine:
    """Return an engine on the hub's database; raises StorageError."""
    return open_engine(database_url(home, settings))


def issuer(settings: HubSettings, keys: HubKeys) -> Issuer:
    """Return what signs credentials and invitations."""
    advertised = settings.hub.advertise or settings.hub.listen[0]
    return Issuer(keys.authority, str(advertised), settings.hub.name, keys.link.public)
