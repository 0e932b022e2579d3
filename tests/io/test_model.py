from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from spikesorter.config import DetectorSettings
from spikesorter.errors import InputError, ModelError
from spikesorter.io.model import read_model, write_model
from spikesorter.spikes import Spikes


@dataclass(frozen=True, eq=False)
class Inner:
    weights: tuple[npt.NDArray[np.float32], ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Outer:
    name: str
    rate: float
    inner: Inner
    missing: Inner | None
    settings: DetectorSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = Inner((np.arange(3, dtype=np.float32), np.ones((2, 2), np.float32)), (4, 5))
    write_model(Outer("x", 0.5, inner, None, DetectorSettings(steps=7)), tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back(folder: Path) -> None:
    model = read_model(Outer, folder)
    assert (model.name, model.rate, model.missing) == ("x", 0.5, None)
    assert model.settings == DetectorSettings(steps=7)
    assert model.inner.numbers == (4, 5)
    np.testing.assert_array_equal(model.inner.weights[0], [0, 1, 2])
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "model.json"]


def test_the_same_model_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_model(read_model(Outer, folder), tmp_path / "again")
    for name in ("arrays.npz", "model.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_other_format_versions_are_refused(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {"format_version": 99}))
    with pytest.raises(ModelError, match="format 99, this version reads format 5"):
        read_model(Outer, folder)


@pytest.mark.parametrize("name", ["arrays.npz", "model.json"])
def test_missing_and_truncated_files_are_refused(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"holds no model .{name} is missing"):
        read_model(Outer, folder)


@pytest.mark.parametrize(
    ("key", "value"), [("name", 3), ("rate", "fast"), ("inner", None), ("settings", {"stepps": 3})]
)
def test_contents_of_another_kind_are_refused(key: str, value: object, folder: Path) -> None:
    description = json.loads((folder / "model.json").read_text())
    description["model"][key] = value
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)


def test_pickles_are_refused(folder: Path) -> None:
    np.savez(folder / "arrays.npz", **{"inner/weights/0": np.array([{"code": 1}], dtype=object)})
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)


def test_nothing_but_an_older_model_is_replaced(folder: Path, tmp_path: Path) -> None:
    model = read_model(Outer, folder)
    write_model(model, folder)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "D1.mat").write_text("data")
    for place in (precious, precious / "D1.mat"):
        with pytest.raises(InputError, match="exists and is no model"):
            write_model(model, place)
    assert (precious / "D1.mat").read_text() == "data"


def test_spikes_keep_their_names_and_rate_in_a_model(tmp_path: Path) -> None:
    spikes = Spikes.from_arrays([3, 5], [1, 2], fs_hz=30_000.0, names={1: "a", 2: "b"})
    write_model(spikes, tmp_path / "model")
    again = read_model(Spikes, tmp_path / "model")
    assert again == spikes
    assert (again.fs_hz, again.names) == (30_000.0, {1: "a", 2: "b"})


def test_a_mapping_must_come_back_as_one(tmp_path: Path) -> None:
    write_model(Spikes.from_arrays([3], [1], names={1: "a"}), tmp_path / "model")
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    description["model"]["names"] = {"one": "a"}
    (tmp_path / "model" / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match="damaged"):
        read_model(Spikes, tmp_path / "model")
