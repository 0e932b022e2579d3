from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikesorter.core.errors import InputError, ModelError
from spikesorter.core.sections import DetectorSettings
from spikesorter.core.spikes import Spikes
from spikesorter.io.model_files import (
    FORMAT_VERSION,
    model_digest,
    read_model,
    read_model_files,
    seal,
    write_model,
)


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
    note: str = "none"


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


def test_arrays_that_are_alike_are_stored_once(tmp_path: Path) -> None:
    large = np.arange(5000.0)
    for number, second in enumerate((large, large.copy())):
        inner = Inner((large, second, large.astype(np.int64), large[::-1]), ())
        write_model(inner, tmp_path / f"{number}")
        assert (tmp_path / f"{number}" / "arrays.npz").stat().st_size < 3.2 * large.nbytes
        weights = read_model(Inner, tmp_path / f"{number}").weights
        for stored, found in zip(inner.weights, weights, strict=True):
            np.testing.assert_array_equal(found, stored)
            assert found.dtype == stored.dtype
    assert (tmp_path / "0" / "arrays.npz").read_bytes() == (tmp_path / "1" / "arrays.npz").read_bytes()


def test_a_digest_is_of_shapes_types_and_names_too() -> None:
    zeros = np.zeros((2, 3), np.float32)
    alike: list[Any] = [zeros, zeros.T, zeros.astype(np.int32), zeros.astype(">f4")]
    assert len({model_digest(Inner((array,), ())) for array in alike}) == 4
    assert model_digest(Inner((zeros,), ())) == model_digest(Inner((zeros.copy(),), ()))


def rewrite(folder: Path, arrays: bytes | None = None, **changes: object) -> None:
    """Change a model as somebody would who knows the format: sealed anew."""
    stored = (folder / "arrays.npz").read_bytes() if arrays is None else arrays
    description = json.loads((folder / "model.json").read_text()) | changes
    (folder / "arrays.npz").write_bytes(stored)
    (folder / "model.json").write_text(json.dumps(description | {"sha256": seal(description, stored)}))


def contents(folder: Path) -> dict[str, Any]:
    model: dict[str, Any] = json.loads((folder / "model.json").read_text())["model"]
    return model


@pytest.mark.parametrize(("number", "mend"), [(99, "install a newer spikesorter"), (5, "train it again")])
def test_other_format_versions_are_refused(number: int, mend: str, folder: Path) -> None:
    rewrite(folder, format_version=number)
    with pytest.raises(ModelError, match=f"format {number}, but this version reads formats 6, 7; {mend}"):
        read_model(Outer, folder)


def test_a_model_says_what_wrote_it(folder: Path) -> None:
    files = read_model_files(folder)
    assert files.format_version == FORMAT_VERSION
    assert files.made_by == version("neural-spike-sorter")
    assert files.file_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert files.sha256 == json.loads((folder / "model.json").read_text())["sha256"]


@pytest.mark.parametrize("name", ["arrays.npz", "model.json"])
def test_a_model_that_was_tampered_with_is_refused(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    value = {"arrays.npz": np.float32(2).tobytes(), "model.json": b'"rate": 0.5'}[name]
    at = whole.index(value)
    (folder / name).write_bytes(whole[:at] + value[:-1] + b"7" + whole[at + len(value) :])
    with pytest.raises(ModelError, match="damaged: it was changed after it was written .SHA-256 differs"):
        read_model(Outer, folder)


def test_what_a_model_does_not_say_has_its_default(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, model={key: value for key, value in contents(folder).items() if key != "note"})
    assert read_model(Outer, folder).note == "none"
    rewrite(folder, model={key: value for key, value in contents(folder).items() if key != "rate"})
    with pytest.raises(ModelError, match="damaged: 'rate' is missing"):
        read_model(Outer, folder)


def npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (npy_header((10**12, 10**6)) + bytes(800), "holds 100 values"),
        (b"\x93NUMPY\x03\x00" + bytes(80), "another format"),
        (b"", "magic string"),
    ],
)
def test_arrays_that_lie_about_their_size_take_no_memory(entry: bytes, reason: str, folder: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inner/weights/0.npy", entry)
    rewrite(folder, file.getvalue())
    with pytest.raises(ModelError, match=f"damaged: .*{reason}"):
        read_model(Outer, folder)


def test_compressed_arrays_are_refused_unread(folder: Path) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, **{"inner/weights/0": np.zeros(10_000_000)})
    rewrite(folder, file.getvalue())
    with pytest.raises(ModelError, match="damaged: its arrays are compressed"):
        read_model(Outer, folder)


def test_a_description_that_is_nested_without_end_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)


def test_files_larger_than_any_model_are_refused_unread(folder: Path) -> None:
    with (folder / "arrays.npz").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on disk
    with pytest.raises(ModelError, match="a model has at most"):
        read_model(Outer, folder)


@pytest.mark.parametrize("name", ["arrays.npz", "model.json"])
def test_missing_and_truncated_files_are_refused(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"is not a model folder .{name} is missing"):
        read_model(Outer, folder)


@pytest.mark.parametrize(
    ("key", "value"), [("name", 3), ("rate", "fast"), ("inner", None), ("settings", {"stepps": 3})]
)
def test_contents_of_another_kind_are_refused(key: str, value: object, folder: Path) -> None:
    rewrite(folder, model=contents(folder) | {key: value})
    with pytest.raises(ModelError, match="damaged"):
        read_model(Outer, folder)


def test_pickles_are_refused(folder: Path) -> None:
    file = io.BytesIO()
    np.savez(file, **{"inner/weights/0": np.array([{"code": 1}], dtype=object)})
    rewrite(folder, file.getvalue())
    with pytest.raises(ModelError, match="damaged: an array holds Python objects"):
        read_model(Outer, folder)


def test_nothing_but_an_older_model_is_replaced(folder: Path, tmp_path: Path) -> None:
    model = read_model(Outer, folder)
    write_model(model, folder)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "D1.mat").write_text("data")
    for place in (precious, precious / "D1.mat"):
        with pytest.raises(InputError, match="exists and is not a model"):
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
    rewrite(tmp_path / "model", model=contents(tmp_path / "model") | {"names": {"one": "a"}})
    with pytest.raises(ModelError, match="damaged"):
        read_model(Spikes, tmp_path / "model")


@dataclass(frozen=True, eq=False)
class Chosen:
    one: Inner | Outer = field(metadata={"one_of": lambda: (Inner, DetectorSettings)})


def test_a_field_of_one_of_several_types_comes_back_as_what_it_was(tmp_path: Path) -> None:
    write_model(Chosen(Inner((), (7,))), tmp_path / "model")
    again = read_model(Chosen, tmp_path / "model").one
    assert isinstance(again, Inner)
    assert again.numbers == (7,)
    unknown = contents(tmp_path / "model")
    unknown["one"]["is"] = "Later"
    rewrite(tmp_path / "model", model=unknown)
    with pytest.raises(ModelError, match="damaged: it holds a Later, which is unknown to this version"):
        read_model(Chosen, tmp_path / "model")
