"""The small languages inside a setting: what is taken, what is refused, and what the refusal says."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import fields
from config.fields import (
    Address,
    HostPort,
    UnfitError,
    duration_text,
    parse_address,
    parse_address_pattern,
    parse_database_url,
    parse_duration,
    parse_header_pattern,
    parse_kind_pattern,
    parse_listen,
    parse_name,
    parse_size,
    parse_target,
    parse_text,
    size_text,
)
from crypto import identity

PARSERS = [
    parse_address,
    parse_address_pattern,
    parse_database_url,
    parse_duration,
    parse_header_pattern,
    parse_kind_pattern,
    parse_listen,
    parse_name,
    parse_size,
    parse_target,
    parse_text,
]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7600", "127.0.0.1", 7600),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:7600", "::1", 7600),
        ("[2001:DB8::1]:65535", "2001:db8::1", 65535),
        ("Hub.Example:1", "hub.example", 1),
        ("localhost:80", "localhost", 80),
    ],
)
def test_takes_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_listen(text) == HostPort(host, port)
    assert parse_listen(str(parse_listen(text))) == HostPort(host, port)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("7600", "needs a host and a port"),
        (":7600", "needs a host and a port"),
        ("localhost", "needs a host and a port"),
        ("localhost:", "needs a host and a port"),
        ("localhost:http", "needs a host and a port"),
        ("localhost:+80", "needs a host and a port"),
        ("localhost:٨٠", "needs a host and a port"),
        ("localhost:65536", "needs a port from 0 to 65535"),
        ("localhost:" + "9" * 5000, "needs a port from 0 to 65535"),
        ("::1:7600", "in brackets"),
        ("[::1:7600", "in brackets"),
        ("[::g]:7600", "IPv6 address between the brackets"),
        ("[]:7600", "IPv6 address between the brackets"),
        ("256.0.0.1:80", "four numbers from 0 to 255"),
        ("1.2.3:80", "four numbers from 0 to 255"),
        ("a b:80", "host name or an IP address"),
        ("-a.example:80", "host name or an IP address"),
        ("a..b:80", "host name or an IP address"),
        ("http://hub:80", "in brackets"),
        ("x" * 64 + ":80", "host name or an IP address"),
        (".".join(["a" * 60] * 5) + ":80", "host name or an IP address"),
    ],
)
def test_says_what_a_network_address_needs(text: str, right: str) -> None:
    with pytest.raises(UnfitError, match=re.escape(right)):
        parse_listen(text)


def test_a_target_needs_a_port() -> None:
    assert parse_target("hub:1") == HostPort("hub", 1)
    with pytest.raises(UnfitError, match="port from 1 to 65535"):
        parse_target("hub:0")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400),
        ("5d", 432000),
        ("90s", 90),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("2w", 1209600),
        ("0s", 0),
    ],
)
def test_takes_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "d", "5 d", "-5d", "1.5h", "5D", "5min", "5d ", "٥d", "1" * 5000 + "s"]
)
def test_refuses_durations_without_a_unit_or_sense(text: str) -> None:
    with pytest.raises(UnfitError, match=r'needs a duration: .* "24h"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("16MiB", 2**24),
        ("64GiB", 2**36),
        ("500MB", 500_000_000),
        ("512B", 512),
        ("1kB", 1000),
        ("2 TiB", 2**41),
    ],
)
def test_takes_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "16", "MiB", "1.5GiB", "-1B", "16M", "16mib", "1kiB", "1iB", "9" * 16 + "B"]
)
def test_refuses_sizes_without_a_unit_or_sense(text: str) -> None:
    with pytest.raises(UnfitError, match=r'needs a size: .* "16MiB"'):
        parse_size(text)


@pytest.mark.parametrize("text", ["labo", "0", "chu-alger", "a.b-c", "a" * 63])
def test_takes_names(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize("text", ["", "-a", ".a", "a_b", "a b", "a@b", "a" * 64, "é", "labo\n", "a/b", "*"])
def test_refuses_what_is_no_name(text: str) -> None:
    with pytest.raises(UnfitError, match="needs 1 to 63 of a-z"):
        parse_name(text)


def test_the_rule_for_names_is_the_one_of_the_network() -> None:
    """Settings import no other room, so they have a copy of it."""
    assert (fields.NAME_PATTERN, fields.MAX_NAME_CHARACTERS) == (identity.ID_PATTERN, identity.MAX_ID_CHARS)


def test_suggests_lower_case() -> None:
    with pytest.raises(UnfitError, match=r'capitals.* needs "chu-alger"'):
        parse_name("CHU-Alger")


def test_addresses_are_a_mailbox_or_a_group() -> None:
    assert parse_address("labo@chu-alger") == Address("labo", "chu-alger")
    assert not parse_address("labo@chu-alger").is_group
    assert parse_address("night@group").is_group
    assert str(parse_address("night@group")) == "night@group"


@pytest.mark.parametrize("text", ["labo", "@chu", "labo@", "labo@chu@x", "Labo@chu", "*@chu"])
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(UnfitError, match="needs"):
        parse_address(text)


@pytest.mark.parametrize(
    ("parse", "right", "wrong"),
    [
        (
            parse_kind_pattern,
            ["*", "ORU^R01", "ORU^*", "*^A01", "ADT^A01^ADT_A01"],
            ["", "oru", "A^B^C^D", "A*"],
        ),
        (
            parse_address_pattern,
            ["*", "*@*", "labo@chu-*", "*@group"],
            ["", "labo", "@", "*@", "[a]@b", "A@b"],
        ),
        (parse_header_pattern, ["*", "LABO^1", "مخبر"], ["", "\r", "x" * 181]),
        (
            parse_database_url,
            ["sqlite:////var/x.db", "postgresql+psycopg://u@h/d"],
            ["x.db", "mysql://h/d", "postgresql://h/d"],
        ),
        (parse_text, ["x", "المستشفى"], ["", "a\nb", "x" * 1025]),
    ],
)
def test_patterns_and_texts(parse, right: list[str], wrong: list[str]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  # each parser returns its own type
    for text in right:
        assert parse(text) == text
    for text in wrong:
        with pytest.raises(UnfitError, match="needs"):
            parse(text)


@given(st.sampled_from(PARSERS), st.text(max_size=80))
def test_no_text_raises_anything_else(parse, text: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  # each parser returns its own type
    with contextlib.suppress(UnfitError):
        parse(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_ip_address_survives_writing_and_reading(address: object, port: int) -> None:
    written = str(HostPort(str(address), port))
    assert str(parse_listen(written)) == written


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        (3 << 30, "3 GiB"),
        (1 << 40, "1 TiB"),
    ],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0ms"),
        (1_500, "1500ms"),
        (90_000, "90s"),
        (7_200_000, "2h"),
        (90 * 86_400_000, "90d"),
        (60_000, "1m"),
    ],
)
def test_durations_are_for_people_and_are_read_again(duration_ms: int, text: str) -> None:
    assert duration_text(duration_ms) == text
    assert parse_duration(text) * 1000 == duration_ms
