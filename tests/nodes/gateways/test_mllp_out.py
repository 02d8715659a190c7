"""MLLP out: in order, each message until it is answered, and never by another's answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from config.fields import HostPort
from crypto.sealing import open_detail
from nodes.gateways.mllp_out import ALARM_AFTER_FAILURES, MllpOutbound
from nodes.link import inbox
from nodes.link.post import POLL_S
from protocols.link.envelope import Priority, State, decode_receipt
from runtime.mllp_client import MllpClient
from tests.nodes.fixtures import Station
from tests.nodes.gateways.mllp_ends import LocalSystem, ack, message, settings

LABO = "labo@chu-alger"
DELIVER = '[mllp.deliver]\n"labo" = "127.0.0.1:1"\n[mllp.delivery]\nanswer_timeout = "10s"\n'
WITH_REST = '[mllp.deliver]\n"labo" = "127.0.0.1:1"\n"*" = "127.0.0.1:2"\n'


class Deliveries:
    """The gateway under test with a local system behind each port."""

    def __init__(self, station: Station, tmp_path: Path, text: str = DELIVER) -> None:
        self.station = station
        self.registry = CollectorRegistry()
        self.alarms: list[str] = []
        self.systems: dict[int, LocalSystem] = {}
        self.clients: list[MllpClient] = []
        self.gateway = MllpOutbound(
            station.post,
            settings(tmp_path, text),
            lambda code, _text: self.alarms.append(code),
            station.clock,
            self.registry,
            self._client,
            Random(1),
        )
        self.local = self.systems.setdefault(1, LocalSystem())

    def _client(self, target: HostPort) -> MllpClient:
        client = MllpClient(self.systems.setdefault(target.port, LocalSystem()), clock=self.station.clock)
        self.clients.append(client)
        return client

    def start(self) -> None:
        self.gateway.start()
        self.station.settle()

    def say(self, payload: bytes) -> None:
        self.local.say(payload)
        self.station.settle()

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def state(self, seq: int) -> tuple[State, str]:
        row = self.station.inbox_row(seq)
        return State(row.state), row.code


@contextmanager
def delivering(station: Station, tmp_path: Path, text: str = DELIVER) -> Iterator[Deliveries]:
    deliveries = Deliveries(station, tmp_path, text)
    deliveries.start()
    try:
        yield deliveries
    finally:
        station.run(deliveries.gateway.stop())
        station.settle()


@pytest.fixture
def out(station: Station, tmp_path: Path) -> Iterator[Deliveries]:
    with delivering(station, tmp_path) as deliveries:
        yield deliveries


def test_a_message_is_delivered_as_it_is_and_its_answer_becomes_the_receipt(
    station: Station, out: Deliveries
) -> None:
    seq = station.receive(message("1"))
    assert out.local.received == [message("1")]
    assert out.state(seq) == (State.DELIVERED, "")
    answer = ack("AA", "1")
    out.say(answer)
    assert out.state(seq) == (State.PROCESSED, "AA")
    receipt, _ = decode_receipt(station.receipts()[0].receipt)
    assert (receipt.state, receipt.code) == (State.PROCESSED, "AA")
    assert open_detail(station.network.keys_of("chu-oran").sealing, receipt.detail) == answer
    assert out.count("wasl_mllp_out_answers_total", code="AA") == 1


def test_what_arrived_before_the_start_or_without_a_hint_is_found(station: Station, tmp_path: Path) -> None:
    station.receive(message("1"))
    with delivering(station, tmp_path) as out:
        out.local.answer = lambda _: [ack("AA", "1"), ack("AA", "2")]
        assert out.local.received == [message("1")]
        out.say(ack("AA", "1"))
        station.receive(message("2"), quietly=True)
        station.advance(POLL_S + 0.1)
        assert out.local.received == [message("1"), message("2")]


def test_order_is_kept_and_one_is_on_the_way_at_a_time(station: Station, out: Deliveries) -> None:
    for number in "123":
        station.receive(message(number))
    assert out.local.received == [message("1")]
    for number in "123":
        out.say(ack("AA", number))
    assert out.local.received == [message("1"), message("2"), message("3")]
    assert len(out.local.connections) == 1


def test_stat_goes_first(station: Station, out: Deliveries) -> None:
    station.receive(message("1"))
    station.receive(message("2"))
    station.receive(message("3"), priority=Priority.STAT)
    out.say(ack("AA", "1"))
    out.say(ack("AA", "3"))
    assert out.local.received == [message("1"), message("3"), message("2")]


def test_stat_goes_before_a_message_that_is_not_taken(station: Station, out: Deliveries) -> None:
    out.local.answer = lambda raw: [ack("AR", "1") if raw == message("1") else ack("AA", "2")]
    first = station.receive(message("1"))
    second = station.receive(message("2"), priority=Priority.STAT)
    station.advance(10)
    assert out.state(second) == (State.PROCESSED, "AA")
    assert out.state(first)[0] is State.DELIVERED


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_a_refusal_ends_the_message_and_the_next_goes_on(
    station: Station, out: Deliveries, code: str
) -> None:
    first, second = station.receive(message("1")), station.receive(message("2"))
    out.say(ack(code, "1"))
    out.say(ack("AA", "2"))
    assert out.state(first) == (State.REFUSED, code)
    assert out.state(second) == (State.PROCESSED, "AA")
    assert decode_receipt(station.receipts()[0].receipt)[0].state is State.REFUSED


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_not_now_is_tried_again_and_the_next_waits(station: Station, out: Deliveries, code: str) -> None:
    first, _ = station.receive(message("1")), station.receive(message("2"))
    out.say(ack(code, "1"))
    station.advance(1.1)
    assert out.local.received == [message("1")] * 2
    assert out.state(first) == (State.DELIVERED, "")
    out.say(ack("AA", "1"))
    assert out.local.received[-1] == message("2")


def test_silence_is_tried_again_on_a_new_connection(station: Station, out: Deliveries) -> None:
    seq = station.receive(message("1"))
    station.advance(9.9)
    assert len(out.local.received) == 1
    station.advance(1.3)
    assert out.local.received == [message("1")] * 2
    assert [pipe.connected for pipe in out.local.connections] == [False, True]
    out.say(ack("AA", "1"))
    assert out.state(seq)[0] is State.PROCESSED
    assert out.count("wasl_mllp_out_failures_total") == 1


def test_a_lost_connection_is_tried_again(station: Station, out: Deliveries) -> None:
    station.receive(message("1"))
    out.local.connections[0].end()
    station.advance(1.1)
    assert out.local.received == [message("1")] * 2


def test_a_system_that_is_down_is_tried_with_back_off_and_a_person_told(
    station: Station, out: Deliveries
) -> None:
    out.local.up = False
    seq = station.receive(message("1"))
    station.advance(120)
    assert out.alarms == ["mllp-delivery-stuck"]
    attempts = out.count("wasl_mllp_out_failures_total")
    assert ALARM_AFTER_FAILURES <= attempts < 30
    assert out.state(seq)[0] is State.DELIVERED
    out.local.up = True
    out.local.answer = lambda _: [ack("AA", "1")]
    station.advance(300)
    assert out.state(seq)[0] is State.PROCESSED


# ── whose answer ───────────────────────────────────────────────────────────────────────────


def test_a_late_answer_is_never_the_next_ones(station: Station, out: Deliveries) -> None:
    first, second = station.receive(message("1")), station.receive(message("2"))
    out.say(ack("AA", "1"))
    out.say(ack("AE", "1"))
    out.say(ack("AA", "1"))
    assert out.state(first) == (State.PROCESSED, "AA")
    assert out.state(second) == (State.DELIVERED, "")
    out.say(ack("AA", "2"))
    assert out.state(second) == (State.PROCESSED, "AA")
    assert out.count("wasl_mllp_out_strays_total") == 2


def test_an_answer_on_a_connection_that_was_given_up_counts_for_nothing(
    station: Station, out: Deliveries
) -> None:
    seq = station.receive(message("1"))
    old = out.local.connections[0]
    station.advance(10.1)
    out.local.say(ack("AE", "1"), old)
    station.settle()
    assert out.state(seq)[0] is State.DELIVERED


@pytest.mark.parametrize(
    "answer",
    [
        ack("AA", "1"),
        ack("AA", "1").replace(b"ACK|ACK", b"ORU^R01|1"),
        ack("AA", " 1 "),
        ack("AA", "1", head="MSH|^~\\&"),
        ack("AA", "1", head="MSH|^~\\&|||||||ACK||P|9.9"),
        ack("AA", "1").replace(b"\r", b"\n"),
        ack("aa", "1"),
        ack("AA", "1", head="MSH#*~\\&#A#B#C#D#2026##ACK#7#P#2.3").replace(b"MSA|AA|1", b"MSA#AA#1"),
    ],
)
def test_sloppy_answers_are_understood(station: Station, out: Deliveries, answer: bytes) -> None:
    seq = station.receive(message("1"))
    out.say(answer)
    assert out.state(seq) == (State.PROCESSED, "AA")


@pytest.mark.parametrize(
    "frame",
    [b"", b"hello", b"MSH|^~\\&|||||||ACK|1|P|2.3\r", ack("XX", "1"), ack("AA", "11"), ack("AA", "\x81")],
)
def test_what_is_no_answer_is_waited_past(station: Station, out: Deliveries, frame: bytes) -> None:
    seq = station.receive(message("1"))
    out.say(frame)
    assert out.state(seq)[0] is State.DELIVERED
    out.say(ack("AA", "1"))
    assert out.state(seq) == (State.PROCESSED, "AA")


def test_an_answer_that_names_no_message_counts_only_where_it_can_mean_but_one(
    station: Station, out: Deliveries
) -> None:
    first, second = station.receive(message("1")), station.receive(message("2"))
    out.say(ack("AA", None))
    assert out.state(first) == (State.PROCESSED, "AA")
    assert [pipe.connected for pipe in out.local.connections] == [False, True]
    out.say(ack("AE", ""))
    assert out.state(second) == (State.REFUSED, "AE")


def test_an_answer_that_names_no_message_is_dropped_on_a_used_connection(
    station: Station, out: Deliveries
) -> None:
    station.receive(message("1"))
    second = station.receive(message("2"))
    out.say(ack("AA", "1"))
    out.say(ack("AA", None))
    assert out.state(second)[0] is State.DELIVERED
    station.advance(11.2)
    assert len(out.local.connections) == 2
    out.say(ack("AA", None))
    assert out.state(second)[0] is State.PROCESSED


def test_an_answer_that_names_no_message_is_dropped_behind_a_stray(station: Station, out: Deliveries) -> None:
    seq = station.receive(message("1"))
    out.say(ack("AA", "other"))
    out.say(ack("AA", None))
    assert out.state(seq)[0] is State.DELIVERED


# ── modes ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("modes", ["", "AL|NE", "AL|", "AL|ER"])
def test_ca_is_enough_unless_more_is_asked(station: Station, out: Deliveries, modes: str) -> None:
    seq = station.receive(message("1", modes=modes))
    out.say(ack("CA", "1"))
    assert out.state(seq) == (State.PROCESSED, "CA")


@pytest.mark.parametrize(
    ("code", "outcome"), [("AA", State.PROCESSED), ("AE", State.REFUSED), ("AR", State.DELIVERED)]
)
def test_after_ca_the_application_speaks_if_asked(
    station: Station, out: Deliveries, code: str, outcome: State
) -> None:
    seq = station.receive(message("1", modes="AL|AL"))
    out.say(ack("CA", "1"))
    assert out.state(seq)[0] is State.DELIVERED
    out.say(ack(code, "1"))
    assert out.state(seq)[0] is outcome


@pytest.mark.parametrize("cut", [False, True])
def test_ca_stands_when_the_application_stays_silent(station: Station, out: Deliveries, *, cut: bool) -> None:
    """By CA the local system has taken the message over: sending it again would make two of it."""
    seq = station.receive(message("1", modes="AL|AL"))
    out.say(ack("CA", "1"))
    if cut:
        out.local.connections[0].end()
    station.advance(10.2)
    assert out.state(seq) == (State.PROCESSED, "CA")
    assert len(out.local.received) == 1


def test_silence_is_success_where_success_is_not_to_be_answered(station: Station, out: Deliveries) -> None:
    seq = station.receive(message("1", modes="NE|NE"))
    station.advance(9.9)
    assert out.state(seq)[0] is State.DELIVERED
    station.advance(0.3)
    assert out.state(seq) == (State.PROCESSED, "none")
    assert len(out.local.received) == 1


def test_a_cut_is_no_success_even_then(station: Station, out: Deliveries) -> None:
    seq = station.receive(message("1", modes="ER|NE"))
    out.local.connections[0].end()
    station.advance(1.1)
    assert out.state(seq)[0] is State.DELIVERED
    assert len(out.local.received) == 2


# ── what MLLP cannot carry, and what is not for it ─────────────────────────────────────────


@pytest.mark.parametrize("body", [b"<ORU_R01/>", message(""), message("1") + b"NTE|\x1c\r", b""])
def test_what_mllp_cannot_carry_is_refused_and_blocks_nothing(
    station: Station, out: Deliveries, body: bytes
) -> None:
    first = station.receive(body)
    second = station.receive(message("2"))
    assert out.state(first) == (State.REFUSED, "not-for-mllp")
    out.say(ack("AA", "2"))
    assert out.state(second)[0] is State.PROCESSED
    receipt, _ = decode_receipt(station.receipts()[0].receipt)
    assert open_detail(station.network.keys_of("chu-oran").sealing, receipt.detail) != b""


def test_files_and_what_is_laid_out_are_left_to_the_other_doors(station: Station, out: Deliveries) -> None:
    plain = station.receive(b"", kind="file")
    laid_out = station.receive(message("1"), quietly=True)
    station.do(lambda c: inbox.hand(c, laid_out, 0))
    station.receive(message("2"))
    assert out.local.received == [message("2")]
    assert {out.state(seq)[0] for seq in (plain, laid_out)} == {State.DELIVERED}


def test_other_mailboxes_are_not_touched_without_a_star(station: Station, out: Deliveries) -> None:
    station.receive(message("1"), recipient="cardio@chu-alger")
    station.advance(10)
    assert out.local.received == []
    assert len(out.clients) == 1


def test_mailboxes_go_on_independently(station: Station, tmp_path: Path) -> None:
    with delivering(station, tmp_path, WITH_REST) as out:
        station.receive(message("1"))
        station.receive(message("2"), recipient="cardio@chu-alger")
        station.receive(message("3"), recipient="urgences@chu-alger")
        rest = out.systems[2]
        assert out.local.received == [message("1")]
        assert rest.received == [message("2"), message("3")]
        assert len(rest.connections) == 2
        rest.say(ack("AA", "3"), rest.connections[1])
        station.receive(message("4"), recipient="urgences@chu-alger")
        assert rest.received[-1] == message("4")


def test_what_arrives_is_looked_for_once_and_by_its_own_mailbox(station: Station, tmp_path: Path) -> None:
    with delivering(station, tmp_path, WITH_REST) as out:
        rest = [f"{name}@chu-alger" for name in ("cardio", "urgences")]
        for number, mailbox in enumerate(rest):
            station.receive(message(str(number)), recipient=mailbox)
            out.systems[2].say(ack("AA", str(number)), out.systems[2].connections[-1])
        station.advance(POLL_S + 0.1)
        with station.counting_reads() as asked:
            station.receive(message("3"))
            assert out.local.received == [message("3")]
            out.say(ack("AA", "3"))
            assert len(asked) == 1
            station.receive(message("4"))
            station.receive(message("5"))
            out.say(ack("AA", "4"))
            assert out.local.received == [message("3"), message("4"), message("5")]


def test_a_body_that_is_kept_outside_is_delivered(station: Station, out: Deliveries) -> None:
    body = message("1", tail="OBX|" + "x" * 100_000 + "\r")
    (station.home / "body").write_bytes(body)
    seq = station.receive(body, quietly=True, body_path="body")
    station.post.inbox_changed()
    station.settle()
    assert out.local.received == [body]
    out.say(ack("AA", "1"))
    assert out.state(seq)[0] is State.PROCESSED


def test_a_body_that_cannot_be_read_is_tried_again_and_told(station: Station, out: Deliveries) -> None:
    station.receive(message("1"), quietly=True, body_path="gone")
    station.post.inbox_changed()
    station.advance(120)
    assert out.alarms == ["mllp-delivery-stuck"]
    (station.home / "gone").write_bytes(message("1"))
    station.advance(300)
    assert message("1") in out.local.received


# ── crashes ────────────────────────────────────────────────────────────────────────────────


def test_after_a_stop_the_unanswered_message_is_sent_again(station: Station, tmp_path: Path) -> None:
    """Stopping between sending and answer loses nothing: the next start sends the same bytes."""
    seq = station.receive(message("1"))
    with delivering(station, tmp_path) as out:
        assert out.local.received == [message("1")]
    assert not out.local.connections[0].connected
    with delivering(station, tmp_path) as again:
        again.say(ack("AA", "1"))
        assert again.local.received == [message("1")]
        assert again.state(seq)[0] is State.PROCESSED


def test_an_outcome_that_cannot_be_stored_yet_is_not_asked_for_again(
    station: Station, out: Deliveries
) -> None:
    seq = station.receive(message("1"))
    station.database._max_queued = 0
    out.say(ack("AA", "1"))
    station.advance(20)
    assert out.state(seq)[0] is State.DELIVERED
    station.database._max_queued = 100
    station.advance(60)
    assert out.state(seq) == (State.PROCESSED, "AA")
    assert len(out.local.received) == 1


def test_nothing_to_deliver_starts_nothing(station: Station, tmp_path: Path) -> None:
    with delivering(station, tmp_path, "") as out:
        station.receive(message("1"))
        assert out.clients == []


def test_a_stop_closes_an_idle_connection_too(station: Station, tmp_path: Path) -> None:
    with delivering(station, tmp_path) as out:
        station.receive(message("1"))
        out.say(ack("AA", "1"))
        assert out.local.connections[0].connected
    assert not out.local.connections[0].connected


def test_a_mailbox_that_gets_files_only_needs_no_connection(station: Station, tmp_path: Path) -> None:
    with delivering(station, tmp_path, '[mllp.deliver]\n"*" = "127.0.0.1:2"\n') as out:
        station.receive(b"", kind="file")
        assert out.clients == []


def test_failures_are_counted_anew_after_a_success(station: Station, out: Deliveries) -> None:
    for control_id in ("1", "2", "3"):
        codes = iter(["AR"] * (ALARM_AFTER_FAILURES - 2) + ["AA"])
        out.local.answer = lambda _, codes=codes, name=control_id: [ack(next(codes), name)]
        seq = station.receive(message(control_id))
        station.advance(60)
        assert out.state(seq)[0] is State.PROCESSED
    assert out.alarms == []
