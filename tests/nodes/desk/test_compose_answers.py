"""Answering a message, and passing it on: what a draft takes over, and what it leaves."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from crypto.primitives import blake2b
from nodes.desk import audit
from nodes.desk.audit import Wanted
from nodes.desk.compose import bounds, receiving, service
from nodes.desk.compose.tables import drafts
from nodes.desk.roles import Role
from nodes.link.ids import id_text
from nodes.link.tables import inbox_files
from tests.nodes.desk.composing import (
    CONTENT,
    RESULT,
    begun,
    filled,
    only_message,
    sent,
)
from tests.nodes.desk.desks import Browser, Ward


def mdm(number: str = "REF-7") -> bytes:
    return (
        "MSH|^~\\&|cardio|chu-oran|urgences|chu-alger|20260101||MDM^T02|42|P|2.5.1||||||UNICODE UTF-8\r"
        "PID|1||D-1^^^CHU-ORAN^MR~109880123456789012^^^dz-nin^NI||BENSAMPLE^AMINA||19880229|F\r"
        f"TXA|1|CN|TX|||||||||{number}\r"
    ).encode()


def test_an_answer_knows_patient_recipient_and_what_it_answers(ward: Ward, writer: Browser) -> None:
    seq = ward.arrive("urgences", body=mdm(), sender="cardio@chu-oran", kind="MDM^T02", urgent=True)
    writer.get("/d/urgences")
    assert writer.post("/compose", {"answer": str(seq)}).status_code == 404, "nobody has opened it"
    writer.get(f"/m/{seq}")
    draft = begun(writer, answer=str(seq))
    assert (
        filled(
            writer,
            draft,
            "recipient",
            {"kind": "advice", "department": "urgences", "recipient": "cardio@chu-oran"},
        ).status_code
        == 303
    )
    page = writer.get(f"/compose/{draft}/patient").text
    for each in ("BENSAMPLE", "AMINA", "1988-02-29", "D-1", "109880123456789012"):
        assert f'value="{each}"' in page
    ward.desk.change(
        lambda c: service.change(c, "clinician", draft, {"subject": "Réponse", "text": "Vu."}, 1)
    )
    assert sent(writer, draft).status_code == 303
    _, message = only_message(ward)
    assert (message.get("TXA-13"), message.get("PID-3[2].4")) == ("REF-7", "CHU-ORAN")


def test_an_order_is_answered_by_a_result_with_its_number(ward: Ward, writer: Browser) -> None:
    order = (
        b"MSH|^~\\&|cardio|chu-oran|urgences|chu-alger|20260101||OML^O21|42|P|2.5.1||||||UNICODE UTF-8\r"
        b"PID|1||D-1^^^CHU-ORAN^MR||BENSAMPLE^AMINA||19880229|F\rORC|NW|G-1.1||G-1\rOBR|1|G-1.1||2345-7^Glucose^LN\r"
    )
    seq = ward.arrive("urgences", body=order, sender="cardio@chu-oran", kind="OML^O21")
    writer.get("/d/urgences")
    writer.get(f"/m/{seq}")
    draft = begun(writer, answer=str(seq))
    assert filled(writer, draft, "content", {**CONTENT, **RESULT}).status_code == 303
    assert sent(writer, draft).status_code == 303
    _, message = only_message(ward)
    assert [message.get(path) for path in ("MSH-9", "ORC-2", "ORC-4", "OBR-2", "ORC-3")] == [
        "ORU", "G-1.1", "G-1", "G-1.1", draft,
    ]  # fmt: skip


def test_a_message_is_passed_on_with_its_original(ward: Ward, writer: Browser) -> None:
    seq = ward.arrive("urgences", body=mdm(), sender="cardio@chu-oran", kind="MDM^T02")
    writer.get("/d/urgences")
    writer.get(f"/m/{seq}")
    draft = begun(writer, forward=str(seq))
    page = writer.get(f"/compose/{draft}/content").text
    assert "original.hl7" in page
    assert "Passed on: from cardio@chu-oran" in page
    fields = {"recipient": "accueil@clinique-sud"}
    ward.desk.change(lambda c: service.change(c, "clinician", draft, fields, 1))
    filled(writer, draft, "content", {**CONTENT, "subject": "FYI"})
    assert sent(writer, draft).status_code == 303
    _, message = only_message(ward)
    assert message.get("OBX[2]-5") == "original.hl7"


@pytest.mark.parametrize("way", ["answer", "forward"])
def test_answering_and_passing_on_are_readings(ward: Ward, writer: Browser, way: str) -> None:
    """Name, numbers and birth date of what a colleague opened stand in the draft from then on."""
    seq = ward.arrive("cardio", body=mdm(), kind="MDM^T02")
    ward.browser(Role.PHARMACY).get(f"/m/{seq}")
    draft = begun(writer, **{way: str(seq)})
    subject = id_text(ward.station.inbox_row(seq).id)
    lines = ward.desk.read(lambda c: audit.page(c, Wanted(subject=subject, action="message.read")))
    assert [(one.actor, one.details) for one in lines] == [("user:clinician", {"as": way, "draft": draft})]


def test_of_several_patients_nobody_is_taken_over(ward: Ward, writer: Browser) -> None:
    other = b"PID|2||D-2^^^CHU-ORAN^MR||OTHERSAMPLE^NOUR||19900101|F\r"
    for filler in (b"", b"NTE|1||" + b"x" * 70_000 + b"\r"):
        seq = ward.arrive("urgences", body=mdm() + filler + other, kind="MDM^T02")
        writer.get(f"/m/{seq}")
        for way in ("answer", "forward"):
            page = writer.get(f"/compose/{begun(writer, **{way: str(seq)})}/patient").text
            assert "is about several patients" in page
            for shown_to in ("BENSAMPLE", "OTHERSAMPLE", "D-1", "D-2", "1988"):
                assert shown_to not in page
    twice = ward.arrive("urgences", body=mdm() + mdm().split(b"\r")[1] + b"\r", kind="MDM^T02")
    writer.get(f"/m/{twice}")
    page = writer.get(f"/compose/{begun(writer, answer=str(twice))}/patient").text
    assert "several patients" not in page
    assert 'value="BENSAMPLE"' in page


def with_files(ward: Ward, writer: Browser, *held: bytes) -> int:
    """Lay an opened message with these files into the inbox; file ``n`` is ``file-n`` of the home."""
    seq = ward.arrive("urgences", body=mdm(), kind="MDM^T02")
    for number, data in enumerate(held):
        (ward.desk.home / f"file-{number}").write_bytes(data)
        values = {
            "inbox_seq": seq, "position": number, "name": f"scan-{number}", "media_type": "",
            "size": len(data), "digest": blake2b(data), "path": f"file-{number}",
        }  # fmt: skip
        ward.desk.change(lambda c, values=values: c.execute(insert(inbox_files).values(values)))  # type: ignore[misc]  # mypy takes no default for a lambda
    assert writer.get(f"/m/{seq}").status_code == 200
    return seq


def begins_nothing(ward: Ward, writer: Browser, seq: int, why: str) -> None:
    answer = writer.post("/compose", {"forward": str(seq)})
    assert answer.status_code == 422
    assert why in answer.text
    assert ward.desk.read(lambda c: c.execute(select(drafts)).all()) == []
    kept = ward.desk.home / receiving.DIRECTORY
    assert not kept.exists() or list(kept.iterdir()) == []


def test_what_is_passed_on_is_all_or_nothing(ward: Ward, writer: Browser) -> None:
    seq = with_files(ward, writer, *(b"x" * (n + 1) for n in range(bounds.FILES)))
    begins_nothing(ward, writer, seq, "too many attachments")


@pytest.mark.parametrize("rotted", [b"fine", b"", None])
def test_what_rotted_is_not_passed_on_as_good(ward: Ward, writer: Browser, rotted: bytes | None) -> None:
    seq = with_files(ward, writer, b"good", b"fien")
    path = ward.desk.home / "file-1"
    path.unlink()
    if rotted is not None:
        path.write_bytes(rotted)
    begins_nothing(ward, writer, seq, "not what arrived any more")


def test_an_empty_file_that_is_left_out_is_named(ward: Ward, writer: Browser) -> None:
    seq = with_files(ward, writer, b"", b"good")
    page = writer.get(f"/compose/{begun(writer, forward=str(seq))}/content").text
    assert "Left out, since it is empty: scan-0" in page
    assert "scan-1" in page


def test_a_message_of_another_department_cannot_be_answered(ward: Ward, writer: Browser) -> None:
    seq = ward.arrive("labo", body=mdm(), kind="MDM^T02")
    ward.browser(Role.LABORATORY).get(f"/m/{seq}")
    for values in ({"answer": str(seq)}, {"forward": str(seq)}, {"answer": "9" * 30}, {"answer": "-1"}):
        assert writer.post("/compose", values).status_code == 404
