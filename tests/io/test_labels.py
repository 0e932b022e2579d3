from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import own_labels
from spikesorter.io.mat_writing import write_mat, write_mat_recording
from spikesorter.io.recording import RecordingOptions
from tests.io.makers import write_blackrock

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
FS_HZ = 30_000.0
TRUE = Spikes.from_arrays([100, 250, 250, 900], [2, 1, 2, 1], fs_hz=FS_HZ)


def save_nwb(
    path: Path, spikes: Spikes | None, *, series: dict[str, float], resolution: float | None = None
) -> Path:
    """Units, and recordings by the second at which they start."""
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ecephys import ElectricalSeries
    from pynwb.misc import Units

    file = NWBFile(
        session_description="-", identifier="-", session_start_time=datetime(2026, 1, 5, tzinfo=UTC)
    )
    group = file.create_electrode_group("-", "-", "-", file.create_device("device"))
    file.add_electrode(group=group, location="-")
    region = file.create_electrode_table_region([0], "-")
    start = 0.0
    for name, start in series.items():
        data = np.zeros((1000, 1), np.int16)
        file.add_acquisition(
            ElectricalSeries(name=name, data=data, electrodes=region, rate=FS_HZ, starting_time=start)
        )
    if spikes is not None:
        file.units = Units(name="units", description="-", resolution=resolution)
        for label in spikes.unit_ids:
            file.add_unit(id=label, spike_times=start + spikes.of(label).sample / FS_HZ)
    with NWBHDF5IO(path, "w") as output:
        output.write(file)
    return path


def test_mat(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.mat", TRUE)
    assert read_labels(tmp_path / "a.mat") == TRUE
    assert read_labels(tmp_path / "a.mat").fs_hz == FS_HZ
    scipy.io.savemat(tmp_path / "b.mat", {"Index": [5], "Class": [1]})
    assert read_labels(tmp_path / "b.mat").fs_hz is None
    assert read_labels(tmp_path / "b.mat", fs_hz=FS_HZ).fs_hz == FS_HZ


@pytest.mark.parametrize("start", [0.0, 12.5])
def test_nwb_units_count_from_the_start_of_the_recording_beside_them(start: float, tmp_path: Path) -> None:
    labels = read_labels(save_nwb(tmp_path / "a.nwb", TRUE, series={"raw": start}))
    assert labels == TRUE
    assert labels.fs_hz == FS_HZ


def test_nwb_units_of_one_recording_of_several(tmp_path: Path) -> None:
    path = save_nwb(tmp_path / "a.nwb", TRUE, series={"raw": 0.0, "second": 5.0})
    with pytest.raises(
        InputError, match=r"choose one with stream=NAME .*acquisition/raw; acquisition/second"
    ):
        read_labels(path)
    assert read_labels(path, stream="second") == TRUE


def test_nwb_units_alone_need_a_rate(tmp_path: Path) -> None:
    path = save_nwb(tmp_path / "a.nwb", TRUE, series={})
    with pytest.raises(
        InputError, match=r"holds times in seconds; give the recording's sampling rate: fs_hz \(--fs\)"
    ):
        read_labels(path)
    assert read_labels(path, fs_hz=FS_HZ) == TRUE
    path = save_nwb(tmp_path / "b.nwb", TRUE, series={}, resolution=1 / FS_HZ)
    assert read_labels(path) == TRUE


def test_labels_in_the_file_of_the_recording(tmp_path: Path) -> None:
    def own(path: Path) -> Spikes | None:
        return own_labels(RecordingOptions().open(path))

    assert own(save_nwb(tmp_path / "a.nwb", TRUE, series={"raw": 1.0})) == TRUE
    assert own(save_nwb(tmp_path / "b.nwb", None, series={"raw": 1.0})) is None
    trace = np.sin(np.arange(1000.0))[:, None]
    write_mat_recording(tmp_path / "a.mat", trace, fs_hz=FS_HZ, labels=TRUE)
    write_mat_recording(tmp_path / "b.mat", trace, fs_hz=FS_HZ)
    assert own(tmp_path / "a.mat") == TRUE
    assert own(tmp_path / "b.mat") is None
    write_blackrock(tmp_path / "a.ns5", np.ones((100, 2), np.int16))
    assert own(tmp_path / "a.ns5") is None
    with pytest.raises(InputError, match="holds no units"):
        read_labels(tmp_path / "b.nwb")


def test_what_is_no_label_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"labels must be files ending in \.mat, \.csv"):
        read_labels(tmp_path / "a.txt")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "b.csv")
    (tmp_path / "cached.pkl").touch()
    with pytest.raises(InputError, match="or folders of Phy or SpikeInterface"):
        read_labels(tmp_path)
    for name in ("a.parquet", "a.npz", "a.nwb"):
        (tmp_path / name).write_bytes(b"no")
        with pytest.raises(InputError, match=f"{name}: cannot be read as"):
            read_labels(tmp_path / name)


@pytest.mark.parametrize("name", ["noise", "Unsorted", "artifact", "-1"])
def test_units_that_are_none_are_left_out_of_tables_and_said(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"sample,unit\n10,1\n20,{name}\n30,1\n40,mua\n")
    labels = read_labels(path)
    assert [labels.name_of(unit) for unit in labels.unit.tolist()] == ["1", "1", "mua"]
    assert f"1 spikes of {name!r} are left out" in caplog.text
    assert len(read_labels(path, leave_out=["mua", "1"])) == 1


@pytest.mark.parametrize("ending", ["csv", "mat", "phy"])
def test_times_are_what_the_user_says(ending: str, tmp_path: Path) -> None:
    path, seconds = tmp_path / f"a.{ending}", np.array([121.0, 122.5])
    if ending == "csv":
        path.write_text("sample,unit\n121.0,1\n122.5,2\n")
    elif ending == "mat":
        scipy.io.savemat(path, {"Index": seconds, "Class": [1, 2]})
    else:
        path.mkdir()
        np.save(path / "spike_times.npy", seconds)
        np.save(path / "spike_clusters.npy", [1, 2])
    with pytest.raises(InputError, match="--labels-in seconds"):
        read_labels(path, fs_hz=1000.0)
    assert read_labels(path, fs_hz=1000.0, times="seconds").sample.tolist() == [121_000, 122_500]
    session = read_labels(path, fs_hz=1000.0, times="session", start_s=120.0)
    assert session.sample.tolist() == [1000, 2500]


def test_nwb_units_of_the_session_are_counted_from_the_start_of_the_recording(tmp_path: Path) -> None:
    path = save_nwb(tmp_path / "a.nwb", TRUE, series={}, resolution=1 / FS_HZ)
    assert read_labels(path) == TRUE
    later = read_labels(path, start_s=50 / FS_HZ)
    assert later.sample.tolist() == (TRUE.sample - 50).tolist()
