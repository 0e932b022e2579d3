from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.report.cards import strip, unit_cards
from spikesorter.report.contents import noise_contents, recording_contents, viewer_contents
from spikesorter.report.metrics import measure_shapes
from spikesorter.report.results import Result
from spikesorter.report.verdict import measured_score


def steps(path: str) -> list[float]:
    """Heights of an area's steps."""
    return [float(y) for y in re.findall(r"V([\d.]+)H", path)]


def test_a_strip_has_each_units_rate_from_beginning_to_end(results: list[Result]) -> None:
    result = results[0]
    unit = int(result.spikes.unit_ids[0])
    late = Spikes([190_000, 190_100, 199_999], [unit] * 3, fs_hz=25_000.0)
    shown = strip(replace(result, spikes=late), with_noise=False)
    first = shown["rows"][0]
    heights = steps(first["path"])
    assert len(heights) == 150
    assert set(heights[:140]) == {20.0}
    assert min(heights) == heights[int(190_000 / 200_000 * 150)] == 3.0  # two in one bin, and one in the last
    assert first["most"] == "at most 37.5 per second"
    assert shown["height"] == 20 * (len(result.sorter.units.known) + 1)
    assert shown["rows"][-1] == {"k": None, "name": "noise", "path": "", "most": ""}  # measured later


def test_a_strip_shows_noise_and_bad_stretches(results: list[Result]) -> None:
    bad = BadStretches.of([(100_000, 112_500, "dead")])
    spikes = results[0].spikes
    result = replace(results[0], spikes=replace(spikes.outside(bad), bad=bad))
    shown = strip(result, with_noise=True)
    assert shown["bad"] == [[500.0, 62.5]]
    noise = shown["rows"][-1]
    assert (noise["k"], noise["name"]) == (None, "noise")
    measured = float(noise["most"].split()[-1])
    assert measured == pytest.approx(float(result.sorter.profile.scale.max()), rel=0.5)


def test_thousands_of_bad_stretches_do_not_swell_a_strip(results: list[Result]) -> None:
    pulses = BadStretches.of([(start, start + 5, "artefact") for start in range(0, 199_000, 20)])
    spikes = results[0].spikes
    shown = strip(replace(results[0], spikes=replace(spikes.outside(pulses), bad=pulses)), with_noise=False)
    assert 900 < len(shown["bad"]) <= 1000


def test_each_unit_has_a_card_with_pictures_that_fit(results: list[Result]) -> None:
    result = results[0]
    shapes = measure_shapes(result.sorter, result.recording, result.spikes)
    cards = unit_cards(result, measured_score(result), shapes)
    assert [card["name"] for card in cards] == [
        result.sorter.names.get(u, str(u)) for u in result.sorter.units.known
    ]
    for card in cards:
        assert card["level"] == "good"
        assert "true spikes are found" in card["sentence"]
        for name in ("mean", "expected"):
            numbers = np.array(re.findall(r"-?[\d.]+", card["pictures"][name]), float).reshape(-1, 2)
            assert numbers.min() >= 0
            assert numbers[:, 0].max() == card["pictures"]["width"]
            assert numbers[:, 1].max() <= card["pictures"]["height"]
        assert card["pictures"]["amplitudes"].count("M") > 10


def test_no_spikes_have_cards_and_a_strip(results: list[Result]) -> None:
    silent = replace(results[0], spikes=Spikes.empty(), truth=None)
    shown = recording_contents(silent, budget_samples=100_000)
    assert {card["counts"] for card in shown["cards"]} == {"0 spikes, 0 per second"}
    assert {card["pictures"] for card in shown["cards"]} == {None}
    assert {card["level"] for card in shown["cards"]} == {"unknown"}


def test_the_viewer_reads_no_recording_for_them(results: list[Result]) -> None:
    one = viewer_contents("view", results)["recordings"][0]
    assert {card["pictures"] for card in one["cards"]} == {None}
    noise = one["strip"]["rows"][-1]
    assert (noise["name"], noise["path"]) == ("noise", "")  # there is room for it
    row = noise_contents(results[0])
    full = strip(results[0], with_noise=True)["rows"][-1]
    assert row == {"path": full["path"], "most": full["most"]}
