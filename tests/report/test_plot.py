from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter import plot
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.report.palette import SYMBOLS
from spikesorter.report.results import Result

TRUTH = Spikes.from_arrays(np.arange(1, 60) * 700, np.arange(59) % 3 + 1, fs_hz=25_000.0)


def names_of(figure: object) -> list[str]:
    return [str(one.get("name")) for one in json.loads(figure.to_json())["data"]]  # type: ignore[attr-defined]


def test_a_trace_shows_each_units_spikes_found_and_true(results: list[Result]) -> None:
    result = results[0]
    figure = plot.trace(result.recording, found=result.spikes, truth=result.truth, start_s=1, seconds=0.5)
    marks = [one for one in figure.data if one.mode == "markers"]
    inside = result.spikes.within(25_000, 37_500)
    found = [one for one in marks if one.name.startswith("found")]
    assert sum(len(one.x) for one in found) == len(inside)
    assert {one.marker.symbol for one in found} == {one.plotly for one in SYMBOLS[: len(inside.unit_ids)]}
    assert any(one.name.startswith("true") for one in marks)
    assert len(figure.data[0].x) == 12_500


def test_a_sorter_adds_its_evidence(results: list[Result]) -> None:
    result = results[0]
    figure = plot.trace(result.recording, found=result.spikes, sorter=result.sorter, seconds=0.1)
    curves = [one for one in figure.data if one.yaxis == "y2"]
    assert len(curves) == len(result.sorter.units.known)
    assert max(one.y.max() for one in curves) > 0.5


def test_a_part_beyond_the_end_is_refused(results: list[Result]) -> None:
    with pytest.raises(InputError, match="nothing to draw from second 99; the recording lasts 8 s"):
        plot.trace(results[0].recording, start_s=99)


def test_waveforms_stand_beside_the_labelled_ones(results: list[Result]) -> None:
    result = results[0]
    names = names_of(plot.waveforms(result.recording, result.spikes, result.sorter))
    units = len(result.sorter.units.known)
    for name in ("spread (SD)", "mean found here", "labelled recording, at this gain"):
        assert names.count(name) == units


def test_every_figure_of_no_spikes_says_so(results: list[Result]) -> None:
    result, nothing = results[0], Spikes.empty()
    for figure in (
        plot.waveforms(result.recording, nothing, result.sorter),
        plot.amplitudes(result.recording, nothing, result.sorter),
        plot.intervals(nothing, fs_hz=25_000.0),
        plot.correlograms(nothing, fs_hz=25_000.0),
    ):
        assert "no spikes" in [one.text for one in figure.layout.annotations]


def test_correlograms_are_of_the_busiest_eight() -> None:
    counts = [30 - k for k in range(10)]
    unit_ids = np.repeat(np.arange(1, 11), counts)
    spikes = Spikes.from_arrays(np.arange(len(unit_ids)) * 100, unit_ids, fs_hz=25_000.0)
    assert len(plot.correlograms(spikes).data) == 64


def test_the_confusion_matrix_names_units_and_counts(results: list[Result]) -> None:
    whole = score(TRUTH, TRUTH)
    heat = plot.confusion(whole, {1: "<b>bold</b>"}).data[0]
    assert list(heat.y) == ["&lt;b&gt;bold&lt;/b&gt;", "2", "3", "false"]
    assert np.array_equal(heat.text, whole.confusion)


def test_what_was_measured_is_drawn_beside_what_was_rehearsed(results: list[Result]) -> None:
    result = results[0]
    diagnostics = result.sorter.diagnostics
    assert "measured" not in names_of(plot.precision_recall(diagnostics))
    assert "measured" in names_of(plot.precision_recall(diagnostics, found=result.spikes, truth=result.truth))
    assert "measured" in names_of(plot.reliability(diagnostics, found=result.spikes, truth=result.truth))


def test_the_rehearsals_noise_is_like_the_recordings(results: list[Result]) -> None:
    labelled, target, rehearsed = plot.noise(results[1].sorter).data
    band = (np.asarray(target.x) > 300) & (np.asarray(target.x) < 5000)
    apart = np.abs(np.log(np.asarray(rehearsed.y)[band] / np.asarray(target.y)[band]))
    assert np.median(apart) < 0.05
    assert np.asarray(labelled.y)[band].mean() < 0.7 * np.asarray(target.y)[band].mean()


def test_the_rate_must_be_known() -> None:
    with pytest.raises(InputError, match="sampling rate is not known"):
        plot.intervals(Spikes.from_arrays([1], [1]))


BAD = BadStretches.of(
    [(25_000, 26_000, "artefact"), (26_010, 27_000, "artefact"), (100_000, 101_000, "dead")]
)


def shaded(figure: Any) -> list[tuple[float, float]]:
    paths = "".join(shape.path for shape in figure.layout.shapes if shape.type == "path")
    return [(float(a), float(b)) for a, b in re.findall(r"M([\d.]+),0V1H([\d.]+)V0Z", paths)]


def test_bad_stretches_are_shaded_over_time(results: list[Result]) -> None:
    result = results[0]
    spikes = replace(result.spikes.outside(BAD), bad=BAD)
    figure = plot.trace(result.recording, found=spikes, start_s=1.02, seconds=0.1)
    assert shaded(figure) == [(1.02, 1.04), (1.0404, 1.08)]
    assert shaded(plot.trace(result.recording, found=spikes, start_s=2, seconds=0.1)) == []
    # ten samples of 8 s cannot be told apart
    assert shaded(plot.amplitudes(result.recording, spikes, result.sorter)) == [(1.0, 1.08), (4.0, 4.04)]
    assert shaded(plot.amplitudes(result.recording, result.spikes, result.sorter)) == []


def test_missing_samples_are_drawn_as_a_gap() -> None:
    trace = np.sin(np.arange(2000.0))[:, None]
    trace[500:600], trace[700] = np.nan, np.inf
    figure = plot.trace(NumpyRecording([trace], 25_000.0), found=TRUTH, seconds=0.08)
    assert all(np.isfinite(one.y).all() for one in figure.data if one.mode == "markers")
