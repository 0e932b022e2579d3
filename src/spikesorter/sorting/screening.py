"""Find a recording's bad stretches, and read it without them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import in_threads
from spikesorter.core.errors import InputError, NothingToSortError
from spikesorter.decoding.run import TraceReader
from spikesorter.io.clock import find_gaps
from spikesorter.io.recording_parts import channel_names
from spikesorter.io.samples import (
    centred,
    check_channels,
    missing_channels,
    read_representative,
    read_samples,
    representative_parts,
)
from spikesorter.signal.filters import fir_filter_on_grid
from spikesorter.signal.gate import Gate, make_gate
from spikesorter.signal.screen import (
    OFF,
    Screen,
    find_bad_cells,
    measure_cells,
    stretches_of,
)
from spikesorter.signal.spans import iterate_spans, read_span
from spikesorter.sorting.screens import measure_quiet

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "Screened",
    "channels_off",
    "check_good",
    "described",
    "described_source",
    "find_bad_stretches",
    "screened",
    "without_bad",
    "without_known",
]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
CHUNK_CELLS = 1 << 15
MOST_BAD = 0.99  # of a recording that can be used
LONG_SECONDS = 1.0  # a dead stretch that is worth a channel


@dataclass(frozen=True, eq=False)
class Screened:
    """A recording, its bad stretches and the gate that takes them out.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    gate : Gate
    offset : ndarray of float64, shape (channels,)
        Subtracted from the trace first.
    screen : Screen
        With which the stretches were found.
    """

    recording: BaseRecording
    gate: Gate
    offset: npt.NDArray[np.float64]
    screen: Screen

    @property
    def bad(self) -> BadStretches:
        """The bad stretches."""
        return self.gate.bad

    @property
    def good_samples(self) -> int:
        """Number of samples outside the bad stretches."""
        return int(self.recording.get_num_frames()) - self.bad.samples

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples from `start` to `stop`, padded beyond the recording's ends.

        Returns
        -------
        ndarray of float32, shape (stop - start, channels)
            Without the offset and the bad stretches.
        """

        def inside(first: int, last: int) -> FloatArray:
            trace = self.gate.applied(centred(read_samples(self.recording, first, last), self.offset), first)
            if not np.isfinite(trace).all():
                raise InputError(f"samples from {first} to {last} are NaN or infinite")
            return trace

        return read_span(inside, self.recording.get_num_frames(), start, stop)

    def without_hum(self, kernel: npt.NDArray[np.float64] | None) -> TraceReader:
        """Return a reader whose trace is also filtered by the hum filter, if there is one."""
        return self.read if kernel is None else partial(fir_filter_on_grid, self.read, kernel)


def screened(
    recording: BaseRecording,
    screen: Screen,
    offset: npt.NDArray[np.float64],
    *,
    exclude: BadStretches | None,
    fs_hz: float,
    n_jobs: int,
) -> Screened:
    """Find a recording's bad stretches, and return it with the gate that takes them out.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen : Screen
    offset : ndarray of float64, shape (channels,)
        Of the trace.
    exclude : BadStretches or None
        Further bad stretches.
    fs_hz : float
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    Screened
    """
    bad = find_bad_stretches(recording, screen, n_jobs=n_jobs).joined(find_gaps(recording))
    if exclude is not None:
        bad = bad.joined(exclude.within(0, recording.get_num_frames()))
    return without_known(recording, screen, offset, bad, fs_hz=fs_hz)


def without_known(
    recording: BaseRecording,
    screen: Screen,
    offset: npt.NDArray[np.float64],
    bad: BadStretches,
    *,
    fs_hz: float,
) -> Screened:
    """Return a recording whose bad stretches are known, with the gate that takes them out.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen : Screen
    offset : ndarray of float64, shape (channels,)
        Of the trace.
    bad : BadStretches
        Inside the recording.
    fs_hz : float

    Returns
    -------
    Screened
    """
    n_samples = recording.get_num_frames()

    def read(start: int, stop: int) -> FloatArray:
        inside = read_samples(recording, max(start, 0), min(stop, n_samples))
        return np.nan_to_num(centred(inside, offset), copy=False, posinf=0.0, neginf=0.0)

    gate = make_gate(bad, read, fs_hz=fs_hz, channels=recording.get_num_channels())
    return Screened(recording, gate, offset, screen)


def find_bad_stretches(recording: BaseRecording, screen: Screen, *, n_jobs: int) -> BadStretches:
    """Find the bad stretches of a recording, chunk by chunk in threads.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen : Screen
    n_jobs : int
        Number of threads; it does not affect the result.

    Returns
    -------
    BadStretches
    """
    n_samples, size, margin = recording.get_num_frames(), screen.cell_samples, screen.margin_cells
    last = -(-n_samples // size)

    def find(span: tuple[int, int]) -> BadStretches:
        first = max(span[0] - margin.before, 0)
        stop = min(span[1] + margin.after, last)
        raw = read_samples(recording, first * size, min(stop * size, n_samples))
        kinds = find_bad_cells(measure_cells(raw, size), screen)[span[0] - first : span[1] - first]
        found = stretches_of(kinds, size, n_samples=n_samples - span[0] * size)
        return BadStretches(found.start + span[0] * size, found.stop + span[0] * size, found.kind)

    parts = list(in_threads(find, list(iterate_spans(last, CHUNK_CELLS)), n_jobs=n_jobs))
    return BadStretches.of([stretch for part in parts for stretch in part])


def without_bad(source: Screened) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return a representative part of a recording without its bad stretches, and what was subtracted.

    Returns
    -------
    trace : ndarray, shape (samples, channels)
        In the recording's own data type if nothing is bad.
    offset : ndarray of float64, shape (channels,)
        Zeros if nothing is bad.
    """
    if not len(source.bad):
        return read_representative(source.recording), np.zeros_like(source.offset)
    parts = [
        source.bad.within(start, stop).shifted(-start).without(source.read(start, stop))
        for start, stop in representative_parts(source.recording)
    ]
    return np.concatenate(parts), source.offset


def check_good(source: Screened, *, fs_hz: float, doubt: str = "") -> None:
    """Refuse a recording of which hardly anything is good, beside what was left out on request.

    Parameters
    ----------
    source : Screened
    fs_hz : float
    doubt : str
        The likely cause, if it is known.

    Raises
    ------
    NothingToSortError
        It says that the channels are constant or missing throughout, or how much is bad.
    InputError
        It names the channels that are constant throughout, if others are not.
    """
    n_samples, given = source.recording.get_num_frames(), source.bad.samples_by_kind.get("given", 0)
    if source.good_samples > (1 - MOST_BAD) * (n_samples - given):
        return
    whole = described(source.bad, n_samples, fs_hz=fs_hz)
    if given == source.bad.samples:
        raise NothingToSortError(f"{whole}; nothing remains to be sorted")
    representative = read_representative(source.recording)
    check_channels(representative)
    if len(missing_channels(representative)) == representative.shape[1]:
        raise NothingToSortError("the trace is NaN or infinite throughout: nothing was recorded")
    kinds = source.bad.samples_by_kind
    gated = (
        "there is no noise to measure; if the trace is simulated or gated, add a little noise to it"
        if kinds.get("dead", 0) > n_samples / 2
        else ""
    )
    cause = (
        doubt
        or gated
        or (
            "hardly anything remains. Is it the right file, read with the right type, channels and order of "
            "bytes? If an electrode was off for most of the time, cut out the part when it was on"
        )
    )
    raise NothingToSortError(f"{whole}; {cause}")


def described_source(source: Screened, *, fs_hz: float) -> str:
    """Return in words how much of a recording is bad, and if some of its channels alone are to blame."""
    words = described(source.bad, source.recording.get_num_frames(), fs_hz=fs_hz)
    off = channels_off(source, fs_hz=fs_hz)
    if off:
        names, note = channel_names(source.recording)
        words += (
            f"; in the longest dead stretch only channel {', '.join(names[k] for k in off)}{note} is off; "
            "without it, also in the labelled recording (--channel), this time can be sorted"
        )
    return words


def channels_off(source: Screened, *, fs_hz: float) -> list[int]:
    """Return the channels that are off in a recording's longest dead stretch while others are on.

    Parameters
    ----------
    source : Screened
    fs_hz : float

    Returns
    -------
    list of int
        Empty if all are off, or if no dead stretch lasts for a second.
    """
    dead = [one for one in source.bad if one.kind == "dead" and one.stop - one.start >= LONG_SECONDS * fs_hz]
    if not dead:
        return []
    longest = max(dead, key=lambda one: one.stop - one.start)
    middle, half = (longest.start + longest.stop) // 2, int(LONG_SECONDS * fs_hz) // 4
    part = read_samples(source.recording, middle - half, middle + half)  # its ends may be good
    quiet = measure_quiet(part, replace(source.screen, quiet=np.full(part.shape[1], np.inf)))
    usual = np.where(np.isfinite(source.screen.quiet), source.screen.quiet, 0.0)
    off = np.flatnonzero((quiet < OFF * usual) | (np.ptp(part, axis=0) == 0)).tolist()
    return off if len(off) < part.shape[1] else []


def described(bad: BadStretches, n_samples: int, *, fs_hz: float) -> str:
    """Return in words how much of a recording is bad.

    Examples
    --------
    >>> bad = BadStretches.of([(100, 2600, "dead"), (5000, 6250, "artefact")])
    >>> described(bad, 250_000, fs_hz=25_000)
    '0.15 of 10 s are bad and left out: dead 0.1 s, artefact 0.05 s'
    """
    kinds = ", ".join(f"{kind} {samples / fs_hz:.3g} s" for kind, samples in bad.samples_by_kind.items())
    return f"{bad.samples / fs_hz:.3g} of {n_samples / fs_hz:.3g} s are bad and left out: {kinds}"
