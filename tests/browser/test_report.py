"""The report in a real browser: what a person sees and does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.report.contents import report_contents
from spikesorter.report.packing import pack
from spikesorter.report.page import page_html, write_page
from spikesorter.report.results import Result
from spikesorter.sorting.sorter import Sorter
from tests.browser.conftest import Driven, bring_into_sight, eventually, only_chromium
from tests.report.test_contents import unpacked

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)</script>.mat"
HOSTILE_UNIT = "<img src=x onerror=alert(2)> $a$ %{x} &lt;"
SERIOUS = ("serious", "critical")
INKS = "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.layout.font.color)"


def renamed(result: Result, name: str, unit: str) -> Result:
    units = result.sorter.units
    names = (unit, *units.names[1:])
    sorter = Sorter._of(replace(result.sorter.state, units=replace(units, names=names)))
    return replace(result, name=name, sorter=sorter, spikes=replace(result.spikes, names={}))


@pytest.fixture(scope="session")
def report(results: list[Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D2 with its truth; a hostile one without."""
    hostile = replace(renamed(results[1], HOSTILE, HOSTILE_UNIT), truth=None)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(path, report_contents("Study <b>bold</b>", [results[0], hostile], overall=0.93))
    return path


class Opened:
    """A page that was opened offline, and all that went wrong or out of it."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.wrong = page, []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.route("**", self._asked)
        page.goto(path.as_uri())
        self.drawn_at_first = self.figures_drawn

    wrong: list[str]

    @property
    def figures_drawn(self) -> int:
        return self.page.locator(".plot").filter(has=self.page.locator(".main-svg")).count()

    def _heard(self, message: ConsoleMessage) -> None:
        self.wrong.append(message.text)

    def _asked(self, route: Route) -> None:
        url = route.request.url
        if url.startswith("file:") and url.endswith("report.html"):
            route.continue_()
        else:
            self.wrong.append(f"request: {url}")
            route.abort()

    def trace(self, r: int = 0) -> Locator:
        """Scroll to a recording's trace, wait until it is drawn, and give it."""
        section = self.page.locator(".trace-view").nth(r)
        bring_into_sight(section)
        expect(section.locator(".status")).to_contain_text("page")
        return section


@pytest.fixture
def opened(browser: Driven, report: Path) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    one = Opened(page, report)
    yield one
    page.close()
    assert one.wrong == []


@pytest.fixture(scope="module")
def whole(browser: Driven, report: Path) -> Iterator[Opened]:
    """A page on which everything is drawn, for the tests that only look at it: to draw it takes seconds."""
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    one = Opened(page, report)
    one.trace()
    one.trace(1)
    see_everything(page)
    yield one
    page.close()


@pytest.fixture
def drawn(whole: Opened) -> Iterator[Opened]:
    yield whole
    wrong, whole.wrong = whole.wrong, []
    assert wrong == []


@pytest.fixture(scope="module")
def on_a_phone(browser: Driven, report: Path) -> Iterator[Opened]:
    """The same on a narrow screen."""
    page = browser.new_page(viewport={"width": 390, "height": 740}, reduced_motion="reduce")
    one = Opened(page, report)
    one.trace()
    see_everything(page)
    yield one
    page.close()
    assert one.wrong == []


@pytest.fixture(scope="module")
def touched(browser: Driven, report: Path) -> Iterator[Opened]:
    """The same on a screen that is touched, with nothing drawn but the first trace."""
    page = browser.new_page(
        viewport={"width": 360, "height": 840}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    one = Opened(page, report)
    one.trace()
    yield one
    page.close()
    assert one.wrong == []


@contextmanager
def in_the_dark(opened: Opened) -> Iterator[None]:
    """Have the system's colours dark for a while, and wait until the page has followed."""
    only_chromium(opened.page, "no test can choose the system's colours")
    (light,) = set(opened.page.evaluate(INKS))
    opened.page.emulate_media(color_scheme="dark")
    eventually(lambda: light not in opened.page.evaluate(INKS), opened.page)
    try:
        yield
    finally:
        opened.page.emulate_media(color_scheme="light")
        eventually(lambda: set(opened.page.evaluate(INKS)) == {light}, opened.page)


def see_everything(page: Page) -> None:
    """Scroll through the whole page, so that everything is drawn."""
    for plot in page.locator(".plot").all():
        bring_into_sight(plot)
        expect(plot.locator(".main-svg").first).to_be_visible()


def seconds(status: str | None) -> tuple[float, float]:
    found = re.match(r"([\d.]+) to ([\d.]+) s", status or "")
    assert found
    return float(found[1]), float(found[2])


def test_it_opens_offline_with_words_first_and_draws_all_figures(
    drawn: Opened, screenshot: Callable[[Page], None]
) -> None:
    page = drawn.page
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("header .verdict")).to_have_text(
        re.compile("✔ good .* are right .* are found. .*Study score 0.930")
    )
    expect(page.locator("#summary ~ .scrolling tbody tr")).to_have_count(2)
    screenshot(page)
    assert page.locator(".plot .main-svg").count() >= 18


def test_words_and_tables_need_no_javascript(browser: Driven, report: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    expect(page.locator("noscript")).to_be_visible()
    expect(page.locator(".recording .verdict").first).to_contain_text("against the truth")
    assert page.locator(".strip-picture").first.is_visible()
    assert page.locator(".card .bars").first.is_visible()
    page.locator(".recording summary", has_text="Facts").first.click()
    assert page.locator(".facts dd").first.is_visible()
    page.context.close()


def test_pages_are_turned_by_button_and_key(opened: Opened, screenshot: Callable[[Page], None]) -> None:
    trace = opened.trace()
    status = trace.locator(".status")
    expect(status).to_contain_text("0.000 to 0.250 s of 8.0 s, page 1 of 32")
    trace.get_by_role("button", name="Next page").click()
    expect(status).to_contain_text("page 2 of 32")
    trace.focus()
    opened.page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("0.500 to 0.750 s")
    opened.page.keyboard.press("ArrowLeft")
    expect(status).to_contain_text("page 2 of 32")
    opened.page.keyboard.press("g")
    opened.page.keyboard.type("7.9")
    opened.page.keyboard.press("Enter")
    expect(status).to_contain_text("page 32 of 32")
    opened.page.keyboard.press("ArrowLeft")  # the field has no focus any more
    expect(status).to_contain_text("page 31 of 32")
    for _ in range(2):
        opened.page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("page 32 of 32")
    screenshot(opened.page)


def test_the_trace_is_zoomed_by_button_key_and_mouse(opened: Opened) -> None:
    trace = opened.trace()
    status = trace.locator(".status")
    trace.get_by_role("button", name="Zoom in").click()
    expect(status).to_contain_text("0.063 to 0.188 s")
    axis = "document.querySelector('.plot[data-trace]').layout.xaxis.range"
    assert opened.page.evaluate(axis) == pytest.approx([0.0625, 0.1875])
    trace.focus()
    opened.page.keyboard.press("+")
    expect(status).to_contain_text("0.094 to 0.156 s")
    opened.page.keyboard.press("-")
    expect(status).to_contain_text("0.063 to 0.188 s")
    box = trace.locator(".nsewdrag").first.bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 500, box["y"] + 50)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 300, box["y"] + 50, steps=4)
    opened.page.mouse.up()
    expect(status).not_to_contain_text("0.063 to 0.188 s")
    low, high = seconds(status.text_content())
    assert 0.0625 < low < high <= 0.25
    trace.focus()
    opened.page.keyboard.press("0")
    expect(status).to_contain_text("0.000 to 0.250 s")


@pytest.mark.firefox
def test_a_double_click_shows_the_whole_page_that_one_is_on(opened: Opened) -> None:
    trace = opened.trace()
    status = trace.locator(".status")
    trace.get_by_role("button", name="Next page").click()
    expect(status).to_contain_text("0.250 to 0.500 s")
    axis = "document.querySelector('.plot[data-trace]')._fullLayout.xaxis.range"
    for zoomed in (True, False):
        if zoomed:
            trace.get_by_role("button", name="Zoom in").click()
            expect(status).to_contain_text("0.313 to 0.438 s")
        trace.locator(".nsewdrag").first.dblclick()
        expect(status).to_contain_text("0.250 to 0.500 s")
        opened.page.wait_for_timeout(500)  # Plotly would answer to the second click after a while
        assert opened.page.evaluate(axis) == pytest.approx([0.25, 0.5])


def test_a_trace_that_is_drawn_over_its_end_stays_on_its_page(opened: Opened) -> None:
    trace = opened.trace()
    box = trace.locator(".nsewdrag").first.bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 300, box["y"] + 50)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 500, box["y"] + 50, steps=4)
    opened.page.mouse.up()
    axis = "document.querySelector('.plot[data-trace]')._fullLayout.xaxis.range"
    eventually(lambda: opened.page.evaluate(axis) == [0, 0.25], opened.page)


def is_a_page(shown: tuple[float, float]) -> bool:
    return shown[1] - shown[0] == pytest.approx(0.25)


@pytest.mark.firefox
def test_keys_work_on_a_fresh_page_for_the_trace_of_the_recording_in_sight(opened: Opened) -> None:
    page, status = opened.page, opened.page.locator(".trace-view .status")
    page.keyboard.press("n")
    expect(status.first).to_contain_text("doubtful spike 1 of")
    expect(status.first).to_be_in_viewport()
    page.keyboard.press("w")
    eventually(lambda: is_a_page(seconds(status.first.text_content())), page)
    page.locator("#name-1").evaluate("name => name.scrollIntoView({behavior: 'instant'})")
    page.keyboard.press("ArrowRight")
    expect(status.nth(1)).to_contain_text("page 2 of 32")


def test_doubtful_spikes_are_gone_to_one_after_the_other(
    opened: Opened, screenshot: Callable[[Page], None]
) -> None:
    trace = opened.trace(1)
    buttons = opened.page.locator("#recording-1 .doubtful button")
    assert buttons.count() > 1
    trace.focus()
    for k in range(2):
        opened.page.keyboard.press("n")
        expect(trace.locator(".status")).to_contain_text(f"doubtful spike {k + 1} of {buttons.count()}")
        expect(buttons.nth(k)).to_have_attribute("aria-current", "true")
        text = buttons.nth(k).text_content()
        assert text
        at = float(text.split(" s")[0])
        low, high = seconds(trace.locator(".status").text_content())
        assert low <= at <= high
        assert high - low < 0.031
    screenshot(opened.page)
    opened.page.keyboard.press("p")
    expect(buttons.nth(0)).to_have_attribute("aria-current", "true")
    buttons.nth(1).click()
    expect(trace.locator(".status")).to_contain_text("doubtful spike 2")


def test_the_trace_shows_what_was_found_and_what_is_true(drawn: Opened, results: list[Result]) -> None:
    series: list[dict[str, Any]] = drawn.page.evaluate(
        "document.querySelector('.plot[data-trace]').data"
        ".map(d => ({meta: d.meta, x: [...d.x], y: [...d.y]}))"
    )
    truth = results[0].truth
    assert truth is not None
    for group, spikes in (("found", results[0].spikes), ("true", truth)):
        shown = sorted(x for one in series if one["meta"] == group for x in one["x"])
        assert shown == pytest.approx((spikes.within(0, 6250).sample / 25_000).tolist())
    evidence = [one for one in series if one["meta"] == "evidence"]
    assert max(max(one["y"]) for one in evidence) > 0.5
    (trace,) = (one for one in series if one["meta"] == "trace")
    assert len(trace["x"]) == 6250


def test_hostile_names_are_shown_as_text(drawn: Opened) -> None:
    page = drawn.page
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    assert page.locator("img").count() == 0
    assert page.locator("h1 b").count() == 0
    assert page.evaluate("[...document.scripts].filter(s => s.textContent === 'alert(1)').length") == 0
    section = page.locator("#recording-1")
    expect(section.locator("tbody th").first).to_contain_text(HOSTILE_UNIT)
    titles = section.locator(".plot[data-figure='0'] .annotation-text").all_text_contents()
    assert HOSTILE_UNIT in titles
    expect(section.locator(".trace-view .legendtext").get_by_text(HOSTILE_UNIT, exact=True)).to_have_count(1)


def test_a_name_that_is_no_unicode_is_shown_as_far_as_it_goes(results: list[Result]) -> None:
    html = page_html(report_contents("one", [replace(results[1], name="D\udcff2.mat")]))
    assert r"D\xff2.mat" in html
    html.encode("utf-8")


def test_nothing_on_the_page_offers_to_upload(drawn: Opened) -> None:
    offered = drawn.page.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map(one => one.dataset.title ?? one.ariaLabel)"
    )
    assert sorted(set(offered)) == ["Download plot", "Reset axes", "Zoom in", "Zoom out"]


def test_doubtful_spikes_are_shown_small_on_their_buttons(drawn: Opened) -> None:
    buttons = drawn.page.locator("#recording-0 [data-doubtful]")
    expect(buttons.locator("svg polyline")).to_have_count(buttons.count())
    points = buttons.first.locator("polyline").get_attribute("points")
    assert points
    assert 100 <= len(points.split()) <= 150  # 6 ms at 25 kHz


def test_the_legend_names_a_unit_once(drawn: Opened) -> None:
    entries = drawn.trace().locator(".legendtext")
    expect(entries.first).to_be_visible()
    named = entries.all_text_contents()
    units = drawn.page.locator("#recording-0 tbody th").all_text_contents()
    assert len(named) == len(set(named))
    assert set(named) <= {name.split()[-1] for name in units}


def test_several_channels_lie_one_above_the_other(
    browser: Driven, results: list[Result], tmp_path: Path
) -> None:
    one = report_contents("two", results[:1])
    shown = one["recordings"][0]
    # The sorter knows one channel: what the page is given of another is a copy of it.
    shown["channels"] = ["left", "right"]
    trace = shown["embedded"]["trace"]
    shown["embedded"] |= {
        "trace": pack(np.repeat(unpacked(trace), 2, axis=1), "u1"),
        "low": shown["embedded"]["low"] * 2,
        "step": shown["embedded"]["step"] * 2,
    }
    write_page(tmp_path / "report.html", one)
    page = browser.new_page()
    opened = Opened(page, tmp_path / "report.html")
    trace = opened.trace()
    left, right = (trace.get_by_text(name, exact=True).bounding_box() for name in ("left", "right"))
    assert left
    assert right
    assert left["y"] + 50 < right["y"]
    page.close()
    assert opened.wrong == []


def test_colours_follow_the_systems(opened: Opened, screenshot: Callable[[Page], None]) -> None:
    only_chromium(opened.page, "no test can choose the system's colours")
    opened.trace()
    ink = "document.querySelector('.plot[data-trace]').layout.font.color"
    paper = "getComputedStyle(document.body).backgroundColor"
    light = opened.page.evaluate(f"[{ink}, {paper}]")
    opened.page.emulate_media(color_scheme="dark")
    eventually(lambda: opened.page.evaluate(ink) != light[0], opened.page)
    assert opened.page.evaluate(paper) != light[1]
    screenshot(opened.page)


def test_numbers_in_the_confusion_matrix_are_light_in_the_dark(drawn: Opened) -> None:
    fills = "[...document.querySelectorAll('.heatmap-label text')].map(one => one.style.fill)"
    with in_the_dark(drawn):
        eventually(lambda: set(drawn.page.evaluate(fills)) == {"rgb(230, 237, 243)"}, drawn.page)


def test_on_a_phone_no_legend_lies_on_an_axis(on_a_phone: Opened) -> None:
    covered = """[...document.querySelectorAll('.plot')].filter(plot => {
        const legend = plot.querySelector('.legend')?.getBoundingClientRect();
        return legend && [...plot.querySelectorAll('.xtitle')].some(title => {
            const box = title.getBoundingClientRect();
            return box.bottom > legend.top + 1 && box.top < legend.bottom - 1
                && box.right > legend.left && box.left < legend.right;
        });
    }).map(plot => plot.closest('figure')?.querySelector('h4').textContent ?? 'trace')"""
    assert on_a_phone.page.evaluate(covered) == []
    assert on_a_phone.wrong == []


def swipe(page: Page, fingers: list[list[tuple[float, float]]]) -> None:
    """Move fingers over a touch screen: for each, where it is over time."""
    session = page.context.new_cdp_session(page)
    for number, places in enumerate(zip(*fingers, strict=True)):
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_fingers_scroll_the_page_and_move_and_zoom_the_trace(touched: Opened) -> None:
    page = touched.page
    status = touched.trace().locator(".status")
    page.locator(".plot[data-trace]").first.evaluate("plot => plot.scrollIntoView({block: 'center'})")
    box = page.locator(".plot[data-trace]").first.bounding_box()
    assert box
    x, y = box["x"] + 220, box["y"] + 200
    swipe(page, [[(x - 2 * k, y) for k in range(20)], [(x + 2 + 2 * k, y) for k in range(20)]])
    eventually(lambda: seconds(status.text_content()) != (0.0, 0.25), page)
    low, high = seconds(status.text_content())
    assert high - low < 0.2
    swipe(page, [[(x - 5 * k, y) for k in range(12)]])
    eventually(lambda: seconds(status.text_content())[0] > low, page)
    moved = seconds(status.text_content())
    assert moved[1] - moved[0] == pytest.approx(high - low, abs=0.003)
    before = page.evaluate("scrollY")
    swipe(page, [[(x, y - 12 * k) for k in range(12)]])
    eventually(lambda: page.evaluate("scrollY") > before + 50, page)
    assert seconds(status.text_content()) == moved
    assert touched.wrong == []


def test_a_phone_needs_no_scrolling_sideways(touched: Opened) -> None:
    see_everything(touched.page)
    assert touched.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert touched.wrong == []


def test_on_a_phone_tables_are_not_cut_and_help_is_for_fingers(touched: Opened) -> None:
    cut = """[...document.querySelectorAll('.scrolling:has(> table)')].filter(one =>
        one.scrollWidth > one.clientWidth + 1).length"""
    assert touched.page.evaluate(cut) == 0
    cells = touched.page.locator("#recording-0 .wide tbody tr").first
    expect(cells).to_contain_text("good")
    expect(touched.page.get_by_text("One finger moves the trace").first).to_be_visible()
    expect(touched.page.locator(".keyboard").first).not_to_be_visible()


def test_the_strip_of_the_whole_recording_leads_to_its_places(opened: Opened) -> None:
    page = opened.page
    place, shown = page.locator("#recording-0 .strip-place"), page.locator("#recording-0 .window")
    box = place.bounding_box()
    assert box
    place.click(position={"x": box["width"] * 0.76, "y": 10})
    status = page.locator("#recording-0 .trace-view .status")
    expect(status).to_contain_text("6.000 to 6.250 s of 8.0 s, page 25 of 32")
    window = shown.bounding_box()
    assert window
    assert (window["x"] - box["x"]) / box["width"] == pytest.approx(0.75, abs=0.005)
    slider = page.get_by_label("Place in the recording").first
    expect(slider).to_have_value("24")
    slider.press("ArrowRight")
    expect(status).to_contain_text("page 26 of 32")
    slider.press("Home")
    expect(status).to_contain_text("page 1 of 32")


@pytest.mark.parametrize("width", [390, 1200, 1900])
def test_each_row_of_the_strip_lies_beside_its_name(width: int, opened: Opened) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    names = opened.page.locator("#recording-0 .strip-names li").all()
    picture = opened.page.locator("#recording-0 .strip-picture").bounding_box()
    assert picture
    row = picture["height"] / len(names)
    for k, name in enumerate(names):
        box = name.bounding_box()
        assert box
        assert box["y"] == pytest.approx(picture["y"] + k * row, abs=1)


def test_the_first_screen_has_the_answer_and_a_picture(touched: Opened) -> None:
    touched.page.evaluate("scrollTo(0, 0)")
    expect(touched.page.locator("header .verdict")).to_be_in_viewport()
    expect(touched.page.locator(".small-strip").first).to_be_in_viewport()
    assert touched.page.locator(".small-strip").first.evaluate("one => one.getBBox().width") > 100


def test_two_spikes_at_one_sample_are_both_seen(
    browser: Driven, results: list[Result], tmp_path: Path
) -> None:
    spikes = results[0].spikes
    first, second = spikes.unit_ids[:2]
    twins = Spikes([1000, 1000, 5000], [first, second, first], fs_hz=spikes.fs_hz)
    path = tmp_path / "report.html"
    write_page(path, report_contents("Study", [replace(results[0], spikes=twins, truth=None)]))
    page = browser.new_page()
    opened = Opened(page, path)
    opened.trace()
    places = page.evaluate(
        """document.querySelector('.plot[data-trace]').data.filter(d => d.meta === "found")
        .flatMap(d => [...d.x].map((x, k) => [x, d.y[k]]))"""
    )
    low = min(y for _, y in places)
    assert sorted(x for x, _ in places) == [0.04, 0.04, 0.2]
    assert [x for x, y in places if y > low] == [0.04]
    page.close()
    assert opened.wrong == []


def test_printing_waits_until_all_is_drawn(opened: Opened) -> None:
    page = opened.page
    page.evaluate(
        "window.print = () => { window.printed = document.querySelectorAll('.plot .main-svg').length; }"
    )
    plots = page.locator(".plot").count()
    page.keyboard.press("Control+p")
    eventually(lambda: page.evaluate("window.printed ?? 0") >= plots, page)


PRINTED_AT_ONCE = """() => {
    dispatchEvent(new Event("beforeprint"));
    const plots = [...document.querySelectorAll(".plot")];
    const drawn = plots.filter((plot) => plot.querySelector(".main-svg path"));
    return [drawn.length, document.querySelectorAll("[data-doubtful] polyline").length];
}"""


@pytest.mark.firefox
def test_the_browsers_own_printing_which_waits_for_nothing_loses_nothing(opened: Opened) -> None:
    page = opened.page
    wanted = [page.locator(".plot").count(), page.locator("[data-doubtful]").count()]
    unpacked = "spikesorter.embedded.spanNow(1, ...spikesorter.contents.recordings[1].pages[0]) !== undefined"
    eventually(lambda: page.evaluate(unpacked), page)
    assert opened.figures_drawn < wanted[0]
    assert page.evaluate(PRINTED_AT_ONCE) == wanted
    assert page.locator("[data-late]").count() == 0


def test_on_paper_figures_fit_and_settings_are_unfolded(drawn: Opened) -> None:
    page = drawn.page
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot._fullLayout.width)"
    eventually(lambda: len(page.evaluate(widths)) == page.locator(".plot").count(), page)
    assert max(page.evaluate(widths)) <= 640
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    eventually(lambda: max(page.evaluate(widths)) > 640, page)
    assert page.locator("details[open]").count() == 0


def test_on_paper_everything_is_drawn_in_light_colours(browser: Driven, report: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    opened = Opened(page, report)
    opened.trace()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    eventually(lambda: page.locator(".plot .main-svg").count() >= 18, page)
    assert set(page.evaluate(INKS)) == {"#1b1f24"}
    assert len(page.pdf()) > 50_000
    page.close()
    assert opened.wrong == []


def barriers(page: Page) -> dict[str, str]:
    """Return the serious barriers that axe finds; what it has no complaint about is not listed."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return {one["id"]: one["nodes"][0]["html"] for one in found if one["impact"] in SERIOUS}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_is_found(scheme: str, drawn: Opened) -> None:
    with in_the_dark(drawn) if scheme == "dark" else nullcontext():
        assert barriers(drawn.page) == {}


def test_no_serious_barrier_is_found_on_a_phone(on_a_phone: Opened) -> None:
    assert barriers(on_a_phone.page) == {}
    assert on_a_phone.wrong == []


def test_a_page_is_under_ten_megabytes_and_opens_before_its_figures_are_drawn(
    drawn: Opened, report: Path
) -> None:
    assert report.stat().st_size < 10 << 20
    figures = drawn.page.locator(".plot").count()
    assert drawn.drawn_at_first < figures
    assert drawn.figures_drawn == figures


def test_a_full_page_of_long_recordings_stays_under_ten_megabytes(results: list[Result]) -> None:
    result = results[1]
    trace = np.tile(result.recording.get_traces(), (5, 1))
    long = replace(result, read=lambda: NumpyRecording([trace], 25_000.0), n_samples=len(trace), truth=None)
    assert len(page_html(report_contents("long", [long] * 12))) < 10 << 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bad_stretches_are_shaded_and_told(
    scheme: Any,
    browser: Driven,
    results: list[Result],
    tmp_path: Path,
    screenshot: Callable[[Page], None],
) -> None:
    bad = BadStretches.of([(1000, 3500, "artefact"), (4000, 4100, "saturated"), (100_000, 112_500, "dead")])
    result = replace(results[0], spikes=replace(results[0].spikes.outside(bad), bad=bad))
    path = tmp_path / "report.html"
    write_page(path, report_contents("Study", [result]))
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    opened = Opened(page, path)
    expect(page.locator("p.bad")).to_contain_text("0.604 of 8 s are bad and were left out: dead 0.5 s")
    trace = opened.trace()
    expect(trace.locator(".status")).to_contain_text("shaded: bad (artefact, saturated)")
    shapes = (
        "document.querySelector('.plot[data-trace]').layout.shapes.map((one) => [one.x0, one.label.text])"
    )
    assert page.evaluate(shapes) == [[0.04, "artefact"], [0.16, ""]]
    screenshot(page)
    trace.get_by_role("button", name="Next page").click()
    expect(trace.locator(".status")).to_contain_text("page 2 of 32")
    expect(trace.locator(".status")).not_to_contain_text("bad")
    assert barriers(page) == {}
    page.close()
    assert opened.wrong == []
