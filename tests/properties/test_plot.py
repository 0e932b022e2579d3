from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter import InputError, Sorter, Spikes, plot, score
from spikesorter.report.plots.style import plain
from tests.conftest import FS_HZ
from tests.models.make import sample_study
from tests.properties.conftest import Known, recording_of
from tests.properties.strategies import NAMES, spikes_values

pytestmark = pytest.mark.slow

FEW = settings(max_examples=12)
KEPT = Path(__file__).parent.parent / "models" / "format7" / "model"


@pytest.fixture(scope="module")
def kept() -> Sorter:
    """A sorter with networks."""
    return Sorter.load(KEPT)


def points_of(figure: object, mode: str) -> int:
    return sum(len(one.x) for one in figure.data if one.mode == mode)  # type: ignore[attr-defined]


@FEW
@given(spikes_values(last=9999), st.floats(-1, 1), st.floats(0.0001, 1))
def test_a_trace_shows_the_spikes_of_its_part_and_no_others(
    known: Known, spikes: Spikes, start_s: float, seconds: float
) -> None:
    recording = recording_of(known.target[:10_000])
    first, last = max(int(start_s * FS_HZ), 0), min(int((start_s + seconds) * FS_HZ), 10_000)
    if first >= last:
        with pytest.raises(InputError, match="nothing to draw"):
            plot.trace(recording, start_s=start_s, seconds=seconds)
        return
    figure = plot.trace(recording, found=spikes, start_s=start_s, seconds=seconds)
    assert points_of(figure, "lines") == last - first
    assert points_of(figure, "markers") == len(spikes.within(first, last))


@FEW
@given(spikes_values(), st.sampled_from([None, FS_HZ]))
def test_figures_of_spikes_alone_need_a_rate_and_nothing_else(spikes: Spikes, fs_hz: float | None) -> None:
    unrated = Spikes.from_arrays(spikes.sample, spikes.unit, names=spikes.names)
    for draw in (plot.intervals, plot.correlograms):
        if fs_hz is None:
            with pytest.raises(InputError, match="give fs_hz"):
                draw(unrated)
        assert draw(unrated, fs_hz=FS_HZ).to_json() == draw(unrated, fs_hz=FS_HZ).to_json()


@FEW
@given(spikes_values(named=False, fs_hz=FS_HZ), spikes_values(named=False, fs_hz=FS_HZ), NAMES)
def test_a_confusion_matrix_shows_every_count(found: Spikes, true: Spikes, name: str) -> None:
    result = score(true, found, fs_hz=FS_HZ)
    (heat, *_) = plot.confusion(result, {1: name}).data
    shown = np.asarray(heat.text if heat.text is not None else heat.customdata)
    assert shown.shape[0] == len(result.unit_ids) + 1
    if 1 in result.unit_ids:
        assert plain(name) in {*heat.x, *heat.y}


@FEW
@given(st.integers(0, 250_000), st.integers(1, 60_000))
def test_what_was_found_is_drawn_for_any_part_of_a_recording(known: Known, start: int, length: int) -> None:
    recording = recording_of(known.target)
    found = known.sorter.sort(recording).within(start, start + length)
    truth = known.target_truth.within(start, start + length)
    diagnostics = known.sorter.diagnostics
    for figure in (
        plot.waveforms(recording, found, known.sorter),
        plot.amplitudes(recording, found, known.sorter),
        plot.precision_recall(diagnostics, found=found, truth=truth, fs_hz=FS_HZ),
        plot.reliability(diagnostics, found=found, truth=truth, fs_hz=FS_HZ),
        plot.noise(known.sorter),
    ):
        for one in figure.data:
            for axis in (one.x, one.y):
                assert axis is None or len(axis) == 0 or not np.isinf(np.asarray(axis, float)).any()
    drawn = plot.amplitudes(recording, found, known.sorter)
    assert points_of(drawn, "markers") == len(found)


@FEW
@given(st.floats(-1, 1), st.floats(0.0001, 0.3))
def test_stages_of_the_published_pipeline_are_drawn_for_any_part_or_refused(
    kept: Sorter, start_s: float, seconds: float
) -> None:
    recording = recording_of(sample_study()[1].trace)
    n_samples = recording.get_num_frames()
    first, last = max(int(start_s * FS_HZ), 0), min(int((start_s + seconds) * FS_HZ), n_samples)
    part = {"start_s": start_s, "seconds": seconds}
    refused = "nothing to draw" if first >= last else "does not denoise"  # this one was trained without
    with pytest.raises(InputError, match=refused):
        plot.denoising(recording, kept, **part)
    if first < last:
        figure = plot.matched_filter(recording, kept, **part)
        assert figure.to_json() == plot.matched_filter(recording, kept, **part).to_json()


def test_what_networks_learnt_is_refused_where_there_are_none(known: Known) -> None:
    for draw in (plot.learning_curves, plot.grid_search, plot.detector, plot.classifier):
        with pytest.raises(InputError):
            draw(known.sorter)
