"""Recordings, labels and results of all formats on the command line, as a new user would try them."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io.wavfile
from spikeinterface.core import NumpyRecording, load_sorting_analyzer
from spikeinterface.extractors import read_nwb_sorting

from spikesorter import read_labels, read_mat
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat_spikes
from spikesorter.io.mat_writing import write_mat
from spikesorter.sorting.sorter import Sorter
from tests.cli.test_cli import spikesorter
from tests.conftest import PURSUIT
from tests.io.makers import write_blackrock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
SETS = [word for assignment in PURSUIT for word in ("--set", assignment)]
SECONDS = 2
SUBJECT = Path(__file__).parents[1] / "io" / "subject.toml"


@pytest.fixture(scope="module")
def model(labelled_model: Path) -> Path:
    return labelled_model


@pytest.fixture(scope="module")
def trace(study_folder: Path) -> np.ndarray:
    """The beginning of D2 in whole numbers, on nearly the scale of the model."""
    recording, _ = read_mat(study_folder / "D2.mat")
    return np.round(recording.get_traces()[: SECONDS * 25_000] * 2).astype(np.int16)


@pytest.fixture(scope="module")
def expected(model: Path, trace: np.ndarray) -> Spikes:
    spikes = Sorter.load(model).sort(NumpyRecording([trace], 25_000.0))
    assert len(spikes) > 40
    return spikes


def sort(path: Path, model: Path, out: Path, *words: object) -> Path:
    spikesorter("sort", path, "--model", model, "--out", out, *words)
    return out


def test_recordings_of_all_formats_give_the_same_spikes(
    model: Path, trace: np.ndarray, expected: Spikes, tmp_path: Path
) -> None:
    np.save(tmp_path / "array.npy", trace)
    scipy.io.wavfile.write(tmp_path / "sound.wav", 25_000, trace)
    NumpyRecording([trace], 25_000.0).save(folder=tmp_path / "folder", verbose=False)
    files = [tmp_path / name for name in ("array.npy", "sound.wav", "folder")]
    spikesorter("sort", *files, "--model", model, "--out", tmp_path / "out", "--fs", 25_000)
    for name in ("array", "sound", "folder"):
        assert read_mat_spikes(tmp_path / "out" / f"{name}.mat") == expected


def test_raw_binary_is_described_on_the_command_line(
    model: Path, trace: np.ndarray, expected: Spikes, tmp_path: Path
) -> None:
    np.concatenate([trace[::-1], trace], axis=1).tofile(tmp_path / "two.dat")
    words = ("--dtype", "int16", "--channels", 2, "--channel", 1)
    out = sort(tmp_path / "two.dat", model, tmp_path / "out", "--fs", 25_000, *words)
    assert read_mat_spikes(out / "two.mat") == expected
    both = ("sort", tmp_path / "two.dat", "--model", model, "--out", tmp_path / "both", *words[:4])
    assert "has 2 channels, but the sorter was fitted to 1" in spikesorter(*both, rc=2).stderr
    again = sort(tmp_path / "two.dat", model, tmp_path / "again", *words)  # at the model's rate
    assert read_mat_spikes(again / "two.mat") == expected


def test_files_of_acquisition_systems_are_known_by_their_ending(
    model: Path, trace: np.ndarray, tmp_path: Path
) -> None:
    write_blackrock(tmp_path / "a.ns5", np.tile(trace, (1, 3)))
    words = ("sort", tmp_path / "a.ns5", "--model", model, "--out", tmp_path / "out")
    assert (
        "sampled at 30000 Hz, but the sorter was fitted at 25000 Hz"
        in spikesorter(*words, "--channel", "elec2", rc=2).stderr
    )
    assert "no channel 7; there are 1, 2, 3" in spikesorter(*words, "--channel", "7", rc=2).stderr
    assert not (tmp_path / "out").exists()


def test_results_of_all_formats(model: Path, trace: np.ndarray, expected: Spikes, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", trace)
    for name in ("csv", "parquet", "nwb", "analyzer"):
        sort(tmp_path / "a.npy", model, tmp_path / "out", "--to", name)
        found = read_labels(tmp_path / "out" / f"a.{name}")
        assert found.fs_hz == pytest.approx(25_000)
        np.testing.assert_array_equal(found.sample, expected.sample)
        np.testing.assert_array_equal(found.unit, expected.unit)
    sorting = read_nwb_sorting(tmp_path / "out" / "a.nwb")
    for label in expected.unit_ids:
        train = sorting.get_unit_spike_train(str(label))
        np.testing.assert_array_equal(train, expected.of(label).sample)
    analyzer = load_sorting_analyzer(tmp_path / "out" / "a.analyzer")
    np.testing.assert_array_equal(analyzer.recording.get_traces(), trace)
    with (tmp_path / "out" / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(expected)


def test_nwb_files_state_the_subject_of_the_command_line(
    model: Path, trace: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", trace)
    subject = tmp_path / "subject.toml"
    subject.write_text(SUBJECT.read_text("utf-8"), encoding="utf-8")
    sort(tmp_path / "a.npy", model, tmp_path / "out", "--to", "nwb", "--subject", subject)
    assert subject_id(tmp_path / "out" / "a.nwb") == "M17"

    words = ("batch", tmp_path, "--model", model, "--fs", 25_000, "--out", tmp_path / "night")
    spikesorter(*words, "--to", "nwb", "--subject", subject)
    kept = tmp_path / "night" / "predictions" / "a.nwb"
    assert subject_id(kept) == "M17"
    subject.write_text(SUBJECT.read_text("utf-8").replace("M17", "M18"), encoding="utf-8")
    assert "other" in spikesorter(*words, "--to", "nwb", "--subject", subject, rc=2).stderr
    spikesorter(*words, "--to", "nwb", "--subject", subject, "--restart")
    assert subject_id(kept) == "M18"

    refused = ("sort", tmp_path / "a.npy", "--model", model, "--out", tmp_path / "none", "--subject", subject)
    assert "stored in NWB files only; write nwb, not mat" in spikesorter(*refused, rc=2).stderr
    subject.write_text(SUBJECT.read_text("utf-8").replace("P90D", "ninety"), encoding="utf-8")
    assert "subject.age: expected" in spikesorter(*refused, "--to", "nwb", rc=2).stderr
    assert not (tmp_path / "none").exists()


def subject_id(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file["general/subject/subject_id"].asstr()[()])


def test_formats_that_are_not_written_are_refused_before_anything_is_read(
    model: Path, tmp_path: Path
) -> None:
    words = ("sort", tmp_path / "a.npy", "--model", model, "--out", tmp_path / "out", "--to", "xls")
    assert "unknown format 'xls'; spikes can be written as mat, csv" in spikesorter(*words, rc=2).stderr


def test_results_do_not_replace_what_is_not_theirs(model: Path, trace: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", trace)
    (tmp_path / "a.csv").write_text("my,table\n")
    words = ("sort", tmp_path / "a.npy", "--model", model, "--out", tmp_path, "--to", "csv")
    assert "exists and was not written by spikesorter" in spikesorter(*words, rc=2).stderr
    assert (tmp_path / "a.csv").read_text() == "my,table\n"


def test_two_recordings_of_one_name_are_refused(model: Path, trace: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", trace)
    scipy.io.wavfile.write(tmp_path / "a.wav", 25_000, trace)
    words = ("sort", tmp_path / "a.npy", tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out")
    assert "has the same name as" in spikesorter(*words, rc=2).stderr


def test_train_takes_labels_of_another_tool_and_results_keep_their_names(
    study_folder: Path, trace: np.ndarray, tmp_path: Path
) -> None:
    recording, truth = read_mat(study_folder / "D1.mat")
    assert truth is not None
    recording.save(folder=tmp_path / "first", verbose=False)
    names = {1: "basket", 2: "pyramidal", 3: "stellate"}
    sorting = truth.described(fs_hz=25_000.0, names=names).to_spikeinterface()
    sorting.delete_property("probability")
    sorting.delete_property("unit_probability")
    sorting.save(folder=tmp_path / "labels")
    words = ("--labels", tmp_path / "labels", "--model", tmp_path / "model", *SETS)
    spikesorter("train", tmp_path / "first", *words)
    np.save(tmp_path / "a.npy", trace)
    sort(tmp_path / "a.npy", tmp_path / "model", tmp_path / "out", "--to", "csv")
    found = read_labels(tmp_path / "out" / "a.csv")
    assert set(found.names.values()) <= set(names.values())
    write_mat(tmp_path / "truth.mat", found)
    table = spikesorter("evaluate", tmp_path / "out" / "a.csv", tmp_path / "truth.mat", "--json").stdout
    assert '"score": 1.0' in table


def test_train_says_what_is_wrong_with_labels(study_folder: Path, trace: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", trace)
    words = ("train", tmp_path / "a.npy", "--model", tmp_path / "model", *SETS)
    assert "a.npy: does not state its sampling rate" in spikesorter(*words, rc=2).stderr
    words = (*words, "--fs", 25_000)
    assert "a.npy: has no labels; give them with --labels" in spikesorter(*words, rc=2).stderr
    (tmp_path / "a.csv").write_text("sample,unit\n")
    result = spikesorter(*words, "--labels", tmp_path / "a.csv", rc=2)
    assert "a.csv: has no labels" in result.stderr
    (tmp_path / "a.csv").write_text("sample,time_s,unit\n300,0.01,1\n600,0.02,1\n")
    result = spikesorter(*words, "--labels", tmp_path / "a.csv", rc=2)
    assert "labels are at 30000 Hz, but" in result.stderr


def test_plot_draws_any_recording_with_any_spikes(
    model: Path, trace: np.ndarray, expected: Spikes, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", trace)
    sort(tmp_path / "a.npy", model, tmp_path, "--to", "csv")
    picture = tmp_path / "a.png"
    spikesorter("plot", tmp_path / "a.npy", "--fs", 25_000, "--found", tmp_path / "a.csv", "--out", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
