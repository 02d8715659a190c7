"""The outbox takes a message once, whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from crypto import sealing
from crypto.primitives import blake2b
from nodes.link import files, outbox, tables, tracking
from nodes.link.errors import KeyConflict, NotFound, Refused, UnknownRecipient
from nodes.link.outbox import DAY_MS, Draft, Put
from protocols.link import limits
from protocols.link.envelope import Priority, State, decode_envelope
from tests.nodes.fixtures import EPOCH_MS, HERE, Station, open_station

TO = "cardio@chu-oran"


def draft(station: Station, body: bytes = b"MSH|one", **change: Any) -> Draft:
    sources = change.pop("sources", ())
    prepared = files.prepare(station.home, body, sources, floor_bytes=0)
    base = Draft(f"labo@{HERE}", (TO,), "ORU^R01", prepared)
    return replace(base, **change)


def put(station: Station, wanted: Draft, now_ms: int = EPOCH_MS) -> Put:
    return station.do(lambda connection: outbox.put(connection, wanted, now_ms))


def envelope_of(station: Station, put_: Put) -> Any:
    def operation(connection: Any) -> Any:
        return connection.execute(select(tables.outbox).where(tables.outbox.c.id == put_.id)).one()

    row = station.do(operation)
    return row, decode_envelope(row.envelope)


def refused(station: Station, wanted: Draft, code: str, kind: type[Refused] = Refused) -> str:
    """Check that the put is refused with ``code`` and leaves no row in any table."""
    with pytest.raises(kind) as caught:
        put(station, wanted)
    assert caught.value.code == code
    tables_ = (tables.outbox, tables.outbox_recipients, tables.outbox_files, tables.outbox_history)

    def rows(connection: Connection) -> list[int]:
        return [connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables_]

    assert station.do(rows) == [0, 0, 0, 0]
    return caught.value.text


# ── what is taken ──────────────────────────────────────────────────────────────────────────


def test_a_message_reads_back_as_it_was_put(station: Station) -> None:
    wanted = draft(
        station, b"MSH|body\r", subject="عنوان", patient="123^^^NIN", priority=Priority.STAT, key="k 1"
    )
    done = put(station, wanted)
    assert (done.state, done.fresh) == (State.QUEUED, True)
    sent = station.do(lambda c: tracking.find(c, done.id))
    assert (sent.subject, sent.patient, sent.priority, sent.key) == (
        "عنوان", "123^^^NIN", Priority.STAT, "k 1",
    )  # fmt: skip
    assert (sent.created_ms, sent.expires_ms, sent.settled) == (EPOCH_MS, EPOCH_MS + 5 * DAY_MS, False)
    assert [(r.recipient, r.state) for r in sent.recipients] == [(TO, State.QUEUED)]
    assert [(m.state, m.at_ms) for m in sent.history] == [(State.QUEUED, EPOCH_MS)]
    content, body = station.do(lambda c: tracking.open_content(c, done.id, station.home))
    assert (body, content.subject, content.patient, content.key) == (
        b"MSH|body\r", "عنوان", "123^^^NIN", "k 1",
    )  # fmt: skip


def test_the_hub_will_see_nothing_of_the_content(station: Station) -> None:
    wanted = draft(
        station, b"SECRET-BODY", subject="SECRET-SUBJECT", patient="SECRET-PATIENT", key="SECRET-K"
    )
    row, envelope = envelope_of(station, put(station, wanted))
    for blob in (row.envelope, row.sealed):
        assert b"SECRET" not in blob
    assert envelope.recipients == (TO,)
    assert envelope.commitment == sealing.key_commitment(wanted.prepared.content_key)
    assert row.digest == sealing.message_digest(row.envelope, row.sealed)


def test_a_body_outside_is_the_first_attachment(station: Station, tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(b"scan")
    with path.open("rb") as stream:
        source = files.Source("scan.dcm", "application/dicom", stream, 4)
        wanted = draft(station, b"b" * (limits.INLINE_BODY_BYTES + 1), sources=(source,))
    done = put(station, wanted)
    _, envelope = envelope_of(station, done)
    assert envelope.body_outside
    assert [ref.size for ref in envelope.attachments] == [limits.INLINE_BODY_BYTES + 1, 4]
    content, body = station.do(lambda c: tracking.open_content(c, done.id, station.home))
    assert (content.body, body) == (b"", b"b" * (limits.INLINE_BODY_BYTES + 1))
    assert [(file.name, file.digest) for file in content.files] == [("scan.dcm", blake2b(b"scan"))]
    assert station.do(outbox.owned_files) == {file.path for file in wanted.prepared.files}


@pytest.mark.parametrize("size", [0, 1, limits.INLINE_BODY_BYTES, limits.INLINE_BODY_BYTES + 1, 200_000])
def test_bodies_of_any_size_read_back(station: Station, size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    done = put(station, draft(station, body))
    assert station.body_of(done.id) == body


def test_a_group_is_taken_apart_and_nobody_gets_it_twice(station: Station) -> None:
    to = ("labo@chu-oran", "garde@group", "accueil@clinique-sud", "labo@chu-oran")
    _, envelope = envelope_of(station, put(station, draft(station, recipients=to)))
    assert envelope.recipients == ("labo@chu-oran", "accueil@clinique-sud")


def test_the_largest_message_still_fits_one_record(tmp_path: Path) -> None:
    """64 recipients of the longest name, 32 files of the longest names, the longest texts, a full body."""
    names = tuple(f"{n:02}" + "m" * 60 + "@" + f"{n:02}" + "f" * 60 for n in range(limits.RECIPIENTS))
    with open_station(tmp_path, with_directory=False) as fresh:
        empty = tmp_path / "empty"
        empty.write_bytes(b"")
        with empty.open("rb") as stream:
            sources = tuple(
                files.Source("é" * 100 + f"{n}.bin", "a/" + "b" * 98, stream, 0)
                for n in range(limits.ATTACHMENTS)
            )
            wanted = draft(
                fresh, b"b" * limits.INLINE_BODY_BYTES, recipients=names, sources=sources,
                subject="🫀" * limits.SUBJECT_CHARS, patient="🫀" * limits.PATIENT_CHARS,
                key="🫀" * limits.KEY_CHARS,
            )  # fmt: skip
        row, envelope = envelope_of(fresh, put(fresh, wanted))
    wraps = len(envelope.recipient_facilities) * (63 + 80 + 16)
    assert len(row.envelope) + len(row.sealed) + wraps + 100 <= limits.MESSAGE_BYTES


# ── the sender's own key ───────────────────────────────────────────────────────────────────


def test_the_same_key_and_content_is_the_same_message(station: Station) -> None:
    first = put(station, draft(station, key="order-7"))
    again = put(station, draft(station, key="order-7"), EPOCH_MS + 1)
    assert again == Put(first.id, State.QUEUED, fresh=False)
    assert len(station.sent()) == 1


def test_a_repeat_tells_how_far_the_message_is(station: Station) -> None:
    first = put(station, draft(station, key="order-7"))
    station.mark(first.id, TO, State.PROCESSED)
    assert put(station, draft(station, key="order-7")).state is State.PROCESSED


def test_a_repeat_is_answered_although_its_recipient_left(station: Station) -> None:
    """The answer to a repeat is the stored one: what changed since has no part in it."""
    first = put(station, draft(station, key="order-7"))
    station.do(lambda c: c.execute(tables.addressbook.delete()))
    assert put(station, draft(station, key="order-7")).id == first.id


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"MSH|two"},
        {"recipients": ("labo@chu-oran",)},
        {"recipients": (TO, "labo@chu-oran")},
        {"kind": "ADT^A01"},
        {"subject": "another"},
        {"patient": "another"},
        {"priority": Priority.STAT},
        {"sender": f"cardio@{HERE}"},
    ],
)
def test_the_same_key_with_another_content_is_refused(station: Station, change: dict[str, Any]) -> None:
    first = put(station, draft(station, key="order-7"))
    with pytest.raises(KeyConflict, match="another content") as caught:
        put(station, draft(station, key="order-7", **change))
    assert caught.value.code == "key-conflict"
    assert [sent.id for sent in station.sent()] == [first.id]


def test_the_same_key_with_another_file_is_refused(station: Station, tmp_path: Path) -> None:
    def with_file(content: bytes, name: str) -> Draft:
        path = tmp_path / "f"
        path.write_bytes(content)
        with path.open("rb") as stream:
            source = files.Source(name, "text/plain", stream, len(content))
            return draft(station, key="k", sources=(source,))

    first = put(station, with_file(b"one", "a.txt"))
    assert put(station, with_file(b"one", "a.txt")).id == first.id
    for content, name in ((b"two", "a.txt"), (b"one", "b.txt")):
        with pytest.raises(KeyConflict):
            put(station, with_file(content, name))


def test_without_a_key_two_equal_puts_are_two_messages(station: Station) -> None:
    assert put(station, draft(station)).id != put(station, draft(station)).id


# ── what is refused ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("cardio@chu-mars", "unknown-facility"),
        ("nobody@chu-oran", "unknown-mailbox"),
        ("nobody@group", "unknown-group"),
    ],
)
def test_who_is_not_in_the_directory_is_refused(station: Station, recipient: str, code: str) -> None:
    text = refused(station, draft(station, recipients=(TO, recipient)), code, UnknownRecipient)
    assert recipient.partition("@")[0] in text


@pytest.mark.parametrize("recipient", ["cardio", "@chu-oran", "cardio@", ""])
def test_what_is_no_address_is_refused(station: Station, recipient: str) -> None:
    refused(station, draft(station, recipients=(recipient,)), "bad-address")


@pytest.mark.parametrize("recipient", ["Cardio@chu-oran", "car dio@chu-oran", "x@y@z", "a" * 64 + "@b"])
def test_before_the_first_directory_an_address_must_still_be_one(tmp_path: Path, recipient: str) -> None:
    with open_station(tmp_path, with_directory=False) as fresh:
        refused(fresh, draft(fresh, recipients=(recipient,)), "bad-address")


def test_before_the_first_directory_any_mailbox_is_let_through(tmp_path: Path) -> None:
    with open_station(tmp_path, with_directory=False) as fresh:
        assert put(fresh, draft(fresh, recipients=("x@y",))).fresh


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"recipients": ()}, "no-recipient"),
        ({"recipients": tuple(f"m{n}@group" for n in range(1))}, "unknown-group"),
        ({"subject": "x" * (limits.SUBJECT_CHARS + 1)}, "too-long"),
        ({"patient": "x" * (limits.PATIENT_CHARS + 1)}, "too-long"),
        ({"key": "x" * (limits.KEY_CHARS + 1)}, "too-long"),
        ({"kind": "x" * (limits.KIND_CHARS + 1)}, "too-long"),
        ({"kind": ""}, "bad-envelope"),
        ({"kind": "ORU R01"}, "bad-envelope"),
        ({"sender": "labo"}, "bad-envelope"),
        ({"sender": "LABO@chu-alger"}, "bad-envelope"),
        ({"valid_for_ms": 0}, "valid-for"),
        ({"valid_for_ms": -1}, "valid-for"),
        ({"valid_for_ms": limits.VALID_FOR_MAX_MS + 1}, "valid-for"),
        ({"subject": "\udcff"}, "not-text"),
        ({"patient": "\udcff"}, "not-text"),
        ({"key": "\udcff"}, "not-text"),
    ],
)
def test_what_cannot_be_right_is_refused(station: Station, change: dict[str, Any], code: str) -> None:
    refused(station, draft(station, **change), code)


def test_the_bounds_themselves_are_taken(station: Station) -> None:
    for change in (
        {"subject": "x" * limits.SUBJECT_CHARS},
        {"patient": "x" * limits.PATIENT_CHARS},
        {"key": "x" * limits.KEY_CHARS},
        {"kind": "x" * limits.KIND_CHARS},
        {"valid_for_ms": 1},
        {"valid_for_ms": limits.VALID_FOR_MAX_MS},
    ):
        assert put(station, draft(station, **change)).fresh


def test_65_recipients_are_refused(tmp_path: Path) -> None:
    with open_station(tmp_path, with_directory=False) as fresh:
        to = tuple(f"m{n}@f" for n in range(limits.RECIPIENTS + 1))
        refused(fresh, draft(fresh, recipients=to), "too-many-recipients")
        assert put(fresh, draft(fresh, recipients=to[1:])).fresh


def test_a_media_type_that_no_receiver_would_read_is_refused(station: Station, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with (tmp_path / "f").open("rb") as stream:
        source = files.Source("f", "x" * (limits.MEDIA_TYPE_CHARS + 1), stream, 0)
        refused(station, draft(station, sources=(source,)), "bad-content")


# ── looking ────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_id_is_not_found(station: Station) -> None:
    for look in (
        lambda c: tracking.find(c, bytes(16)),
        lambda c: tracking.open_content(c, bytes(16), station.home),
    ):
        with pytest.raises(NotFound):
            station.do(look)
    assert station.do(lambda c: tracking.find_by_key(c, "no")) is None


def test_a_message_is_found_by_its_key(station: Station) -> None:
    done = put(station, draft(station, key="k"))
    found = station.do(lambda c: tracking.find_by_key(c, "k"))
    assert found is not None
    assert found.id == done.id


def test_the_latest_come_first_and_settled_ones_can_be_left_out(station: Station) -> None:
    ids = [put(station, draft(station)).id for _ in range(3)]
    station.mark(ids[1], TO, State.PROCESSED)
    assert [sent.id for sent in station.do(lambda c: tracking.latest(c, 2))] == [ids[2], ids[1]]
    open_ones = station.do(lambda c: tracking.latest(c, 9, unsettled_only=True))
    assert [sent.id for sent in open_ones] == [ids[2], ids[0]]


def test_the_queue_counts_what_the_hub_has_not_got(station: Station) -> None:
    assert station.do(tracking.queue_depth) == (0, None)
    put(station, draft(station), EPOCH_MS + 5)
    put(station, draft(station), EPOCH_MS + 9)
    assert station.do(tracking.queue_depth) == (2, EPOCH_MS + 5)


Q, A, D, P, R, X = (
    State.QUEUED, State.ACCEPTED, State.DELIVERED, State.PROCESSED, State.REFUSED, State.RETURNED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ((Q,), Q),
        ((P, D), D),
        ((P, State.DELAYED), A),
        ((P, X), P),
        ((D, R), D),
        ((X, X), X),
        ((R, R), R),
        ((R, X), X),
    ],
)
def test_the_state_of_the_whole(states: tuple[State, ...], whole: State) -> None:
    assert tracking.overall(states) is whole


def test_puts_of_one_batch_know_each_other(station: Station) -> None:
    """The same key in one commit: the same message, or a conflict, and the others are not touched."""
    wanted = [
        draft(station, b"MSH|a", key="k"),
        draft(station, b"MSH|a", key="k"),
        draft(station, b"MSH|b", key="k"),
        draft(station, b"MSH|c", recipients=("nobody@chu-oran",)),
        draft(station, b"MSH|d"),
    ]
    first, again, other, unknown, last = station.do(
        lambda c: outbox.put_all(c, [(one, EPOCH_MS) for one in wanted])
    )
    assert isinstance(first, Put)
    assert again == replace(first, fresh=False)
    assert isinstance(other, KeyConflict)
    assert isinstance(unknown, UnknownRecipient)
    assert isinstance(last, Put)
    assert [sent.id for sent in station.do(lambda c: tracking.latest(c, 9))] == [last.id, first.id]


def test_a_number_of_the_outbox_is_given_out_once(station: Station) -> None:
    """Numbers say what a session may have submitted: one that came back would lie."""
    put(station, draft(station, b"MSH|a"))
    station.do(lambda c: c.execute(tables.outbox.delete()))
    done = put(station, draft(station, b"MSH|b"))
    row, _ = envelope_of(station, done)
    assert row.seq == 2
