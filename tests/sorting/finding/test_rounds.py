from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.score import match_spikes
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.simulate import simulate_study
from spikesorter.sorting.finding.rounds import find_labels

FS_HZ = 25_000.0
SETTINGS = Settings()
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)


def labels_of(trace: np.ndarray, *, n_jobs: int = 1) -> Spikes:
    return find_labels(trace, SETTINGS, kernel=KERNEL, fs_hz=FS_HZ, n_jobs=n_jobs)


@pytest.mark.slow
def test_the_units_of_a_recording_are_found_with_few_false_spikes() -> None:
    (study,) = simulate_study(units=3, seconds=15, noise_levels=(), spikes_per_s=60, seed=1)
    labels = labels_of(study.trace)
    assert labels.unit_ids == (1, 2, 3)
    true, found = (np.sort(one.sample) for one in (study.spikes, labels))
    assert len(found) == pytest.approx(len(true), rel=0.05)
    counts = sorted(study.spikes.counts().values())
    assert np.allclose(sorted(labels.counts().values()), counts, rtol=0.06)
    i, _ = match_spikes(study.spikes.sample, labels.sample, tolerance_samples=25)
    assert len(i) > 0.97 * len(true)


def test_the_largest_deflection_of_a_spike_is_marked() -> None:
    (study,) = simulate_study(units=2, seconds=12, noise_levels=(), spikes_per_s=40, seed=2)
    labels = labels_of(study.trace)
    for unit in labels.unit_ids:
        sample = labels.of(unit).sample
        windows = np.abs(study.trace[sample[5:-5, None] + np.arange(-10, 11), 0]).mean(axis=0)
        assert abs(int(windows.argmax()) - 10) <= 2


def test_noise_has_no_units() -> None:
    noise = np.random.default_rng(0).standard_normal((250_000, 1)).astype(np.float32)
    assert len(labels_of(noise)) == 0


@pytest.mark.slow
def test_threads_do_not_matter() -> None:
    (study,) = simulate_study(units=2, seconds=10, noise_levels=(), spikes_per_s=50, seed=3)
    assert labels_of(study.trace) == labels_of(study.trace, n_jobs=2)
