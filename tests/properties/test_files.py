from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter import (
    InputError,
    Spikes,
    SpikeSorterError,
    read_labels,
    read_mat,
    read_recording,
    write_mat,
    write_spikes,
)
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.stretches import read_stretches
from tests.properties.strategies import FS_HZ, RATES, spikes_values, traces


def names_of(spikes: Spikes) -> list[str]:
    return [spikes.name_of(label) if label else "unknown" for label in spikes.unit.tolist()]


@pytest.mark.parametrize("ending", ["mat", "csv", "parquet"])
@settings(max_examples=40)
@given(spikes=spikes_values(least_unit=0))
def test_spikes_come_back_from_every_table_and_the_same_give_the_same_bytes(
    ending: str, spikes: Spikes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = (Path(folder) / f"{name}.{ending}" for name in ("one", "two"))
        write_spikes(one, spikes, fs_hz=spikes.fs_hz)
        write_spikes(two, spikes, fs_hz=spikes.fs_hz)
        assert one.read_bytes() == two.read_bytes()
        again = read_labels(one, fs_hz=spikes.fs_hz)
    assert sorted(zip(again.sample.tolist(), names_of(again), strict=True)) == sorted(
        zip(spikes.sample.tolist(), names_of(spikes), strict=True)
    )
    assert sorted(again.probability) == sorted(spikes.probability)
    assert sorted(again.unit_probability) == sorted(spikes.unit_probability)
    assert again.fs_hz == spikes.fs_hz


@settings(max_examples=5)
@given(spikes=spikes_values(distinct=True))
def test_spikes_come_back_from_nwb(spikes: Spikes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_spikes(Path(folder) / "a.nwb", spikes)
        again = read_labels(Path(folder) / "a.nwb")
    assert again.sample.tolist() == spikes.sample.tolist()
    assert names_of(again) == names_of(spikes)


@given(traces(), RATES, st.booleans())
def test_mat_recordings_come_back_with_their_labels(trace: np.ndarray, fs_hz: float, labelled: bool) -> None:
    labels = Spikes.from_arrays([0, len(trace) - 1], [1, 2]) if labelled else None
    before = trace.copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mat"
        write_mat_recording(path, trace, fs_hz=fs_hz, labels=labels)
        recording, found = read_mat(path)
    np.testing.assert_array_equal(trace, before)
    np.testing.assert_array_equal(recording.get_traces(), trace)
    assert recording.get_traces().dtype == trace.dtype
    assert recording.get_sampling_frequency() == fs_hz
    assert found == labels


@given(traces(), st.data())
def test_any_layout_on_disk_gives_the_samples_that_are_asked_for(
    trace: np.ndarray, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(["npy", "fortran", "rows", "raw", "wav", "mat"]))
    if kind == "wav" and trace.dtype == np.uint16:
        trace = trace.astype(np.int16)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(trace))] * 2)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a." + {"fortran": "npy", "rows": "npy"}.get(kind, kind))
        plain: dict[str, object] = {"fs_hz": FS_HZ}
        if kind == "raw":
            trace.tofile(path)
            plain |= {"dtype": trace.dtype.str, "channels": trace.shape[1]}
        elif kind == "wav":
            scipy.io.wavfile.write(path, int(FS_HZ), trace)
        elif kind == "mat":
            write_mat_recording(path, trace, fs_hz=FS_HZ)
        else:
            layout = {"npy": trace, "fortran": np.asfortranarray(trace), "rows": trace.T}[kind]
            np.save(path, layout)
        recording = read_recording(path, **plain)  # type: ignore[arg-type]
        assert recording.get_num_frames() == len(trace)
        assert recording.get_sampling_frequency() == FS_HZ
        part = recording.get_traces(start_frame=start, end_frame=stop)
        np.testing.assert_array_equal(part, trace[start:stop])
        last = trace.shape[1] - 1
        one = read_recording(path, channel=last, **plain)  # type: ignore[arg-type]
        np.testing.assert_array_equal(one.get_traces(), trace[:, [last]])
        del recording, one


@given(
    st.binary(max_size=200), st.sampled_from(["mat", "npy", "wav", "raw", "nwb", "csv", "rhd", "edf", "xyz"])
)
@settings(max_examples=60)
def test_a_file_of_anything_is_a_recording_or_refused_in_words(contents: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(contents)
        for read in (read_recording, read_labels):
            try:
                read(path)
            except SpikeSorterError as error:
                assert str(path) in str(error)  # noqa: PT017 (any of two outcomes is right)


@given(spikes_values(), st.sampled_from(["mat", "csv", "parquet"]), st.binary(min_size=1, max_size=50))
@settings(max_examples=20)
def test_nothing_of_another_is_written_over(spikes: Spikes, ending: str, contents: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"precious.{ending}"
        path.write_bytes(contents)
        with pytest.raises(InputError, match="precious"):
            write_spikes(path, spikes)
        assert path.read_bytes() == contents
        assert list(Path(folder).iterdir()) == [path]


@given(spikes_values(least_unit=0), st.booleans(), st.booleans())
def test_write_mat_writes_what_it_is_asked_for(spikes: Spikes, probability: bool, unknown: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mat"
        write_mat(path, spikes, probability=probability, unknown=unknown)
        again = read_labels(path)
    expected = spikes if unknown else spikes.select(spikes.unit != 0)
    assert again.sample.tolist() == expected.sample.tolist()
    if probability:
        assert again == expected
    else:
        assert set(again.probability.tolist()) <= {1.0}


@given(
    st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(1, 100_000)), min_size=1, max_size=20),
    RATES,
    st.booleans(),
)
def test_stretches_come_back_from_seconds_and_samples(
    stretches: list[tuple[int, int]], fs_hz: float, in_seconds: bool
) -> None:
    edges = [(start, start + length) for start, length in stretches]
    expected = BadStretches.of([(start, stop, "given") for start, stop in edges])
    if in_seconds:
        lines = ["start_s,stop_s", *(f"{start / fs_hz!r},{stop / fs_hz!r}" for start, stop in edges)]
    else:
        lines = ["first_sample,last_sample", *(f"{start},{stop - 1}" for start, stop in edges)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bad.csv"
        path.write_text("\n".join(lines))
        assert read_stretches(path, fs_hz=fs_hz) == expected
