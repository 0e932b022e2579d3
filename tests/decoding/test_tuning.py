from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.pursuit import KIND
from spikesorter.decoding.tuning import _Tuner


def tuner() -> _Tuner:
    """For two units, by the strict score, without calibration."""
    settings = load_settings(assignments=["tuning.objective=strict", "output.threshold_grid=[0.3, 0.4]"])
    context = SimpleNamespace(settings=settings, units=SimpleNamespace(known=(1, 2)), fs_hz=25_000.0)
    bench: Any = SimpleNamespace(context=context, rehearser=SimpleNamespace(published=True), n_jobs=1)
    return _Tuner(KIND, bench)


@pytest.mark.parametrize(("ambiguous", "one_unit"), [(8, True), (200, False)])
def test_one_spike_gets_two_names_only_if_that_is_clearly_better(ambiguous: int, one_unit: bool) -> None:
    """Of `ambiguous` spikes, half have the wrong name if each has one; so both names score better."""
    n_spikes = 1000
    samples = 200 * np.arange(1, n_spikes + 1)
    true = np.arange(n_spikes) % 2 + 1
    other = 3 - true
    unsure = np.arange(n_spikes) < ambiguous
    wrong = unsure & (np.arange(n_spikes) // 2 % 2 == 0)
    share = np.where(unsure, 0.5, 1.0)
    named = Candidates.from_arrays(samples, np.where(wrong, other, true), np.ones(n_spikes), share)
    twice = Candidates.from_arrays(
        np.r_[samples, samples[unsure]],
        np.r_[true, other[unsure]],
        np.ones(n_spikes + ambiguous),
        np.r_[share, share[unsure]],
    )
    picked: Any = [(SimpleNamespace(one_unit=False), twice), (SimpleNamespace(one_unit=True), named)]
    truth = Spikes(samples, true)
    best, _, _ = tuner().finest(tuner().coarse(picked, truth), truth)
    assert best.decoder.one_unit is one_unit
