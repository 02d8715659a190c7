"""``python -m tests.browser.pictures``: draw the pictures of the desk that README and documents show.

They are taken in a real Chromium from a real desk with an invented day (:mod:`tests.browser.day`), so that
they can be made again whenever a page has changed: ``make pictures``. ``--every DIRECTORY`` draws each page
instead, in Arabic and French, narrow and wide, light and dark, for people who work on how the desk looks.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from nodes.desk.roles import Role
from tests.browser.day import Day
from tests.browser.screens import Screen, screens
from tests.browser.served import CHROMIUM, ROOT
from tests.browser.served_desk import Served, served_desk
from tests.nodes.desk.desks import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PICTURES: Final = ROOT / "docs/pictures"
MOST_BYTES: Final = 150_000
COLOURS: Final = 128
SIZES: Final = {"wide": (1280, 860), "narrow": (390, 860)}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the documents: its file, what it shows, and how."""

    name: str
    path: str
    language: str
    dark: bool = False
    size: str = "wide"


def pictures(day: Day) -> tuple[Drawn, ...]:
    """Return what is drawn for the documents."""
    return (
        Drawn("desk-inbox-fr", "/d/cardio", "fr"),
        Drawn("desk-inbox-ar-dark", "/d/cardio", "ar", dark=True),
        Drawn("desk-results-fr", f"/m/{day.results}", "fr"),
        Drawn("desk-check-ar", f"/compose/{day.whole}/check", "ar"),
        Drawn("desk-way-ar", f"/s/{day.opened}", "ar"),
        Drawn("desk-write-fr-dark", f"/compose/{day.whole}/content", "fr", dark=True),
        Drawn("desk-inbox-ar-phone", "/d/cardio", "ar", size="narrow"),
        Drawn("desk-way-fr-phone", f"/s/{day.sent}", "fr", dark=True, size="narrow"),
    )


def enter(browser: Browser, served: Served, role: Role | None) -> BrowserContext:
    """Return a browser's context in which somebody of the role is signed in, as far as a password goes."""
    context = browser.new_context(reduced_motion="reduce")
    if role is not None:
        page = context.new_page()
        page.goto(f"{served.address}/sign-in")
        page.fill("#name", str(role))
        page.fill("#password", PASSWORD)
        page.click("main button")
        page.wait_for_load_state()
        page.close()
    return context


def turn(page: Page, address: str, language: str) -> None:
    """Open an address in a language."""
    page.goto(f"{address}{'&' if '?' in address else '?'}lang={language}")


def _packed(png: bytes) -> bytes:
    """Return a picture with few colours, which pages of text do not miss."""
    out = BytesIO()
    opened: Any = Image.open(BytesIO(png)).convert("RGB")
    opened.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _documents(browser: Browser, served: Served) -> None:
    context = enter(browser, served, Role.CLINICIAN)
    page = context.new_page()
    for one in pictures(served.day):
        width, height = SIZES[one.size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if one.dark else "light")
        turn(page, served.address + one.path, one.language)
        page.wait_for_load_state("networkidle")
        packed = _packed(page.screenshot())
        if len(packed) > MOST_BYTES:
            raise SystemExit(f"{one.name} has {len(packed)} bytes, more than {MOST_BYTES}")
        (PICTURES / f"{one.name}.png").write_bytes(packed)
    context.close()


def _every(browser: Browser, served: Served, directory: Path, only: str) -> None:
    contexts: dict[Role | None, Page] = {}
    directory.mkdir(parents=True, exist_ok=True)
    for number, screen in enumerate(screens(served.day)):
        if not re.search(only, f"{screen.name} {screen.path}"):
            continue
        if screen.role not in contexts:
            contexts[screen.role] = enter(browser, served, screen.role).new_page()
        for language in ("ar", "fr"):
            _draw(contexts[screen.role], served, screen, language, directory / f"{number:02}-{screen.name}")


def _draw(page: Page, served: Served, screen: Screen, language: str, stem: Path) -> None:
    turn(page, served.address + screen.path, language)
    for width, scheme in ((320, "light"), (1280, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=f"{stem}-{language}-{width}-{scheme}.png", full_page=True)


def main(arguments: list[str]) -> int:
    """Draw; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.pictures", description="Draw the desk's pages."
    )
    parser.add_argument("--every", type=Path, metavar="DIRECTORY", help="draw every page into this directory")
    parser.add_argument("--only", default="", metavar="PATTERN", help="of these, only what matches")
    given = parser.parse_args(arguments)
    if CHROMIUM is None:
        parser.error("there is no Chromium: apt-get install chromium fonts-noto-core")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is installed

    with (
        tempfile.TemporaryDirectory() as home,
        served_desk(Path(home)) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if given.every is not None:
            _every(browser, served, given.every, given.only)
        else:
            _documents(browser, served)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
