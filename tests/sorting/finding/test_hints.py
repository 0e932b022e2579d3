from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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
        Hints.of(recording, n_units=None, polarity=None, labels=Spikes([10, 100], [1, 1]), first_unit=1)
    with pytest.raises(InputError):
        Hints.of("D1.mat", n_units=None, polarity=None, labels=None, first_unit=1)  # type: ignore[arg-type]


def test_labels_follow_a_part_and_what_is_cut_out() -> None:
    hints = Hints(labels=Spikes([100, 130, 150, 220], [1, 1, 2, 1])).within(100, 200)
    kept = np.concatenate([np.arange(20), np.arange(40, 100)])
    assert hints.labels.sample.tolist() == [0, 30, 50]
    assert hints.at(kept).labels.sample.tolist() == [0, 30]
    assert hints.at(kept).labels.unit.tolist() == [1, 2]


def test_numbers_of_units_that_are_found_are_free() -> None:
    assert Hints(first_unit=4).first_free == 4
    assert Hints(first_unit=4, labels=Spikes([10], [7])).first_free == 8


def test_a_labelled_unit_keeps_its_number_where_none_of_its_labels_is() -> None:
    """Another unit must not be found under its number, and so get its labels and name."""
    hints = Hints(labels=Spikes([100, 150, 900], [1, 3, 7]))
    part = hints.within(0, 500)
    assert (part.fixed, part.first_free) == ((1, 3), 8)
    cut = part.at(np.r_[0:140, 160:500])
    assert (cut.fixed, cut.first_free) == ((1,), 8)
    assert Hints(first_unit=4).within(0, 500).first_free == 4


def test_a_spike_of_another_unit_beside_a_found_label_stays() -> None:
    found = Spikes([100, 102, 400], [1, 2, 2])
    spikes = with_labels(found, Spikes([101, 405], [1, 1]), fs_hz=FS_HZ)
    assert spikes.sample.tolist() == [101, 102, 405]
    assert spikes.unit.tolist() == [1, 2, 1]
    assert with_labels(found, Spikes.empty(), fs_hz=FS_HZ) is found


SAMPLES = st.sets(st.integers(0, 60), min_size=1).map(sorted)


@given(SAMPLES, SAMPLES)
def test_each_label_that_is_kept_is_found_again(kept: list[int], labelled: list[int]) -> None:
    """Labels before the first and after the last sample that is kept among them."""
    units = [1 + sample % 3 for sample in labelled]
    moved = Hints(labels=Spikes(labelled, units)).at(np.array(kept)).labels
    assert np.array(kept)[moved.sample].tolist() == sorted({*kept} & {*labelled})
    assert moved.unit.tolist() == [1 + kept[place] % 3 for place in moved.sample]


@pytest.mark.parametrize(("lag", "same"), [(-13, False), (-12, True), (12, True), (13, False)])
@pytest.mark.parametrize("unit", [1, 2])
def test_a_found_spike_within_half_a_millisecond_is_the_labelled_one(lag: int, same: bool, unit: int) -> None:
    spikes = with_labels(Spikes([100 + lag], [unit], 0.5), Spikes([100], [1]), fs_hz=24_000.0)
    expected = [(100, 1, 1.0)] if same else sorted([(100, 1, 1.0), (100 + lag, unit, 0.5)])
    assert [(spike.sample, spike.unit, spike.probability) for spike in spikes] == expected


def test_as_many_units_as_have_labels_and_no_more_than_fifty_may_be_wanted() -> None:
    two = Spikes([10, 20], [4, 9])
    assert Hints(n_units=2, labels=two).fixed == (4, 9)
    assert [Hints(n_units=count).first_free for count in (1, 50)] == [1, 1]
    with pytest.raises(SettingsError, match="expected 1 to 50, not 0"):
        Hints(n_units=0, labels=Spikes([10], [4]))
    with pytest.raises(SettingsError, match="expected 1 to 50, not 51"):
        Hints(n_units=51)


def test_a_polarity_is_a_sign() -> None:
    signs = [Hints(polarity=polarity).sign for polarity in (None, "negative", "positive")]
    assert signs == [0, -1, 1]


def test_labels_up_to_the_last_sample_are_taken_and_of_another_rate_refused() -> None:
    recording = NumpyRecording([np.zeros((100, 1), np.float32)], FS_HZ)
    labels = Spikes([0, 99], [3, 5])
    hints = Hints.of(recording, n_units=2, polarity="positive", labels=labels, first_unit=2)
    assert (hints.labels, hints.n_units, hints.sign, hints.first_unit) == (labels, 2, 1, 2)
    assert Hints.of(recording, n_units=None, polarity=None, labels=None, first_unit=3).first_free == 3
    other = Spikes([0, 99], [3, 5], fs_hz=30_000.0)
    with pytest.raises(InputError, match="labels are at 30000 Hz, but the recording is at 25000 Hz"):
        Hints.of(recording, n_units=None, polarity=None, labels=other, first_unit=1)
