"""News of our messages in any order, any number of times: states only move on, ends stay ends."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.link import facts, files, outbox, progress, tracking
from nodes.link.progress import Change
from protocols.link.envelope import Priority, State
from tests.nodes.fixtures import EPOCH_MS, HERE, Station

ONE: Final = "cardio@chu-oran"
TWO: Final = "accueil@clinique-sud"


def put(station: Station, *recipients: str, valid_for_ms: int = outbox.DEFAULT_VALID_FOR_MS) -> bytes:
    prepared = files.prepare(station.home, b"MSH|", floor_bytes=0)
    draft = outbox.Draft(f"labo@{HERE}", recipients or (ONE,), "ORU^R01", prepared, valid_for_ms=valid_for_ms)
    return station.do(partial(outbox.put, draft=draft, now_ms=EPOCH_MS)).id


def change(
    identifier: bytes, state: State, recipient: str = ONE, *, at_ms: int = EPOCH_MS + 1, signed: bool = True
) -> Change:
    receipt = b"receipt " + state.name.encode() if signed else b""
    return Change(identifier, recipient, state, "code", at_ms, receipt, b"answer")


def apply(station: Station, *changes: Change) -> list[Change]:
    return station.do(partial(progress.apply, changes=changes))


def sent(station: Station, identifier: bytes) -> tracking.Sent:
    return station.do(partial(tracking.find, identifier=identifier))


def states(station: Station, identifier: bytes) -> list[State]:
    return [recipient.state for recipient in sent(station, identifier).recipients]


def test_delivered_then_processed(station: Station) -> None:
    mine = put(station)
    apply(station, change(mine, State.DELIVERED))
    assert (sent(station, mine).state, sent(station, mine).settled) == (State.DELIVERED, False)
    apply(station, change(mine, State.PROCESSED))
    found = sent(station, mine)
    assert (found.state, found.settled) == (State.PROCESSED, True)
    assert (found.recipients[0].code, found.recipients[0].answer) == ("code", b"answer")
    assert [m.state for m in found.history] == [
        State.QUEUED, State.ACCEPTED, State.DELIVERED, State.PROCESSED,
    ]  # fmt: skip


@pytest.mark.parametrize("delivered_ms", [EPOCH_MS + 4, EPOCH_MS + 9])
def test_processed_may_come_before_delivered(station: Station, delivered_ms: int) -> None:
    """A hub that died before the node's answer learns of the delivery after the processing."""
    mine = put(station)
    apply(station, change(mine, State.PROCESSED, at_ms=EPOCH_MS + 5))
    apply(station, change(mine, State.DELIVERED, at_ms=delivered_ms))
    found = sent(station, mine)
    assert (found.state, found.settled) == (State.PROCESSED, True)
    assert found.recipients[0].answer == b"answer"
    assert [(m.state, m.at_ms) for m in found.history if m.recipient] == [
        (State.DELIVERED, min(delivered_ms, EPOCH_MS + 5)), (State.PROCESSED, EPOCH_MS + 5),
    ]  # fmt: skip


def test_repeated_news_change_nothing(station: Station) -> None:
    mine = put(station)
    news = (change(mine, State.DELIVERED), change(mine, State.PROCESSED))
    apply(station, *news)
    first = sent(station, mine)
    for again in (news, news[:1], news[1:], news[::-1], news + news):
        assert apply(station, *again) == []
        assert sent(station, mine) == first


def test_each_recipient_has_a_state_of_its_own(station: Station) -> None:
    mine = put(station, ONE, TWO)
    apply(station, change(mine, State.PROCESSED, ONE))
    assert states(station, mine) == [State.ACCEPTED, State.PROCESSED]
    assert (sent(station, mine).state, sent(station, mine).settled) == (State.ACCEPTED, False)
    apply(station, change(mine, State.RETURNED, TWO, signed=False))
    assert (sent(station, mine).state, sent(station, mine).settled) == (State.PROCESSED, True)
    assert sent(station, mine).reason == "code"


def test_several_messages_in_one_page_of_news(station: Station) -> None:
    ids = [put(station) for _ in range(3)]
    apply(station, *(change(one, State.DELIVERED) for one in ids[:2]), change(ids[0], State.PROCESSED))
    assert [sent(station, one).state for one in ids] == [State.PROCESSED, State.DELIVERED, State.QUEUED]


def test_news_of_what_is_not_ours_change_nothing(station: Station) -> None:
    mine = put(station)
    apply(station, change(bytes(16), State.PROCESSED), change(mine, State.PROCESSED, "labo@chu-oran"))
    assert states(station, mine)[0] < State.DELIVERED
    assert apply(station) == []


def test_a_warning_is_noted_and_is_no_end(station: Station) -> None:
    mine = put(station)
    apply(station, change(mine, State.DELAYED, signed=False))
    assert (sent(station, mine).state, sent(station, mine).settled) == (State.ACCEPTED, False)
    assert sent(station, mine).history[-1].state is State.DELAYED
    apply(station, change(mine, State.DELIVERED))
    assert sent(station, mine).state is State.DELIVERED


TOO_LATE = {
    (State.RETURNED, State.DELIVERED), (State.RETURNED, State.PROCESSED), (State.RETURNED, State.REFUSED),
    (State.REFUSED, State.PROCESSED),
}  # fmt: skip
"""Known end, and what the recipient must not have signed besides."""


@pytest.mark.parametrize("end", [State.PROCESSED, State.REFUSED, State.RETURNED])
@pytest.mark.parametrize("later", list(State))
@pytest.mark.parametrize("signed", [True, False])
def test_an_end_stays_the_end(station: Station, end: State, later: State, signed: bool) -> None:
    """Nobody, the hub least of all, can make a message that was processed look as if it came back."""
    mine = put(station)
    apply(station, change(mine, end))
    before = sent(station, mine).recipients
    odd = apply(station, change(mine, later, signed=signed))
    assert sent(station, mine).recipients == before
    assert sent(station, mine).settled
    assert bool(odd) == (later > end or (signed and (end, later) in TOO_LATE))


def test_the_hubs_word_alone_does_not_undo_a_signed_delivery(station: Station) -> None:
    mine = put(station)
    apply(station, change(mine, State.DELIVERED))
    before = sent(station, mine)
    odd = apply(station, change(mine, State.RETURNED, signed=False))
    assert [one.state for one in odd] == [State.RETURNED]
    assert sent(station, mine) == before
    assert apply(station, change(mine, State.REFUSED)) == []
    assert sent(station, mine).state is State.REFUSED


@pytest.mark.parametrize("word", [State.DELIVERED, State.PROCESSED, State.REFUSED])
def test_what_was_given_up_and_delivered_all_the_same_is_told_once(station: Station, word: State) -> None:
    """The sender took it for returned: somebody has to know, and the history shows both."""
    mine = put(station)
    apply(station, change(mine, State.RETURNED, signed=False))
    assert [one.state for one in apply(station, change(mine, word))] == [word]
    found = sent(station, mine)
    assert found.state is State.RETURNED
    assert {line.state for line in found.history} >= {State.RETURNED, word}
    assert apply(station, change(mine, word)) == []
    assert sent(station, mine) == found


NEWS = st.lists(
    st.tuples(
        st.sampled_from([State.DELAYED, State.DELIVERED, State.PROCESSED, State.REFUSED, State.RETURNED]),
        st.sampled_from([ONE, TWO]),
        st.booleans(),
    ),
    max_size=8,
)


@given(NEWS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_states_never_go_back_whatever_is_told(station: Station, news: list[tuple[State, str, bool]]) -> None:
    mine = put(station, ONE, TWO)
    present = dict.fromkeys((ONE, TWO), State.QUEUED)
    for state, recipient, signed in news:
        apply(station, change(mine, state, recipient, signed=signed))
        now = {r.recipient: r.state for r in sent(station, mine).recipients}
        for name, earlier in present.items():
            assert now[name] >= earlier
            assert now[name] is earlier or earlier not in tracking.FINAL
        present = now
    assert sent(station, mine).settled == all(state in tracking.FINAL for state in present.values())


# ── before the hub has it ──────────────────────────────────────────────────────────────────


def _seq(station: Station, identifier: bytes) -> int:
    return station.do(lambda c: progress.ours(c, [identifier]))[identifier].seq


def test_accepted_twice_is_one_line_of_history(station: Station) -> None:
    mine = put(station)
    for now_ms in (EPOCH_MS + 1, EPOCH_MS + 2):
        station.do(partial(progress.accepted, seqs=[_seq(station, mine)], now_ms=now_ms))
    assert [(m.state, m.at_ms) for m in sent(station, mine).history[1:]] == [(State.ACCEPTED, EPOCH_MS + 1)]


def test_a_late_acceptance_does_not_take_a_state_back(station: Station) -> None:
    mine = put(station)
    apply(station, change(mine, State.PROCESSED))
    station.do(partial(progress.accepted, seqs=[_seq(station, mine)], now_ms=EPOCH_MS + 9))
    assert states(station, mine) == [State.PROCESSED]


def test_what_came_back_before_acceptance_is_settled_once(station: Station) -> None:
    mine = put(station, ONE, TWO)
    back = partial(
        progress.returned, seq=_seq(station, mine), code="expired", text="why", now_ms=EPOCH_MS + 1
    )
    station.do(back)
    first = sent(station, mine)
    assert (first.state, first.reason, first.settled) == (State.RETURNED, "expired", True)
    station.do(back)
    station.do(partial(progress.accepted, seqs=[_seq(station, mine)], now_ms=EPOCH_MS + 9))
    assert sent(station, mine) == first


def test_what_the_hub_accepted_is_not_returned_here(station: Station) -> None:
    mine = put(station)
    station.do(partial(progress.accepted, seqs=[_seq(station, mine)], now_ms=EPOCH_MS + 1))
    station.do(partial(progress.returned, seq=_seq(station, mine), code="expired", text="", now_ms=EPOCH_MS))
    assert sent(station, mine).state is State.ACCEPTED


def test_only_what_was_never_offered_expires_here(station: Station) -> None:
    """What a session may have submitted is the hub's to judge: it may have been delivered long ago."""
    old = put(station, valid_for_ms=10)
    station.do(facts.session_began)
    during = put(station, valid_for_ms=10)
    station.do(facts.session_ended)
    after = put(station, valid_for_ms=10)
    fresh = put(station)
    found = station.do(partial(progress.unsent_and_expired, now_ms=EPOCH_MS + 10, limit=9))
    assert [identifier for _, identifier in found] == [after]
    assert station.do(partial(progress.unsent_and_expired, now_ms=EPOCH_MS + 9, limit=9)) == []
    assert len({old, during, after, fresh}) == 4


def test_the_queue_is_read_in_order_from_a_mark(station: Station) -> None:
    ids = [put(station) for _ in range(4)]
    read = partial(progress.queued, priority=Priority.ROUTINE)
    rows = station.do(partial(read, after=0, limit=3))
    assert [row.id for row in rows] == ids[:3]
    assert [row.id for row in station.do(partial(read, after=rows[-1].seq, limit=3))] == ids[3:]
    assert station.do(partial(progress.queued, priority=Priority.STAT, after=0, limit=9)) == []


def test_receipts_wait_in_order_until_the_hub_has_them(station: Station) -> None:
    ids = []
    for _ in range(3):
        seq = station.receive(b"x")
        ids.append(station.inbox_row(seq).id)
        assert station.run(station.post.conclude(seq, State.PROCESSED))
    first = station.do(partial(progress.queued_receipts, after=0, limit=2))
    assert [one.id for one in first] == ids[:2]
    station.do(partial(progress.receipts_stored, up_to=first[0].seq))
    assert [one.id for one in station.do(partial(progress.queued_receipts, after=0, limit=9))] == ids[1:]
