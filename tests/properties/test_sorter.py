from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter import (
    InputError,
    NothingToSortError,
    Sorter,
    Spikes,
    SpikeSorterError,
    adapt_groups,
    fit_groups,
    score,
    sort_groups,
)
from tests.conftest import FS_HZ
from tests.properties.conftest import SETTINGS, Known, recording_of

pytestmark = pytest.mark.slow

FEW = settings(max_examples=12)
SOME_SPIKES = 0.7  # what the simulated study is sorted at least as well as


@FEW
@given(span_seconds=st.floats(0.05, 20), n_jobs=st.integers(1, 3), start=st.integers(0, 50_000))
def test_any_cut_and_any_number_of_threads_give_the_same_spikes(
    known: Known, span_seconds: float, n_jobs: int, start: int
) -> None:
    part = known.target[start : start + 100_000]
    before = part.copy()
    whole = known.sorter.sort(recording_of(part), n_jobs=1, span_seconds=100)
    again = known.sorter.sort(recording_of(part), n_jobs=n_jobs, span_seconds=span_seconds)
    assert again == whole
    np.testing.assert_array_equal(part, before)


@FEW
@given(stop=st.integers(60_000, 200_000))
def test_what_comes_later_changes_nothing_before_it(known: Known, stop: int) -> None:
    reach = known.sorter.state.margin.after
    whole = known.sorter.sort(recording_of(known.target)).within(0, stop - reach)
    part = known.sorter.sort(recording_of(known.target[:stop])).within(0, stop - reach)
    assert part == whole


@FEW
@given(data=st.data())
def test_a_stream_finds_what_a_file_run_finds_however_it_is_cut(known: Known, data: st.DataObject) -> None:
    part = known.target[:40_000]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(part)), max_size=8)))
    stream = known.sorter.stream(FS_HZ)
    found = [stream.push(piece) for piece in np.split(part, cuts)]
    assert Spikes.concatenate([*found, stream.flush()]) == known.sorter.sort(recording_of(part))


@FEW
@given(dtype=st.sampled_from(["float32", "float64"]), channels_first=st.booleans())
def test_the_type_and_the_layout_of_samples_change_nothing(
    known: Known, dtype: str, channels_first: bool
) -> None:
    part = known.target[:50_000]
    other = np.asarray(part, dtype, order="F" if channels_first else "C")
    assert known.sorter.sort(recording_of(other)) == known.sorter.sort(recording_of(part))


@given(
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.integers(0, 49_999),
)
@FEW
def test_samples_that_are_no_numbers_are_a_missing_stretch(known: Known, value: float, place: int) -> None:
    trace = known.target[:50_000].copy()
    trace[place] = value
    found, clean = (known.sorter.sort(recording_of(one)) for one in (trace, known.target[:50_000]))
    (stretch,) = found.bad
    assert stretch.kind == "missing"
    assert stretch.start <= place < stretch.stop < stretch.start + 50
    far = np.abs(clean.sample - place) > 6000  # what replaces the stretch fades out over some time
    assert found.select(np.abs(found.sample - place) > 6000) == clean.select(far)


@given(st.integers(1, 3), st.floats(100, 1e6), st.integers(1, 3000), st.sampled_from(["sort", "adapt"]))
@FEW
def test_recordings_of_another_kind_are_refused_in_words_or_sorted(
    known: Known, channels: int, fs_hz: float, samples: int, what: str
) -> None:
    trace = np.random.default_rng(samples).normal(size=(samples, channels)).astype(np.float32)
    recording = recording_of(trace, fs_hz=fs_hz)
    try:
        found = getattr(known.sorter, what)(recording)
    except SpikeSorterError as error:
        assert len(str(error)) > 10  # noqa: PT017
    else:
        assert channels == 1
        assert fs_hz == pytest.approx(FS_HZ)
        assert what == "adapt" or isinstance(found, Spikes)


@given(
    value=st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf])),
    samples=st.integers(5_000, 50_000),
    what=st.sampled_from(["sort", "adapt"]),
)
@FEW
def test_a_recording_in_which_nothing_was_recorded_is_told(
    known: Known, value: float, samples: int, what: str
) -> None:
    recording = recording_of(np.full((samples, 1), value, np.float32))
    with pytest.raises(NothingToSortError):
        getattr(known.sorter, what)(recording)


@given(st.floats(0, 1), st.integers(0, 200))
@FEW
def test_a_higher_threshold_finds_no_more(known: Known, threshold: float, refractory: int) -> None:
    part = recording_of(known.target[:50_000])
    low, high = (
        known.sorter.with_working_point(threshold=value, refractory_ms=1000 * refractory / FS_HZ).sort(part)
        for value in (threshold / 2, threshold)
    )
    assert len(high) <= len(low)
    assert not len(high) or high.joint.min() >= np.float32(threshold) - 1e-6
    for spikes in (low, high):
        for label in spikes.unit_ids:
            assert np.all(np.diff(spikes.of(label).sample) > refractory - 1)


def test_a_sorter_comes_back_from_disk(known: Known) -> None:
    part = recording_of(known.target[:50_000])
    with tempfile.TemporaryDirectory() as folder:
        known.sorter.save(Path(folder) / "model")
        again = Sorter.load(Path(folder) / "model")
    assert again.sort(part) == known.sorter.sort(part)
    assert again.settings == known.sorter.settings == SETTINGS.tuned_for("strict")
    assert repr(again) == repr(known.sorter)


def test_one_group_of_channels_is_sorted_as_if_there_were_none(known: Known) -> None:
    part = known.target[:50_000]
    assert sort_groups(known.groups, recording_of(part, groups=["a"])) == known.sorter.sort(
        recording_of(part)
    )


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3))
@FEW
def test_groups_that_are_not_there_are_named(known: Known, groups: list[str]) -> None:
    trace = np.repeat(known.target[:5000], len(groups), axis=1)
    recording = recording_of(trace, groups=groups)
    if groups.count("a") != 1:
        for use in (sort_groups, adapt_groups):
            with pytest.raises(InputError, match="group a|no group|channels"):
                use(known.groups, recording)
    with pytest.raises(InputError, match="labels"):
        fit_groups(recording, Spikes.empty(), settings=SETTINGS)


def test_the_same_work_gives_the_same_sorter_and_a_good_one(known: Known) -> None:
    fitted = Sorter.fit(recording_of(known.labelled), known.truth, settings=SETTINGS, n_jobs=1)
    again = fitted.adapt(recording_of(known.target), n_jobs=1)
    found = again.sort(recording_of(known.target))
    assert found == known.sorter.sort(recording_of(known.target))
    assert score(known.target_truth, found, fs_hz=FS_HZ).score > SOME_SPIKES
    assert known.sorter.score(recording_of(known.target), known.target_truth) == pytest.approx(
        score(known.target_truth, found, fs_hz=FS_HZ).score
    )
