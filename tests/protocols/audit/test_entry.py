"""The bytes of an entry are fixed: what a second implementation must compute."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from protocols.audit.entry import NO_ENTRY, Entry, details_text

ENTRY = Entry(
    1, 1_790_000_000_000, "cli:root", "facility.invited", "chu-oran", '{"mailboxes":"labo"}', NO_ENTRY
)


def test_encoding_is_the_documented_one() -> None:
    expected = b"".join(
        (
            b"\x98\x01\x01\xcf" + (1_790_000_000_000).to_bytes(8, "big"),
            b"\xa8cli:root",
            b"\xb0facility.invited",
            b"\xa8chu-oran",
            b'\xb4{"mailboxes":"labo"}',
            b"\xc4\x20" + bytes(32),
        )
    )
    assert ENTRY.encoded() == expected
    assert ENTRY.hash() == hashlib.sha256(b"\x00" + expected).digest()


def test_details_are_sorted_and_unescaped() -> None:
    assert details_text({"b": "Père", "a": 'x"y'}) == '{"a":"x\\"y","b":"Père"}'
    assert details_text({}) == "{}"


@given(st.data())
def test_every_field_counts(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(Entry.__struct_fields__))
    values = {field: getattr(ENTRY, field) for field in Entry.__struct_fields__}
    old = values[name]
    strategy = {int: st.integers(0, 2**62), str: st.text(), bytes: st.binary(min_size=32, max_size=32)}
    values[name] = data.draw(strategy[type(old)].filter(lambda value: value != old))
    assert Entry(**values).hash() != ENTRY.hash()
