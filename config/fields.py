"""The small languages inside a setting: addresses, durations, sizes, names, patterns.

Each parser takes the text a person wrote and returns a typed value or raises :class:`UnfitError`, whose text
says what would be right. The command line uses the same parsers, so ``--valid-for`` and ``valid_for`` agree.
"""

import ipaddress
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

MAX_NAME_CHARACTERS = 63
"""Length of a facility or mailbox id, as of a DNS label."""
MAX_HOST_CHARACTERS = 253
"""Length of a host name in text (RFC 1123 section 2.1)."""
MAX_PORT = 65535
MAX_TEXT_CHARACTERS = 1024
GROUP_FACILITY = "group"
"""The facility part of a group's address: ``night-shift@group``. No institution can have this id."""

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
UNITS_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

NAME_PATTERN = r"[a-z0-9][a-z0-9.\-]{0,62}"
"""A copy of ``crypto.identity.ID_PATTERN``: this room imports no other."""
_NAME = re.compile(NAME_PATTERN)
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"([0-9]+)(ms|[smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}) ?([kKMGT]?i?B)")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_KIND = re.compile(r"(?:[A-Z0-9_]{1,20}|\*)(?:\^(?:[A-Z0-9_]{1,20}|\*)){0,2}")
_NAME_PATTERN = re.compile(r"[a-z0-9*][a-z0-9.*-]{0,62}")
_ORIGIN = re.compile(r"https?://[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_HEADER_PATTERN = re.compile(r"[ -~\u00a0-\uffff]{1,180}")


class UnfitError(ValueError):
    """A text that is not what it should be; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where to listen or connect: a host name or IP address (IPv6 without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a message goes: a mailbox of a facility, or (facility ``group``) a named group."""

    mailbox: str
    facility: str

    def __str__(self) -> str:
        return f"{self.mailbox}@{self.facility}"

    @property
    def is_group(self) -> bool:
        """Whether this names a group instead of one mailbox."""
        return self.facility == GROUP_FACILITY


def parse_text(text: str) -> str:
    """Return ``text`` if it is 1 to 1,024 printable characters."""
    if not 0 < len(text) <= MAX_TEXT_CHARACTERS or not text.isprintable():
        raise UnfitError(f"needs 1 to {MAX_TEXT_CHARACTERS:,} printable characters")
    return text


def parse_listen(text: str) -> HostPort:
    """Return the address of ``HOST:PORT`` or ``[IPv6]:PORT``; port 0 lets the system choose one."""
    return _host_port(text, lowest_port=0)


def parse_target(text: str) -> HostPort:
    """Return the address of ``HOST:PORT`` or ``[IPv6]:PORT`` to connect to: port 1 to 65535."""
    return _host_port(text, lowest_port=1)


def _host_port(text: str, *, lowest_port: int) -> HostPort:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        raise UnfitError('needs a host and a port, as in "127.0.0.1:2575" or "[::1]:2575"')
    if len(port) > len(str(MAX_PORT)) or not lowest_port <= int(port) <= MAX_PORT:
        raise UnfitError(f"needs a port from {lowest_port} to {MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        return HostPort(_ipv6(host[1:-1]), int(port))
    if ":" in host:
        raise UnfitError('needs an IPv6 address in brackets, as in "[::1]:2575"')
    if host.replace(".", "").isdigit():
        return HostPort(_ipv4(host), int(port))
    if len(host) > MAX_HOST_CHARACTERS or not all(map(_LABEL.fullmatch, host.split("."))):
        raise UnfitError('needs a host name or an IP address before the port, as in "hub.example:7600"')
    return HostPort(host.lower(), int(port))


def _ipv4(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise UnfitError(
            'needs an IPv4 address of four numbers from 0 to 255, as in "10.0.0.5:7600"'
        ) from None


def _ipv6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise UnfitError('needs an IPv6 address between the brackets, as in "[::1]:7600"') from None


def parse_duration(text: str) -> float:
    """Return the seconds in a duration such as ``24h``, ``5d``, ``90s``, ``500ms`` or ``1h30m``."""
    if not _DURATION.fullmatch(text):
        raise UnfitError('needs a duration: numbers with ms, s, m, h, d or w, as in "24h", "90s" or "1h30m"')
    return sum(int(count) * UNITS_S[unit] for count, unit in _DURATION_PART.findall(text))


def parse_size(text: str) -> int:
    """Return the bytes in a size such as ``16MiB``, ``64GiB``, ``500MB`` or ``512B``."""
    found = _SIZE.fullmatch(text)
    if not found or found[2] not in UNITS_BYTES:
        raise UnfitError(f'needs a size: a number with {", ".join(UNITS_BYTES)}, as in "16MiB"')
    return int(found[1]) * UNITS_BYTES[found[2]]


def size_text(size_bytes: int) -> str:
    """Return a size for people: ``64 MiB``, ``1.5 GiB``, ``17 bytes``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= UNITS_BYTES[unit]:
            return f"{size_bytes / UNITS_BYTES[unit]:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size_bytes} byte{'' if size_bytes == 1 else 's'}"


def duration_text(duration_ms: int) -> str:
    """Return a duration for people, in its largest whole unit below a week: ``90d``, ``36h``, ``1500ms``."""
    for unit in ("d", "h", "m", "s"):
        whole, rest = divmod(duration_ms, round(UNITS_S[unit] * 1000))
        if whole and not rest:
            return f"{whole}{unit}"
    return f"{duration_ms}ms"


def parse_name(text: str) -> str:
    """Return a mailbox or group id: ``[a-z0-9][a-z0-9.-]{0,62}``."""
    if _NAME.fullmatch(text):
        return text
    rule = f'needs 1 to {MAX_NAME_CHARACTERS} of a-z, 0-9, "." and "-", beginning with a letter or digit'
    lower = text.lower()
    if _NAME.fullmatch(lower):
        raise UnfitError(f'has capitals, and an id has none; needs "{lower}"')
    raise UnfitError(rule + ', as in "labo"')


def parse_address(text: str) -> Address:
    """Return the address of ``mailbox@facility``, or of the group ``name@group``."""
    mailbox, at, facility = text.partition("@")
    if not at:
        raise UnfitError(
            'needs a mailbox and a facility, as in "labo@chu-alger", or a group, as in "all@group"'
        )
    return Address(parse_name(mailbox), parse_name(facility))


def parse_kind_pattern(text: str) -> str:
    """Return a pattern for MSH-9: up to three parts joined by ``^``, each a code or ``*``."""
    if not _KIND.fullmatch(text):
        raise UnfitError(
            'needs a message kind as in MSH-9, "*" allowed in each part: "ORU^R01", "ADT^*" or "*"'
        )
    return text


def parse_address_pattern(text: str) -> str:
    """Return a pattern for addresses: ``*``, or ``mailbox@facility`` with ``*`` for any run of characters."""
    mailbox, at, facility = text.partition("@")
    if text != "*" and not (at and _NAME_PATTERN.fullmatch(mailbox) and _NAME_PATTERN.fullmatch(facility)):
        raise UnfitError('needs "*" or a mailbox and a facility with "*" where any will do, as in "*@chu-*"')
    return text


def parse_header_pattern(text: str) -> str:
    """Return what an MSH field must hold: 1 to 180 printable characters, ``*`` for any run of them."""
    if not _HEADER_PATTERN.fullmatch(text):
        raise UnfitError('needs the text of an MSH field, "*" for any run of characters, as in "LABO*"')
    return text


def parse_database_url(text: str) -> str:
    """Return a database URL: ``sqlite:///PATH`` or ``postgresql+psycopg://...``."""
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")) or not text.isprintable():
        raise UnfitError('needs "sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"')
    return text


def parse_origin(text: str) -> str:
    """Return where browsers reach a site: a scheme, a host and perhaps a port, nothing behind them."""
    if not _ORIGIN.fullmatch(text):
        raise UnfitError('needs "https://HOST" or "https://HOST:PORT", without anything behind it')
    return text


def parse_zone(text: str) -> str:
    """Return the name of a time zone that this machine knows."""
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise UnfitError('needs a time zone, as in "Africa/Algiers" or "UTC"') from None
    return text
