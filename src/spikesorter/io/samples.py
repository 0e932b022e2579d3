"""Reading recordings: in stretches, and after a check that they can be worked with."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "as_spikes",
    "centred",
    "check_trace",
    "read_representative",
    "read_samples",
    "read_signature",
    "shortest_samples",
    "warn_of_silent_units",
]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
NativeArray = npt.NDArray[Any]
PROFILE_SAMPLES = 1 << 23  # about 5 minutes at 25 kHz say enough about noise and gain
SIGNATURE_SAMPLES = 1 << 18
STRETCHES = 32
READING = threading.Lock()  # readers of many formats move about in one open file


def read_samples(recording: BaseRecording, start: int, stop: int) -> NativeArray:
    """Return samples `start` to `stop` of a recording, shape (samples, channels), in its own data type."""
    with READING:
        return np.asarray(recording.get_traces(start_frame=start, end_frame=stop))


def centred(trace: NativeArray, offset: npt.ArrayLike) -> FloatArray:
    """Subtract an offset, then convert to float32: in this order, so that a large one costs no precision."""
    return np.asarray(trace - np.asarray(offset, np.float64), np.float32)


def as_spikes(labels: object, *, fs_hz: float) -> Spikes:
    """Return labels, from whatever tool, as spikes of a recording of this rate.

    Parameters
    ----------
    labels : Spikes or spikeinterface.BaseSorting
    fs_hz : float

    Raises
    ------
    InputError
        If they are neither, or count at another rate.
    """
    if not isinstance(labels, Spikes):
        if not hasattr(labels, "to_spike_vector"):
            raise InputError(
                f"labels: expected Spikes or a SpikeInterface sorting, not a {type(labels).__name__}; "
                "spikesorter.read_labels opens files"
            )
        labels = Spikes.from_spikeinterface(labels)
    if labels.fs_hz and abs(labels.fs_hz - fs_hz) > 1e-6 * fs_hz:
        raise InputError(f"labels count at {labels.fs_hz:g} Hz, but the recording is at {fs_hz:g} Hz")
    return labels


def warn_of_silent_units(labels: Spikes) -> None:
    """Name the units of labels that hold no spike of theirs: there is nothing to learn them from."""
    silent = [name for label, name in labels.names.items() if label not in labels.unit_ids]
    if silent:
        logger.warning("no spike is labelled of %s: nothing to learn, left out", ", ".join(silent))


def read_representative(recording: BaseRecording) -> NativeArray:
    """Return a recording, or stretches from all over it if it is long: memory stays bounded.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording

    Returns
    -------
    ndarray, shape (samples, channels)
        In the recording's own data type, at most some eight million samples.
    """
    return _read_stretches(recording, PROFILE_SAMPLES)


def read_signature(recording: BaseRecording) -> NativeArray:
    """Return short stretches from all over a recording, by which it is known again."""
    return _read_stretches(recording, SIGNATURE_SAMPLES)


def _read_stretches(recording: BaseRecording, most_samples: int) -> NativeArray:
    n_samples = recording.get_num_frames()
    if n_samples <= most_samples:
        return read_samples(recording, 0, n_samples)
    length = most_samples // STRETCHES
    starts = np.linspace(0, n_samples - length, STRETCHES).astype(int)
    return np.concatenate([read_samples(recording, int(s), int(s) + length) for s in starts])


def shortest_samples(settings: Settings) -> int:
    """Return the least length of a recording that can be worked with, in samples."""
    detector = settings.detector
    reach = sum(detector.kernel_samples // 2 * dilation for dilation in detector.dilations)
    return max(detector.window_samples + 2 * reach + 1, settings.noise.n_fft)


def check_trace(trace: NativeArray, settings: Settings) -> None:
    """Refuse a trace that is too short, constant, or holds what is no number.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
    settings : Settings

    Raises
    ------
    InputError
    """
    shortest = shortest_samples(settings)
    if len(trace) < shortest:
        raise InputError(f"only {len(trace)} samples long; at least {shortest} are needed")
    if not np.isfinite(trace).all():
        bad = int(np.count_nonzero(~np.isfinite(trace)))
        raise InputError(f"{bad} samples are NaN or infinite; cut them out or fill them in first")
    silent = np.flatnonzero(trace.max(axis=0) == trace.min(axis=0))
    if len(silent) == trace.shape[1]:
        raise InputError("the trace is constant: nothing was recorded")
    if len(silent):
        raise InputError(
            f"nothing was recorded on channel {', '.join(map(str, silent))} (counted from 0): "
            "it is constant; leave it out, of the labelled recording too"
        )
