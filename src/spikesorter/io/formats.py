"""Recognise the format of a file or folder by its ending or contents."""

from __future__ import annotations

import re
import struct
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from spikesorter.core.errors import InputError, SpikeSorterError

__all__ = [
    "EXPORTS",
    "OWN_FORMATS",
    "Source",
    "check_regular",
    "find_source",
    "has_sorting",
    "missing_package",
    "reading",
    "stem_of",
]

EXPORTS = ("mat", "csv", "parquet", "nwb", "phy", "analyzer")
"""Formats of written spikes; a result is called NAME.FORMAT."""

OWN_FORMATS = ("mat", "npy", "raw", "wav", "nwb", "spikeinterface")
"""Formats that are not names of SpikeInterface's extractors."""

ENDINGS = {
    ".mat": "mat", ".npy": "npy", ".wav": "wav", ".nwb": "nwb", ".zarr": "spikeinterface",
    ".raw": "raw", ".bin": "raw", ".dat": "raw",
    ".rhd": "intan", ".rhs": "intan",
    **{f".ns{number}": "blackrock" for number in range(1, 7)}, ".nev": "blackrock",
    ".plx": "plexon", ".pl2": "plexon2", ".smr": "spike2", ".smrx": "ced", ".edf": "edf", ".abf": "axon",
    ".rec": "spikegadgets", ".brw": "biocam", ".nex": "neuroexplorer", ".nix": "nix", ".set": "axona",
    ".xdat": "neuronexus", ".xml": "neuroscope",
}  # fmt: skip

TDT_BLOCK = "*.[tT][bB][kK]"
"""The file that describes a block of TDT; it is written .Tbk, but not everywhere."""
FOLDER_CONTENTS = {
    "si_folder.json": "spikeinterface",
    "spikeinterface_info.json": "spikeinterface",
    "**/structure.oebin": "openephysbinary",
    "*.continuous": "openephyslegacy",
    "**/*.ap.meta": "spikeglx",
    "**/*.nidq.meta": "spikeglx",
    "*.cbin": "compressedbinaryibl",
    "*.ncs": "neuralynx",
    TDT_BLOCK: "tdt",
    f"*/{TDT_BLOCK}": "tdt",
    "*.mpx": "alphaomega",
    "raw.mda": "mda",
}
"""Contents that identify a folder's format; the first match counts."""

PART_OF_A_FOLDER = {
    ".oebin": "openephysbinary",
    ".continuous": "openephyslegacy",
    ".meta": "spikeglx",
    ".cbin": "compressedbinaryibl",
    ".ncs": "neuralynx",
    ".mpx": "alphaomega",
    ".lsx": "alphaomega",
    ".mda": "mda",
}
"""Files that are read together with other files of their folder."""

TDT_FILES = (".tbk", ".tev", ".tsq", ".tdx", ".sev")
AMBIGUOUS = {".h5": "biocam, maxwell, mcsh5, mearec or nix", ".hdf5": "maxwell, mcsh5 or mearec"}
MCS_HEADER = b"MC_DataTool"
SORTING_FILES = ("spike_times.npy", "si_folder.json", "spikeinterface_info.json", "spikeinterface_log.json")


@dataclass(frozen=True)
class Source:
    """Where a recording is and how to read it.

    Parameters
    ----------
    path : Path
        File or folder that the reader opens; the folder, for a file that is part of one; of a block of TDT,
        the file that describes it.
    format : str
        One of `OWN_FORMATS`, or the name of an extractor of SpikeInterface.
    stream : str, optional
        Stream indicated by the file's name.
    """

    path: Path
    format: str
    stream: str | None = None


def find_source(path: Path) -> Source:
    """Recognise a recording by its ending or, if it is a folder, by its contents.

    Raises
    ------
    InputError
        If there is no such file, or its format is not recognised.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "today.ns5"
    ...     path.touch()
    ...     source = find_source(path)
    >>> source.format, source.stream
    ('blackrock', '5')
    """
    check_regular(path)
    return _folder_source(path) if path.is_dir() else _file_source(path)


def check_regular(path: Path) -> None:
    """Refuse what is neither a file nor a folder: links to nowhere, pipes, which never end, and devices.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_regular(Path("nowhere.mat"))
    Traceback (most recent call last):
    spikesorter.InputError: nowhere.mat: no such file
    """
    if path.is_file() or path.is_dir():
        return
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: is a link that leads nowhere")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    raise InputError(f"{path}: is a pipe, a socket or a device, not a regular file")


def _folder_source(path: Path) -> Source:
    if path.suffix in (".zarr", ".nwb"):
        inner = Path(path.stem).suffix  # session.nwb.zarr
        return Source(path, "nwb" if ".nwb" in (path.suffix, inner) else "spikeinterface")
    for pattern, name in FOLDER_CONTENTS.items():
        if (found := next(path.glob(pattern), None)) is not None:
            return Source(found if pattern == TDT_BLOCK else path, name)
    for header in ("info.rhd", "info.rhs"):
        if (path / header).is_file():
            return Source(path / header, "intan")
    raise InputError(
        f"{path}: unknown format of folder; give the recording's file instead, or its format with "
        "format=NAME (--format): a name of SpikeInterface's extractors, such as openephysbinary or spikeglx"
    )


def _file_source(path: Path) -> Source:
    ending = path.suffix.lower()
    if ending == ".bin" and path.with_suffix(".meta").is_file():
        stream = re.search(r"(imec\d*\.(?:ap|lf)|nidq|obx\d*)$", path.stem)
        return Source(path.parent, "spikeglx", stream[1] if stream else None)
    if ending in TDT_FILES:
        return Source(next(path.parent.glob(TDT_BLOCK), path), "tdt")
    if ending in PART_OF_A_FOLDER:
        return Source(path.parent, PART_OF_A_FOLDER[ending])
    if ending == ".dat" and path.with_suffix(".xml").is_file():
        return Source(path.with_suffix(".xml"), "neuroscope")
    if ending == ".raw":
        with path.open("rb") as file:
            return Source(path, "mcsraw" if file.read(len(MCS_HEADER)) == MCS_HEADER else "raw")
    if ending == ".xdat" and (described := _xdat_description(path)).is_file():
        return Source(described, "neuronexus")
    if ending == ".json":
        return Source(path, "neuronexus" if path.name.endswith(".xdat.json") else "spikeinterface")
    if ending in AMBIGUOUS:
        raise InputError(
            f"{path}: {ending} files can have several formats; choose one with format=NAME (--format): "
            f"{AMBIGUOUS[ending]}"
        )
    if ending not in ENDINGS:
        known = ", ".join(sorted({*ENDINGS, *PART_OF_A_FOLDER, *TDT_FILES}))
        raise InputError(
            f"{path}: unknown ending {ending or 'none'}; known are {known}. Or give the format with "
            "format=NAME (--format): raw, or a name of SpikeInterface's extractors"
        )
    name = ENDINGS[ending]
    return Source(path, name, ending[3] if name == "blackrock" and ending != ".nev" else None)


def _xdat_description(path: Path) -> Path:
    """Return the file that describes NeuroNexus's NAME_data.xdat and NAME_timestamp.xdat."""
    return path.with_name(path.stem.rpartition("_")[0] + ".xdat.json")


def has_sorting(path: Path) -> bool:
    """Return whether a folder is a single sorting (of Phy or SpikeInterface), not a folder of recordings."""
    return path.suffix in (".zarr", ".nwb") or any((path / name).is_file() for name in SORTING_FILES)


def stem_of(path: Path) -> str:
    """Return a recording's name: that of its file without the ending, or that of its folder.

    Examples
    --------
    >>> stem_of(Path("data/today.ns5"))
    'today'
    """
    place = path.absolute()  # a link has its own name
    return place.name if place.is_dir() and place.suffix not in (".zarr", ".nwb") else place.stem


@contextmanager
def reading(path: Path, what: str, *, done: str = "read") -> Iterator[None]:
    """Convert errors of other libraries that read or write a file into errors that name the file.

    Parameters
    ----------
    path : Path
    what : str
        The format, for the message.
    done : str
        What is being done: "read" or "written".

    Raises
    ------
    InputError

    Examples
    --------
    >>> with reading(Path("spikes.nwb"), "nwb", done="written"):
    ...     raise OSError("the disk is full")
    Traceback (most recent call last):
    spikesorter.InputError: spikes.nwb: cannot be written as nwb: the disk is full
    """
    try:
        yield
    except SpikeSorterError:
        raise
    except Exception as error:
        if isinstance(error, ImportError) or _package_in(error):
            raise InputError(f"{path}: {missing_package(what, error)}") from None
        hint = "; is the file complete, and of this format?" if done == "read" else ""
        raise InputError(f"{path}: cannot be {done} as {what}: {_reason(error)}{hint}") from error


def _reason(error: Exception) -> str:
    """Return the reason in one line; internal errors of a reader are marked as such."""
    reason = textwrap.shorten(str(error)[: 2 * MOST_LETTERS], MOST_LETTERS, placeholder=" ...")
    if isinstance(error, URLError):
        return f"its reader needs to download something first, and there is no connection ({reason})"
    if "allow_pickle" in reason:
        return "it holds Python objects, or is not an array"
    if isinstance(error, INTERNAL_ERRORS):
        return f"its reader failed ({type(error).__name__}: {reason})"
    return reason or type(error).__name__


MOST_LETTERS = 400
INTERNAL_ERRORS = (
    LookupError,
    TypeError,
    AttributeError,
    NameError,
    ArithmeticError,
    RecursionError,
    struct.error,
)
PACKAGE = re.compile(r"pip install ([A-Za-z][\w\[\],-]*)|^Requires (\w+)$")
EXTRAS = {
    "nex5file": "nex",
    "pynwb": "nwb",
    "pyedflib": "edf",
    "pyarrow": "parquet",
    "pandas": "phy",
    "sklearn": "phy",
}


def missing_package(what: str, error: Exception) -> str:
    """Return a message with the package that a format needs and how to install it.

    Examples
    --------
    >>> missing_package("NWB", ModuleNotFoundError(name="pynwb"))
    'NWB needs pynwb: pip install "neural-spike-sorter[nwb]"'
    """
    name = getattr(error, "name", None) or _package_in(error)
    if name in EXTRAS:
        return f'{what} needs {name}: pip install "neural-spike-sorter[{EXTRAS[name]}]"'
    needed = f"pip install {name}" if name else " ".join(str(error).split())
    return f"{what} needs a package that is not installed: {needed}"


def _package_in(error: Exception) -> str:
    """Return the package named in a reader's message, as some readers do not raise ImportError."""
    found = PACKAGE.search(" ".join(str(error).split()))
    return next((name for name in found.groups() if name), "") if found else ""
