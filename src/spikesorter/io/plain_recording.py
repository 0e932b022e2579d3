"""Open plain files: `.npy`, `.wav` and raw binary."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.io.bounds import MOST_CHANNELS, NUMERIC_KINDS, check_declared, check_rate, shown_bytes
from spikesorter.io.raw_checks import warn_of_raw, warn_of_times

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["open_npy", "open_raw", "open_wav"]


def open_npy(path: Path, *, fs_hz: float | None, **_: Any) -> BaseRecording:
    """Open an `.npy` array of shape (samples,) or (samples, channels); its longer side is time.

    Parameters
    ----------
    path : Path
    fs_hz : float or None
        Sampling rate, which the file does not state.

    Raises
    ------
    InputError
        If it is no array of numbers, or the sampling rate is not given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "a.npy", np.arange(6, dtype=np.int16).reshape(3, 2))
    ...     open_npy(Path(folder) / "a.npy", fs_hz=30_000.0).get_traces().tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: cannot be read as npy: it is not an .npy file, despite its name")
    with np.errstate(over="raise"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # refuses files shorter than they declare
    if array.ndim not in (1, 2) or array.dtype.kind not in NUMERIC_KINDS or array.size == 0:
        raise InputError(
            f"{path}: must hold an array of numbers of shape (samples,) or (samples, channels), not "
            f"{array.dtype} of shape {array.shape}"
        )
    recording = _binary(path, array, _needed(path, fs_hz))
    warn_of_times(path, _samples_first(array))
    return recording


def open_wav(path: Path, **_: Any) -> BaseRecording:
    """Open a WAV file; samples of 24 bits are read into memory.

    Raises
    ------
    InputError
        If it is damaged or holds no samples.
    """
    import scipy.io.wavfile

    _check_wav_parts(path)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            fs_hz, samples = scipy.io.wavfile.read(path, mmap=True)
        except ValueError as error:
            if "mmap" not in str(error):
                raise
            size = path.stat().st_size  # NumPy has no type of 24 bits: samples become 32 bits, in memory
            check_declared(path, "its samples", declared=size * 4 // 3, stored=size)
            fs_hz, samples = scipy.io.wavfile.read(path)
    cut_off = [str(remark.message) for remark in remarks if "EOF" in str(remark.message)]
    if cut_off:
        raise InputError(f"{path}: truncated or damaged: {cut_off[0]}")
    if samples.size == 0:
        raise InputError(f"{path}: holds no samples")
    check_rate(path, float(fs_hz))
    return _binary(path, samples, float(fs_hz))


def open_raw(
    path: Path, *, fs_hz: float | None, dtype: str | None, channels: int | None, planar: bool = False
) -> BaseRecording:
    """Open raw binary, which has no header.

    Parameters
    ----------
    path : Path
    fs_hz, dtype, channels
        As for `read_recording`; all are needed.
    planar : bool
        As for `read_recording`.

    Raises
    ------
    InputError
        If one is missing or wrong, or the file does not hold a whole number of samples.
    """
    missing = [
        name
        for name, value in (
            ("fs_hz (--fs)", fs_hz),
            ("dtype (--dtype)", dtype),
            ("channels (--channels)", channels),
        )
        if value is None
    ]
    if missing or fs_hz is None or dtype is None or channels is None:
        raise InputError(
            f"{path}: raw binary files have no header; give {', '.join(missing)}; or, if "
            "it has another format, give format=NAME (--format)"
        )
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: dtype must be a type of real numbers, such as int16, not {dtype}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise InputError(f"{path}: channels must be between 1 and {MOST_CHANNELS}, not {channels}")
    size, step = path.stat().st_size, kind.itemsize * channels
    if size == 0 or size % step:
        raise InputError(
            f"{path}: holds {size} bytes, not a whole number of {channels}-channel samples of {kind} "
            f"({step} bytes each); check the type, the number of channels, and that the file is complete"
        )
    warn_of_raw(path, kind, channels, planar=planar)
    shape = (channels, size // step) if planar else (size // step, channels)
    mapped = np.memmap(path, kind, mode="r", shape=shape)
    return _binary_file(path, check_rate(path, fs_hz), mapped.T if planar else mapped, planar=planar)


def _check_wav_parts(path: Path) -> None:
    """Refuse a WAV file in which a chunk, up to the samples, claims more than is left in the file."""
    size, place, part = path.stat().st_size, 12, b""
    with path.open("rb") as file:
        kind = file.read(4)
        while part != b"data" and place + 8 <= size:
            file.seek(place)
            part, held = struct.unpack(">4sI" if kind == b"RIFX" else "<4sI", file.read(8))
            place += 8
            elsewhere = kind == b"RF64" and part == b"data"  # files beyond 4 GB state their size elsewhere
            if held > size - place and not elsewhere:
                raise InputError(
                    f"{path}: truncated or damaged: its part {part.decode('latin-1')!r} claims "
                    f"{shown_bytes(held)}, but {shown_bytes(size - place)} are left in the file"
                )
            place += held + held % 2


def _binary(path: Path, array: Any, fs_hz: float) -> BaseRecording:
    """Return a recording of an array, which is that of a file if it is mapped."""
    trace = _samples_first(array)
    if trace.shape[1] > MOST_CHANNELS:
        raise InputError(f"{path}: has shape {array.shape}: at most {MOST_CHANNELS} channels are supported")
    is_planar = trace.flags.f_contiguous and not trace.flags.c_contiguous
    if isinstance(array, np.memmap) and (trace.flags.c_contiguous or is_planar):
        return _binary_file(path, fs_hz, trace, offset=array.offset, planar=is_planar)
    from spikeinterface.core import NumpyRecording

    return NumpyRecording([trace], fs_hz)


def _samples_first(array: Any) -> Any:
    """Return an array of shape (samples, channels); the longer side is time."""
    return np.atleast_2d(array).T if array.ndim == 1 or array.shape[0] < array.shape[1] else array


def _binary_file(path: Path, fs_hz: float, trace: Any, *, offset: int = 0, planar: bool) -> BaseRecording:
    """Return a recording that reads from a file what was mapped as an array, shape (samples, channels)."""
    from spikeinterface.core import BinaryRecordingExtractor, NumpyRecording

    from spikesorter.io.file_samples import StoredSamples, read_from

    n_samples, channels = trace.shape
    stored = StoredSamples(path, trace.dtype, n_samples, channels, offset=offset, planar=planar)
    if planar:  # which SpikeInterface's reader of files reads only as a whole
        return read_from(NumpyRecording([trace], fs_hz), stored)
    whole = BinaryRecordingExtractor([path], fs_hz, trace.dtype, num_channels=channels, file_offset=offset)
    follows = whole.get_num_samples() > len(trace)  # such as a WAV file's metadata
    read_from(whole, stored)
    return whole.frame_slice(0, len(trace)) if follows else whole


def _needed(path: Path, fs_hz: float | None) -> float:
    if fs_hz is None:
        raise InputError(f"{path}: does not state its sampling rate; give fs_hz (--fs)")
    return check_rate(path, fs_hz)
