"""Load what SpikeInterface saved, without letting a file choose what is run.

SpikeInterface's own loader imports the class that a JSON file names, calls it with the file's arguments, and
opens pickles. Both run whatever the file's author wants. So every file is checked before it is loaded: a
class must be one of SpikeInterface's recordings or sortings, at any depth, and there may be no pickles.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError, naming
from spikesorter.io.bounds import shown_bytes

if TYPE_CHECKING:
    from spikeinterface.core import SortingAnalyzer

__all__ = ["check_zarr", "load_foreign"]

MOST_JSON_BYTES = 64 << 20
MOST_FILES = 1_000_000
MOST_SHOWN = 200  # letters of a name from a file

PACKAGES = (
    "spikeinterface.core",
    "spikeinterface.extractors",
    "spikeinterface.preprocessing",
    "spikeinterface.curation",
    "spikeinterface.postprocessing",
    "spikeinterface.sortingcomponents.motion",
)
"""Packages that contain recordings and sortings."""

RUNS_FILES = (
    "deepinterpolation",  # loads Keras models, which may contain programs
    "iblextractors",  # connects to a server
    "klustaextractors",  # runs its .prm
    "phykilosortextractors",  # runs params.py, and loads pickled ops.npy
    "shybridextractors",  # runs its probe file
    "sinapsrecordingextractors",  # evaluates its metadata
    "tridesclousextractors",  # its package loads the catalogue, unchecked
)
"""Modules of readers that run or evaluate what they read."""

PICKLES = (".pkl", ".pickle", ".joblib", ".dill")
PROGRAMS = (".py", ".pyc", ".prm", ".prb", ".so", ".dll", ".dylib")
UNREAD_EXTENSIONS = ("principal_components", "quality_metrics")
"""Parts of an analyzer that are never loaded here, and contain pickles if SpikeInterface wrote them."""
ZARR_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
ZARR_CODECS = {
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "categorize", "crc32", "crc32c", "default",
    "delta", "fixedscaleoffset", "flac", "fletcher32", "gzip", "jenkins_lookup3", "json", "json2", "lz4",
    "lzma", "msgpack2", "packbits", "pcodec", "quantize", "regular", "sharding_indexed", "shuffle",
    "transpose", "v2", "vlen-array", "vlen-bytes", "vlen-utf8", "wavpack", "zfpy", "zlib", "zstd",
}  # fmt: skip
"""Codecs that decode data only."""
CODEC_KEYS = (
    "compressor", "filters", "codecs", "index_codecs", "compressors", "serializer", "object_codec",
)  # fmt: skip


def load_foreign(path: Path) -> Any:
    """Load a recording, a sorting or an analyzer that SpikeInterface saved.

    Extensions of an analyzer are loaded only when they are asked for.

    Parameters
    ----------
    path : Path
        A `.json` file, a folder or a `.zarr` of SpikeInterface; for sortings also a folder of its sorters.

    Returns
    -------
    spikeinterface.BaseRecording, BaseSorting or SortingAnalyzer

    Raises
    ------
    InputError
        If it names a class that is not one of SpikeInterface's recordings or sortings, contains a pickle or
        another file that would be run, or is none of these objects.
    """
    with naming(path):
        if path.is_file():
            return _from_json(path)
        _check_folder(path, loaded=True)
        if path.suffix == ".zarr":
            return _from_zarr(path)
        if (path / "spikeinterface_info.json").is_file():
            return _from_analyzer(path)
        if (path / "spikeinterface_log.json").is_file():
            return _from_sorter(path)
        for name in ("si_folder.json", "cached.json"):
            if (path / name).is_file():
                return _from_json(path / name)
    raise InputError(f"{path}: is not a folder that SpikeInterface saved (it has no si_folder.json)")


def check_zarr(path: Path) -> None:
    """Refuse a zarr folder that contains pickles, or codecs that might run what they decode.

    Raises
    ------
    InputError
    """
    with naming(path):
        for file in _files_in(path, set()):
            if file.name in ZARR_METADATA:
                _check_codecs(file, _parsed(file))


def _from_json(path: Path) -> Any:
    from spikeinterface.core.base import BaseExtractor

    contents = _checked_json(path, path.parent, set())
    if not isinstance(contents, dict) or "class" not in contents or "kwargs" not in contents:
        raise InputError(f"{path}: does not describe a recording or a sorting of SpikeInterface")
    return BaseExtractor.from_dict(contents, base_folder=path.parent)


def _from_zarr(path: Path) -> Any:
    from spikeinterface.core import load
    from spikeinterface.core.zarrextractors import super_zarr_open

    root = super_zarr_open(path, mode="r")
    kind = (root.attrs.get("spikeinterface_info") or {}).get("object")
    if kind == "SortingAnalyzer":
        return _analyzer(path)
    if kind is not None:
        raise InputError(f"{path}: holds {_shown(kind)} of SpikeInterface, not a recording or a sorting")
    return load(path)


def _from_analyzer(path: Path) -> SortingAnalyzer:
    kind = _parsed(path / "spikeinterface_info.json").get("object")
    if kind != "SortingAnalyzer":
        raise InputError(f"{path}: holds {_shown(kind)} of SpikeInterface, not a recording or a sorting")
    return _analyzer(path)


def _analyzer(path: Path) -> SortingAnalyzer:
    from spikeinterface.core import load_sorting_analyzer

    return load_sorting_analyzer(path, load_extensions=False)


def _from_sorter(path: Path) -> Any:
    from spikeinterface.sorters import read_sorter_folder

    return read_sorter_folder(path, register_recording=False, sorting_info=False)


def _check_folder(folder: Path, *, loaded: bool, seen: set[str] | None = None) -> None:
    """Refuse a folder with a file that a reader would run, or that names a class of another package.

    Parameters
    ----------
    folder : Path
    loaded : bool
        Whether SpikeInterface's loader opens the folder, which looks for pickles as well; otherwise it is
        only an argument of a class.
    seen : set of str, optional
        Folders checked before.
    """
    seen = set() if seen is None else seen
    sorter = (folder / "spikeinterface_log.json").is_file()
    for file in _files_in(folder, seen):
        ending = file.suffix.lower()
        if loaded and ending in PICKLES:
            raise InputError(
                f"{file}: is a pickle, which can run programs when it is opened, and is therefore refused; "
                "save the recording or sorting with SpikeInterface as JSON, binary folder or zarr, or "
                "delete the file if it is not needed"
            )
        if sorter and ending in PROGRAMS:
            raise InputError(
                f"{file}: the reader of this sorter would run this file, so the folder is refused; convert "
                "the sorting with SpikeInterface to a folder (sorting.save), or to .npz"
            )
        if ending == ".npy":
            _check_array(file)
        elif file.name in ZARR_METADATA:
            contents = _parsed(file)
            _check_codecs(file, contents)
            _check_names(file, contents, folder, seen)
        elif ending == ".json":
            _checked_json(file, folder, seen)


def _files_in(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Yield all files that a reader would find, through links as well, except in folders seen before."""
    count = 0
    for place, folders, names in os.walk(folder, followlinks=True):
        here, real = Path(place), os.path.realpath(place)
        if here.name in UNREAD_EXTENSIONS and here.parent.name == "extensions":
            folders.clear()
            continue
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            count += 1
            if count > MOST_FILES:
                raise InputError(f"{folder}: contains more than {MOST_FILES} files")
            yield here / name


def _checked_json(file: Path, base: Path, seen: set[str]) -> Any:
    contents = _parsed(file)
    _check_names(file, contents, base, seen)
    return contents


def _parsed(file: Path) -> Any:
    if not file.is_file():
        raise InputError(f"{file}: is not a regular file")
    size = file.stat().st_size
    if size > MOST_JSON_BYTES:
        raise InputError(
            f"{file}: has {shown_bytes(size)}; at most {shown_bytes(MOST_JSON_BYTES)} are expected of JSON"
        )
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not JSON: {error}") from None


def _check_names(file: Path, contents: Any, base: Path, seen: set[str]) -> None:
    """Refuse classes of other packages at any depth, and arguments that lead to what is refused."""
    relative = isinstance(contents, dict) and contents.get("relative_paths") is True  # to the file's folder
    for value in _tables_in(contents):
        known = [value.get("zarr_class_info"), value if "kwargs" in value or not _only_notes(file) else None]
        for one in known:
            if isinstance(one, dict) and isinstance(one.get("class"), str):
                _check_class(file, one["class"])
        if "class" in value and isinstance(value.get("kwargs"), dict):
            for text in _texts(value["kwargs"]):
                for place in (base / text,) if relative else (base / text, Path(text)):
                    _check_reference(file, text, place, seen)


def _only_notes(file: Path) -> bool:
    """Return whether classes without arguments in a file only note who wrote it, so that none is imported."""
    return file.parent.parent.name == "extensions" or file.name in ZARR_METADATA


def _tables_in(contents: Any) -> Iterator[dict[str, Any]]:
    """Yield all dictionaries within a value read from JSON."""
    waiting = [contents]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_class(file: Path, name: str) -> None:
    """Refuse a class unless it is a recording or a sorting that SpikeInterface defines."""
    module, _, kind = name.rpartition(".")
    if not _is_own(module):
        raise InputError(
            f"{file}: names the class {_shown(name)}, which is not a recording or a sorting of "
            "SpikeInterface; loading it could run any program, so the file is refused"
        )
    if any(part in RUNS_FILES for part in module.split(".")):
        raise InputError(
            f"{file}: names the class {_shown(name)}, whose reader runs programs that it finds in the data; "
            "open the data themselves instead, or save them with SpikeInterface as a binary folder"
        )
    from spikeinterface.core import BaseRecording, BaseSorting

    try:
        found = getattr(importlib.import_module(module), kind, None)
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, (BaseRecording, BaseSorting))):
        raise InputError(
            f"{file}: names the class {_shown(name)}, which is not a recording or a sorting of the installed "
            "SpikeInterface; save it again with this version, as a binary folder"
        )
    if found.__module__ != module:
        _check_class(file, f"{found.__module__}.{found.__qualname__}")


def _is_own(module: str) -> bool:
    parts = module.split(".")
    inside = any(module == package or module.startswith(f"{package}.") for package in PACKAGES)
    return inside and all(part.isidentifier() and not part.startswith("_") for part in parts)


def _texts(kwargs: dict[str, Any]) -> Iterator[str]:
    """Yield the texts among the arguments of a class, without those of classes within."""
    waiting: list[Any] = list(kwargs.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict) and not isinstance(value.get("class"), str):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_reference(file: Path, text: str, place: Path, seen: set[str]) -> None:
    """Refuse an argument that leads to another machine, to a pickle, or to a folder that is refused."""
    if "://" in text:
        raise InputError(
            f"{file}: leads to {_shown(text)}; files do not choose what to connect to, so download it first"
        )
    if place.suffix.lower() in PICKLES:
        raise InputError(f"{file}: leads to the pickle {_shown(text)}, which can run programs")
    try:
        is_folder, is_file = bool(text) and place.is_dir(), place.is_file()
    except (OSError, ValueError):  # no valid path: a value of another kind
        return
    if is_file and place.suffix.lower() == ".npy":
        _check_array(place)
    if is_folder:
        _check_folder(place, loaded=False, seen=seen)


def _check_array(file: Path) -> None:
    """Refuse an array of Python objects, which is stored as a pickle."""
    with file.open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            header = (
                np.lib.format.read_array_header_1_0(opened)
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0(opened)
            )
        except ValueError:  # not an array: NumPy would take it for a pickle
            raise InputError(f"{file}: is not an array, despite its name") from None
    if header[2].hasobject:
        raise InputError(
            f"{file}: holds Python objects, stored as a pickle, which can run programs when it is opened; "
            "save this property as text or numbers, or delete the file if it is not needed"
        )


def _check_codecs(file: Path, contents: Any) -> None:
    for value in _tables_in(contents):
        for key in CODEC_KEYS:
            for codec in _codecs(value.get(key)):
                if codec not in ZARR_CODECS:
                    raise InputError(
                        f"{file}: its data are coded as {_shown(codec)}, which could run programs when they "
                        "are read; write them again without it"
                    )


def _codecs(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    names = [one.get("id", one.get("name")) for one in found if isinstance(one, dict)]
    return [str(name).removeprefix("numcodecs.") for name in names]


def _shown(name: object) -> str:
    text = str(name)
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}...")
