"""Opening what SpikeInterface saved never runs what a file names."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Pickle
from spikeinterface.core import NumpySorting, create_sorting_analyzer, generate_recording, load
from spikeinterface.preprocessing import bandpass_filter, common_reference

from spikesorter import read_labels, read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.foreign_objects import MOST_SHOWN, _files_in, _shown, check_zarr, load_foreign
from spikesorter.workflows.manifest import read_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
    pytest.mark.filterwarnings("ignore:The Recording is not serializable"),
]
FS_HZ = 30_000.0
TRACE = np.random.default_rng(0).standard_normal((3000, 2)).astype(np.float32)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that an attack would make."""
    return tmp_path / "it-ran"


def saved(folder: Path) -> Path:
    recording = generate_recording(durations=[0.1], num_channels=2, set_probe=False)
    recording.save(folder=folder, verbose=False)
    return folder


def described(kind: str, kwargs: Any, **more: Any) -> dict[str, Any]:
    return {
        "class": kind,
        "module": kind.split(".")[0],
        "version": "0.105.3",
        "relative_paths": False,
        "kwargs": kwargs,
        "annotations": {},
        "properties": {},
        **more,
    }


def popen(mark: Path) -> dict[str, Any]:
    return described("subprocess.Popen", {"args": ["touch", str(mark)]})


def scaled(parent: Any) -> dict[str, Any]:
    kind = "spikeinterface.preprocessing.normalize_scale.ScaleRecording"
    return described(kind, {"recording": parent, "gain": 2.0})


def evil_numbers(path: Path, mark: Path) -> Path:
    np.save(path, np.array([Payload(mark)] * 2, object), allow_pickle=True)
    return path


def in_json(path: Path, contents: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(contents))
    return path


def attack_file(folder: Path, mark: Path) -> Path:
    return in_json(folder / "a.json", popen(mark))


def attack_folder(folder: Path, mark: Path) -> Path:
    return in_json(folder / "a" / "si_folder.json", popen(mark)).parent


def attack_deep(folder: Path, mark: Path) -> Path:
    deep: Any = popen(mark)
    for _ in range(3):
        deep = scaled({"list": [deep]})
    return in_json(folder / "a.json", deep)


def attack_function(folder: Path, mark: Path) -> Path:
    (folder / "b.pkl").write_bytes(pickle.dumps(Payload(mark)))
    named = described("spikeinterface.core.load", {"file_or_folder_or_dict": str(folder / "b.pkl")})
    return in_json(folder / "a.json", named)


def attack_other_class(folder: Path, mark: Path) -> Path:
    kind = "spikeinterface.sorters.utils.shellscript.ShellScript"
    return in_json(folder / "a.json", described(kind, {"script": f"touch {mark}"}))


def attack_phy(folder: Path, mark: Path) -> Path:
    (folder / "phy").mkdir()
    (folder / "phy" / "params.py").write_text(f"open({str(mark)!r}, 'w')\nsample_rate = 1000.")
    kind = "spikeinterface.extractors.phykilosortextractors.PhySortingExtractor"
    return in_json(folder / "a.json", described(kind, {"folder_path": str(folder / "phy")}))


def attack_phy_by_another_name(folder: Path, mark: Path) -> Path:
    path = attack_phy(folder, mark)
    path.write_text(path.read_text().replace("phykilosortextractors", "extractor_classes"))
    return path


def attack_property(folder: Path, mark: Path) -> Path:
    path = saved(folder / "a")
    (path / "properties").mkdir(exist_ok=True)
    evil_numbers(path / "properties" / "group.npy", mark)
    return path


def attack_property_elsewhere(folder: Path, mark: Path) -> Path:
    attack_property(folder, mark).rename(folder / "b")
    kind = "spikeinterface.core.binaryfolder.BinaryFolderRecording"
    return in_json(folder / "c" / "a.json", described(kind, {"folder_path": "../b"}, relative_paths=True))


def attack_property_through_link(folder: Path, mark: Path) -> Path:
    path, other = saved(folder / "a"), folder / "b"
    other.mkdir()
    evil_numbers(other / "group.npy", mark)
    (path / "properties").rename(folder / "c")
    (path / "properties").symlink_to(other)
    return path


def attack_old_pickle(folder: Path, mark: Path) -> Path:
    path = saved(folder / "a")
    (path / "cached.pkl").write_bytes(pickle.dumps(Payload(mark)))
    return path


def attack_analyzer(folder: Path, mark: Path) -> Path:
    path = analyzer_in(folder / "a")
    (path / "recording.json").unlink(missing_ok=True)
    (path / "recording.pickle").write_bytes(pickle.dumps(Payload(mark)))
    return path


def attack_analyzer_json(folder: Path, mark: Path) -> Path:
    path = analyzer_in(folder / "a")
    (path / "recording.json").write_text(json.dumps(scaled(popen(mark))))
    return path


def attack_sorter(folder: Path, mark: Path) -> Path:
    path = folder / "a"
    (path / "sorter_output").mkdir(parents=True)
    (path / "spikeinterface_log.json").write_text(json.dumps({"error": False, "sorter_name": "klusta"}))
    (path / "sorter_output" / "recording.prm").write_text(f"open({str(mark)!r}, 'w')")
    return path


def attack_zarr(folder: Path, mark: Path) -> Path:
    path = folder / "a.zarr"
    generate_recording(durations=[0.1], num_channels=2).save(folder=path, format="zarr", verbose=False)
    root = zarr.open(str(path), mode="r+")
    evil = np.array([Payload(mark)], object)
    root["properties"].create_dataset("evil", data=evil, object_codec=Pickle())
    zarr.consolidate_metadata(str(path))
    return path


def attack_zarr_of_any_version(folder: Path, mark: Path) -> Path:
    """Without zarr's help, as not every version can write it: Python 3.14 has one that cannot."""
    in_json(folder / "a.zarr" / ".zgroup", {"zarr_format": 2})
    return in_json(folder / "a.zarr" / "evil" / ".zarray", {"filters": [{"id": "pickle"}]}).parents[1]


def attack_zarr_3(folder: Path, mark: Path) -> Path:
    codecs = {"codecs": ["bytes"], "index_codecs": [{"name": "numcodecs.pickle"}]}
    sharded = {"codecs": [{"name": "sharding_indexed", "configuration": codecs}]}
    return in_json(folder / "a.zarr" / "zarr.json", {"zarr_format": 3, **sharded}).parent


def attack_zarr_class(folder: Path, mark: Path) -> Path:
    path = folder / "a.zarr"
    zarr.open(str(path), mode="w").attrs["zarr_class_info"] = {"class": "subprocess.getoutput"}
    return path


def attack_zarr_metadata(folder: Path, mark: Path) -> Path:
    path = attack_zarr_class(folder, mark)
    zarr.consolidate_metadata(str(path))
    (path / ".zattrs").write_text("{}")
    return path


def analyzer_in(folder: Path) -> Path:
    recording = generate_recording(durations=[0.1], num_channels=2)
    recording = recording.save(folder=folder.parent / "source", verbose=False)
    sorting = NumpySorting.from_unit_dict([{"1": np.arange(100, 2900, 30)}], FS_HZ)
    create_sorting_analyzer(sorting, recording, folder=folder, format="binary_folder", sparse=False)
    return folder


ATTACKS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "a class in a file": (attack_file, "'subprocess.Popen'"),
    "a class in a folder": (attack_folder, "'subprocess.Popen'"),
    "a class within classes": (attack_deep, "'subprocess.Popen'"),
    "a function of SpikeInterface": (attack_function, "'spikeinterface.core.load'"),
    "another class of SpikeInterface": (attack_other_class, "ShellScript"),
    "a reader that runs params.py": (attack_phy, "runs programs"),
    "the same from a package": (attack_phy_by_another_name, "runs programs"),
    "a property": (attack_property, "Python objects"),
    "a property of a folder elsewhere": (attack_property_elsewhere, "Python objects"),
    "a property behind a link": (attack_property_through_link, "Python objects"),
    "a pickle in a folder": (attack_old_pickle, "is a pickle"),
    "a pickle in an analyzer": (attack_analyzer, "is a pickle"),
    "a class in an analyzer": (attack_analyzer_json, "'subprocess.Popen'"),
    "a program of a sorter": (attack_sorter, "would run this file"),
    "a pickle in zarr": (attack_zarr, "'pickle'"),
    "a pickle in zarr of any version": (attack_zarr_of_any_version, "'pickle'"),
    "a pickle in an index of zarr 3": (attack_zarr_3, "'pickle'"),
    "a class in zarr's other metadata": (attack_zarr_metadata, "'subprocess.getoutput'"),
    "a class in zarr": (attack_zarr_class, "'subprocess.getoutput'"),
}


@pytest.mark.parametrize("read", [read_recording, read_labels, load_foreign])
@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_file_names_is_not_run(
    name: str, read: Callable[[Path], Any], tmp_path: Path, mark: Path
) -> None:
    attack, message = ATTACKS[name]
    path = attack(tmp_path, mark)
    if read is read_recording and name == "a program of a sorter":
        message = "unknown format of folder"  # a sorting only
    if read is read_labels and path.suffix == ".json":
        message = "labels must be"
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
    assert not mark.exists()


def test_the_attacks_would_work(tmp_path: Path, mark: Path) -> None:
    """SpikeInterface's own loader runs them; otherwise the tests above would show nothing."""
    path = tmp_path / "b.pkl"
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(AttributeError):  # after it has run
        load(path)
    assert mark.exists()


@pytest.mark.parametrize("name", ["binaryfolder", "zarr", "spikeinterface"])
def test_a_format_by_name_is_checked_as_well(name: str, tmp_path: Path, mark: Path) -> None:
    with pytest.raises(InputError, match="Python objects"):
        read_recording(attack_property(tmp_path, mark), format=name)
    assert not mark.exists()


def test_zarr_of_other_programs_is_looked_through_for_pickles(tmp_path: Path, mark: Path) -> None:
    path = attack_zarr(tmp_path, mark).rename(tmp_path / "a.nwb.zarr")
    for read in (check_zarr, read_recording, read_labels):
        with pytest.raises(InputError, match=r"a\.nwb\.zarr.* coded as 'pickle', which could run programs"):
            read(path)
    plain = tmp_path / "b.zarr"
    zarr.open(str(plain), mode="w").create_dataset("data", data=TRACE)
    check_zarr(plain)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["sinapsresearchplatform", "shybrid", "ibl", "numpy"])
def test_readers_that_run_what_they_read_are_not_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format"):
        read_recording(tmp_path, format=name)


def test_files_do_not_choose_what_to_connect_to(tmp_path: Path) -> None:
    kind = "spikeinterface.core.zarrextractors.ZarrRecordingExtractor"
    path = in_json(tmp_path / "a.json", described(kind, {"folder_path": "s3://bucket/a.zarr"}))
    with pytest.raises(InputError, match="download it first"):
        read_recording(path)


def test_a_chain_of_steps_is_read(tmp_path: Path) -> None:
    recording = common_reference(bandpass_filter(load(saved(tmp_path / "a"))))
    recording.dump(tmp_path / "b.json")
    recording.dump(tmp_path / "c.json", relative_to=True)
    for name in ("b.json", "c.json"):
        np.testing.assert_array_equal(read_recording(tmp_path / name).get_traces(), recording.get_traces())


def test_a_sorters_folder_is_read_without_its_recording(tmp_path: Path) -> None:
    sorting = NumpySorting.from_unit_dict([{"1": np.arange(100, 2900, 30)}], FS_HZ)
    sorting.save(folder=tmp_path / "a" / "sorter_output" / "sorting", format="numpy_folder")
    load(saved(tmp_path / "source")).dump(tmp_path / "a" / "spikeinterface_recording.json")
    in_json(tmp_path / "a" / "spikeinterface_log.json", {"error": False, "sorter_name": "simple"})
    assert not load_foreign(tmp_path / "a").has_recording()
    assert read_labels(tmp_path / "a").sample.tolist() == list(range(100, 2900, 30))


@pytest.mark.filterwarnings("ignore:chunk_size is greater")
def test_an_analyzer_with_principal_components_is_read(tmp_path: Path) -> None:
    path = analyzer_in(tmp_path / "a")
    analyzer = load(path)
    analyzer.compute(["random_spikes", "waveforms", "templates", "noise_levels"])
    analyzer.save_as(folder=tmp_path / "b.zarr", format="zarr")
    analyzer.compute("principal_components")
    assert list(path.rglob("principal_components/*.pkl"))
    assert len(read_labels(tmp_path / "b.zarr")) == len(range(100, 2900, 30))
    assert len(read_labels(path)) == len(range(100, 2900, 30))
    np.testing.assert_array_equal(read_recording(path).get_traces(), load(tmp_path / "source").get_traces())


def test_a_batch_lists_folders_without_opening_them(tmp_path: Path, mark: Path) -> None:
    attack_folder(tmp_path, mark)
    assert [item.name for item in read_folder(tmp_path, model=Path("model"))] == ["a"]
    assert not mark.exists()


def test_nested_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not JSON"):
        read_recording(path)


def test_all_files_are_looked_at_but_those_of_extensions_that_are_not_read(tmp_path: Path) -> None:
    names = ["a.json", *(f"extensions/{k}/data.npy" for k in range(20)), "z/b.npy"]
    for name in [*names, "extensions/principal_components/pca.pkl"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z" / "again").symlink_to(tmp_path)  # without end
    found = [file.relative_to(tmp_path).as_posix() for file in _files_in(tmp_path, set())]
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(("count", "refused"), [(3, False), (4, True)])
def test_folders_of_more_files_than_any_recording_has_are_refused(
    count: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.io.foreign_objects.MOST_FILES", 3)
    for number in range(count):
        (tmp_path / f"{number}.raw").touch()
    said = pytest.raises(InputError, match="contains more than 3 files")
    with said if refused else contextlib.nullcontext():
        assert len(list(_files_in(tmp_path, set()))) == 3


def test_long_names_are_shown_in_part() -> None:
    longest = "n" * MOST_SHOWN
    assert _shown(longest) == f"'{longest}'"
    assert _shown(longest + "n") == f"'{longest}...'"
