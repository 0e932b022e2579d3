"""Figures of networks: a kept model's, with what newer ones keep of their training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, plot
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.nets.learning import LearningCurve
from spikesorter.decoding.thresholds import Grid
from spikesorter.decoding.training_record import TrainingRecord, cut_excerpt
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.report.contents import figure_contents, report_contents
from spikesorter.report.page import page_html
from spikesorter.report.panels import missing_panels, panel_frames
from spikesorter.report.plots.stages import busiest_s, networks_of
from spikesorter.report.results import Result
from spikesorter.simulate import SimulatedRecording
from tests.models.make import sample_study

FS_HZ = 25_000.0
KEPT = Path(__file__).parent.parent / "models" / "format7" / "model"
GRID = Grid(
    "strict",
    (0.3, 0.5, 0.7),
    (0, 20),
    np.array([[0.6, 0.7], [0.8, 0.9], [0.5, 0.4]]),
    np.zeros((3, 2)),
    (1, 1),
)


@pytest.fixture(scope="module")
def target() -> SimulatedRecording:
    return sample_study()[1]


@pytest.fixture(scope="module")
def recording(target: SimulatedRecording) -> NumpyRecording:
    return NumpyRecording([target.trace], FS_HZ)


def with_state(sorter: Sorter, **changes: Any) -> Sorter:
    return Sorter._of(replace(sorter.state, **changes))


@pytest.fixture(scope="module")
def combined() -> Sorter:
    """As an older version kept it: nothing of its training."""
    return Sorter.load(KEPT)


@pytest.fixture(scope="module")
def sorter(combined: Sorter, target: SimulatedRecording) -> Sorter:
    """Its networks alone, with a record of their training."""
    cnn, true = networks_of(combined), target.spikes
    excerpt = cut_excerpt(Rehearsal(target.trace, target.trace, true, len(true)), cnn.margin, fs_hz=FS_HZ)
    looks = np.float32([[0.5, 0.6], [0.25, 0.3], [0.125, 0.25]])
    curves = (
        LearningCurve("detector", np.array([0, 50, 100]), 25.0, looks, 1 - looks),
        LearningCurve("classifier", np.array([0, 30, 60]), 10.0, looks, 1 - looks),
    )
    record = TrainingRecord(curves, np.array([[30, 2], [5, 40]]), 1, excerpt)
    tuned = replace(combined.state.tuned, decoder=cnn, name="cnn")
    return with_state(combined, tuned=tuned, training=record, grid=GRID)


def test_learning_curves_have_a_row_for_each_network_over_epochs(sorter: Sorter) -> None:
    figure = plot.learning_curves(sorter)
    assert len(figure.data) == 2 * 2 * 2
    assert [one.text for one in figure.layout.annotations] == [
        "detector: loss",
        "detector: F1 of samples",
        "classifier: loss",
        "classifier: share of spikes rightly named",
    ]
    trained_on, held_out = figure.data[:2]
    assert (trained_on.name, held_out.name) == ("trained on", "held out")
    assert (list(trained_on.x), list(held_out.y)) == ([0, 2, 4], [np.float32(0.6), np.float32(0.3), 0.25])
    assert list(figure.data[-1].x) == [0, 3, 6]


def test_the_grid_search_marks_the_pair_that_is_kept(sorter: Sorter) -> None:
    heat, kept = plot.grid_search(sorter).data
    np.testing.assert_array_equal(heat.z, GRID.value)
    assert (list(heat.y), list(heat.x)) == (["0.3", "0.5", "0.7"], ["0", "0.8"])
    assert (kept.y, kept.x) == (("0.5",), ("0.8",))


def test_the_detector_stands_beside_its_labels_and_threshold(sorter: Sorter) -> None:
    figure = plot.detector(sorter)
    excerpt = sorter.state.training.excerpt  # type: ignore[union-attr]
    named = {one.name: one for one in figure.data}
    n_units = len(sorter.units.known)
    shaded = [one for one in figure.data if one.name == "labels"]
    assert len(shaded) == n_units
    widths = np.concatenate([np.diff(np.reshape(one.x, (-1, 4))[:, [0, -1]], axis=1) for one in shaded])
    np.testing.assert_allclose(widths * FS_HZ, 3, atol=0.05)  # samples
    assert len(widths) == len(excerpt.spikes)
    curve = next(one for one in figure.data if one.name == sorter.names[1] and one.yaxis == "y2")
    assert len(curve.y) == 1000
    assert curve.dx == 1 / FS_HZ
    spikes = named["spike"]
    assert min(spikes.y) >= min(sorter.point.thresholds) > max(named["below the threshold"].y, default=0)
    near = [np.abs(excerpt.spikes.sample / FS_HZ - x).min() < 0.0004 for x in spikes.x]
    assert np.mean(near) > 0.7
    assert {one.name for one in figure.data} >= {"labels", "spike", "trace"}
    assert len([one for one in figure.layout.shapes if one.type == "line"]) == len(
        set(sorter.point.thresholds)
    )


def test_a_combined_decoders_thresholds_are_not_drawn_in_its_networks_curve(
    sorter: Sorter, combined: Sorter
) -> None:
    figure = plot.detector(with_state(combined, training=sorter.state.training))
    assert "spike" not in {one.name for one in figure.data}
    assert not figure.layout.shapes


def test_the_classifiers_confusions_are_counted(sorter: Sorter) -> None:
    heat = plot.classifier(sorter).data[0]
    assert heat.text.tolist() == [[30, 2], [5, 40]]
    assert list(heat.x) == list(heat.y) == [sorter.names[unit] for unit in sorter.units.known]


def test_denoising_brings_the_trace_near_the_noise_free_one(
    sorter: Sorter, recording: NumpyRecording
) -> None:
    cnn = networks_of(sorter)
    noisy = replace(cnn.front_end, strength=0.6, level_sd=np.ones((4, 1), np.float32))
    tuned = replace(sorter.state.tuned, decoder=replace(cnn, front_end=noisy))
    start_s = 1.0
    before, after = plot.denoising(
        recording, with_state(sorter, tuned=tuned), start_s=start_s, seconds=0.5
    ).data
    assert (before.name, after.name) == ("before", "after (sym4, strength 0.6)")
    assert (before.x0, len(before.y)) == (start_s, 12_500)
    assert np.std(np.diff(after.y)) < 0.7 * np.std(np.diff(before.y))
    assert np.corrcoef(before.y, after.y)[0, 1] > 0.6


def test_matched_filters_peak_where_spikes_start(
    sorter: Sorter, recording: NumpyRecording, target: SimulatedRecording
) -> None:
    figure = plot.matched_filter(recording, sorter, found=target.spikes, start_s=2.0, seconds=1.0)
    outputs = [one for one in figure.data if str(one.name).startswith("filter of")]
    assert len(outputs) == len(sorter.units.known)
    inside = target.spikes.within(50_000, 75_000)
    for unit, output in zip(sorter.units.known, outputs, strict=True):
        offsets = np.arange(-20, 21)
        around = np.asarray(output.y)[inside.of(unit).sample[2:-2, None] - 50_000 + offsets]
        assert abs(offsets[around.mean(axis=0).argmax()]) <= 1
    marks = [one for one in figure.data if one.mode == "markers"]
    assert sum(len(one.x) for one in marks) == len(inside)


@pytest.mark.parametrize("draw", [plot.denoising, plot.matched_filter])
def test_what_a_sorter_does_not_have_is_not_drawn(
    draw: Any, sorter: Sorter, recording: NumpyRecording
) -> None:
    without = replace(networks_of(sorter).front_end, filters=None)
    bare = replace(sorter.state.tuned, decoder=replace(networks_of(sorter), front_end=without))
    with pytest.raises(InputError, match="does not denoise|has no matched filter"):
        draw(recording, with_state(sorter, tuned=bare))
    with pytest.raises(InputError, match="nothing to draw from second 99; the recording lasts 10 s"):
        draw(recording, sorter, start_s=99)


def test_a_sorter_without_networks_or_records_is_refused(
    results: list[Result], combined: Sorter, sorter: Sorter
) -> None:
    pursuit = results[0].sorter
    for draw in (plot.learning_curves, plot.detector, plot.classifier):
        with pytest.raises(InputError, match="decoder pursuit has no networks; train one with --set"):
            draw(pursuit)
        with pytest.raises(InputError, match="nothing was kept of how the sorter's networks were trained"):
            draw(combined)
    with pytest.raises(InputError, match="decoder pursuit has no grid"):
        plot.grid_search(pursuit)
    record = replace(sorter.state.training, confusion=np.zeros((0, 0), np.int64))  # type: ignore[type-var]
    with pytest.raises(InputError, match="has no classifier, as its detector has a curve for each unit"):
        plot.classifier(with_state(sorter, training=record))


def test_the_report_shows_the_figures_of_the_networks_that_a_run_used(
    sorter: Sorter, combined: Sorter, recording: NumpyRecording, results: list[Result]
) -> None:
    own = {"denoising", "matched-filter", "learning-curves", "detector", "classifier", "grid-search"}

    def shown(one: Sorter) -> set[str]:
        return own & {frame["id"] for frame in panel_frames(one)}

    assert shown(results[0].sorter) == set()
    assert shown(combined) == {"matched-filter"}
    assert shown(sorter) == own - {"denoising"}
    assert shown(with_state(sorter, training=None)) == {"matched-filter", "grid-search"}
    result = replace(
        results[0], sorter=sorter, read=lambda: recording, spikes=sorter.sort(recording), truth=None
    )
    figures = figure_contents(result)
    assert [one["id"] for one in figures] == [frame["id"] for frame in panel_frames(sorter)]
    assert all(one["figure"]["data"] for one in figures)
    assert len(json.dumps(figures)) < 1_000_000


def test_the_report_says_why_a_figure_of_the_networks_is_missing(
    sorter: Sorter, combined: Sorter, results: list[Result]
) -> None:
    assert missing_panels(results[0].sorter) == []  # it has no networks
    denoising, curves, detector, classifier, grid = missing_panels(combined)
    assert denoising == "Wavelet denoising: denoising is off (denoise.strength)."
    assert curves.startswith(
        "Learning curves: nothing was kept of a training for this recording: it was sorted by"
    )
    assert (detector, classifier) == tuple(
        curves.replace("Learning curves", one) for one in ("Detector", "Classifier")
    )
    assert grid.startswith("Grid search: for the decoder combined only thresholds are tuned")
    record = replace(sorter.state.training, confusion=np.zeros((0, 0), np.int64))  # type: ignore[type-var]
    older = with_state(sorter, training=record, grid=None)
    assert missing_panels(older) == [
        denoising,
        "Classifier: the detector names the units itself (detector.curves).",
        "Grid search: none was kept in the model, which is of an older version.",
    ]
    contents = report_contents("one", [replace(results[0], sorter=with_state(results[0].sorter, grid=None))])
    assert contents["recordings"][0]["missing"] == []
    contents["recordings"][0]["missing"] = [grid]
    assert f"Not drawn: {grid}" in page_html(contents)


def test_the_busiest_part_has_spikes_of_most_units() -> None:
    samples = [*range(1000, 1900, 100), 50_000, 50_100]
    found = Spikes.from_arrays(samples, [1] * 9 + [1, 2])
    assert busiest_s(found, fs_hz=FS_HZ) == pytest.approx((50_000 - 100) / FS_HZ)
    assert busiest_s(Spikes.empty(), fs_hz=FS_HZ) == 0.0
