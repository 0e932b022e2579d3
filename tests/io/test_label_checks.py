"""Labels that cannot be meant are refused, with the likely cause and the option that mends it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.label_checks import check_label_times, check_plausible, check_whole, to_samples

FS_HZ = 25_000.0
PATH = Path("labels.csv")
N_SAMPLES = 60 * 25_000


def labels(samples: np.ndarray) -> Spikes:
    samples = np.sort(np.asarray(samples, np.int64))
    return Spikes.from_arrays(samples, np.arange(len(samples)) % 2 + 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.minimum(np.arange(0, 200_000, 500), 65_535).astype(np.uint16), "sticks at 65535.*uint16"),
        (np.minimum(np.arange(0, 99_000, 500), 32_767), "sticks at 32767.*int16"),
        (np.minimum(np.arange(0, 9e9, 1e7), 2**31 - 1), "sticks at 2147483647.*int32"),
        (np.minimum(np.arange(0, 9e9, 1e7), 2**32 - 1), "sticks at 4294967295.*uint32"),
        (np.array([5, 127, 127, 127]), "sticks at 127, .* type int8, for 3 spikes"),
        (np.tile([0, 1], 500), "raster: 1000 values"),
        (np.tile([0, 0, 1, 0], 500).astype(np.uint8), r"raster: 2000 values.*find\(Index\) - 1"),
        (np.array([0.1, 0.5]), "--labels-in seconds"),
    ],
)
def test_numbers_that_are_no_samples_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_whole(PATH, "Index", values)


@given(st.lists(st.integers(2, 10**9), max_size=50, unique=True))
def test_samples_that_differ_are_taken(samples: list[int]) -> None:
    check_whole(PATH, "Index", np.array(samples, np.int64))


@pytest.mark.parametrize("values", [np.array([5, 127, 127]), np.tile([0, 1], 500)[1:]])
def test_a_few_alike_are_taken(values: np.ndarray) -> None:
    check_whole(PATH, "Index", values)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.arange(0, 60, 1), r"first 0\.00236 s of 60\.0 s; .*--labels-in seconds; .*multiply them by 25"),
        (np.arange(0, 24_000, 100), "first 0.956 s of 60.0 s"),
        (np.arange(0, N_SAMPLES, 20), "unit 1 has 37500 labels in 60.0 s, 625 per second"),
        (np.arange(2_000_000, 2_500_000, 5000), "count from the start of the session.*--labels-in session"),
        (np.arange(0, 1_790_000, 5000), "at another rate, such as 30000 Hz"),
        (np.arange(0, 10**9, 10**6), r"are they labels of another recording\?$"),
    ],
)
def test_labels_that_the_recording_cannot_have_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_plausible(PATH, labels(samples), n_samples=N_SAMPLES, fs_hz=FS_HZ)


@pytest.mark.parametrize(
    "samples",
    [
        np.arange(100, N_SAMPLES, 4000),
        np.array([5, 10, 20]),  # too few to conclude anything
        np.array([], int),
        np.array([N_SAMPLES - 1]),
        np.arange(0, 25_001, 1000),  # from second 0 to 1
    ],
)
def test_labels_that_it_can_have_are_taken(samples: np.ndarray) -> None:
    check_plausible(PATH, labels(samples), n_samples=N_SAMPLES, fs_hz=FS_HZ)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (16_000, 20_000), (20_000, 24_000), (24_000, 24_414.0625), (24_414.0625, 25_000), (25_000, 30_000),
        (30_000, 32_000), (32_000, 40_000), (40_000, 48_828.125), (48_828.125, 50_000),
    ],
)  # fmt: skip
def test_the_next_usual_rate_at_which_labels_would_fit_is_told(own: float, other: float) -> None:
    last = int(N_SAMPLES * other / own) - 1
    with pytest.raises(InputError, match=rf"at another rate, such as {other:.10g} Hz\?$"):
        check_plausible(PATH, labels(np.array([0, last])), n_samples=N_SAMPLES, fs_hz=own)


def test_a_short_recording_may_be_labelled_in_its_first_second() -> None:
    check_plausible(PATH, labels(np.arange(100, 24_000, 500)), n_samples=30_000, fs_hz=FS_HZ)


def test_times_become_samples() -> None:
    times = np.array([0.0, 0.5, 100.00004])
    np.testing.assert_array_equal(to_samples(times, "seconds", FS_HZ, 0.0), [0, 12_500, 2_500_001])
    np.testing.assert_array_equal(to_samples(times + 120, "session", FS_HZ, 120.0), [0, 12_500, 2_500_001])
    np.testing.assert_array_equal(to_samples(np.array([3, 4]), "samples", FS_HZ, 120.0), [3, 4])


def test_what_times_are_is_one_of_three() -> None:
    assert check_label_times(None) is None
    assert check_label_times("session") == "session"
    with pytest.raises(InputError, match="'minutes': expected one of samples, seconds, session"):
        check_label_times("minutes")
