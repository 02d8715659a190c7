"""MLLP in: what is answered is true, names what is wrong, and a repeat changes nothing."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, text

from nodes.gateways.drafting import patient_of
from nodes.gateways.mllp_in import key_of
from nodes.link import addressbook, tables
from protocols.hl7.acks import read_ack
from protocols.hl7.er7 import Message
from protocols.hl7.header import read_header
from protocols.link.envelope import Priority, State
from runtime.database import open_engine
from tests.nodes.fixtures import Station, open_station
from tests.nodes.gateways.mllp_ends import VALID_FOR_MS, Sender, message, settings


def sender(station: Station, tmp_path: Path, text: str = "") -> Sender:
    return Sender(station, settings(tmp_path, text))


def err(answer: bytes) -> str:
    """Return what ERR locates, as ``MSH-9``; empty without one."""
    read = Message(answer)
    return f"{read.get('ERR-2.1')}-{read.get('ERR-2.3')}".strip("-")


def test_a_message_is_stored_as_it_came_and_acknowledged(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    ack = local.ask(message("MSG-7"))
    assert (ack.code, ack.control_id) == ("AA", "MSG-7")
    assert ack.header.receiving_application.namespace_id == "LABO"
    (sent,) = station.sent()
    assert (sent.sender, sent.kind, sent.patient, sent.subject) == (
        "labo@chu-alger", "ORU^R01", "12345", "Benali Amina",
    )  # fmt: skip
    assert [r.recipient for r in sent.recipients] == ["cardio@chu-oran"]
    assert sent.expires_ms - sent.created_ms == VALID_FOR_MS
    assert station.body_of(sent.id) == message("MSG-7")
    assert local.count("wasl_mllp_in_answers_total", code="AA") == 1


def test_nothing_is_said_before_the_commit(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    local.send(message("0"))
    station.database._writer._latency_s = 1.0  # type: ignore[attr-defined]  # a disk that takes its time
    assert local.send(message("1")) == []
    station.advance(0.9)
    assert local.answers() == []
    station.advance(0.2)
    assert [read_ack(answer).code for answer in local.answers()] == ["AA"]


# ── repeats ────────────────────────────────────────────────────────────────────────────────


def test_the_same_again_gets_the_very_same_answer(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    first = local.send(message())
    station.advance(100)
    assert local.send(message()) == first
    assert len(station.sent()) == 1
    assert local.count("wasl_mllp_in_repeats_total") == 1


def test_a_repeat_is_known_although_the_settings_have_changed(station: Station, tmp_path: Path) -> None:
    first = sender(station, tmp_path).send(message())
    changed = sender(station, tmp_path, 'from = "urgences"\n')
    assert changed.send(message()) == first
    assert changed.alarms == []
    assert len(station.sent()) == 1


def test_a_repeat_is_known_although_the_sender_is_no_mailbox_any_more(
    station: Station, tmp_path: Path
) -> None:
    first = sender(station, tmp_path).send(message())
    entry = station.network.entry("chu-alger", ("urgences",), version=2)
    station.do(lambda c: addressbook.merge(c, entry, station.identity.authority_key))
    later = sender(station, tmp_path)
    assert later.send(message()) == first
    assert later.ask(message("2")).code == "AR"


def test_a_large_message_is_repeated_and_conflicts_alike(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    large = message(tail="OBX|" + "x" * 100_000 + "\r")
    first = local.send(large)
    assert local.send(large) == first
    assert read_ack(local.send(large + b"NTE|\r")[0]).code == "AE"
    assert len(list((station.home / "outgoing").iterdir())) == 1
    assert station.body_of(station.sent()[0].id) == large


def test_a_control_id_used_again_is_refused_and_alarmed(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    local.send(message())
    (answer,) = local.send(message(tail="PID|other\r"))
    ack = read_ack(answer)
    assert (ack.code, ack.control_id, err(answer)) == ("AE", "1", "MSH-10")
    assert [code for code, _ in local.alarms] == ["control-id-reused"]
    assert local.alarms[0][1].startswith("'LABO' at ")
    assert len(station.sent()) == 1


def test_other_senders_have_control_ids_of_their_own(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    assert local.ask(message()).code == "AA"
    assert local.ask(message(sender="urgences|chu-alger")).code == "AA"
    assert len(station.sent()) == 2


def test_keys_are_unambiguous_and_bounded() -> None:
    def key(sending: str, control_id: str) -> str:
        return key_of(read_header(message(control_id, sender=sending)))

    assert key("a|b", "c") == "mllp:a/b/c"
    assert len({key("a/b|c", "d"), key("a|b/c", "d"), key("a|b", "c/d"), key("a%2Fb|c", "d")}) == 4
    assert len(key("x" * 900 + "|b", "c")) <= 300
    assert key("x" * 900 + "|b", "c") != key("x" * 900 + "|b", "d")


# ── refusals ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("raw", "code", "place"),
    [
        (message(sender="labo|chu-oran"), "AR", "MSH-4"),
        (message(sender="cuisine|chu-alger"), "AR", "MSH-3"),
        (message(to="cardio|chu-paris"), "AE", "MSH-6"),
        (message(to="dentiste|chu-oran"), "AE", "MSH-5"),
        (message(to="|chu-oran"), "AE", "MSH-5"),
        (message(to="cardio|"), "AE", "MSH-6"),
        (message(""), "AE", "MSH-10"),
        (message(kind=""), "AE", "MSH-9"),
        (message("x" * 300), "AE", "MSH-10"),
        (b"hello", "AE", "MSH"),
        (b"", "AE", "MSH"),
        (b"MSH", "AE", "MSH-1"),
        (b"MSH|^~^&|a", "AE", "MSH-2"),
        (b"FHS|^~\\&|\rFTS|0\r", "AE", "MSH"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_stored(
    station: Station, tmp_path: Path, raw: bytes, code: str, place: str
) -> None:
    local = sender(station, tmp_path)
    (answer,) = local.send(raw)
    assert (read_ack(answer).code, err(answer)) == (code, place)
    assert place in read_ack(answer).text
    assert station.sent() == []
    assert local.ask(message("after")).code == "AA"


def test_a_refusal_for_wrong_encoding_characters_repeats_the_control_id(
    station: Station, tmp_path: Path
) -> None:
    """An escape doubled in MSH-2 is common; without MSA-2 its sender would not know what was refused."""
    (answer,) = sender(station, tmp_path).send(message("M7").replace(b"^~\\&", b"^~\\\\&", 1))
    said = read_ack(answer)
    assert (said.code, said.control_id, err(answer)) == ("AE", "M7", "MSH-2")


def test_an_enhanced_sender_is_refused_by_ce(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    assert local.ask(message(to="cardio|chu-paris", modes="AL|NE")).code == "CE"
    assert local.ask(message(sender="x|y", modes="ER|NE")).code == "CR"
    assert local.ask(message("", modes="NE|ER")).code == "AE"
    assert local.ask(message("", modes="NE|NE")).code == "CE"
    assert local.alarms == []
    assert local.send(message(to="cardio|chu-paris", modes="NE|NE")) == []
    assert [code for code, _ in local.alarms] == ["mllp-refused-unheard"]


def test_a_route_to_nowhere_blames_no_field(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, '[[mllp.route]]\nto = ["nobody@chu-oran"]\n')
    (answer,) = local.send(message())
    assert (read_ack(answer).code, err(answer)) == ("AE", "")
    assert "nobody" in read_ack(answer).text


def test_a_mailbox_that_has_just_been_made_may_send(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    assert local.ask(message(sender="radio|chu-alger")).code == "AR"
    entry = station.network.entry("chu-alger", ("labo", "radio"), version=2)
    station.do(lambda c: addressbook.merge(c, entry, station.identity.authority_key))
    assert local.ask(message(sender="radio|chu-alger")).code == "AA"


def test_before_the_first_directory_everything_is_taken(tmp_path: Path) -> None:
    with open_station(tmp_path, with_directory=False) as station:
        assert sender(station, tmp_path).ask(message(sender="neuf|chu-alger", to="x|y")).code == "AA"


def test_a_full_disk_refuses_and_the_same_message_is_taken_later(tmp_path: Path) -> None:
    with open_station(tmp_path, floor_bytes=1 << 60) as station:
        local = sender(station, tmp_path)
        assert local.ask(message()).code == "AR"
        assert local.ask(message(modes="AL|")).code == "CR"
        assert station.sent() == []
        station.post._floor_bytes = 0
        assert local.ask(message()).code == "AA"


def test_a_locked_database_refuses(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    local.send(message("0"))
    other = open_engine(station.url)
    with station.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    with other.begin() as held:
        held.execute(text("DELETE FROM alarms"))
        assert local.ask(message("1")).code == "AR"
    other.dispose()
    assert local.ask(message("1")).code == "AA"


def test_a_queue_that_is_full_refuses(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    station.database._max_queued = 0
    assert local.ask(message()).code == "AR"
    station.database._max_queued = 10
    assert local.ask(message()).code == "AA"


def test_a_frame_over_the_limit_is_answered(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, 'max_message = "1KiB"\n')
    (answer,) = local.send(message(tail="OBX|" + "x" * 2_000 + "\r"))
    assert (read_ack(answer).code, err(answer)) == ("AE", "MSH")
    assert local.ask(message()).code == "AA"


def test_garbage_between_frames_is_counted_and_harms_nothing(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    local.pipe.protocol.dataReceived(b"GET / HTTP/1.1\r\n")
    assert local.ask(message()).code == "AA"
    assert local.count("wasl_mllp_in_garbage_bytes_total") == len("GET / HTTP/1.1")


# ── modes ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("modes", "codes"),
    [
        ("", ["AA"]), ("AL|NE", ["CA"]), ("AL|", ["CA"]), ("SU|NE", ["CA"]), ("ER|NE", []), ("NE|NE", []),
        ("NE|AL", ["AA"]), ("NE|ER", []), ("XX|NE", ["CA"]),
    ],
)  # fmt: skip
def test_stored_answers_at_once_as_asked(
    station: Station, tmp_path: Path, modes: str, codes: list[str]
) -> None:
    local = sender(station, tmp_path)
    assert [read_ack(answer).code for answer in local.send(message(modes=modes))] == codes
    assert len(station.sent()) == 1


def test_enhanced_mode_gives_both_if_the_application_answers_in_time(
    station: Station, tmp_path: Path
) -> None:
    local = sender(station, tmp_path)
    assert local.send(message(modes="AL|AL")) == []
    theirs = b"MSH|^~\\&|CARDIO|CHU-ORAN|||20260101||ACK^R01|77|P|2.5.1\rMSA|AA|1\r"
    station.mark(station.sent()[0].id, "cardio@chu-oran", State.PROCESSED, code="AA", answer=theirs)
    station.settle()
    accept, application = local.answers()
    assert read_ack(accept).code == "CA"
    assert application == theirs


def test_enhanced_mode_is_content_with_ca_when_the_application_is_slow(
    station: Station, tmp_path: Path
) -> None:
    local = sender(station, tmp_path)
    assert local.send(message(modes="AL|AL")) == []
    station.advance(1.1)
    assert [read_ack(answer).code for answer in local.answers()] == ["CA"]


@pytest.mark.parametrize(
    ("level", "before", "at"),
    [
        ("accepted", None, State.ACCEPTED),
        ("accepted", None, State.DELAYED),
        ("delivered", State.ACCEPTED, State.DELIVERED),
        ("delivered", State.DELAYED, State.PROCESSED),
        ("processed", State.DELIVERED, State.PROCESSED),
    ],
)
def test_the_answer_waits_for_what_is_set(
    station: Station, tmp_path: Path, level: str, before: State | None, at: State
) -> None:
    local = sender(station, tmp_path, f'acknowledge = "{level}"\n')
    assert local.send(message()) == []
    (sent,) = station.sent()
    if before is not None:
        station.mark(sent.id, "cardio@chu-oran", before)
        station.settle()
        assert local.answers() == []
    station.mark(sent.id, "cardio@chu-oran", at)
    station.settle()
    first = local.answers()
    assert read_ack(first[0]).code == "AA"
    assert local.send(message()) == first


@pytest.mark.parametrize(("modes", "code"), [("", "AR"), ("AL|NE", "CR"), ("NE|AL", "AR")])
def test_a_message_on_its_way_is_asked_for_again(
    station: Station, tmp_path: Path, modes: str, code: str
) -> None:
    """The sender that repeats gets AA once it is there, and there is one message all the while."""
    local = sender(station, tmp_path, 'acknowledge = "delivered"\n')
    assert local.send(message(modes=modes)) == []
    station.advance(3.9)
    assert local.answers() == []
    station.advance(0.2)
    (answer,) = local.answers()
    assert read_ack(answer).code == code
    assert "repeat" in read_ack(answer).text
    assert local.send(message(modes=modes)) == []
    station.mark(station.sent()[0].id, "cardio@chu-oran", State.DELIVERED)
    station.settle()
    assert [read_ack(answer).positive for answer in local.answers()] == [True]
    assert len(station.sent()) == 1


@pytest.mark.parametrize("level", ["accepted", "delivered", "processed"])
def test_what_comes_back_is_an_error(station: Station, tmp_path: Path, level: str) -> None:
    local = sender(station, tmp_path, f'acknowledge = "{level}"\n')
    local.send(message())
    station.mark(station.sent()[0].id, "cardio@chu-oran", State.RETURNED, code="expired")
    station.settle()
    (answer,) = local.answers()
    assert read_ack(answer).code == "AE"
    assert "cardio@chu-oran" in read_ack(answer).text
    assert "expired" in read_ack(answer).text


def test_an_answer_given_stands_whatever_comes_later(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, 'acknowledge = "accepted"\n')
    local.send(message())
    (sent,) = station.sent()
    station.mark(sent.id, "cardio@chu-oran", State.ACCEPTED)
    station.settle()
    first = local.answers()
    station.mark(sent.id, "cardio@chu-oran", State.RETURNED, code="expired")
    assert local.send(message()) == first
    assert read_ack(first[0]).code == "AA"


def test_one_of_several_recipients_who_did_not_get_it_is_named(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, 'acknowledge = "delivered"\n[[mllp.route]]\nto = ["garde@group"]\n')
    local.send(message())
    (sent,) = station.sent()
    station.mark(sent.id, "labo@chu-oran", State.RETURNED, code="refused-kind")
    station.settle()
    assert local.answers() == []
    station.mark(sent.id, "accueil@clinique-sud", State.DELIVERED)
    station.settle()
    (answer,) = local.answers()
    assert read_ack(answer).code == "AE"
    assert "labo@chu-oran" in read_ack(answer).text
    assert "clinique-sud" not in read_ack(answer).text


# ── the application's own answer ───────────────────────────────────────────────────────────

THEIRS = b"MSH|^~\\&|CARDIO|CHU-ORAN|||20260101||ORL^O22|77|P|2.5.1\rMSA|AA|1\rORC|OK\r"


@pytest.mark.parametrize(
    ("state", "answer"),
    [(State.PROCESSED, THEIRS), (State.REFUSED, THEIRS.replace(b"|AA|", b"|AE|"))],
)
def test_the_application_answers_byte_for_byte(
    station: Station, tmp_path: Path, state: State, answer: bytes
) -> None:
    local = sender(station, tmp_path, 'acknowledge = "processed"\n')
    local.send(message())
    station.mark(station.sent()[0].id, "cardio@chu-oran", state, code="x", answer=answer)
    station.settle()
    assert local.answers() == [answer]
    assert local.send(message()) == [answer]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"opened on the desk",
        THEIRS.replace(b"|AA|1", b"|AA|2"),
        THEIRS.replace(b"|AA|", b"|CA|"),
        THEIRS.replace(b"|AA|", b"|AE|"),
        THEIRS + b"NTE|\x1c\r\r",
        THEIRS + THEIRS,
        THEIRS + b"NTE|" + b"x" * 40_000,
    ],
)
def test_an_answer_that_does_not_fit_is_replaced_by_our_own(
    station: Station, tmp_path: Path, answer: bytes
) -> None:
    local = sender(station, tmp_path, 'acknowledge = "processed"\n')
    local.send(message())
    station.mark(station.sent()[0].id, "cardio@chu-oran", State.PROCESSED, code="AA", answer=answer)
    station.settle()
    (given,) = local.answers()
    assert given != answer
    assert (read_ack(given).code, read_ack(given).control_id) == ("AA", "1")


def test_with_several_recipients_the_answer_is_our_own(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, 'acknowledge = "processed"\n[[mllp.route]]\nto = ["garde@group"]\n')
    local.send(message())
    for recipient in ("labo@chu-oran", "accueil@clinique-sud"):
        station.mark(station.sent()[0].id, recipient, State.PROCESSED, answer=THEIRS)
    station.settle()
    (given,) = local.answers()
    assert given != THEIRS
    assert read_ack(given).code == "AA"


# ── batches and order ──────────────────────────────────────────────────────────────────────


def test_a_batch_is_taken_apart_and_each_message_answered(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path)
    raw = b"FHS|^~\\&\rBHS|^~\\&\r" + message("1") + message("2", to="x|y") + message("3") + b"BTS|9\rFTS|1\r"
    acks = [read_ack(answer) for answer in local.send(raw)]
    assert [(ack.code, ack.control_id) for ack in acks] == [("AA", "1"), ("AE", "2"), ("AA", "3")]
    assert [station.body_of(sent.id) for sent in station.sent()] == [message("1"), message("3")]


def test_a_batch_waits_no_longer_than_one_message(station: Station, tmp_path: Path) -> None:
    local = sender(station, tmp_path, 'acknowledge = "accepted"\n')
    assert local.send(b"BHS|^~\\&\r" + message("1") + message("2") + b"BTS|2\r") == []
    station.mark(station.sent()[1].id, "cardio@chu-oran", State.ACCEPTED)
    station.advance(4.2)
    assert [read_ack(answer).code for answer in local.answers()] == ["AR", "AA"]


def test_what_was_sent_without_waiting_keeps_its_order(station: Station, tmp_path: Path) -> None:
    """A large message, which takes the way through the disk, is not overtaken by a small one."""
    local = sender(station, tmp_path)
    station.post._sealer._latency_s = 0.5  # type: ignore[attr-defined]  # a slow disk
    local.send(message("1", tail="OBX|" + "x" * 50_000 + "\r"), message("2"))
    station.advance(1)
    assert [read_ack(answer).control_id for answer in local.answers()] == ["1", "2"]
    assert [sent.key for sent in station.sent()] == ["mllp:LABO/CHU-Alger/1", "mllp:LABO/CHU-Alger/2"]


# ── what people see of it ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("PID|1||77^^^A~88||Ben\\T\\Ali^Amina&x^B\r", ("77", "Ben&Ali Amina")),
        ("EVN|\r\nPID|1||77||X\r\n", ("77", "X")),
        ('PID|1||""||""^""\r', ("", "")),
        ("NTE|PID|1||77\r", ("", "")),
        ("PID|1||" + "7" * 100 + "||" + "é" * 300 + "\r", ("7" * 64, "é" * 200)),
        ("PID|1||a\\X0A\\b||\r", ("a b", "")),
        ("", ("", "")),
    ],
)
def test_the_patient_is_read_within_bounds(tail: str, expected: tuple[str, str]) -> None:
    raw = message(tail=tail)
    assert patient_of(read_header(raw), raw) == expected


def test_an_empty_outbox_after_a_row_is_gone_is_no_crash(station: Station, tmp_path: Path) -> None:
    """Retention took the message: its key is free again, and the repeat is a new message."""
    local = sender(station, tmp_path)
    local.send(message())

    def forget(connection: Connection) -> None:
        connection.execute(delete(tables.outbox))

    station.do(forget)
    assert local.ask(message()).code == "AA"


@pytest.mark.parametrize(("code", "priority"), [("S", Priority.STAT), ("R", Priority.ROUTINE)])
def test_a_stat_order_is_put_as_stat(station: Station, tmp_path: Path, code: str, priority: Priority) -> None:
    """A hospital system has no other way to ask for speed than TQ1-9."""
    sender(station, tmp_path).send(message(tail=f"TQ1|1||||||||{code}\r"))
    assert [sent.priority for sent in station.sent()] == [priority]
