"""What somebody does in a browser who writes a message: page by page; and the line, which can be cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from tests.integration.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page, Response, Route

    from tests.browser.desks import Country

PATIENCE_MS: Final = 60_000.0
_PATIENCE_S: Final = 90.0


def named(name: str, data: bytes) -> FilePayload:
    """Return a file to choose."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def to_content(page: Page, address: str, kind: str = "file") -> str:
    """Write the pages up to the message itself; returns the draft's address."""
    page.goto(f"{address}/compose")
    page.click("main form[action='/compose'] button")
    page.check(f"[name=kind][value={kind}]")
    page.fill("#q", "oran")
    page.click("main button[value=search]")
    page.check("[name=recipient][value='cardio@chu-oran']")
    page.click("main button[value=next]")
    page.fill("#number", "2026-00417")
    page.fill("#family", "بن يوسف")
    page.fill("#given", "أمينة")
    page.fill("#born", "1988-02-29")
    page.check("[name=sex][value=F]")
    page.click("main button[value=next]")
    return page.url.rpartition("/")[0]


@contextmanager
def saved(page: Page, text: str) -> Iterator[None]:
    """Wait at the end until the page has saved ``text`` by itself, before anything that loses what is not."""

    def holds(answer: Response) -> bool:
        asked = answer.request
        held = parse_qs(asked.post_data or "").values() if asked.url.endswith("/save") else ()
        return any(text in one for one in held)

    with page.expect_response(holds, timeout=PATIENCE_MS) as answer:
        yield
    assert answer.value.ok


def check_and_send(page: Page) -> str:
    """Go from the message itself over the check to the end; returns the draft's id."""
    page.click("main button[value=next]")
    page.click("main .card button.button")
    assert page.locator(".errors").is_visible(), "the patient was not confirmed"
    page.check("#confirmed")
    page.click("main .card button.button")
    page.locator(".panel .id").wait_for()
    return page.url.rpartition("/compose/")[2].partition("/")[0]


def arrived(both: Country, key: str) -> list[tuple[Any, ...]]:
    """Return (name, size, digest) of the files of the message with this key, once it is there."""
    node = both.there.node
    found = wait_until(
        "it arrived", lambda: node.rows("SELECT seq FROM inbox WHERE key = ?", key), _PATIENCE_S
    )
    seq = found[0][0]
    return node.rows("SELECT name, size, digest FROM inbox_files WHERE inbox_seq = ? ORDER BY position", seq)


class Line:
    """The line between browser and desk: it is cut after so many pieces, until it is mended."""

    def __init__(self, page: Page) -> None:
        self.up, self.pieces, self.cut_after = True, 0, 0
        page.route("**/compose/*/files**", self._pass)
        page.route("**/compose/*/files/**", self._pass)

    def _pass(self, route: Route) -> None:
        if not self.up:
            route.abort("connectionfailed")
            return
        if route.request.method == "PATCH":
            self.pieces += 1
            if self.pieces == self.cut_after:
                self.up = False
        route.continue_()

    def mend(self, cut_after: int = 0) -> None:
        """Let it work again, until so many pieces in all have passed; 0: for good."""
        self.cut_after, self.up = cut_after, True
