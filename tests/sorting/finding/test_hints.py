from __future__ import annotations

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finding.hints import Hints, with_labels

FS_HZ = 25_000.0


def test_hints_are_checked() -> None:
    with pytest.raises(SettingsError, match="n_units: expected 1 to 50, not 0"):
        Hints(n_units=0)
    with pytest.raises(SettingsError, match="expected 2, as so many have labels, to 50, not 1"):
        Hints(n_units=1, labels=Spikes([10, 20], [1, 2]))
    with pytest.raises(SettingsError, match="negative or positive, not 'up'"):
        Hints(polarity="up")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="of no unit"):
        Hints(labels=Spikes([10, 20], [0, 2]))


def test_labels_beyond_the_recording_are_refused() -> None:
    recording = NumpyRecording([np.zeros((100, 1), np.float32)], FS_HZ)
    with pytest.raises(InputError, match="a spike is at sample 100, but the recording has 100 samples"):
        Hints.of(recording, n_units=None, polarity=None, labels=Spikes([100], [1]), first_unit=1)


def test_labels_follow_a_part_and_what_is_cut_out() -> None:
    hints = Hints(labels=Spikes([100, 130, 150, 220], [1, 1, 2, 1])).within(100, 200)
    kept = np.concatenate([np.arange(20), np.arange(40, 100)])
    assert hints.labels.sample.tolist() == [0, 30, 50]
    assert hints.at(kept).labels.sample.tolist() == [0, 30]
    assert hints.at(kept).labels.unit.tolist() == [1, 2]


def test_numbers_of_units_that_are_found_are_free() -> None:
    assert Hints(first_unit=4).first_free == 4
    assert Hints(first_unit=4, labels=Spikes([10], [7])).first_free == 8


def test_a_spike_of_another_unit_beside_a_found_label_stays() -> None:
    found = Spikes([100, 102, 400], [1, 2, 2])
    spikes = with_labels(found, Spikes([101, 405], [1, 1]), fs_hz=FS_HZ)
    assert spikes.sample.tolist() == [101, 102, 405]
    assert spikes.unit.tolist() == [1, 2, 1]
    assert with_labels(found, Spikes.empty(), fs_hz=FS_HZ) is found
