from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.agreement import mismatches, offset_ms
from spikesorter.core.spikes import Spikes

FS_HZ = 30_000.0


def random_spikes(seed: int, n: int = 600, seconds: float = 60.0) -> Spikes:
    rng = np.random.default_rng(seed)
    return Spikes.from_arrays(rng.integers(1000, int(seconds * FS_HZ), n), rng.integers(1, 4, n))


@pytest.mark.parametrize("samples", [-240, -30, 30, 90, 270])
def test_an_offset_of_all_spikes_is_told(samples: int) -> None:
    truth = random_spikes(0)
    rng = np.random.default_rng(1)
    found = Spikes.from_arrays(
        np.r_[truth.sample + samples + rng.integers(-3, 4, len(truth)), random_spikes(2, 200).sample],
        np.r_[truth.unit, np.ones(200)],
    )
    assert offset_ms(truth.sample, found.sample, fs_hz=FS_HZ) == pytest.approx(samples / 30, abs=0.07)
    (said,) = mismatches(truth, found, fs_hz=FS_HZ)
    assert ("later" in said) == (samples > 0)


@pytest.mark.parametrize("found", [random_spikes(3), random_spikes(0).shifted(3), Spikes.empty()])
def test_spikes_that_agree_or_have_nothing_in_common_have_no_offset(found: Spikes) -> None:
    assert mismatches(random_spikes(0), found, fs_hz=FS_HZ) == []


def test_a_burst_is_no_offset() -> None:
    first = random_spikes(0, 300).sample
    burst = Spikes.from_arrays(np.r_[first, first + 120, first + 240], np.ones(900))
    assert mismatches(burst, burst, fs_hz=FS_HZ) == []


@pytest.mark.parametrize(("start", "stop", "said"), [(0, 6, "end at"), (50, 60, "begin at")])
def test_truth_or_results_of_a_part_are_told(start: int, stop: int, said: str) -> None:
    whole = random_spikes(0)
    part = whole.within(int(start * FS_HZ), int(stop * FS_HZ))
    (words,) = mismatches(part, whole, fs_hz=FS_HZ)
    assert f"the true spikes {said}" in words
    assert "count as false" in words
    (words,) = mismatches(whole, part, fs_hz=FS_HZ)
    assert f"the found spikes {said}" in words
    assert "count as missed" in words
