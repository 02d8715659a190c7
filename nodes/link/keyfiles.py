"""The files of a node's private keys: three in each, mode 0600.

``keys`` lies in the home, or comes from systemd (:mod:`runtime.credentials`). After a renewal
(``nodes.link.renewal``) the present keys are ``renewed-keys/keys-SERIAL``, and ``renewed-keys/keys-next`` are
keys that no credential has yet. They have a directory of their own because a unit can hide a directory, with
all that will ever be in it, from the web processes of the same user. Which file holds the present keys,
``identity.json`` says (``nodes.link.identity``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crypto import keystore
from crypto.errors import CryptoError
from crypto.fingerprint import node_fingerprint
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from nodes.link.errors import NodeError
from runtime import credentials, disk
from runtime.home import HOME_MODE, read_bounded, write_new

KEYS: Final = "keys"
CREDENTIAL: Final = "wasl-node.keys"
"""The key file's name where systemd hands it over (:mod:`runtime.credentials`)."""
RENEWED: Final = "renewed-keys"
"""The directory of all keys but the first."""
NEXT: Final = "keys-next"
_FILE_BYTES: Final = 64 * 1_024


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

    @property
    def fingerprint(self) -> bytes:
        """What people compare: ``crypto.fingerprint`` puts it into words."""
        return node_fingerprint(self.link.public, self.signing.public, self.sealing.public)


def save_keys(home: Path, keys: NodeKeys) -> None:
    """Write the private keys; before they are ever used, so that a retried join is the same node.

    Raises FileExistsError rather than replace any, OSError.
    """
    write_new(home / KEYS, key_text(keys))


def key_text(keys: NodeKeys) -> bytes:
    """Return keys as they stand in a file."""
    named: dict[str, LinkPrivateKey | SigningPrivateKey | SealingPrivateKey] = {
        "link": keys.link,
        "signing": keys.signing,
        "sealing": keys.sealing,
    }
    return keystore.encode(named)


def save_upcoming(home: Path, keys: NodeKeys) -> None:
    """Write keys that are to be certified. Raises FileExistsError if others wait already, OSError."""
    keep_renewed_apart(home)
    write_new(home / RENEWED / NEXT, key_text(keys))


def upcoming_wait(home: Path) -> bool:
    """Return whether there are keys that no credential has yet."""
    return key_file(home, NEXT).exists()


def forget_upcoming(home: Path) -> None:
    """Remove keys that no credential has, if there are any. Raises OSError."""
    key_file(home, NEXT).unlink(missing_ok=True)


def keep_renewed_apart(home: Path) -> None:
    """Make the directory of renewed keys; move there what versions before it left in the home.

    By whoever may change the keys: ``join``, ``rotate``, the daemon as it starts. Nothing is overwritten:
    raises NodeError if other keys have the same name there already. Raises OSError.
    """
    apart = home / RENEWED
    with contextlib.suppress(FileExistsError):
        apart.mkdir(HOME_MODE)
        disk.sync_directory(home)
    for old in home.glob(f"{KEYS}-*"):
        if old.name == NEXT or old.name.removeprefix(f"{KEYS}-").isdigit():
            with contextlib.suppress(FileNotFoundError):  # another process moved it just now
                _put_apart(old, apart / old.name)
            disk.sync_directory(apart)


def _put_apart(old: Path, place: Path) -> None:
    if not place.exists():
        old.rename(place)
    elif read_bounded(old, _FILE_BYTES) == read_bounded(place, _FILE_BYTES):
        old.unlink()
    else:
        raise NodeError(
            "keys",
            f"{old} and {place} are different keys, and either may be wanted to open what was sealed for it. "
            f"The second is in use: move {old.name} out of the home, keep it, and start again",
        )


def key_file(home: Path, name: str) -> Path:
    """Return where these keys lie: in the home if an earlier version wrote them and no daemon ran since."""
    apart, before = home / RENEWED / name, home / name
    return before if name == KEYS or (before.exists() and not apart.exists()) else apart


def load_keys(home: Path, name: str = KEYS) -> NodeKeys | None:
    """Return the private keys, None if there are none yet; :class:`NodeError` names a damaged file."""
    path = credentials.find(home / KEYS, CREDENTIAL) if name == KEYS else key_file(home, name)
    if not path.exists():
        return None
    try:
        found = keystore.parse(read_bounded(path, _FILE_BYTES))
        return NodeKeys(found.link, found.signing, found.sealing)
    except CryptoError as fault:
        raise NodeError("keys", f"{path}: {fault}") from None
