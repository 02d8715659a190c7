"""The join code: one line that survives pasting, and no damage."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.primitives import blake2b
from protocols.link.errors import LocalError, RemoteError
from protocols.link.joincode import (
    CODE_CHARS,
    PREFIX,
    JoinCode,
    decode_joincode,
    encode_joincode,
    join_proof,
    join_psk,
)
from tests.protocols.link.samples import values_of

CODE = JoinCode(
    "hub.example:7600", "hub", bytes(range(32)), bytes(range(32, 64)), "chu-oran", bytes(16), b"s" * 32
)
LINE = encode_joincode(CODE)


def line_around(payload: bytes, *, check: bytes | None = None) -> str:
    """Return a code with any payload and, unless told otherwise, a true check sum."""
    sum_ = blake2b(payload, size=8, person=b"wasl code") if check is None else check
    return PREFIX + base64.urlsafe_b64encode(payload + sum_).rstrip(b"=").decode()


def test_a_code_comes_back_the_same() -> None:
    assert decode_joincode(LINE) == CODE


@given(values_of(JoinCode))
def test_any_code_comes_back_the_same(code: JoinCode) -> None:
    assert decode_joincode(encode_joincode(code)) == code


def test_pasting_may_add_blanks_and_line_ends() -> None:
    assert decode_joincode(f"  {LINE[:40]}\r\n\t{LINE[40:]}\n") == CODE


@pytest.mark.parametrize("at", range(len(LINE)))
def test_another_character_anywhere_is_noticed(at: int) -> None:
    for other in "AaB0_-":
        if other != LINE[at]:
            with pytest.raises(RemoteError, match="join-code"):
                decode_joincode(LINE[:at] + other + LINE[at + 1 :])


@pytest.mark.parametrize("at", range(len(LINE)))
def test_a_character_lost_doubled_or_cut_off_is_noticed(at: int) -> None:
    for damaged in (LINE[:at] + LINE[at + 1 :], LINE[:at] + LINE[at] + LINE[at:], LINE[:at]):
        if damaged != LINE:
            with pytest.raises(RemoteError, match="join-code"):
                decode_joincode(damaged)


def test_a_code_has_one_spelling() -> None:
    """Bits of the last character that no byte uses could otherwise be anything."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    right = [last for last in alphabet if _reads(LINE[:-1] + last)]
    assert right == [LINE[-1]]


def _reads(line: str) -> bool:
    try:
        decode_joincode(line)
    except RemoteError:
        return False
    return True


@pytest.mark.parametrize(
    "line",
    [
        "",
        PREFIX,
        "wasl2-" + LINE[6:],
        LINE + "=",
        LINE + "é",
        LINE.replace("wasl1-", "WASL1-"),
        line_around(b""),
        line_around(b"\x90"),
        line_around(msgspec.msgpack.encode({"hub": "x:1"})),
        line_around(b"\x97" + b"\x91" * 600 + b"\xc0"),
        line_around(
            msgspec.msgpack.encode(["nowhere", "h", bytes(32), bytes(32), "a", bytes(16), bytes(32)])
        ),
        line_around(msgspec.msgpack.encode(["h:1", "", bytes(32), bytes(32), "a", bytes(16), bytes(32)])),
        line_around(msgspec.msgpack.encode(["h:1", "h", bytes(31), bytes(32), "a", bytes(16), bytes(32)])),
        line_around(msgspec.msgpack.encode(["h:1", "h", bytes(32), bytes(32), "A", bytes(16), bytes(32)])),
        line_around(msgspec.msgpack.encode(CODE), check=bytes(8)),
    ],
)
def test_what_is_no_code_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(RemoteError) as caught:
        decode_joincode(line)
    assert caught.value.code == "join-code"
    assert len(line) < 20 or line not in str(caught.value)


def test_a_later_versions_fields_are_ignored() -> None:
    elements = [*msgspec.msgpack.decode(msgspec.msgpack.encode(CODE)), "more"]
    assert decode_joincode(line_around(msgspec.msgpack.encode(elements))) == CODE


@given(st.text(max_size=300))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    with pytest.raises(RemoteError):
        decode_joincode(text)
    with pytest.raises(RemoteError):
        decode_joincode(PREFIX + text)


def test_a_code_has_a_bound_at_both_ends() -> None:
    longest = JoinCode("h" * 249 + ":65535", "n" * 63, bytes(32), bytes(32), "f" * 63, bytes(16), bytes(32))
    assert len(encode_joincode(longest)) <= CODE_CHARS
    assert decode_joincode(encode_joincode(longest)) == longest
    with pytest.raises(LocalError, match="at most"):
        encode_joincode(msgspec.structs.replace(longest, hub="ش" * 249 + ":65535"))
    for line in (PREFIX + "A" * CODE_CHARS, "x" * 1_000_000):
        with pytest.raises(RemoteError, match="at most"):
            decode_joincode(line)


def test_a_code_shown_by_accident_shows_no_secret() -> None:
    shown = repr(CODE) + str(CODE) + f"{[CODE]}"
    assert "chu-oran" in shown
    assert "ssss" not in shown
    assert CODE.secret.hex() not in shown


def test_the_secret_of_one_invitation_is_no_secret_of_another() -> None:
    assert CODE.psk == join_psk(CODE.invitation, CODE.secret)
    assert len(CODE.psk) == 32
    assert CODE.psk != join_psk(b"\x01" * 16, CODE.secret)
    assert CODE.psk != join_psk(CODE.invitation, b"t" * 32)


def test_the_proof_names_every_key() -> None:
    keys = (bytes(16), b"l" * 32, b"s" * 32, b"e" * 32)
    proofs = {join_proof(*keys)}
    for at in range(4):
        other = list(keys)
        other[at] = b"x" * len(keys[at])
        proofs.add(join_proof(*other))
    assert len(proofs) == 5
