"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WAIT_MS = int(
    os.environ.get("SPIKESORTER_WAIT_MS", "120000")
)  # guards against hanging only: a busy machine is slow


class Chromium:
    """A browser whose pages wait long before they fail."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        expect.set_options(timeout=WAIT_MS)

    def new_page(self, **options: Any) -> Page:
        page = self._browser.new_page(**options)
        page.set_default_timeout(WAIT_MS)
        return page


def eventually(is_so: Callable[[], bool], page: Page) -> None:
    """Wait until something is so; the page's own policy forbids Playwright to wait inside it."""
    for _ in range(WAIT_MS // 50):
        if is_so():
            return
        page.wait_for_timeout(50)
    assert is_so()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI_REQUIRES_BROWSER"):
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield Chromium(browser)
        browser.close()


@pytest.fixture
def screenshot(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page], None]:
    """Keep a picture of a page, in the folder SPIKESORTER_SCREENSHOTS if that is set."""
    folder = Path(os.environ.get("SPIKESORTER_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    return lambda page: page.screenshot(path=folder / f"{name}.png") and None
