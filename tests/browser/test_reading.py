"""Reading in Chromium: hostile attachments do nothing, images and documents are seen; no script is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from nodes.desk.roles import Role
from nodes.desk.viewing.papers import STYLE
from protocols.cda.document import read
from protocols.cda.render import Labels, narrative
from tests.browser.day import TRAPS
from tests.browser.served import CHROMIUM
from tests.nodes.desk.desks import PASSWORD
from tests.protocols.cda.documents import document

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

    from tests.browser.served_desk import Served

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

SETTLED_MS: Final = 400
SHEET: Final = (Path(__file__).parents[2] / "runtime/web/static/wasl.css").read_text(encoding="utf-8")
VIEWER: Final = ("chrome:", "chrome-extension:", "blob:chrome-extension:")
"""Where Chromium's own viewer of PDF files comes from."""


@dataclass
class Watched:
    """What a browser did that it should not."""

    outside: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def reader(chromium: Browser, desk: Served) -> Iterator[BrowserContext]:
    """Return a browser in which a clinician is signed in and has opened every message."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{desk.address}/sign-in")
    page.fill("#name", str(Role.CLINICIAN))
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda address: "/sign-in" not in address)
    for number in (desk.day.trap, desk.day.evil, desk.day.document, desk.day.held):
        page.goto(f"{desk.address}/m/{number}")
    page.close()
    yield context
    context.close()


@pytest.fixture
def watched(reader: BrowserContext, desk: Served) -> Watched:
    """Return what the browser does from now on that no page may make it do."""
    seen = Watched()

    def on_request(address: str) -> None:
        own = (desk.address, "data:image/", *VIEWER)
        if not address.startswith(own):
            seen.outside.append(address)

    def on_dialog(dialog: object) -> None:
        seen.dialogs.append(str(dialog))
        dialog.dismiss()  # type: ignore[attr-defined]  # Playwright's, which is imported for types only

    reader.on("request", lambda request: on_request(request.url))
    reader.on("dialog", on_dialog)
    return seen


def _look(page: Page, address: str) -> None:
    """Open a page with its frames and images, and leave a script the time to do its worst."""
    page.goto(address)
    page.wait_for_timeout(SETTLED_MS)


def test_hostile_attachments_do_nothing(reader: BrowserContext, desk: Served, watched: Watched) -> None:
    """No request elsewhere, no dialog, no script: on the message's page, on each file's, and by itself."""
    page = reader.new_page()
    base = f"{desk.address}/m/{desk.day.trap}"
    _look(page, base)
    for index in range(len(TRAPS)):
        answer = reader.request.get(f"{base}/file/{index}/show")
        if answer.status == 200:
            assert answer.headers["content-type"].split(";")[0] in {
                "text/html", "application/pdf", "image/png", "image/jpeg",
            }  # fmt: skip
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        if reader.request.get(f"{base}/file/{index}", max_redirects=0).status == 200:
            _look(page, f"{base}/file/{index}")
    for number in (desk.day.evil, desk.day.held, desk.day.document):
        _look(page, f"{desk.address}/m/{number}")
    assert watched == Watched()
    page.close()


def test_a_hostile_document_is_text_even_by_itself(
    reader: BrowserContext, desk: Served, watched: Watched
) -> None:
    page = reader.new_page()
    _look(page, f"{desk.address}/m/{desk.day.evil}/part/0/show")
    assert "alert(1)" in page.inner_text("main")
    assert page.locator("script, iframe, form, svg, link, object, embed, base, meta[http-equiv]").count() == 0
    assert page.evaluate("document.querySelectorAll('[onclick],[onerror],[onload],[style]').length") == 0
    assert page.evaluate("self.origin") == "null", "it has an origin of its own"
    for link in page.locator("main a").all():
        assert (link.get_attribute("href") or "").startswith("#")
    assert watched == Watched()
    page.close()


def test_what_is_kept_is_downloaded_under_a_harmless_name(reader: BrowserContext, desk: Served) -> None:
    page = reader.new_page()
    page.goto(f"{desk.address}/m/{desk.day.trap}")
    names = []
    for index in range(len(TRAPS)):
        with page.expect_download() as coming:
            page.click(f"a[href$='/file/{index}/keep']")
        names.append(coming.value.suggested_filename)
    assert names == [
        "x.svg.download", "page.pdf", "form.pdf", "evil.xml", "scanmcd.exe.download", "photo.html.download",
        "archive.zip", "note.html.download",
    ]  # fmt: skip
    page.close()


def test_images_scans_and_frames_are_seen(reader: BrowserContext, desk: Served) -> None:
    page = reader.new_page()
    base = f"{desk.address}/m/{desk.day.trap}/file"
    for index in (4, 5):
        page.goto(f"{base}/{index}")
        image = page.locator(".picture img")
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    _look(page, f"{desk.address}/m/{desk.day.document}")
    frame = page.frame_locator("iframe.paper")
    assert "Selon la famille" in frame.locator("main").inner_text()
    page.close()


@pytest.mark.parametrize("early", [False, True])
def test_a_picture_without_a_turn_is_asked_for_again(
    reader: BrowserContext, desk: Served, early: bool
) -> None:
    """Whether it fails after the page's scripts began, or before; one that is damaged is not."""
    from playwright.sync_api import expect  # noqa: PLC0415 - only where it is installed

    page, asked = reader.new_page(), []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=503, content_type="text/plain", body="busy")
        elif len(asked) == 2:
            route.continue_()
        else:
            route.fulfill(status=404)

    def late(route: Route) -> None:
        page.wait_for_timeout(SETTLED_MS)
        route.continue_()

    page.route("**/file/5/show", answer)
    if early:
        page.route("**/desk.js*", late)
    page.goto(f"{desk.address}/m/{desk.day.trap}/file/5")
    expect(page.locator(".picture img")).not_to_have_js_property("naturalWidth", 0)
    assert len(asked) == 2
    page.goto(f"{desk.address}/m/{desk.day.trap}/file/5")
    page.wait_for_timeout(4_000)
    assert len(asked) == 3
    page.close()


def test_reading_needs_no_script(chromium: Browser, desk: Served) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="ar-DZ")
    page = context.new_page()
    number = desk.day.results
    page.goto(f"{desk.address}/m/{number}")
    page.fill("#name", str(Role.CLINICIAN))
    page.fill("#password", PASSWORD)
    page.click("main button")
    assert page.url.endswith(f"/m/{number}")
    assert "1.42" in page.inner_text(".results")
    assert page.locator(".plot circle").count() == 5
    context.close()


LINES: Final = (
    "مريضة 42 سنة، ألم صدري.", "ECG: ST+ في V2-V4.", "- TA < 9/5", "+ O2 3L/min", "الضغط < 90 -", "Tropo +",
)  # fmt: skip
SEEN: Final = """top => [...document.querySelectorAll(top)].map(element => {
  const lines = [[]], walker = document.createTreeWalker(element, NodeFilter.SHOW_ALL);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.nodeName === "BR") lines.push([]);
    for (let at = 0; at < (node.data || "").length; at++) {
      if (node.data[at] === "\\n") lines.push([]);
      if (!node.data[at].trim()) continue;
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      lines.at(-1).push([range.getBoundingClientRect().left, node.data[at]]);
    }
  }
  return lines.map(line => line.sort((a, b) => a[0] - b[0]).map(sign => sign[1]).join(""));
})"""
"""The signs of each line as they stand from left to right, of each element."""


@pytest.mark.parametrize("language", ["ar", "fr"])
def test_each_line_is_read_as_its_writer_checked_it(chromium: Browser, language: str) -> None:
    """As on the page where it is checked: in a document, on screen and on paper, and in what HL7 carries."""
    direction = {"ar": "rtl"}.get(language, "ltr")
    broken = "<br/>".join(LINES).replace("< ", "&lt; ")
    cell = f"<table><tbody><tr><td>{broken}</td></tr></tbody></table>"
    places = f"<paragraph>{broken}</paragraph>{cell}<list><item>{broken}</item></list>"
    labels = Labels("", "", "", "", "", "")
    paper = narrative(read(document(f"<text>{places}</text>", language=language)), labels, {})
    checked = f'<div class="written">{escape(chr(10).join(LINES))}</div>'
    markup = broken.replace("<br/>", "<br>")
    told = (
        f'<p class="note" dir="auto">{markup}</p>'
        f'<dl class="facts"><div><dd><bdi>{markup}</bdi></dd></div></dl>'
        f'<section class="card"><p dir="auto">{markup}</p></section>'
        f'<div class="value"><span dir="auto">{markup}</span></div>'
    )
    page = chromium.new_page()

    def seen(style: str, content: str, top: str) -> list[list[str]]:
        page.set_content(f'<html lang="{language}" dir="{direction}"><style>{style}</style>{content}</html>')
        return list(page.evaluate(SEEN, top))

    [expected] = seen(SHEET, checked, ".written")
    assert expected[1] == "ECG:ST+" + "في"[::-1] + "V2-V4."
    assert len(expected) == len(LINES)
    assert seen(STYLE, paper, "p, td, li") == [expected] * 3
    page.emulate_media(media="print")
    assert seen(STYLE, paper, "p, td, li") == [expected] * 3
    page.emulate_media(media="screen")
    assert seen(SHEET, told, ".note, .facts bdi, .card p, .value span") == [expected] * 4
    page.close()
