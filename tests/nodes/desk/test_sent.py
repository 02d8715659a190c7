"""Where a department's messages are, what is late and why, and what can still be done."""

from __future__ import annotations

import io
import re
import zlib
from typing import NoReturn

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.event import listen

from nodes.desk import audit, catching
from nodes.desk.mail import store as mail_store
from nodes.desk.roles import Role
from nodes.desk.sent import store
from nodes.desk.tables import sent
from nodes.desk.threads import THREAD
from nodes.link import facts, files, outbox, tables, tracking
from nodes.link.ids import id_text
from nodes.link.tables import outbox_recipients
from protocols.link.envelope import Receipt, State
from runtime.storage_errors import StorageFull
from tests.nodes.desk.desks import Ward, oru

ORAN = "cardio@chu-oran"


def put(
    ward: Ward,
    *,
    key: str | None = None,
    by: str = "clinician",
    content: bytes = b"",
    sender: str = "cardio",
    kind: str = "ORU^R01",
) -> bytes:
    """Send something from a department, as the form does."""
    sources = [files.Source("scan.bin", "application/octet-stream", io.BytesIO(content), len(content))]
    prepared = files.prepare(ward.desk.home, oru("X"), sources if content else (), floor_bytes=0)
    draft = outbox.Draft(
        f"{sender}@chu-alger", (ORAN,), kind, prepared, key=key, subject="Avis", patient="D-1"
    )

    def send(connection: Connection) -> bytes:
        done = outbox.put(connection, draft, ward.desk.clock.now_ms())
        if by:
            row = connection.execute(select(tables.outbox).where(tables.outbox.c.id == done.id)).one()
            catching.put_sent(connection, row, by=by, thread=done.id)
        return done.id

    return ward.desk.change(send)


def out_of_room(*_: object, **__: object) -> NoReturn:
    """Do as a write does on a full disk."""
    raise StorageFull("No space left on device")


def receipt_for(ward: Ward, identifier: bytes, at_ms: int) -> bytes:
    """Return what the recipient's node signs of a message that was opened at ``at_ms``."""
    sent = ward.station.do(
        lambda c: c.execute(select(tables.outbox).where(tables.outbox.c.id == identifier)).one()
    )
    receipt = Receipt(
        version=1, message_id=identifier, digest=sent.digest, sender=sent.sender, recipient=ORAN,
        state=State.PROCESSED, code="", at_ms=at_ms, signer_serial=1,
    )  # fmt: skip
    return ward.station.network.identity("chu-oran").sign_receipt(receipt)


def test_the_way_of_a_message_with_time_and_place(ward: Ward) -> None:
    identifier = put(ward)
    browser = ward.browser(Role.CLINICIAN)
    page = browser.get(f"/s/{id_text(identifier)}").text
    assert "Dr Clinician · chu-alger" in page
    assert "Goes to the hub" in page
    ward.station.mark(identifier, ORAN, State.DELIVERED)
    assert "Waits for somebody there to open it" in browser.get(f"/s/{id_text(identifier)}").text
    ward.station.mark(identifier, ORAN, State.PROCESSED)
    page = browser.get(f"/s/{id_text(identifier)}").text
    assert "Opened" in page
    assert "CHU-ORAN" in page
    assert "nothing takes it back" not in page


@pytest.mark.parametrize("at_ms", [1 << 53, 1_790_000_000_123_000])
def test_a_node_whose_clock_claims_a_time_without_a_date_spoils_no_page(ward: Ward, at_ms: int) -> None:
    """A receipt says any number of milliseconds: one that signs microseconds must not close the page."""
    identifier = put(ward)
    seq = ward.station.do(lambda c: c.execute(select(tables.outbox.c.seq)).scalar_one())
    claimed = [(seq, ORAN, State.DELIVERED, "", "", at_ms)]
    ward.station.do(lambda c: outbox.add_history(c, claimed))
    signed = receipt_for(ward, identifier, at_ms)
    ward.station.do(lambda c: c.execute(update(outbox_recipients).values(receipt=signed, at_ms=at_ms)))
    for language in ("en", "fr", "ar"):
        browser = ward.browser(Role.CLINICIAN, language)
        for path in (f"/s/{id_text(identifier)}", "/d/cardio/sent", f"/s/{id_text(identifier)}/receipt/0"):
            assert browser.get(path).status_code == 200, path


@pytest.mark.parametrize(("language", "word"), [("fr", "Envoyé"), ("ar", "أُرسلت")])
def test_the_first_step_has_the_word_of_a_step_not_of_the_list(ward: Ward, language: str, word: str) -> None:
    identifier = put(ward)
    page = ward.browser(Role.CLINICIAN, language).get(f"/s/{id_text(identifier)}").text
    assert f"<b>{word}</b>" in page.partition('class="steps"')[2]


def test_a_page_that_follows_a_message_gets_nothing_until_it_moves(ward: Ward) -> None:
    identifier = put(ward)
    browser = ward.browser(Role.CLINICIAN)
    asks = browser.get(f"/s/{id_text(identifier)}").text.partition('hx-get="')[2].partition('"')[0]
    assert browser.get(asks, headers={"HX-Request": "true"}).status_code == 204
    ward.station.mark(identifier, ORAN, State.DELIVERED)
    assert browser.get(asks, headers={"HX-Request": "true"}).status_code == 200


def test_an_answer_ends_the_way_and_begins_no_thread(ward: Ward) -> None:
    """By the key of the order, by the id; and not if it comes from a facility that was never asked."""
    identifier = put(ward, key="order-7")
    answer = oru("X", extra="ORC|RE|order-7.1||order-7\r")
    foreign = ward.arrive(body=answer, sender="accueil@clinique-sud")
    number = ward.arrive(body=answer, sender="labo@chu-oran")
    browser = ward.browser(Role.CLINICIAN)
    browser.get("/d/cardio")
    page = browser.get(f"/s/{id_text(identifier)}").text
    assert "Answered" in page
    assert f"/m/{number}" in page
    assert f"/m/{foreign}" not in page
    assert "Conversation" in browser.get(f"/m/{number}").text
    assert "Conversation" not in browser.get(f"/m/{foreign}").text


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Of each side the newest 200 are shown"),
        ("fr", "De chaque côté, les 200 plus récents sont affichés"),
        ("ar", "تُعرض أحدث 200 من كل جانب"),
    ],
)
def test_of_a_long_conversation_the_newest_are_shown(ward: Ward, language: str, said: str) -> None:
    """Whoever may answer may do so without end: the page does not grow with it, nor does what it asks."""
    identifier = put(ward, key="order-7")
    answer = oru("X", extra="ORC|RE|order-7.1||order-7\r")
    numbers = [ward.arrive(body=answer, sender="labo@chu-oran") for _ in range(THREAD)]
    browser = ward.browser(Role.CLINICIAN, language)
    assert said not in browser.get(f"/s/{id_text(identifier)}").text
    numbers.append(ward.arrive(body=answer, sender="labo@chu-oran"))
    page = browser.get(f"/s/{id_text(identifier)}").text
    conversation = page.partition('aria-labelledby="thread"')[2]
    assert re.findall(r'href="/m/(\d+)"', conversation) == [str(one) for one in numbers[1:]]
    assert said in page
    assert said in browser.get(f"/m/{numbers[0]}").text


def test_a_conversation_holds_nothing_of_another_department_and_reads_by_its_thread(ward: Ward) -> None:
    thread = put(ward, key="order-7")
    put(ward, key="order-8", sender="urgences")
    ward.station.do(lambda c: c.execute(update(sent).values(thread=thread)))

    def look(connection: Connection) -> tuple[list[bytes], list[str]]:
        asked: list[str] = []
        listen(connection, "before_cursor_execute", lambda _c, _u, text, *_: asked.append(text))
        found = store.thread(connection, "cardio", thread)
        mail_store.thread(connection, "cardio", thread)
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", (1,) * one.count("?")).all())
            for one in tuple(asked)
            if "thread" in one and "_recipients" not in one
        ]
        return [one.id for one in found], plans

    found, plans = ward.desk.read(look)
    assert found == [thread]
    assert ["desk_sent_thread" in plans[0], "desk_mail_thread" in plans[1]] == [True, True], plans


def test_a_page_that_follows_a_message_reads_no_conversation_until_it_moves(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = put(ward)
    browser = ward.browser(Role.CLINICIAN)
    asks = browser.get(f"/s/{id_text(identifier)}").text.partition('hx-get="')[2].partition('"')[0]
    for module, name in ((store, "thread"), (mail_store, "thread"), (tracking, "open_files")):
        monkeypatch.setattr(module, name, None)
    assert browser.get(asks, headers={"HX-Request": "true"}).status_code == 204


@pytest.mark.parametrize(
    ("state", "code", "after_s", "word"),
    [
        (State.QUEUED, "", 300, "has no connection to the hub"),
        (State.ACCEPTED, "", 1_000, "has not taken it"),
        (State.DELAYED, "recipient-offline", 1, "is offline, as the hub said"),
        (State.DELAYED, "something-new", 1, "has not taken it"),
        (State.DELIVERED, "", 90_000, "Nobody has opened it there"),
    ],
)
def test_what_is_late_says_why(ward: Ward, state: State, code: str, after_s: int, word: str) -> None:
    identifier = put(ward)
    if state is not State.QUEUED:
        ward.station.mark(identifier, ORAN, state, code=code)
    browser = ward.browser(Role.CLINICIAN)
    if after_s > 1:
        assert word not in browser.get("/d/cardio/sent").text
    ward.station.time.advance(after_s)
    browser = ward.browser(Role.CLINICIAN)
    for path in ("/d/cardio/sent", f"/s/{id_text(identifier)}", "/d/cardio/day"):
        assert word in browser.get(path).text, path


@pytest.mark.parametrize(("kind", "by"), [("MDM^T02", "clinician"), ("REF^I12", ""), ("ORU^R01", "")])
def test_what_may_be_another_kind_is_not_sent_again(ward: Ward, kind: str, by: str) -> None:
    """A discharge letter is an MDM as advice is; what a hospital system sent is nobody's of the desk."""
    one = id_text(put(ward, kind=kind, by=by))
    role = Role.PHARMACY if by else Role.SECRETARY
    someone = ward.browser(role)
    assert someone.get(f"/s/{one}").status_code == 200
    for what in ("again", "recall"):
        answer = someone.post(f"/s/{one}/{what}", {"to": "cardio@chu-oran", "nonce": "1"})
        assert answer.status_code == 403, what
    assert len(ward.station.sent()) == 1
    assert ward.browser(Role.CLINICIAN).post(f"/s/{one}/recall", {}).status_code == 303


def test_views_of_what_was_sent(ward: Ward) -> None:
    going, opened, back = put(ward), put(ward), put(ward)
    ward.station.mark(opened, ORAN, State.PROCESSED)
    ward.station.mark(back, ORAN, State.RETURNED, code="unknown-mailbox")
    browser = ward.browser(Role.CLINICIAN)
    for view, expected in {
        "all": {going, opened, back},
        "going": {going},
        "back": {back},
        "waiting": set(),
    }.items():
        page = browser.get(f"/d/cardio/sent?view={view}").text
        assert {one for one in (going, opened, back) if id_text(one) in page} == expected, view
    assert "has no such department" in browser.get(f"/s/{id_text(back)}").text
    assert id_text(going) in browser.get("/d/cardio/sent?q=avis").text
    assert id_text(going) not in browser.get("/d/cardio/sent?q=nothing").text


def test_what_was_sent_goes_on_where_the_page_ended(ward: Ward) -> None:
    sent = [id_text(put(ward)) for _ in range(store.LISTED + 3)]
    browser = ward.browser(Role.CLINICIAN)
    first = browser.get("/d/cardio/sent").text
    older = re.findall(r'href="([^"]+)" rel="next"', first)[0].replace("&amp;", "&")
    rest = browser.get(older).text
    assert [one for one in sent if (one in first) == (one in rest)] == []
    assert rest.count("/s/") == 3


def test_what_other_doors_send_is_followed_too(ward: Ward) -> None:
    identifier = put(ward, by="")
    page = ward.browser(Role.CLINICIAN).get(f"/s/{id_text(identifier)}").text
    assert "another system of this facility" in page


def test_sent_again_it_has_the_same_content_and_files(ward: Ward) -> None:
    content = bytes(range(256)) * 1_000
    first = put(ward, content=content)
    browser = ward.browser(Role.CLINICIAN)
    form = {"to": ORAN, "nonce": "1"}
    answer = browser.post(f"/s/{id_text(first)}/again", form)
    assert browser.post(f"/s/{id_text(first)}/again", form).location == answer.location, (
        "one click, one message"
    )
    second = bytes.fromhex(answer.location.rpartition("/")[2].replace("-", ""))
    assert second != first
    assert ward.station.body_of(second) == ward.station.body_of(first)
    files_of = ward.desk.read(lambda c: [tracking.open_files(c, one) for one in (first, second)])
    assert files_of[0] == files_of[1]
    assert len(ward.station.sent()) == 2
    assert browser.post(f"/s/{id_text(first)}/again", {"to": "labo@chu-oran"}).status_code == 422
    for path in (ward.desk.home / "outgoing").iterdir():
        path.unlink()
    gone = browser.post(f"/s/{id_text(first)}/again", {"to": ORAN, "nonce": "2"})
    assert gone.status_code == 422
    assert "does not have its files" in gone.text


def test_a_full_disk_sends_nothing_again_and_says_so(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is no room from the beginning, or it ends while files are sealed."""
    first = id_text(put(ward, content=b"x" * 1_000))
    browser = ward.browser(Role.CLINICIAN)
    with monkeypatch.context() as full:
        full.setattr("nodes.link.files.free_bytes", lambda _home: 0)
        answers = [browser.post(f"/s/{first}/again", {"to": ORAN, "nonce": "1"})]
    with monkeypatch.context() as full:
        full.setattr(files, "prepare", out_of_room)
        answers.append(browser.post(f"/s/{first}/again", {"to": ORAN, "nonce": "1"}))
    for answer in answers:
        assert answer.status_code == 422
        assert "The disk of this node is too full to take it." in answer.text
    assert len(ward.station.sent()) == 1


def test_it_is_taken_back_only_while_it_certainly_is_here(ward: Ward) -> None:
    here, gone = put(ward), put(ward)
    browser = ward.browser(Role.CLINICIAN)
    assert "can still be taken back" in browser.get(f"/s/{id_text(here)}").text
    assert browser.post(f"/s/{id_text(here)}/recall", {}).status_code == 303
    sent = ward.desk.read(lambda c: tracking.find(c, here))
    assert (sent.state, sent.reason) == (State.RETURNED, "recalled")
    assert browser.post(f"/s/{id_text(here)}/recall", {}).status_code == 422
    # The daemon has a session: whatever is queued may be at the hub already.
    ward.station.do(facts.session_began)
    assert "can still be taken back" not in browser.get(f"/s/{id_text(gone)}").text
    assert browser.post(f"/s/{id_text(gone)}/recall", {}).status_code == 422
    ward.station.do(facts.session_ended)
    assert browser.post(f"/s/{id_text(gone)}/recall", {}).status_code == 422, (
        "it may have left in that session"
    )
    assert ward.desk.read(lambda c: tracking.find(c, gone)).state is State.QUEUED


def test_a_signed_receipt_is_printed_with_the_receipt_in_it(ward: Ward) -> None:
    identifier = put(ward)
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/s/{id_text(identifier)}/receipt/0").status_code == 404
    signed = receipt_for(ward, identifier, ward.desk.clock.now_ms())
    ward.station.do(lambda c: c.execute(update(outbox_recipients).values(receipt=signed)))
    answer = browser.get(f"/s/{id_text(identifier)}/receipt/0")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    pieces = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", answer.data, re.DOTALL)
    told = b"".join(zlib.decompressobj().decompress(one) if one[:1] == b"x" else one for one in pieces)
    assert id_text(identifier).encode() in told
    assert b"signed_receipt" in told
    assert browser.get(f"/s/{id_text(identifier)}/receipt/1").status_code == 404
    lines = ward.desk.read(lambda c: audit.page(c, audit.Wanted(action="receipt.")))
    assert len(lines) == 1


def test_another_departments_messages_are_not_found(ward: Ward) -> None:
    identifier = id_text(put(ward, sender="labo", by="laboratory"))
    for role in (Role.CLINICIAN, Role.NURSE, Role.SECRETARY):
        browser = ward.browser(role)
        assert browser.get(f"/s/{identifier}").status_code == 404
        assert browser.get(f"/s/{identifier}/receipt/0").status_code == 404
        assert browser.post(f"/s/{identifier}/again", {"to": ORAN}).status_code == 404
        assert browser.post(f"/s/{identifier}/recall", {}).status_code == 404
    assert ward.browser(Role.LABORATORY).get(f"/s/{identifier}").status_code == 200
    assert ward.browser(Role.LABORATORY).get("/s/nonsense").status_code == 404


def test_who_is_on_duty(ward: Ward) -> None:
    browser = ward.browser(Role.NURSE)
    browser.post("/d/urgences/duty", {"hours": "8"})
    assert "I am off duty" in browser.get("/d/urgences/day").text
    assert "Dr Nurse" in ward.browser(Role.CLINICIAN).get("/?all=1").text
    ward.station.time.advance(9 * 3_600)
    browser = ward.browser(Role.NURSE)
    assert "I am off duty" not in browser.get("/d/urgences/day").text
    assert browser.post("/d/urgences/duty", {"hours": "999"}).status_code == 303
    assert "I am off duty" not in browser.get("/d/urgences/day").text
    assert browser.get("/d/urgences/day?day=nonsense").status_code == 200
