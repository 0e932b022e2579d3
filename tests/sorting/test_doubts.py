"""Recordings unlike the model's are told in words, and those that are nearly all bad are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.io.mat import read_mat
from spikesorter.signal.screen import Screen
from spikesorter.sorting import doubts, spans
from spikesorter.sorting.doubts import (
    doubt_of_gain,
    doubt_of_level,
    level_doubt,
    noisier_doubt,
    silence_doubt,
)
from spikesorter.sorting.screens import measure_quiet
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ

NAMES = ["0", "1"]
SCREEN = Screen(12, np.array([9.0, 9.0]), np.array([1.0, 1.0]), np.zeros(2))


@pytest.fixture(scope="module")
def sorter(sorted_study: Path) -> Sorter:
    return Sorter.load(sorted_study / "model" / "targets" / "D2")


@pytest.fixture(scope="module")
def trace(study_folder: Path) -> np.ndarray:
    return read_mat(study_folder / "D2.mat")[0].get_traces()


def recording_of(trace: np.ndarray) -> NumpyRecording:
    return NumpyRecording([trace], FS_HZ)


@pytest.mark.parametrize(
    ("quiet", "told"),
    [
        ((2.5, 0.4), ""),
        ((4.0, 4.0), "its noise is 4 times"),
        ((1.0, 0.2), r"the noise of channel 1 (counted from 0) is 0.2 times"),
        ((0.0, 1.0), ""),  # a dead channel is told of elsewhere
    ],
)
def test_noise_beyond_a_factor_of_three_is_told(quiet: tuple[float, float], told: str) -> None:
    found = level_doubt(np.array(quiet), SCREEN, NAMES)
    assert found.startswith(told)
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    ("quiet", "told"),
    [((1.4, 1.4), ""), ((1.9, 1.0), ""), ((0.4, 0.4), ""), ((1.7, 1.7), "its noise is 1.7 times")],
)
def test_a_recording_that_is_noisier_than_the_thresholds_allow_for_is_told(
    quiet: tuple[float, float], told: str
) -> None:
    found = noisier_doubt(np.array(quiet), SCREEN)
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_the_noise_of_a_whole_recording_is_compared() -> None:
    trace = np.random.default_rng(0).standard_normal((160_000, 2))
    screen = Screen(12, np.full(2, 20.0), measure_quiet(trace, SCREEN), np.zeros(2))
    assert doubt_of_level(recording_of(1.3 * trace), screen, np.ones(1)) == ""
    assert "noise may be taken for spikes" in doubt_of_level(recording_of(2 * trace), screen, np.ones(1))


def test_a_part_that_is_off_is_no_other_level() -> None:
    trace = np.random.default_rng(0).standard_normal((160_000, 2))
    screen = Screen(12, np.full(2, 20.0), measure_quiet(trace, SCREEN), np.zeros(2))
    trace[80_000:, 1] *= 0.001
    assert doubt_of_level(recording_of(trace), screen, np.ones(1)) == ""
    trace[80_000:, 1] *= 100  # now a tenth
    assert "in some parts" in doubt_of_level(recording_of(trace), screen, np.ones(1))


def test_noise_that_is_next_to_none_may_be_an_electrode_that_is_off() -> None:
    assert "is this one switched off, in another unit" in level_doubt(np.full(2, 0.001), SCREEN, NAMES)
    assert "switched off" not in level_doubt(np.full(2, 0.1), SCREEN, NAMES)


def test_a_model_that_knows_no_noise_doubts_nothing() -> None:
    assert level_doubt(np.ones(2), Screen(12, *[np.full(2, np.inf)] * 2, np.zeros(2)), NAMES) == ""


@pytest.mark.parametrize(("ratio", "told"), [(0.6, False), (1.9, False), (0.4, True), (2.5, True)])
def test_spikes_of_another_size_are_told(ratio: float, told: bool) -> None:
    assert ("another unit of voltage" in doubt_of_gain(ratio, "D2")) == told


def test_sorting_tells_of_another_level_once(
    sorter: Sorter, trace: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    sorter.sort(recording_of(trace))
    assert not caplog.text
    sorter.sort(recording_of(trace / 8))
    (record,) = caplog.records
    assert "its noise is 0.125 times that of the recording" in record.getMessage()


def test_sorting_tells_of_noise_that_rises(
    sorter: Sorter, trace: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    louder = trace.copy()
    half = len(trace) // 2
    louder[half:] += 1.2 * np.std(trace) * np.random.default_rng(0).standard_normal(louder[half:].shape)
    sorter.sort(recording_of(louder))
    (record,) = caplog.records
    assert "times as strong in some parts as in others: adapt to it" in record.getMessage()


def test_sorting_tells_of_many_times_as_many_spikes_as_expected(
    sorter: Sorter, trace: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sorter.sort(recording_of(trace))
    assert not caplog.text
    assert len(found) == pytest.approx(sum(sorter.state.expected_spikes(len(trace)).values()), rel=0.5)
    monkeypatch.setattr(doubts, "CROWD", 0.4)
    monkeypatch.setattr(doubts, "FEW_SPIKES", len(found))
    sorter.sort(recording_of(trace))
    assert "times as many spikes as in the recording that the sorter was adapted to" in caplog.text


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": 200, "b": 12, "c": 0}, ""),  # too few were expected of c
        ({"a": 9, "b": 100, "c": 5}, "hardly any spikes of unit a (9 where"),
        ({"a": 9, "b": 0, "c": 5}, "hardly any spikes of units a, b (9, 0 where"),
    ],
)
def test_units_without_spikes_are_told(found: dict[str, int], told: str) -> None:
    doubt = silence_doubt(found, {"a": 200.0, "b": 150.0, "c": 60.0})
    assert doubt.startswith(told)
    assert bool(doubt) == bool(told)


def test_sorting_tells_that_the_units_are_not_there(
    sorter: Sorter, trace: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "MANY_SPIKES", 20.0)
    monkeypatch.setattr(spans, "FINDABLE", 0.0)
    monkeypatch.setattr(doubts, "NOISIER", 3.0)
    level = np.median(np.abs(trace - np.median(trace))) / 0.6745
    noise = level * np.random.default_rng(0).standard_normal(trace.shape)
    found = sorter.sort(recording_of(noise))
    assert "hardly any spikes of" in caplog.text
    assert any("hardly any spikes" in doubt for doubt in found.doubts)
    assert not any("hardly any" in doubt for doubt in sorter.sort(recording_of(trace)).doubts)


@pytest.mark.parametrize("unsigned", [False, True])
def test_a_recording_that_another_unit_makes_all_artefact_is_refused_with_the_cause(
    unsigned: bool, sorter: Sorter, trace: np.ndarray
) -> None:
    louder = (1000 * trace + 32_768).astype(np.uint16) if unsigned else 1000 * trace
    with pytest.raises(
        InputError, match="are bad and left out: artefact 8 s; its noise is 1e.03 times"
    ) as told:
        sorter.sort(recording_of(louder))
    assert ("unsigned numbers (uint16) around 327" in str(told.value)) == unsigned


def test_unsigned_numbers_of_the_models_scale_are_no_matter(trace: np.ndarray) -> None:
    counts = (100 * trace + 32_768).astype(np.uint16)
    quiet = np.ptp(100 * trace[:60], axis=0)
    assert doubt_of_level(recording_of(counts), Screen(12, quiet, quiet, np.zeros(1)), np.ones(1)) == ""


@pytest.mark.parametrize(
    ("good", "message"),
    [
        (1000, "are bad and left out: missing 7.96 s; hardly anything remains"),
        (0, "the trace is NaN or infinite throughout: nothing was recorded"),
    ],
)
def test_a_recording_that_is_nearly_all_missing_is_refused(
    good: int, message: str, sorter: Sorter, trace: np.ndarray
) -> None:
    trace = trace.copy()
    trace[good:] = np.nan
    for use in (sorter.sort, sorter.adapt):
        with pytest.raises(InputError, match=message):
            use(recording_of(trace))


def test_a_recording_that_is_left_out_as_a_whole_is_refused(sorter: Sorter, trace: np.ndarray) -> None:
    with pytest.raises(InputError, match="given 8 s; nothing remains to be sorted"):
        sorter.sort(recording_of(trace), exclude=BadStretches.of([(0, len(trace), "given")]))


def test_a_short_part_of_a_long_recording_can_be_asked_for(sorter: Sorter, trace: np.ndarray) -> None:
    only = sorter.sort(recording_of(trace), exclude=BadStretches.of([(2000, len(trace), "given")]))
    whole = sorter.sort(recording_of(trace))
    assert only.within(0, 1000) == whole.within(0, 1000)
    with pytest.raises(InputError, match="are bad and left out: given .*; 2000 samples remain, but at least"):
        sorter.adapt(recording_of(trace), exclude=BadStretches.of([(2000, len(trace), "given")]))


def test_a_constant_channel_is_named(sorter: Sorter) -> None:
    with pytest.raises(InputError, match="the trace is constant: nothing was recorded"):
        sorter.sort(recording_of(np.full((200_000, 1), 7.0)))
