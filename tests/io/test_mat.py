from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.mat import (
    check_replaceable,
    check_replaceable_recording,
    read_mat,
    read_mat_fs,
    read_mat_spikes,
    write_mat,
    write_mat_recording,
    write_submission,
)

TRACE = np.sin(np.arange(500.0)) * 100


def save(path: Path, **variables: Any) -> Path:
    scipy.io.savemat(path, variables)
    return path


def save_v73(path: Path, **variables: Any) -> Path:
    """A file as MATLAB writes it: a user block of 512 bytes before the HDF5 part, arrays transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            file[name] = np.atleast_2d(value).T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(116))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


@pytest.mark.parametrize("saver", [save, save_v73])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
@pytest.mark.parametrize("column", [True, False])
def test_rows_and_columns_of_all_types_are_read(saver: Any, dtype: str, column: bool, path: Path) -> None:
    trace = TRACE.astype(dtype)
    saver(path, d=trace[:, None] if column else trace[None], Index=[3, 1], Class=[2, 1], fs=20_000.0)
    recording, labels = read_mat(path)
    assert recording.get_sampling_frequency() == 20_000
    assert recording.get_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(recording.get_traces()[:, 0], trace)
    assert labels == Spikes.from_arrays([1, 3], [1, 2])


@pytest.mark.parametrize("saver", [save, save_v73])
def test_several_channels(saver: Any, path: Path, rng: np.random.Generator) -> None:
    trace = rng.standard_normal((500, 4))
    saver(path, d=trace)
    assert read_mat(path)[0].get_traces().shape == (500, 4)


def test_the_file_states_the_rate_else_the_caller_else_the_study(path: Path) -> None:
    save(path, d=TRACE)
    assert read_mat(path)[0].get_sampling_frequency() == 25_000
    assert read_mat(path, fs_hz=30_000.0)[0].get_sampling_frequency() == 30_000
    assert read_mat_fs(path) == 25_000
    assert read_mat_fs(path, default_hz=30_000.0) == 30_000
    save(path, d=TRACE, fs=12_500)
    assert read_mat(path, fs_hz=30_000.0)[0].get_sampling_frequency() == 12_500
    assert read_mat_fs(path) == 12_500


def test_unlabelled_files_have_no_labels(path: Path) -> None:
    save(path, d=TRACE)
    assert read_mat(path)[1] is None
    with pytest.raises(InputError, match="has no variables Index and Class"):
        read_mat_spikes(path)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": TRACE}, "has no variable d"),
        ({"d": np.where(np.arange(500) == 7, np.nan, TRACE)}, "1 samples that are NaN or infinite"),
        ({"d": np.where(np.arange(500) == 7, np.inf, TRACE)}, "NaN or infinite"),
        ({"d": np.ones(500)}, "constant"),
        ({"d": np.zeros((0, 0))}, "d is empty"),
        ({"d": "text"}, "must hold real numbers"),
        ({"d": TRACE + 1j}, "must hold real numbers"),
        ({"d": np.zeros((5, 5, 5))}, "shape"),
        ({"d": TRACE, "fs": -3.0}, "fs is -3 Hz"),
        ({"d": TRACE, "fs": [1.0, 2.0]}, "fs must be one real number"),
        ({"d": TRACE, "Index": [1]}, "has Index but no Class"),
        ({"d": TRACE, "Class": [1]}, "has Class but no Index"),
        ({"d": TRACE, "Index": [500], "Class": [1]}, "goes up to 500, but d has only 500 samples"),
        ({"d": TRACE, "Index": [-1], "Class": [1]}, "0 or more, found -1"),
        ({"d": TRACE, "Index": [1.5], "Class": [1]}, "fractional"),
        ({"d": TRACE, "Index": [np.nan], "Class": [1]}, "fractional, NaN"),
        ({"d": TRACE, "Index": [1e300], "Class": [1]}, "beyond any recording"),
        ({"d": TRACE, "Index": [1, 2], "Class": [1]}, "2 entries, but Class has 1"),
        ({"d": TRACE, "Index": [1], "Class": [-1]}, "0 or more, found -1"),
        ({"d": TRACE, "Index": [[1, 2], [3, 4]], "Class": [[1, 1], [1, 1]]}, "row or a column"),
        ({"d": TRACE, "Index": [1], "Class": [1], "Probability": [2.0]}, "from 0 to 1"),
    ],
)
def test_bad_contents_get_an_error_that_names_file_and_cause(
    variables: dict[str, Any], message: str, path: Path
) -> None:
    save(path, **variables)
    with pytest.raises(InputError, match=message) as error:
        read_mat(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("saver", [save, save_v73])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_truncated_files_are_refused(saver: Any, share: float, path: Path) -> None:
    saver(path, d=np.random.default_rng(0).standard_normal(20_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="truncated or damaged|not a .mat file"):
        read_mat(path)


def test_outlier_spikes_are_written_on_request(path: Path) -> None:
    spikes = Spikes.from_arrays([5, 9], [0, 2])
    write_mat(path, spikes)
    assert read_mat_spikes(path) == spikes.of(2)
    write_mat(path, spikes, unknown=True)
    assert read_mat_spikes(path) == spikes


def test_files_that_are_none_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mat(path)
    with pytest.raises(InputError, match="is a folder"):
        read_mat(tmp_path)
    path.write_text("time,voltage\n0,1\n")
    with pytest.raises(InputError, match="not a .mat file"):
        read_mat(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="not a .mat file"):
        read_mat(path)


def test_v73_files_are_not_written_to_and_links_not_followed(path: Path, tmp_path: Path) -> None:
    save_v73(path, d=TRACE)
    path.chmod(0o444)
    before = path.read_bytes()
    read_mat(path)
    assert path.read_bytes() == before
    linked = tmp_path / "linked.mat"
    with h5py.File(linked, "w") as file:
        file["d"] = h5py.ExternalLink(str(path), "d")
    with pytest.raises(InputError, match="is a link"):
        read_mat(linked)


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


@pytest.mark.parametrize("kind", ["char", "cell", "struct"])
def test_v73_variables_that_are_no_numbers_are_refused(kind: str, path: Path) -> None:
    save_v73(path, d=TRACE, Index=[5], Class=[97])
    with h5py.File(path, "r+") as file:
        file["Class"].attrs["MATLAB_class"] = np.bytes_(kind)
    with pytest.raises(InputError, match=f"Class must hold numbers, but is a MATLAB {kind}; save"):
        read_mat(path)


@pytest.mark.parametrize("saver", [save, save_v73])
def test_variables_of_other_names_are_listed_and_chosen(saver: Any, path: Path) -> None:
    saver(path, data=TRACE, sr=30_000.0, spikes=np.zeros((3, 64)), when=[3.0, 5.0], who=[1.0, 0.0])
    message = rf"no variable d .*; there are .*data \({len(TRACE)} numbers\).*sr \(1 number\)"
    with pytest.raises(InputError, match=message) as error:
        read_mat(path)
    assert "--variable fs=sr" in str(error.value)
    named = {"trace": "data", "fs": "sr", "index": "when", "class": "who"}
    recording, labels = read_mat(path, variables=named)
    np.testing.assert_array_equal(recording.get_traces()[:, 0], TRACE)
    assert recording.get_sampling_frequency() == 30_000
    assert labels == Spikes([3, 5], [1, UNKNOWN])  # class 0 is not sorted
    assert read_mat_spikes(path, variables=named) == labels
    with pytest.raises(InputError, match="has no variable nothing; there are"):
        read_mat(path, variables={"trace": "nothing"})
    with pytest.raises(InputError, match="variable d: expected one of trace, fs, index, class"):
        read_mat(path, variables={"d": "data"})


@pytest.mark.parametrize("kind", ["table", "categorical", "string", "cell", "datetime"])
def test_what_only_matlab_reads_is_named_with_what_to_do(kind: str, path: Path) -> None:
    """Such variables of v7.3 are stored as numbers that point to elsewhere, and would be read as numbers."""
    with h5py.File(path, "w") as file:
        file["d"], file["Index"] = TRACE, [3, 5]
        file["Class"] = np.array([[0xDD000000, 2, 1, 1, 1, 1]], np.uint32)
        file["Class"].attrs["MATLAB_class"] = np.bytes_(kind)
        file["Class"].attrs["MATLAB_object_decode"] = 3
    with pytest.raises(InputError, match=f"Class must hold numbers, but is a MATLAB {kind}; save"):
        read_mat(path)


def test_times_in_seconds_are_read_if_the_user_says_so(path: Path) -> None:
    scipy.io.savemat(path, {"d": TRACE, "fs": 1000.0, "Index": [0.003, 0.005], "Class": [1, 2]})
    with pytest.raises(InputError, match="Index must hold whole numbers.*--labels-in seconds"):
        read_mat(path)
    labels = read_mat(path, times="seconds")[1]
    assert labels is not None
    assert labels.sample.tolist() == [3, 5]
