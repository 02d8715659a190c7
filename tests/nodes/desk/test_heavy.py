"""Large files at once: they leave threads to everybody else, and nobody waits for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from werkzeug.test import TestResponse

from nodes.desk import heavy
from nodes.desk.roles import Role
from nodes.desk.viewing import drawing
from nodes.link import files, inbox
from nodes.link.files import Prepared
from nodes.link.inbox import ReceivedFile
from runtime.web.process import THREADS
from tests.nodes.desk.composing import Uploading, begun, sent, written
from tests.nodes.desk.desks import Ward
from tests.nodes.desk.test_sent import ORAN, put
from tests.nodes.desk.viewing import laid, messages

SAID = "Too many large files are being read just now"
Ask = Callable[[], TestResponse]


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "BYTES", 1)
    monkeypatch.setattr(heavy, "WAIT_S", 0.2)


@pytest.fixture
def going() -> Iterator[Event]:
    """Yield what ends a reading that takes long; set when the test is over."""
    event = Event()
    yield event
    event.set()


@pytest.fixture
def busy() -> Iterator[None]:
    """Have as many large files read as may be at once."""
    for _ in range(heavy.AT_ONCE):
        assert heavy.HEAVY.acquire(blocking=False)
    yield
    for _ in range(heavy.AT_ONCE):
        heavy.HEAVY.release()


def test_large_files_leave_threads_to_everybody_else(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, going: Event
) -> None:
    """The watchdog's question is one of the others: without an answer systemd ends the desk."""
    real = inbox.file_pieces

    def slow(file: ReceivedFile, home: Path) -> Iterator[bytes]:
        assert going.wait(60)
        yield from real(file, home)

    many = [(f"{n}.bin", "", f"scan {n}".encode()) for n in range(THREADS)]
    number = laid.lay(ward.station, messages.results(messages.obx(1, "1.42")), *many)
    browsers = [ward.browser(Role.CLINICIAN) for _ in range(THREADS + 1)]
    assert browsers[0].get(f"/m/{number}").status_code == 200
    monkeypatch.setattr(inbox, "file_pieces", slow)

    def asks(n: int, end: str) -> Ask:
        return lambda: browsers[n].get(f"/m/{number}/file/{n}/{end}")

    with ThreadPoolExecutor(THREADS) as pool:
        asked: list[Future[TestResponse]] = [pool.submit(asks(n, "keep")) for n in range(THREADS)]
        try:
            another = pool.submit(lambda: browsers[THREADS].get("/d/cardio"))
            assert another.result(20).status_code == 200
            refused = THREADS - heavy.AT_ONCE
            early = [one.result() for one in islice(as_completed(asked, 20), refused)]
        finally:
            going.set()
        answers = [one.result(20) for one in asked]
    assert [one.status_code for one in early] == [503] * refused
    assert sorted(one.status_code for one in answers) == [200] * heavy.AT_ONCE + [503] * refused
    for one in answers:
        assert (one.status_code == 503) == (SAID in one.text) == ("Retry-After" in one.headers)
    assert [asks(n, "keep")().status_code for n in range(THREADS)] == [200] * THREADS


def test_pictures_leave_a_thread_to_everybody_else(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, going: Event
) -> None:
    """A browser asks for six at once and has them all; one that there is no turn for may be asked again."""
    real = drawing._paint

    def slow(*given: Any) -> None:
        assert going.wait(60)
        real(*given)

    monkeypatch.setattr(drawing, "ROOM_S", 60)
    monkeypatch.setattr(heavy, "BYTES", 1 << 30)
    number = laid.lay(ward.station, messages.results(), ("a.png", "", laid.image()))
    browsers = [ward.browser(Role.CLINICIAN) for _ in range(THREADS + 1)]
    assert browsers[0].get(f"/m/{number}").status_code == 200
    monkeypatch.setattr(drawing, "_paint", slow)

    def asks(n: int) -> Ask:
        return lambda: browsers[n].get(f"/m/{number}/file/0/show")

    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(asks(n)) for n in range(THREADS)]
        try:
            another = pool.submit(lambda: browsers[THREADS].get("/d/cardio"))
            assert another.result(20).status_code == 200
            refused = next(as_completed(asked, 20)).result()
        finally:
            going.set()
        answers = [one.result(60) for one in asked]
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, str(heavy.RETRY_AFTER_S))
    assert "Too many pictures are being drawn" in refused.text
    assert sorted(one.status_code for one in answers) == [200] * (THREADS - 1) + [503]
    assert asks(0)().status_code == 200


@pytest.mark.usefixtures("busy")
def test_a_file_that_was_read_needs_no_turn_again(ward: Ward) -> None:
    """So a viewer's range requests go on; one that is refused says why also within its frame."""
    number = laid.lay(ward.station, messages.results(), ("a.pdf", "", laid.PDF), ("b.pdf", "", laid.PDF))
    browser = ward.browser(Role.CLINICIAN)
    assert browser.get(f"/m/{number}").status_code == 200
    heavy.HEAVY.release()
    assert browser.get(f"/m/{number}/file/0/show").status_code == 200
    assert heavy.HEAVY.acquire(blocking=False)
    part = browser.get(f"/m/{number}/file/0/show", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.data) == (206, laid.PDF[5:10])
    refused = browser.get(f"/m/{number}/file/1/show")
    assert (refused.status_code, refused.headers["X-Frame-Options"]) == (503, "SAMEORIGIN")
    assert refused.mimetype == "text/plain"
    assert SAID in refused.text
    assert SAID in browser.get(f"/m/{number}/file/1").text


def test_what_is_sent_waits_for_a_turn_only_with_files(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    writer = ward.browser(Role.CLINICIAN)
    empty, full, unfinished = written(writer), written(writer), begun(writer)
    assert Uploading(writer, full, "a.bin", b"scan").all().status_code == 204
    upload = Uploading(writer, unfinished, "b.bin", b"scan")
    assert upload.piece(0).status_code == 204
    before = put(ward, content=b"scan")
    number = laid.lay(ward.station, messages.results(), ("c.bin", "", b"scan"))
    assert writer.get(f"/m/{number}").status_code == 200
    sealed: list[int] = []
    real = files.prepare

    def counted(home: Path, body: bytes, sources: Any = (), **options: Any) -> Prepared:
        sealed.append(len(sources))
        return real(home, body, sources, **options)

    monkeypatch.setattr(files, "prepare", counted)
    request.getfixturevalue("busy")
    assert sent(writer, empty).status_code == 303
    again = writer.post(f"/s/{before.hex()}/again", {"to": ORAN, "nonce": "1"})
    for answer in (sent(writer, full), again, writer.post("/compose", {"forward": str(number)})):
        assert (answer.status_code, SAID in answer.text) == (422, True)
    finished = upload.finish()
    assert (finished.status_code, finished.headers["Retry-After"]) == (503, str(heavy.RETRY_AFTER_S))
    assert sealed == [0]
    for _ in range(heavy.AT_ONCE):
        heavy.HEAVY.release()
    assert upload.finish().status_code == 204
    assert sent(writer, full).status_code == 303
    for _ in range(heavy.AT_ONCE):
        assert heavy.HEAVY.acquire(blocking=False)
