"""A hub that went back in time: what it gives out is new, and what nodes say of before is judged."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, select

from hub.admin import rates
from hub.admin.console.views import number_in
from hub.directory import service, store
from hub.spool import ageing, epoch
from hub.spool.store import accept, take_numbers
from hub.spool.tables import events, ledger, spool
from hub.sweeper import Sweeper
from protocols.link import frames as f
from protocols.link.envelope import Envelope, Priority, SealedMessage, encode
from protocols.link.joincode import decode_joincode
from tests.hub.caller import Caller, enrol
from tests.hub.hubs import ALGER, DAY_MS, EPOCH_MS, ISSUER, ORAN, NodeKeys, Rest, entry, message_id

HOUR_MS = 3_600_000
ONE, TWO = NodeKeys.numbered(1), NodeKeys.numbered(2)


def joined(connection: Connection, facility: str, keys: NodeKeys) -> store.CredentialRow:
    invited = service.invite(
        connection, ISSUER, facility, title=None, mailboxes=("cardio",), valid_for_ms=DAY_MS, now_ms=EPOCH_MS
    )
    code = decode_joincode(invited.code)
    row = service.grant(
        connection, ISSUER, code.invitation, keys.link.public, keys.signing, keys.sealing, EPOCH_MS
    )
    assert isinstance(row, store.CredentialRow)
    return row


# ── what is given out ──────────────────────────────────────────────────────────────────────


def test_a_backup_that_is_restored_twice_gives_nothing_out_twice(connection: Connection) -> None:
    """The disk fails again an hour after the restore, and there is only the same backup."""
    joined(connection, "chu-oran", ONE)
    accept(connection, [entry(1, ORAN)], EPOCH_MS)

    def restored(now_ms: int) -> tuple[int, int, int, int]:
        with connection.begin_nested() as nested:
            epoch.begin(connection, EPOCH_MS, now_ms)
            version = store.version(connection)
            serial = joined(connection, "chu-oran", TWO).serial
            given = version, serial, take_numbers(connection, spool, 1), take_numbers(connection, events, 1)
            nested.rollback()
        return given

    first, second = restored(EPOCH_MS + DAY_MS), restored(EPOCH_MS + DAY_MS + HOUR_MS)
    for one, other in zip(first, second, strict=True):
        assert other - one > 100, (first, second)


def test_a_clock_that_stands_behind_gives_nothing_out_again_either(connection: Connection) -> None:
    joined(connection, "chu-oran", ONE)
    accept(connection, [entry(1, ORAN)], EPOCH_MS)
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + DAY_MS)
    before = store.version(connection), take_numbers(connection, spool, 1), epoch.serial_floor(connection)
    epoch.begin(connection, EPOCH_MS, EPOCH_MS - DAY_MS)
    after = store.version(connection), take_numbers(connection, spool, 1), epoch.serial_floor(connection)
    assert all(new > old + 50 for old, new in zip(before, after, strict=True)), (before, after)
    assert epoch.read(connection).at_ms > EPOCH_MS + DAY_MS


def test_a_node_that_missed_a_restore_hears_of_the_older_backup(connection: Connection) -> None:
    """What it holds may be newer than the first backup and older than the second."""
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + DAY_MS)
    epoch.begin(connection, EPOCH_MS + 9 * DAY_MS, EPOCH_MS + 10 * DAY_MS)
    assert epoch.read(connection) == epoch.Epoch(EPOCH_MS + 10 * DAY_MS, EPOCH_MS)


def test_what_the_authority_revokes_covers_credentials_that_the_backup_does_not_know(
    connection: Connection,
) -> None:
    """The node renewed its keys after the backup; the thief has those."""
    known = joined(connection, "chu-oran", ONE)
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + DAY_MS)
    revoked = service.revoke(connection, ISSUER, "chu-oran", "stolen", EPOCH_MS + DAY_MS)
    assert revoked > known.serial + 10
    assert joined(connection, "chu-oran", TWO).serial > revoked


def test_a_leap_of_numbers_is_no_traffic(connection: Connection) -> None:
    accept(connection, [entry(n, ORAN) for n in range(1, 4)], EPOCH_MS)
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + HOUR_MS)
    accept(connection, [entry(n, ORAN) for n in range(4, 6)], EPOCH_MS + 2 * HOUR_MS)
    assert rates.since(connection, EPOCH_MS - HOUR_MS) == 5
    bars = rates.hourly(connection, 5, EPOCH_MS + 2 * HOUR_MS)
    assert sum(bar.messages for bar in bars) == 5


def test_the_console_can_name_what_is_numbered_after_a_leap(connection: Connection) -> None:
    """In an address or a form, cut to nothing else: a copy could not be given up, or a page not be left."""
    epoch.begin(connection, EPOCH_MS, EPOCH_MS + DAY_MS)
    (row,) = accept(connection, [entry(1, ORAN)], EPOCH_MS).queued
    assert number_in(str(row.seq)) == row.seq
    assert number_in("9" * 30) == 0


# ── what nodes say of before ───────────────────────────────────────────────────────────────


@pytest.fixture
def alger(rest: Rest) -> Caller:
    """Return a session of chu-alger's at a hub that was restored an hour ago."""
    enrol(rest, "chu-alger", ONE, "labo")
    enrol(rest, "chu-oran", TWO, "cardio")
    rest.sql(lambda c: epoch.begin(c, EPOCH_MS - DAY_MS, EPOCH_MS - HOUR_MS))
    rest.core.epoch = rest.sql(epoch.read)
    rest.run(rest.core.reload_directory())
    caller = Caller(rest, ONE)
    caller.turn()
    return caller


def letter(number: int, *recipients: str) -> bytes:
    envelope = Envelope(
        1, message_id(number), ALGER, recipients, "ORU^R01", Priority.ROUTINE, EPOCH_MS, DAY_MS, bytes(32)
    )
    return encode(SealedMessage(encode(envelope), bytes(64), (), 1, bytes(64)))


def told(rest: Rest) -> list[tuple[Any, ...]]:
    rows = rest.sql(lambda c: c.execute(select(events.c.recipient, events.c.code)).all())
    return [tuple(row) for row in rows]


def waiting(rest: Rest) -> list[str]:
    return list(rest.sql(lambda c: c.execute(select(spool.c.recipient)).scalars().all()))


def test_only_copies_that_the_message_has_can_have_come_back(rest: Rest, alger: Caller) -> None:
    """Else a node could have its message count as ended while it waits, or name addresses at will."""
    strange = tuple(f"x@somewhere-{n}" for n in range(3))
    alger.say(f.Again((f.AgainItem(message_id(1), strange),)), f.Submit((f.Submission(letter(1, ORAN), 0),)))
    assert alger.heard(f.Accepted) == [f.Accepted((message_id(1),))]
    assert (told(rest), waiting(rest)) == ([], [ORAN])


def test_a_copy_in_doubt_waits_for_a_facility_that_is_suspended(rest: Rest, alger: Caller) -> None:
    """It may have it: to return the copy now would be to say that it has not."""
    rest.sql(lambda c: store.suspend(c, "chu-oran", suspended=True))
    rest.run(rest.core.reload_directory())
    alger.say(f.Again((f.AgainItem(message_id(1)),)), f.Submit((f.Submission(letter(1, ORAN), 0),)))
    assert (told(rest), waiting(rest)) == ([], [ORAN])
    alger.say(f.Submit((f.Submission(letter(2, ORAN), 0),)))
    assert told(rest) == [(ORAN, "facility-inactive")]


def test_what_the_sender_got_back_stays_so(rest: Rest, alger: Caller) -> None:
    alger.say(f.Again((f.AgainItem(message_id(1), (ORAN,)),)), f.Submit((f.Submission(letter(1, ORAN), 0),)))
    assert (told(rest), waiting(rest)) == ([(ORAN, "returned-before")], [])


def test_what_comes_again_is_not_returned_before_its_recipient_was_asked(rest: Rest, alger: Caller) -> None:
    alger.say(
        f.Again((f.AgainItem(message_id(1)),)),
        f.Submit((f.Submission(letter(1, ORAN), 2 * DAY_MS), f.Submission(letter(2, ORAN), 2 * DAY_MS))),
    )
    assert told(rest) == [(ORAN, "expired")]
    assert rest.sql(lambda c: ageing.overdue(c, EPOCH_MS + 9 * DAY_MS, 10)) == []
    assert rest.sql(lambda c: c.execute(select(ledger.c.id).order_by(ledger.c.seq)).scalars().all()) == [
        message_id(1), message_id(2),
    ]  # fmt: skip


def test_a_hub_that_was_never_restored_takes_no_word_of_before(rest: Rest) -> None:
    enrol(rest, "chu-alger", ONE, "labo")
    caller = Caller(rest, ONE)
    caller.turn()
    caller.say(f.Again((f.AgainItem(message_id(1)),)))
    assert "out-of-turn" in caller.ended().text


def test_no_more_is_named_than_can_be_submitted(rest: Rest, alger: Caller) -> None:
    alger.say(f.Again(tuple(f.AgainItem(message_id(n)) for n in range(512))))
    alger.say(f.Again((f.AgainItem(message_id(999)),)))
    assert "window" in alger.ended().text


# ── how long it may be said ────────────────────────────────────────────────────────────────


def again(alger: Caller, number: int, age_ms: int) -> None:
    alger.say(
        f.Again((f.AgainItem(message_id(number)),)), f.Submit((f.Submission(letter(number, ORAN), age_ms),))
    )


def test_what_was_put_after_the_restore_cannot_be_of_before(rest: Rest, alger: Caller) -> None:
    """Else a node could keep each of its messages from expiring by saying so."""
    alger.lose()
    rest.time.advance(27 * 3_600)
    back = Caller(rest, ONE)
    back.turn()
    again(back, 1, 0)
    again(back, 2, 28 * HOUR_MS)
    late_ms = rest.clock.now_ms() + 2 * DAY_MS
    assert [one.id for one in rest.sql(lambda c: ageing.overdue(c, late_ms, 10))] == [message_id(1)]


def test_a_clock_that_leaps_ahead_does_not_end_what_can_be_of_before(rest: Rest, alger: Caller) -> None:
    """Or a copy whose time is up would be returned although its recipient may have it."""
    Sweeper(rest.core)
    rest.clock.skew_ms = 365 * DAY_MS
    again(alger, 1, 2 * DAY_MS)
    assert (told(rest), waiting(rest)) == ([], [ORAN])


def test_a_word_of_before_counts_for_a_time_and_not_for_ever(rest: Rest, alger: Caller) -> None:
    """Then the copy comes back as given up: whether it had been delivered, nobody here knows."""
    again(alger, 1, 2 * DAY_MS)
    until_ms = rest.core.epoch.at_ms + epoch.AGAIN_FOR_MS
    assert rest.sql(lambda c: ageing.overdue(c, until_ms - 1, 10)) == []
    (due,) = rest.sql(lambda c: ageing.overdue(c, until_ms, 10))
    assert (due.id, due.again, due.in_doubt) == (message_id(1), True, True)
    rest.time.advance((until_ms - rest.clock.now_ms()) / 1000)
    sweeper = Sweeper(rest.core)
    rest.run(sweeper.round())
    assert told(rest) == [(ORAN, "given-up")]
    assert waiting(rest) == []


def test_one_nodes_word_keeps_nobody_elses_messages(rest: Rest, alger: Caller) -> None:
    alger.say(f.Submit((f.Submission(letter(1, ORAN), 0),)))
    again(alger, 2, 2 * DAY_MS)
    due = rest.sql(lambda c: ageing.overdue(c, EPOCH_MS + 9 * DAY_MS, 10))
    assert [one.id for one in due] == [message_id(1)]
