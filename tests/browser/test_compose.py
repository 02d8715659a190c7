"""Uploads at the desk in Chromium: cut, gone on with after a reload and a crash, several at once; drafts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from crypto.primitives import blake2b_stream
from nodes.desk.compose import bounds
from nodes.link.ids import parse_id
from tests.browser.desks import Country, signed_in
from tests.browser.served import CHROMIUM
from tests.browser.writing import PATIENCE_MS, Line, arrived, check_and_send, named, saved, to_content

for needed in ("playwright.sync_api", "axe_playwright_python"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (requirements-test.txt)")
if CHROMIUM is None:
    pytest.skip("no Chromium: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import expect  # noqa: E402 - only where there is a browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route


MIB: Final = 1_024 * 1_024
SCAN_BYTES: Final = int(os.environ.get("WASL_SCAN_MIB", "20")) * MIB
"""``WASL_SCAN_MIB=200`` sends a scan of 200 MiB."""
pytestmark = [
    pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(400 + 3 * (SCAN_BYTES // MIB)),
]  # fmt: skip
UPLOAD_MS: Final = 300_000.0


def test_an_upload_is_cut_goes_on_and_survives_a_reload_and_a_crash(
    both: Country, chromium: Browser, tmp_path: Path
) -> None:
    scan, digest = tmp_path / "IRM cardiaque.dcm", blake2b_stream()
    with scan.open("wb") as file:
        for number in range(SCAN_BYTES // MIB):
            block = number.to_bytes(4, "big") * (MIB // 4)
            digest.update(block)
            file.write(block)
    count = SCAN_BYTES // bounds.PIECE_BYTES
    context = signed_in(chromium, both.here, "amel", "fr")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    to_content(page, both.here.address)
    page.fill("#subject", "IRM")
    with saved(page, "Voir l’examen joint."):
        page.fill("#text", "Voir l’examen joint.")
    line = Line(page)
    line.cut_after = 2
    page.set_input_files("#file", scan)
    cut = page.get_attribute("#upload", "data-cut")
    assert cut
    expect(page.locator("#coming")).to_contain_text(cut, timeout=PATIENCE_MS)
    line.mend(cut_after=5)
    expect(page.locator("#coming")).to_contain_text(cut, timeout=PATIENCE_MS)
    page.reload()
    expect(page.locator("#files [data-unfinished]")).to_have_count(1, timeout=PATIENCE_MS)
    both.here.kill()
    both.here.start()
    line.mend()
    page.set_input_files("#file", scan)
    expect(page.locator("#files li:not([data-unfinished])")).to_have_count(1, timeout=UPLOAD_MS)
    assert count <= line.pieces <= count + 2, "what was there was not sent again"
    page.fill("#subject", "IRM cardiaque")
    ((name, size, found),) = arrived(both, check_and_send(page))
    assert (name, size, found) == (scan.name, SCAN_BYTES, digest.digest())
    # A sent draft keeps its rows for a while, and no file; what the kill cut may leave one for the sweep.
    ((kept,),) = both.here.node.rows(f"SELECT kept FROM desk_uploads WHERE name = '{scan.name}'")
    raw = parse_id(str(kept))
    assert raw
    left = [one.name for one in (both.here.node.home / bounds.DRAFTS_DIRECTORY).iterdir()]
    assert not [name for name in left if raw.hex() in name]
    context.close()


def test_several_files_at_once_one_paused_and_one_removed(both: Country, chromium: Browser) -> None:
    context = signed_in(chromium, both.here, "amel", "ar")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    to_content(page, both.here.address)
    line = Line(page)
    line.up = False
    page.set_input_files(
        "#file",
        [named(f"{n}.bin", b"x" * n) for n in (0, 1, 2, 3)],
    )
    rows = page.locator("#coming li")
    expect(rows).to_have_count(4)
    rows.nth(1).locator("button").nth(0).click()
    rows.nth(2).locator("button").nth(1).click()
    expect(rows).to_have_count(3)
    line.mend()
    expect(page.locator("#files li")).to_have_count(1, timeout=PATIENCE_MS)
    assert "3.bin" in page.inner_text("#files")
    rows.nth(1).locator("button").nth(0).click()
    expect(page.locator("#files li")).to_have_count(2, timeout=PATIENCE_MS)
    assert rows.count() == 1, "the empty one says why it was not taken"
    context.close()


def test_a_file_that_is_chosen_before_the_script_is_there_is_taken(both: Country, chromium: Browser) -> None:
    """On a slow line the page stands long before its script, which once looked at later choices only."""
    context = signed_in(chromium, both.here, "amel", "fr")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/upload.js*", hold)
    to_content(page, both.here.address)
    page.set_input_files("#file", named("avant.bin", b"x"))
    page.wait_for_timeout(100)
    (script,) = held
    script.continue_()
    expect(page.locator("#files li")).to_have_count(1, timeout=PATIENCE_MS)
    assert "avant.bin" in page.inner_text("#files")
    context.close()


def test_what_is_typed_is_saved_by_itself(both: Country, chromium: Browser) -> None:
    context = signed_in(chromium, both.here, "amel", "fr")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    at = to_content(page, both.here.address)
    page.locator("#subject").press_sequentially("À moitié")
    expect(page.locator("#saved")).not_to_be_empty(timeout=PATIENCE_MS)
    other = context.new_page()
    other.goto(f"{at}/content")
    assert other.input_value("#subject") == "À moitié"
    context.close()


def test_what_is_pasted_is_saved_by_itself(both: Country, chromium: Browser) -> None:
    context = signed_in(chromium, both.here, "amel", "fr")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    to_content(page, both.here.address)
    page.focus("#text")
    with saved(page, "Collé, dicté"):
        page.keyboard.insert_text("Collé, dicté")
    page.reload()
    assert page.input_value("#text") == "Collé, dicté"
    context.close()
