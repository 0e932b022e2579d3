"""A thinned rehearsal has the target's firing rates, and what belongs to a spike goes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.thinning import AWAY_SAMPLES, Thinning, make_thinning
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
    assert thinning.thinned.kept_share == 1 / most


def test_what_was_found_near_a_spike_goes_with_it() -> None:
    thinning = make_thinning(REHEARSAL, CONTEXT, profile(0.3, 1.0))
    kept = thinning.select(FOUND).sample
    assert np.array_equal(kept[np.isin(kept, NEAR)], thinning.thinned.spikes.sample + 3)


def test_where_spikes_were_added_less_is_left_out() -> None:
    more = replace(REHEARSAL, added_rates=(1e-3, 0.0))
    assert make_thinning(more, CONTEXT, profile(2.0, 1.0)).thinned.spikes == SPIKES
    counts = make_thinning(more, CONTEXT, profile(2.0, 0.5)).thinned.spikes.counts()
    assert counts[2] / counts[1] == pytest.approx(0.5, abs=0.05)


def test_ratios_beyond_reason_are_not_believed() -> None:
    counts = make_thinning(REHEARSAL, CONTEXT, profile(1e-6, 1.0)).thinned.spikes.counts()
    assert counts[1] / counts[2] == pytest.approx(0.25, abs=0.03)


def test_a_rehearsal_without_spikes_is_thinned_too() -> None:
    empty = replace(REHEARSAL, spikes=SPIKES.select(np.zeros(len(SPIKES), bool)))
    thinning = make_thinning(empty, CONTEXT, profile(2.0, 1.0))
    assert len(thinning.select(FOUND)) == pytest.approx(len(FOUND) / 2, rel=0.1)


def test_a_rehearsal_is_thinned_alike_each_time() -> None:
    first, second = (make_thinning(REHEARSAL, CONTEXT, profile(0.5, 1.0)) for _ in range(2))
    assert first.thinned.spikes == second.thinned.spikes
    assert np.array_equal(first.select(FOUND).sample, second.select(FOUND).sample)


@pytest.mark.parametrize("ratio", [1.24, 1 / 1.24])
def test_the_thinned_trace_itself_stays(ratio: float) -> None:
    thinning = make_thinning(REHEARSAL, CONTEXT, profile(ratio, 1.0))
    assert thinning.kept.all()
    thinned = make_thinning(REHEARSAL, CONTEXT, profile(0.5, 1.0)).thinned
    assert thinned.trace is REHEARSAL.trace
    assert thinned.period == REHEARSAL.period
    assert len(REHEARSAL.spikes) == len(SPIKES)


def unlabelled(third: float) -> tuple[Context, Profile, Rehearsal]:
    """A third unit, which has no labels."""
    units = Units(
        templates=Templates((1, 2, 9), np.ones((3, 2, 1), np.float32), before=0),
        amplitudes=(np.ones(50, np.float32),) * 3,
        intervals=(np.full(50, 500.0, np.float32),) * 3,
        rates=np.full(3, 1e-3),
        names=("1", "2", ""),
        unlabelled_ids=(9,),
    )
    spikes = Spikes.from_arrays(SPIKES.sample, np.array([1, 2, 9])[np.arange(len(SPIKES)) % 3])
    activity = Activity(1.0, (1e-3, 1e-3, third * 1e-3))
    own = replace(profile(1.0, 1.0), activity=activity)
    return Context.of(units, Settings(), fs_hz=FS_HZ), own, replace(REHEARSAL, spikes=spikes)


@pytest.mark.parametrize("third", [0.3, 3.0])
def test_units_without_labels_alone_are_no_reason_to_thin(third: float) -> None:
    context, own, rehearsal = unlabelled(third)
    assert make_thinning(rehearsal, context, own).thinned.spikes == rehearsal.spikes


def test_units_without_labels_are_thinned_with_the_others() -> None:
    context, own, rehearsal = unlabelled(0.5)
    faster = replace(own, activity=Activity(1.0, (2e-3, 1e-3, 5e-4)))
    counts = make_thinning(rehearsal, context, faster).thinned.spikes.counts()
    assert counts[1] == len(rehearsal.spikes.of(1))
    assert counts[9] / counts[1] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("sample", "of"),
    [(289, "none"), (290, "first"), (308, "first"), (309, "second"), (328, "second"), (329, "none")],
)
def test_a_candidate_belongs_to_the_nearest_spike_within_reach(sample: int, of: str) -> None:
    blank = np.zeros((1000, 1), np.float32)
    rehearsal = Rehearsal(blank, blank, Spikes.from_arrays([300, 318, 999], [1, 2, 1]), 1000)
    found = Candidates.from_arrays([sample], [1], [1.0], [1.0])
    for away in (True, False):
        kept_away = np.full(1000 // AWAY_SAMPLES + 1, away)
        thinning = Thinning(rehearsal, np.array([False, True, True]), kept_away, 10)
        assert len(thinning.select(found)) == {"first": False, "second": True, "none": away}[of]


def test_candidates_at_the_very_ends_are_judged_too() -> None:
    blank = np.zeros((1600, 1), np.float32)
    rehearsal = Rehearsal(blank, blank, Spikes.from_arrays([800], [1]), 1600)
    away = np.zeros(1600 // AWAY_SAMPLES + 1, bool)
    away[0] = True
    found = Candidates.from_arrays([0, 15, 16, 1599], [1] * 4, [1.0] * 4, [1.0] * 4)
    assert Thinning(rehearsal, np.ones(1, bool), away, 10).select(found).sample.tolist() == [0, 15]
