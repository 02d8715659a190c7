"""What every page of ours is tried for in a browser: axe-core's serious findings, and whether it fits.

A page is opened once in a language and then made narrower and wider, since that changes nothing else.
Contrast, which costs most, is judged where ``contrast`` says so, in the light where a page is narrow and in
the dark where it is wide: no colour of the sheet depends on a language or a width. Of long lists only the
first lines are judged: the others are like them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

LANGUAGES: Final = ("ar", "fr", "en")
WIDTHS: Final = (320, 768, 1280)
BETWEEN: Final = 1090
"""Where the menu stands beside a table and leaves it little room."""
GRAVE: Final = {"serious", "critical"}
_ALIKE: Final = (
    ".mail li:nth-child(n+9)", ".facts.fields > div:nth-child(n+6)", ".table tbody tr:nth-child(n+9)",
    ".readings tr:nth-child(n+9)",
)  # fmt: skip


def faults(page: Page, *, contrast: bool = True) -> list[str]:
    """Return what axe-core finds serious on a page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    options: dict[str, Any] = {
        "resultTypes": ["violations"], "preload": False, "iframes": False,
        "rules": {"color-contrast": {"enabled": contrast}},
    }  # fmt: skip
    context = json.dumps({"exclude": [[one] for one in _ALIKE]})
    found = page.evaluate(f"axe.run({context}, {json.dumps(options)}).then(all => all.violations)")
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found if each["impact"] in GRAVE]


def too_wide(page: Page) -> int:
    """Return by how much a page scrolls sideways."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide


def wrong_here(page: Page, what: str, *, contrast: bool) -> list[str]:
    """Return what is wrong with the page that is open, at every width."""
    wrong = []
    # A colour that is on its way from light to dark is none of the sheet's.
    page.emulate_media(reduced_motion="reduce")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        dark = contrast and width == WIDTHS[-1]
        if dark:
            # Without motion: colours that are still on their way to the dark are too pale.
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found = faults(page, contrast=dark or (contrast and width == WIDTHS[0]))
        wrong += [f"{what} {width}{' dark' if dark else ''}: {fault}" for fault in found]
        if too_wide(page) > 0:
            wrong.append(f"{what} {width}: scrolls sideways by {too_wide(page)}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": BETWEEN, "height": 800})
    if too_wide(page) > 0:
        wrong.append(f"{what} {BETWEEN}: scrolls sideways by {too_wide(page)}")
    return wrong


def wrong_with(page: Page, address: str, paths: Sequence[str], language: str) -> list[str]:
    """Open pages in a language at every width; return what is wrong with them."""
    wrong = []
    for path in paths:
        page.goto(f"{address}{path}{'&' if '?' in path else '?'}lang={language}")
        assert page.get_attribute("html", "lang") == language
        assert page.get_attribute("html", "dir") == ("rtl" if language == "ar" else "ltr")
        wrong += wrong_here(page, path, contrast=language == LANGUAGES[0])
    return wrong
