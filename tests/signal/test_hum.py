from __future__ import annotations

import numpy as np
import pytest

from spikesorter.signal.filters import fir_filter
from spikesorter.signal.hum import find_hum, hum_kernel
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise

FS_HZ = 25_000.0
TIME_S = np.arange(500_000) / FS_HZ


def hum(line_hz: float, size: float) -> np.ndarray:
    return (size * np.sin(2 * np.pi * line_hz * TIME_S + 1))[:, None].astype(np.float32)


@pytest.fixture
def pink(rng: np.random.Generator) -> np.ndarray:
    power = 1 / np.maximum(np.fft.rfftfreq(8192), 1e-3)
    return synthesise_noise(NoiseSpectrum.independent(power[:, None]), len(TIME_S), rng)


@pytest.mark.parametrize("lines", [(50.0,), (60.0, 180.0), ()])
def test_lines_that_stand_out_are_found(lines: tuple[float, ...], pink: np.ndarray) -> None:
    trace = pink + sum(hum(line, 0.5 * float(pink.std())) for line in lines)
    assert find_hum(trace, fs_hz=FS_HZ) == lines


def test_a_steep_spectrum_is_not_taken_for_hum(rng: np.random.Generator) -> None:
    assert (
        find_hum(np.cumsum(rng.standard_normal((500_000, 1)), axis=0).astype(np.float32), fs_hz=FS_HZ) == ()
    )


def test_a_short_recording_has_none() -> None:
    assert find_hum(hum(50, 1.0)[:20_000], fs_hz=FS_HZ) == ()


def test_hum_goes_and_the_rest_stays(pink: np.ndarray) -> None:
    kernel = hum_kernel((50.0,), fs_hz=FS_HZ)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
    inner = slice(10_000, -10_000)
    assert np.abs(fir_filter(hum(50, 1.0), kernel)[inner]).max() < 0.01
    change = fir_filter(pink, kernel)[inner] - pink[inner]
    assert change.std() < 0.12 * pink.std()


def test_no_lines_change_nothing() -> None:
    assert hum_kernel((), fs_hz=FS_HZ).tolist() == [1.0]


def test_eight_seconds_are_enough(pink: np.ndarray) -> None:
    trace = pink[:200_000] + hum(50, 2 * float(pink.std()))[:200_000]
    assert find_hum(trace, fs_hz=FS_HZ) == (50.0,)
    assert find_hum(trace[:-1], fs_hz=FS_HZ) == ()


@pytest.mark.parametrize("lines", [(50.0,), (60.0, 180.0)])
def test_the_filter_is_narrow(lines: tuple[float, ...]) -> None:
    """Half a second long: what is 4 Hz away stays, what is 1 Hz away is reduced, the line itself goes."""
    kernel = hum_kernel(lines, fs_hz=FS_HZ)
    assert len(kernel) == 12_501
    time_s = (np.arange(len(kernel)) - len(kernel) // 2) / FS_HZ
    for line in lines:
        for away, passed in ((0, 0.0), (1, 0.17), (2, 0.5), (4, 1.0), (-4, 1.0), (20, 1.0)):
            assert kernel @ np.cos(2 * np.pi * (line + away) * time_s) == pytest.approx(passed, abs=0.06)
    assert kernel.sum() == pytest.approx(1, abs=0.01)
