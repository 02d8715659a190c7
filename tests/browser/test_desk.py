"""The desk in Chromium: nothing foreign in Arabic; found, opened and archived without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from nodes.desk.roles import Role
from tests.browser.screens import screens
from tests.browser.served import CHROMIUM, signed_in
from tests.nodes.desk.desks import PASSWORD

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from tests.browser.served_desk import Served

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

# What Arabic pages call by Latin letters.
OWN_WORDS: Final = re.compile(
    r"Wasl|STAT|UTC|JSON|PDF|DICOM|XML|zip|NIN|desk\.mailboxes|chu-alger|[0-9a-f\-]{36}"
)


@pytest.fixture(scope="module")
def clinician(chromium: Browser, desk: Served) -> Iterator[BrowserContext]:
    context = signed_in(chromium, desk.address, "clinician")
    yield context
    context.close()


def test_no_english_is_left_in_arabic(clinician: BrowserContext, desk: Served) -> None:
    """Whatever has Latin letters on an Arabic page is a name, an id, or what a browser calls itself."""
    page = clinician.new_page()
    left = []
    for path in [one.path for one in screens(desk.day) if one.role is Role.CLINICIAN]:
        page.goto(f"{desk.address}{path}{'&' if '?' in path else '?'}lang=ar")
        foreign = ".id, bdi, [dir=auto], .written, body [lang], input, textarea, option, iframe, pre"
        page.evaluate("named => document.querySelectorAll(named).forEach(e => e.remove())", foreign)
        text = OWN_WORDS.sub("", page.inner_text("body"))
        left += [f"{path}: {word}" for word in re.findall(r"[A-Za-z]{3,}", text)]
    page.close()
    assert left == []


def test_a_page_stays_in_its_language_when_another_tab_switches(
    clinician: BrowserContext, desk: Served
) -> None:
    page, other = clinician.new_page(), clinician.new_page()
    page.goto(f"{desk.address}/compose?lang=ar")
    page.click("main form[action='/compose'] button")
    other.goto(f"{desk.address}/account?lang=fr")
    assert other.get_attribute("html", "lang") == "fr"
    with page.expect_response(lambda answer: "/found?" in answer.url) as asked:
        page.fill("#q", "zzzz")
    assert "لا نتيجة" in asked.value.text()
    for each in (page, other):
        each.close()


def test_a_message_is_found_opened_and_archived_without_javascript(chromium: Browser, desk: Served) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="fr-FR")
    page = context.new_page()
    page.goto(f"{desk.address}/d/cardio?q=oran")
    assert "/sign-in?next=" in page.url
    page.fill("#name", "clinician")
    page.fill("#password", PASSWORD)
    page.click("main button")
    assert page.url.endswith("/d/cardio?q=oran")
    first = page.locator(".mail li a").first
    opened = first.get_attribute("href")
    first.click()
    assert page.url.endswith(str(opened))
    page.click("button[value=archive]")
    assert page.locator(f".mail a[href='{opened}']").count() == 0
    page.goto(f"{desk.address}/d/cardio?view=archive")
    assert page.locator(f".mail a[href='{opened}']").count() == 1
    page.click(".top button")
    page.goto(f"{desk.address}/d/cardio")
    assert "/sign-in" in page.url
    context.close()
