"""Spikes that the labels lack: how many there are, and that they are not taken for false."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.missing_labels import missing_share, without_missing
from tests.conftest import FS_HZ

N = 3000


@pytest.fixture(scope="module")
def every() -> Spikes:
    return Spikes.from_arrays(np.arange(N) * 500, 1 + np.arange(N) % 2)


def found_with(spikes: Spikes, false_share: float) -> Candidates:
    """Return candidates for all spikes, the clearer the later, and false ones half as clear."""
    probability = np.linspace(0.5, 1, len(spikes))
    false = np.arange(round(false_share * len(spikes))) * 500 + 250
    return Candidates.from_arrays(
        np.r_[spikes.sample, false],
        np.r_[spikes.unit, np.ones(len(false), int)],
        np.r_[probability, np.full(len(false), 0.6)],
        np.ones(len(spikes) + len(false)),
    )


def without_some(spikes: Spikes, share: float) -> Spikes:
    return spikes.select(np.random.default_rng(0).random(len(spikes)) >= share)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
@pytest.mark.parametrize("false_share", [0.0, 0.3])
def test_the_share_of_missing_labels_is_found_whatever_is_false(
    every: Spikes, share: float, false_share: float
) -> None:
    labels = without_some(every, share)
    measured = missing_share(found_with(every, false_share), labels, fs_hz=FS_HZ)
    assert measured == pytest.approx(share, abs=0.05)
    assert 0 < measured < share + 0.01


def test_where_labels_are_complete_nothing_changes(every: Spikes) -> None:
    found = found_with(every, 0.3)
    assert missing_share(found, every, fs_hz=FS_HZ) == 0
    assert without_missing(found, every, {1: 0.0, 2: 0.0}, fs_hz=FS_HZ) is found


def test_a_few_that_lack_a_label_may_be_chance(every: Spikes) -> None:
    few = every.select(np.arange(N) < 100)
    assert missing_share(found_with(few, 0.0), few.select(np.arange(100) != 99), fs_hz=FS_HZ) == 0
    nobody = Candidates.concatenate([])
    assert missing_share(nobody, every, fs_hz=FS_HZ) == 0


def test_as_many_are_left_out_as_labels_are_missing_of_each_unit(every: Spikes) -> None:
    labels = without_some(every, 0.1)
    found = found_with(every, 0.3)
    left = without_missing(found, labels, {1: 1 / 9, 2: 1 / 9}, fs_hz=FS_HZ)
    unlabelled = ~np.isin(left.sample, labels.sample)
    for unit in (1, 2):
        missing = len(every.of(unit)) - len(labels.of(unit))
        true = unlabelled & (left.unit == unit) & np.isin(left.sample, every.sample)
        assert true.sum() < 0.2 * missing  # those left out are the spikes
    assert np.isin(labels.sample, left.sample).all()


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_false_spikes_remain_as_frequent_relative_to_spikes(every: Spikes, share: float) -> None:
    found, labels = found_with(every, 0.3), without_some(every, share)
    odds = share / (1 - share)
    left = without_missing(found, labels, {1: odds, 2: odds}, fs_hz=FS_HZ)
    false = left.unit[~np.isin(left.sample, every.sample)]
    assert len(false) / len(labels) == pytest.approx(0.3, abs=0.05)


def test_labels_are_missing_as_often_whatever_the_probability(every: Spikes) -> None:
    labels = without_some(every, 0.1)
    left = without_missing(found_with(every, 0.0), labels, {1: 1 / 9, 2: 1 / 9}, fs_hz=FS_HZ)
    unlabelled = ~np.isin(left.sample, labels.sample)
    gone = len(every) - len(left)
    assert gone == pytest.approx(0.1 * N, abs=20)
    assert unlabelled[: len(left) // 2].sum() < 15  # of the less clear half, too, those without a label
    assert unlabelled[len(left) // 2 :].sum() < 15


def test_a_certain_spike_of_an_uncertain_unit_may_be_one_of_the_missing(every: Spikes) -> None:
    labels = without_some(every, 0.1)
    unit_probability = np.where(np.arange(N) % 4 < 2, 0.4, 1.0)
    found = Candidates.from_arrays(every.sample, every.unit, np.full(N, 0.99), unit_probability)
    left = without_missing(found, labels, {1: 1 / 9, 2: 1 / 9}, fs_hz=FS_HZ)
    unlabelled = ~np.isin(left.sample, labels.sample)
    assert unlabelled[left.unit_probability < 0.5].sum() < 15
    assert unlabelled[left.unit_probability > 0.5].sum() < 15
