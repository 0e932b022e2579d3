"""How long the viewer and the report take with 200,000 spikes in an hour of a tetrode.

`python benchmarks/viewer.py --out FOLDER` makes the recording (0.8 GB) and the result in the folder, unless
they are there, and drives Chromium. The hour repeats one sorted minute; its spikes are those of that minute,
again and again. Beside the seconds that pass stand the processor seconds of server and browser together,
which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from plotly.offline import get_plotlyjs

from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.simulate import simulate_study
from spikesorter.io.export import write_spikes
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.html import read_asset, read_plotly
from spikesorter.report.page import page_html, write_page
from spikesorter.report.results import open_results
from spikesorter.report.viewer import SCRIPTS, result_session, serve, show_results
from spikesorter.sorting.model import load_model
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.training import train_model

FS_HZ, CHANNELS, MINUTES, SCALE = 25_000.0, 4, 60, 200
SPIKES = 200_000
OPTIONS = RecordingOptions(fs_hz=FS_HZ, dtype="int16", channels=CHANNELS)
SETTINGS = ("decoder=pursuit", "rehearsal.tuning_seconds=10", "rehearsal.forecast_seconds=10")
REPEATS = 5
WATCH = """() => {
  window.times = {};
  document.addEventListener("pointerup", () => { window.times.up = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => { window.times.shown = performance.now(); }))
    .observe(document.querySelector(".chosen"), { childList: true, characterData: true, subtree: true });
}"""
USED: dict[tuple[int, float], float] = {}  # processor seconds of each process when it was last seen
Timed = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--plotly", action="store_true", help="compare the whole of Plotly's script and its part, in turn"
    )
    given = parser.parse_args()
    out = given.out
    if not (out / "sorted" / "sort.json").is_file():
        make(out)
    shutil.rmtree(out / "sorted" / "corrected", ignore_errors=True)
    for measure in (measure_plotly,) if given.plotly else (measure_viewer, measure_report):
        timed: Timed = {}
        measure(out / "sorted", timed)
        print("| what | seconds, median | least | processor seconds, median | least |\n|---|---|---|---|---|")
        for what, values in timed.items():
            figures = (
                figure
                for column in zip(*values, strict=True)
                for figure in (statistics.median(column), min(column))
            )
            print(f"| {what} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")


def make(out: Path) -> None:
    """Write a labelled minute, a model, an hour, and its result."""
    out.mkdir(parents=True, exist_ok=True)
    labelled, target = simulate_study(
        units=6, seconds=60, noise_levels=(1.0,), spikes_per_s=62, channels=CHANNELS, seed=1
    )
    for name, one in (("D1", labelled), ("D2", target)):
        (one.trace * SCALE).round().astype(np.int16).tofile(out / f"{name}.dat")
    write_spikes(out / "labels.csv", labelled.spikes, fs_hz=FS_HZ)
    settings, model = load_settings(assignments=SETTINGS), out / "model"
    train_model(out / "D1.dat", [out / "D2.dat"], model, settings, labels=out / "labels.csv", options=OPTIONS)
    (minute,) = sort_files([out / "D2.dat"], load_model(model), out / "minute", options=OPTIONS, report=False)
    with (out / "hour.dat").open("wb") as file:
        for _ in range(MINUTES):
            file.write((out / "D2.dat").read_bytes())
    n_samples = len(target.trace)
    inside = minute.spikes.within(1000, n_samples - 1000)
    hour = Spikes.concatenate([inside.shifted(k * n_samples) for k in range(MINUTES)])
    kept = np.linspace(0, len(hour) - 1, min(SPIKES, len(hour))).astype(np.int64)
    sort_files(
        [out / "hour.dat"],
        load_model(model),
        out / "sorted",
        options=OPTIONS,
        found={"hour": hour[np.unique(kept)]},
        report=False,
    )


def measure_viewer(out: Path, timed: Timed) -> None:
    """Open the viewer, and use it."""
    begun = now()
    with show_results(out) as (server, session), sync_playwright() as playwright:
        note(timed, "`view` until the page is served", begun)
        print(f"{len(session._results[0].spikes)} spikes", flush=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(REPEATS):
            page = new_page(browser)
            begun = now()
            page.goto(server.url, wait_until="load")
            note(timed, "page: words and tables", begun)
            page.locator(".trace-view").first.scroll_into_view_if_needed()
            page.locator(".trace-view .plot .main-svg").first.wait_for()
            page.get_by_text("doubtful spikes reviewed").first.wait_for()
            note(timed, "page: first trace, with what was corrected", begun)
            page.close()
        page = new_page(browser)
        page.goto(server.url)
        page.locator(".trace-view").first.scroll_into_view_if_needed()
        page.locator(".trace-view .plot .main-svg").first.wait_for()
        use_trace(page, timed)
        use_features(page, timed)
        browser.close()


def measure_plotly(out: Path, timed: Timed) -> None:
    """Open the page with all of Plotly's script and with its part, in turn; the first does not count."""
    session, contents = result_session(out)
    pages = {}
    for name, script in {"part": read_plotly, "whole": get_plotlyjs}.items():
        with mock.patch("spikesorter.report.page.read_plotly", script):
            pages[name] = page_html(contents, scripts=[read_asset(name) for name in SCRIPTS])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for k in range(REPEATS):
            for name, html in pages.items():
                one: Timed = timed if k else {}
                with serve(session, html) as server:
                    page = new_page(browser)
                    begun = now()
                    page.goto(server.url, wait_until="load")
                    note(one, f"{name} ({len(html) / 1e6:.1f} MB): words and tables", begun)
                    page.locator(".trace-view").first.scroll_into_view_if_needed()
                    page.locator(".trace-view .plot .main-svg").first.wait_for()
                    page.get_by_text("doubtful spikes reviewed").first.wait_for()
                    note(one, f"{name}: first trace, with what was corrected", begun)
                    page.close()
        browser.close()


def use_trace(page: Page, timed: Timed) -> None:
    """Go to places, and judge spikes."""
    status, said = page.locator(".trace-view .status").first, page.locator(".viewer-status").first
    for k in range(REPEATS):
        place = 1 + 2000 * (k + 1)
        begun = now()
        page.locator("[data-position]").first.fill(str(place))
        changed(page, lambda place=place: f"page {place + 1} of" in (status.text_content() or ""))  # type: ignore[misc]
        note(timed, "another place in the trace", begun)
    page.keyboard.press("j")
    page.get_by_text("not yet reviewed").first.wait_for()
    for k in range(2 * REPEATS):
        before = said.text_content()
        begun = now()
        page.keyboard.press("a" if k % 3 else "x")
        changed(page, lambda before=before: said.text_content() != before)  # type: ignore[misc]
        note(timed, "a judgement, until it is saved", begun)
        page.get_by_text("not yet reviewed").first.wait_for()
        page.wait_for_timeout(300)


def use_features(page: Page, timed: Timed) -> None:
    """Open the view of features, choose points, and make a unit of them."""
    begun = now()
    page.get_by_text("Features of the spikes, and proposals").first.click()
    page.get_by_text("No spikes are chosen").first.wait_for()
    note(timed, "features: points", begun)
    page.get_by_text("Units with two modes").first.wait_for()
    note(timed, "features: points and proposals", begun)
    print(page.locator(".grouping .note").first.text_content())
    canvas = page.locator("canvas.scatter").first
    canvas.scroll_into_view_if_needed()
    page.evaluate(WATCH)
    box = canvas.bounding_box()
    assert box is not None
    for k in range(REPEATS):
        reach = 0.1 + 0.08 * k
        corners = [(0.5 + reach * np.cos(a), 0.5 + reach * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 60)]
        for step, (x, y) in enumerate(corners):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if step == 0:
                page.mouse.down()
        page.evaluate("() => { window.times = {}; }")
        begun = now()
        page.mouse.up()
        changed(page, lambda: "shown" in page.evaluate("() => window.times"))
        times = page.evaluate("() => window.times")
        timed.setdefault("lasso, until what is chosen is shown", []).append(
            ((times["shown"] - times["up"]) / 1000, now()[1] - begun[1])
        )
    print(page.locator(".chosen").first.text_content())
    said = page.locator(".viewer-status").first
    before = said.text_content()
    begun = now()
    page.get_by_role("button", name="Make a new unit").first.click()
    changed(page, lambda: said.text_content() != before)
    note(timed, "a split of these, until it is saved", begun)


def new_page(browser: Browser) -> Page:
    """Return an empty page that waits long."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(600_000)
    return page


def changed(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not is_so():
        page.wait_for_timeout(2)


def measure_report(out: Path, timed: Timed) -> None:
    """Make the report, and open it."""
    results = open_results(out)
    begun = now()
    contents = report_contents("report", results)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        write_page(path, contents)
        note(timed, "report: made", begun)
        print(f"report: {path.stat().st_size / 1e6:.1f} MB")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(REPEATS):
            page = new_page(browser)
            begun = now()
            page.goto(path.as_uri(), wait_until="load")
            note(timed, "report: words and tables", begun)
            page.locator(".trace-view").first.scroll_into_view_if_needed()
            page.locator(".trace-view .plot .main-svg").first.wait_for()
            note(timed, "report: first trace", begun)
            page.close()
        browser.close()


def now() -> tuple[float, float]:
    """Return the time, and the processor time of this process and the browser's, with those that ended."""
    for one in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            USED[one.pid, one.create_time()] = sum(one.cpu_times()[:2])
    return time.perf_counter(), sum(USED.values())


def note(timed: Timed, what: str, begun: tuple[float, float]) -> None:
    """Note how long something took."""
    passed, used = (after - before for after, before in zip(now(), begun, strict=True))
    timed.setdefault(what, []).append((passed, used))


if __name__ == "__main__":
    main()
