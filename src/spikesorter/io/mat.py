"""Read MATLAB files: v5 to v7.2 with SciPy, v7.3 with h5py.

A recording file has the variables `d` (the trace), `fs` (sampling rate in Hz; optional) and, if it is
labelled, `Index` (sample of each spike's start, from 0) and `Class` (its unit, from 1). `Bad` and `BadKind`
list the bad stretches, in which no spikes were looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.label_checks import LabelTimes, to_samples
from spikesorter.io.mat_values import sampling_rate_of, spikes_of, trace_of, wave_clus_columns
from spikesorter.io.mat_variables import (
    NO_NAMES,
    RECORDING_VARIABLES,
    SPIKE_VARIABLES,
    WAVE_CLUS,
    listed_variables,
    read_variables,
)

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

RATE_STATED = "rate_stated"  # annotation of a recording
__all__ = ["rate_is_stated", "read_mat", "read_mat_fs", "read_mat_spikes"]


def read_mat(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    variables: Mapping[str, str] = NO_NAMES,
    times: LabelTimes | None = None,
) -> tuple[BaseRecording, Spikes | None]:
    """Read a recording and its labels, if it has any.

    Parameters
    ----------
    path : str or Path
    fs_hz : float, optional
        Sampling rate of a file that does not state it; 25,000 if not given.
    variables : mapping of str to str, optional
        Names of the file's variables if they are others: of `trace`, `fs`, `index` and `class`.
    times : {"samples", "seconds", "session"}, optional
        What `Index` holds: samples if not given.

    Returns
    -------
    recording : spikeinterface.BaseRecording
        One segment, in memory, in the file's own data type.
    labels : Spikes or None
        None if the file has neither `Index` nor `Class`.

    Raises
    ------
    InputError
        If the file cannot be read or its contents are invalid.

    Examples
    --------
    >>> import tempfile
    >>> import scipy.io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     scipy.io.savemat(path, {"d": [0.1, 4.0, 0.2, 0.1], "fs": 30_000, "Index": [1], "Class": [2]})
    ...     recording, labels = read_mat(path)
    >>> recording.get_traces().shape, recording.get_sampling_frequency()
    ((4, 1), 30000.0)
    >>> labels
    Spikes(1 spike of 1 unit; 2: 1; 30000 Hz)
    """
    path = Path(path)
    found = read_variables(path, RECORDING_VARIABLES, variables)
    trace = trace_of(path, found)
    sampling_rate = sampling_rate_of(path, found.get("fs"), fs_hz)
    if times is not None and "Index" in found:
        found["Index"] = to_samples(found["Index"], times, sampling_rate, start_s=0.0)
    spikes = spikes_of(path, found, n_samples=len(trace))

    from spikeinterface.core import NumpyRecording

    recording = NumpyRecording([trace], sampling_rate)
    recording.annotate(**{RATE_STATED: "fs" in found})
    return recording, spikes


def rate_is_stated(recording: BaseRecording) -> bool:
    """Return whether the file of a recording states its sampling rate; True if that is not known.

    Examples
    --------
    >>> import tempfile
    >>> import scipy.io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D1.mat"
    ...     scipy.io.savemat(path, {"d": [0.1, 4.0, 0.2, 0.1]})
    ...     rate_is_stated(read_mat(path)[0])
    False
    """
    return recording.get_annotation(RATE_STATED) is not False


def read_mat_spikes(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    variables: Mapping[str, str] = NO_NAMES,
    times: LabelTimes | None = None,
    start_s: float = 0.0,
) -> Spikes:
    """Read the spikes in a file: predictions, known spikes, or the labels of a recording.

    Parameters
    ----------
    path : str or Path
    fs_hz : float, optional
        Sampling rate of the recording, if the file holds times and does not state it.
    variables : mapping of str to str, optional
        As for `read_mat`.
    times : {"samples", "seconds", "session"}, optional
        What `Index` holds: samples if not given. A variable `cluster_class` of wave_clus, which holds the
        unit and milliseconds, is read if there is no `Index`; its class 0 is not sorted.
    start_s : float
        Start of the recording in the session, seconds.

    Returns
    -------
    Spikes
        With sampling rate, names, probabilities and bad stretches, if the file has them.

    Raises
    ------
    InputError
        If the file cannot be read, or has no valid `Index` and `Class`.
    """
    path = Path(path)
    found = read_variables(path, (*SPIKE_VARIABLES, WAVE_CLUS), variables)
    if WAVE_CLUS in found and "Index" not in found:
        rate = sampling_rate_of(path, found["fs"], None) if "fs" in found else fs_hz
        found |= wave_clus_columns(path, found.pop(WAVE_CLUS), rate)
    elif times is not None and "Index" in found:
        rate = sampling_rate_of(path, found.get("fs"), fs_hz)
        found["Index"] = to_samples(found["Index"], times, rate, start_s)
    spikes = spikes_of(path, found, n_samples=None)
    if spikes is None:
        raise InputError(
            f"{path}: has no variables Index and Class; {listed_variables(path)}"
            "with --variable index=NAME --variable class=NAME"
        )
    return spikes


def read_mat_fs(path: str | Path, *, default_hz: float | None = None) -> float:
    """Return the sampling rate in a file or, if it has none, the default or 25,000.

    Raises
    ------
    InputError
        If the file cannot be read or the rate is invalid.
    """
    path = Path(path)
    return sampling_rate_of(path, read_variables(path, ("fs",)).get("fs"), default_hz)
