from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NpzSortingExtractor, NumpyRecording, NumpySorting

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
FS_HZ = 30_000.0
TRUE = Spikes.from_arrays([100, 250, 250, 900], [2, 1, 2, 1], fs_hz=FS_HZ)


def sorting_of(spikes: Spikes) -> NumpySorting:
    units = {spikes.name_of(label): spikes.of(label).sample for label in spikes.unit_ids}
    return NumpySorting.from_unit_dict([units], FS_HZ)


@pytest.mark.parametrize("saver", ["folder", "zarr", "npz"])
def test_sortings_of_spikeinterface(saver: str, tmp_path: Path) -> None:
    named = TRUE.described(fs_hz=FS_HZ, names={1: "a", 2: "b"})
    if saver == "folder":
        sorting_of(named).save(folder=tmp_path / "a")
    elif saver == "zarr":
        sorting_of(named).save(folder=tmp_path / "a.zarr", format="zarr")
    else:
        NpzSortingExtractor.write_sorting(sorting_of(named), tmp_path / "a.npz")
    path = next(tmp_path.glob("a*"))
    labels = read_labels(path)
    assert labels == TRUE
    assert labels.names == {1: "a", 2: "b"}
    assert labels.fs_hz == FS_HZ


def test_a_recording_is_no_sorting(tmp_path: Path) -> None:
    NumpyRecording([np.zeros((50, 1))], FS_HZ).save(folder=tmp_path / "a", verbose=False)
    with pytest.raises(InputError, match="not a sorting"):
        read_labels(tmp_path / "a")
