from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_fs, read_mat_spikes
from tests.io.mat_files import TRACE, save, save_v73


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


@pytest.mark.parametrize("saver", [save, save_v73])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("column", [True, False])
def test_rows_and_columns_of_all_types_are_read(saver: Any, dtype: str, column: bool, path: Path) -> None:
    trace = np.abs(TRACE).astype(dtype)
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


def test_times_in_seconds_are_read_if_the_user_says_so(path: Path) -> None:
    scipy.io.savemat(path, {"d": TRACE, "fs": 1000.0, "Index": [0.003, 0.005], "Class": [1, 2]})
    with pytest.raises(InputError, match="Index must hold whole numbers.*--labels-in seconds"):
        read_mat(path)
    for times in ("seconds", "session"):  # of a recording that starts with the session
        labels = read_mat(path, times=times)[1]
        assert labels is not None
        assert labels.sample.tolist() == [3, 5]
