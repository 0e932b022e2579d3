"""Units that shrink, grow or vanish over a recording are told, with amplitudes measured as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import padded
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.io.mat_writing import write_mat
from spikesorter.signal.bank import Bank, make_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates
from spikesorter.sorting.fading import Quarters, fading_doubt, measure_quarters
from spikesorter.sorting.following import digest_of
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ

UNITS = (3, 5)
NAMES = {3: "basket", 5: "5"}
N_SAMPLES = 400_000


@pytest.fixture(scope="module")
def bank(shapes: Templates) -> Bank:
    return make_bank(
        Templates(UNITS, shapes.waveforms, before=shapes.before),
        NoiseSpectrum.independent(np.full((65, 1), 0.01)),
        kernel=np.ones(1),
        reach=20,
    )


def planted(shapes: Templates, spikes: Spikes, sizes: np.ndarray, n_samples: int) -> np.ndarray:
    trace = 0.1 * np.random.default_rng(0).standard_normal((n_samples, 1))
    for sample, unit, size in zip(spikes.sample, spikes.unit, sizes, strict=True):
        first = sample - shapes.before
        trace[first : first + shapes.waveforms.shape[1]] += size * shapes.waveforms[UNITS.index(unit)]
    return trace.astype(np.float32)


def test_quarters_have_the_sizes_and_counts_that_were_planted(shapes: Templates, bank: Bank) -> None:
    sample = np.arange(200, N_SAMPLES - 200, 500)
    spikes = Spikes(sample, np.where(np.arange(len(sample)) % 2, 5, 3))
    quarter = sample * 4 // N_SAMPLES
    shrinking = np.array([1.0, 0.9, 0.8, 0.5])
    sizes = np.where(spikes.unit == 3, shrinking[quarter], 1.0)
    read = padded(planted(shapes, spikes, sizes, N_SAMPLES))
    outlier = Spikes.concatenate([spikes, Spikes([1000], [0])])  # outlier spikes are left out
    found = measure_quarters(outlier, bank, UNITS, read, N_SAMPLES, bad=BadStretches(), fs_hz=FS_HZ)
    np.testing.assert_allclose(found.sizes, np.stack([shrinking, np.ones(4)], axis=1), atol=0.04)
    assert found.counts.sum() == len(spikes)
    assert found.counts.min() >= 99
    assert "unit basket shrink to 0.5" in fading_doubt(found, NAMES)


def test_a_quarter_that_is_bad_is_no_quarter_without_spikes(shapes: Templates, bank: Bank) -> None:
    sample = np.arange(200, N_SAMPLES - 200, 500)
    bad = BadStretches.of([(N_SAMPLES // 4, N_SAMPLES // 2, "dead")])
    spikes = Spikes(sample, np.where(np.arange(len(sample)) % 2, 5, 3)).outside(bad)
    read = padded(planted(shapes, spikes, np.ones(len(spikes)), N_SAMPLES))
    found = measure_quarters(spikes, bank, UNITS, read, N_SAMPLES, bad=bad, fs_hz=FS_HZ)
    assert found.counts.min() >= 74
    assert found.counts.max() <= 76
    assert fading_doubt(found, NAMES) == ""


def test_sizes_are_measured_in_what_is_good_wherever_that_is(shapes: Templates, bank: Bank) -> None:
    sample = np.arange(200, N_SAMPLES - 200, 500)
    middles = range(N_SAMPLES // 32, N_SAMPLES, N_SAMPLES // 16)  # where they would be without regard to it
    bad = BadStretches.of([(at - 6500, at + 6500, "dead") for at in middles])
    spikes = Spikes(sample, np.where(np.arange(len(sample)) % 2, 5, 3)).outside(bad)
    quarter = bad.moved(spikes.sample) * 4 // (N_SAMPLES - bad.samples)
    shrinking = np.array([1.0, 0.9, 0.8, 0.5])
    sizes = np.where(spikes.unit == 3, shrinking[quarter], 1.0)
    read = padded(planted(shapes, spikes, sizes, N_SAMPLES))
    found = measure_quarters(spikes, bank, UNITS, read, N_SAMPLES, bad=bad, fs_hz=FS_HZ)
    np.testing.assert_allclose(found.sizes, np.stack([shrinking, np.ones(4)], axis=1), atol=0.05)


def quarters(sizes: list[float], counts: list[int], error: float = 0.01) -> Quarters:
    others = np.full(4, 100)
    return Quarters(
        UNITS,
        np.stack([counts, others], axis=1),
        np.stack([sizes, np.ones(4)], axis=1),
        np.full((4, 2), error),
    )


@pytest.mark.parametrize(
    ("sizes", "counts", "told"),
    [
        ([1.0, 0.95, 0.9, 0.85], [90, 95, 80, 70], ""),
        ([1.0, 0.9, 0.8, 0.75], [90, 95, 80, 70], "shrink to 0.75 of their size"),
        ([1.0, 0.9, 0.8, 0.75], [90, 95, 80, 92], ""),  # smaller, but all are found
        ([1.0, 0.9, 0.8, 0.6], [90, 95, 80, 92], "shrink to 0.6 of their size"),
        ([0.5, 0.6, 0.8, 1.0], [90, 95, 80, 70], "grow to 2 of their size"),
        ([1.0, 0.9, np.nan, np.nan], [113, 108, 57, 2], "comes and goes (quarters of the recording have"),
        ([1.0, np.nan, np.nan, np.nan], [39, 0, 0, 0], ""),  # few spikes may be chance
    ],
)  # fmt: skip
def test_changes_beyond_chance_are_told(sizes: list[float], counts: list[int], told: str) -> None:
    said = fading_doubt(quarters(sizes, counts), NAMES)
    assert told in said
    assert bool(told) == bool(said)


def test_changes_within_the_errors_and_of_other_units_are_not_told() -> None:
    sizes, counts = [1.0, 0.9, 0.8, 0.7], [90, 95, 80, 70]
    assert fading_doubt(quarters(sizes, counts, error=0.05), NAMES) == ""
    assert fading_doubt(quarters(sizes, counts), {5: "5"}) == ""


def test_a_unit_that_fades_is_told_and_the_doubt_is_kept_with_the_result(
    sorted_study: Path, study_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sorter = Sorter.load(sorted_study / "model" / "targets" / "D2")
    once = read_mat(study_folder / "D2.mat")[0].get_traces()
    labels = read_mat_spikes(study_folder / "truth" / "D2.mat")
    trace = np.concatenate([once, once])
    assert sorter.sort(NumpyRecording([trace], FS_HZ)).doubts == ()
    of_unit = labels.of(2).sample
    template, before = sorter.units.templates.waveforms[1], sorter.units.templates.before
    for sample in (len(once) + of_unit[of_unit < len(once) - 200]).tolist():  # half of each is left
        trace[sample - before : sample - before + len(template)] -= (
            0.5 * sorter.profile.activity.gain * template
        )
    found = sorter.sort(NumpyRecording([trace], FS_HZ))
    (doubt,) = found.doubts
    assert "unit 2" in doubt
    assert doubt in caplog.text
    adapted = replace(sorter.state, recording=digest_of(NumpyRecording([trace], FS_HZ)))
    assert Sorter._of(adapted).sort(NumpyRecording([trace], FS_HZ)).doubts == ()
    write_mat(tmp_path / "D2.mat", found)
    assert read_mat_spikes(tmp_path / "D2.mat").doubts == found.doubts


def test_the_least_size_and_rate_are_relative_to_the_largest() -> None:
    one = quarters([0.6, 1.2, np.nan, 0.9], [20, 40, 0, 30])
    assert one.least_size(UNITS[0]) == pytest.approx(0.5)
    assert one.least_rate(UNITS[0]) == 0
    assert np.isnan(quarters([1.0, np.nan, np.nan, np.nan], [20, 0, 0, 0]).least_size(UNITS[0]))
    assert quarters([np.nan] * 4, [0] * 4).least_rate(UNITS[0]) == 0
