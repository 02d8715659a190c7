"""Patients who are known here, in a draft: taken over by whoever says a second identifier."""

from __future__ import annotations

import re
from typing import Any

from nodes.desk import audit
from nodes.desk.audit import Wanted
from nodes.desk.compose import service
from runtime.web import signin
from tests.nodes.desk.composing import (
    PATIENT,
    begun,
    filled,
)
from tests.nodes.desk.desks import Browser, Ward


def journal(ward: Ward, action: str) -> list[Any]:
    return ward.desk.read(lambda c: audit.page(c, Wanted(action=action)))


def test_a_known_patient_is_taken_over_with_a_second_identifier_only(ward: Ward, writer: Browser) -> None:
    said = {
        "family": "BENSAMPLE", "given": "Amina", "sex": "F", "born": "1988-02-29", "nin": PATIENT["national"],
        "number": "D-7", "authority": "chu-alger",
    }  # fmt: skip
    (known,) = re.findall(r"/patients/([0-9a-f\-]{36})", writer.post("/patients", said).location or "")
    draft = begun(writer)
    page = filled(writer, draft, "patient", {"q": "bensample"}, do="find").text
    assert known in page
    assert "1988" not in page, "the second identifier is asked for, not shown"
    for second in ("", "1988-02-28", "bensample"):
        answer = filled(
            writer, draft, "patient", {"q": "bensample", "known": known, "second": second}, do="pick"
        )
        assert answer.status_code == 422
        assert 'href="#second"' in answer.text
    assert filled(writer, draft, "patient", {"q": "x", "known": "nonsense"}, do="pick").status_code == 422
    filled(writer, draft, "patient", {"q": "D-7"}, do="find")
    for query in ({"q": "bensample"}, {"q": "x"}, {}):
        ward.station.time.advance(signin.LONGEST_WAIT_S)
        forged = {**query, "known": known, "second": "D-7"}
        answer = filled(writer, draft, "patient", forged, do="pick")
        assert 'href="#second"' in answer.text, "the draft knows what was searched, whatever the form says"
    ward.station.time.advance(signin.LONGEST_WAIT_S)
    taken = filled(
        writer, draft, "patient", {"q": "bensample", "known": known, "second": "29/02/1988"}, do="pick"
    )
    for each in ("BENSAMPLE", "Amina", "1988-02-29", "D-7", PATIENT["national"]):
        assert f'value="{each}"' in taken.text
    draft_says = ward.desk.read(lambda c: service.own(c, "clinician", draft)).content
    assert draft_says.authority == "chu-alger"
    filled(writer, draft, "patient", {**PATIENT, "number": "D-8"})
    assert ward.desk.read(lambda c: service.own(c, "clinician", draft)).content.authority == ""


def test_whoever_tries_second_identifiers_has_to_wait_and_is_written_down(
    ward: Ward, writer: Browser
) -> None:
    said = {"family": "ESSAIS", "given": "Nour", "sex": "F", "born": "1990-05-17", "number": "E-1",
            "authority": "chu-alger"}  # fmt: skip
    (known,) = re.findall(r"/patients/([0-9a-f\-]{36})", writer.post("/patients", said).location or "")

    def tried(second: str) -> Any:
        fields = {"q": "essais", "known": known, "second": second}
        return filled(writer, begun(writer), "patient", fields, do="pick")

    before = len(journal(ward, "patient.unconfirmed"))
    assert [tried(" ").status_code for _ in range(9)] == [422] * 9, "nothing said is no try"
    wrong = [tried(f"1990-05-{day}") for day in range(1, 6)]
    assert [one.status_code for one in wrong] == [422, 422, 422, 429, 429], "in other drafts as well"
    assert "Retry-After" in wrong[-1].headers
    assert tried("1990-05-17").status_code == 429, "what is right is not told from what is wrong"
    assert len(journal(ward, "patient.unconfirmed")) == before + 3
    ward.station.time.advance(signin.LONGEST_WAIT_S)
    assert tried("1990-05-17").status_code == 200
    assert tried("1990-05-01").status_code == 422, "who was right begins again"
