"""Profiles: how far apart two are, of which parts one consists, and how traces are conditioned."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.sections import ConditioningSettings
from spikesorter.estimation.course import Course
from spikesorter.estimation.profile import Profile, conditioning_kernel, without_hum
from spikesorter.signal.gain import SILENT, Activity, Background
from spikesorter.signal.noise import NoiseSpectrum
from tests.conftest import FS_HZ


def profile_with(variance: float, *, gain: float = 1.0, **others: object) -> Profile:
    noise = NoiseSpectrum.independent(np.full((129, 1), variance))
    return Profile(np.zeros(1), np.ones(1, np.float32), noise, Activity(gain, (5e-4, 5e-4)), **others)  # type: ignore[arg-type]


def test_profiles_are_told_apart_by_noise_and_gain() -> None:
    plain = profile_with(1.0)
    assert plain.distance(profile_with(1.0, gain=2.0)) == pytest.approx(np.log(2))
    assert plain.distance(profile_with(np.e**2)) == pytest.approx(1)
    assert profile_with(1.0, gain=2.0).distance(profile_with(1.0, gain=6.0)) == pytest.approx(np.log(3))
    for gain in (-1.0, 0.0):
        assert plain.distance(profile_with(1.0, gain=gain)) == np.inf
    assert profile_with(1.0, gain=-1.0).distance(profile_with(1.0, gain=-1.0)) == pytest.approx(0, abs=1e-9)
    assert plain.distance(profile_with(1.0, background=Background(1e-3, 0.3))) == pytest.approx(0, abs=1e-9)
    assert plain.background is SILENT


def test_each_part_of_a_profile_is_like_one_block_throughout() -> None:
    course = Course(np.array([[1.0, 1.0], [0.5, 1.0], [0.25, 3.0]]), np.array([0.5, 1.0, 3.0]))
    parts = profile_with(2.0, gain=-2.0, course=course).parts()
    assert [part.noise.power[0, 0] for part in parts] == [0.5, 2.0, 18.0]
    assert [part.factors.tolist() for part in parts] == [[-2, -2], [-1, -2], [-0.5, -6]]


@pytest.mark.parametrize(
    ("changes", "passed", "stopped"),
    [
        ({}, [300, 3000], [0, 9000]),
        ({"low_hz": 500}, [2000], [0, 50, 9000]),
        ({"high_hz": 0}, [300, 9000], [0]),
        ({"drift_window_ms": 0}, [0, 300, 3000], [9000]),
        ({"drift_window_ms": 0, "high_hz": 0}, [0, 300, 9000], []),
    ],
)
def test_conditioning_passes_what_its_settings_say(
    changes: dict[str, float], passed: list[int], stopped: list[int]
) -> None:
    response = np.abs(np.fft.rfft(conditioning_kernel(ConditioningSettings(**changes), FS_HZ), int(FS_HZ)))
    np.testing.assert_allclose(response[passed], 1, atol=0.1)
    assert not stopped or response[stopped].max() < 0.08


def test_hum_is_removed_only_where_it_was_found() -> None:
    time_s = np.arange(60_000) / FS_HZ
    trace = np.sin(2 * np.pi * 50 * time_s).astype(np.float32)[:, None]
    assert without_hum(trace, (), fs_hz=FS_HZ) is trace
    assert np.abs(without_hum(trace, (50.0,), fs_hz=FS_HZ)[20_000:-20_000]).max() < 0.02
    assert np.abs(without_hum(trace, (60.0,), fs_hz=FS_HZ)[20_000:-20_000]).max() > 0.9
