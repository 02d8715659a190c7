"""Real messages over MLLP: each is stored byte for byte, or refused by name; and delivered unchanged."""

from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from nodes.gateways.mllp_out import MllpOutbound
from nodes.link import tables
from protocols import mllp
from protocols.hl7 import batch
from protocols.hl7.acks import Acknowledgement, build_ack, read_ack
from protocols.hl7.errors import MalformedMessage
from protocols.hl7.header import read_header
from protocols.link.envelope import State
from protocols.mllp import FrameReader, MessageReceived
from runtime.mllp_client import MllpClient
from tests.nodes.fixtures import Station
from tests.nodes.gateways.mllp_ends import LocalSystem, Sender, settings

CORPUS = Path(__file__).parents[3] / ".." / "shared" / "corpus"
ROUTE = 'from = "labo"\n[[mllp.route]]\nto = ["cardio@chu-oran"]\n'

ARRIVE = 1_300
"""At least this many of the corpus' messages are fit to travel."""

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="needs ../shared/corpus"),
]


def payloads() -> list[bytes]:
    """Return what a sender would put between VT and FS for each file."""
    found = []
    for path in sorted(CORPUS.glob("er7*/**/*")):
        if path.is_file() and path.suffix not in {".tsv", ".md"}:
            raw = path.read_bytes()
            reader = FrameReader(1 << 24)
            framed = [
                e.payload for e in (*reader.feed(raw), *reader.flush()) if isinstance(e, MessageReceived)
            ]
            found += framed or [raw]
    return found


def test_every_file_arrives_or_is_refused_by_name(station: Station, tmp_path: Path) -> None:
    local = Sender(station, settings(tmp_path, ROUTE))
    said: dict[bytes, list[Acknowledgement]] = {}
    unheard: set[bytes] = set()
    for payload in payloads():
        try:
            mllp.frame(payload)
        except mllp.UnframeablePayload:
            continue  # MLLP cannot carry it; no sender could send it
        local.alarms.clear()
        given = local.send(payload)
        station.advance(1.1, step_s=1.1)  # for those who would like the application's answer too
        answers = [read_ack(answer) for answer in (*given, *local.answers())]
        try:
            messages = batch.split(payload)
        except MalformedMessage:
            messages = [payload]
        said |= dict.fromkeys(messages, answers)
        if "mllp-refused-unheard" in dict(local.alarms):
            unheard |= set(messages)
        station.do(lambda c: c.execute(update(tables.outbox).values(key=None)))  # ids recur among files
    bodies = {station.body_of(sent.id) for sent in station.sent()}
    assert bodies <= said.keys()
    assert len(bodies) > ARRIVE
    for message, answers in said.items():
        if message in bodies:
            assert not answers or any(ack.positive for ack in answers)
        else:
            refused = [ack for ack in answers if not ack.positive]
            assert refused or message in unheard, message[:300]
            assert all(ack.code in {"AE", "CE"} and "MSH" in ack.text for ack in refused)


def test_every_message_is_delivered_unchanged(station: Station, tmp_path: Path) -> None:
    """The local system answers each; what MLLP cannot carry is refused, and nothing is stuck."""
    out = LocalSystem()
    out.answer = lambda raw: [build_ack(read_header(raw), "AA", now="20260101", control_id="ACK")]
    gateway = MllpOutbound(
        station.post,
        settings(tmp_path, '[mllp.deliver]\n"*" = "127.0.0.1:1"\n'),
        lambda code, text: pytest.fail(f"{code}: {text}"),
        station.clock,
        CollectorRegistry(),
        lambda _target: MllpClient(out, clock=station.clock),
        Random(1),
    )
    gateway.start()
    bodies = list(dict.fromkeys(payloads()))
    seqs = {station.receive(body): body for body in bodies}
    station.settle()
    concluded = {seq: State(station.inbox_row(seq).state) for seq in seqs}
    station.run(gateway.stop())
    assert set(concluded.values()) <= {State.PROCESSED, State.REFUSED}
    taken = [seqs[seq] for seq, state in concluded.items() if state is State.PROCESSED]
    assert out.received == taken
    assert len(taken) > ARRIVE
