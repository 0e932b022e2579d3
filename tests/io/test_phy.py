from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes

FS_HZ = 30_000.0
TRUE = Spikes.from_arrays([100, 250, 250, 900], [2, 1, 2, 1], fs_hz=FS_HZ)


def save_phy(folder: Path, spikes: Spikes, **tables: str) -> Path:
    folder.mkdir()
    np.save(folder / "spike_times.npy", spikes.sample.astype(np.uint64)[:, None])
    np.save(folder / "spike_clusters.npy", spikes.unit.astype(np.int32))
    (folder / "params.py").write_text("dat_path = r'x.dat'\nsample_rate = 30000.0\nhp_filtered = False")
    for name, contents in tables.items():
        (folder / f"{name}.tsv").write_text(contents)
    return folder


def test_phy(tmp_path: Path) -> None:
    labels = read_labels(save_phy(tmp_path / "phy", TRUE))
    assert labels == TRUE
    assert labels.fs_hz == FS_HZ


def test_clusters_marked_as_noise_in_phy_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    three = Spikes.from_arrays([1, 2, 3, 4, 5], [1, 2, 3, 2, 2])
    groups = "cluster_id\tgroup\n1\tgood\n2\tnoise\n3\tmua\n"
    folder = save_phy(tmp_path / "phy", three, cluster_group=groups, cluster_KSLabel="cluster_id\tKSLabel\n")
    assert read_labels(folder) == Spikes.from_arrays([1, 3], [1, 3])
    assert "3 spikes of cluster 2 (noise) are left out" in caplog.text


def test_what_phy_wrote_last_counts(tmp_path: Path) -> None:
    folder = save_phy(
        tmp_path / "phy",
        TRUE,
        cluster_group="cluster_id\tgroup\n2\tgood\n",
        cluster_info="cluster_id\tgroup\tn_spikes\n1\tgood\t2\n2\tnoise\t2\n",
    )
    assert read_labels(folder) == TRUE.of(1)


def test_params_of_phy_that_are_too_long_to_be_parsed_are_refused(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    (folder / "params.py").write_text("sample_rate = 30000.0\nx = " + "1," * 150_000)
    with pytest.raises(InputError, match=r"params\.py: has 300\.0 kB; Phy writes less than 1 kB there"):
        read_labels(folder)


def test_params_of_phy_are_not_run(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    (folder / "params.py").write_text("import os\nos.mkdir('ran')\nsample_rate = float('30000')\n")
    with pytest.raises(InputError, match="phy: cannot be read as a folder of Phy: malformed node"):
        read_labels(folder)
    assert not Path("ran").exists()


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_pickles_of_phy_are_not_opened(tmp_path: Path) -> None:
    folder, mark = save_phy(tmp_path / "phy", TRUE), tmp_path / "it-ran"
    (folder / "spike_times.npy").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(InputError, match="phy: cannot be read as a folder of Phy: it holds Python objects"):
        read_labels(folder)
    assert not mark.exists()


def test_a_folder_of_phy_whose_files_differ_is_refused(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    np.save(folder / "spike_clusters.npy", np.array([1]))
    with pytest.raises(InputError, match="spike_times has 4 entries, but spike_clusters has 1"):
        read_labels(folder)


def test_a_folder_that_no_person_has_sorted_is_read_by_its_templates(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    assert read_labels(folder) == TRUE
    np.save(folder / "spike_clusters.npy", np.full(4, 7))
    assert read_labels(folder).unit_ids == (7,)


def test_a_folder_of_phy_may_lack_its_rate(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    (folder / "params.py").write_text("dat_path = 'x.dat'\n")
    assert read_labels(folder).fs_hz is None
    assert read_labels(folder, fs_hz=20_000.0).fs_hz == 20_000
    (folder / "params.py").unlink()
    assert read_labels(folder).fs_hz is None


def test_what_a_person_called_a_cluster_is_its_name(tmp_path: Path) -> None:
    ids = "cluster_id\tsi_unit_id\n1\ta\n2\tb\n"
    folder = save_phy(tmp_path / "phy", TRUE, cluster_si_unit_id=ids)
    assert read_labels(folder).names == {1: "a", 2: "b"}
    (folder / "cluster_unit_name.tsv").write_text("cluster_id\tunit_name\n1.0\tbasket\n2\tgranule\n")
    assert read_labels(folder).names == {1: "basket", 2: "granule"}


def phy_with(folder: Path, name: str, text: str) -> Path:
    save_phy(folder, TRUE)
    for table in folder.glob("cluster*"):
        table.unlink()
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cluster_groups.csv", "cluster_id\tgroup\n1\tgood\n2\tnoise\n"),
        ("cluster_group.tsv", "cluster_id\tgroup\n1\tgood\n2\tnoise\n"),
        ("cluster_info.tsv", "cluster_id\tAmplitude\tgroup\n1\t9\tgood\n2\t9\tnoise\n"),
        ("cluster_info.csv", "id,Amplitude,group\n1,9,good\n2,9,Noise\n"),
    ],
)
def test_noise_in_any_table_of_phy_is_left_out_and_said(
    name: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = read_labels(phy_with(tmp_path / "a", name, text))
    assert labels == TRUE.select(TRUE.unit == 1)
    assert f"{np.count_nonzero(TRUE.unit == 2)} spikes of cluster 2 (" in caplog.text
    assert "are left out" in caplog.text


def test_what_is_left_out_of_phy_is_chosen(tmp_path: Path) -> None:
    path = phy_with(tmp_path / "a", "cluster_group.tsv", "cluster_id\tgroup\n1\tnoise\n")
    assert read_labels(path).unit_ids == (2,)
    assert read_labels(path, leave_out=["unsorted"]).unit_ids == (1,)  # that nobody has looked at
    assert read_labels(path, leave_out=[]) == TRUE
