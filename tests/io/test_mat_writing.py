from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.io.mat_writing import (
    check_replaceable,
    check_replaceable_recording,
    write_mat,
    write_mat_recording,
    write_submission,
)
from tests.io.mat_files import TRACE, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


def test_outlier_spikes_are_written_on_request(path: Path) -> None:
    spikes = Spikes.from_arrays([5, 9], [0, 2])
    write_mat(path, spikes)
    assert read_mat_spikes(path) == spikes.of(2)
    write_mat(path, spikes, unknown=True)
    assert read_mat_spikes(path) == spikes


def test_written_spikes_come_back(path: Path) -> None:
    spikes = Spikes.from_arrays([10, 5, 5], [300, 1, 2], [0.25, 0.5, 1.0], [1.0, 0.5, 0.75])
    write_mat(path, spikes)
    assert read_mat_spikes(path) == spikes
    contents = scipy.io.loadmat(path)
    assert contents["Index"].dtype == np.int64
    assert contents["Index"].shape == contents["Class"].shape == contents["Probability"].shape == (3, 1)


def test_the_sampling_rate_and_names_are_written_after_the_published_variables(path: Path) -> None:
    spikes = Spikes.from_arrays([5, 10], [1, 2], fs_hz=30_000.0, names={1: "basket", 2: "granule"})
    write_mat(path, spikes)
    found = read_mat_spikes(path)
    assert (found.fs_hz, found.names) == (30_000.0, {1: "basket", 2: "granule"})
    names = [name for name, _, _ in scipy.io.whosmat(path)]
    assert names == ["Index", "Class", "Probability", "ClassProbability", "fs", "Names"]
    write_mat(path, Spikes.from_arrays([5], [1]), fs_hz=20_000.0)
    assert read_mat_spikes(path).fs_hz == 20_000.0
    write_mat(path, Spikes.from_arrays([5], [1]))
    assert read_mat_spikes(path).fs_hz is None
    with pytest.raises(InputError, match="fs_hz is 25000 Hz, but the spikes are at 30000 Hz"):
        write_mat(path, spikes, fs_hz=25_000.0)
    with pytest.raises(InputError, match="fs is 0 Hz"):
        write_mat(path, Spikes.from_arrays([5], [1]), fs_hz=0.0)


def test_no_spikes_are_written_and_read_like_any(path: Path) -> None:
    write_mat(path, Spikes.empty())
    assert read_mat_spikes(path) == Spikes.empty()


def test_the_same_spikes_give_the_same_bytes_at_any_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spikes = Spikes.from_arrays([5, 10], [1, 2])
    write_mat(path, spikes)
    write_submission(tmp_path / "first.zip", {"D2": spikes})
    monkeypatch.setattr("time.asctime", lambda *_: "Thu Jan  1 00:00:00 1970")
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_mat(tmp_path / "later.mat", spikes)
    write_submission(tmp_path / "later.zip", {"D2": spikes})
    assert path.read_bytes() == (tmp_path / "later.mat").read_bytes()
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "later.zip").read_bytes()


def test_the_submission_holds_index_and_class_of_each_target(tmp_path: Path) -> None:
    spikes = Spikes.from_arrays([5, 10], [1, 2], [0.5, 0.6], fs_hz=30_000.0, names={1: "basket"})
    write_submission(tmp_path / "s.zip", {"D2": spikes, "D3": Spikes.empty()})
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == ["D2.mat", "D3.mat"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        archive.extractall(tmp_path)
    contents = scipy.io.loadmat(tmp_path / "D2.mat")
    assert {name for name in contents if not name.startswith("__")} == {"Index", "Class"}


def test_a_recording_comes_back(path: Path) -> None:
    labels = Spikes.from_arrays([7], [1])
    write_mat_recording(path, TRACE[:, None], fs_hz=10_000.0, labels=labels)
    recording, found = read_mat(path)
    np.testing.assert_array_equal(recording.get_traces()[:, 0], TRACE)
    assert (recording.get_sampling_frequency(), found) == (10_000, labels)


def test_only_files_written_here_are_overwritten(path: Path) -> None:
    check_replaceable(path)
    write_mat(path, Spikes.empty())
    check_replaceable(path)
    with pytest.raises(InputError, match="not written by spikesorter"):
        check_replaceable_recording(path)
    write_mat_recording(path, TRACE[:, None], fs_hz=10_000.0)
    check_replaceable_recording(path)
    with pytest.raises(InputError, match="not written by spikesorter"):
        check_replaceable(path)
    save(path, d=TRACE)
    with pytest.raises(InputError, match="not written by spikesorter"):
        check_replaceable_recording(path)


def test_bad_stretches_come_back_with_their_kinds_and_are_written_only_if_there_are_any(path: Path) -> None:
    bad = BadStretches.of([(0, 12, "given"), (300, 420, "saturated"), (1000, 1010, "artefact")])
    plain = Spikes([500], [1], fs_hz=25_000.0)
    spikes = replace(plain, bad=bad)
    write_mat(path, spikes)
    contents = scipy.io.loadmat(path)
    assert contents["Bad"].tolist() == [[0, 12], [300, 420], [1000, 1010]]
    assert (contents["Bad"].dtype, contents["BadKind"].dtype) == (np.int64, np.uint8)
    assert read_mat_spikes(path).bad == bad
    write_mat(path, plain)
    assert not {"Bad", "BadKind"} & {*scipy.io.loadmat(path)}
    write_mat_recording(path, TRACE[:, None], fs_hz=25_000.0, labels=replace(spikes, sample=[5]))
    labels = read_mat(path)[1]
    assert labels is not None
    assert labels.bad == bad
