from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, NumpySorting

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.samples import (
    SIGNATURE_SAMPLES,
    as_labels,
    as_spikes,
    at_rate,
    centred,
    check_channels,
    check_sizes,
    check_trace,
    constant_channels,
    missing_channels,
    read_representative,
    read_signature,
    shortest_samples,
    warn_of_silent_units,
)
from tests.conftest import FS_HZ


def test_labels_are_spikes_or_a_sorting_of_the_recordings_rate() -> None:
    spikes = Spikes.from_arrays([120, 300], [2, 1])
    assert as_spikes(spikes, fs_hz=FS_HZ) is spikes
    sorting = NumpySorting.from_unit_dict([{"b": np.array([300]), "a": np.array([120])}], FS_HZ)
    assert as_spikes(sorting, fs_hz=FS_HZ) == Spikes.from_arrays([120, 300], [2, 1])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(np.array([120, 300]), "ndarray"), (([120], [1]), "tuple"), ("labels.csv", "str"), ({}, "dict")],
)
def test_what_are_no_labels_is_called_by_its_kind(labels: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"expected Spikes or a SpikeInterface sorting, not a {kind}"):
        as_spikes(labels, fs_hz=FS_HZ)


@pytest.mark.parametrize("fs_hz", [30_000.0, 25_010.0])
def test_labels_at_another_rate_are_refused(fs_hz: float) -> None:
    sorting = NumpySorting.from_unit_dict([{"1": np.array([300])}], fs_hz)
    with pytest.raises(InputError, match=f"labels are at {fs_hz:g} Hz, but the recording is at 25000 Hz"):
        as_spikes(sorting, fs_hz=FS_HZ)


def test_channels_on_which_nothing_was_recorded_are_named(rng: np.random.Generator) -> None:
    trace = rng.normal(size=(50_000, 4)).astype(np.float32)
    check_trace(trace, Settings())
    trace[:, [1, 3]] = 7
    with pytest.raises(InputError, match=r"channel 1, 3 \(counted from 0\) is constant"):
        check_trace(trace, Settings())
    with pytest.raises(InputError, match="the trace is constant"):
        check_trace(np.zeros_like(trace), Settings())


def test_rates_that_differ_by_less_than_a_clock_are_one() -> None:
    spikes = Spikes.from_arrays([120], [1], fs_hz=FS_HZ * (1 + 0.9e-4))
    assert as_spikes(spikes, fs_hz=FS_HZ) is spikes
    with pytest.raises(InputError, match="labels are at"):
        as_spikes(spikes.described(fs_hz=FS_HZ * (1 + 1.2e-4), names={}), fs_hz=FS_HZ)


def test_outlier_spikes_are_no_unit_to_learn(caplog: pytest.LogCaptureFixture) -> None:
    labels = Spikes([100, 120, 300], [0, 2, 0])
    assert as_labels(labels, fs_hz=FS_HZ).unit_ids == (2,)
    assert "2 labels of unit 0 are left out" in caplog.text
    caplog.clear()
    assert as_labels(labels[1:2], fs_hz=FS_HZ) == labels[1:2]
    assert not caplog.text


def test_units_without_a_spike_are_named(caplog: pytest.LogCaptureFixture) -> None:
    names = {1: "basket", 2: "granule", 3: "stellate"}
    warn_of_silent_units(Spikes.from_arrays([120], [2], names=names))
    assert "units without labelled spikes are left out: basket, stellate" in caplog.text
    caplog.clear()
    warn_of_silent_units(Spikes.from_arrays([120], [2], names={2: "granule"}))
    assert not caplog.text


def test_the_shortest_trace_is_a_networks_window_or_the_noises_transform(rng: np.random.Generator) -> None:
    """A window of 120 samples, beside the reach of convolutions of 7 taps dilated by 1, 2, 4 and 8, twice."""
    window = 120 + 2 * 3 * (1 + 2 + 4 + 8) + 1
    for n_fft, shortest in ((64, window), (2048, 2048)):
        settings = Settings().replace(noise={"n_fft": n_fft})
        assert shortest_samples(settings) == shortest
        check_trace(rng.normal(size=(shortest, 1)), settings)
        with pytest.raises(InputError, match=f"only {shortest - 1} samples long; at least {shortest}"):
            check_trace(rng.normal(size=(shortest - 1, 1)), settings)


def test_missing_samples_hide_no_constant_channel(rng: np.random.Generator) -> None:
    trace = rng.normal(size=(5000, 3))
    trace[:, 1] = 4.0
    trace[[7, 8, 4000]] = [[np.nan], [np.inf], [-np.inf]]
    assert constant_channels(trace) == [1]
    trace[:, 2] = np.nan
    assert (constant_channels(trace), missing_channels(trace)) == ([1], [2])
    with pytest.raises(InputError, match=r"channel 1 \(counted from 0\) is constant"):
        check_channels(trace)
    with pytest.raises(InputError, match=r"channel 1 \(counted from 0\) is NaN or infinite throughout"):
        check_channels(trace[:, [0, 2]])
    assert constant_channels(trace.astype(np.float32)[:, :1]) == []


def test_a_trace_that_is_too_short_without_bad_stretches_says_how_much_is_bad(
    rng: np.random.Generator,
) -> None:
    with pytest.raises(InputError, match="9 of 10 s are bad; 100 samples remain, but at least 2048"):
        check_trace(rng.normal(size=(100, 1)), Settings(), left_out="9 of 10 s are bad")


def test_a_long_recording_is_read_in_32_parts_from_all_over_it() -> None:
    n_samples = 10 * SIGNATURE_SAMPLES
    ramp = np.arange(n_samples, dtype=np.int32)[:, None]
    found = read_signature(NumpyRecording([ramp], FS_HZ))[:, 0]
    assert len(found) == SIGNATURE_SAMPLES
    parts = found.reshape(32, -1)
    np.testing.assert_array_equal(np.diff(parts, axis=1), 1)
    assert (found[0], found[-1]) == (0, n_samples - 1)
    np.testing.assert_allclose(np.diff(parts[:, 0]), (n_samples - len(found) / 32) / 31, atol=1)
    short = NumpyRecording([ramp[:SIGNATURE_SAMPLES]], FS_HZ)
    np.testing.assert_array_equal(read_signature(short), ramp[:SIGNATURE_SAMPLES])
    np.testing.assert_array_equal(read_representative(NumpyRecording([ramp], FS_HZ)), ramp)


def test_a_large_offset_costs_no_precision() -> None:
    trace = np.array([[2**24 + 1], [2**24 + 3]], np.int32)
    np.testing.assert_array_equal(centred(trace, 2.0**24), [[1], [3]])
    assert centred(trace, 0.0).dtype == np.float32


def test_bad_stretches_are_resampled_along() -> None:
    bad = BadStretches.of([(100, 201, "dead"), (900, 1000, "artefact")])
    spikes = Spikes([50], [1], fs_hz=1000.0, bad=bad)
    assert list(at_rate(spikes, 500.0, n_samples=490).bad) == [(50, 101, "dead"), (450, 490, "artefact")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_absurd_sizes_are_refused_and_missing_samples_are_not(dtype: str) -> None:
    values = np.ones((1000, 1), dtype)
    values[:500] = np.nan
    values[500:510] = 1e30
    check_sizes(values)
    values[510] = -1e30
    with pytest.raises(InputError, match=r"1 % of the samples are beyond 1e\+20.*--dtype"):
        check_sizes(values)
    check_sizes(np.full((9, 1), 30_000, np.int16))
