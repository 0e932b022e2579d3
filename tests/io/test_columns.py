"""Results of earlier versions keep their probabilities and their samples."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from spikesorter import Spikes, read_labels, write_spikes

SPIKES = Spikes.from_arrays(
    [100, 900, 2000], [1, 2, 1], [0.9, 0.8, 0.7], [0.6, 0.5, 0.4], fs_hz=25_000.0, names={1: "1", 2: "2"}
)


def as_formerly(path: Path) -> None:
    """Give the column of the units' probabilities its former name."""
    if path.suffix == ".nwb":
        with h5py.File(path, "r+") as file:
            for ending in ("", "_index"):
                file.move(f"units/spike_unit_probability{ending}", f"units/spike_class_probability{ending}")
    else:
        text = path.read_text("utf-8")
        assert "unit_probability" in text
        path.write_text(text.replace("unit_probability", "class_probability"), "utf-8")


@pytest.mark.parametrize("name", ["spikes.csv", "spikes.nwb"])
def test_columns_are_read_by_their_former_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_spikes(path, SPIKES)
    as_formerly(path)
    assert read_labels(path) == SPIKES


def test_so_are_the_files_of_a_phy_folder(tmp_path: Path) -> None:
    former = {"times": SPIKES.sample, "clusters": SPIKES.unit, "probability": SPIKES.probability}
    for name, values in (former | {"class_probability": SPIKES.unit_probability}).items():
        np.save(tmp_path / f"spike_{name}.npy", values)
    (tmp_path / "params.py").write_text("sample_rate = 25000.0\n")
    assert read_labels(tmp_path) == SPIKES
