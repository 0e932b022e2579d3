"""Real browsers, driven by Playwright: Debian's Chromium and, where it is wanted, Debian's Firefox.

Tests run in Chromium; those marked `firefox` in Firefox too, and with `SPIKESORTER_BROWSERS=firefox` (or
`chromium,firefox`) all of them in the named browsers, but those that need what only Chromium lets a test do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FIREFOX = ("firefox-esr", "firefox")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WAIT_MS = int(
    os.environ.get("SPIKESORTER_WAIT_MS", "120000")
)  # guards against hanging only: a busy machine is slow
NOT_IN_FIREFOX = {"color_scheme": "dark", "has_touch": True, "is_mobile": True, "java_script_enabled": False}
ROOT = Path(__file__).parents[2]


class Driven:
    """A browser whose pages wait long before they fail."""

    def __init__(self, name: str, browser: Browser) -> None:
        self.name, self._browser = name, browser
        expect.set_options(timeout=WAIT_MS)

    def new_page(self, **options: Any) -> Page:
        wanted = [name for name, value in NOT_IN_FIREFOX.items() if options.get(name) == value]
        if self.name == "firefox" and wanted:
            pytest.skip(f"in Debian's Firefox no test can choose {', '.join(wanted)}")
        page = self._browser.new_page(**options)
        page.set_default_timeout(WAIT_MS)
        return page


def only_chromium(page: Page, why: str) -> None:
    """Skip the test in Firefox, for the given reason."""
    if page.context.browser and page.context.browser.browser_type.name == "firefox":
        pytest.skip(f"in Debian's Firefox {why}")


def bring_into_sight(there: Locator) -> None:
    """Scroll to an element at once.

    Playwright's own `scroll_into_view_if_needed` waits until two frames in a row show it in the same place,
    which on a busy machine may never be.
    """
    there.evaluate("node => node.scrollIntoView({behavior: 'instant', block: 'center'})")


def eventually(is_so: Callable[[], bool], page: Page) -> None:
    """Wait until something is so; the page's own policy forbids Playwright to wait inside it."""
    for _ in range(WAIT_MS // 50):
        if is_so():
            return
        page.wait_for_timeout(50)
    assert is_so()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs a browser in those that are wanted."""
    if "browser" not in metafunc.fixturenames:
        return
    both = ["chromium", *(["firefox"] if metafunc.definition.get_closest_marker("firefox") else [])]
    metafunc.parametrize("browser", asked_for() or both, indirect=True, scope="session")


def asked_for() -> list[str]:
    """Return the browsers in which all tests are to run; none if each test runs where it usually does."""
    return [name for name in os.environ.get("SPIKESORTER_BROWSERS", "").split(",") if name]


def installed(names: tuple[str, ...], title: str, package: str) -> str:
    """Return the path of a program; without it skip the test or, if `CI_REQUIRES_BROWSER` is set, fail.

    Firefox may always be missing, unless all tests are to run in it.
    """
    if found := next((path for name in names if (path := shutil.which(name))), None):
        return found
    if os.environ.get("CI_REQUIRES_BROWSER") and title.lower() in (asked_for() or ["chromium"]):
        pytest.fail(f"{title} is not installed")
    pytest.skip(f"{title} is not installed (Debian: apt-get install {package})")


def relayed(firefox: str, folder: Path) -> Path:
    """Write a program that starts Firefox behind the relay, as Playwright can only start programs."""
    path = folder / "firefox"
    command = shlex.join([sys.executable, "-m", "tests.browser.firefox_relay", firefox])
    path.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    name: str = request.param
    if name not in ("chromium", "firefox"):
        pytest.fail(f"SPIKESORTER_BROWSERS: expected chromium, firefox, or both with a comma, not {name!r}")
    with ExitStack() as stack:
        if name == "chromium":
            program = installed(CHROMIUM, "Chromium", "chromium")
            playwright = stack.enter_context(sync_playwright())
            started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        elif os.name == "nt":
            pytest.skip("Firefox is driven through a program of the shell, which Windows has not")
        else:
            program = str(
                relayed(installed(FIREFOX, "Firefox", "firefox-esr"), tmp_path_factory.mktemp("relay"))
            )
            playwright = stack.enter_context(sync_playwright())
            started = playwright.firefox.launch(executable_path=program, channel="moz-firefox")
        yield Driven(name, started)
        started.close()


@pytest.fixture
def screenshot(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page], None]:
    """Keep a picture of a page, in the folder SPIKESORTER_SCREENSHOTS if that is set."""
    folder = Path(os.environ.get("SPIKESORTER_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    return lambda page: page.screenshot(path=folder / f"{name}.png") and None
