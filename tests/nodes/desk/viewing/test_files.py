"""Files of a message by themselves: what one request reads."""

from __future__ import annotations

from typing import IO, Final

import pytest
from sqlalchemy import select

from nodes.desk.roles import Role
from nodes.desk.viewing import foreign
from nodes.desk.viewing.pdfs import is_active
from nodes.link.tables import inbox_files
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


def test_a_file_that_is_lost_takes_no_other_along(ward: Ward) -> None:
    number = laid.lay(ward.station, messages.results(messages.obx(1, "1.42")), *TWO)
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/m/{number}").status_code == 200
    of_second = select(inbox_files.c.path).where(inbox_files.c.position == 1)
    (ward.desk.home / ward.desk.read(lambda c: c.execute(of_second).scalar_one())).unlink()
    assert browser.get(f"/m/{number}/file/0/keep").status_code == 200
    assert browser.get(f"/m/{number}/file/1/keep").status_code != 200
