from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.filters import band_pass_kernel, drift_kernel, fir_filter
from spikesorter.signal.gate import Gate, make_gate, recovery

FS_HZ = 25_000.0
N = 50_000


def gate_for(trace: np.ndarray, bad: BadStretches) -> Gate:
    def read(start: int, stop: int) -> np.ndarray:
        return trace[max(start, 0) : stop]

    return make_gate(bad, read, fs_hz=FS_HZ, channels=trace.shape[1])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, 2)).astype(np.float32)


def test_without_bad_stretches_the_trace_itself_is_returned() -> None:
    trace = noise()
    assert gate_for(trace, BadStretches()).applied(trace, 0) is trace


def test_far_from_bad_stretches_nothing_is_touched() -> None:
    trace, bad = noise(), BadStretches.of([(20_000, 20_100, "artefact")])
    spoiled = trace.copy()
    spoiled[20_000:20_100] = 500.0
    gated = gate_for(spoiled, bad).applied(spoiled, 0)
    assert np.array_equal(gated[:20_000], trace[:20_000])
    assert np.array_equal(gated[24_000:], trace[24_000:])
    assert np.abs(gated[20_000:20_100]).max() < 1
    assert np.abs(gated[20_100:24_000] - trace[20_100:24_000]).max() < 0.5


def test_a_filtered_jump_leaves_nothing_in_the_band_of_spikes() -> None:
    kernel = np.convolve(
        drift_kernel(window_ms=20, fs_hz=FS_HZ),
        band_pass_kernel(low_hz=0, high_hz=6000, taps=301, fs_hz=FS_HZ),
    )
    time_s = np.arange(N) / FS_HZ
    jump = np.where(time_s >= 1, 1500 * np.exp(-(time_s - 1) / 0.3), 0.0).astype(np.float32)[:, None]
    bad = BadStretches.of([(24_980, 25_100, "artefact")])
    inside = slice(1000, N - 1000)
    assert np.abs(fir_filter(jump, kernel)[inside]).max() > 500
    assert np.abs(fir_filter(gate_for(jump, bad).applied(jump, 0), kernel)[inside]).max() < 15


@pytest.mark.parametrize("decay_ms", [2.0, 5.0, 20.0])
def test_the_slow_return_of_a_baseline_leaves_little_in_the_band_of_spikes(decay_ms: float) -> None:
    kernel = np.convolve(
        drift_kernel(window_ms=20, fs_hz=FS_HZ),
        band_pass_kernel(low_hz=0, high_hz=6000, taps=301, fs_hz=FS_HZ),
    )
    after_ms = np.maximum(np.arange(N) - 25_000, 0) / FS_HZ * 1000
    tail = np.where(after_ms > 0, 1500 * np.exp(-after_ms / decay_ms), 0.0).astype(np.float32)[:, None]
    spike = 200 * np.hanning(25).astype(np.float32)[:, None]
    tail[25_230:25_255] += spike  # soon after the stretch; it must stay
    bad = BadStretches.of([(24_990, 25_200, "artefact")])
    gated = gate_for(tail, bad).applied(tail, 0)
    gated[25_230:25_255] -= spike
    assert np.abs(fir_filter(gated, kernel)).max() < 0.02 * 1500


def test_a_stretch_at_the_end_has_no_baseline_after_it() -> None:
    assert [side.tolist() for side in recovery(np.zeros((0, 2), np.float32), fs_hz=FS_HZ)] == [[0, 0]] * 2
    level, rate = recovery(np.float32([[5.0]]), fs_hz=FS_HZ)
    assert (level, rate) == (5.0, 0.0)


def test_a_part_is_gated_like_the_whole() -> None:
    rng = np.random.default_rng(3)
    trace = noise() + np.cumsum(rng.standard_normal((N, 2)), axis=0).astype(np.float32)
    bad = BadStretches.of(
        [(int(at), int(at + rng.integers(1, 900)), "artefact") for at in rng.integers(0, N, 30)]
    )
    bad = bad.within(0, N)
    gate = gate_for(trace, bad)
    whole = gate.applied(trace, 0)
    assert np.isfinite(whole).all()
    for start in range(0, N, 777):
        assert np.array_equal(gate.applied(trace[start : start + 900], start), whole[start : start + 900])


def test_the_baseline_goes_on_into_a_stretch_and_fades() -> None:
    trace = np.full((N, 1), 80.0, np.float32)
    trace[20_000:21_000] = np.nan
    gated = gate_for(trace, BadStretches.of([(20_000, 21_000, "missing")])).applied(trace, 0)[:, 0]
    assert gated[20_000] == 80.0
    assert np.abs(np.diff(gated[19_000:20_500])).max() < 1.1
    assert gated[20_200] == 0.0
    assert gated[21_000] == 0.0
    assert gated[-1] == 80.0


def test_a_stretch_soon_after_another_begins_at_the_corrected_baseline() -> None:
    trace = np.full((N, 1), 50.0, np.float32)
    bad = BadStretches.of([(20_000, 20_100, "artefact"), (20_300, 20_400, "artefact")])
    gated = gate_for(trace, bad).applied(trace, 0)[:, 0]
    assert abs(gated[20_300] - gated[20_299]) < 0.1
    assert gated[20_299] < 1.0


def test_a_short_stretch_ends_without_a_step() -> None:
    """The baseline before it has faded out where the trace after it begins."""
    trace = np.full((N, 1), 30.0, np.float32)
    gated = gate_for(trace, BadStretches.of([(20_000, 20_062, "given")])).applied(trace, 0)
    assert np.abs(np.diff(gated, axis=0)).max() < 1.0
    assert abs(float(gated[20_061, 0])) < 0.1


def test_a_spike_that_a_stretch_cuts_does_not_shift_the_baseline_before_it() -> None:
    trace = np.zeros((N, 1), np.float32)
    trace[19_930:20_030] = 8.0
    gated = gate_for(trace, BadStretches.of([(20_000, 20_100, "given")])).applied(trace, 0)
    np.testing.assert_array_equal(gated[20_000:20_100], 0)
