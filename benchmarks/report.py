"""How long a report takes to make and to open, and how large it is.

`python benchmarks/report.py OUT` takes the folder of results of `spikesorter run` or `sort`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from spikesorter.report.contents import report_contents
from spikesorter.report.page import write_page
from spikesorter.report.results import open_results

REPEATS = 5


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    results = open_results(parser.parse_args().out)
    report_contents("warm", results[:1])
    start = time.perf_counter()
    contents = report_contents("report", results)
    made = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_page(page, contents)
        opened = [seconds_to_open(page) for _ in range(REPEATS)]
        loaded, drawn = (statistics.median(values) for values in zip(*opened, strict=True))
        print("| what | figure |\n|---|---|")
        print(f"| recordings | {len(results)} |")
        print(f"| seconds to make, each | {made / len(results):.2f} |")
        print(f"| size, MB | {page.stat().st_size / 1e6:.1f} |")
        print(f"| seconds until it is loaded | {loaded:.2f} |")
        print(f"| seconds until the first trace is drawn | {drawn:.2f} |")


def seconds_to_open(page: Path) -> tuple[float, float]:
    """Return the seconds until words and tables are there, and until the first trace is drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        start = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load")
        loaded = time.perf_counter() - start
        tab.locator(".trace-view").first.scroll_into_view_if_needed()
        tab.locator(".trace-view .plot .main-svg").first.wait_for()
        drawn = time.perf_counter() - start
        browser.close()
    return loaded, drawn


if __name__ == "__main__":
    main()
