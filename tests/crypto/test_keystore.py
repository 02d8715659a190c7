"""A key file gives back what was put in, and a damaged one says which line is damaged."""

import base64
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import keystore
from crypto.errors import MalformedKey
from crypto.keys import LinkPrivateKey, SealingPrivateKey, SigningPrivateKey
from crypto.keystore import PrivateKey

KEYS: dict[str, PrivateKey] = {
    "link": LinkPrivateKey(b"\x01" * 32),
    "signing": SigningPrivateKey(b"\x02" * 32),
    "sealing": SealingPrivateKey(b"\x03" * 32),
    "authority": SigningPrivateKey(b"\x04" * 32),
}
TEXT = keystore.encode(KEYS)


@given(names=st.lists(st.sampled_from(sorted(KEYS)), unique=True))
def test_what_is_written_is_read_back(names: list[str]) -> None:
    keys: dict[str, PrivateKey] = {name: keystore.KEY_TYPES[name].generate() for name in names}
    assert dict(keystore.parse(keystore.encode(keys)).keys) == keys


def test_each_key_has_its_type() -> None:
    found = keystore.parse(TEXT)
    assert found.link == KEYS["link"]
    assert found.signing == KEYS["signing"]
    assert found.sealing == KEYS["sealing"]
    assert found.authority == KEYS["authority"]


def test_the_text_is_toml_and_pinned() -> None:
    """A file written today is read by every later version."""
    table = tomllib.loads(TEXT.decode("ascii"))
    assert table["keys"] == 4
    assert table["link"] == "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQGEB6f+"
    assert base64.b64decode(table["link"])[:32] == b"\x01" * 32


def test_a_key_that_is_not_there_is_named() -> None:
    found = keystore.parse(keystore.encode({"link": KEYS["link"]}))
    with pytest.raises(MalformedKey, match=r"no authority key \(present: link\)"):
        _ = found.authority


def test_no_representation_shows_a_key() -> None:
    shown = repr(keystore.parse(TEXT))
    for key in KEYS.values():
        assert key.raw.hex() not in shown
        assert repr(key.raw)[2:-1] not in shown
        assert key.fingerprint() in shown


def test_every_damaged_character_of_a_value_names_its_line() -> None:
    lines = TEXT.decode().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if line.startswith("signing"))
    start = lines[number].index('"') + 1
    value = lines[number][start : lines[number].rindex('"')]
    for position in range(len(value)):
        for other in "A9/=é":
            if other == value[position]:
                continue
            bad = value[:position] + other + value[position + 1 :]
            text = "".join([*lines[:number], f'signing = "{bad}"\n', *lines[number + 1 :]])
            with pytest.raises(MalformedKey, match=f"line {number + 1}: signing") as caught:
                keystore.parse(text.encode())
            assert value[8:24] not in str(caught.value)


def test_a_file_cut_off_anywhere_is_malformed() -> None:
    for length in range(len(TEXT) - 1):  # without its final newline it is still whole
        with pytest.raises(MalformedKey):
            keystore.parse(TEXT[:length])
    assert keystore.parse(TEXT[:-1]) == keystore.parse(TEXT)


def test_a_key_under_another_name_is_malformed() -> None:
    swapped = (
        TEXT.replace(b"signing =", b"x =")
        .replace(b"authority =", b"signing =")
        .replace(b"x =", b"authority =")
    )
    with pytest.raises(MalformedKey, match="belongs to another name"):
        keystore.parse(swapped)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"keys = 4", b"", "keys = NUMBER is missing"),
        (b"keys = 4", b"keys = 5", "5 keys expected, 4 found"),
        (b"keys = 4", b"keys = 3", "3 keys expected, 4 found"),
        (b"keys = 4", b'keys = "4"', "line 3: keys = NUMBER expected"),
        (b"keys = 4", b"keys = 4\nkeys = 4", "line 4: keys stands here a second time"),
        (b"keys = 4", b"keys == 4", "line 3: name = "),
        (b"keys = 4", b"link = 4", "line 3: link = .* not a number"),
        (b"keys = 4", b"links = 4", "line 3: 'links' is no key's name: one of link, signing"),
        (b"keys = 4", b"\xff\xfe", "not UTF-8"),
        (b"authority", b"link", "stands here a second time"),
    ],
)
def test_each_fault_is_named_with_what_would_be_right(old: bytes, new: bytes, text: str) -> None:
    with pytest.raises(MalformedKey, match=text):
        keystore.parse(TEXT.replace(old, new))


@pytest.mark.parametrize("length", [0, 31, 32, 35, 37])
def test_a_value_of_another_length_is_named(length: int) -> None:
    value = base64.b64encode(bytes(length)).decode()
    with pytest.raises(MalformedKey, match=f"line 2: link holds {length} bytes, 36 expected"):
        keystore.parse(f'keys = 1\nlink = "{value}"'.encode())


@given(st.binary(max_size=300))
def test_noise_raises_nothing_but_our_own_exception(noise: bytes) -> None:
    with pytest.raises(MalformedKey):
        keystore.parse(noise)


def test_comments_blank_lines_and_crlf_do_no_harm() -> None:
    text = TEXT.replace(b"\n", b"  # a comment\r\n\r\n")
    assert keystore.parse(text) == keystore.parse(TEXT)


def test_a_file_is_bounded() -> None:
    with pytest.raises(MalformedKey, match="at most 16384"):
        keystore.parse(TEXT + b"#" * keystore.MAX_FILE_BYTES)


def test_only_known_names_and_their_types_are_written() -> None:
    with pytest.raises(MalformedKey, match="'spare' is no key's name"):
        keystore.encode({"spare": KEYS["link"]})
    with pytest.raises(MalformedKey, match="link: a LinkPrivateKey expected, not a SealingPrivateKey"):
        keystore.encode({"link": KEYS["sealing"]})
