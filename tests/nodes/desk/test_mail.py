"""What a department sees of its messages, and what opening one means."""

from __future__ import annotations

import re
from functools import partial

import pytest
from sqlalchemy import select, update

from nodes.desk import audit, catching, tables
from nodes.desk.audit import Wanted as Lines
from nodes.desk.mail import store
from nodes.desk.mail.rank import Rank
from nodes.desk.mail.store import After, Wanted
from nodes.desk.roles import Role
from nodes.link.ids import id_text
from nodes.link.tables import inbox, openings
from protocols.link.envelope import State, decode_receipt
from tests.nodes.desk.desks import Ward, oru


def listed(ward: Ward, wanted: Wanted, after: After | None = None) -> list[int]:
    catching.catch_up(ward.desk.engine, ward.desk.home)
    return [one.seq for one in ward.desk.read(lambda c: store.listing(c, wanted, after))]


def test_opening_tells_the_sender_once(ward: Ward) -> None:
    """The first reader's moment is signed by the daemon; the second reading is audited and tells nobody."""
    number = ward.arrive()
    before = ward.station.inbox_row(number)
    assert before.state == State.DELIVERED
    page = ward.browser(Role.CLINICIAN).get(f"/m/{number}")
    assert page.status_code == 200
    assert "BENSAMPLE" in page.text
    assert f">{id_text(before.id)}<" in page.text, "its sender reads the same reference"
    opened_ms = ward.desk.clock.now_ms()
    ward.station.time.advance(60)
    assert ward.conclude() == 1
    row = ward.station.inbox_row(number)
    assert (row.state, row.concluded_ms) == (State.PROCESSED, opened_ms)
    (receipt,) = ward.station.receipts()
    signed, _ = decode_receipt(receipt.receipt)
    assert (signed.state, signed.at_ms, signed.message_id) == (State.PROCESSED, opened_ms, row.id)
    assert ward.browser(Role.SECRETARY).get(f"/m/{number}").status_code == 200
    assert ward.conclude() == 0
    assert len(ward.station.receipts()) == 1
    lines = ward.desk.read(lambda c: audit.page(c, Lines(subject=id_text(row.id))))
    assert [(line.actor, line.action) for line in lines] == [
        ("user:secretary", "message.read"), ("user:clinician", "message.opened"),
    ]  # fmt: skip
    assert ward.desk.read(audit.verify) == ""


def untouched(ward: Ward, number: int) -> bool:
    """Return whether nobody has opened a message, as far as mail, receipts and journal say."""
    one = ward.desk.read(lambda c: store.find(c, number))
    lines = ward.desk.read(lambda c: audit.page(c, Lines(subject=id_text(ward.station.inbox_row(number).id))))
    asked = ward.desk.read(lambda c: c.execute(select(openings)).all())
    return one is not None and one.opened_ms is None and not lines and not asked


@pytest.mark.parametrize("there", [oru("BENSAMPLF"), None], ids=["rotted", "gone"])
def test_what_cannot_be_read_is_not_opened(ward: Ward, there: bytes | None) -> None:
    """The sender is told *processed* of nothing that the page could not show."""
    path = ward.desk.home / "body"
    path.write_bytes(oru("BENSAMPLE"))
    number = ward.station.receive(oru("BENSAMPLE"), recipient="cardio@chu-alger", body_path="body")
    browser = ward.browser(Role.CLINICIAN)
    browser.get("/d/cardio")
    if there is None:
        path.unlink()
    else:
        path.write_bytes(there)
    assert browser.get(f"/m/{number}").status_code == 500
    assert untouched(ward, number)
    path.write_bytes(oru("BENSAMPLE"))
    assert browser.get(f"/m/{number}").status_code == 200
    assert not untouched(ward, number)


def test_a_page_that_cannot_be_made_opens_nothing(ward: Ward) -> None:
    """However it fails: what is signed is that somebody had the message before him."""
    number = ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    browser.get("/d/cardio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ward.app.jinja_env.globals, "kind_word", None)
        assert browser.get(f"/m/{number}").status_code == 500
        assert untouched(ward, number)
    page = browser.get(f"/m/{number}")
    assert page.status_code == 200
    assert "Dr Clinician" in page.text, "who opened it just now"
    assert not untouched(ward, number)


def test_the_head_of_a_page_opens_nothing(ward: Ward) -> None:
    number = ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    browser.get("/d/cardio")
    assert browser.client.head(f"/m/{number}", base_url=browser.base).status_code == 405
    assert untouched(ward, number)


@pytest.mark.parametrize(
    "led",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Dest": "iframe"},
    ],
    ids=str,
)
def test_another_site_opens_nothing_in_somebodys_name(ward: Ward, led: dict[str, str]) -> None:
    number = ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    answer = browser.get(f"/m/{number}", headers=led)
    assert answer.status_code == 403
    assert "Another page led here" in answer.text
    assert untouched(ward, number)
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
    assert browser.get(f"/m/{number}", headers=own).status_code == 200
    assert not untouched(ward, number)
    assert browser.get(f"/m/{number}", headers=led).status_code == 200, "it is open already"


def test_a_conversation_that_comes_in_one_go_is_one(ward: Ward) -> None:
    """Rows are entered many at a time; what one of them answers may be among the same ones."""
    row = "MSH|^~\\&|labo|chu-oran|cardio|chu-alger|20260101||MDM^T02|{0}|P|2.5\rTXA|1|CN||||||||||{1}|{2}\r"
    alone = ward.arrive(body=row.format(1, "R-0", "").encode(), kind="MDM^T02")
    first = ward.arrive(body=row.format(2, "R-1", "").encode(), kind="MDM^T02")
    named = id_text(ward.station.inbox_row(first).id)
    second = ward.arrive(body=row.format(3, "R-2", named).encode(), kind="MDM^T02")
    third = ward.arrive(
        body=row.format(4, "R-3", id_text(ward.station.inbox_row(second).id)).encode(), kind="MDM^T02"
    )
    assert sorted(listed(ward, Wanted("cardio"))) == [alone, first, second, third]
    threads = {
        seq: one.thread
        for seq in (alone, first, second, third)
        if (one := ward.desk.read(partial(store.find, seq=seq))) is not None
    }
    assert threads[first] == threads[second] == threads[third] != threads[alone]


def test_a_list_opens_nothing(ward: Ward) -> None:
    number = ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get("/d/cardio").status_code == 200
    assert browser.get(f"/m/{number}", headers={"Sec-Purpose": "prefetch"}).status_code == 503
    assert ward.station.do(lambda c: c.execute(select(openings)).all()) == []


def test_what_another_door_took_stays_as_it_is(ward: Ward) -> None:
    number = ward.arrive()
    ward.station.run(ward.station.post.conclude(number, State.PROCESSED, code="api"))
    assert ward.browser(Role.CLINICIAN).get(f"/m/{number}").status_code == 200
    assert ward.conclude() == 0
    assert ward.station.inbox_row(number).code == "api"
    assert len(ward.station.receipts()) == 1


def test_urgent_comes_first_then_the_newest_unread(ward: Ward) -> None:
    first, second = ward.arrive(), ward.arrive()
    urgent = ward.arrive(urgent=True)
    third = ward.arrive()
    other = ward.arrive("urgences", urgent=True)
    assert listed(ward, Wanted("cardio")) == [urgent, third, second, first]
    browser = ward.browser(Role.CLINICIAN)
    browser.get(f"/m/{urgent}")
    browser.get(f"/m/{third}")
    assert listed(ward, Wanted("cardio")) == [second, first, third, urgent]
    assert listed(ward, Wanted("cardio", "unread")) == [second, first]
    assert listed(ward, Wanted("urgences")) == [other]
    counted = ward.desk.read(lambda c: store.counts(c, ["cardio", "urgences", "labo"]))
    assert [(one.unread, one.urgent) for one in counted.values()] == [(2, 0), (1, 1), (0, 0)]


def test_pages_go_on_where_the_last_one_ended(ward: Ward) -> None:
    numbers = [ward.arrive() for _ in range(store.LISTED + 5)]
    browser = ward.browser(Role.CLINICIAN)
    for number in numbers[-3:]:
        browser.get(f"/m/{number}")
    first = listed(ward, Wanted("cardio"))
    assert len(first) == store.LISTED + 1
    last = ward.desk.read(lambda c: store.find(c, first[store.LISTED - 1]))
    assert last is not None
    rest = listed(ward, Wanted("cardio"), After(int(last.rank), last.seq))
    assert sorted(first[: store.LISTED] + rest) == numbers
    assert 'rel="next"' in browser.get("/d/cardio").text


def test_filters_and_search(ward: Ward) -> None:
    one = ward.arrive(body=oru("BENSAMPLE"))
    ward.arrive(sender="accueil@clinique-sud", kind="REF^I12")
    assert listed(ward, Wanted("cardio", text="orientation CLINIQUE")) != [one]
    assert len(listed(ward, Wanted("cardio", text="orientation CLINIQUE"))) == 1
    assert listed(ward, Wanted("cardio", text="100%")) == []
    assert listed(ward, Wanted("cardio", kind="ORU^R01")) == [one]
    assert listed(ward, Wanted("cardio", sender="chu-oran")) == [one]
    assert listed(ward, Wanted("cardio", sender="labo@chu-oran")) == [one]
    assert listed(ward, Wanted("cardio", sender="oran")) == []
    assert listed(ward, Wanted("cardio", with_files=True)) == []
    assert listed(ward, Wanted("cardio", patient="nobody")) == []
    reference = ward.desk.read(lambda c: c.execute(select(inbox.c.id).where(inbox.c.seq == one)).scalar_one())
    assert listed(ward, Wanted("cardio", text=id_text(reference).upper())) == [one]
    number = "0b0e9c1c-9d6b-4a53-8f0e-0f4a4f6d6c11"
    assert listed(ward, Wanted("cardio", text=number)) == []
    ward.station.do(lambda c: c.execute(update(inbox).where(inbox.c.seq == one).values(key=number)))
    assert listed(ward, Wanted("cardio", text=number)) == [one]
    assert listed(ward, Wanted("labo", text=id_text(reference))) == []
    assert listed(ward, Wanted("cardio", text=id_text(reference)[:-1])) == []
    now_ms = ward.desk.clock.now_ms()
    assert len(listed(ward, Wanted("cardio", from_ms=now_ms, before_ms=now_ms + 1))) == 2
    assert listed(ward, Wanted("cardio", from_ms=now_ms + 1)) == []


@pytest.mark.parametrize(
    "query",
    [
        "from=0001-01-01",
        "to=9999-12-31",
        "from=x&to=y",
        "after=9-x",
        "after=3",
        "view=none&kind=%01",
        "q=" + "%F0%9F%98%80" * 50,
    ],
)
def test_odd_questions_get_a_page(ward: Ward, query: str) -> None:
    ward.arrive()
    assert ward.browser(Role.CLINICIAN).get(f"/d/cardio?{query}").status_code == 200


@pytest.mark.parametrize("number", ["0", "99", "9223372036854775808", "99999999999999999999999"])
def test_numbers_of_no_message(ward: Ward, number: str) -> None:
    assert ward.browser(Role.CLINICIAN).get(f"/m/{number}").status_code == 404


def test_several_are_archived_and_come_back(ward: Ward) -> None:
    opened, unopened = ward.arrive(), ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    browser.get(f"/m/{opened}")
    answer = browser.post("/d/cardio/bulk", {"action": "archive", "seq": [opened, unopened]})
    assert answer.location == "/d/cardio?done=left"
    assert "open it first" in browser.get(answer.location).text
    assert listed(ward, Wanted("cardio")) == [unopened]
    assert listed(ward, Wanted("cardio", "archive")) == [opened]
    browser.post("/d/cardio/bulk", {"action": "restore", "seq": [opened]})
    assert listed(ward, Wanted("cardio")) == [unopened, opened]
    assert browser.post("/d/cardio/bulk", {"action": "archive"}).location == "/d/cardio?done=none"
    assert browser.post("/d/cardio/bulk", {"action": "burn", "seq": [opened]}).status_code == 400


def test_a_message_is_given_to_a_colleague_of_the_department(ward: Ward) -> None:
    number = ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    assert listed(ward, Wanted("cardio")) == [number]
    browser.post("/d/cardio/bulk", {"action": "assign", "to": "secretary", "seq": [number]})
    assert listed(ward, Wanted("cardio", "mine", "secretary")) == [number]
    answer = browser.post("/d/cardio/bulk", {"action": "assign", "to": "nurse", "seq": [number]})
    assert answer.location == "/d/cardio?done=no-such-member"
    assert listed(ward, Wanted("cardio", "mine", "secretary")) == [number]
    browser.post(f"/m/{number}/do", {"action": "assign", "to": ""})
    assert listed(ward, Wanted("cardio", "mine", "secretary")) == []


def test_a_bulk_action_reaches_no_other_department(ward: Ward) -> None:
    foreign = ward.arrive("labo")
    ward.browser(Role.LABORATORY).get(f"/m/{foreign}")
    browser = ward.browser(Role.CLINICIAN)
    assert browser.post("/d/cardio/bulk", {"action": "archive", "seq": [foreign]}).status_code == 404
    found = ward.desk.read(lambda c: store.find(c, foreign))
    assert found is not None
    assert found.rank is Rank.OPENED


def test_nothing_new_costs_nothing(ward: Ward) -> None:
    """A page that asks again gets no page until something changed."""
    ward.arrive()
    browser = ward.browser(Role.CLINICIAN)
    page = browser.get("/d/cardio").text
    asks = page.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert browser.get(asks, headers={"HX-Request": "true"}).status_code == 204
    ward.arrive()
    again = browser.get(asks, headers={"HX-Request": "true"})
    assert again.status_code == 200
    assert again.text.count('name="seq"') == 2


@pytest.mark.parametrize(("page", "whose"), [("/d/cardio", "sender"), ("/d/cardio/sent", "recipient")])
def test_a_search_says_what_it_finds(ward: Ward, page: str, whose: str) -> None:
    text = ward.browser(Role.CLINICIAN).get(page).text
    hint = text.partition('id="q-hint">')[2].partition("</div>")[0]
    assert f"the patient’s identifier, the {whose}’s address; or a whole reference" in hint
    assert re.search(r'<input id="q"[^>]*aria-describedby="q-hint', text)


@pytest.mark.parametrize(("count", "said"), [(1, "(1 non lu)"), (2, "(2 non lus)")])
def test_one_unread_message_is_no_plural(ward: Ward, count: int, said: str) -> None:
    for _ in range(count):
        ward.arrive()
    assert said in ward.browser(Role.CLINICIAN, "fr").get("/d/cardio").text


def test_rows_from_before_the_desk_are_caught_up_by_pages(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching, "PAGE", 3)
    numbers = [ward.arrive() for _ in range(8)]
    assert sorted(listed(ward, Wanted("cardio"))) == numbers
    assert sorted(listed(ward, Wanted("cardio"))) == numbers


def test_a_message_without_its_row_takes_the_desks_row_along(ward: Ward) -> None:
    """Retention removes inbox rows; no list may show what is not there any more."""
    number = ward.arrive()
    listed(ward, Wanted("cardio"))
    ward.station.do(lambda c: c.exec_driver_sql(f"DELETE FROM inbox WHERE seq = {number}"))
    assert listed(ward, Wanted("cardio")) == []
    assert ward.station.do(lambda c: c.execute(select(tables.mail)).all()) == []


def test_a_day_by_its_hours(ward: Ward) -> None:
    first = ward.arrive()
    ward.arrive()
    ward.station.time.advance(3_600)
    ward.arrive()
    ward.browser(Role.CLINICIAN).get(f"/m/{first}")
    catching.catch_up(ward.desk.engine, ward.desk.home)
    begins_ms = ward.desk.clock.now_ms() - 2 * store.HOUR_MS
    ends_ms = begins_ms + 24 * store.HOUR_MS
    hours = ward.desk.read(lambda c: store.by_hour(c, "cardio", begins_ms, ends_ms))
    assert hours == {1: (2, 1), 2: (1, 0)}
    assert ward.desk.read(lambda c: store.by_hour(c, "labo", begins_ms, ends_ms)) == {}
