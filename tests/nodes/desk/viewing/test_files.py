"""Files of a message by themselves: which there are, what is left out, what one request reads."""

from __future__ import annotations

from typing import IO, Final

import pytest
from sqlalchemy import select

from nodes.desk.roles import Role
from nodes.desk.viewing import foreign
from nodes.desk.viewing.embedded import FILES
from nodes.desk.viewing.message import PARTS
from nodes.desk.viewing.pdfs import is_active
from nodes.desk.viewing.results import NOTES_SHOWN
from nodes.desk.viewing.segments import ROWS, SEGMENTS
from nodes.link.tables import inbox_files
from protocols.hl7.build import SegmentFields, build
from tests.nodes.desk.desks import Ward
from tests.nodes.desk.viewing import laid, messages

TWO: Final = (("a.pdf", "", laid.PDF), ("b.pdf", "", laid.PDF + b"\n"))


def test_a_request_for_a_file_reads_no_other(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = messages.ed(laid.PDF, kind="application")
    number = laid.lay(ward.station, messages.results(embedded), *TWO)
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/m/{number}").status_code == 200
    read: list[int] = []

    def counted(file: IO[bytes], size_bytes: int) -> bool:
        read.append(size_bytes)
        return is_active(file, size_bytes)

    monkeypatch.setattr(foreign, "is_active", counted)
    for source in ("file/0", "file/1", "part/0"):
        assert browser.get(f"/m/{number}/{source}/keep").status_code == 200
    assert read == [len(laid.PDF), len(laid.PDF) + 1, len(laid.PDF)]


def test_the_page_of_a_message_reads_each_file_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document looked for its file among all anew: of two hundred, each was read two hundred times."""
    body = build(messages.msh("MDM^T02"), messages.PID, messages.ed(*[laid.PDF] * 5))
    number = laid.lay(ward.station, body, *TWO, kind="MDM^T02")
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/m/{number}").status_code == 200
    read: list[int] = []

    def counted(_file: IO[bytes], size_bytes: int) -> bool:
        read.append(size_bytes)
        return False

    monkeypatch.setattr(foreign, "is_active", counted)
    assert browser.get(f"/m/{number}").text.count("<iframe") == 5
    assert len(read) == 5 + len(TWO)


def test_a_file_that_is_lost_takes_no_other_along(ward: Ward) -> None:
    number = laid.lay(ward.station, messages.results(messages.obx(1, "1.42")), *TWO)
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/m/{number}").status_code == 200
    of_second = select(inbox_files.c.path).where(inbox_files.c.position == 1)
    (ward.desk.home / ward.desk.read(lambda c: c.execute(of_second).scalar_one())).unlink()
    assert browser.get(f"/m/{number}/file/0/keep").status_code == 200
    assert browser.get(f"/m/{number}/file/1/keep").status_code != 200


@pytest.mark.parametrize("kind", ["ORU^R01", "MDM^T02"])
def test_each_repetition_of_a_value_is_a_file_of_its_own(ward: Ward, kind: str) -> None:
    body = build(messages.msh(kind), messages.PID, messages.ed(laid.PDF, b"Note"))
    number = laid.lay(ward.station, body, kind=kind)
    browser = ward.browser(Role.CLINICIAN)
    page = browser.get(f"/m/{number}").text
    for part, held in enumerate((laid.PDF, b"Note")):
        assert f"/m/{number}/part/{part}" in page
        assert browser.get(f"/m/{number}/part/{part}/keep").data == held
    assert "Not all of it is shown" not in page


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Not all of it is shown"),
        ("fr", "Tout n’est pas affiché"),
        ("ar", "لا يُعرض كل ما فيها"),
    ],
)
def test_a_message_of_which_something_is_left_out_says_so(ward: Ward, language: str, said: str) -> None:
    many = messages.ed(b"x")
    whole = [messages.results(*[many] * FILES), build(messages.msh("ORU^R01"), *[messages.PID] * PARTS)]
    over = [
        messages.results(*[many] * (FILES + 1)),
        messages.results(many, messages.ed(*[b"x"] * FILES)),
        build(messages.msh("ORU^R01"), *[messages.PID] * (PARTS + 1)),
    ]
    browser = ward.browser(Role.CLINICIAN, language)
    for body, expected in [(one, False) for one in whole] + [(one, True) for one in over]:
        page = browser.get(f"/m/{laid.lay(ward.station, body)}").text
        assert (said in page) == expected
        assert ("200" in page.partition(said)[2][:300]) == expected


def test_comments_and_fields_that_are_left_out_leave_a_mark(ward: Ward) -> None:
    """500 comments of a value, 2,000 segments and 200 fields of one are shown."""
    notes: list[SegmentFields] = [("NTE", str(n), "", f"comment {n}") for n in range(1, NOTES_SHOWN + 2)]
    wide: SegmentFields = ("ZZZ", *[f"field {n}" for n in range(1, ROWS + 2)])
    body = messages.results(messages.obx(1, "1"), *notes, wide, *[messages.obx(1, "1")] * SEGMENTS)
    number = laid.lay(ward.station, body)
    browser = ward.browser(Role.CLINICIAN)
    page = browser.get(f"/m/{number}").text
    assert f"comment {NOTES_SHOWN}<" in page
    assert f"comment {NOTES_SHOWN + 1}<" not in page
    assert '<p class="note" dir="auto">[…]</p>' in page
    fields = browser.get(f"/m/{number}/fields").text
    assert f"field {ROWS}<" in fields
    assert "<bdi>[…]</bdi>" in fields
    segments = 3 + 1 + len(notes) + 1 + SEGMENTS
    assert f"Of its {segments} segments, the first {SEGMENTS} are here." in fields
