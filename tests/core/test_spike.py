from __future__ import annotations

import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spike import check_rate


@pytest.mark.parametrize("fs_hz", [100.0, 24_414.0625, 1e7])
def test_rates_from_100_hz_to_10_mhz_are_taken(fs_hz: float) -> None:
    assert check_rate(fs_hz) == fs_hz


@pytest.mark.parametrize("fs_hz", [99.999, 10_000_000.5, 0.0, -25_000.0, float("inf"), float("nan")])
def test_other_rates_are_refused(fs_hz: float) -> None:
    with pytest.raises(InputError, match=r"sampled at .* Hz \(fs_hz\); expected 100 Hz to 10 MHz"):
        check_rate(fs_hz)
