"""A thinned rehearsal has the target's firing rates, and what belongs to a spike goes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.thinning import make_thinning
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearsal import Rehearsal
from spikesorter.estimation.units import Units
from spikesorter.signal.gain import Activity
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates

N, FS_HZ = 4_000_000, 25_000.0
UNITS = Units(
    templates=Templates((1, 2), np.ones((2, 2, 1), np.float32), before=0),
    amplitudes=(np.ones(50, np.float32),) * 2,
    intervals=(np.full(50, 500.0, np.float32),) * 2,
    rates=np.array([1e-3, 1e-3]),
    names=("1", "2"),
)
CONTEXT = Context.of(UNITS, Settings(), fs_hz=FS_HZ)
SPIKES = Spikes.from_arrays(np.arange(500, N, 500), 1 + np.arange(500, N, 500) // 500 % 2)
BLANK = np.zeros((N, 1), np.float32)
REHEARSAL = Rehearsal(BLANK, BLANK, SPIKES, N)
NEAR, AWAY = SPIKES.sample + 3, SPIKES.sample + 250
FOUND = Candidates.from_arrays(
    np.concatenate([NEAR, AWAY]), np.ones(2 * len(NEAR)), np.ones(2 * len(NEAR)), np.ones(2 * len(NEAR))
)


def profile(*ratios: float) -> Profile:
    flat = NoiseSpectrum(np.ones((5, 1, 1), complex))
    activity = Activity(1.0, tuple((np.array(ratios) * UNITS.rates).tolist()))
    return Profile(np.zeros(1), np.ones(1, np.float32), flat, activity)


@pytest.mark.parametrize("ratios", [(1.0, 1.0), (0.9, 1.2)])
def test_much_the_same_rates_keep_everything(ratios: tuple[float, float]) -> None:
    thinning = make_thinning(REHEARSAL, CONTEXT, profile(*ratios))
    assert thinning.thinned.spikes == SPIKES
    assert thinning.select(FOUND) is FOUND


@pytest.mark.parametrize("ratios", [(0.5, 1.0), (2.0, 1.0), (2.0, 0.5), (1.8, 1.8)])
def test_spikes_and_noise_are_as_frequent_as_in_the_target(ratios: tuple[float, float]) -> None:
    thinning = make_thinning(REHEARSAL, CONTEXT, profile(*ratios))
    most = max(*ratios, 1.0)
    counts = np.array([len(thinning.thinned.spikes.of(unit)) for unit in (1, 2)])
    np.testing.assert_allclose(counts / (len(SPIKES) / 2), np.array(ratios) / most, atol=0.05)
    away = np.isin(thinning.select(FOUND).sample, AWAY)
    assert away.sum() / len(AWAY) == pytest.approx(1 / most, abs=0.03)


def test_what_was_found_near_a_spike_goes_with_it() -> None:
    thinning = make_thinning(REHEARSAL, CONTEXT, profile(0.3, 1.0))
    kept = thinning.select(FOUND).sample
    assert np.array_equal(kept[np.isin(kept, NEAR)], thinning.thinned.spikes.sample + 3)


def test_ratios_beyond_reason_are_not_believed() -> None:
    counts = make_thinning(REHEARSAL, CONTEXT, profile(1e-6, 1.0)).thinned.spikes.counts()
    assert counts[1] / counts[2] == pytest.approx(0.25, abs=0.03)


def test_a_rehearsal_without_spikes_is_thinned_too() -> None:
    empty = replace(REHEARSAL, spikes=SPIKES.select(np.zeros(len(SPIKES), bool)))
    thinning = make_thinning(empty, CONTEXT, profile(2.0, 1.0))
    assert len(thinning.select(FOUND)) == pytest.approx(len(FOUND) / 2, rel=0.1)
