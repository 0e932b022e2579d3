"""Read samples of recordings, and check recordings and labels."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, NothingToSortError
from spikesorter.core.settings import Settings
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.core.spikes import UNKNOWN, Spikes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "as_labels",
    "as_spikes",
    "at_rate",
    "centred",
    "check_channels",
    "check_sizes",
    "check_trace",
    "constant_channels",
    "find_missing",
    "missing_channels",
    "read_representative",
    "read_samples",
    "read_signature",
    "read_some_parts",
    "representative_parts",
    "shortest_samples",
    "signature_parts",
    "warn_of_silent_units",
]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
NativeArray = npt.NDArray[Any]
LEAST_PROFILED, MOST_PROFILED = 1 << 20, 1 << 22  # samples; the second are 2.8 minutes at 25 kHz
PROFILED_VALUES = 1 << 23  # of all channels; estimates hold several arrays of that size in memory
SIGNATURE_SAMPLES = 1 << 18
PARTS = 32
CHUNK = 1 << 20
ABSURD, MOST_ABSURD = 1e20, 0.01  # of samples in any unit of voltage, and the share of larger ones
READING = threading.Lock()  # threads share one open file, in which each of them seeks


def read_samples(recording: BaseRecording, start: int, stop: int) -> NativeArray:
    """Return samples `start` to `stop` of a recording, shape (samples, channels), in its own data type.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.arange(10, dtype=np.int16)[:, None]], sampling_frequency=25_000.0)
    >>> read_samples(recording, 3, 6)[:, 0]
    array([3, 4, 5], dtype=int16)
    """
    with READING:
        return np.asarray(recording.get_traces(start_frame=start, end_frame=stop))


def centred(trace: NativeArray, offset: npt.ArrayLike) -> FloatArray:
    """Subtract an offset, then convert to float32; in this order, a large offset costs no precision.

    Examples
    --------
    >>> centred(np.int16([[1001, 7], [1003, 9]]), [1000, 8])
    array([[ 1., -1.],
           [ 3.,  1.]], dtype=float32)
    """
    return np.asarray(trace - np.asarray(offset, np.float64), np.float32)


def check_sizes(raw: NativeArray) -> None:
    """Refuse samples of which many are larger than any voltage, before anything is computed from them.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_sizes(np.float32([1e30, 2.0, np.nan]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    spikesorter.InputError: 33 % of the samples are beyond 1e+20, as no voltage is; is it read ...
    """
    if raw.dtype.kind != "f":
        return
    share = float(np.mean(np.isfinite(raw) & (np.abs(raw) > ABSURD)))
    if share > MOST_ABSURD:
        raise InputError(
            f"{100 * share:.0f} % of the samples are beyond {ABSURD:g}, as no voltage is; is it read with "
            "the right type (--dtype), order of bytes and layout?"
        )


def as_spikes(labels: object, *, fs_hz: float) -> Spikes:
    """Return labels as spikes of a recording with this sampling rate.

    Parameters
    ----------
    labels : Spikes or spikeinterface.BaseSorting
    fs_hz : float

    Raises
    ------
    InputError
        If they are neither, or have another sampling rate.

    Examples
    --------
    >>> from spikeinterface.core import NumpySorting
    >>> sorting = NumpySorting.from_unit_dict([{"basket": np.array([120, 300])}], 25_000.0)
    >>> as_spikes(sorting, fs_hz=25_000.0).names
    {1: 'basket'}
    """
    if not isinstance(labels, Spikes):
        if not hasattr(labels, "to_spike_vector"):
            raise InputError(
                f"labels: expected Spikes or a SpikeInterface sorting, not a {type(labels).__name__}; "
                "Spikes.from_arrays(samples, units) takes arrays, spikesorter.read_labels opens files"
            )
        labels = Spikes.from_spikeinterface(labels)
    if labels.fs_hz and not same_rate(labels.fs_hz, fs_hz):
        raise InputError(f"labels are at {shown_hz(labels.fs_hz)}, but the recording is at {shown_hz(fs_hz)}")
    return labels


def as_labels(labels: object, *, fs_hz: float) -> Spikes:
    """Return labels to learn from as spikes; those of unit 0 are left out, which is no unit, and logged.

    Parameters
    ----------
    labels : Spikes or spikeinterface.BaseSorting
    fs_hz : float

    Raises
    ------
    InputError
        As for `as_spikes`.

    Examples
    --------
    >>> as_labels(Spikes([120, 300], [0, 1]), fs_hz=25_000.0).sample
    array([300])
    """
    spikes = as_spikes(labels, fs_hz=fs_hz)
    outliers = spikes.unit == UNKNOWN
    if not outliers.any():
        return spikes
    logger.warning(
        "%d labels of unit 0 are left out: it stands for outlier spikes, which are of no known unit; if your "
        "units are numbered from 0, number them from 1",
        outliers.sum(),
    )
    return spikes.select(~outliers)


def at_rate(spikes: Spikes, fs_hz: float, *, n_samples: int) -> Spikes:
    """Return spikes and bad stretches as samples of the same recording at another sampling rate.

    Parameters
    ----------
    spikes : Spikes
        With a sampling rate.
    fs_hz : float
    n_samples : int
        Length of the recording at that rate.

    Examples
    --------
    >>> spikes = Spikes.from_arrays([100, 250], [1, 1], fs_hz=25_000.0)
    >>> at_rate(spikes, 30_000.0, n_samples=1000).sample
    array([120, 300])
    """
    assert spikes.fs_hz is not None
    samples = np.rint(spikes.sample * (fs_hz / spikes.fs_hz)).astype(np.int64)
    bad = spikes.bad.at_rate(fs_hz / spikes.fs_hz).within(0, n_samples)
    return replace(spikes, sample=np.clip(samples, 0, n_samples - 1), fs_hz=fs_hz, bad=bad)


def warn_of_silent_units(labels: Spikes) -> None:
    """Warn of units without labelled spikes, which cannot be learnt."""
    silent = [name for unit, name in labels.names.items() if unit not in labels.unit_ids]
    if silent:
        logger.warning("units without labelled spikes are left out: %s", ", ".join(silent))


def read_representative(recording: BaseRecording) -> NativeArray:
    """Return a whole recording or, if it is long, evenly spaced parts of it.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording

    Returns
    -------
    ndarray, shape (samples, channels)
        In the recording's own data type, at most about four million samples.
    """
    return _read(recording, representative_parts(recording))


def read_signature(recording: BaseRecording) -> NativeArray:
    """Return short, evenly spaced parts of a recording, by which it is identified, one after another."""
    return _read(recording, signature_parts(recording))


def signature_parts(recording: BaseRecording) -> list[tuple[int, int]]:
    """Return (start, stop) of the parts that `read_signature` reads.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> signature_parts(NumpyRecording([np.zeros((1000, 4), np.int16)], 25_000.0))
    [(0, 1000)]
    """
    return _parts(recording.get_num_frames(), SIGNATURE_SAMPLES)


def read_some_parts(recording: BaseRecording) -> list[NativeArray]:
    """Return every fourth part of `read_signature`, for what is asked of each recording to sort."""
    parts = _parts(recording.get_num_frames(), SIGNATURE_SAMPLES)
    if len(parts) == 1:
        parts = [(0, min(parts[0][1], SIGNATURE_SAMPLES // 4))]
    return [_read(recording, [part]) for part in parts[::4]]


def representative_parts(recording: BaseRecording) -> list[tuple[int, int]]:
    """Return (start, stop) of the parts that `read_representative` reads.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> long = np.broadcast_to(np.int16(0), (1 << 22, 4))
    >>> parts = representative_parts(NumpyRecording([long], 25_000.0))
    >>> len(parts), sum(stop - start for start, stop in parts) == 1 << 21
    (32, True)
    """
    most = np.clip(PROFILED_VALUES // recording.get_num_channels(), LEAST_PROFILED, MOST_PROFILED)
    return _parts(recording.get_num_frames(), int(most))


def _parts(n_samples: int, most_samples: int) -> list[tuple[int, int]]:
    """Return evenly spaced parts of a recording, or the whole if it is short."""
    if n_samples <= most_samples:
        return [(0, n_samples)]
    length = most_samples // PARTS
    starts = np.linspace(0, n_samples - length, PARTS).astype(int)
    return [(start, start + length) for start in starts.tolist()]


def find_missing(recording: BaseRecording) -> tuple[BadStretches, ...]:
    """Return, for each channel of a recording, the stretches in which it is NaN or infinite.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> trace = np.where(np.arange(50) // 10 == 2, np.nan, 1.0)[:, None]
    >>> [list(channel) for channel in find_missing(NumpyRecording([trace], sampling_frequency=25_000.0))]
    [[BadStretch(start=20, stop=30, kind='missing')]]
    """
    channels = range(recording.get_num_channels())
    if np.dtype(recording.get_dtype()).kind != "f":
        return tuple(BadStretches() for _ in channels)
    found: list[list[tuple[int, int, str]]] = [[] for _ in channels]
    for start in range(0, recording.get_num_frames(), CHUNK):
        missing = ~np.isfinite(read_samples(recording, start, min(start + CHUNK, recording.get_num_frames())))
        for k in np.flatnonzero(missing.any(axis=0)).tolist():
            edges = np.flatnonzero(np.diff(missing[:, k], prepend=False, append=False)).reshape(-1, 2) + start
            found[k] += [(first, last, "missing") for first, last in edges.tolist()]
    return tuple(map(BadStretches.of, found))


def _read(recording: BaseRecording, parts: list[tuple[int, int]]) -> NativeArray:
    read = [read_samples(recording, start, stop) for start, stop in parts]
    return read[0] if len(read) == 1 else np.concatenate(read)


def shortest_samples(settings: Settings) -> int:
    """Return the minimum length of a recording, in samples.

    Examples
    --------
    >>> shortest_samples(Settings()) / 25_000  # seconds
    0.08192
    """
    detector = settings.detector
    reach = sum(detector.kernel_samples // 2 * dilation for dilation in detector.dilations)
    return max(detector.window_samples + 2 * reach + 1, settings.noise.n_fft)


def constant_channels(trace: NativeArray) -> list[int]:
    """Return the channels, counted from 0, whose finite samples are all the same.

    Examples
    --------
    >>> constant_channels(np.array([[1.0, 5.0], [np.nan, 5.0], [2.0, np.inf]]))
    [1]
    """
    if trace.dtype.kind != "f" or np.isfinite(trace).all():
        return np.flatnonzero(trace.max(axis=0) == trace.min(axis=0)).tolist()
    finite = [column[np.isfinite(column)] for column in trace.T]
    return [k for k, column in enumerate(finite) if len(column) and column.max() == column.min()]


def missing_channels(trace: NativeArray) -> list[int]:
    """Return the channels, counted from 0, of which no sample is finite.

    Examples
    --------
    >>> missing_channels(np.array([[1.0, np.nan], [np.nan, np.inf]]))
    [1]
    """
    return np.flatnonzero(~np.isfinite(trace).any(axis=0)).tolist()


def check_trace(trace: NativeArray, settings: Settings, *, left_out: str = "") -> None:
    """Refuse a trace that is too short or constant.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Without bad stretches.
    settings : Settings
    left_out : str
        How much of the recording was bad, in words; "" if nothing was.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_trace(np.zeros((25_000, 1), np.float32), Settings())
    Traceback (most recent call last):
    spikesorter.NothingToSortError: the trace is constant: nothing was recorded
    """
    shortest = shortest_samples(settings)
    if len(trace) < shortest:
        if left_out:
            raise NothingToSortError(
                f"{left_out}; {len(trace)} samples remain, but at least {shortest} are needed"
            )
        raise NothingToSortError(f"only {len(trace)} samples long; at least {shortest} are needed")
    check_channels(trace)


def check_channels(trace: NativeArray) -> None:
    """Refuse a trace of which a channel is constant, or some but not all channels are missing throughout.

    Raises
    ------
    InputError
    """
    silent = constant_channels(trace)
    if len(silent) == trace.shape[1]:
        raise NothingToSortError("the trace is constant: nothing was recorded")
    if silent:
        raise InputError(
            f"channel {', '.join(map(str, silent))} (counted from 0) is constant: nothing was recorded; "
            "leave it out, also of the labelled recording"
        )
    missing = missing_channels(trace)
    if 0 < len(missing) < trace.shape[1]:
        raise InputError(
            f"channel {', '.join(map(str, missing))} (counted from 0) is NaN or infinite throughout; leave "
            "it out, also of the labelled recording"
        )
