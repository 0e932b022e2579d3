"""The viewer in a real browser: its controls on a stand-in for the page around them, then all of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, expect
from spikeinterface.core import NumpyRecording

from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Change, Correction, Edit
from spikesorter.report.html import read_asset
from spikesorter.report.page import page_html
from spikesorter.report.server import LoopbackServer, Reply, redirecting_file
from spikesorter.report.session import Session
from spikesorter.report.verdict import Shares
from spikesorter.report.viewer import CORRECTED, SCRIPTS, serve, show_results
from spikesorter.workflows.start_page import StartPage
from tests.browser.conftest import Driven, bring_into_sight, eventually, only_chromium
from tests.conftest import PURSUIT
from tests.report.viewing import (
    HOSTILE,
    HOSTILE_UNIT,
    NO_PICTURES,
    SPIKES,
    fake_contents,
    fake_result,
    fake_span,
)

pytestmark = pytest.mark.slow
FIRST, FOUND_FIRST = "0.1200 s", (3_000, 1)  # of the stand-in's spikes, the one whose judgement tells most
STANDIN = (Path(__file__).parent / "standin.js").read_text(encoding="utf-8")
PAGE = """<!doctype html><html lang="en"><title>viewer</title><link rel="icon" href="data:,">
<main><h1>viewer</h1><ul id="markers"></ul><div id="controls"></div></main>
<script type="application/json" id="contents">{contents}</script>
{scripts}</html>"""

TRY = """([url, options]) => fetch(url, options).then((response) => response.text(), () => "")"""


class Watched:
    """A page, and all that went wrong or out of it."""

    def __init__(
        self,
        page: Page,
        server: LoopbackServer,
        sees: tuple[str, ...] = ("doubtful spikes reviewed", "27000 2"),
    ) -> None:
        self.page, self.server = page, server
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(server.url)
        self.sees(*sees)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def sees(self, *texts: str) -> None:
        for text in texts:
            expect(self.page.get_by_text(text).first).to_be_visible()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackServer]:
    with stand_in(tmp_path, SPIKES) as server:
        yield server


def stand_in(folder: Path, spikes: Spikes, expected: dict[int, Shares] | None = None) -> LoopbackServer:
    """Serve the controls, without the page around them."""
    results: Any = [fake_result(folder, spikes=spikes)]
    contents = fake_contents(results)
    session = Session(
        results,
        contents,
        folder / CORRECTED,
        span=fake_span,
        more=NO_PICTURES,
        expected=lambda _: expected,
    )
    text = json.dumps(contents).replace("<", "\\u003c")
    scripts = [*map(read_asset, ("data.js", *SCRIPTS)), STANDIN]
    page = PAGE.format(contents=text, scripts="".join(f"<script>{one}</script>" for one in scripts))
    return serve(session, page)


@pytest.fixture
def viewer(browser: Driven, server: LoopbackServer) -> Iterator[Watched]:
    page = browser.new_page()
    watched = Watched(page, server)
    yield watched
    page.close()
    assert watched.wrong == []
    assert {url for url in watched.asked if not url.startswith((server.url, "data:"))} == set()


def log_of(out: Path) -> list[Change]:
    return CorrectionLog(out / CORRECTED / f"{HOSTILE}.jsonl").read()


def spike_shown(viewer: Watched) -> tuple[int, int]:
    """Sample and unit of the spike that is selected, of the stand-in's."""
    said = re.match(r"Spike of unit (\d) at ([\d.]+) s", viewer.page.locator(".viewer-spike").inner_text())
    assert said
    return round(float(said[2]) * 25_000), int(said[1])


def press(viewer: Watched, key: str, then: str) -> None:
    viewer.page.keyboard.press(key)
    viewer.sees(then)


def test_a_span_arrives_as_it_was_sent(viewer: Watched) -> None:
    markers = viewer.page.locator("#markers")
    expect(markers.locator("li")).to_have_text([
        "3000 1 as found", "9000 2 as found", "15000 1 as found", "21000 3 as found", "27000 2 as found",
    ])  # fmt: skip
    expect(markers).to_have_attribute("data-samples", "31250")
    expect(markers).to_have_attribute("data-evidence", "1")


@pytest.mark.firefox
def test_keys_review_one_doubtful_spike_after_the_other(viewer: Watched, tmp_path: Path) -> None:
    viewer.sees("No spike is selected", "0 of 4 doubtful spikes reviewed")
    order: list[tuple[int, int]] = []
    for key, then in (("x", "rejected"), ("a", "accepted"), ("3", "renamed to 3")):
        if not order:
            press(viewer, "j", ": not yet reviewed")
        sample, unit = spike_shown(viewer)
        order.append((sample, unit))
        press(viewer, key, f"Saved: the spike at {sample / 25_000:.4f} s is {then}.")
        viewer.sees(f"{len(order)} of 4 doubtful spikes reviewed", ": not yet reviewed")
    said = [
        Correction(*order[0], "reject"),
        Correction(*order[1], "accept"),
        Correction(*order[2], "rename", 3),
    ]
    assert log_of(tmp_path) == said
    press(viewer, "a", "4 of 4 doubtful spikes reviewed")
    press(viewer, "j", "All doubtful spikes are reviewed.")


def test_after_twenty_judgements_by_keys_alone_it_is_said_what_they_change(
    browser: Driven, tmp_path: Path, screenshot: Callable[[Page], None]
) -> None:
    """Of two units of which four of five spikes should be right, all of one are wrong."""
    samples = np.arange(60) * 8000 + 2000
    spikes = Spikes.from_arrays(samples, 1 + np.arange(60) % 3 // 2, np.full(60, 0.8), fs_hz=25_000.0)
    with stand_in(tmp_path, spikes, {1: Shares(40, 32, 40), 2: Shares(20, 16, 20)}) as server:
        page = browser.new_page()
        viewer = Watched(page, server, sees=("Judge 20 more spikes, and this line says",))
        press(viewer, "j", ": not yet reviewed")
        units = []
        for count in range(1, 21):
            sample, unit = spike_shown(viewer)
            units.append(unit)
            said = "rejected" if unit == 2 else "accepted"
            press(
                viewer, "x" if unit == 2 else "a", f"Saved: the spike at {sample / 25_000:.4f} s is {said}."
            )
            viewer.sees(f"{count} of 60 doubtful spikes reviewed", ": not yet reviewed")
        right = units.count(1)
        line = page.locator(".judged")
        expect(line).to_contain_text(f"After 20 judged spikes ({right} right): ")
        expect(line).to_contain_text("(before: 80) reported spikes are expected to be right (90 % interval")
        expect(line).to_contain_text("the greatest change is in unit 2: ")
        summary = page.get_by_text("The forecast of each unit")
        summary.focus()
        page.keyboard.press("Enter")
        rows = page.locator(".viewer-controls details li")
        expect(rows.first).to_contain_text(f"Unit 1, {right} judged ({right} right): ")
        screenshot(page)
        press(viewer, "u", "Judge 1 more spike, and this line says")
        page.close()
    assert min(right, 20 - right) >= 5  # neither unit has to wait
    assert viewer.wrong == []


def test_the_mouse_does_the_same(viewer: Watched, tmp_path: Path) -> None:
    page = viewer.page
    expect(page.get_by_role("button", name="Accept")).to_be_disabled()
    page.get_by_text("9000 2 as found").click()
    page.get_by_label("Rename to").select_option(label="1")
    page.get_by_role("button", name="Rename").click()
    viewer.sees("Saved: the spike at 0.3600 s is renamed to 1.")
    assert log_of(tmp_path) == [Correction(9_000, 2, "rename", 1)]


def test_a_reload_shows_what_was_said(viewer: Watched, tmp_path: Path) -> None:
    for marker, key, after in (
        ("3000 1", "x", "0.1200 s is rejected"),
        ("9000 2", "1", "0.3600 s is renamed"),
        ("21000 3", "a", "0.8400 s is accepted"),
    ):
        viewer.page.evaluate("window.spikesorter.page.show(0, 0, 31250)")
        viewer.page.get_by_text(f"{marker} as found").click()
        press(viewer, key, f"Saved: the spike at {after}")
        viewer.sees(": not yet reviewed")
    viewer.page.reload()
    viewer.sees("2 of 4 doubtful spikes reviewed")
    expect(viewer.page.locator("#markers li")).to_have_text([
        "3000 1 rejected", "9000 1 renamed", "15000 1 as found", "21000 3 accepted", "27000 2 as found",
    ])  # fmt: skip
    viewer.page.get_by_text("9000 1 renamed").click()
    viewer.sees(f"Spike of unit {HOSTILE_UNIT} at 0.3600 s: renamed to 1.")


def test_steps_are_undone_and_made_again(viewer: Watched, tmp_path: Path) -> None:
    press(viewer, "u", "There is nothing to undo.")
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    press(viewer, "x", "1 of 4 doubtful spikes reviewed")
    viewer.sees(": not yet reviewed")
    press(viewer, "u", f"Undone: the spike of unit 1 at {FIRST} is rejected.")
    viewer.sees(f"at {FIRST}: not yet reviewed", "0 of 4 doubtful spikes reviewed")
    viewer.page.reload()  # the steps are kept
    press(viewer, "y", f"Made again: the spike of unit 1 at {FIRST} is rejected.")
    viewer.sees(f"Spike of unit 1 at {FIRST}: rejected.", "1 of 4 doubtful spikes reviewed")
    press(viewer, "y", "There is nothing to make again.")
    assert log_of(tmp_path) == [Correction(*FOUND_FIRST, "reject"), Edit("undo"), Edit("redo")]
    viewer.page.get_by_text("What was done").click()
    viewer.sees("redo of the last step")


def test_labels_are_saved_and_it_is_said_how_to_use_them(viewer: Watched, tmp_path: Path) -> None:
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    press(viewer, "x", "1 of 4 doubtful spikes reviewed")
    viewer.page.get_by_role("button", name="Save as labels").click()
    place = tmp_path / CORRECTED / f"{HOSTILE}.csv"
    viewer.sees(
        "Saved 5 spikes as labels in",
        str(place),
        "spikesorter train RECORDING --labels",
        "--corrected --to nwb",
    )
    assert len(read_labels(place)) == 5


def test_names_are_text(viewer: Watched) -> None:
    viewer.page.get_by_text("9000 2 as found").click()
    viewer.sees(f"Spike of unit {HOSTILE_UNIT}")
    assert viewer.page.locator("img").count() == 0
    assert viewer.page.locator("script:not([type])").count() == len(SCRIPTS) + 2
    assert f"{HOSTILE_UNIT} (key 2)" in viewer.page.get_by_label("Rename to").text_content()


def test_keys_typed_elsewhere_correct_nothing(viewer: Watched, tmp_path: Path) -> None:
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    viewer.page.get_by_label("Rename to").focus()
    viewer.page.keyboard.press("x")
    viewer.page.locator("h1").click()
    viewer.page.keyboard.press("Control+x")
    viewer.page.keyboard.press("9")  # there is no ninth unit
    viewer.sees(f"at {FIRST}: not yet reviewed")
    assert log_of(tmp_path) == []


def test_a_key_without_a_unit_says_which_there_are(viewer: Watched) -> None:
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    press(viewer, "9", f"No unit has key 9. Keys of units: 1, 2 ({HOSTILE_UNIT}), 3.")


def test_the_unit_0_has_the_key_0(browser: Driven, tmp_path: Path) -> None:
    results: Any = [fake_result(tmp_path)]
    contents = fake_contents(results)
    contents["recordings"][0]["units"][2]["name"] = "0"
    session = Session(results, contents, tmp_path / CORRECTED, span=fake_span, more=NO_PICTURES)
    with serve(session, page_html(contents, scripts=[read_asset(name) for name in SCRIPTS])) as server:
        page = browser.new_page()
        viewer = Watched(page, server, sees=())
        press(viewer, "j", f"at {FIRST}: not yet reviewed")  # on a fresh page: nothing has the focus
        viewer.sees("doubtful spike 2 of 4")
        press(viewer, "0", f"Saved: the spike at {FIRST} is renamed to 0.")
        page.close()
    assert viewer.wrong == []
    assert log_of(tmp_path) == [Correction(*FOUND_FIRST, "rename", 3)]


def test_what_is_not_saved_is_said_aloud(browser: Driven, server: LoopbackServer, tmp_path: Path) -> None:
    page = browser.new_page()
    viewer = Watched(page, server)
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    (tmp_path / CORRECTED).write_text("a file in the way")
    press(viewer, "x", "Not saved: ")
    expect(page.get_by_role("alert")).to_contain_text("is a file, but a folder is needed")
    viewer.sees("0 of 4 doubtful spikes reviewed", f"at {FIRST}: not yet reviewed")
    (tmp_path / CORRECTED).unlink()
    press(viewer, "x", f"Saved: the spike at {FIRST} is rejected.")
    expect(page.get_by_role("alert")).to_be_empty()
    page.close()


def test_a_server_that_is_gone_is_said_aloud(browser: Driven, server: LoopbackServer) -> None:
    page = browser.new_page()
    only_chromium(page, "no test can cut the connection")
    viewer = Watched(page, server)
    press(viewer, "j", f"at {FIRST}: not yet reviewed")
    page.context.set_offline(True)
    press(viewer, "x", "Not saved: the viewer does not answer")
    page.context.set_offline(False)
    press(viewer, "x", f"Saved: the spike at {FIRST} is rejected.")
    page.close()


def test_pages_of_other_origins_get_and_change_nothing(
    browser: Driven, server: LoopbackServer, tmp_path: Path
) -> None:
    """A foreign page that even knows the address, token and all."""
    body = json.dumps({"r": 0, "sample": 3000, "unit": 1, "action": "reject"})
    tries: list[dict[str, Any]] = [
        {},
        {"mode": "no-cors"},
        {"method": "POST", "body": body},
        {"method": "POST", "body": body, "mode": "no-cors"},
        {"method": "POST", "body": body, "headers": {"Content-Type": "application/json"}},
    ]
    elsewhere = Reply(b"<!doctype html><p>elsewhere", "text/html", policy="")
    with LoopbackServer({("GET", ""): lambda fields: elsewhere}) as other:
        page = browser.new_page()
        page.goto(other.url)
        for options in tries:
            name = "correct" if "method" in options else "corrections?r=0"
            assert page.evaluate(TRY, [f"{server.url}{name}", options]) == ""
        page.close()
    assert log_of(tmp_path) == []


@pytest.fixture
def sorted_copy(sorted_study: Path, tmp_path: Path) -> Path:
    """Results that may be corrected."""
    return Path(shutil.copytree(sorted_study, tmp_path / "out"))


@pytest.fixture
def real(sorted_copy: Path, browser: Driven) -> Iterator[Watched]:
    """The page of `spikesorter view` itself."""
    with show_results(sorted_copy) as (server, _):
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        watched = Watched(page, server, sees=())
        bring_into_sight(page.locator("#trace-0"))
        watched.sees("doubtful spikes reviewed")
        yield watched
        page.close()
    assert watched.wrong == []
    assert {url for url in watched.asked if not url.startswith((server.url, "data:"))} == set()


def test_the_real_page_is_paged_and_its_doubtful_spikes_are_reviewed(
    real: Watched, sorted_copy: Path, screenshot: Callable[[Page], None]
) -> None:
    page = real.page
    trace = page.locator(".trace-view").first
    bring_into_sight(trace)
    expect(trace.locator(".status").first).to_contain_text("page 1 of 32")
    trace.focus()
    press(real, "ArrowRight", "page 2 of 32")
    press(real, "n", "doubtful spike 1 of")
    press(real, "x", "is rejected.")
    expect(trace.locator(".status").first).not_to_contain_text("doubtful spike 1 of")
    real.sees("not yet reviewed")  # the next one, which tells most
    press(real, "a", "is accepted.")
    screenshot(page)
    first, second = CorrectionLog(sorted_copy / CORRECTED / "D2.jsonl").read()
    assert (first.action, second.action) == ("reject", "accept")
    page.get_by_role("button", name="Save as labels").first.click()
    real.sees("spikesorter train")
    found, labels = (
        read_labels(path, fs_hz=25_000.0)
        for path in (sorted_copy / "predictions" / "D2.mat", sorted_copy / CORRECTED / "D2.csv")
    )
    assert len(labels) == len(found) - 1
    assert first.sample not in labels.sample


def test_spikes_are_added_and_moved_by_a_click_or_by_keys(real: Watched, sorted_copy: Path) -> None:
    page = real.page
    press(real, "n", "doubtful spike 1 of")
    real.sees("Spike of unit")
    press(real, "i", "Click where a spike is missing")
    bring_into_sight(page.locator("#recording-0 .plot[data-trace]"))
    box = page.locator("#recording-0 .nsewdrag").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 60)
    real.sees("is added at", "it fits best there", ": added.")
    page.keyboard.press("Escape")
    press(real, "m", "Click where the spike belongs")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowRight")
    press(real, "Enter", "the spike is moved to")
    press(real, "u", "Undone: the spike of unit")
    press(real, "u", "Undone: a spike of unit")
    log = CorrectionLog(sorted_copy / CORRECTED / "D2.jsonl").read()
    assert [change.action for change in log] == ["add", "move", "undo", "undo"]
    assert log[0].spike == log[1].spike  # type: ignore[union-attr]


@pytest.mark.firefox
def test_units_are_split_by_a_lasso_and_merged_by_one_click(
    real: Watched, sorted_copy: Path, screenshot: Callable[[Page], None]
) -> None:
    page = real.page
    bring_into_sight(page.locator("#grouping-0"))
    page.get_by_text("Features of the spikes, and proposals").first.click()
    real.sees("Units with two modes")
    canvas = page.locator("#recording-0 canvas.scatter")
    bring_into_sight(canvas)
    box = canvas.bounding_box()
    assert box
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()
    real.sees("spikes are chosen:")
    screenshot(page)
    # one unit alone, by a range of values, with the keyboard
    page.get_by_label("Unit to choose from").first.select_option(label="unit 1")
    page.get_by_label("from", exact=True).first.fill("0")
    page.get_by_role("button", name="Choose", exact=True).first.press("Enter")
    expect(page.locator("#recording-0 .chosen")).to_have_text(
        re.compile(r"^\d+ spikes are chosen: \d+ of unit 1\.$")
    )
    page.get_by_role("button", name="Make a new unit").first.press("Enter")
    real.sees("are of unit 4.")
    merge = page.locator("#recording-0 .proposals li.proposed").get_by_role("button", name="Merge")
    if not merge.count():  # the whole of unit 1 was chosen, so that the pair is not there
        merge = page.get_by_role("button", name="Undo").first
    merge.first.click()
    log = CorrectionLog(sorted_copy / CORRECTED / "D2.jsonl")
    expect(page.locator("#recording-0 .viewer-status")).to_contain_text(re.compile("merged into|Undone"))
    assert log.read()[0].action == "rename"
    assert log.read()[1].action in ("merge", "undo")


def test_the_real_page_pictures_doubtful_spikes_and_judges_above_the_trace(real: Watched) -> None:
    page = real.page
    bring_into_sight(page.locator("#trace-0"))
    real.sees("page 1 of 32")
    buttons = page.locator("#recording-0 [data-doubtful]")
    expect(buttons.locator("svg polyline")).to_have_count(buttons.count())
    judge = page.locator("#recording-0").get_by_role("button", name="Reject").bounding_box()
    plot = page.locator("#recording-0 .plot[data-trace]").bounding_box()
    assert judge
    assert plot
    assert judge["y"] + judge["height"] <= plot["y"]


def test_the_real_page_draws_its_figures_when_they_come_into_sight(real: Watched) -> None:
    assert not any("figures" in url for url in real.asked)
    plots = real.page.locator("#recording-1 figure .plot")
    for plot in plots.all():
        bring_into_sight(plot)
        expect(plot.locator(".main-svg").first).to_be_visible()
    assert sum("figures?r=1" in url for url in real.asked) == 1


def test_no_serious_barrier_is_found_in_the_viewer(real: Watched) -> None:
    bring_into_sight(real.page.locator(".trace-view").first)
    real.sees("page 1 of 32")
    found = Axe().run(real.page).response["violations"]
    assert {one["id"] for one in found if one["impact"] in ("serious", "critical")} == set()


def test_the_file_that_the_browser_is_started_with_leads_to_the_page(
    browser: Driven, server: LoopbackServer
) -> None:
    page = browser.new_page()
    with redirecting_file(server.url) as path:
        page.goto(path.as_uri())
        page.wait_for_url(server.url)
    expect(page.locator("#markers")).to_be_attached()
    page.close()


def no_serious_barrier(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert {one["id"] for one in found if one["impact"] in ("serious", "critical")} == set()


def test_from_the_start_page_to_the_viewer(browser: Driven, study_folder: Path, tmp_path: Path) -> None:
    """With the keyboard alone, once the files are chosen."""
    start = StartPage(load_settings(assignments=PURSUIT))
    with LoopbackServer(start.routes()) as server:
        start.on_done = server.replace
        page = browser.new_page()
        viewer = Watched(page, server, sees=("Sort a recording",))
        no_serious_barrier(page)
        page.get_by_label("Recording to learn from").fill(str(study_folder / "none.mat"))
        page.get_by_label("Folder for the results").fill(str(tmp_path / "out"))
        page.get_by_role("button", name="Learn and sort").click()
        expect(page.locator("#problem")).to_contain_text("none.mat: no such file")
        page.get_by_role("button", name="Show the trace").press("Enter")
        expect(page.locator("#preview-problem")).to_contain_text("none.mat: no such file")
        page.get_by_label("Recording to learn from").fill(str(study_folder))
        page.get_by_role("button", name="Browse").first.click()
        page.get_by_role("button", name="D1.mat").press("Enter")
        expect(page.get_by_label("Recording to learn from")).to_have_value(str(study_folder / "D1.mat"))
        viewer.sees("D1: 0 to 4 s of 8 s, 25000 Hz.")  # the trace of what was chosen
        page.get_by_label("Recordings to sort").fill(str(study_folder / "D2.mat"))
        page.get_by_label("Recording to show").select_option("D2.mat")
        viewer.sees("D2: 0 to 4 s of 8 s, 25000 Hz.")
        page.get_by_label("Place in the recording").press("ArrowRight")
        viewer.sees("D2: 1 to 5 s of 8 s")
        page.get_by_role("spinbutton", name="From").fill("2")
        page.locator("#bad-to").fill("3.5")
        page.locator("#bad-to").press("Enter")
        viewer.sees("2 to 3.5 s is marked as bad.")
        no_serious_barrier(page)
        page.get_by_role("button", name="Learn and sort").press("Enter")
        expect(page.get_by_role("heading", name="Results in out")).to_be_visible()
        viewer.sees("1.5 of 8 s are bad and were left out: given 1.5 s")
        page.close()
    assert start.session is not None
    assert start.session.corrections({"r": 0})["changed"] == 0
    found = read_labels(tmp_path / "out" / "D2.mat", fs_hz=25_000.0)
    assert len(found.within(0, 50_000)) > 0
    assert len(found.within(50_000, 87_500)) == 0
    assert [text for text in viewer.wrong if "400" not in text] == []


@pytest.fixture
def tetrode(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Twenty seconds of four channels, as raw numbers; the third is loud from 10 to 12 s."""
    trace = rng.normal(size=(400_000, 4)) * 20
    trace[200_000:240_000, 2] *= 30
    trace.astype(np.int16).tofile(tmp_path / "probe.dat")
    return tmp_path / "probe.dat"


def test_the_trace_is_looked_at_and_bad_stretches_are_marked_by_dragging(
    browser: Driven, tetrode: Path, screenshot: Callable[[Page], None]
) -> None:
    with LoopbackServer(StartPage(load_settings()).routes()) as server:
        page = browser.new_page(viewport={"width": 1200, "height": 1100})
        viewer = Watched(page, server, sees=("Sort a recording",))
        page.get_by_label("Recording to learn from").fill(str(tetrode))
        page.get_by_role("button", name="Show the trace").click()
        viewer.sees("raw binary files have no header; give fs_hz")
        page.get_by_text("Raw binary, and other files").click()
        for label, value in (("Sampling rate", "20000"), ("Type of a sample", "int16"), ("Number of", "4")):
            page.get_by_label(label).fill(value)
        page.get_by_role("button", name="Show the trace").click()
        viewer.sees("probe: 0 to 4 s of 20 s, 20000 Hz.")
        expect(page.locator("#preview-problem")).to_be_empty()
        overview = page.locator("#overview")
        bring_into_sight(overview)
        at = overview.bounding_box()
        assert at
        page.mouse.click(at["x"] + 0.55 * at["width"], at["y"] + 10)
        viewer.sees("9 to 13 s of 20 s")
        strip = page.locator("#strip")
        bring_into_sight(strip)
        box = strip.bounding_box()
        assert box
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 60, steps=5)
        page.mouse.up()
        listed = page.locator("#bad li")
        expect(listed).to_have_text(re.compile("^10(\\.00\\d)? to 12(\\.00\\d)? s Remove$"))
        page.get_by_label("2", exact=True).uncheck()  # the third channel
        viewer.sees("9 to 13 s of 20 s")
        screenshot(page)
        ((path, ((start, stop),)),) = chosen(page)["bad"].items()
        assert (path, start, stop) == (str(tetrode), pytest.approx(10, abs=0.01), pytest.approx(12, abs=0.01))
        assert chosen(page)["channels"] == ["0", "1", "3"]
        page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 50)  # no stretch
        page.get_by_role("button", name="Remove 10").click()
        expect(listed).to_have_count(0)
        assert chosen(page)["bad"] == {}
        page.set_viewport_size({"width": 390, "height": 740})
        eventually(lambda: bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth")), page)
        page.close()
    assert [text for text in viewer.wrong if "400" not in text] == []


@pytest.mark.firefox
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:The extractor is not serializable")
def test_a_segment_is_chosen_with_the_keyboard_alone(browser: Driven, tmp_path: Path) -> None:
    parts = [np.arange(n, dtype=np.int16)[:, None] % 7 for n in (40_000, 60_000)]
    NumpyRecording(parts, 20_000.0).save(folder=tmp_path / "night", verbose=False)
    with LoopbackServer(StartPage(load_settings()).routes()) as server:
        page = browser.new_page()
        viewer = Watched(page, server, sees=("Sort a recording",))
        expect(page.get_by_label("Segment, of all")).to_be_hidden()
        page.get_by_label("Recording to learn from").fill(str(tmp_path / "night"))
        page.get_by_role("button", name="Show the trace").press("Enter")
        viewer.sees("night: has 2 segments; choose one above.")
        no_serious_barrier(page)
        page.get_by_label("Segment, of all").select_option("1 (3 s)")
        viewer.sees("night-segment1: 0 to 3 s of 3 s, 20000 Hz.")
        page.locator("#bad-from").fill("1")
        page.locator("#bad-to").fill("2")
        page.locator("#bad-to").press("Enter")
        assert chosen(page)["reading"]["segment"] == "1"
        assert chosen(page)["bad"] == {str(tmp_path / "night"): [[1, 2]]}
        page.get_by_label("Segment, of all").select_option("0 (2 s)")
        viewer.sees("night-segment0: 0 to 2 s of 2 s")
        assert chosen(page)["bad"] == {}  # that was of the other segment
        page.get_by_label("Recording to learn from").fill("elsewhere")
        expect(page.get_by_label("Segment, of all")).to_be_hidden()
        assert chosen(page)["reading"]["segment"] == ""
        page.close()
    assert [text for text in viewer.wrong if "400" not in text] == []


def chosen(page: Page) -> dict[str, Any]:
    return dict(page.evaluate("window.startPage.chosen()"))


def test_noise_and_metrics_come_when_they_are_wanted(real: Watched) -> None:
    page = real.page
    bring_into_sight(page.locator("#recording-0 .strip"))
    expect(page.locator("#noise-0")).to_have_attribute("d", re.compile("^M0 "))
    assert not any("metrics" in url for url in real.asked)
    page.locator("#recording-0 details.metrics summary").press("Enter")
    rows = page.locator("#recording-0 details.metrics tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator("#recording-0 details.metrics caption")).to_contain_text("spikeinterface.metrics")
    page.set_viewport_size({"width": 390, "height": 740})  # a list, not a table
    expect(rows.first.locator("td").first).to_have_attribute("data-head", "precision")
    eventually(lambda: bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth")), page)
