"""The text form of private keys: what stands in a home's key file.

    # comments for the person who finds it
    keys = 3
    link = "base64"
    signing = "base64"
    sealing = "base64"

It is valid TOML, one key a line, and checks itself: the base64 holds the 32 raw bytes and behind them 4
bytes of BLAKE2b over the name and the key, so a damaged line is found and named, and so is a key that was
put under another's name. The number of keys comes first, so a file that was cut off is found as well. The
check bytes guard against damage, not against a person who means to change the file.

Bytes in, bytes out: who owns the file, its mode and its place are for ``runtime``. No message shows a value.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from crypto.errors import MalformedKey
from crypto.keys import KEY_BYTES, LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from crypto.primitives import blake2b, constant_time_equal

MAX_FILE_BYTES = 16_384
CHECK_BYTES = 4
_REMEDY: Final = "restore it from a backup"

PrivateKey = LinkPrivateKey | SigningPrivateKey | SealingPrivateKey
_KeyT = TypeVar("_KeyT", LinkPrivateKey, SigningPrivateKey, SealingPrivateKey)

KEY_TYPES: Final[Mapping[str, type[PrivateKey]]] = MappingProxyType(
    {
        "link": LinkPrivateKey,
        "signing": SigningPrivateKey,
        "sealing": SealingPrivateKey,
        "authority": SigningPrivateKey,
        "audit": SigningPrivateKey,
        # Drawn, to take the place of the key above whose name they have.
        "link-next": LinkPrivateKey,
        "authority-next": SigningPrivateKey,
        "audit-next": SigningPrivateKey,
    }
)

_HEAD = """\
# Private keys of a Wasl home. Whoever can read this file can speak as its owner.
# Keep it at mode 0600, never send it, never edit it; every line checks itself.
"""
_LINE = re.compile(r'([a-z]+(?:-next)?)\s*=\s*(?:"([^"]*)"|([0-9]{1,3}))\s*(?:#.*)?')


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The keys of one file by name; asking for one that is not there raises ``MalformedKey``."""

    keys: Mapping[str, PrivateKey] = field(default_factory=dict)

    @property
    def link(self) -> LinkPrivateKey:
        """The key by which this home is known on the link."""
        return self._get("link", LinkPrivateKey)

    @property
    def signing(self) -> SigningPrivateKey:
        """The key that signs messages and receipts."""
        return self._get("signing", SigningPrivateKey)

    @property
    def sealing(self) -> SealingPrivateKey:
        """The key for which messages to this home are sealed."""
        return self._get("sealing", SealingPrivateKey)

    @property
    def authority(self) -> SigningPrivateKey:
        """The key that signs credentials, revocations and groups; it may live offline instead."""
        return self._get("authority", SigningPrivateKey)

    @property
    def audit(self) -> SigningPrivateKey | None:
        """The key that signs a hub's audit log, if this file has one."""
        return self.optional("audit", SigningPrivateKey)

    def optional(self, name: str, kind: type[_KeyT]) -> _KeyT | None:
        """Return a key that not every file has."""
        key = self.keys.get(name)
        return key if isinstance(key, kind) else None

    def _get(self, name: str, kind: type[_KeyT]) -> _KeyT:
        key = self.keys.get(name)
        if not isinstance(key, kind):
            present = ", ".join(self.keys) or "none"
            raise MalformedKey(
                f"the key file has no {name} key (present: {present}): use the file that has it"
            )
        return key


def encode(keys: Mapping[str, PrivateKey]) -> bytes:
    """Return the UTF-8 text of a key file; ``MalformedKey`` for an unknown name or a key of another type."""
    lines = [f"keys = {len(keys)}\n"]
    for name, key in keys.items():
        _check_name(name, "key file")
        if type(key) is not KEY_TYPES[name]:
            raise MalformedKey(f"{name}: a {KEY_TYPES[name].__name__} expected, not a {type(key).__name__}")
        text = base64.b64encode(key.raw + _check_of(name, key.raw)).decode("ascii")
        lines.append(f'{name} = "{text}"\n')
    return (_HEAD + "".join(lines)).encode("ascii")


def parse(text: bytes) -> KeyFile:
    """Return the keys of a key file; ``MalformedKey`` names the line that is wrong and what is right."""
    promised: int | None = None
    keys: dict[str, PrivateKey] = {}
    for where, name, value, count in _entries(text):
        if name in keys or (name == "keys" and promised is not None):
            raise MalformedKey(f"{where}: {name} stands here a second time; one line each expected")
        if name != "keys":
            keys[name] = _parse_key(where, name, value)
        elif count is None:
            raise MalformedKey(f"{where}: keys = NUMBER expected")
        else:
            promised = int(count)
    if promised is None:
        raise MalformedKey(f"key file: the line keys = NUMBER is missing: {_REMEDY}")
    if len(keys) != promised:
        raise MalformedKey(f"key file: {promised} keys expected, {len(keys)} found: {_REMEDY}")
    return KeyFile(MappingProxyType(keys))


def _entries(text: bytes) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yield (place, name, quoted value or None, number or None) of each line that is no comment."""
    if len(text) > MAX_FILE_BYTES:
        raise MalformedKey(f"key file: {len(text)} bytes, at most {MAX_FILE_BYTES} expected")
    try:
        lines = text.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise MalformedKey(f"key file: not UTF-8 text at byte {error.start}: {_REMEDY}") from None
    for number, line in enumerate(lines, start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            raise MalformedKey(f'key file line {number}: name = "base64" expected')
        yield f"key file line {number}", match[1], match[2], match[3]


def _parse_key(where: str, name: str, value: str | None) -> PrivateKey:
    _check_name(name, where)
    if value is None:
        raise MalformedKey(f'{where}: {name} = "base64" expected, not a number')
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedKey(f"{where}: {name} is not base64: {_REMEDY}") from None
    if len(raw) != KEY_BYTES + CHECK_BYTES:
        raise MalformedKey(
            f"{where}: {name} holds {len(raw)} bytes, {KEY_BYTES + CHECK_BYTES} expected: {_REMEDY}"
        )
    key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if not constant_time_equal(check, _check_of(name, key)):
        raise MalformedKey(
            f"{where}: {name} is damaged or belongs to another name (check bytes differ): {_REMEDY}"
        )
    return KEY_TYPES[name](key)


def _check_name(name: str, where: str) -> None:
    if name not in KEY_TYPES:
        raise MalformedKey(f"{where}: {name[:40]!r} is no key's name: one of {', '.join(KEY_TYPES)} expected")


def _check_of(name: str, raw: bytes) -> bytes:
    return blake2b(name.encode("ascii") + b"\x00" + raw, size=CHECK_BYTES, person=b"wasl keystore")
