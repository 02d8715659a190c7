"""What teams do from one facility to another, by real daemons: Arabic and French, with scripts and without.

A clinician in Algiers signs in, sends a patient's file with a scan and something hostile (where scripts run,
the line is cut in the middle of it), and follows it. One in Oran opens it: the document, the image, the
hostile file, which does nothing. The answer comes back, and is read. Passkeys have a journey of their own;
they need scripts.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import pytest

from demo.dicom import chest_image, new_uid
from demo.people import PATIENTS
from tests.browser.desks import PASSWORD, Country, signed_in
from tests.browser.served import CHROMIUM
from tests.browser.writing import PATIENCE_MS, Line, arrived, check_and_send, named, to_content
from tests.integration.waiting import wait_until
from tests.nodes.desk.viewing.laid import HOSTILE_SVG

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import expect  # noqa: E402 - only where there is a browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

POLL_MS: Final = 16_000
"""A little more than a page waits before it asks for itself again."""
MORE_BYTES: Final = 5 * 1_024 * 1_024
"""What makes the scan more than one piece of an upload."""
_TRAILING_PADDING: Final = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, MORE_BYTES)


def scan(*, large: bool) -> bytes:
    """Return a DICOM file; ``large``: with padding at its end (PS3.10, 7.2), for several pieces."""
    made = chest_image(PATIENTS[0], new_uid(), number="A-1", date="20260131")
    return made + _TRAILING_PADDING + bytes(MORE_BYTES) if large else made


def opened(chromium: Browser, desk: Any, name: str, language: str, *, script: bool) -> Page:
    """Return a page in which somebody is signed in."""
    context = signed_in(chromium, desk, name, language, script=script)
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("language", ["ar", "fr"])
def test_a_file_is_sent_followed_opened_and_answered(
    both: Country, chromium: Browser, language: str, script: bool
) -> None:
    subject = f"Douleur thoracique {language} {script}"
    here = opened(chromium, both.here, "amel", language, script=script)
    draft = _send(here, both.here.address, subject, script=script)
    assert {name for name, _size, _digest in arrived(both, draft)} == {"radio.dcm", "x.svg"}
    follow = here.locator("main a.button").first.get_attribute("href") or ""
    here.goto(both.here.address + follow)
    assert here.get_attribute("html", "dir") == ("rtl" if language == "ar" else "ltr")
    there = opened(chromium, both.there, "omar", language, script=script)
    there.goto(f"{both.there.address}/d/cardio")
    there.click(f"text={subject}")
    _read(there)
    both.here.node.wait_state(follow.rpartition("/")[2], "processed", 90)
    here.goto(both.here.address + follow)
    expect(here.locator(".steps li.ok")).to_have_count(4)
    _answer(there, f"R {subject}")
    _see_the_answer(both, here, follow, f"R {subject}", script=script)
    for page in (here, there):
        page.context.close()


def _send(page: Page, address: str, subject: str, *, script: bool) -> str:
    """Write and send; returns the draft's id."""
    to_content(page, address)
    page.fill("#subject", subject)
    page.fill("#text", "Depuis 2 h.\n\nيرجى إبداء الرأي.")
    attached = [named("radio.dcm", scan(large=script)), named("x.svg", HOSTILE_SVG)]
    if script:
        line = Line(page)
        line.cut_after = 2
        page.set_input_files("#file", attached)
        cut = page.get_attribute("#upload", "data-cut") or ""
        expect(page.locator("#coming")).to_contain_text(cut)
        line.mend()
    else:
        page.click("button[value=leave]")
        page.goto(f"{address}/compose")
        page.click(f"text={subject}")
        page.goto(page.url.rpartition("/")[0] + "/content")
        page.set_input_files("#file", attached)
        page.click("#upload button[type=submit]")
        assert page.input_value("#subject") == subject, "what was saved is there"
    expect(page.locator("#files li:not([data-unfinished])")).to_have_count(2, timeout=PATIENCE_MS)
    return check_and_send(page)


def _read(page: Page) -> None:
    """Read the document, look at the image, keep the hostile file; nothing it holds is done."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.context.on("dialog", lambda dialog: asked.append(dialog.message))
    message, own = page.url, page.url.partition("/m/")[0]
    expect(page.frame_locator("iframe.paper").locator("main")).to_contain_text("Depuis 2 h.")
    expect(page.frame_locator("iframe.paper").locator("main")).to_contain_text("يرجى إبداء الرأي.")
    hostile = page.locator(".files li", has_text="x.svg")
    with page.expect_download() as coming:
        hostile.locator("a").click()
    assert coming.value.suggested_filename == "x.svg.download"
    page.locator(".files li", has_text="radio.dcm").locator("a").first.click()
    image = page.locator(".picture img")
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", value=True)
    assert image.evaluate("image => image.naturalWidth") == 512
    assert PATIENTS[0].family in page.inner_text("main")
    assert [one for one in asked if not one.startswith(own)] == []
    page.goto(message)


def _answer(page: Page, subject: str) -> None:
    page.click("button[name=answer]")
    assert page.is_checked("[name=recipient][value='cardio@chu-alger']")
    page.click("main button[value=next]")
    assert page.input_value("#family") == "بن يوسف"
    page.click("main button[value=next]")
    page.fill("#subject", subject)
    page.fill("#text", "Coronarographie demain. شكرا")
    check_and_send(page)


def _see_the_answer(both: Country, page: Page, follow: str, subject: str, *, script: bool) -> None:
    """See on the page of what was sent that it is answered, by itself where scripts run; read the answer."""
    if script:
        page.clock.install()
        page.goto(both.here.address + follow)
    node = both.here.node
    wait_until("answer", lambda: node.rows("SELECT 1 FROM inbox WHERE subject = ?", subject), 90)
    answer = page.locator("#way a[href^='/m/']")
    if script:
        page.clock.fast_forward(POLL_MS)
    else:
        page.goto(both.here.address + follow)
    expect(answer).to_have_count(1, timeout=PATIENCE_MS)
    answer.click()
    expect(page.locator("h1")).to_contain_text(subject)
    expect(page.frame_locator("iframe.paper").locator("main")).to_contain_text("Coronarographie demain.")


@pytest.mark.parametrize("language", ["ar", "fr"])
def test_somebody_signs_in_with_a_passkey(both: Country, chromium: Browser, language: str) -> None:
    """With Chromium's own authenticator: no name typed, the finger is simulated, the origin is localhost."""
    address = both.here.address.replace("127.0.0.1", "localhost")
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{address}/sign-in?lang={language}")
    page.fill("#name", "amel")
    page.fill("#password", PASSWORD)
    page.click("main form:not([data-passkey]) button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    device = context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    made = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    label = f"clé {language}"
    page.goto(f"{address}/account")
    page.fill("#label", label)
    page.fill("#passkey-password", PASSWORD)
    page.click("form[action='/account/passkeys'] button")
    page.wait_for_url(f"{address}/account?done=passkey")
    page.click(".top button")
    page.wait_for_url(f"{address}/sign-in")
    page.click("form[data-passkey] button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    # One whose user was not verified is not enough.
    device.send(
        "WebAuthn.setUserVerified", {"authenticatorId": made["authenticatorId"], "isUserVerified": False}
    )
    page.click(".top button")
    page.wait_for_url(f"{address}/sign-in")
    page.click("form[data-passkey] button")
    page.wait_for_selector("form[data-passkey] [data-fault]:not([hidden])")
    assert page.url == f"{address}/sign-in"
    page.fill("#name", "amel")
    page.fill("#password", PASSWORD)
    page.click("main form:not([data-passkey]) button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.goto(f"{address}/account")
    page.locator("form[action='/account/passkeys/remove']", has_text=label).locator("button").click()
    page.goto(f"{address}/account")
    assert label not in page.inner_text("main")
    context.close()
