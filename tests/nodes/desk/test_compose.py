"""Composing: what is written arrives as a correct message, once, and belongs to who wrote it."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from lxml import etree
from sqlalchemy import select

from nodes.desk import audit, catching, departments, people
from nodes.desk.audit import Wanted
from nodes.desk.compose import bounds, receiving, sending, service
from nodes.desk.compose.tables import drafts
from nodes.desk.roles import Role
from nodes.desk.tables import sent as sent_table
from nodes.link.ids import id_text
from protocols.cda.validate import validate
from protocols.hl7.composing.references import references_of
from protocols.hl7.er7 import Message
from protocols.link.envelope import Priority
from tests.nodes.desk.composing import (
    CONTENT,
    PATIENT,
    RECIPIENT,
    RESULT,
    Uploading,
    begun,
    filled,
    only_message,
    sent,
    shown,
    written,
)
from tests.nodes.desk.desks import Browser, Ward

ORDER = {"kind": "order", "examinations": "2345-7 Glucose\nGroupage ABO", "text": ""}

NOTHING = {name: "" if name.startswith("row") else value for name, value in RESULT.items()}
SOMETHING = {"confirmed": "1", "name": "a", "size": "1"}


def test_a_patient_file_goes_out_as_a_document(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    page = writer.get(f"/compose/{draft}/check").text
    for each in (
        "أمينة بن يوسف",
        "1988-02-29",
        "109880123456789012",
        "cardio@chu-oran",
        "TA 15/9 | pouls 92.",
    ):
        assert each in page
    assert sent(writer, draft).location == f"/compose/{draft}/sent"
    one, message = only_message(ward)
    assert (one.sender, one.kind, one.priority, one.patient, one.key, one.subject) == (
        "urgences@chu-alger", "MDM^T02", Priority.STAT, PATIENT["national"], draft, CONTENT["subject"],
    )  # fmt: skip
    assert [each.recipient for each in one.recipients] == ["cardio@chu-oran"]
    assert [message.get(f"MSH-{n}") for n in (3, 4, 5, 6)] == ["urgences", "chu-alger", "cardio", "chu-oran"]
    assert references_of(message).own == draft
    assert message.get("TXA-9.2") == "Dr Clinician"
    root = etree.fromstring(base64.b64decode(message.get("OBX-5.5")))
    assert validate(root) == ()
    assert "TA 15/9 | pouls 92." in str(etree.tostring(root, encoding="unicode", method="text"))
    panel = writer.get(f"/compose/{draft}/sent").text
    assert f'<bdi class="id">{id_text(one.id)}</bdi>' in panel
    assert draft not in panel.partition('class="panel"')[2], "one message has one reference"
    assert f"/s/{id_text(one.id)}" in panel
    for known in (id_text(one.id), id_text(one.id).upper(), draft):
        assert f"/s/{id_text(one.id)}" in writer.get(f"/d/urgences/sent?q={known}").text
    assert f"/s/{id_text(one.id)}" not in writer.get(f"/d/urgences/sent?q={uuid4()}").text


@pytest.mark.parametrize(
    ("changed", "kind", "path", "value"),
    [
        ({"kind": "advice"}, "MDM^T02", "OBX-3", "11488-4"),
        ({"kind": "discharge"}, "MDM^T02", "TXA-2", "DS"),
        ({"kind": "referral"}, "REF^I12", "RF1-10.2", CONTENT["subject"]),
        (ORDER, "OML^O21", "OBR-4", "2345-7"),
        (RESULT, "ORU^R01", "OBX-5", "5.9"),
    ],
)
def test_each_kind_is_its_message(
    shared: Ward, other: Browser, changed: dict[str, str], kind: str, path: str, value: str
) -> None:
    draft = written(other, **changed)
    assert sent(other, draft).status_code == 303
    (one,) = (each for each in shared.station.sent() if each.key == draft)
    message = Message(shared.station.body_of(one.id))
    assert (one.kind, message.get(path)) == (kind, value)


def test_two_clicks_at_once_send_once(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    token, mark = writer.token("/account"), shown(writer, draft)
    others = [Browser(ward.app) for _ in range(4)]
    for other in others:
        cookie = writer.client.get_cookie("wasl-session-desk-chu-alger")
        form = writer.client.get_cookie("wasl-form-desk-chu-alger")
        assert cookie is not None
        assert form is not None
        other.client.set_cookie(cookie.key, cookie.value)
        other.client.set_cookie(form.key, form.value)

    def click(browser: Browser) -> int:
        return browser.client.post(
            f"/compose/{draft}/check",
            data={"confirmed": "1", "shown": mark, "csrf_token": token}, base_url=browser.base,
        ).status_code  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(click, others)) == [303] * 4
    ward.station.time.advance(5)
    assert sent(writer, draft).status_code == 303
    assert len(ward.station.sent()) == 1
    actions = [line.action for line in ward.desk.read(lambda c: audit.page(c, Wanted(action="message.sent")))]
    assert actions == ["message.sent"]


@pytest.mark.parametrize(
    ("page", "changed"),
    [
        ("recipient", {**RECIPIENT, "recipient": "labo@chu-oran"}),
        ("patient", {**PATIENT, "family": "ANOTHER", "national": "", "number": "D-9"}),
        ("content", {**CONTENT, "text": "The opposite."}),
    ],
)
def test_what_another_tab_changed_is_not_sent_before_it_was_checked(
    ward: Ward, writer: Browser, page: str, changed: dict[str, str]
) -> None:
    draft = written(writer)
    form = {"confirmed": "1", "shown": shown(writer, draft)}
    assert writer.post(f"/compose/{draft}/{page}/save", changed).status_code == 200
    answer = writer.post(f"/compose/{draft}/check", form)
    assert answer.status_code == 409
    assert "check it once more" in answer.text
    assert 'checked="' not in answer.text
    assert ward.station.sent() == []
    assert sent(writer, draft).status_code == 303
    assert len(ward.station.sent()) == 1


def test_a_form_that_does_not_say_what_it_showed_sends_nothing(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    for said in ({}, {"shown": ""}, {"shown": "é"}, {"shown": shown(writer, written(writer))}):
        assert writer.post(f"/compose/{draft}/check", {"confirmed": "1", **said}).status_code == 409
    assert ward.station.sent() == []


def test_a_file_that_was_added_after_the_check_is_not_sent(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    form = {"confirmed": "1", "shown": shown(writer, draft)}
    Uploading(writer, draft, "scan.bin", b"x" * 9).all()
    assert writer.post(f"/compose/{draft}/check", form).status_code == 409
    assert ward.station.sent() == []


def _close(ward: Ward) -> None:
    ward.desk.change(lambda c: people.switch(c, "clinician", active=False, actor="cli:test", now_ms=1))


def _demote(ward: Ward) -> None:
    ward.desk.change(lambda c: people.change_role(c, "clinician", "pharmacy", actor="cli:test", now_ms=1))


def _move(ward: Ward) -> None:
    known = ("cardio", "urgences")
    ward.desk.change(
        lambda c: departments.set_membership(c, "clinician", {"cardio"}, known, actor="cli:test", now_ms=1)
    )


@pytest.mark.parametrize("happens", ["edited", "attached", "discarded", _close, _demote, _move])
def test_what_happens_while_files_are_sealed_is_looked_at_before_it_is_sent(
    ward: Ward, writer: Browser, happens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing takes as long as the files are large: meanwhile another tab, or the administrator, goes on."""
    draft = written(writer)
    mark = shown(writer, draft)
    prepare = sending._prepare  # the moment after it, which nothing else can reach

    other = ward.browser(Role.CLINICIAN)

    def meanwhile() -> None:
        match happens:
            case "edited":
                assert filled(other, draft, "content", {**CONTENT, "text": "No."}).status_code == 303
            case "attached":
                assert Uploading(other, draft, "scan.bin", b"x" * 9).all().status_code == 204
            case "discarded":
                assert other.post(f"/compose/{draft}/discard", {}).location == "/compose"
            case _:
                happens(ward)

    def and_then(*given: Any) -> Any:
        prepared = prepare(*given)
        with ThreadPoolExecutor(1) as pool:  # requests in one thread share Flask's context
            pool.submit(meanwhile).result()
        return prepared

    monkeypatch.setattr(sending, "_prepare", and_then)
    answer = writer.post(f"/compose/{draft}/check", {"confirmed": "1", "shown": mark})
    assert answer.status_code == {"edited": 409, "attached": 409, "discarded": 404}.get(happens, 422)
    assert ward.station.sent() == []


def test_what_was_sent_is_listed_under_who_sent_it(ward: Ward, writer: Browser) -> None:
    sent(writer, written(writer))
    catching.catch_up(ward.desk.engine, ward.desk.home)
    rows = ward.desk.read(lambda c: c.execute(select(sent_table)).all())
    assert [(row.by, row.department) for row in rows] == [("clinician", "urgences")]


@pytest.mark.parametrize(
    ("page", "wrong", "field"),
    [
        ("recipient", {"kind": ""}, "kind"),
        ("recipient", {"kind": "bomb"}, "kind"),
        ("recipient", {"department": "labo"}, "department"),
        ("recipient", {"recipient": ""}, "recipient"),
        ("recipient", {"recipient": "nobody@nowhere"}, "recipient"),
        ("recipient", {"recipient": "x' OR 1=1"}, "recipient"),
        ("patient", {"family": " "}, "family"),
        ("patient", {"number": "", "national": ""}, "number"),
        ("patient", {"number": "<script>"}, "number"),
        ("patient", {"national": "12345"}, "national"),
        ("patient", {"born": ""}, "born"),
        ("patient", {"born": "2999-01-01"}, "born"),
        ("patient", {"born": "31/12/1999"}, "born"),
        ("patient", {"sex": "?"}, "sex"),
        ("content", {"subject": ""}, "subject"),
        ("content", {"text": "  \n"}, "text"),
        ("content", {"text": "x" * (bounds.TEXT_CHARS + 1)}, "text"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    other: Browser, page: str, wrong: dict[str, str], field: str
) -> None:
    writer = other
    draft = written(writer)
    values = {"recipient": RECIPIENT, "patient": PATIENT, "content": CONTENT}[page]
    answer = filled(writer, draft, page, {**values, **wrong})
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert 'role="alert"' in answer.text
    assert f'id="{field}"' in answer.text
    refused = sent(writer, draft)
    assert refused.status_code == 422
    assert f'href="/compose/{draft}/{page}#{field}"' in writer.get(f"/compose/{draft}/check").text
    writer.post(f"/compose/{draft}/discard", {})


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"kind": "order", "examinations": " \n"}, "examinations"),
        ({"kind": "order", "examinations": "x\n" * (bounds.EXAMINATIONS + 1)}, "examinations"),
        ({"kind": "order", "examinations": "x" * (bounds.LINE_CHARS + 1)}, "examinations"),
        ({**RESULT, "row-0-value": ""}, "row-0-value"),
        ({**RESULT, "row-0-name": ""}, "row-0-name"),
        ({**RESULT, "row-0-flag": "??"}, "row-0-flag"),
        (NOTHING, "row-0-name"),
    ],
)  # fmt: skip
def test_orders_and_results_are_judged_by_their_own_rules(
    other: Browser, changed: dict[str, str], field: str
) -> None:
    writer = other
    draft = written(writer)
    filled(writer, draft, "recipient", {**RECIPIENT, **changed})
    answer = filled(writer, draft, "content", {**CONTENT, "text": "", **changed})
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text


@pytest.mark.parametrize("page", ["patient", "content"])
def test_whom_it_goes_to_stands_above_what_is_written(writer: Browser, page: str) -> None:
    draft = begun(writer)
    assert ">Recipient<" not in writer.get(f"/compose/{draft}/{page}").text, "nobody was chosen yet"
    filled(writer, draft, "recipient", RECIPIENT)
    shown_to = (
        writer.get(f"/compose/{draft}/{page}").text.partition(">Recipient</span>")[2].partition("</p>")[0]
    )
    assert re.findall("<bdi>([^<]+)</bdi>", shown_to) == ["cardio", "CHU-ORAN"]
    filled(writer, draft, "recipient", {**RECIPIENT, "recipient": "gone@chu-oran"})
    assert '<bdi class="id">gone@chu-oran</bdi>' in writer.get(f"/compose/{draft}/{page}").text


def test_the_patient_page_says_what_it_needs_and_needs_no_more(writer: Browser) -> None:
    draft = begun(writer)
    needed = writer.get(f"/compose/{draft}/patient").text.partition('id="needed">')[2].partition("</p>")[0]
    words = ["record number or the national number (one is enough)", "family name", "date of birth", "sex"]
    assert [each for each in words if each not in needed] == []
    for number in ("number", "national"):
        least = {name: PATIENT[name] for name in (number, "family", "born", "sex")}
        assert filled(writer, begun(writer), "patient", least).status_code == 303
        for left_out in least:
            rest = {name: value for name, value in least.items() if name != left_out}
            assert filled(writer, begun(writer), "patient", rest).status_code == 422, left_out


def test_nothing_is_sent_before_the_patient_was_confirmed(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    answer = writer.post(f"/compose/{draft}/check", {})
    assert answer.status_code == 422
    assert 'href="#confirmed"' in answer.text
    assert ward.station.sent() == []


def test_times_and_sizes_are_said_as_people_write_them(ward: Ward) -> None:
    writer = ward.browser(Role.CLINICIAN, "ar")
    draft = begun(writer)
    saved = writer.post(f"/compose/{draft}/content/save", {"subject": "x"})
    assert "حُفظت على الساعة" in saved.text
    page = writer.get(f"/compose/{draft}/content").text
    assert "م.ب" in page
    assert "ميبيبايت" not in page


def test_a_draft_is_saved_as_it_is_typed_and_found_again(writer: Browser) -> None:
    draft = begun(writer)
    saved = writer.post(f"/compose/{draft}/content/save", {"subject": "À moitié", "text": "déjà\r\nécrit"})
    assert saved.status_code == 200
    assert "Saved at" in saved.text
    assert "À moitié" in writer.get("/compose").text
    assert "déjà\nécrit" in writer.get(f"/compose/{draft}/content").text
    assert filled(writer, draft, "patient", {"family": "X"}, do="leave").location == "/compose"
    assert 'value="X"' in writer.get(f"/compose/{draft}/patient").text


def test_a_search_finds_departments_by_their_names(writer: Browser) -> None:
    draft = begun(writer)
    answer = filled(writer, draft, "recipient", {"kind": "file", "q": "clinique"}, do="search")
    assert "accueil@clinique-sud" in answer.text
    assert "cardio@chu-oran" not in answer.text
    part = writer.get(f"/compose/{draft}/found?q=ORAN+cardio")
    assert "cardio@chu-oran" in part.text
    assert "<html" not in part.text
    assert "labo@chu-oran" not in part.text
    assert writer.get(f"/compose/{draft}/found?q=nobody&wilaya=99999&of=x").status_code == 200


def test_somebody_elses_draft_does_not_exist(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    other = ward.browser(Role.NURSE)
    for path in ("recipient", "patient", "content", "check", "sent", "found", "files"):
        assert other.get(f"/compose/{draft}/{path}").status_code == 404, path
    for path in ("recipient", "patient/save", "content", "check", "discard", "files", "files/form"):
        assert other.post(f"/compose/{draft}/{path}", SOMETHING).status_code == 404, path
    assert "Douleur" not in other.get("/compose").text
    assert ward.station.sent() == []


def test_what_was_sent_is_not_changed_any_more(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    sent(writer, draft)
    assert (
        filled(writer, draft, "content", {**CONTENT, "text": "another"}).location == f"/compose/{draft}/sent"
    )
    assert writer.get(f"/compose/{draft}/content").location == f"/compose/{draft}/sent"
    assert writer.post(f"/compose/{draft}/files", {"name": "a", "size": "1"}).status_code == 409
    assert writer.post(f"/compose/{draft}/content/save", {"text": "another"}).status_code == 409
    assert writer.post(f"/compose/{draft}/discard", {}).location == f"/compose/{draft}/sent"
    assert len(ward.station.sent()) == 1


def test_a_recipient_that_went_away_is_asked_for_again(ward: Ward, writer: Browser) -> None:
    draft = written(writer)
    content = ward.desk.read(lambda c: service.own(c, "clinician", draft)).content
    gone = {"recipient": "gone@chu-oran"}
    ward.desk.change(lambda c: service.change(c, "clinician", draft, gone, 1))
    assert sent(writer, draft).status_code == 422
    assert ward.station.sent() == []
    assert content.recipient == "cardio@chu-oran"


def test_drafts_are_bounded_discarded_and_forgotten(ward: Ward, writer: Browser) -> None:
    first = begun(writer)
    for _ in range(bounds.DRAFTS - 1):
        begun(writer)
    refused = writer.post("/compose", {})
    assert refused.status_code == 422
    assert "too many drafts" in refused.text
    assert writer.post(f"/compose/{first}/discard", {}).status_code == 303
    assert writer.get(f"/compose/{first}/check").status_code == 404
    now_ms = ward.desk.clock.now_ms() + bounds.DRAFT_KEPT_MS + 1
    receiving.drop(ward.desk, ward.desk.change(lambda c: service.forget_old(c, now_ms)))
    assert ward.desk.read(lambda c: c.execute(select(drafts)).all()) == []
