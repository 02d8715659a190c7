"""Messages of others through two real nodes: a sample of the corpus, and that the judge is a judge.

The whole corpus is the campaign ``python -m tests.torture corpus``, which this runs on a part of it; what is
promised for each message stands there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.localsystems import message
from tests.torture.corpus import CORPUS, Campaign, Ledger, acknowledge, read_files, report, sample
from tests.torture.er7lines import place_of_error, split_header

LEAST_TAKEN = 80

AE = b"MSH|^~\\&|||||2026||ACK|1|P|2.5\rMSA|AE|%b|%b: wrong\rERR||%b|101||E||||%b: wrong\r"


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs ../shared/corpus")
def test_a_sample_arrives_byte_for_byte_or_is_refused_by_name(template: Path, tmp_path: Path) -> None:
    """Each message of the sample is delivered once and unchanged, or refused with the field that is wrong."""
    campaign = Campaign(tmp_path / "network", template)
    try:
        ledger = campaign.run(sample(read_files()))
    finally:
        campaign.close()
    print(report(ledger))
    assert ledger.faults == []
    assert len(ledger.taken) > LEAST_TAKEN
    assert {"taken", "repeated", "malformed", "name reused"} == ledger.counts.keys()


LETTER = message("labo@chu-alger", "cardio@chu-oran", "M1")
OTHER = message("labo@chu-alger", "cardio@chu-oran", "M1", "changed")
NAMELESS = message("labo@chu-alger", "cardio@chu-oran", "")


def ae(identifier: bytes, field: bytes) -> bytes:
    return AE % (identifier, b"MSH-" + field, b"MSH^1^" + field, b"MSH-" + field)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ([(LETTER, [])], "an answer is due"),
        ([(LETTER, [ae(b"M1", b"10")])], "every answer must be A"),
        ([(LETTER, [acknowledge(OTHER.replace(b"M1", b"M2"))])], "repeat the control id"),
        ([(LETTER, [acknowledge(LETTER)]), (OTHER, [acknowledge(OTHER)])], "every answer must be E"),
        ([(LETTER, [acknowledge(LETTER)]), (OTHER, [ae(b"M1", b"3")])], "MSH-3 is named, MSH-10 is wrong"),
        ([(LETTER, [acknowledge(LETTER)]), (LETTER, [acknowledge(LETTER) + b"\r"])], "the first answer was"),
        ([(NAMELESS, [acknowledge(NAMELESS)])], "every answer must be E"),
        ([(NAMELESS, [ae(b"", b"9")])], "MSH-9 is named, MSH-10 is wrong"),
    ],
)
def test_the_ledger_finds_a_wrong_answer(said: list[tuple[bytes, list[bytes]]], text: str) -> None:
    """A gateway that answered so would be caught; only the last exchange of each is wrong."""
    ledger = Ledger()
    for payload, answers in said:
        ledger.judge(payload, answers)
    assert len(ledger.faults) == 1
    assert text in ledger.faults[0]


def test_the_ledger_accepts_right_answers() -> None:
    ledger = Ledger()
    right = [(LETTER, [acknowledge(LETTER)])] * 2 + [
        (OTHER, [ae(b"M1", b"10")]),
        (NAMELESS, [ae(b"", b"10")]),
    ]
    assert [ledger.judge(*one) for one in right] == ["taken", "repeated", "name reused", "malformed"]
    assert ledger.faults == []
    assert ledger.taken == [LETTER]


def test_headers_are_cut_as_declared() -> None:
    head = split_header(b"\xef\xbb\xbfMSH#^~\\&#a#b#c#d###ADT#7\nPID")
    assert (head.separator, head.control_id, head.wrong_field) == (b"#", b"7", None)
    assert split_header(b"MSH|^~\\\\&|a|b|c|d|||ADT|7").wrong_field == "MSH-2"
    assert split_header(b"PID|1").wrong_field == "MSH"
    assert place_of_error(b"MSH|^~\\&|\rERR|MSH^1^9^101") == "MSH-9"
