"""The design system: one sheet for both directions of writing, small, and every text in three languages."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from protocols.hl7.catalogue import KNOWN, title_of

ROOT = Path(__file__).parents[3]
SHEET = ROOT / "runtime/web/static/wasl.css"
SHEET_BYTES = 15 * 1_024
ROOMS = {
    "runtime/web": "runtime/web/translations",
    "hub/admin": "hub/admin/console/translations",
    "nodes/desk": "nodes/desk/translations",
    "nodes/desk/compose": "nodes/desk/compose/translations",
    "nodes/desk/viewing": "nodes/desk/viewing/translations",
    "nodes/care/patients": "nodes/care/patients/translations",
}
WORDS = {"_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}
PHYSICAL = re.compile(
    r"(?:^|[;{\s])(left|right|top|bottom|width|height|min-width|max-width|min-height|max-height)\s*:"
    r"|:\s*(left|right)\b|(?:margin|padding|border|inset)-(?:left|right|top|bottom)"
)


def declarations() -> Iterator[str]:
    text = re.sub(r"/\*.*?\*/", "", SHEET.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in text.splitlines():
        yield re.sub(r"@media \([^)]*\)", "", line)


def test_the_sheet_knows_neither_left_nor_right() -> None:
    assert [line for line in declarations() if PHYSICAL.search(line)] == []


@pytest.mark.parametrize(
    "wrong", ["a { left: 0 }", "a { text-align: right }", "a{margin-left:1px}", "a { width: 3px }"]
)
def test_a_physical_property_would_be_found(wrong: str) -> None:
    assert PHYSICAL.search(wrong)


def test_the_sheet_is_small() -> None:
    assert len(gzip.compress(SHEET.read_bytes(), 9)) <= SHEET_BYTES


def test_a_choice_is_nearer_to_its_own_word_than_to_the_next_choice() -> None:
    """In a row of them nobody may take a word for that of the circle behind it."""
    text = SHEET.read_text(encoding="utf-8")
    steps = {name: float(rem) for name, rem in re.findall(r"(--s\d): (\d*\.?\d+)rem", text)}
    within = re.search(r"^\.check \{[^}]*\bgap: var\((--s\d)\)", text, re.MULTILINE)
    between = re.search(
        r"^\.row:has\(> \.check \+ \.check\) \{ column-gap: var\((--s\d)\)", text, re.MULTILINE
    )
    assert within is not None
    assert between is not None
    assert steps[within[1]] <= 0.75
    assert steps[between[1]] >= 1.5


def test_pages_have_neither_script_nor_style_in_them() -> None:
    """The content security policy would block them."""
    for room in ROOMS:
        for page in (ROOT / room).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", text), (
                page
            )


def texts(room: str) -> set[str | tuple[str, ...]]:
    """Return what stands in templates and code of a room to be translated."""
    found: set[str | tuple[str, ...]] = set()
    inner = [ROOT / other for other in ROOMS if other.startswith(f"{room}/")]
    for path in sorted((ROOT / room).rglob("*")):
        if any(path.is_relative_to(other) for other in inner):
            continue  # a room in a room has texts of its own
        method = {".py": "python", ".html": "jinja2"}.get(path.suffix)
        if method is not None:
            with path.open("rb") as file:
                for _, message, _, _ in extract(method, file, keywords=WORDS, options={"encoding": "utf-8"}):
                    found.add(message if isinstance(message, str) else tuple(message))
    return found


def catalogue(directory: str, language: str) -> Catalog:
    with (ROOT / directory / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", ["ar", "fr"])
@pytest.mark.parametrize("process", ["hub/admin", "nodes/"])
def test_rooms_of_one_process_say_a_thing_in_one_way(process: str, language: str) -> None:
    """Their catalogues become one: of two translations nobody knows which is shown."""
    said: dict[object, dict[str, object]] = {}
    for room, directory in ROOMS.items():
        if room.startswith((process, "runtime/web")):
            for message in catalogue(directory, language):
                if message.id:
                    said.setdefault(message.id, {})[room] = message.string
    assert {text: ways for text, ways in said.items() if len(set(map(str, ways.values()))) > 1} == {}


@pytest.mark.parametrize("language", ["ar", "fr"])
@pytest.mark.parametrize("room", ROOMS)
def test_every_text_is_translated(room: str, language: str) -> None:
    """Nothing missing, nothing fuzzy, no plural left out, the same places for values."""
    known = {}
    for directory in dict.fromkeys(["runtime/web/translations", ROOMS[room]]):
        each = catalogue(directory, language)
        known.update({message.id: (message, each.num_plurals) for message in each if message.id})
    missing = sorted(str(text) for text in texts(room) if text not in known)
    assert missing == []
    for message, plurals in known.values():
        assert not message.fuzzy, message.id
        strings = [message.string] if isinstance(message.string, str) else list(message.string or ())
        assert all(strings), message.id
        if message.pluralizable:
            assert len(strings) == plurals, message.id
        else:
            names = re.findall(r"%\((\w+)\)s", str(message.id))
            assert sorted(re.findall(r"%\((\w+)\)s", strings[0])) == sorted(names), message.id


@pytest.mark.parametrize("language", ["ar", "fr"])
def test_no_translation_is_left_over(language: str) -> None:
    for room, directory in ROOMS.items():
        used = texts(room)
        assert [m.id for m in catalogue(directory, language) if m.id and m.id not in used] == []


def test_french_has_its_own_apostrophe() -> None:
    """One sign on every page, as the rest of the text is set."""
    straight = re.compile(r"\w'\w")
    said = [title_of(kind, "fr") for kind in KNOWN]
    for room in dict.fromkeys(ROOMS.values()):
        said += [str(message.string) for message in catalogue(room, "fr") if message.id]
    assert [text for text in said if straight.search(text)] == []
