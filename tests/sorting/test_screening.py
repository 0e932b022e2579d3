"""A recording's bad stretches are found and left out; what is learnt of spikes and noise decides."""

from __future__ import annotations

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.sorting import screening
from spikesorter.sorting.screening import (
    channels_off,
    described,
    described_source,
    find_bad_stretches,
    screened,
    without_bad,
)
from spikesorter.sorting.screens import learn_screen, new_screen, screen_for, screen_without_labels
from tests.conftest import FS_HZ

N = 250_000
PULSE = 15.0 * np.exp(-np.arange(20) / 5.0)


def trace_with(seed: int, *, size: float = 1.0, every: int = 1000, noise: float = 1.0) -> np.ndarray:
    trace = noise * np.random.default_rng(seed).standard_normal((N, 1))
    for at in range(500, N - 100, every):
        trace[at : at + len(PULSE), 0] -= size * PULSE
    return trace


LABELS = Spikes.from_arrays(np.arange(500, N - 100, 1000), np.ones((N - 600) // 1000 + 1, int))
LABELLED = trace_with(0)
SCREEN = learn_screen(LABELLED, LABELS, fs_hz=FS_HZ)


def recording(trace: np.ndarray) -> NumpyRecording:
    return NumpyRecording([trace], FS_HZ)


def bad_of(trace: np.ndarray, screen: screening.Screen = SCREEN) -> BadStretches:
    return find_bad_stretches(recording(trace), screen, n_jobs=1)


def test_the_labelled_recording_and_others_like_it_are_good() -> None:
    assert len(bad_of(LABELLED)) == 0
    assert len(bad_of(trace_with(1, size=1.5, every=200))) == 0


def test_the_limit_is_above_what_spikes_and_noise_make() -> None:
    swing = PULSE.max() + 2 * 2.0
    assert 2.5 * swing < SCREEN.limit[0] < 6 * swing
    assert SCREEN.quiet[0] == pytest.approx(4.7, abs=0.5)  # range of sixty samples of noise of SD 1


def test_a_neuron_that_is_not_labelled_is_no_artefact_however_large() -> None:
    trace = LABELLED.copy()
    for at in range(900, N - 100, 25_000):  # once a second
        trace[at : at + len(PULSE), 0] -= 10 * PULSE
    assert len(bad_of(trace)) == N // 25_000  # if nothing is known of it
    assert len(bad_of(trace, learn_screen(trace, LABELS, fs_hz=FS_HZ))) == 0


def test_nothing_is_learnt_from_what_is_known_to_be_bad() -> None:
    trace = LABELLED.copy()
    starts = range(900, N - 1000, 2_500)  # so frequent that they would be taken for a neuron
    for at in starts:
        trace[at : at + len(PULSE), 0] -= 10 * PULSE
    known = BadStretches.of([(at, at + 40, "given") for at in starts])
    assert len(bad_of(trace, learn_screen(trace, LABELS, fs_hz=FS_HZ))) == 0
    assert len(bad_of(trace, learn_screen(trace, LABELS, fs_hz=FS_HZ, bad=known))) == len(starts)


@pytest.mark.parametrize("length", [20, 700])
def test_artefacts_are_found_without_labels_and_spikes_are_none(length: int) -> None:
    assert len(bad_of(LABELLED, screen_without_labels(LABELLED, fs_hz=FS_HZ))) == 0
    trace, starts = LABELLED.copy(), range(3_700, N - 1000, 25_000)
    for at in starts:
        trace[at : at + length, 0] += 150 * np.sin(np.arange(length))
    found = bad_of(trace, screen_without_labels(trace, fs_hz=FS_HZ))
    assert len(found) == len(starts)
    for stretch, at in zip(found, starts, strict=True):
        assert at - 100 < stretch.start <= at + 10
        assert at + length - 10 <= stretch.stop < at + length + 100


def test_a_trace_without_spikes_has_no_limit() -> None:
    noise = np.random.default_rng(0).standard_normal((N, 2))
    assert np.all(np.isinf(screen_without_labels(noise, fs_hz=FS_HZ).limit))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_chunks_and_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch, n_jobs: int) -> None:
    trace = trace_with(2)
    for at, value in ((0, np.nan), (60_000, 0.0), (61_500, 300.0), (120_000, np.inf), (249_990, 500.0)):
        trace[at : at + 700] = value
    trace[200_000:203_000] *= 0.001
    whole = bad_of(trace)
    assert len(whole) == 6
    monkeypatch.setattr(screening, "CHUNK_CELLS", 37)
    assert find_bad_stretches(recording(trace), SCREEN, n_jobs=n_jobs) == whole


def test_louder_noise_is_taken_into_account_and_another_scale_too() -> None:
    louder = trace_with(3, noise=14.0)
    assert bad_of(louder).samples > 0.05 * N
    assert len(bad_of(louder, screen_for(recording(louder), SCREEN))) == 0
    scaled = 1000 * trace_with(4)
    assert bad_of(scaled).samples > 0.9 * N
    own = screen_for(recording(scaled), SCREEN)
    assert len(bad_of(scaled, own)) == 0
    small = 0.001 * trace_with(4)
    small[90_000:90_020] = 0.5
    assert bad_of(small).samples_by_kind["dead"] > 0.99 * N  # by the noise of another scale
    assert len(bad_of(small, screen_for(recording(small), SCREEN))) == 1


def test_dead_stretches_do_not_make_the_noise_seem_quiet() -> None:
    trace = trace_with(5)
    trace[20_000:180_000] = 0.0
    assert screen_for(recording(trace), SCREEN).quiet[0] == pytest.approx(SCREEN.quiet[0], rel=0.05)


@pytest.mark.parametrize(("share", "on"), [(0.5, 1.0), (0.85, 0.4), (0.6, 1e-6)])
def test_a_recording_that_is_off_for_part_of_it_is_judged_by_the_rest(share: float, on: float) -> None:
    trace, off = on * trace_with(5), round((1 - share) * N)
    trace[off:] *= 0.001
    screen = screen_for(recording(trace), SCREEN)
    assert screen.quiet[0] == pytest.approx(on * SCREEN.quiet[0], rel=0.05)
    (stretch,) = bad_of(trace, screen)
    assert abs(stretch.start - off) <= 2 * SCREEN.cell_samples
    assert (stretch.stop, stretch.kind) == (N, "dead")
    assert len(bad_of(trace[:off], screen)) == 0


def test_noise_that_falls_to_a_tenth_is_good() -> None:
    trace = trace_with(5)
    trace[N // 2 :] *= 0.1
    assert len(bad_of(trace, screen_for(recording(trace), SCREEN))) == 0


def test_labelled_and_unlabelled_recordings_may_be_off_for_part_of_them() -> None:
    trace = LABELLED.copy()
    trace[N // 2 :] *= 0.001
    labels = LABELS.within(0, N // 2)
    for screen in (learn_screen(trace, labels, fs_hz=FS_HZ), screen_without_labels(trace, fs_hz=FS_HZ)):
        assert screen.quiet[0] == pytest.approx(SCREEN.quiet[0], rel=0.05)
        (stretch,) = bad_of(trace, screen)
        assert abs(stretch.start - N // 2) <= 2 * SCREEN.cell_samples


def test_an_unknown_screen_finds_only_missing_and_dead_samples() -> None:
    trace = trace_with(6)
    trace[1000:1100], trace[50_000:51_000], trace[90_000:90_100] = np.nan, 7.0, 1e6
    bad = bad_of(trace, new_screen(fs_hz=FS_HZ, channels=1))
    assert [kind for _, _, kind in bad] == ["missing", "dead"]
    own = screen_for(recording(trace), new_screen(fs_hz=FS_HZ, channels=1))
    assert np.isinf(own.limit).all()
    assert bad_of(trace, own) == bad


def test_what_is_read_has_neither_offset_nor_bad_stretches() -> None:
    trace = trace_with(7) + 1000.0
    trace[100_000:100_300] = 9000.0
    given = BadStretches.of([(200_000, 201_000, "given"), (N - 5, N + 70, "given")])
    offset = np.array([1000.0])
    source = screened(recording(trace), SCREEN, offset, exclude=given, fs_hz=FS_HZ, n_jobs=1)
    assert [kind for _, _, kind in source.bad] == ["saturated", "given", "given"]
    assert source.bad.stop[-1] == N
    whole = source.read(0, N)
    good = ~source.bad.contain(np.arange(N))
    assert np.abs(whole[~good]).max() < 5
    np.testing.assert_allclose(whole[good] + 1000, trace[good], atol=2)
    assert source.good_samples == good.sum()
    np.testing.assert_array_equal(source.read(-3, 4)[:4], np.repeat(whole[:1], 4, axis=0))
    np.testing.assert_array_equal(source.read(99_000, 101_000), whole[99_000:101_000])


def test_a_representative_part_is_the_trace_itself_or_what_is_left_of_it() -> None:
    offset = np.zeros(1)
    clean = screened(recording(LABELLED), SCREEN, offset, exclude=None, fs_hz=FS_HZ, n_jobs=1)
    raw, subtracted = without_bad(clean)
    np.testing.assert_array_equal(raw, LABELLED)
    assert subtracted == 0
    trace = LABELLED + 50.0
    trace[100_000:110_000] = np.nan
    source = screened(recording(trace), SCREEN, np.array([50.0]), exclude=None, fs_hz=FS_HZ, n_jobs=1)
    raw, subtracted = without_bad(source)
    assert len(raw) == source.good_samples
    assert subtracted == 50.0
    np.testing.assert_allclose(raw[:90_000], LABELLED[:90_000], atol=1e-4)


def test_how_much_is_bad_is_said_in_seconds() -> None:
    bad = BadStretches.of([(0, 25_000, "missing"), (50_000, 62_500, "dead")])
    assert described(bad, N, fs_hz=FS_HZ) == "1.5 of 10 s are bad and left out: missing 1 s, dead 0.5 s"


@pytest.mark.parametrize("left", [0.0, 0.001])
def test_it_is_said_if_one_channel_alone_is_off(left: float) -> None:
    two = np.hstack([LABELLED, trace_with(2)])
    screen = learn_screen(two, LABELS, fs_hz=FS_HZ)
    two[N // 2 :, 1] *= left
    source = screened(recording(two), screen, screen.offset, exclude=None, fs_hz=FS_HZ, n_jobs=1)
    assert source.bad.samples == pytest.approx(N / 2, rel=0.01)
    assert "only channel 1 (counted from 0) is off" in described_source(source, fs_hz=FS_HZ)
    two[N // 2 :] *= left
    both = screened(recording(two), screen, screen.offset, exclude=None, fs_hz=FS_HZ, n_jobs=1)
    assert channels_off(both, fs_hz=FS_HZ) == []
