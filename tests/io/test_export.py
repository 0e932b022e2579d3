"""What is written here is opened by the tools that it is meant for."""

from __future__ import annotations

import csv
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from spikeinterface.core import BinaryRecordingExtractor, NumpyRecording, load_sorting_analyzer
from spikeinterface.extractors import read_nwb_sorting, read_phy

from spikesorter import read_labels, write_spikes
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import check_export, check_export_place
from spikesorter.io.formats import EXPORTS
from spikesorter.io.mat import read_mat_spikes
from spikesorter.io.nwb import session_start_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves files open
    pytest.mark.usefixtures("nothing_to_compile"),
]
FS_HZ = 30_000.0
NAMES = {1: "basket", 2: "pyramidal", 3: "silent"}
FILES = ("mat", "csv", "parquet", "nwb")


@pytest.fixture
def recording(tmp_path: Path) -> BinaryRecordingExtractor:
    trace = np.random.default_rng(0).integers(-100, 100, (30_000, 2)).astype(np.int16)
    trace[::500] += 1000
    trace.tofile(tmp_path / "recording.raw")
    return BinaryRecordingExtractor([tmp_path / "recording.raw"], FS_HZ, "int16", num_channels=2)


@pytest.fixture
def spikes(rng: np.random.Generator) -> Spikes:
    n = 58
    return Spikes.from_arrays(
        500 * np.arange(1, n + 1),
        np.arange(n) % 2 + 1,
        rng.random(n),
        rng.random(n),
        fs_hz=FS_HZ,
        names=NAMES,
    )


def trains(spikes: Spikes) -> dict[str, list[int]]:
    return {spikes.name_of(label): spikes.of(label).sample.tolist() for label in spikes.unit_ids}


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_written_comes_back(
    name: str, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path = tmp_path / f"result.{name}"
    write_spikes(path, spikes, recording=recording)
    found = read_labels(path)  # rate and names come from the result alone
    assert trains(found) == trains(spikes)
    assert found.fs_hz == pytest.approx(FS_HZ, rel=1e-9)
    assert found == spikes
    write_spikes(path, spikes.of(1), recording=recording)
    assert trains(read_labels(path, fs_hz=FS_HZ)) == trains(spikes.of(1))
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize("name", EXPORTS)
def test_a_sampling_rate_that_contradicts_the_spikes_is_refused(
    name: str, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path = tmp_path / f"result.{name}"
    with pytest.raises(InputError, match=r"result\..*: fs_hz is 25000 Hz, but the spikes are at 30000 Hz"):
        write_spikes(path, spikes, recording=recording, fs_hz=25_000.0)
    assert not path.exists()


@pytest.mark.parametrize("name", ["mat", "parquet"])
def test_the_rate_is_known_of_a_single_spike(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"one.{name}"
    write_spikes(path, Spikes.from_arrays([0], [1], fs_hz=FS_HZ))
    assert read_labels(path).fs_hz == FS_HZ


@pytest.mark.parametrize("name", ["mat", "csv", "parquet"])
def test_the_same_spikes_give_the_same_bytes(name: str, spikes: Spikes, tmp_path: Path) -> None:
    for copy in ("a", "b"):
        write_spikes(tmp_path / f"{copy}.{name}", spikes)
    assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


@pytest.mark.parametrize("name", [*FILES, "analyzer"])
@pytest.mark.parametrize("names", [{}, {1: "1", 2: "2"}, NAMES])
def test_no_spikes_are_a_result(
    name: str, names: dict[int, str], recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path = tmp_path / f"result.{name}"
    none = Spikes.empty().described(fs_hz=FS_HZ, names=names)
    write_spikes(path, none, recording=recording)
    assert read_labels(path) == none


def test_phy_knows_no_sorting_without_spikes(recording: BinaryRecordingExtractor, tmp_path: Path) -> None:
    path = tmp_path / "result.phy"
    with pytest.raises(InputError, match=r"result\.phy: there are no spikes, and Phy cannot open"):
        write_spikes(path, Spikes.empty(), recording=recording)
    assert not path.exists()


def test_csv_is_read_by_others(spikes: Spikes, tmp_path: Path) -> None:
    import pandas as pd

    write_spikes(tmp_path / "a.csv", spikes)
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table.columns) == ["sample", "time_s", "unit", "probability", "unit_probability"]
    np.testing.assert_allclose(table["time_s"], spikes.sample / FS_HZ, rtol=1e-14)  # pandas before 3 rounds
    np.testing.assert_array_equal(table["probability"].astype(np.float32), spikes.probability)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["unit"] == "basket"


def test_parquet_is_read_by_others(spikes: Spikes, tmp_path: Path) -> None:
    import pandas as pd

    write_spikes(tmp_path / "a.parquet", spikes)
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert table["unit"].tolist() == [spikes.name_of(label) for label in spikes.unit.tolist()]
    assert table["probability"].dtype == np.float32
    np.testing.assert_array_equal(table["sample"], spikes.sample)


def test_nwb_is_read_by_spikeinterface(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    write_spikes(tmp_path / "a.nwb", spikes, recording=recording)
    sorting = read_nwb_sorting(tmp_path / "a.nwb")
    assert sorting.get_sampling_frequency() == pytest.approx(FS_HZ)
    assert list(sorting.unit_ids) == list(NAMES.values())
    for label, name in NAMES.items():
        np.testing.assert_array_equal(sorting.get_unit_spike_train(name), spikes.of(label).sample)


def test_nwb_is_read_by_pynwb(spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO, validate

    recording.set_channel_gains(0.5)
    recording.set_channel_offsets(0.0)
    path, start = tmp_path / "a.nwb", datetime(2026, 1, 5, 12, tzinfo=UTC)
    facts = {"sorter": "f00d"}
    write_spikes(path, spikes, recording=recording, provenance=facts, session_start=start)
    assert validate(path=path) == []
    with NWBHDF5IO(path, "r") as source:
        file = source.read()
        assert file.session_start_time == start
        assert json.loads(file.notes)["sorter"] == "f00d"
        assert file.was_generated_by[0][0] == "spikesorter"
        units = file.units.to_dataframe()
        waveform_rate = file.units.waveform_rate
    np.testing.assert_array_equal(units["spike_probability"][1], spikes.of(1).probability)
    assert units["mean_probability"][2] == pytest.approx(spikes.of(2).joint.mean())
    assert np.isnan(units["mean_probability"][3])
    waveform = np.asarray(units["waveform_mean"][1])
    assert waveform.shape == (105, 2)
    assert np.argmax(waveform[:, 0]) == 30  # 1 ms before the start, where this recording has its peaks
    assert waveform[30, 0] == pytest.approx(1000 * 0.5e-6, rel=0.1)  # volts
    assert waveform_rate == FS_HZ
    assert list(units["electrodes"][1]["channel_name"]) == ["0", "1"]


@pytest.mark.parametrize(("with_recording", "told"), [(False, False), (True, True)])
def test_nwb_says_what_is_not_known(
    with_recording: bool, told: bool, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    """The start of the session, and the unit of voltage if there are waveforms."""
    path = tmp_path / "a.nwb"
    write_spikes(path, spikes, recording=recording if with_recording else None)
    with h5py.File(path) as file:
        description = file["units"].attrs["description"]
    assert ("waveforms are in the recording's own unit of voltage" in description) == told
    assert session_start_of(path) == datetime(1970, 1, 1, tzinfo=UTC)


def test_nwb_times_are_those_of_the_recording(tmp_path: Path) -> None:
    late = NumpyRecording([np.zeros((30_000, 1), np.float32)], FS_HZ, t_starts=[5.0])
    write_spikes(tmp_path / "a.nwb", Spikes.from_arrays([30], [1]), recording=late)
    sorting = read_nwb_sorting(tmp_path / "a.nwb", t_start=5.0)
    assert sorting.get_unit_spike_train("1").tolist() == [30]


def test_nwb_of_a_recording_that_starts_late_comes_back_exactly(spikes: Spikes, tmp_path: Path) -> None:
    late = NumpyRecording([np.zeros((30_000, 1), np.float32)], FS_HZ, t_starts=[5.01234])
    write_spikes(tmp_path / "a.nwb", spikes, recording=late)
    found = read_labels(tmp_path / "a.nwb")
    assert found == spikes
    assert trains(found) == trains(spikes)


def test_phy_is_read_by_spikeinterface(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    write_spikes(tmp_path / "a.phy", spikes, recording=recording)
    sorting = read_phy(tmp_path / "a.phy")
    assert sorting.get_sampling_frequency() == FS_HZ
    assert dict(zip(sorting.unit_ids, sorting.get_property("unit_name"), strict=True)) == {
        1: "basket",
        2: "pyramidal",
    }
    for label in (1, 2):
        np.testing.assert_array_equal(sorting.get_unit_spike_train(label), spikes.of(label).sample)
    names = {path.name for path in (tmp_path / "a.phy").iterdir()}
    assert {"params.py", "templates.npy", "amplitudes.npy", "pc_features.npy", "recording.dat"} <= names
    stored = np.fromfile(tmp_path / "a.phy" / "recording.dat", np.int16).reshape(-1, 2)
    np.testing.assert_array_equal(stored, recording.get_traces())
    assert "dat_path = r'recording.dat'" in (tmp_path / "a.phy" / "params.py").read_text()


def test_a_few_spikes_are_enough_for_phy(recording: BinaryRecordingExtractor, tmp_path: Path) -> None:
    few = Spikes.from_arrays([500, 1000, 1500], [1, 2, 1])
    write_spikes(tmp_path / "a.phy", few, recording=recording)
    assert read_phy(tmp_path / "a.phy").count_total_num_spikes() == 3


def test_the_analyzer_is_read_by_spikeinterface(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_spikes(tmp_path / "out" / "a.analyzer", spikes, recording=recording, provenance={"sorter": "f00d"})
    assert capsys.readouterr() == ("", "")
    analyzer = load_sorting_analyzer(tmp_path / "out" / "a.analyzer")
    assert list(analyzer.unit_ids) == list(NAMES.values())
    assert analyzer.has_recording()  # it knows where its recording lies
    assert analyzer.get_extension("templates").get_data().shape == (3, 105, 2)
    sure = analyzer.get_extension("spike_probabilities").get_data(outputs="by_unit", concatenated=True)
    np.testing.assert_array_equal(sure["basket"], spikes.of(1).probability)
    np.testing.assert_array_equal(analyzer.sorting.get_unit_spike_train("basket"), spikes.of(1).sample)
    facts = json.loads((tmp_path / "out" / "a.analyzer" / "spikesorter.json").read_text())
    assert facts["sorter"] == "f00d"


def test_a_recording_without_a_probe_is_not_changed(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    write_spikes(tmp_path / "a.analyzer", spikes, recording=recording)
    assert not recording.has_probe()


@pytest.mark.parametrize("name", FILES)
def test_outlier_spikes(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{name}"
    some = Spikes.from_arrays([5, 9], [0, 2], fs_hz=FS_HZ)
    write_spikes(path, some)
    assert read_labels(path) == (some.of(2) if name == "nwb" else some)


@pytest.mark.parametrize("name", EXPORTS)
def test_only_results_are_written_over(
    name: str, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path = tmp_path / f"precious.{name}"
    if name in FILES:
        path.write_bytes(b"sample,unit\n1,2\n" if name != "parquet" else b"PAR1")
    else:
        path.mkdir()
        (path / "params.py").write_text("mine")
    with pytest.raises(InputError, match=r"precious\.\w+: (exists and was not|cannot be read)"):
        write_spikes(path, spikes, recording=recording)
    if name in FILES:
        assert path.read_bytes() in (b"sample,unit\n1,2\n", b"PAR1")
    else:
        assert (path / "params.py").read_text() == "mine"


def test_work_done_in_phy_is_not_written_over(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path = tmp_path / "a.phy"
    write_spikes(path, spikes, recording=recording)
    check_export_place(path, "phy")
    (path / "cluster_info.tsv").touch()
    with pytest.raises(InputError, match="has since been edited in Phy"):
        check_export_place(path, "phy")


def test_formats_that_are_not_written_are_refused(spikes: Spikes, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="unknown format 'xls'; spikes can be written as mat, csv, parquet, nwb"
    ):
        write_spikes(tmp_path / "a.xls", spikes)
    with pytest.raises(InputError, match="phy stores waveforms; give the recording"):
        write_spikes(tmp_path / "a", spikes, format="phy")
    with pytest.raises(InputError, match="sampling rate of the spikes is not known; give fs_hz"):
        write_spikes(tmp_path / "a.csv", Spikes.empty())
    assert not list(tmp_path.glob("a*"))


def test_what_is_no_recording_is_refused_before_anything_is_written(spikes: Spikes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: expected a SpikeInterface recording, not a ndarray"):
        write_spikes(tmp_path / "a.csv", spikes, recording=np.zeros(9))  # type: ignore[arg-type]
    assert not list(tmp_path.glob("a*"))


def test_spikes_beyond_the_recording_are_refused(recording: BinaryRecordingExtractor, tmp_path: Path) -> None:
    beyond = Spikes.from_arrays([30_000], [1])
    for name in ("phy", "analyzer", "nwb"):
        with pytest.raises(InputError, match="starts at sample 30000, but the recording has 30000"):
            write_spikes(tmp_path / f"a.{name}", beyond, recording=recording)


@pytest.mark.parametrize(("name", "extra"), [("parquet", "parquet"), ("nwb", "nwb"), ("phy", "phy")])
def test_missing_packages_are_named_before_any_work(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.io.export.find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"neural-spike-sorter\[{extra}\]"):
        check_export(name)
    check_export("csv")


def test_names_are_kept_in_mat_files(spikes: Spikes, tmp_path: Path) -> None:
    write_spikes(tmp_path / "a.mat", spikes)
    assert read_mat_spikes(tmp_path / "a.mat").names == NAMES


FORMULAS = ("=1+1", "+1", "-2+3", "@SUM(A1)", "'=a", "'", "a=b", "''-1")


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_no_name_is_a_formula_in_a_spreadsheet_and_each_is_read_back(name: str, tmp_path: Path) -> None:
    units = np.arange(len(FORMULAS)) + 1
    spikes = Spikes.from_arrays(
        units * 10, units, fs_hz=1000.0, names=dict(zip(units, FORMULAS, strict=True))
    )
    write_spikes(tmp_path / f"a.{name}", spikes)
    again = read_labels(tmp_path / f"a.{name}")
    assert [again.name_of(unit) for unit in again.unit.tolist()] == list(FORMULAS)
    if name == "csv":
        with (tmp_path / "a.csv").open(newline="") as file:
            written = [row["unit"] for row in csv.DictReader(file)]
        assert not [text for text in written if text[0] in "=+-@\t\r"]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_results_have_the_permissions_that_the_user_wants(
    name: str, mask: int, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path, before = tmp_path / f"a.{name}", os.umask(mask)
    try:
        write_spikes(path, spikes, recording=recording)
    finally:
        os.umask(before)
    for one in [path, *path.rglob("*")]:
        wanted = (0o777 if one.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(one.stat().st_mode) == wanted, one


def test_nwb_of_a_recording_that_starts_later_keeps_session_times_and_own_samples(
    spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    """As the how-to says: without the start, SpikeInterface's reader would be 3.6 million samples off."""
    recording.shift_times(120.0)
    write_spikes(tmp_path / "a.nwb", spikes, recording=recording)
    assert read_labels(tmp_path / "a.nwb") == spikes
    sorting = read_nwb_sorting(tmp_path / "a.nwb", t_start=recording.get_start_time())
    found = np.sort(np.concatenate([sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids]))
    np.testing.assert_array_equal(found, spikes.sample)
    seconds = np.concatenate([sorting.get_unit_spike_train(u, return_times=True) for u in sorting.unit_ids])
    assert seconds.min() == pytest.approx(120 + spikes.sample[0] / FS_HZ)


BAD = BadStretches.of([(0, 47, "given"), (1001, 2003, "dead"), (28_000, 30_000, "artefact")])


@pytest.mark.parametrize("name", EXPORTS)
def test_bad_stretches_come_back(
    name: str, spikes: Spikes, recording: BinaryRecordingExtractor, tmp_path: Path
) -> None:
    path, table = tmp_path / f"result.{name}", tmp_path / "result.bad.csv"
    write_spikes(path, replace(spikes, bad=BAD), recording=recording)
    assert read_labels(path).bad == BAD
    rows = list(csv.DictReader(table.open()))
    assert [row["kind"] for row in rows] == ["given", "dead", "artefact"]
    assert float(rows[1]["stop_s"]) == pytest.approx(2003 / FS_HZ, abs=1e-9)
    write_spikes(path, spikes, recording=recording)
    assert not table.exists()  # that of the older result
    assert len(read_labels(path).bad) == 0


def test_nwb_lists_bad_stretches_as_invalid_times(spikes: Spikes, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO, validate

    recording = NumpyRecording([np.zeros((30_000, 1), np.float32)], FS_HZ, t_starts=[100.0])
    path = tmp_path / "a.nwb"
    write_spikes(path, replace(spikes, bad=BAD), recording=recording)
    with NWBHDF5IO(path, "r") as file:
        assert validate(io=file) == []
        table = file.read().invalid_times.to_dataframe()
    assert table.start_time.to_numpy() == pytest.approx(100 + BAD.start / FS_HZ)
    assert table.stop_time.to_numpy() == pytest.approx(100 + BAD.stop / FS_HZ)
    assert [list(tags) for tags in table.tags] == [["given"], ["dead"], ["artefact"]]
    assert read_labels(path).bad == BAD


@pytest.mark.parametrize("tagged", [False, True])
def test_invalid_times_of_other_programs_are_read(tagged: bool, tmp_path: Path) -> None:
    from pynwb import NWBHDF5IO, NWBFile

    file = NWBFile("session", "other", datetime(2026, 1, 5, 12, tzinfo=UTC))
    file.add_unit(spike_times=[10.1, 10.5])
    for start, stop, tags in (
        (10.2, 10.30004, ["laser"]),
        (10.4, 10.4, ["dead"]),
        (9.0, 10.01, ["dead", "x"]),
    ):
        file.add_invalid_time_interval(start_time=start, stop_time=stop, **({"tags": tags} if tagged else {}))
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as output:
        output.write(file)
    found = read_labels(tmp_path / "a.nwb", fs_hz=1000.0, start_s=10.0)
    assert list(found.bad) == [(0, 10, "dead" if tagged else "given"), (200, 301, "given")]


def test_a_foreign_table_of_bad_stretches_is_not_written_over(spikes: Spikes, tmp_path: Path) -> None:
    (tmp_path / "a.bad.csv").write_text("mine\n")
    for bad in (BAD, BadStretches()):
        with pytest.raises(InputError, match="a.bad.csv: exists and was not written by spikesorter"):
            write_spikes(tmp_path / "a.csv", replace(spikes, bad=bad))
    assert (tmp_path / "a.bad.csv").read_text() == "mine\n"
    assert not (tmp_path / "a.csv").exists()
    with pytest.raises(InputError, match="is the ending of tables of bad stretches"):
        write_spikes(tmp_path / "b.bad.csv", spikes)


@pytest.mark.parametrize("name", ["n" * 231, "ü" * 116])
def test_a_name_that_is_too_long_is_said_before_a_recording_is_sorted(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"too long for a file: at most 230 bytes; rename the recording, or"):
        check_export_place(tmp_path / f"{name}.mat", "mat")
    for to in ("mat", "parquet", "analyzer"):
        check_export_place(tmp_path / f"{name[:115]}.{to}", to)
