"""``docs/link-protocol.md`` says what the code does: tables, numbers, codes, examples, links."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from crypto import filestream
from hub.routing.route import Delay, Reason
from protocols.link import frames as f
from protocols.link import limits
from tests.protocols.link import document, make_vectors
from tests.protocols.link.samples import FRAME_TYPES

ROOT = Path(__file__).parents[3]
TEXT = document.PATH.read_text(encoding="utf-8")


def test_what_is_drawn_from_the_code_is_drawn_as_of_now() -> None:
    """After a change that is meant, ``python -m tests.protocols.link.document`` draws it anew."""
    assert document.filled(TEXT) == TEXT


def test_every_part_stands_in_the_document_once() -> None:
    for name in document.PARTS:
        assert TEXT.count(f"<!-- from the code: {name} -->") == 1
    assert TEXT.count("<!-- from the code:") == TEXT.count("<!-- end -->")


def test_nothing_is_left_unexplained() -> None:
    assert set(document.ANSWERS) == {kind.__name__ for kind in FRAME_TYPES}
    assert set(document.GOODBYES) == {one.name for one in f.Goodbye}
    assert set(document.LIMITS) == {name for name in vars(limits) if name.isupper()}


def _codes_in(path: Path) -> set[str]:
    """Return the reason codes that a module can put on the wire."""
    makers = {"RemoteError", "Rejected", "Refusal", "FileRefused", "fault", "_break", "_stop", "_refuse"}
    makers |= {"_give_up", "Outcome"}
    codes = set()
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in makers:
            codes |= {
                argument.value
                for argument in call.args[:2]
                if isinstance(argument, ast.Constant)
                and isinstance(argument.value, str)
                and re.fullmatch("[a-z][a-z-]+", argument.value)
            }
    return codes


def test_every_reason_code_is_listed_and_no_other() -> None:
    rooms = ("protocols/link", "hub/routing", "hub/sessions", "nodes/link")
    codes: set[str] = {str(one) for kind in (Reason, Delay) for one in kind}
    for room in rooms:
        for path in (ROOT / room).glob("*.py"):
            codes |= _codes_in(path)
    section = TEXT.split("## 13. Reason codes")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))
    by_expression = {"no-room", "try-later", "id-conflict", "expired"}  # chosen where no call names them
    by_expression |= {"renewal-early", "renewal-refused"}  # named in hub.directory.renewal
    kept_only = {"session-failed"}  # in a facility's history at the hub, never on the wire
    assert codes - listed - kept_only == set()
    assert listed - codes - by_expression == set()


def test_the_sections_that_are_referred_to_exist() -> None:
    headings = set(re.findall(r"^## (\d+)\. ", TEXT, re.MULTILINE))
    assert headings == {str(number) for number in range(1, len(headings) + 1)}
    assert set(re.findall(r"section (\d+)(?!\.\d|\d| of)", TEXT)) <= headings
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", TEXT):
        assert (document.PATH.parent / target).exists(), target


def test_numbers_in_the_prose_are_those_of_the_code() -> None:
    assert f"{filestream.CHUNK_BYTES:,}" in TEXT
    assert f"{limits.RECORD_BYTES:,}" in TEXT
    assert str(make_vectors.PATH.name) in TEXT
