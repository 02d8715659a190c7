"""Pages of reading, over a real desk: what is shown, what never is, who may see it, what is written down."""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from nodes.desk.compose.content import Content
from nodes.desk.compose.writing import Envelope, write
from nodes.desk.roles import Role
from nodes.desk.tables import audit
from nodes.desk.viewing import drawing, papers
from nodes.desk.viewing.history import PLOTS, curves
from nodes.desk.viewing.message import view
from protocols.hl7.build import SegmentFields, build
from protocols.parties import Author, Place
from runtime.web.downloads import DOWNLOADS
from tests.nodes.desk.desks import Browser, Ward, open_ward
from tests.nodes.desk.viewing import laid, messages
from tests.protocols.cda import documents

FILES: Final = (
    ("échographie تقرير.dcm", "application/dicom", laid.scan()),
    ("..\\..\\x.svg", "image/png", laid.HOSTILE_SVG),
    ("lettre.pdf", "text/html", laid.PDF),
    ("photo.png", "text/html", laid.image()),
    ("dossier.zip", "", laid.archive(a__b=b"x", **{"bomb.txt": bytes(2_000_000)})),
    ("note.txt", "", "Tension 12/8 & pouls < 60 é".encode()),
    ("page.pdf", "application/pdf", laid.HOSTILE_HTML),
    ("lettre.xml", "", documents.EVERYTHING),
)
DICOM, SVG, PDF, PNG, ZIP, TEXT, HTML, CDA = range(len(FILES))


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with open_ward(tmp_path_factory.mktemp("ward")) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(ward: Ward) -> Browser:
    return ward.browser(Role.CLINICIAN)


@pytest.fixture(scope="module")
def number(ward: Ward, browser: Browser) -> int:
    """Return a message with a file of every kind, opened."""
    found = laid.lay(ward.station, messages.results(messages.obx(1, "1.42", flag="HH")), *FILES)
    assert browser.get(f"/m/{found}").status_code == 200
    return found


def opened(ward: Ward, browser: Browser, body: bytes, *files: laid.File, kind: str = "ORU^R01") -> str:
    found = laid.lay(ward.station, body, *files, kind=kind)
    page = browser.get(f"/m/{found}")
    assert page.status_code == 200, page.text
    return page.text


def entries(ward: Ward, action: str) -> list[str]:
    query = select(audit.c.details).where(audit.c.action == action).order_by(audit.c.number)
    return list(ward.desk.read(lambda c: c.execute(query).scalars().all()))


def test_a_result_is_read_with_its_patient_above_all(browser: Browser, number: int) -> None:
    page = browser.get(f"/m/{number}").text
    bar = page[page.index('class="identity') :]
    assert page.index("Amine Benali") < page.index("1.42")
    for said in ("أمين بن علي", "12 Apr 1967", "male", messages.NIN, "CHU-ORAN"):
        assert said in bar
    assert "critically high" in page
    assert '<span class="tag bad">critically high</span>' in page, (
        "in words and by a shape, not by colour alone"
    )


@pytest.mark.parametrize(("language", "word"), [("fr", "élevé, critique"), ("ar", "مرتفع وحرج")])
def test_words_of_codes_are_the_readers(ward: Ward, number: int, language: str, word: str) -> None:
    reader = ward.browser(Role.CLINICIAN, language)
    assert word in reader.get(f"/m/{number}").text
    assert reader.get(f"/m/{number}/part/0").status_code == 404


def test_orders_referrals_movements_and_unknown_kinds_are_read(ward: Ward, browser: Browser) -> None:
    order = opened(ward, browser, messages.order(), kind="OML^O21")
    for said in (
        "Glycémie",
        "urgent (STAT)",
        "Diabète connu",
        "Sang total",
        "À jeun",
        "Hémoglobine",
        "new order",
    ):
        assert said in order
    referral = opened(ward, browser, messages.referral(), kind="REF^I12")
    for said in ("waits for an answer", "Dyspnée", "Pr Sara Cherif", "Insuffisance cardiaque", "Pénicilline",
                 "severe", "CARDIO · 204 · 2", "Merci de votre avis"):  # fmt: skip
        assert said in referral
    admission = build(
        messages.msh("ADT^A01"), ("EVN", "", "20260131"), messages.PID, ("PV1", "1", "E", ("URG", "1"))
    )
    assert "emergency" in opened(ward, browser, admission, kind="ADT^A01")
    other = build(messages.msh("ZZZ^Z01"), messages.PID)
    assert "no page of its own" in opened(ward, browser, other, kind="ZZZ^Z01")


def test_earlier_values_of_the_same_person_are_drawn(ward: Ward, browser: Browser) -> None:
    """A number alone does not make two people one: another hospital's 4711 is not ours."""
    person: SegmentFields = (
        "PID",
        "1",
        "",
        [("90001", "", "", "CHU-ORAN", "PI")],
        "",
        ("Mansouri", "Lina"),
        "",
        "19900101",
        "F",
    )
    stranger: SegmentFields = (
        "PID",
        "1",
        "",
        [("90001", "", "", "EPH-X", "PI")],
        "",
        ("Mansouri", "Lina"),
        "",
        "19900101",
        "F",
    )
    younger: SegmentFields = (*person[:7], "20100101", "F")
    for day, value, whom, status in (
        ("01", "0.91", person, "F"), ("02", "7.77", stranger, "F"), ("03", "8.88", younger, "F"),
        ("04", "6.66", person, "W"), ("05", "1.05", person, "F"),
    ):  # fmt: skip
        body = messages.results(messages.obx(1, value, at=f"202601{day}0900", status=status), person=whom)
        browser.get(f"/m/{laid.lay(ward.station, body, patient='90001')}")
    other = laid.lay(
        ward.station, messages.results(messages.obx(1, "5.55", at="202601060900"), person=person),
        patient="90001", recipient="labo@chu-alger",
    )  # fmt: skip
    assert ward.browser(Role.LABORATORY).get(f"/m/{other}").status_code == 200
    body = messages.results(messages.obx(1, "1.20", flag="H", at="202601310900"), person=person)
    page = browser.get(f"/m/{laid.lay(ward.station, body, patient='90001')}").text
    drawn = page[page.index('class="plot') :]
    assert drawn.count("<circle") == 3
    for value in ("0.91", "1.05", "1.20"):
        assert value in drawn
    for value in ("7.77", "8.88", "6.66", "5.55"):
        assert value not in page, "another person's, void, or another department's"


def test_no_curve_shows_a_value_that_nobody_has_opened(ward: Ward, browser: Browser) -> None:
    """Else it would be read without a receipt, without an entry, and by those who may not open it."""
    person: SegmentFields = ("PID", "1", "", [("90002", "", "", "CHU-ORAN", "PI")], "", ("Saidi", "Nour"))
    one, two, three = (
        laid.lay(
            ward.station,
            messages.results(messages.obx(1, value, at=f"2026012{day}0900"), person=person),
            patient="90002",
        )
        for day, value in enumerate(("3.31", "4.42", "5.53"))
    )
    assert browser.get(f"/m/{one}").status_code == 200
    secretary = ward.browser(Role.SECRETARY)
    assert secretary.get(f"/m/{two}").status_code != 200
    assert "4.42" not in secretary.get(f"/m/{one}").text
    shown = browser.get(f"/m/{three}").text
    assert "3.31" in shown, "opened: an earlier value"
    assert "4.42" not in shown
    assert browser.get(f"/m/{two}").status_code == 200
    assert "4.42" in secretary.get(f"/m/{one}").text


@pytest.mark.timeout(120)
def test_many_results_cost_by_their_number(ward: Ward) -> None:
    """Each kind of result was once compared with every result: 100,000 took the better part of an hour."""
    codes = [(f"C-{number}", "x", "L") for number in range(15_000)]
    tests = [("OBX", "1", "NM", code, "", "1", "g/L", "", "", "", "", "F", "", "", "2026") for code in codes]
    found = view(messages.results(*tests))
    drawn = curves(found.parts, "labo@chu-oran", [], ward.desk.home, 60)
    assert drawn == ({},)


def test_a_page_draws_few_curves(ward: Ward, browser: Browser) -> None:
    def tests(day: str) -> list[SegmentFields]:
        return [
            ("OBX", "1", "NM", (f"C-{one}", "x", "L"), "", "1", "g/L", "", "", "", "", "F", "", "", day)
            for one in range(40)
        ]

    for day in ("20260101", "20260102"):
        page = opened(ward, browser, messages.results(*tests(day)))
    assert page.count('class="plot') == PLOTS


def test_a_document_is_shown_in_a_frame_that_can_do_nothing(ward: Ward, browser: Browser) -> None:
    page = opened(ward, browser, messages.document(), kind="MDM^T02")
    found = re.search(r'<iframe class="paper" src="([^"]+)" sandbox ', page)
    assert found is not None
    answer = browser.get(found[1])
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "allow-" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    for said in ("Lettre de sortie", "Selon la famille", "خلاصة", "Dr Nadia Hakimi", "restricted"):
        assert said in answer.text
    assert "about somebody else" not in answer.text


def test_a_document_is_called_as_its_writer_chose_it(ward: Ward) -> None:
    """Above it, before it and in it, in the reader's language; not by the names of code tables."""
    place = Place("chu-oran", "CHU Oran", "labo", "Laboratoire")
    envelope = Envelope(
        UUID(int=7), Author("7", "Dr Hakimi", place), place, datetime(2026, 1, 31, tzinfo=UTC)
    )
    content = Content(
        family="Benali", number="4711", sex="M", born="1967-04-12", subject="Bilan", text="Stable.",
    )  # fmt: skip
    for language, kind, word in (
        ("fr", "file", "Dossier patient"), ("ar", "file", "ملف المريض"), ("en", "file", "Patient file"),
        ("en", "advice", "Advice"), ("en", "discharge", "Discharge letter"), ("en", "referral", "Referral"),
    ):  # fmt: skip
        reader = ward.browser(Role.CLINICIAN, language)
        body = write(replace(content, kind=kind), envelope, ())
        page = opened(ward, reader, body, kind="REF^I12" if kind == "referral" else "MDM^T02")
        assert f"<h2><bdi>{word}</bdi></h2>" in page
        assert (f"<dd><bdi>{word}</bdi></dd>" in page) == (kind != "referral"), "which has no notice"
        [address] = set(re.findall(r'<iframe class="paper" src="([^"]+)"', page))
        assert f"<dd><bdi>{word}</bdi></dd>" in reader.get(address).text


def test_a_document_of_a_hospital_system_is_called_as_that_system_calls_it(
    ward: Ward, browser: Browser
) -> None:
    page = opened(ward, browser, messages.document(), kind="MDM^T02")
    assert "<h2><bdi>Dossier</bdi></h2>" in page
    assert "<dd><bdi>discharge summary</bdi></dd>" in page, "as TXA-2 says"


def test_a_document_about_somebody_else_says_so(ward: Ward, browser: Browser) -> None:
    other = documents.EVERYTHING.replace(b"19670412", b"19800101")
    page = opened(ward, browser, messages.document(other), kind="MDM^T02")
    found = re.search(r'<iframe class="paper" src="([^"]+)"', page)
    assert found is not None
    assert "another date of birth" in browser.get(found[1]).text


def test_a_document_that_is_a_file_offers_it(ward: Ward, browser: Browser) -> None:
    held = documents.file("application/pdf", b64encode(laid.PDF).decode())
    page = opened(ward, browser, messages.document(held), kind="MDM^T02")
    [address] = set(re.findall(r'"(/m/\d+/inpart/0)/keep"', page))
    assert browser.get(f"{address}/keep").data == laid.PDF
    assert browser.get(f"{address}/show").content_type == "application/pdf"


def test_a_body_that_is_no_hl7_is_a_file(ward: Ward, browser: Browser) -> None:
    page = opened(ward, browser, documents.EVERYTHING, kind="file")
    assert re.search(r'<iframe class="paper" src="/m/\d+/body/0/show" sandbox', page)
    assert "cannot be shown" in opened(ward, browser, b"hello there", kind="ORU^R01")
    assert "Attachments" in opened(ward, browser, b"", FILES[PDF], kind="file")


@pytest.mark.parametrize("index", [SVG, HTML])
def test_what_a_browser_would_run_is_only_ever_kept(browser: Browser, number: int, index: int) -> None:
    """Whatever its name and its sender say."""
    assert browser.get(f"/m/{number}/file/{index}/show").status_code == 404
    page = browser.get(f"/m/{number}/file/{index}")
    assert (page.status_code, page.location) == (303, f"/m/{number}/file/{index}/keep")


@pytest.mark.parametrize("index", range(len(FILES)))
def test_a_file_that_is_kept_is_bound(browser: Browser, number: int, index: int) -> None:
    answer = browser.get(f"/m/{number}/file/{index}/keep")
    assert answer.data == FILES[index][2]
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "\\" not in answer.headers["Content-Disposition"]


def test_images_are_drawn_anew(browser: Browser, number: int) -> None:
    for index in (PNG, DICOM):
        answer = browser.get(f"/m/{number}/file/{index}/show")
        assert answer.content_type in {"image/png", "image/jpeg"}
        assert answer.data not in FILES[index][2]
        assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


def test_a_pdf_is_shown_by_the_browsers_viewer_alone(browser: Browser, number: int) -> None:
    answer = browser.get(f"/m/{number}/file/{PDF}/show")
    assert (answer.content_type, answer.data) == ("application/pdf", laid.PDF)
    assert answer.headers["Content-Disposition"].startswith("inline; filename=")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_pages_of_files(browser: Browser, number: int) -> None:
    scan = browser.get(f"/m/{number}/file/{DICOM}").text
    for said in ("Thorax", "(0008,1030)", "Study Description", "no diagnostic display", "16 × 8"):
        assert said in scan
    archive = browser.get(f"/m/{number}/file/{ZIP}").text
    assert "a-b" in archive
    assert "may be a trap" in archive
    note = browser.get(f"/m/{number}/file/{TEXT}").text
    assert "12/8 &amp; pouls &lt; 60 é" in note
    assert "Whole page" in browser.get(f"/m/{number}/file/{CDA}").text
    fields = browser.get(f"/m/{number}/fields").text
    assert "PID-3.1.1" in fields


def test_a_scan_of_somebody_else_says_so(ward: Ward, browser: Browser) -> None:
    other = ("x.dcm", "", laid.scan(PatientBirthDate="19800101"))
    seq = laid.lay(ward.station, messages.results(messages.obx(1, "1")), other)
    browser.get(f"/m/{seq}")
    assert "another date of birth" in browser.get(f"/m/{seq}/file/0").text


def test_parts_of_a_file_are_sent_on_demand(browser: Browser, number: int) -> None:
    whole = FILES[ZIP][2]
    address = f"/m/{number}/file/{ZIP}/keep"
    part = browser.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, whole[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    tail = browser.get(address, headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.data) == (206, whole[-5:])
    assert browser.get(address, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    again = browser.get(address, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (again.status_code, again.data) == (200, whole)
    tag = part.headers["ETag"]
    assert browser.get(address, headers={"Range": "bytes=0-0", "If-Range": tag}).data == whole[:1]
    assert browser.get(address, headers={"Range": "bytes=0-1,5-6"}).status_code == 200


def test_the_pictures_of_a_document_take_only_so_long_together(
    ward: Ward, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "import time; time.sleep(0.3); from nodes.desk.viewing import painter; painter.main()"
    monkeypatch.setattr(drawing, "_PAINTER", (sys.executable, "-P", "-c", slow))
    monkeypatch.setattr(papers, "PICTURES_S", 0.5)
    held = b64encode(laid.image()).decode()
    media = "".join(
        f"<entry><observationMedia ID='p{n}'><value mediaType='image/png' representation='B64'>{held}</value>"
        "</observationMedia></entry>"
        for n in range(4)
    )
    named = "".join(f"<renderMultiMedia referencedObject='p{n}'/>" for n in range(4))
    paper = documents.document(f"<text>{named}</text>{media}")
    seq = laid.lay(ward.station, messages.results(messages.obx(1, "1")), ("lettre.xml", "", paper))
    browser.get(f"/m/{seq}")
    page = browser.get(f"/m/{seq}/file/0/show").text
    shown, left = page.count('src="data:image/'), page.count("it is in the document, to be downloaded")
    assert shown <= 1
    assert shown + left == 4


def test_a_file_is_handed_to_the_server_which_sends_it_as_it_is_read(browser: Browser, number: int) -> None:
    whole = FILES[ZIP][2]
    for asked, status, first, size in (("", 200, 0, len(whole)), ("bytes=10-19", 206, 10, 10)):
        given: list[tuple[BinaryIO, int, int]] = []
        answer = browser.get(
            f"/m/{number}/file/{ZIP}/keep",
            headers={"Range": asked} if asked else {},
            environ_overrides={DOWNLOADS: lambda *one, given=given: given.append(one)},
        )
        assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (status, b"", str(size))
        ((file, *span),) = given
        with file:
            assert (file.read(), span) == (whole, [first, size])


def test_a_file_that_is_not_what_arrived_is_not_sent(ward: Ward, browser: Browser) -> None:
    seq = laid.lay(ward.station, messages.results(messages.obx(1, "1")), FILES[PNG], FILES[TEXT])
    browser.get(f"/m/{seq}")
    assert browser.get(f"/m/{seq}/file/0/keep").status_code == 200
    newest = max((ward.desk.home / "incoming").glob("*-0"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"\x89PNG\r\n\x1a\nsomething else")
    assert browser.get(f"/m/{seq}/file/0/keep").status_code == 500
    assert browser.get(f"/m/{seq}/file/1/keep").status_code == 200


def test_each_look_is_written_down_and_a_continued_download_is_none(ward: Ward, number: int) -> None:
    reader = ward.browser(Role.CLINICIAN)
    before = len(entries(ward, "file.downloaded"))
    reader.get(f"/m/{number}/file/{ZIP}/keep")
    reader.get(f"/m/{number}/file/{ZIP}/keep", headers={"Range": "bytes=0-9"})
    reader.get(f"/m/{number}/file/{ZIP}/keep", headers={"Range": "bytes=10-"})
    found = entries(ward, "file.downloaded")[before:]
    assert len(found) == 2
    assert "dossier.zip" in found[0]
    before = len(entries(ward, "file.shown"))
    reader.get(f"/m/{number}/file/{PNG}")
    reader.get(f"/m/{number}/file/{PNG}/show")
    assert len(entries(ward, "file.shown")) == before + 2


@pytest.mark.parametrize(
    "asked", ["bytes=00-", "bytes=1-1,0-", "bytes=1-", "bytes=5-4", "bytes=-9999999", "items=5-"]
)
def test_no_way_of_asking_leaves_a_download_out(ward: Ward, number: int, asked: str) -> None:
    """A range continues only what the same person began today, of the same file."""
    reader = ward.browser(Role.CLINICIAN)
    seq = laid.lay(ward.station, messages.results(messages.obx(1, "1")), FILES[ZIP], FILES[ZIP])
    reader.get(f"/m/{seq}")
    before = len(entries(ward, "file.downloaded"))
    reader.get(f"/m/{seq}/file/0/keep", headers={"Range": asked})
    assert len(entries(ward, "file.downloaded")) == before + 1
    reader.get(f"/m/{seq}/file/0/keep", headers={"Range": "bytes=10-"})
    assert len(entries(ward, "file.downloaded")) == before + 1
    reader.get(f"/m/{seq}/file/0/keep", headers={"Range": "bytes=10-", "If-Range": '"another"'})
    reader.get(f"/m/{seq}/file/1/keep", headers={"Range": "bytes=10-"})
    assert len(entries(ward, "file.downloaded")) == before + 3
    before = len(entries(ward, "file.shown"))
    reader.get(f"/m/{seq}/file/0", headers={"Range": "bytes=7-"})
    reader.get(f"/m/{seq}/file/0", headers={"Range": "bytes=7-"})
    assert len(entries(ward, "file.shown")) == before + 2


ADDRESSES: Final = ("fields", "file/0", "file/0/show", "file/0/keep", "part/0", "body/0/keep")


@pytest.mark.parametrize("address", ADDRESSES)
def test_another_department_has_no_such_file(ward: Ward, number: int, address: str) -> None:
    assert ward.browser(Role.LABORATORY).get(f"/m/{number}/{address}").status_code == 404
    assert ward.browser(Role.ADMINISTRATOR).get(f"/m/{number}/{address}").status_code == 403
    stranger = ward.browser().get(f"/m/{number}/{address}")
    assert (stranger.status_code, stranger.location[:9]) == (303, "/sign-in?")


def test_nothing_of_a_message_is_seen_before_it_is_opened(ward: Ward, browser: Browser) -> None:
    seq = laid.lay(ward.station, messages.results(messages.obx(1, "1")), FILES[PNG])
    browser.get("/d/cardio")
    for address in ("fields", "file/0", "file/0/show", "file/0/keep"):
        assert browser.get(f"/m/{seq}/{address}").status_code == 404


@pytest.mark.parametrize(
    "address",
    ["file/99/keep", "file/-1/keep", "part/0/keep", "infile/0/keep", "body/1", "file/99999999999999999999"],
)
def test_files_that_are_not_there(browser: Browser, number: int, address: str) -> None:
    assert browser.get(f"/m/{number}/{address}").status_code == 404


def test_a_damaged_scan_is_a_file_to_keep(ward: Ward, browser: Browser) -> None:
    seq = laid.lay(
        ward.station, messages.results(messages.obx(1, "1")), ("x.dcm", "", laid.scan()[:400]),
        ("x.png", "", laid.image()[:40]), ("x.zip", "", b"PK\x03\x04" + bytes(90)),
    )  # fmt: skip
    browser.get(f"/m/{seq}")
    for index in range(3):
        assert browser.get(f"/m/{seq}/file/{index}").status_code == 200
        assert browser.get(f"/m/{seq}/file/{index}/show").status_code == 404
        assert browser.get(f"/m/{seq}/file/{index}/keep").status_code == 200


def test_the_corpus_of_real_messages_is_shown(ward: Ward, browser: Browser) -> None:
    corpus = Path(__file__).parents[5] / "shared" / "corpus" / "er7-derived-arabic"
    if not corpus.is_dir():
        pytest.skip("../shared/corpus is absent")
    for path in sorted(corpus.iterdir()):
        assert 'class="identity' in opened(ward, browser, path.read_bytes(), kind="ADT^A01")


@pytest.mark.parametrize("element", ["p", "li[dir]", "li > bdi", "th", "td", "caption"])
def test_a_line_of_a_document_finds_its_own_direction(element: str) -> None:
    """Where the style leaves that to the paragraph, a plus behind a word stands before it."""
    [rule] = re.findall(r"\.text :is\(([^)]*)\)[^{}]*\{[^{}]*unicode-bidi: plaintext", papers.STYLE)
    assert element in rule.split(", ")
