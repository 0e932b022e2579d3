from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.simulate import simulate_study
from spikesorter.sorting.finding.explaining import Explained, explain
from spikesorter.sorting.finding.hints import Hints
from spikesorter.sorting.finding.regrouping import regrouped

FS_HZ = 25_000.0
SETTINGS = Settings(pursuit={"sweeps": 4})
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)


@pytest.fixture(scope="module")
def cut_in_two() -> Explained:
    """Return a noisy recording explained by three units, of which one was cut into spikes large and small."""
    study = simulate_study(units=3, seconds=12, noise_levels=(1.5,), spikes_per_s=60, seed=1)[1]
    rng = np.random.default_rng(0)
    unit = np.where((study.spikes.unit == 1) & (rng.random(len(study.spikes)) < 0.5), 9, study.spikes.unit)
    labels = Spikes.from_arrays(study.spikes.sample, unit)
    return explain(study.trace, labels, SETTINGS, kernel=KERNEL, fs_hz=FS_HZ, n_jobs=1)


def test_parts_of_a_unit_are_one_group(cut_in_two: Explained) -> None:
    found = regrouped(cut_in_two, Hints(), seed=0)
    assert found is not None
    assert found.changed
    assert len(found.labels.unit_ids) == 3


def test_units_with_labels_are_left_as_they_are(cut_in_two: Explained) -> None:
    own = cut_in_two.spikes.of(9)
    found = regrouped(cut_in_two, Hints(labels=own), seed=0)
    assert found is not None
    assert 9 in found.labels.unit_ids
    assert set(own.sample) <= set(found.labels.of(9).sample)
