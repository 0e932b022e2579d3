"""Waveforms of planted spikes, whose places and sizes are known."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finding.explaining import PIECE, PIECE_MS, Explained, steadied
from spikesorter.sorting.finding.waveforms import aligned_spikes
from tests.sorting.finding.planted import FS_HZ, planted

LAG = round(PIECE_MS * FS_HZ / 1000)  # 8 samples


def two_units(small: float, lag: int) -> Explained:
    """Return a unit of d' 9, peaking 4 samples after its starts, and one beside it, peaking after 7."""
    large = 200 + 100 * np.arange(40)
    beside = large - 3 + np.where(np.arange(40) % 2, lag, 50)  # the odd ones lie upon large ones
    spikes = Spikes.from_arrays(np.concatenate([large, beside]), np.repeat([3, 5], 40))
    return planted(spikes, np.ones(80), {3: 9.0, 5: small}, n_samples=5000)


@pytest.mark.parametrize(
    ("small", "lag", "upon"),
    [
        (9 * PIECE - 0.01, LAG, 20),
        (9 * PIECE + 0.01, LAG, 0),
        (9 * PIECE - 0.01, LAG + 1, 0),
        (2.0, -LAG, 20),
    ],
)
def test_much_smaller_spikes_whose_peaks_are_near_are_pieces(small: float, lag: int, upon: int) -> None:
    one = two_units(small, lag)
    assert one.pieces.sum() == upon
    assert set(one.spikes.unit[one.pieces].tolist()) <= {5}


def test_pieces_stay_in_the_waveforms_of_large_spikes() -> None:
    one = two_units(2.0, 2)
    waves, samples, index = aligned_spikes(one, [0])
    without = one.cleaned(0, first=-4, last=20)[1]
    assert without.std(axis=0).max() == pytest.approx(0, abs=1e-6)  # whatever overlaps is taken out
    assert waves.std(axis=0).max() > 0.3  # what lies upon every other spike is left in
    assert np.array_equal(one.spikes.unit[index], np.full(40, 3))
    assert np.abs(samples - one.spikes.of(3).sample - 4).max() <= 1


def test_spikes_of_one_neuron_in_two_units_are_aligned_alike() -> None:
    """Both units have one shape, of which the second's labels are 3 samples earlier."""
    samples = 200 + 100 * np.arange(40)
    unit = np.where(np.arange(40) % 2, 5, 3)
    spikes = Spikes.from_arrays(np.where(unit == 5, samples - 3, samples), unit)
    one = planted(spikes, np.ones(40), {3: 9.0, 5: 8.0}, n_samples=5000)
    waves, peaks, index = aligned_spikes(one, [0, 1])
    assert np.array_equal(np.sort(peaks), samples + 4)
    assert waves.std(axis=0).max() == pytest.approx(0, abs=1e-3)
    assert np.array_equal(np.sort(index), np.arange(40))


def test_a_few_spikes_of_others_do_not_widen_the_sizes(rng: np.random.Generator) -> None:
    own = rng.normal(1.0, 0.1, 900)
    with_others = np.float32(np.concatenate([own, np.full(100, 0.4)]))
    assert np.std(with_others) > 0.19
    drawn = steadied(with_others)
    assert np.std(drawn) == pytest.approx(0.11, abs=0.015)
    assert np.median(drawn) == np.median(with_others)
    assert np.array_equal(np.argsort(drawn, kind="stable"), np.argsort(with_others, kind="stable"))


def test_sizes_are_never_spread_out() -> None:
    halves = np.float32([0.9, 1.1] * 20)  # their median deviation tells of more than their SD
    assert np.array_equal(steadied(halves), halves)
    assert np.array_equal(steadied(np.float32([1.0])), [1.0])
