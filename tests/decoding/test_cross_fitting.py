from __future__ import annotations

import numpy as np

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.cross_fitting import FOLDS, PARTS, Folds


def test_every_sample_is_of_one_fold_and_folds_are_alike() -> None:
    folds = Folds(1201)
    masks = [folds.mask(2402, fold) for fold in range(FOLDS)]
    np.testing.assert_array_equal(np.sum(masks, axis=0), 1)
    np.testing.assert_allclose(np.mean(masks, axis=1), 1 / FOLDS, atol=0.01)


def test_the_same_spike_in_other_noise_is_of_the_same_fold() -> None:
    folds, once = Folds(1000), np.arange(1000)
    np.testing.assert_array_equal(folds.of(once), folds.of(once + 3000))


def test_folds_take_turns_so_that_slow_change_is_in_all() -> None:
    changes = np.flatnonzero(np.diff(Folds(1200).of(np.arange(1200))))
    assert len(changes) == PARTS - 1


def test_what_is_not_of_a_fold_is_of_the_others() -> None:
    spikes = Spikes.from_arrays(np.arange(0, 1000, 7), np.ones(143, int))
    folds = Folds(500)
    own, others = (folds.select(spikes, 1, others=value) for value in (False, True))
    np.testing.assert_array_equal(own, ~others)
