"""The kinds of values that settings are made of, over the parsers of :mod:`config.fields`."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from config.fields import (
    Address,
    HostPort,
    UnfitError,
    parse_address,
    parse_address_pattern,
    parse_database_url,
    parse_duration,
    parse_header_pattern,
    parse_kind_pattern,
    parse_listen,
    parse_name,
    parse_origin,
    parse_size,
    parse_target,
    parse_text,
    parse_zone,
)
from config.schema import Scalar

N = TypeVar("N", int, float)
E = TypeVar("E", bound=StrEnum)

ANY = "*"
"""The mailbox that stands for every one that is not named."""


class Duration(Scalar[float]):
    """A duration from ``low`` to ``high``, all written alike; read into seconds."""

    unit = "_s"

    def __init__(self, low: str, high: str) -> None:
        parse = _within(parse_duration, parse_duration(low), parse_duration(high), low, high)
        super().__init__(parse, right='needs a duration in quotes, as in "90s" or "24h"')


class Size(Scalar[int]):
    """A size from ``low`` to ``high``, all written alike; read into bytes."""

    unit = "_bytes"

    def __init__(self, low: str, high: str) -> None:
        parse = _within(parse_size, parse_size(low), parse_size(high), low, high)
        super().__init__(parse, right='needs a size in quotes, as in "16MiB"')


class Count(Scalar[int]):
    """A whole number from ``low`` to ``high``."""

    def __init__(self, low: int, high: int) -> None:
        right = f"needs a whole number from {low:,} to {high:,}"
        super().__init__(_within(int, low, high, f"{low:,}", f"{high:,}"), of=int, right=right)


class Choice(Scalar[E]):
    """One word of an enumeration."""

    def __init__(self, words: type[E]) -> None:
        right = "needs one of " + ", ".join(f'"{word}"' for word in words)

        def parse(text: str) -> E:
            try:
                return words(text)
            except ValueError:
                raise UnfitError(right) from None

        super().__init__(parse, right=right)


def _within(parse: Callable[[str], N], low: N, high: N, low_text: str, high_text: str) -> Callable[[str], N]:
    def bounded(text: str) -> N:
        value = parse(text)
        if not low <= value <= high:
            raise UnfitError(f"needs to be from {low_text} to {high_text}")
        return value

    return bounded


def _mailbox_or_any(text: str) -> str:
    return text if text == ANY else parse_name(text)


def _kind(text: str) -> str:
    if text.count("^") > 1:
        raise UnfitError('needs the first two parts of MSH-9 or the first alone, as in "ADT^A01" or "ADT"')
    return parse_kind_pattern(text)


_ADDRESS = 'needs "HOST:PORT" in quotes, as in "127.0.0.1:2575"'

TEXT: Scalar[str] = Scalar(parse_text)
PATH: Scalar[Path] = Scalar(lambda text: Path(parse_text(text)), right="needs a path in quotes")
LISTEN: Scalar[HostPort] = Scalar(parse_listen, right=_ADDRESS)
TARGET: Scalar[HostPort] = Scalar(parse_target, right=_ADDRESS)
NAME: Scalar[str] = Scalar(parse_name)
MAILBOX_OR_ANY: Scalar[str] = Scalar(_mailbox_or_any)
ADDRESS: Scalar[Address] = Scalar(parse_address, right='needs "mailbox@facility" in quotes')
ADDRESS_PATTERN: Scalar[str] = Scalar(parse_address_pattern)
KIND_PATTERN: Scalar[str] = Scalar(_kind)
"""For the kind in an envelope, which has one or two parts: ``protocols.hl7.catalogue.matches`` reads it."""
MESSAGE_TYPE_PATTERN: Scalar[str] = Scalar(parse_kind_pattern)
"""For MSH-9 itself, with up to three parts."""
HEADER_PATTERN: Scalar[str] = Scalar(parse_header_pattern)
DATABASE_URL: Scalar[str] = Scalar(parse_database_url, secret=True)
"""May carry a password, so a fault does not show it."""
ORIGIN: Scalar[str] = Scalar(parse_origin)
ZONE: Scalar[str] = Scalar(parse_zone)
