"""The judge of all campaigns finds what it is there for: histories that are broken, each in one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checker import History, Verdict, check


def judged(story: str) -> Verdict:
    """Judge ``?a !a =a <b``: a was attempted, acknowledged and received, b was returned."""
    history = History()
    tell = {"?": history.attempted, "!": history.acknowledged, "=": history.received, "<": history.returned}
    for word in story.split():
        tell[word[0]]("lane", word[1:].encode())
    return check(history)


@pytest.mark.parametrize(
    ("story", "faults"),
    [
        ("", []),
        ("?a !a ?b !b =a =b", []),
        ("?a !a", ["lost: lane: b'a'"]),
        ("?a !a ?b !b =b", ["lost: lane: b'a'"]),
        ("?a !a =a =a", ["duplicated: lane: b'a'"]),
        ("?a =a =a", ["duplicated: lane: b'a'"]),
        ("=a", ["unexpected: lane: b'a'"]),
        ("?a !a =A", ["lost: lane: b'a'", "unexpected: lane: b'A'"]),
        ("?a !a ?b !b =b =a", ["disordered: lane: b'b'"]),
        ("?a !a ?b !b ?c !c =b =c =a", ["disordered: lane: b'b'", "disordered: lane: b'c'"]),
        ("?a !a ?b =b =a", ["disordered: lane: b'b'"]),
        ("?a ?b !a !b =b =a", []),
        ("?a ?a !a ?b !b =a =b", []),
        ("?a ?b ?a !a !b =b =a", []),
        ("?a ?b !b =b", []),
        ("?a !a <a ?b !b =b", []),
        ("?a !a <a =a", ["unexpected: lane: b'a'"]),
    ],
)
def test_each_fault_is_told_by_name(story: str, faults: list[str]) -> None:
    assert judged(story).faults == faults


def test_what_nobody_was_told_of_counts_as_recovered() -> None:
    verdict = judged("?a ?b !b =a =b ?c")
    assert (verdict.attempted, verdict.acknowledged, verdict.received, verdict.recovered) == (3, 1, 2, 1)
    assert verdict.faults == []


def test_the_same_value_in_another_lane_is_unexpected_there() -> None:
    history = History()
    history.attempted("one", b"a")
    history.acknowledged("one", b"a")
    history.received("other", b"a")
    assert check(history).faults == ["lost: one: b'a'", "unexpected: other: b'a'"]


def test_the_verdict_reads_as_people_want_it() -> None:
    said = str(judged("?a !a ?b !b ?c =c =b =b =x"))
    assert "3 attempted, 2 acknowledged, 3 received" in said
    assert "1 lost, 1 duplicated, 1 unexpected, 1 recovered, 1 out of order" in said
    assert "lane: b'x'" in said


@given(st.lists(st.integers(0, 200), unique=True, min_size=2), st.data())
def test_any_harm_to_a_whole_history_is_found(numbers: list[int], data: st.DataObject) -> None:
    """Take any complete delivery, do one thing to it that no network may do, and it is told."""
    sent = [b"%d" % number for number in numbers]
    at = data.draw(st.integers(0, len(sent) - 2))
    harmed = {
        "lost": sent[:at] + sent[at + 1 :],
        "duplicated": [*sent, sent[at]],
        "unexpected": [*sent, b"x"],
        "disordered": [*sent[:at], sent[at + 1], sent[at], *sent[at + 2 :]],
        "": sent,
    }
    for kind, received in harmed.items():
        history = History()
        for value in sent:
            history.attempted("lane", value)
            history.acknowledged("lane", value)
        for value in received:
            history.received("lane", value)
        assert {fault.partition(":")[0] for fault in check(history).faults} == ({kind} - {""})
