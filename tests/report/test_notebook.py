from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.score import score
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.report import drawing
from spikesorter.report.notebook import score_html, sorter_html, spikes_html
from spikesorter.simulate import simulate_study
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = pytest.mark.slow

HARMFUL = "<script>alert(1)</script>"


def parsed(html: str) -> ET.Element:
    """The page as a tree: fails where a tag is left open or a name is not escaped."""
    return ET.fromstring(html)


def words(html: str) -> list[str]:
    return [text.strip() for text in parsed(html).itertext() if text.strip()]


def test_spikes_show_each_unit_and_when_it_fired() -> None:
    spikes = Spikes.from_arrays(
        [0, 25_000, 49_999], [1, 2, 1], [1, 0.5, 1], fs_hz=25_000, names={1: HARMFUL, 3: "silent"}
    )
    page = words(spikes_html(spikes))
    assert "3 spikes in 2.0 s" in page
    assert page[page.index(HARMFUL) :][:4] == [HARMFUL, "2", "1.00", "1.000"]
    assert page[page.index("silent") :][:3] == ["silent", "0", "0.00"]
    marks = [path.get("d") for path in parsed(spikes_html(spikes)).iter() if path.tag.endswith("path")]
    assert [(d or "").count("M") for d in marks] == [2, 1, 0]


def test_no_spikes_are_shown_too() -> None:
    assert "0 spikes" in words(spikes_html(Spikes.empty()))


def test_a_score_shows_its_figures_and_who_was_taken_for_whom() -> None:
    true = Spikes.from_arrays([100, 300, 500], [1, 2, 1])
    result = score(true, Spikes.from_arrays([104, 300], [1, 1]))
    assert repr(result) == (
        "Score(0.473: detection F1 0.800 (precision 1.000, recall 0.667), "
        "classification F1 0.333; strict 0.250)"
    )
    page = words(score_html(result))
    assert "Score 0.473" in page
    assert "2, found as 1: 1" in page
    assert "1, found as missed: 1" in page
    named = score(true.described(fs_hz=25_000, names={1: HARMFUL, 2: "b"}), true)
    assert {f"{HARMFUL}, found as {HARMFUL}: 2", HARMFUL, "b"} <= set(words(score_html(named)))


def test_a_sorter_shows_its_units_and_what_to_expect() -> None:
    labelled = simulate_study(units=2, seconds=6, noise_levels=(1.0,))[0]
    settings = load_settings(assignments=PURSUIT)
    truth = labelled.spikes.described(fs_hz=FS_HZ, names={1: "a & b", 2: HARMFUL})
    recording = NumpyRecording([labelled.trace], FS_HZ)
    sorter = Sorter.fit(recording, truth, settings=settings)
    page = words(sorter_html(sorter))
    assert {"a & b", HARMFUL, "expected F1"} <= set(page)
    assert sorter.score(recording, truth) == score(truth, sorter.sort(recording), fs_hz=FS_HZ).score > 0.9
    assert sorter.settings.rehearsal == settings.rehearsal


def test_curves_fill_the_picture() -> None:
    picture = parsed(drawing.lines(np.array([[0.0, 1.0, -1.0]]), ["one"]))
    (line,) = [part for part in picture if part.tag.endswith("polyline")]
    points = np.array([point.split(",") for point in (line.get("points") or "").split()], float)
    np.testing.assert_allclose(points, [[0, 60], [210, 0], [420, 120]])


def test_a_notebook_draws_without_being_asked() -> None:
    code = """
import sys, types
shown = {}
class Formatter:
    def for_type_by_name(self, module, name, draw):
        shown[module, name] = draw
shell = types.SimpleNamespace(display_formatter=types.SimpleNamespace(formatters={"text/html": Formatter()}))
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
import spikesorter
spikes = spikesorter.Spikes.from_arrays([3], [1])
print(shown[type(spikes).__module__, type(spikes).__name__](spikes)[:5], len(shown))
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown == "<div> 3\n"


def test_bad_stretches_are_told_shaded_and_left_out_of_rates() -> None:
    bad = BadStretches.of([(10_000, 22_500, "dead"), (60_000, 70_000, "artefact")])
    spikes = Spikes([0, 25_000, 49_999], [1, 2, 1], fs_hz=25_000, bad=bad)
    page = words(spikes_html(spikes))
    assert "3 spikes in 2.0 s, of which 0.5 s are bad" in page
    assert page[page.index("1") :][:3] == ["1", "2", "1.33"]
    rects = [one for one in parsed(spikes_html(spikes)).iter() if one.tag.endswith("rect")]
    assert [(one.get("x"), one.get("width")) for one in rects] == [("144.0", "105.0")]
