from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
from spikeinterface.extractors import recording_extractor_full_dict

from spikesorter.core.errors import InputError
from spikesorter.io.formats import (
    ENDINGS,
    FOLDER_CONTENTS,
    OWN_FORMATS,
    PART_OF_A_FOLDER,
    Source,
    find_source,
    missing_package,
    reading,
    stem_of,
)
from spikesorter.io.recording import read_recording


@pytest.mark.parametrize("table", [ENDINGS, FOLDER_CONTENTS, PART_OF_A_FOLDER])
def test_every_format_is_known_to_spikeinterface(table: dict[str, str]) -> None:
    assert set(table.values()) - set(OWN_FORMATS) <= set(recording_extractor_full_dict)


@pytest.mark.parametrize(
    ("name", "expected", "stream"),
    [
        ("a.rhd", "intan", None),
        ("a.RHS", "intan", None),
        ("a.ns5", "blackrock", "5"),
        ("a.nev", "blackrock", None),
        ("a.plx", "plexon", None),
        ("a.edf", "edf", None),
        ("a.smr", "spike2", None),
        ("a.dat", "raw", None),
        ("a.xdat.json", "neuronexus", None),
    ],
)
def test_endings_say_what_a_file_is(name: str, expected: str, stream: str | None, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert find_source(tmp_path / name) == Source(tmp_path / name, expected, stream)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("si_folder.json", "spikeinterface"),
        ("Record Node 101/experiment1/recording1/structure.oebin", "openephysbinary"),
        ("100_CH1.continuous", "openephyslegacy"),
        ("run_g0_imec0/run_g0_t0.imec0.ap.meta", "spikeglx"),
        ("CSC1.ncs", "neuralynx"),
        ("Block-1/tank_Block-1.Tbk", "tdt"),
    ],
)
def test_contents_say_what_a_folder_is(inside: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).touch()
    assert find_source(tmp_path) == Source(tmp_path, expected)


@pytest.mark.parametrize("ending", ["Tbk", "tbk"])
def test_a_block_of_tdt_is_opened_by_the_file_that_describes_it(ending: str, tmp_path: Path) -> None:
    described = tmp_path / f"tank_Block-1.{ending}"
    for path in (described, tmp_path / "tank_Block-1.tev", tmp_path / "tank_Block-1_Wav1_Ch1.sev"):
        path.touch()
        assert find_source(path) == Source(described, "tdt")
    assert find_source(tmp_path) == Source(described, "tdt")


def test_a_file_is_known_by_its_neighbours(tmp_path: Path) -> None:
    probe = ("g0_t0.imec0.ap.bin", "g0_t0.imec0.ap.meta")
    for name in (*probe, "rat.dat", "rat.xml", "plain.bin", "CSC1.ncs", "n.xdat.json", "n_data.xdat"):
        (tmp_path / name).touch()
    assert find_source(tmp_path / "g0_t0.imec0.ap.bin") == Source(tmp_path, "spikeglx", "imec0.ap")
    assert find_source(tmp_path / "rat.dat") == Source(tmp_path / "rat.xml", "neuroscope")
    assert find_source(tmp_path / "plain.bin").format == "raw"
    assert find_source(tmp_path / "CSC1.ncs") == Source(tmp_path, "neuralynx")
    assert find_source(tmp_path / "n_data.xdat") == Source(tmp_path / "n.xdat.json", "neuronexus")


def test_raw_files_of_multichannel_systems_are_told_from_raw_binary(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"MC_DataTool binary conversion\r\n")
    (tmp_path / "b.raw").write_bytes(bytes(64))
    assert [find_source(tmp_path / name).format for name in ("a.raw", "b.raw")] == ["mcsraw", "raw"]


def test_an_intan_folder_is_known_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "info.rhs").touch()
    assert find_source(tmp_path) == Source(tmp_path / "info.rhs", "intan")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xyz", r"unknown ending \.xyz; known are .*\.edf.*format=NAME"),
        ("noending", "unknown ending none"),
        ("a.ns0", r"unknown ending \.ns0"),
        ("a.ns7", r"unknown ending \.ns7"),
        ("a.h5", "can have several formats; choose one with .*maxwell"),
    ],
)
def test_unknown_files_are_refused_with_what_is_known(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        find_source(tmp_path / name)


def test_unknown_folders_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format of folder; give the recording's file instead"):
        find_source(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        find_source(tmp_path / "a.rhd")


def test_names_of_results(tmp_path: Path) -> None:
    for name in ("session 1.2", "a.zarr"):
        (tmp_path / name).mkdir()
    assert stem_of(tmp_path / "session 1.2") == "session 1.2"
    assert stem_of(tmp_path / "a.zarr") == "a"
    assert stem_of(tmp_path / "a.imec0.ap.bin") == "a.imec0.ap"


def test_a_missing_package_is_named_with_its_extra() -> None:
    error = ModuleNotFoundError("No module named 'pynwb'", name="pynwb")
    expected = 'nwb needs pynwb: pip install "neural-spike-sorter[nwb]"'
    assert missing_package("nwb", error) == expected
    with pytest.raises(InputError, match=r"a\.nwb: nwb needs pynwb"), reading(Path("a.nwb"), "nwb"):
        raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (AssertionError("Requires pyedflib"), 'b needs pyedflib: pip install "neural-spike-sorter[edf]"'),
        (
            AssertionError("To use the reader, install mtscomp: \n\n pip install mtscomp\n\n"),
            "needs a package that is not installed: pip install mtscomp",
        ),
        (
            ImportError("sonpy is not installed. Install it with `pip install sonpy`."),
            "needs a package that is not installed: pip install sonpy",
        ),
        (
            ImportError("something is\n missing"),
            "needs a package that is not installed: something is missing",
        ),
        (
            IndexError("index 0 is out of bounds"),
            "its reader failed (IndexError: index 0 is out of bounds); is the file complete",
        ),
        (
            ValueError("no\nheader "),
            "cannot be read as b: no header; is the file complete, and of this format?",
        ),
        (ValueError("word " * 200), "word word ...; is the file complete"),
        (ValueError(), "cannot be read as b: ValueError; is the file complete, and of this format?"),
        (URLError("no network"), "its reader needs to download something first, and there is no connection"),
    ],
)
def test_what_a_reader_says_is_one_line_that_names_the_file(error: Exception, message: str) -> None:
    with pytest.raises(InputError) as caught, reading(Path("a.x"), "b"):
        raise error
    assert str(caught.value).startswith("a.x: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # readers leave open what they could not read
@pytest.mark.parametrize("content", [b"", b"no such thing\n" * 200])
# The reader of .pl2 fetches a library of Plexon's first.
@pytest.mark.parametrize(
    "ending", sorted({*ENDINGS, *PART_OF_A_FOLDER} - {".zarr", ".raw", ".bin", ".dat", ".pl2"})
)
def test_broken_files_of_any_format_end_in_one_line(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"broken{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_own_errors_pass() -> None:
    with pytest.raises(InputError, match=r"^mine$"), reading(Path("a"), "b"):
        raise InputError("mine")
