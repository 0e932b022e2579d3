"""Plain files are read, whatever becomes of them meanwhile."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface import load

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io import file_samples
from spikesorter.io.mat import read_mat
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.model import load_model
from spikesorter.workflows.files import sort_files
from tests.io.recording_files import FS_HZ, npy, tofile, wav

pytestmark = pytest.mark.filterwarnings("ignore:The extractor is not serializable")
RAW = {"fs_hz": FS_HZ, "dtype": "int16", "channels": 3}
FILES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a.dat": (tofile, RAW),
    "planar.dat": (lambda path, x: tofile(path, np.ascontiguousarray(x.T)), RAW | {"planar": True}),
    "a.npy": (npy, {"fs_hz": FS_HZ}),
    "first.npy": (lambda path, x: npy(path, np.ascontiguousarray(x.T)), {"fs_hz": FS_HZ}),
    "fortran.npy": (lambda path, x: npy(path, np.asfortranarray(x)), {"fs_hz": FS_HZ}),
    "a.wav": (wav, {}),
    "other.dat": (lambda path, x: tofile(path, x.astype(">i2")), RAW | {"dtype": ">i2"}),
}


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_any_part_and_any_channels_are_read(
    name: str, at_once: bool, trace: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:  # as on Windows
        monkeypatch.delattr(file_samples.os, "preadv", raising=False)
    write, options = FILES[name]
    recording = read_recording(write(tmp_path / name, trace), **options)
    np.testing.assert_array_equal(recording.get_traces(), trace)
    np.testing.assert_array_equal(recording.get_traces(start_frame=17, end_frame=900), trace[17:900])
    assert recording.get_traces(start_frame=5, end_frame=5).shape == (0, 3)
    chosen = recording.select_channels(recording.channel_ids[[2, 0]])
    np.testing.assert_array_equal(chosen.get_traces(start_frame=17, end_frame=90), trace[17:90, [2, 0]])
    with ThreadPoolExecutor(4) as threads:
        starts = range(0, 3000, 10)
        parts = threads.map(lambda k: recording.get_traces(start_frame=k, end_frame=k + 10), starts)
        np.testing.assert_array_equal(np.concatenate(list(parts)), trace)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_becomes_shorter_is_an_error(name: str, trace: np.ndarray, tmp_path: Path) -> None:
    """A mapped one would end the process."""
    write, options = FILES[name]
    path = write(tmp_path / name, trace)
    recording = read_recording(path, **options)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"became shorter while it was read; read it again") as error:
        recording.get_traces(start_frame=2000, end_frame=3000)
    assert str(error.value).startswith(str(path))


def test_what_is_derived_from_one_can_be_saved_and_loaded(trace: np.ndarray, tmp_path: Path) -> None:
    path = tofile(tmp_path / "a.dat", trace)
    chosen = read_recording(path, **RAW, channel=1).frame_slice(10, 400)
    chosen.dump_to_json(tmp_path / "a.json")
    np.testing.assert_array_equal(load(tmp_path / "a.json").get_traces(), trace[10:400, 1:2])
    np.testing.assert_array_equal(read_recording(tmp_path / "a.json").get_traces(), trace[10:400, 1:2])


@pytest.mark.slow
def test_a_file_that_becomes_shorter_while_it_is_sorted_is_said(
    study_folder: Path, sorted_study: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(read_mat(study_folder / "D2.mat")[0].get_traces(), np.float32))

    def shorten(step: str, done: float) -> None:
        if "sorting" in step:
            os.truncate(path, 10_000)

    with pytest.raises(InputError, match=r"a\.npy: became shorter while it was read"):
        sort_files(
            [path],
            load_model(sorted_study / "model"),
            tmp_path / "out",
            options=RecordingOptions(fs_hz=25_000.0),
            span_seconds=1.0,
            progress=shorten,
        )
    assert not (tmp_path / "out" / "a.mat").exists()
