"""Character sets: what is declared, what is found, and always saying which of the two it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7.charsets import codec_for, decode

ARABIC = "مستشفى حكومي، التاريخ المرضي: بحاجة إلى متابعة الطبيب"
FRENCH = "Hôpital Mustapha, créée à Alger, où l'été s'achève"


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("ASCII", "ascii"),
        ("8859/1", "iso8859-1"),
        ("8859/6", "iso8859-6"),
        ("8859/15", "iso8859-15"),
        ("ISO 8859-6", "iso8859-6"),
        ("ISO IR127", "iso8859-6"),
        ("ISO IR100", "iso8859-1"),
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("utf-8", "utf-8"),
        ("UNICODE UTF-16", "utf-16"),
        ("GB 18030-2000", "gb18030"),
        ("WINDOWS-1256", "cp1256"),
        ("CP1256", "cp1256"),
        ("win1256", "cp1256"),
        ("1256", "cp1256"),
        ("8859/12", None),
        ("ISO IR 999", None),
        ("", None),
    ],
)
def test_labels(label: str, codec: str | None) -> None:
    assert codec_for(label) == codec


@pytest.mark.parametrize(
    ("raw", "declared", "text", "charset", "certain"),
    [
        (b"plain", None, "plain", "ascii", True),
        (b"plain", "8859/6", "plain", "iso8859-6", True),
        (b"plain", "NONSENSE", "plain", "ascii", True),
        (ARABIC.encode(), "UNICODE UTF-8", ARABIC, "utf-8", True),
        (b"\xef\xbb\xbf" + ARABIC.encode(), None, ARABIC, "utf-8", True),
        (b"\xef\xbb\xbf" + ARABIC.encode(), "8859/1", ARABIC, "utf-8", True),
        (ARABIC.encode("iso8859-6"), "8859/6", ARABIC, "iso8859-6", True),
        (ARABIC.encode("cp1256"), "WINDOWS-1256", ARABIC, "cp1256", True),
        (FRENCH.encode("latin-1"), "8859/1", FRENCH, "iso8859-1", True),
        (ARABIC.encode(), "8859/1", ARABIC, "utf-8", False),
        (ARABIC.encode(), "ASCII", ARABIC, "utf-8", False),
        (ARABIC.encode(), None, ARABIC, "utf-8", False),
        (FRENCH.encode(), None, FRENCH, "utf-8", False),
        (ARABIC.encode("cp1256"), None, ARABIC, "cp1256", False),
        (ARABIC.encode("iso8859-6"), None, ARABIC, "iso8859-6", False),
        (ARABIC.encode("cp1256"), "UNICODE UTF-8", ARABIC, "cp1256", False),
        (ARABIC.encode("iso8859-6"), "ASCII", ARABIC, "iso8859-6", False),
        (FRENCH.encode("latin-1"), None, FRENCH, "iso8859-1", False),
        (FRENCH.encode("latin-1"), ["", "UNICODE UTF-8"], FRENCH, "iso8859-1", False),
        (b"\xe9", "ISO IR 999", "é", "iso8859-1", False),
    ],
)
def test_decode(raw: bytes, declared: str | list[str] | None, text: str, charset: str, certain: bool) -> None:
    found = decode(raw, declared)
    assert (found.text, found.charset_used, found.certain) == (text, charset, certain)
    assert bool(found.note) != certain


@pytest.mark.parametrize("name", ["قباني نزار", "لا يوجد كسر", "موقع التطعيم", "بن يوسف فاطمة الزهراء"])
@pytest.mark.parametrize("codec", ["cp1256", "iso8859-6"])
def test_even_a_name_is_enough_to_tell_the_arabic_sets_apart(name: str, codec: str) -> None:
    assert decode(f"PID|1||55||{name}|M".encode(codec)).text == f"PID|1||55||{name}|M"


def test_arabic_in_a_mostly_latin_message() -> None:
    raw = (b"PID|1||55667^^^MRN||BENALI^KARIM~" + "بن علي^كريم".encode("cp1256") + b"|19650410|F") * 3
    assert decode(raw).charset_used == "cp1256"


@given(
    st.binary(),
    st.one_of(
        st.none(), st.text(), st.sampled_from(["UNICODE UTF-16", "8859/6", "GB 18030-2000", "ISO IR87"])
    ),
)
def test_it_never_raises(raw: bytes, declared: str | None) -> None:
    found = decode(raw, declared)
    assert found.certain or found.note
