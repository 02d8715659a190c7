"""The console in Chromium: every screen, in three languages, at three widths; and without JavaScript."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest
from werkzeug.routing import Map, Rule

from crypto.fingerprint import node_fingerprint
from hub.admin.console.table import PAGES
from tests.browser.pages import LANGUAGES, WIDTHS, faults, too_wide, wrong_here, wrong_with
from tests.browser.served import CHROMIUM, FORGOTTEN, served_console, signed_in
from tests.hub.admin.network import PASSWORD, WAITING
from tests.hub.hubs import NodeKeys

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400)]

ANNABA: Final = NodeKeys.numbered(20)
ASKED: Final = node_fingerprint(ANNABA.link.public, ANNABA.signing, ANNABA.sealing)
KNOCKING: Final = node_fingerprint(FORGOTTEN.link.public, FORGOTTEN.signing, FORGOTTEN.sealing)
NOWHERE: Final = "/nowhere"
SCREENS: Final = (
    "/",
    "/network",
    "/network/epsp-tindouf",
    f"/track?id={uuid.UUID(bytes=WAITING)}",
    "/track?id=nonsense",
    "/network/chu-oran/suspend",
    "/network/chu-oran/describe",
    "/network/chu-oran/revoke",
    "/admission",
    f"/admission/chu-annaba?key={ASKED.hex()}",
    f"/admission/chu-skikda/readmit?key={KNOCKING.hex()}",
    "/keys",
    "/policy",
    "/policy/2",
    "/policy/edit",
    "/policy/1/again",
    "/queues",
    "/queues/epsp-tindouf",
    "/queues/epsp-tindouf/pause",
    "/queues/ehs-canastel",
    "/discards",
    "/discards/1",
    "/returned",
    "/journal",
    "/users",
    "/users/viewer",
    "/tokens",
    "/account",
    "/components",
    NOWHERE,
)
# What answers a GET and is no page.
NO_PAGES: Final = {"passkey_ask", "own_passkey_ask"}
# What is only reached by filling a form in: where, what is chosen, and the button.
FORMS: Final[tuple[tuple[str, dict[str, str], str], ...]] = (
    ("/queues/epsp-tindouf", {"#act": "return"}, "button[value=all]"),
    ("/admission", {"#facility": "ehs-oran", "#valid": "24"}, "main form .button"),
)
# What Arabic pages call by Latin letters.
OWN_WORDS: Final = re.compile(
    r"Wasl|alger|STAT|UTC|JSON|XML|CSV|TOML|DICOM|FHIR|inbox|chu-oran|"
    r"[a-z0-9.\-]+@[a-z0-9.\-]+|[0-9a-f\-]{36}"
)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served_console(tmp_path_factory.mktemp("served") / "hub") as address:
        yield address


@pytest.fixture(scope="module")
def admin(chromium: Browser, console: str) -> Iterator[BrowserContext]:
    context = signed_in(chromium, console, "administrator")
    yield context
    context.close()


def test_every_page_of_the_console_is_among_the_screens() -> None:
    """Whoever adds a page adds it to what axe-core sees."""
    served = Map([Rule(page.path, endpoint=page.name, methods=[page.method]) for page in PAGES]).bind("")
    seen = {served.match(path.partition("?")[0])[0] for path in SCREENS if path != NOWHERE}
    pages = {page.name for page in PAGES if page.method == "GET"}
    assert seen | NO_PAGES | {"sign_in"} == pages, "sign_in has a test of its own"
    assert not seen & NO_PAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_is_accessible_and_fits(admin: BrowserContext, console: str, language: str) -> None:
    """axe-core finds nothing serious, nothing scrolls sideways, and no script or style was blocked."""
    page = admin.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    wrong = wrong_with(page, console, SCREENS, language)
    page.close()
    assert wrong == []
    assert complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_forms_lead_to_is_accessible_and_fits(
    admin: BrowserContext, console: str, language: str
) -> None:
    """Previews and what is shown once: reached as people reach them, and read in the same way."""
    page = admin.new_page()
    wrong = []
    for path, values, button in FORMS:
        page.goto(f"{console}{path}?lang={language}")
        for field, value in values.items():
            if page.locator(field).evaluate("field => field.tagName") == "SELECT":
                page.select_option(field, value)
            else:
                page.fill(field, value)
        page.click(button)
        page.wait_for_load_state()
        wrong += wrong_here(page, page.url, contrast=language == LANGUAGES[0])
    page.close()
    assert wrong == []


def test_the_entrance_is_accessible_and_fits(chromium: Browser, console: str) -> None:
    page = chromium.new_page()
    for language in LANGUAGES:
        page.goto(f"{console}/sign-in?lang={language}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 700})
            assert faults(page) == []
            assert too_wide(page) <= 0
    page.close()


def test_it_is_as_good_in_the_dark(admin: BrowserContext, console: str) -> None:
    page = admin.new_page()
    page.emulate_media(color_scheme="dark")
    for path in ("/", "/components", "/network", "/users/viewer"):
        page.goto(console + path)
        assert faults(page) == []
    page.close()


def test_no_english_is_left_in_arabic(admin: BrowserContext, console: str) -> None:
    """Whatever has Latin letters on an Arabic page is a name, an id, or what a browser calls itself."""
    page = admin.new_page()
    left = []
    for path in SCREENS:
        page.goto(f"{console}{path}{'&' if '?' in path else '?'}lang=ar")
        page.evaluate(
            "document.querySelectorAll('main .id, main bdi, main pre, body [lang], input, textarea')"
            ".forEach(e => e.remove())"
        )
        text = OWN_WORDS.sub("", page.inner_text("body"))
        left += [f"{path}: {word}" for word in re.findall(r"[A-Za-z]{3,}", text)]
    page.close()
    assert left == []


def test_a_network_is_seen_without_javascript(chromium: Browser, console: str) -> None:
    """Sign in, find a facility, see what waits for it, follow a message, sign out."""
    context = chromium.new_context(java_script_enabled=False, locale="fr-FR")
    page = context.new_page()
    page.goto(f"{console}/network?q=tindouf")
    assert "/sign-in?next=" in page.url
    page.fill("#name", "viewer")
    page.fill("#password", "wrong one, sorry")
    page.click("main button")
    assert page.locator(".errors").is_visible()
    page.fill("#password", PASSWORD)
    page.click("main button")
    assert page.url.endswith("/network?q=tindouf")
    page.click("text=epsp-tindouf")
    assert "EPSP de Tindouf" in page.inner_text("h1")
    assert page.locator("a[href='/users']").count() == 0, "a viewer has no users page"
    page.goto(f"{console}/track?id={uuid.UUID(bytes=WAITING)}")
    assert page.locator(".steps li").count() == 5
    page.click(".top button")
    page.goto(f"{console}/")
    assert "/sign-in" in page.url
    context.close()


def test_a_page_is_light(admin: BrowserContext, console: str) -> None:
    """At most 80 KB over the wire, everything included, at the first visit."""
    page = admin.new_page()
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto(f"{console}/")
    page.wait_for_load_state("networkidle")
    page.close()
    assert 1_000 < sum(sizes) < 80 * 1_024


def test_a_passkey_is_made_used_and_removed(chromium: Browser, console: str) -> None:
    """With Chromium's own authenticator: no name typed, the finger is simulated, the origin is localhost."""
    address = console.replace("127.0.0.1", "localhost")
    context = signed_in(chromium, address, "auditor")
    page = context.new_page()
    device = context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    made = device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(f"{address}/account?lang=en")
    page.fill("#label", "the blue key")
    page.fill("#passkey-password", PASSWORD)
    page.click("form[data-passkey] button")
    page.wait_for_url(f"{address}/account?done=passkey")
    assert faults(page) == []
    page.click(".top button")
    page.wait_for_url(f"{address}/sign-in")
    page.click("form[data-passkey] button")
    page.wait_for_url(f"{address}/")
    page.goto(f"{address}/account")
    assert "the blue key" in page.inner_text("main")
    # One whose user was not verified is not enough.
    device.send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": made["authenticatorId"], "isUserVerified": False},
    )
    page.click(".top button")
    page.wait_for_url(f"{address}/sign-in")
    page.click("form[data-passkey] button")
    page.wait_for_selector("form[data-passkey] [data-fault]:not([hidden])")
    assert page.url == f"{address}/sign-in"
    context.close()


def test_passkeys_are_offered_only_where_they_work(chromium: Browser, console: str) -> None:
    page = chromium.new_page()
    page.goto(f"{console}/sign-in")
    assert not page.locator("form[data-passkey]").is_visible(), "an address made of numbers has no passkeys"
    page.close()
