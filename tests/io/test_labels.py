from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from spikeinterface.core import NpzSortingExtractor, NumpyRecording, NumpySorting

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


def sorting_of(spikes: Spikes) -> NumpySorting:
    units = {spikes.name_of(label): spikes.of(label).sample for label in spikes.unit_ids}
    return NumpySorting.from_unit_dict([units], FS_HZ)


def save_phy(folder: Path, spikes: Spikes, **tables: str) -> Path:
    folder.mkdir()
    np.save(folder / "spike_times.npy", spikes.sample.astype(np.uint64)[:, None])
    np.save(folder / "spike_clusters.npy", spikes.unit.astype(np.int32))
    (folder / "params.py").write_text("dat_path = r'x.dat'\nsample_rate = 30000.0\nhp_filtered = False")
    for name, contents in tables.items():
        (folder / f"{name}.tsv").write_text(contents)
    return folder


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


@pytest.mark.parametrize(
    "text",
    [
        "sample,unit\n100,2\n250,1\n250,2\n900,1\n",
        "Unit,Sample\n2,100\n1,250\n2,250\n1,900\n",
        "sample_index,cluster_id,depth\n900,1,x\n250,1,y\n250,2,z\n100,2,\n",
        "sample;unit\n".replace(";", ",") + "100.0,2.0\n250.0,1.0\n250.0,2.0\n900.0,1.0\n\n",
        "\ufefftime_s,class\r\n0.0033333333,2\r\n0.0083333333,1\r\n0.0083333333,2\r\n0.03,1\r\n",
    ],
)
def test_tables_of_samples_or_seconds(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / "a.csv", fs_hz=FS_HZ) == TRUE


def test_tables_of_other_tools(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame({"sample": TRUE.sample, "unit": TRUE.unit, "amplitude": 1.5})
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    assert read_labels(tmp_path / "a.tsv") == read_labels(tmp_path / "a.parquet") == TRUE


def test_samples_beside_seconds_tell_the_rate(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,time_s,unit\n100,0.004096,1\n250,0.01024,1\n")
    assert read_labels(tmp_path / "a.csv", fs_hz=FS_HZ).fs_hz == 24414.0625
    (tmp_path / "a.csv").write_text("sample,time_s,unit\n100,0.0041,1\n250,0.0102,1\n")  # rounded
    assert read_labels(tmp_path / "a.csv").fs_hz is None


def test_names_are_kept_and_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n5,basket\n9,pyramidal\n12,basket\n13,unknown\n")
    labels = read_labels(tmp_path / "a.csv")
    assert labels == Spikes.from_arrays([5, 9, 12, 13], [1, 2, 1, 0])
    assert labels.names == {1: "basket", 2: "pyramidal"}
    (tmp_path / "a.csv").write_text("sample,unit\n5,0\n9,2\n12,10\n")
    labels = read_labels(tmp_path / "a.csv")
    assert labels.names == {1: "0", 2: "2", 3: "10"}
    assert labels.unit.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header with `sample` or `time_s`, and `unit`; found none"),
        ("when,what\n1,2\n", "found when, what"),
        ("sample,unit\n1\n", "row 2 has 1 cells, but the header 2"),
        ("sample,unit\nsoon,1\n", "could not convert"),
        ("sample,unit\n0.5,1\n", "sample must hold whole numbers"),
        ("sample,unit\n,1\n", "could not convert"),
        ("sample,unit\nnan,1\n", "NaN"),
        ("sample,unit\n-4,1\n", "found -4"),
        ("time_s,unit\n0.5,1\n", r"give the recording's sampling rate: fs_hz \(--fs\)"),
        ("sample,unit,probability\n1,1,2\n", "probabilities must lie between 0 and 1"),
    ],
)
def test_tables_that_make_no_sense_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_labels(path)
    assert str(error.value).startswith(str(path))


def test_no_spikes_are_labels_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n")
    assert read_labels(tmp_path / "a.csv") == Spikes.empty()


def test_phy(tmp_path: Path) -> None:
    labels = read_labels(save_phy(tmp_path / "phy", TRUE))
    assert labels == TRUE
    assert labels.fs_hz == FS_HZ


def test_clusters_marked_as_noise_in_phy_are_left_out(tmp_path: Path) -> None:
    three = Spikes.from_arrays([1, 2, 3, 4], [1, 2, 3, 2])
    groups = "cluster_id\tgroup\n1\tgood\n2\tnoise\n3\tmua\n"
    folder = save_phy(tmp_path / "phy", three, cluster_group=groups, cluster_KSLabel="cluster_id\tKSLabel\n")
    assert read_labels(folder) == Spikes.from_arrays([1, 3], [1, 3])


def test_what_phy_wrote_last_counts(tmp_path: Path) -> None:
    folder = save_phy(
        tmp_path / "phy",
        TRUE,
        cluster_group="cluster_id\tgroup\n2\tgood\n",
        cluster_info="cluster_id\tgroup\tn_spikes\n1\tgood\t2\n2\tnoise\t2\n",
    )
    assert read_labels(folder) == TRUE.of(1)


def test_params_of_phy_are_not_run(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    (folder / "params.py").write_text("import os\nos.mkdir('ran')\nsample_rate = float('30000')\n")
    with pytest.raises(InputError, match="phy: cannot be read as a folder of Phy: malformed node"):
        read_labels(folder)
    assert not Path("ran").exists()


def test_a_folder_of_phy_whose_files_differ_is_refused(tmp_path: Path) -> None:
    folder = save_phy(tmp_path / "phy", TRUE)
    np.save(folder / "spike_clusters.npy", np.array([1]))
    with pytest.raises(InputError, match="spike_times has 4 entries, but spike_clusters has 1"):
        read_labels(folder)


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


@pytest.mark.parametrize(
    ("rows", "fs_hz"),
    [
        ("100,0.004096,1", None),  # one alone could be rounded
        ("0,0,1\n100,0.004096,1", None),
        ("0,0,1\n100,0.004096,1\n250,0.01024,1", 24414.0625),
        ("100,0.004096,1\n250,0.0102,1", None),
    ],
)
def test_a_rate_is_told_by_two_spikes_that_agree(rows: str, fs_hz: float | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,time_s,unit\n{rows}\n")
    assert read_labels(tmp_path / "a.csv").fs_hz == fs_hz


def test_numbers_as_spreadsheets_write_them_are_labels_and_others_are_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.0\n9,12.\n12,3.00\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "3", 2: "12."}
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.0\n9,12\n")
    assert read_labels(tmp_path / "a.csv").unit.tolist() == [3, 12]
    (tmp_path / "a.csv").write_text("sample,unit\n5,3.5\n9,10\n12,9\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "9", 2: "10", 3: "3.5"}


def test_names_of_any_length_that_a_person_would_write_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,unit\n5,{'n' * 1000}\n")
    assert read_labels(tmp_path / "a.csv").names == {1: "n" * 1000}
    (tmp_path / "a.csv").write_text(f"sample,unit\n5,{'n' * 1001}\n")
    with pytest.raises(InputError, match="an entry is 1001 letters long; expected at most 1000"):
        read_labels(tmp_path / "a.csv")


def test_samples_up_to_what_a_float_counts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"sample,unit\n{2**53},1\n")
    with pytest.raises(InputError, match="beyond any recording's length"):
        read_labels(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("sample,unit\n4000000000,1\n")
    assert read_labels(tmp_path / "a.csv").sample.tolist() == [4_000_000_000]


def test_missing_cells_in_parquet_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"sample": [1.0, None], "unit": ["a", "b"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a.parquet: sample"):
        read_labels(tmp_path / "a.parquet")


# what other programs and spreadsheets write


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


@pytest.mark.parametrize("name", ["noise", "Unsorted", "artifact"])
def test_units_that_are_none_are_left_out_of_tables_and_said(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"sample,unit\n10,1\n20,{name}\n30,1\n40,mua\n")
    labels = read_labels(path)
    assert [labels.name_of(unit) for unit in labels.unit.tolist()] == ["1", "1", "mua"]
    assert f"1 spikes of {name!r} are left out" in caplog.text
    assert len(read_labels(path, leave_out=["mua", "1"])) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        "time_s;unit\n0,01;a\n0,025;b\n",
        "time_s\tunit\n0,01\ta\n0,025\tb\n",
        "time_s,unit\n0.01,a\n0.025,b\n",
        "time_s;unit\r\n1,0e-2;a\r\n0.025;b\r\n",
    ],
)
def test_tables_of_other_countries_and_of_spreadsheets(text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    labels = read_labels(path, fs_hz=1000.0)
    assert labels.sample.tolist() == [10, 25]
    assert labels.names == {1: "a", 2: "b"}


def test_decimal_commas_between_commas_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time_s,unit\n0,01,a\n")
    with pytest.raises(InputError, match=r"row 2 has 3 cells, .*decimal marks commas\? Then separate"):
        read_labels(path, fs_hz=1000.0)


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
