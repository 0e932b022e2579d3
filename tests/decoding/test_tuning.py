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


@pytest.mark.parametrize(("missed", "chosen"), [(0, 0), (1, 0), (100, 1)])
def test_of_variants_that_are_hardly_different_the_first_is_taken(missed: int, chosen: int) -> None:
    """The first variant misses some of a thousand spikes that the second one finds."""
    samples = 200 * np.arange(1, 1001)
    unit, sure = np.arange(1000) % 2 + 1, np.ones(1000)
    all_found = Candidates.from_arrays(samples, unit, sure, sure)
    picked: Any = [(0, all_found.select(np.arange(1000) >= missed)), (1, all_found)]
    truth = Spikes(samples, unit)
    best, _, _ = tuner().finest(tuner().coarse(picked, truth), truth)
    assert best.decoder == chosen
