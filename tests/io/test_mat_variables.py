from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes
from tests.io.mat_files import TRACE, save, save_v73


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


@pytest.mark.parametrize("saver", [save, save_v73])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_truncated_files_are_refused(saver: Any, share: float, path: Path) -> None:
    saver(path, d=np.random.default_rng(0).standard_normal(20_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="truncated or damaged|not a .mat file"):
        read_mat(path)


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
    assert str(error.value).endswith("with --variable trace=data --variable fs=sr")
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
