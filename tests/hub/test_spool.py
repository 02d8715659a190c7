"""The spool: accepted once, delivered in order, concluded, told, warned, returned, forgotten."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Table, func, select

from hub.routing.route import Delay, Reason
from hub.spool import ageing, store, tracking
from hub.spool.ageing import Presence, Waiting
from hub.spool.store import News
from hub.spool.tables import ledger, spool
from protocols.link.envelope import State
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ORAN, SUD, entry, message_id

MOST = 1_000


def queued(connection: Connection, priority: int = 0, after: int = 0) -> list[bytes]:
    return [row.id for row in store.queue(connection, "chu-oran", priority, after, MOST)]


def count(connection: Connection, table: Table = spool) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def news(number: int, state: State, recipient: str = ORAN, receipt: bytes = b"signed") -> News:
    return News(0, "chu-alger", message_id(number), recipient, state, "", EPOCH_MS, receipt)


def delivered(connection: Connection, *numbers: int) -> None:
    """Conclude what went to Oran."""
    for row in store.queue(connection, "chu-oran", 0, 0, MOST):
        if row.id in {message_id(number) for number in numbers}:
            told = replace(news(1, State.DELIVERED, row.recipient), id=row.id)
            store.conclude(connection, [(row.seq, told)])


# ── accepting ──────────────────────────────────────────────────────────────────────────────


def test_a_message_is_accepted_into_ledger_and_spool(connection: Connection) -> None:
    done = store.accept(connection, [entry(1, ORAN, message=b"the sealed message")], EPOCH_MS)
    (row,) = store.queue(connection, "chu-oran", 0, 0, MOST)
    named = [replace(row, kind=done.fresh[0].kind)]
    assert (done.verdicts, done.queued, done.news, done.follows) == ([True], named, [], row.seq - 1)
    assert (row.id, row.recipient, row.sender, row.message) == (
        message_id(1), ORAN, ALGER, b"the sealed message",
    )  # fmt: skip
    assert row.expires_ms == EPOCH_MS + DAY_MS


def test_the_same_again_is_accepted_and_changes_nothing(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    again = store.accept(connection, [entry(1, ORAN)], EPOCH_MS + 5)
    assert (again.verdicts, again.fresh, again.queued, again.news) == ([True], [], [], [])
    assert (count(connection), count(connection, ledger)) == (1, 1)


def test_the_same_again_after_delivery_is_not_delivered_again(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    delivered(connection, 1)
    assert store.accept(connection, [entry(1, ORAN)], EPOCH_MS).verdicts == [True]
    assert queued(connection) == []


def test_another_content_under_the_same_id_conflicts(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    done = store.accept(connection, [entry(1, ORAN, SUD, digest=b"x" * 32), entry(2, ORAN)], EPOCH_MS)
    assert done.verdicts == [False, True]
    assert queued(connection) == [message_id(1), message_id(2)]
    assert store.queue(connection, "clinique-sud", 0, 0, MOST) == []


def test_repeats_and_conflicts_inside_one_batch(connection: Connection) -> None:
    batch = [entry(1, ORAN), entry(1, ORAN), entry(1, ORAN, digest=b"x" * 32)]
    done = store.accept(connection, batch, EPOCH_MS)
    assert done.verdicts == [True, True, False]
    assert count(connection) == 1


def test_two_facilities_may_use_the_same_id(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    done = store.accept(connection, [entry(1, ORAN, sender=SUD, digest=b"x" * 32)], EPOCH_MS)
    assert done.verdicts == [True]
    assert [row.sender for row in store.queue(connection, "chu-oran", 0, 0, MOST)] == [ALGER, SUD]
    assert {found.sender for found in tracking.track(connection, message_id(1))} == {ALGER, SUD}


def test_more_ids_than_one_query_takes(connection: Connection) -> None:
    batch = [entry(number, ORAN) for number in range(store.IDS_PER_QUERY + 7)]
    store.accept(connection, batch, EPOCH_MS)
    again = store.accept(connection, batch, EPOCH_MS)
    assert again.verdicts == [True] * len(batch)
    assert count(connection) == len(batch)


def test_several_recipients_have_a_copy_and_a_fate_each(connection: Connection) -> None:
    message = entry(1, ORAN, "labo@chu-oran", returns=((SUD, Reason.INACTIVE),))
    done = store.accept(connection, [message], EPOCH_MS)
    assert [row.recipient for row in done.queued] == [ORAN, "labo@chu-oran"]
    assert [one.recipient for one in done.news] == [SUD]
    delivered_row, waiting = store.queue(connection, "chu-oran", 0, 0, MOST)
    store.conclude(connection, [(delivered_row.seq, news(1, State.DELIVERED))])
    (tracked,) = tracking.track(connection, message_id(1))
    assert tracked.waiting == (waiting.recipient,) == ("labo@chu-oran",)
    assert {(one.recipient, one.state, one.code) for one in tracked.news} == {
        (SUD, State.RETURNED, "facility-inactive"),
        (ORAN, State.DELIVERED, ""),
    }


def test_a_message_that_goes_nowhere_is_accepted_and_comes_back(connection: Connection) -> None:
    done = store.accept(connection, [entry(1, returns=((ORAN, Reason.EXPIRED),))], EPOCH_MS)
    (told,) = store.news_for(connection, "chu-alger", 0, MOST)
    assert (done.verdicts, done.queued, done.news) == ([True], [], [told])
    assert count(connection) == 0
    assert (told.recipient, told.state, told.code, told.receipt) == (ORAN, State.RETURNED, "expired", b"")
    store.accept(connection, [entry(1, returns=((ORAN, Reason.EXPIRED),))], EPOCH_MS)
    assert len(store.news_for(connection, "chu-alger", 0, MOST)) == 1


# ── the queue ──────────────────────────────────────────────────────────────────────────────


def test_the_queue_is_in_order_by_priority_from_where_one_left_off(connection: Connection) -> None:
    batch = [entry(number, ORAN, priority=number % 2) for number in range(10)]
    for one in reversed(batch):
        store.accept(connection, [one], EPOCH_MS)
    routine = store.queue(connection, "chu-oran", 0, 0, MOST)
    assert [row.id for row in routine] == [message_id(number) for number in (8, 6, 4, 2, 0)]
    assert queued(connection, 1) == [message_id(number) for number in (9, 7, 5, 3, 1)]
    assert queued(connection, 0, routine[2].seq) == [message_id(2), message_id(0)]
    assert store.queue(connection, "chu-oran", 0, 0, 2) == routine[:2]
    assert store.queue(connection, "clinique-sud", 0, 0, MOST) == []


def test_a_row_freed_never_lends_its_number_again(connection: Connection) -> None:
    """Sequence numbers say what a node may have seen; one that came back would lie."""
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    (first,) = store.queue(connection, "chu-oran", 0, 0, MOST)
    delivered(connection, 1)
    store.accept(connection, [entry(2, ORAN)], EPOCH_MS)
    (second,) = store.queue(connection, "chu-oran", 0, 0, MOST)
    assert second.seq > first.seq


def test_concluding_twice_is_concluding_once(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN), entry(2, ORAN)], EPOCH_MS)
    first = store.queue(connection, "chu-oran", 0, 0, MOST)[0]
    for _ in range(2):
        store.conclude(connection, [(first.seq, news(1, State.DELIVERED))])
    assert queued(connection) == [message_id(2)]
    assert len(store.news_for(connection, "chu-alger", 0, MOST)) == 1


def test_a_row_is_concluded_once(connection: Connection) -> None:
    """Of two answers the first counts, in one commit and in two; only a signed delivery is noted late."""
    store.accept(connection, [entry(number, ORAN) for number in range(4)], EPOCH_MS)
    rows = store.queue(connection, "chu-oran", 0, 0, MOST)
    answers = [(row.seq, replace(news(1, State.RETURNED), id=row.id)) for row in rows[:3]]
    twice = replace(answers[0][1], state=State.DELIVERED)
    told = store.conclude(
        connection, [answers[0], (rows[0].seq, answers[1][1]), answers[1], (rows[0].seq, twice)]
    )
    assert [(one.id, one.state) for one in told] == [
        (message_id(0), State.RETURNED), (message_id(1), State.RETURNED), (message_id(0), State.DELIVERED),
    ]  # fmt: skip
    assert [one.id for one in store.conclude(connection, answers)] == [message_id(2)]
    assert queued(connection) == [message_id(3)]


def test_concluding_nothing_does_nothing(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    store.conclude(connection, [])
    assert queued(connection) == [message_id(1)]


# ── events ─────────────────────────────────────────────────────────────────────────────────


def test_news_is_a_numbered_stream_for_each_sender(connection: Connection) -> None:
    store.add_events(connection, [news(number, State.DELIVERED) for number in range(5)])
    store.add_events(connection, [replace(news(9, State.DELIVERED), facility="clinique-sud")])
    found = store.news_for(connection, "chu-alger", 0, MOST)
    assert [one.id for one in found] == [message_id(number) for number in range(5)]
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    assert found[0].receipt == b"signed"
    assert store.news_for(connection, "chu-alger", found[2].seq, MOST) == found[3:]
    assert store.news_for(connection, "chu-alger", 0, 2) == found[:2]


def test_an_event_is_told_once_for_message_recipient_and_state(connection: Connection) -> None:
    for receipt in (b"first", b"second"):
        store.add_events(connection, [news(1, State.DELIVERED, receipt=receipt)])
    store.add_events(connection, [news(1, State.PROCESSED), news(1, State.DELIVERED, "labo@chu-oran")])
    found = store.news_for(connection, "chu-alger", 0, MOST)
    assert [(one.recipient, one.state) for one in found] == [
        (ORAN, State.DELIVERED), (ORAN, State.PROCESSED), ("labo@chu-oran", State.DELIVERED),
    ]  # fmt: skip
    assert found[0].receipt == b"first"


def test_the_cursor_moves_forward_and_never_back(connection: Connection) -> None:
    assert store.events_taken(connection, "chu-alger") == 0
    for up_to, expected in ((0, 0), (0, 0), (5, 5), (5, 5), (3, 5), (9, 9), (0, 9)):
        store.read_up_to(connection, {"chu-alger": up_to})
        assert store.events_taken(connection, "chu-alger") == expected
    assert store.events_taken(connection, "chu-oran") == 0


def test_a_recipient_may_speak_only_of_what_went_to_it(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN), entry(2, ORAN), entry(3, SUD)], EPOCH_MS)
    store.accept(connection, [entry(4, returns=((ORAN, Reason.NOT_ALLOWED),))], EPOCH_MS)
    delivered(connection, 1)
    pairs = [(message_id(number), ORAN) for number in range(6)]
    known = store.may_speak_of(connection, pairs)
    of_oran = {identifier for identifier, recipient, _ in known if recipient == ORAN}
    assert of_oran == {message_id(1), message_id(2)}
    assert (message_id(3), ORAN, "chu-alger") not in known
    assert {facility for _, _, facility in known} == {"chu-alger"}


def test_recipients_may_speak_of_more_at_once_than_one_query_takes(connection: Connection) -> None:
    """The receipts of all sessions come together: how many they are has no bound of its own."""
    last = 2 * store.IDS_PER_QUERY + 7
    store.accept(connection, [entry(1, ORAN, SUD), entry(last, ORAN)], EPOCH_MS)
    delivered(connection, 1)
    pairs = [(message_id(number), ORAN) for number in range(last + 1)] + [(message_id(1), SUD)]
    known = store.may_speak_of(connection, pairs)
    assert known >= {
        (message_id(1), ORAN, "chu-alger"), (message_id(1), SUD, "chu-alger"),
        (message_id(last), ORAN, "chu-alger"),
    }  # fmt: skip
    assert {identifier for identifier, _, _ in known} == {message_id(1), message_id(last)}


def test_an_application_may_be_faster_than_its_node_but_not_slower_than_the_end(
    connection: Connection,
) -> None:
    store.accept(connection, [entry(1, ORAN, SUD), entry(2, ORAN)], EPOCH_MS)
    (row, other) = store.queue(connection, "chu-oran", 0, 0, MOST)
    store.conclude(connection, [(other.seq, replace(news(2, State.RETURNED), id=message_id(2)))])
    asked = [(message_id(1), ORAN), (message_id(1), SUD), (message_id(2), ORAN)]
    known = store.may_speak_of(connection, asked)
    assert {one[:2] for one in known} == {(message_id(1), ORAN), (message_id(1), SUD)}
    store.conclude(connection, [(row.seq, news(1, State.RETURNED))])
    known = store.may_speak_of(connection, asked)
    assert {one[:2] for one in known} == {(message_id(1), SUD)}


def test_one_facilitys_id_gives_no_word_on_anothers(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN), entry(1, SUD, sender="accueil@clinique-sud")], EPOCH_MS)
    known = store.may_speak_of(connection, [(message_id(1), ORAN)])
    assert (message_id(1), ORAN, "chu-alger") in known
    assert (message_id(1), ORAN, "clinique-sud") not in known


# ── time ───────────────────────────────────────────────────────────────────────────────────


def seen(connection: Connection, *, connected: bool, facility: str = "chu-oran") -> None:
    ageing.note_presences(
        connection, [Presence(facility, connected=connected, software="node 1")], EPOCH_MS, 1
    )


def overdue(connection: Connection, now_ms: int = EPOCH_MS + DAY_MS) -> list[bytes]:
    return [due.id for due in ageing.overdue(connection, now_ms, MOST)]


def mail(told: list[Waiting | None]) -> list[tuple[object, ...] | None]:
    """Return what waits: queued, unread, and how far the news were read."""
    return [None if one is None else tuple(one[:3]) for one in told]


def test_a_session_begins_with_what_waits_for_it(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN), entry(2, ORAN)], EPOCH_MS)
    delivered(connection, 1)
    store.accept(connection, [entry(3, SUD, sender=ORAN)], EPOCH_MS)
    names = ("chu-alger", "chu-oran", "clinique-sud", "nowhere")
    came = [Presence(name, connected=True, software="") for name in names]
    left = Presence("nowhere", connected=False, software="")
    told = mail(ageing.note_presences(connection, [*came, left], EPOCH_MS, 1))
    assert told == [(False, True, 0), (True, False, 0), (True, False, 0), (False, False, 0), None]
    (event,) = store.news_for(connection, "chu-alger", 0, MOST)
    store.read_up_to(connection, {"chu-alger": event.seq})
    assert mail(ageing.note_presences(connection, came[:1], EPOCH_MS, 1)) == [(False, False, event.seq)]
    many = [Presence(f"n{n}", connected=True, software="") for n in range(ageing.FACILITIES_PER_QUERY + 3)]
    assert mail(ageing.note_presences(connection, many, EPOCH_MS, 1)) == [(False, False, 0)] * len(many)


def test_what_nobody_can_have_seen_expires_to_the_millisecond(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN), entry(2, ORAN, valid_for_ms=DAY_MS + 1)], EPOCH_MS)
    assert overdue(connection, EPOCH_MS + DAY_MS - 1) == []
    assert overdue(connection) == [message_id(1)]


def test_a_connected_facility_is_asked_itself(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    seen(connection, connected=True)
    assert overdue(connection) == []


def test_what_a_past_session_may_have_brought_is_in_doubt(connection: Connection) -> None:
    """It is never returned by the clock alone: the recipient may have it. What came later is."""
    seen(connection, connected=True)
    store.accept(connection, [entry(1, ORAN)], EPOCH_MS)
    seen(connection, connected=False)
    store.accept(connection, [entry(2, ORAN)], EPOCH_MS)
    assert overdue(connection) == [message_id(2)]
    late = ageing.unwarned(connection, EPOCH_MS + DAY_MS, MOST)
    assert [due.in_doubt for due in late] == [True, False]


def test_after_a_crash_every_connected_facility_may_have_seen_everything(connection: Connection) -> None:
    seen(connection, connected=True)
    seen(connection, connected=False, facility="clinique-sud")
    store.accept(connection, [entry(1, ORAN), entry(2, SUD)], EPOCH_MS)
    ageing.all_left(connection, EPOCH_MS + 1)
    assert overdue(connection) == [message_id(2)]


def test_a_sender_is_warned_once(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN, warn_after_ms=1_000), entry(2, ORAN)], EPOCH_MS)
    assert ageing.unwarned(connection, EPOCH_MS + 999, MOST) == []
    (due,) = ageing.unwarned(connection, EPOCH_MS + 1_000, MOST)
    assert due.id == message_id(1)
    ageing.mark_warned(connection, [due.seq])
    assert ageing.unwarned(connection, EPOCH_MS + 1_000, MOST) == []
    assert [one.id for one in ageing.unwarned(connection, EPOCH_MS + DAY_MS, MOST)] == [message_id(2)]


@pytest.mark.parametrize(
    ("connected", "in_doubt", "code"),
    [(True, True, Delay.WAITING), (False, True, Delay.IN_DOUBT), (False, False, Delay.OFFLINE)],
)
def test_a_warning_says_why(connected: bool, in_doubt: bool, code: Delay) -> None:
    due = ageing.Due(1, "chu-oran", ORAN, ALGER, message_id(1), 0, in_doubt, connected)
    told = ageing.late_news(due, EPOCH_MS)
    assert (told.facility, told.recipient, told.state, told.code) == ("chu-alger", ORAN, State.DELAYED, code)


# ── forgetting ─────────────────────────────────────────────────────────────────────────────


def forget(connection: Connection, before_ms: int = EPOCH_MS + 1) -> set[int]:
    """Forget, and return the numbers of what is left in the ledger."""
    ageing.forget(connection, before_ms, MOST)
    return {int.from_bytes(row, "big") for row in connection.execute(select(ledger.c.id)).scalars()}


def test_only_what_is_finished_and_told_is_forgotten(connection: Connection) -> None:
    batch = [entry(1, ORAN), entry(2, ORAN), entry(3, ORAN), entry(4, ORAN, "labo@chu-oran")]
    store.accept(connection, batch, EPOCH_MS)
    store.accept(connection, [entry(5, ORAN)], EPOCH_MS + 1)
    delivered(connection, 1, 2)
    told = store.news_for(connection, "chu-alger", 0, MOST)
    assert forget(connection) == {1, 2, 3, 4, 5}, "nothing was read by the sender yet"
    store.read_up_to(connection, {"chu-alger": told[0].seq})
    assert forget(connection) == {2, 3, 4, 5}
    delivered(connection, 4, 5)
    rest = store.news_for(connection, "chu-alger", 0, MOST)
    store.read_up_to(connection, {"chu-alger": rest[-1].seq})
    assert forget(connection) == {3, 5}, "3 waits in the spool, 5 is too young"
    assert forget(connection, EPOCH_MS + 2) == {3}
    assert [one.id for one in store.news_for(connection, "chu-alger", 0, MOST)] == []
    assert queued(connection) == [message_id(3)]


def test_forgetting_goes_in_steps(connection: Connection) -> None:
    batch = [entry(number, returns=((SUD, Reason.EXPIRED),)) for number in range(5)]
    told = store.accept(connection, batch, EPOCH_MS).news
    store.read_up_to(connection, {"chu-alger": told[-1].seq})
    removed, after = ageing.forget(connection, EPOCH_MS + 1, 3)
    assert (removed, after is not None) == (3, True)
    assert ageing.forget(connection, EPOCH_MS + 1, 3, after or 0) == (2, None)
    assert ageing.forget(connection, EPOCH_MS + 1, 3) == (0, None)


# ── attachments, and looking ───────────────────────────────────────────────────────────────


def test_what_must_stay_hides_nothing_behind_it(connection: Connection) -> None:
    """Old messages that wait are looked past; the look ends where all are young."""
    store.accept(connection, [entry(number, SUD) for number in (1, 2, 3)], EPOCH_MS)
    store.accept(connection, [entry(4, ORAN)], EPOCH_MS)
    store.accept(connection, [entry(number, ORAN) for number in range(5, 12)], EPOCH_MS + 5)
    delivered(connection, *range(4, 12))
    store.read_up_to(connection, {"chu-alger": store.news_for(connection, "chu-alger", 0, MOST)[-1].seq})
    looked: list[int] = []
    after: int | None = 0
    while after is not None:
        removed, after = ageing.forget(connection, EPOCH_MS + 1, 2, after)
        looked.append(removed)
    assert looked == [0, 1, 0], "the third look finds young ones only: the last two are not made"


def test_files_are_needed_until_the_last_recipient_has_them(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN, SUD, files=1, message=b"with files"), entry(2, ORAN)], EPOCH_MS)
    copies = ageing.messages_with_files(connection, (b"", 0), MOST)
    assert [(one.id, one.message) for one in copies] == [(message_id(1), b"with files")] * 2
    assert not ageing.undelivered_files(connection, message_id(2))
    delivered(connection, 1)
    assert ageing.undelivered_files(connection, message_id(1))
    (row,) = store.queue(connection, "clinique-sud", 0, 0, MOST)
    store.conclude(connection, [(row.seq, news(1, State.DELIVERED, SUD))])
    assert not ageing.undelivered_files(connection, message_id(1))
    assert ageing.messages_with_files(connection, (b"", 0), MOST) == []


def test_queues_are_shown_longest_first(connection: Connection) -> None:
    store.accept(connection, [entry(1, ORAN, SUD, message=b"12345"), entry(2, SUD, message=b"123")], EPOCH_MS)
    assert tracking.depths(connection) == [
        tracking.Depth("clinique-sud", 2, 8, EPOCH_MS),
        tracking.Depth("chu-oran", 1, 5, EPOCH_MS),
    ]
    assert tracking.track(connection, message_id(77)) == []
