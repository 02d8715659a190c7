"""Acknowledgements: made as the message's version has them, read whatever their form, due when asked for."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hl7.acks import (
    ACK_CODES,
    AcknowledgementMode,
    ErrorCode,
    ErrorLocation,
    Outcome,
    Severity,
    build_ack,
    read_ack,
)
from protocols.hl7.er7 import MalformedMessage, Message, read_header
from protocols.hl7.header import bare_header
from protocols.mllp import frame

NOW = "20260131235959+0100"


def request(version: str = "2.5.1", rest: str = "", kind: str = "ADT^A01^ADT_A01") -> bytes:
    return f"MSH|^~\\&|SEND^1.2^ISO|FAC1|RECV|FAC2|2026||{kind}|ID1|T^x|{version}{rest}\rPID|1\r".encode()


def ack_lines(raw: bytes) -> list[str]:
    return raw.decode().split("\r")


def test_plain_ack() -> None:
    raw = build_ack(read_header(request()), "AA", now=NOW, control_id="OURS")
    assert ack_lines(raw) == [
        f"MSH|^~\\&|RECV|FAC2|SEND^1.2^ISO|FAC1|{NOW}||ACK^A01^ACK|OURS|T^x|2.5.1",
        "MSA|AA|ID1",
        "",
    ]


def test_a_datetime_carries_its_offset() -> None:
    now = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=1)))
    assert Message(build_ack(read_header(request()), "AA", now=now, control_id="1")).get("MSH-7") == NOW


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.6", "2.7", "2.8", "2.9", "2.5^FRA", "5.0.0"])
def test_errors_since_2_5(version: str) -> None:
    error = ErrorLocation("PID", 2, 3, 4, ErrorCode.UNKNOWN_KEY, Severity.ERROR)
    raw = build_ack(
        read_header(request(version)), "AE", now=NOW, control_id="1", text="no such|patient", error=error
    )
    assert ack_lines(raw)[1:] == [
        "MSA|AE|ID1|no such\\F\\patient",
        "ERR||PID^2^3^1^4|204^Unknown key identifier^HL70357|E||||no such\\F\\patient",
        "",
    ]


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.4^^", "2.3.z", "1.0"])
def test_errors_before_2_5(version: str) -> None:
    error = ErrorLocation("PID", 2, 3, None, ErrorCode.UNKNOWN_KEY)
    raw = build_ack(read_header(request(version)), "AR", now=NOW, control_id="1", text="x", error=error)
    assert ack_lines(raw)[2] == "ERR|PID^2^3^204&Unknown key identifier&HL70357"


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("2.5", "ADT^A01", "ACK^A01^ACK"),
        ("2.3.1", "ADT^A01", "ACK^A01^ACK"),
        ("2.3", "ADT^A01", "ACK^A01"),
        ("2.5", "ORU", "ACK"),
        ("", "ADT^A01", "ACK^A01^ACK"),
    ],
)
def test_ack_type(version: str, kind: str, expected: str) -> None:
    raw = build_ack(read_header(request(version, kind=kind)), "AA", now=NOW, control_id="1")
    assert Message(raw).raw("MSH-9").decode() == expected


def test_delimiters_and_charset_are_mirrored_and_foreign_names_go_back_byte_for_byte() -> None:
    raw = "MSH#!@%*#مخبر#ف##G#2026##ADT!A01#س1#P#2.5######8859/6".encode("iso8859-6")
    ack = build_ack(read_header(raw), "AE", now=NOW, control_id="1", text="خطأ#!", error=ErrorLocation("PID"))
    assert ack.startswith(b"MSH#!@%*##G#" + "مخبر#ف#".encode("iso8859-6"))
    assert ack.split(b"\r")[0].endswith(b"#8859/6")
    assert read_ack(ack).text == "خطأ#!"
    assert read_ack(ack).answers("س1")


def test_control_characters_of_the_message_cannot_reach_the_answers_framing() -> None:
    raw = b"MSH|^~\\&|a\x1c\x0bMSH|b|c|d|2026||ADT^A\x1c01|I\x0bMSH|P|2.5\r"
    frame(build_ack(read_header(raw), "AA", now=NOW, control_id="1"))


def test_an_answer_fits_though_it_cannot_carry_what_stood_in_the_control_id() -> None:
    header = read_header(b"MSH|^~\\&|a|b|c|d|2026||ADT^A01|\x00I\x00D\x001\x7f|P|2.5\r")
    ack = read_ack(build_ack(header, "AA", now=NOW, control_id="1"))
    assert ack.control_id == "ID1"
    assert ack.answers(header.control_id)
    assert not ack.answers("\x00I\x00D\x002")


def test_an_id_that_is_read_in_another_charset_is_known_by_its_bytes() -> None:
    """Nothing declares a charset, and the bytes of the whole answer suggest another than MSH-10 by itself."""
    header = read_header(b"MSH|^~\\&|labo|car\x8bio|c|d|2026||ADT^A01|2.\xc2\x80\x00ZZ|P|2.5\r")
    ack = read_ack(build_ack(header, "AA", now=NOW, control_id="1"))
    assert not ack.answers(header.control_id)
    assert ack.answers(header.control_id, header.control_id_bytes)
    assert not ack.answers("3", b"3")


def test_an_unknown_code_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        build_ack(read_header(request()), "OK", now=NOW, control_id="1")


def refuse(raw: bytes) -> bytes:
    with pytest.raises(MalformedMessage) as caught:
        read_header(raw)
    fault = caught.value
    header = bare_header() if fault.partial is None else fault.partial
    code = "CR" if AcknowledgementMode.from_header(header).enhanced else "AR"
    return build_ack(header, code, now=NOW, control_id="1", text=str(fault), error=ErrorLocation.of(fault))


def test_garbage_gets_a_readable_refusal() -> None:
    answer = read_ack(refuse(b"hello"))
    assert (answer.code, answer.control_id) == ("AR", "")
    assert "MSH" in answer.text


def test_a_half_readable_header_is_mirrored() -> None:
    raw = refuse(b"MSH|^~\\&|LAB|CHU|EHR|HOSP|2026||ADT^A01||P|2.5\r")
    text = "MSH-10: message control id is missing; give each message an id of its own"
    assert ack_lines(raw) == [
        f"MSH|^~\\&|EHR|HOSP|LAB|CHU|{NOW}||ACK^A01^ACK|1|P|2.5",
        f"MSA|AR||{text}",
        f"ERR||MSH^1^10|101^Required field missing^HL70357|E||||{text}",
        "",
    ]


def test_a_refusal_keeps_the_control_id_and_the_enhanced_mode() -> None:
    answer = read_ack(refuse(b"MSH|^~\\&|LAB|CHU|EHR|HOSP|2026|||M7|P|2.5|||AL|NE\r"))
    assert (answer.code, answer.control_id) == ("CR", "M7")


QUIRKS = {
    "MSH-10 is ACK": (b"MSH|^~\\&|a|b|c|d|2026||ACK|ACK|P|2.5\rMSA|AA|ID1\r", "AA"),
    "other version": (b"MSH|^~\\&|a|b|c|d|2026||ACK^A01|9|P|2.3\rMSA|AA|ID1\r", "AA"),
    "the request's own MSH-9": (b"MSH|^~\\&|a|b|c|d|2026||ADT^A01^ADT_A01|9|P|2.5\rMSA|AE|ID1|bad\r", "AE"),
    "no final CR": (b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\rMSA|AR|ID1", "AR"),
    "line feeds": (b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\nMSA|CA|ID1\n", "CA"),
    "no MSH-10": (b"MSH|^~\\&|a|b|c|d|2026||ACK||P|2.5\rMSA|CE|ID1\r", "CE"),
    "no MSH-9": (b"MSH|^~\\&|||||||\rMSA|CR|ID1\r", "CR"),
    "short MSH": (b"MSH|^~\\&|\rMSA|AA|ID1\r", "AA"),
    "lower case": (b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\rMSA|aa|ID1\r", "AA"),
    "blanks": (b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\rMSA| AA | ID1 \r", "AA"),
    "ERR before MSA": (b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\rERR|x\rMSA|AA|ID1\r", "AA"),
    "other delimiters": (b"MSH$%~\\&$a$b$c$d$2026$$ACK$9$P$2.5\rMSA$AA$ID1\r", "AA"),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_odd_acks_are_understood(name: str) -> None:
    raw, code = QUIRKS[name]
    answer = read_ack(raw)
    assert answer.code == code
    assert answer.answers("ID1")
    assert not answer.answers("ID2")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"ACK",
        b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\r",
        b"MSH|^~\\&|a|b|c|d|2026||ACK|9|P|2.5\rMSA|OK|1\r",
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_ack(raw)


def test_codes_say_what_to_do() -> None:
    read = {
        code: read_ack(build_ack(read_header(request()), code, now=NOW, control_id="1")) for code in ACK_CODES
    }
    assert {code for code, answer in read.items() if answer.positive} == {"AA", "CA"}
    assert {code for code, answer in read.items() if answer.repeatable} == {"AR", "CR"}
    assert {code for code, answer in read.items() if answer.accept_level} == {"CA", "CE", "CR"}


@pytest.mark.parametrize(
    ("msh_15", "msh_16", "outcome", "accept", "application"),
    [
        ("", "", Outcome.ACCEPTED, None, "AA"),
        ("", "", Outcome.ERROR, None, "AE"),
        ("", "", Outcome.REJECTED, None, "AR"),
        ("AL", "AL", Outcome.ACCEPTED, "CA", "AA"),
        ("AL", "AL", Outcome.ERROR, "CE", "AE"),
        ("AL", "NE", Outcome.REJECTED, "CR", None),
        ("AL", "", Outcome.ACCEPTED, "CA", None),
        ("", "AL", Outcome.ACCEPTED, None, "AA"),
        ("NE", "NE", Outcome.REJECTED, None, None),
        ("ER", "SU", Outcome.ACCEPTED, None, "AA"),
        ("ER", "SU", Outcome.ERROR, "CE", None),
        ("al", " su ", Outcome.ACCEPTED, "CA", "AA"),
        ("ACCEPT", "NE", Outcome.ACCEPTED, "CA", None),
    ],
)
def test_which_acks_are_due(
    msh_15: str, msh_16: str, outcome: Outcome, accept: str | None, application: str | None
) -> None:
    mode = AcknowledgementMode.from_header(read_header(request(rest=f"|||{msh_15}|{msh_16}")))
    assert mode.enhanced == bool(msh_15.strip() or msh_16.strip())
    assert mode.accept_ack_due(outcome) == accept
    assert mode.application_ack_due(outcome) == application


@given(
    st.binary(min_size=1, max_size=20).filter(
        lambda value: not set(value) & set(b"|^~\\&") and value.strip()
    ),
    st.text(max_size=300),
    st.sampled_from(sorted(ACK_CODES)),
)
def test_every_ack_reads_back(control_id: bytes, text: str, code: str) -> None:
    raw = b"MSH|^~\\&|a|b|c|d|2026||ADT^A01|" + control_id + b"|P|2.5||||||UNICODE UTF-8\r"
    try:
        header = read_header(raw)
    except MalformedMessage:
        return
    ack = build_ack(header, code, now=NOW, control_id="1", text=text, error=ErrorLocation("PID"))
    answer = read_ack(ack)
    assert answer.code == code
    assert Message(ack).raw("MSA-2") == header.control_id_bytes.translate(
        None, bytes((*range(9), *range(10, 32), 127))
    )
    frame(ack)
