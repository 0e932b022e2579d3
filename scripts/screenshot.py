"""Take the picture of a report that docs/look.md shows.

`python scripts/screenshot.py OUT/report.html docs/images/report.png [--recording 3]`

The report is that of the study `bath`, seed 0, by `spikesorter run bath --out OUT`. Use a relative OUT: the
page shows where results are.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1100, 1400


def main() -> None:
    """Picture one recording's part: its words and tables, its trace, and the first figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--recording", type=int, default=0, help="from 0")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(arguments.report.resolve().as_uri())
        section = page.locator(f"#recording-{arguments.recording}")
        trace = section.locator(".trace-view")
        trace.scroll_into_view_if_needed()
        trace.locator(".plot .main-svg").first.wait_for()
        trace.get_by_role("button", name="Next page").click()
        page.evaluate("r => document.getElementById(`recording-${r}`).scrollIntoView()", arguments.recording)
        page.wait_for_timeout(1000)
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
