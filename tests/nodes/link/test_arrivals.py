"""Arriving: once, with the same answer for ever, and never over what came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from nodes.link import arrivals, inbox, tables
from nodes.link.arrivals import Arrival, Outcome, StoredBody
from nodes.link.inbox import ReceivedFile
from protocols.link.envelope import Priority, State
from tests.nodes.fixtures import EPOCH_MS, HERE, Station
from tests.nodes.link.letters import Letter, attach

FILE = ReceivedFile("scan.bin", "application/octet-stream", 4, b"\x05" * 32, "incoming/ab-0")


def arrival(station: Station, letter: Letter, answer: str = "1", **change: Any) -> Arrival:
    opened = letter.opened(station)
    base = Arrival(opened, None, (), b"delivered " + answer.encode(), b"expired " + answer.encode())
    return replace(base, **change)


def accept(station: Station, *them: Arrival, now_ms: int = EPOCH_MS) -> list[Outcome]:
    return station.do(lambda c: arrivals.accept(c, list(them), now_ms))


def rows(station: Station) -> Sequence[Any]:
    return station.do(lambda c: c.execute(select(tables.inbox).order_by(tables.inbox.c.seq)).all())


def test_a_fresh_message_is_laid_into_the_inbox(station: Station) -> None:
    letter = Letter(station.network, body=b"MSH|x", subject="s", priority=Priority.STAT)
    (outcome,) = accept(station, arrival(station, letter), now_ms=EPOCH_MS + 7)
    assert outcome == Outcome(State.DELIVERED, "", b"delivered 1", fresh=True)
    (found,) = station.do(lambda c: inbox.waiting(c, limit=9))
    assert (found.id, found.sender, found.recipient) == (letter.id, letter.sender, letter.recipient)
    assert (found.body, found.subject, found.priority) == (b"MSH|x", "s", Priority.STAT)
    assert (found.created_ms, found.received_ms, found.state) == (EPOCH_MS, EPOCH_MS + 7, State.DELIVERED)


def test_a_repeat_gets_the_receipt_of_the_first_time(station: Station) -> None:
    letter = Letter(station.network)
    accept(station, arrival(station, letter, "1"))
    for answer in ("2", "3"):
        (outcome,) = accept(station, arrival(station, letter, answer))
        assert outcome == Outcome(State.DELIVERED, "", b"delivered 1", fresh=False)
    assert len(rows(station)) == 1


def test_a_repeat_inside_one_batch_is_one_message(station: Station) -> None:
    letter = Letter(station.network)
    first, again = accept(station, arrival(station, letter, "1"), arrival(station, letter, "2"))
    assert (first.fresh, again) == (True, Outcome(State.DELIVERED, "", b"delivered 1", fresh=False))
    assert len(rows(station)) == 1


def test_a_repeat_of_what_was_processed_brings_it_not_back(station: Station) -> None:
    letter = Letter(station.network)
    accept(station, arrival(station, letter))
    seq = rows(station)[0].seq
    station.do(lambda c: inbox.conclude(c, station.identity, seq, State.PROCESSED, EPOCH_MS))
    (outcome,) = accept(station, arrival(station, letter))
    assert (outcome.state, outcome.fresh) == (State.DELIVERED, False)
    assert [row.state for row in rows(station)] == [State.PROCESSED]


def test_the_same_id_with_another_content_changes_nothing(station: Station) -> None:
    letter = Letter(station.network, body=b"one")
    accept(station, arrival(station, letter))
    before = rows(station)
    (outcome,) = accept(station, arrival(station, replace(letter, body=b"two")))
    assert outcome is arrivals.CONFLICT
    assert rows(station) == before


def test_the_same_id_with_another_content_in_one_batch_changes_nothing(station: Station) -> None:
    letter = Letter(station.network, body=b"one")
    one, two = arrival(station, letter, "1"), arrival(station, replace(letter, body=b"two"), "2")
    first, second = accept(station, one, two)
    assert (first.state, first.fresh) == (State.DELIVERED, True)
    assert (second.state, second.code) == (State.RETURNED, "id-conflict")
    assert [row.body for row in rows(station)] == [b"one"]


def test_the_same_id_of_another_sender_is_another_message(station: Station) -> None:
    """Ids are the senders' choice: one facility cannot keep another's message out by using its id first."""
    letter = Letter(station.network)
    other = replace(letter, sender="accueil@clinique-sud", body=b"other")
    outcomes = accept(station, arrival(station, letter), arrival(station, other))
    assert [outcome.fresh for outcome in outcomes] == [True, True]


def test_a_message_for_two_mailboxes_is_laid_into_both(station: Station) -> None:
    both = (f"labo@{HERE}", f"cardio@{HERE}")
    letter = Letter(station.network, recipients=both)
    content = replace(letter, recipient=both[1])
    outcomes = accept(station, arrival(station, letter), arrival(station, content))
    assert [outcome.fresh for outcome in outcomes] == [True, True]
    assert [row.recipient for row in rows(station)] == list(both)


def test_an_expired_message_that_never_came_is_returned(station: Station) -> None:
    letter = Letter(station.network, remaining_ms=0)
    (outcome,) = accept(station, arrival(station, letter))
    assert outcome == Outcome(State.RETURNED, "expired", b"expired 1", fresh=False)
    assert rows(station) == []


def test_an_expired_message_that_came_before_stays_delivered(station: Station) -> None:
    """The hub asks about a delivery that it never heard of again: the truth is what was committed here."""
    letter = Letter(station.network)
    accept(station, arrival(station, letter, "1"))
    (outcome,) = accept(station, arrival(station, replace(letter, remaining_ms=0), "2"))
    assert outcome == Outcome(State.DELIVERED, "", b"delivered 1", fresh=False)


def test_an_expired_message_that_comes_in_the_batch_of_its_twin(station: Station) -> None:
    letter = Letter(station.network)
    expired = replace(letter, remaining_ms=0)
    first, second = accept(station, arrival(station, letter, "1"), arrival(station, expired, "2"))
    assert (first.state, second.state, second.receipt) == (State.DELIVERED, State.DELIVERED, b"delivered 1")
    other = Letter(station.network)
    early, late = accept(
        station, arrival(station, replace(other, remaining_ms=0), "1"), arrival(station, other, "2")
    )
    assert (early.state, late.state) == (State.RETURNED, State.DELIVERED)


def test_files_belong_to_their_own_message(station: Station) -> None:
    plain, with_files = Letter(station.network), Letter(station.network)
    accept(
        station,
        arrival(station, plain),
        arrival(
            station,
            with_files,
            body_path=StoredBody("incoming/ab-b", bytes(32)),
            files=(FILE, replace(FILE, name="b")),
        ),
        arrival(station, Letter(station.network)),
    )
    found = station.do(inbox.listing)
    assert [[file.name for file in one.files] for one in found] == [[], ["scan.bin", "b"], []]
    assert [one.body_path for one in found] == [None, "incoming/ab-b", None]


def test_order_is_kept_across_files_and_repeats(station: Station) -> None:
    letters = [Letter(station.network, body=b"%d" % n) for n in range(6)]
    them = [arrival(station, one, files=(FILE,) if n % 2 else ()) for n, one in enumerate(letters)]
    accept(station, *them[:2])
    accept(station, them[1], *them)
    assert [row.body for row in rows(station)] == [b"%d" % n for n in range(6)]


# ── asking before ──────────────────────────────────────────────────────────────────────────


def test_what_is_known_is_said_without_changing_anything(station: Station) -> None:
    letter = Letter(station.network)
    opened = letter.opened(station)
    assert station.do(lambda c: arrivals.known(c, opened)) is None
    accept(station, arrival(station, letter, "1"))
    known = station.do(lambda c: arrivals.known(c, opened))
    assert known == Outcome(State.DELIVERED, "", b"delivered 1", fresh=False)
    other = replace(letter, body=b"two").opened(station)
    conflict = station.do(lambda c: arrivals.known(c, other))
    assert conflict is not None
    assert conflict.code == "id-conflict"


def test_a_twin_lends_its_files_only_to_the_very_same_message(station: Station) -> None:
    both = (f"labo@{HERE}", f"cardio@{HERE}")
    letter = Letter(station.network, recipients=both)
    letter = replace(letter, attached=(attach(letter.content_key, b"scan"),))
    accept(station, arrival(station, letter, files=(FILE,), body_path=None))
    twin = replace(letter, recipient=both[1])
    forged = replace(twin, body=b"another body")

    def ask(one: Letter) -> Any:
        opened = one.opened(station)
        return station.do(lambda c: arrivals.files_of_twin(c, opened))

    assert ask(letter) == (None, (FILE,))
    assert ask(forged) is None
    assert ask(replace(twin, sender="cardio@chu-oran")) is None
