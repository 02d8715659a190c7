"""What the tests of the browser share: one Chromium, one desk with a day, one country; made when first asked.

They end with the last test of this directory, since Playwright's loop must not run while others' tests do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from tests.browser.served import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.desks import Country
    from tests.browser.served_desk import Served


EXPECT_MS: Final = 60_000.0
"""How long something may take to be seen: a busy machine starts a program in ten seconds."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - only where it is installed

    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from tests.browser.served_desk import served_desk  # noqa: PLC0415 - asks for what only these tests need

    with served_desk(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture(scope="package")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    from tests.browser.desks import country  # noqa: PLC0415 - likewise

    with country(tmp_path_factory.mktemp("country")) as opened:
        yield opened
