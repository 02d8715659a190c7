"""Every page of the desk in Chromium: three languages, three widths, the dark, its weight; none missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from nodes.desk.roles import Role
from tests.browser.pages import LANGUAGES, wrong_here, wrong_with
from tests.browser.served import CHROMIUM

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

from tests.browser.pictures import enter  # noqa: E402 - only where there is a browser
from tests.browser.screens import NO_PAGES, asked, screens  # noqa: E402 - likewise

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.served_desk import Served

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

MOST_BYTES: Final = 80 * 1_024


class Signed:
    """A page in which somebody of a role is signed in, for each role that was asked for."""

    def __init__(self, chromium: Browser, desk: Served) -> None:
        self._chromium, self._desk = chromium, desk
        self._pages: dict[Role | None, Page] = {}
        self.blocked: list[str] = []

    def page(self, role: Role | None) -> Page:
        """Return the page of a role."""
        if role not in self._pages:
            page = enter(self._chromium, self._desk, role).new_page()
            page.on("console", self._heard)
            self._pages[role] = page
        return self._pages[role]

    def _heard(self, said: Any) -> None:
        if "Content Security" in said.text:
            self.blocked.append(said.text)

    def close(self) -> None:
        """Close every browser."""
        for page in self._pages.values():
            page.context.close()


@pytest.fixture(scope="module")
def signed(chromium: Browser, desk: Served) -> Iterator[Signed]:
    opened = Signed(chromium, desk)
    yield opened
    opened.close()


def test_no_page_is_left_out(desk: Served, signed: Signed) -> None:
    """Whatever the desk answers to GET is looked at, or is named as no page; none hides among those."""
    listed = {screen.name for screen in screens(desk.day)} - {""}
    assert listed | set(NO_PAGES) == asked()
    assert not listed & set(NO_PAGES)
    request = signed.page(Role.CLINICIAN).context.request
    draft, number = desk.day.whole, desk.day.results
    for path in (
        "/stay", f"/compose/{draft}/found", f"/compose/{draft}/files", f"/m/{number}/file/0/keep",
        f"/s/{desk.day.sent}/receipt/0", "/sign-in/passkey", "/account/passkeys",
    ):  # fmt: skip
        answer = request.get(desk.address + path)
        assert answer.status != 200 or b"<html" not in answer.body(), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_accessible_and_fits(desk: Served, signed: Signed, language: str) -> None:
    """axe-core finds nothing serious, nothing scrolls sideways, and no script or style was blocked."""
    wrong = []
    for screen in screens(desk.day):
        wrong += wrong_with(signed.page(screen.role), desk.address, [screen.path], language)
    wrong += _with_errors(desk, signed.page(Role.CLINICIAN), language)
    assert wrong == []
    assert signed.blocked == []


def _with_errors(desk: Served, page: Page, language: str) -> list[str]:
    """Return what is wrong with pages that say what is wrong, and with a document outside of its sandbox."""
    wrong = []
    for step in ("recipient", "patient", "content"):
        page.goto(f"{desk.address}/compose/{desk.day.empty}/{step}?lang={language}")
        page.click("button[value=next]")
        assert page.locator(".errors").is_visible()
        wrong += wrong_here(page, f"{step} with errors", contrast=language == LANGUAGES[0])
    # In its sandbox no script runs, axe neither.
    paper = page.request.get(f"{desk.address}/m/{desk.day.document}/part/0/show")
    assert paper.ok
    page.goto("about:blank")
    page.set_content(paper.text())
    return wrong + wrong_here(page, "the document", contrast=language == LANGUAGES[0])


def test_every_page_is_light(desk: Served, signed: Signed) -> None:
    """At most 80 KB over the wire at a first visit: the page, its sheet, its scripts, its mark."""
    heavy = []
    parts: dict[str, int] = {}
    for screen in screens(desk.day):
        request = signed.page(screen.role).context.request
        page = request.get(desk.address + screen.path)
        assert page.status == (200 if screen.name else 404), screen.path
        named = set(re.findall(r'/static/[^"]+', page.text()))
        assert any(".css" in one for one in named), screen.path
        for one in named - set(parts):
            parts[one] = int(request.get(desk.address + one).headers["content-length"])
        size = len(page.body()) + sum(parts[one] for one in named)
        if size > MOST_BYTES:
            heavy.append(f"{screen.path}: {size}")
    assert heavy == []
    assert sum(parts.values()) > 10_000, "they were weighed"
