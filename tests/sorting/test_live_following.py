"""A stream that follows changes finds units that fade and spikes in noise that rises, in whatever packets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import SettingsError
from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.sorting.live_following import LiveFollowing
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ

FADING, TIMES = 2, 3  # the recording is repeated so often


@pytest.fixture(scope="module")
def sorter(sorted_study: Path) -> Sorter:
    return Sorter.load(sorted_study / "model" / "targets" / "D2")


@pytest.fixture(scope="module")
def once(study_folder: Path) -> tuple[np.ndarray, Spikes]:
    """A target, and its true spikes away from the ends."""
    trace = read_mat(study_folder / "D2.mat")[0].get_traces()
    true = read_mat_spikes(study_folder / "truth" / "D2.mat")
    return trace, true.within(100, len(trace) - 200)


@pytest.fixture(scope="module")
def fading(once: tuple[np.ndarray, Spikes], sorter: Sorter) -> tuple[np.ndarray, Spikes]:
    """The target three times, in which unit 2 shrinks to 0.4."""
    trace, true = once
    changed = np.tile(trace, (TIMES, 1))
    every = Spikes.concatenate([true.shifted(k * len(trace)) for k in range(TIMES)])
    template, before = sorter.units.templates.waveforms[FADING - 1], sorter.units.templates.before
    for sample in every.of(FADING).sample.tolist():
        lost = 0.6 * sample / len(changed) * sorter.profile.activity.gain
        changed[sample - before : sample - before + len(template)] -= lost * template
    return changed, every


def streamed(sorter: Sorter, trace: np.ndarray, cuts: list[int], *, follow: bool) -> Spikes:
    stream = sorter.stream(FS_HZ, follow=follow)
    return Spikes.concatenate([*(stream.push(part) for part in np.split(trace, cuts)), stream.flush()])


@pytest.mark.slow
def test_a_unit_that_fades_is_followed(fading: tuple[np.ndarray, Spikes], sorter: Sorter) -> None:
    trace, true = fading
    last = (len(trace) * 3 // 4, len(trace))

    def found_in_the_last_quarter(*, follow: bool) -> float:
        found = streamed(sorter, trace, [], follow=follow).of(FADING).within(*last)
        return score(true.of(FADING).within(*last), found, fs_hz=FS_HZ).recall

    assert found_in_the_last_quarter(follow=False) < 0.6
    assert found_in_the_last_quarter(follow=True) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("step", [997, 60_000, 250_000])
def test_packets_change_nothing(step: int, fading: tuple[np.ndarray, Spikes], sorter: Sorter) -> None:
    trace, _ = fading
    whole = streamed(sorter, trace, [], follow=True)
    found = streamed(sorter, trace, list(range(step, len(trace), step)), follow=True)
    assert found == whole
    assert len(whole) > 100


def test_noise_that_rises_is_followed_and_sizes_stay(once: tuple[np.ndarray, Spikes], sorter: Sorter) -> None:
    trace, _ = once
    following = LiveFollowing(sorter.state)
    margin = following.margin
    louder = trace + 2 * np.std(trace) * np.random.default_rng(0).standard_normal(trace.shape)
    read = louder[: margin.before + 60_000 + margin.after].astype(np.float32)
    following.follow(read, Spikes.empty(), BadStretches())
    assert abs(following.profile.noise.density).sum() > 4 * abs(sorter.profile.noise.density).sum()
    np.testing.assert_allclose(following.profile.course.sizes, 1.0)


def test_a_period_that_is_mostly_bad_or_dead_changes_nothing(sorter: Sorter) -> None:
    following = LiveFollowing(sorter.state)
    margin, before = following.margin, following.decoder
    read = np.zeros((margin.before + 1000 + margin.after, 1), np.float32)
    assert following.follow(read, Spikes.empty(), BadStretches.of([(0, 600, "artefact")])) is before
    following.follow(read, Spikes.empty(), BadStretches())
    np.testing.assert_array_equal(following.profile.noise.density, sorter.profile.noise.density)


def test_what_cannot_follow_is_refused_at_once(sorter: Sorter) -> None:
    with pytest.raises(SettingsError, match="follow: not with low latency"):
        sorter.stream(FS_HZ, mode="low_latency", follow=True)
    other = replace(sorter.state, tuned=replace(sorter.state.tuned, name="botm"))
    with pytest.raises(SettingsError, match="needs the decoder pursuit, but this sorter uses botm"):
        LiveFollowing(other)
