"""Who a patient is: checked numbers, nobody twice, found by anything, confirmed by a second thing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.care.patients import service
from nodes.care.patients.service import NewPatient
from nodes.care.patients.store import Patient
from nodes.desk.errors import DeskRefused
from nodes.desk.roles import Role
from protocols import parties
from tests.nodes.desk.desks import Ward, open_ward

NIN = "999900001111222233"


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with open_ward(tmp_path) as opened:
        yield opened


def new(**said: str) -> NewPatient:
    usual = {"family": "Bensample", "given": "Amina", "sex": "F", "born": "1978-04-12", "nin": NIN,
             "number": "D-10017", "authority": "chu-alger"}  # fmt: skip
    return NewPatient(**{**usual, **said})


def enter(ward: Ward, **said: str) -> Patient:
    now_ms = ward.desk.clock.now_ms()
    return ward.desk.change(lambda c: service.create(c, new(**said), by="clinician", now_ms=now_ms))


def found(ward: Ward, text: str) -> list[str]:
    return [one.family for one in ward.desk.read(lambda c: service.search(c, text))]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"family": " "}, "bad-family"),
        ({"family": "x" * 81}, "bad-family"),
        ({"given": "a\u202eb"}, "bad-given"),
        ({"sex": "X"}, "bad-sex"),
        ({"born": "12/04/1978"}, "bad-born"),
        ({"born": "2199-01-01"}, "bad-born"),
        ({"born": "1800-01-01"}, "bad-born"),
        ({"nin": "12345"}, "bad-nin"),
        ({"nin": "1" * 18}, "bad-nin"),
        ({"nin": "٩" * 17 + "١"}, "bad-nin"),
        ({"number": "D 1"}, "bad-number"),
        ({"authority": ""}, "bad-number"),
        ({"nin": "", "number": ""}, "no-number"),
    ],
)
def test_what_cannot_be_a_patient(ward: Ward, said: dict[str, str], code: str) -> None:
    with pytest.raises(DeskRefused) as refused:
        enter(ward, **said)
    assert refused.value.code == code


def test_the_same_number_is_the_same_person(ward: Ward) -> None:
    enter(ward)
    with pytest.raises(DeskRefused, match="national"):
        enter(ward, number="D-2")
    with pytest.raises(DeskRefused, match="record number"):
        enter(ward, nin="999900004444555566")
    enter(ward, nin="", authority="chu-oran")
    assert found(ward, "bensample") == ["Bensample", "Bensample"]


@pytest.mark.parametrize(
    "text", ["bensample", "BENS ami", "amina", "9999 0000 1111", NIN, "d-10017", "Béns", "  amina  bens "]
)
def test_found_by_any_of_it(ward: Ward, text: str) -> None:
    enter(ward)
    enter(ward, family="Testaoui", given="Yacine", nin="", number="X-9")
    assert found(ward, text) == ["Bensample"]


@pytest.mark.parametrize("text", ["", "%", "_", "sample", "nobody", "amina yacine"])
def test_not_found_by_anything_else(ward: Ward, text: str) -> None:
    enter(ward)
    assert found(ward, text) == []


def test_arabic_names_are_found_however_they_are_written(ward: Ward) -> None:
    enter(ward, family="بن مثال", given="أمينة")
    assert found(ward, "امينه") == ["بن مثال"]


def test_a_second_identifier_is_another_one(ward: Ward) -> None:
    one = enter(ward)
    for said in ("1978-04-12", "12/04/1978", "D-10017", "d-10017", "9999 0000 1111 2222 33"):
        assert service.confirms(one, said, searched="bensample"), said
    for said in ("", "1978", "1978-04-13", "D-1", "Bensample"):
        assert not service.confirms(one, said, searched="bensample"), said
    assert not service.confirms(one, NIN, searched=NIN)
    assert not service.confirms(one, "D-10017", searched="d-10017")
    for begun in (NIN[:17], NIN[:4], f"{NIN[:4]} {NIN[4:17]}", f"bensample {NIN[:17]}", "99.99-0000"):
        assert not service.confirms(one, NIN, searched=begun), begun
        assert service.confirms(one, "D-10017", searched=begun), begun
    for begun in ("D-1", "d-1001", "Bensample d-10"):
        assert not service.confirms(one, "D-10017", searched=begun), begun
        assert service.confirms(one, NIN, searched=begun), begun


def test_as_documents_name_one(ward: Ward) -> None:
    told = service.party(enter(ward))
    assert [(each.value, each.authority, each.kind) for each in told.identifiers] == [
        ("D-10017", "chu-alger", parties.LOCAL_KIND), (NIN, parties.NATIONAL, parties.NATIONAL_KIND),
    ]  # fmt: skip
    assert (told.family, told.given, str(told.born)) == ("Bensample", "Amina", "1978-04-12")


def test_the_pages(ward: Ward) -> None:
    browser = ward.browser(Role.SECRETARY)
    said = {"family": "Bensample", "given": "Amina", "sex": "F", "born": "1978-04-12", "nin": NIN}
    page = browser.post("/patients", said, "/patients/new")
    assert page.status_code == 303
    assert NIN in browser.get(page.location).text
    assert page.location in browser.get("/patients?q=bens").text
    again = browser.post("/patients", said, "/patients/new")
    assert again.status_code == 422
    assert "is known already" in again.text
    assert browser.get("/patients/nonsense").status_code == 404
    assert ward.browser(Role.ADMINISTRATOR).get("/patients").status_code == 403
