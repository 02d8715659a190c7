"""Fields as people read them: escapes, character sets, signs that deceive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from nodes.desk.viewing.written import Line, cleaned, formatted, line, plain
from protocols.hl7.er7 import Message

MSH = "MSH|^~\\&|a|b|c|d|2026||ORU^R01|1|P|2.5||||||{charset}\r"


def note(value: str | bytes, charset: str = "UNICODE UTF-8") -> tuple[Message, bytes]:
    raw = value if isinstance(value, bytes) else value.encode()
    message = Message(MSH.replace("{charset}", charset).encode() + b"NTE|1||" + raw + b"\r")
    return message, message.segments[1].field(3)


@pytest.mark.parametrize(
    ("value", "html"),
    [
        ("a\\.br\\b", "a<br>b"),
        ("a \\H\\b\\N\\ c", "a <b>b</b> c"),
        ("\\H\\a", "<b>a</b>"),
        ("\\N\\a\\H\\\\H\\b", "a<b>b</b>"),
        ("a\\.sp2\\b", "a<br><br>b"),
        ("a\\.ce\\b\\.in+4\\c\\.ti-2\\d\\.fi\\\\.nf\\e", "a<br>b<br>c<br>de"),
        ("a\\T\\b \\F\\ \\E\\H\\E\\", "a&amp;b | \\H\\"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\\H\\<b>\\N\\", "<b>&lt;b&gt;</b>"),
        ("\\X3C\\script\\X3E\\", "&lt;script&gt;"),
        ("\\C2842\\a\\M4142\\b", "ab"),
        ("\\Zown\\a", "\\Zown\\a"),
        ("\\X0D0A\\a\\X00\\b", "<br>ab"),
        ('""', ""),
        ("", ""),
    ],
)
def test_escapes_become_lines_and_emphasis(value: str, html: str) -> None:
    found = formatted(*note(value))
    assert isinstance(found, Markup)
    assert found == html


def test_one_line_is_one_line() -> None:
    assert line(*note("a\\.br\\b  c")) == "a b c"
    assert plain(*note("a\\.br\\b")) == "a\nb"


@pytest.mark.parametrize(
    ("codec", "charset"),
    [
        ("utf-8", "UNICODE UTF-8"),
        ("iso8859-6", "8859/6"),
        ("cp1256", "WINDOWS-1256"),
        ("utf-8", ""),
        ("cp1256", ""),
    ],
)
def test_arabic_in_its_character_sets(codec: str, charset: str) -> None:
    text = "نتيجة التحليل عند المريض"
    assert line(*note(text.encode(codec), charset)) == text


def test_bytes_of_an_escape_become_letters_with_their_neighbours() -> None:
    assert line(*note("\\XD985D8B1\\يض")) == "مريض"


def test_signs_that_deceive_are_gone() -> None:
    """An override shows 21 as 12."""
    assert cleaned("\u202e21\u2066\u200f\u0007\x1b[31m") == "21[31m"
    assert line(*note("\u202e21")) == "21"
    assert formatted(*note("\u202e21\u2028")) == "21 "


def test_a_value_without_end_is_cut() -> None:
    assert len(plain(*note("a" * 300_000))) < 101_000
    assert len(formatted(*note("a" * 300_000))) < 101_000


def test_names_and_places() -> None:
    raw = (
        MSH.replace("{charset}", "")
        + "PV1|1|I|CARDIO^204^2^CHU&1.2&ISO|||||77^Hakimi&van^Nadia^^^Dr~88|^Cherif\r"
        + "PID|1|||||Benali^Amine^^^M.\r"
    )
    message = Message(raw.encode())
    stay, pid = (Line(message, segment) for segment in message.segments[1:])
    assert stay.place(3) == "CARDIO · 204 · 2 · CHU"
    assert (stay.people(7), stay.people(8)) == ("", "Dr Nadia Hakimi; 88")
    assert stay.people(9) == "Cherif"
    assert pid.person_name(pid.first(6)) == "M. Amine Benali"
    assert (pid.text(30), pid.coded(31), pid.moment(7), pid.raw(40)) == ("", "", "", [])


@given(st.binary(max_size=60).filter(lambda raw: b"\r" not in raw and b"\n" not in raw))
def test_any_bytes_are_shown_and_never_as_markup(value: bytes) -> None:
    message, raw = note(value, "")
    found = str(formatted(message, raw)).replace("<br>", "").replace("<b>", "").replace("</b>", "")
    assert "<" not in found
    assert ">" not in found
    plain(message, raw)
    line(message, raw)
