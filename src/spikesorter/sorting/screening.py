"""Find a recording's bad stretches, and read it without them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import TraceReader, in_threads
from spikesorter.io.clock import find_gaps
from spikesorter.io.samples import (
    centred,
    check_channels,
    check_sizes,
    read_representative,
    read_samples,
    representative_parts,
)
from spikesorter.signal.filters import fir_filter_on_grid
from spikesorter.signal.gate import Gate, make_gate
from spikesorter.signal.screen import (
    AROUND,
    Cells,
    Screen,
    find_bad_cells,
    measure_cells,
    stretches_of,
    swings,
)
from spikesorter.signal.spans import iterate_spans, read_span, to_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "Screened",
    "check_good",
    "described",
    "find_bad_stretches",
    "learn_screen",
    "measure_quiet",
    "new_screen",
    "screen_for",
    "screen_without_labels",
    "screened",
    "without_bad",
    "without_known",
]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
CELL_MS = 0.5
CHUNK_CELLS = 1 << 15
USUAL_SPIKE = 0.95  # quantile of the swings of a unit's labelled spikes
LARGE_EVENTS_PER_S = 0.5  # events that are so frequent are spikes of a neuron, labelled or not
LARGE_EVENT_MS, LARGE_EVENT_FACTOR = 20.0, 1 / 2
WITH_SPIKES = 2.0  # swing of a stretch with spikes, relative to the usual one
LARGEST_NEURON = 2.0  # relative to the usual stretch with spikes
LEAST_NOISE, USUAL_NOISE = 0.2, 2.0  # relative to the labelled recording's, on the same scale
MOST_BAD = 0.99  # of a recording that can be used


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


def new_screen(*, fs_hz: float, channels: int) -> Screen:
    """Return a screen that knows nothing of a recording: it finds missing and dead stretches only."""
    nothing = np.full(channels, np.inf)
    return Screen(max(to_samples(CELL_MS, fs_hz), 2), nothing, nothing, np.zeros(channels))


def learn_screen(
    raw: npt.NDArray[Any], labels: Spikes, *, fs_hz: float, bad: BadStretches | None = None
) -> Screen:
    """Learn from a labelled recording how large spikes are.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        In the recording's own data type.
    labels : Spikes
    fs_hz : float
    bad : BadStretches, optional
        Known ones, from which nothing is learnt: what is frequent there is no neuron.

    Returns
    -------
    Screen
        For the labelled recording.
    """
    screen = new_screen(fs_hz=fs_hz, channels=raw.shape[1])
    swing = _swings(measure_cells(raw, screen.cell_samples))
    if bad is not None:
        first, last = bad.start // screen.cell_samples, -(-bad.stop // screen.cell_samples)
        for start, stop in zip(first - AROUND, last + AROUND, strict=True):
            swing[max(start, 0) : stop] = np.nan
    known = labels.select(np.all(np.isfinite(swing[_cells_of(labels, screen)]), axis=1))
    at = _cells_of(known, screen)
    largest = [np.quantile(swing[at[known.unit == unit]], USUAL_SPIKE, axis=0) for unit in known.unit_ids]
    seconds = len(raw) / fs_hz
    frequent = LARGE_EVENT_FACTOR * _frequent(swing, seconds, cells_apart=int(LARGE_EVENT_MS / CELL_MS))
    spikes = np.maximum(np.max(largest, axis=0), frequent) if largest else screen.spikes
    return replace(screen, spikes=spikes, quiet=_quiet(swing), offset=_offset(raw))


def screen_without_labels(raw: npt.NDArray[Any], *, fs_hz: float) -> Screen:
    """Guess from a recording without labels how large spikes are.

    The largest neuron is taken to be at most twice as large as what is usual in stretches of 20 ms with
    spikes: of stretches, as a long artefact has many large swings.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        In the recording's own data type.
    fs_hz : float

    Returns
    -------
    Screen
    """
    screen = new_screen(fs_hz=fs_hz, channels=raw.shape[1])
    swing = _swings(measure_cells(raw, screen.cell_samples))
    quiet, largest = _quiet(swing), _largest(swing, round(LARGE_EVENT_MS / CELL_MS))
    with_spikes = [one[one > WITH_SPIKES * noise] for one, noise in zip(largest.T, quiet, strict=True)]
    usual = [np.median(one) if len(one) else np.inf for one in with_spikes]
    return replace(screen, spikes=LARGEST_NEURON * np.array(usual), quiet=quiet, offset=_offset(raw))


def screen_for(recording: BaseRecording, screen: Screen) -> Screen:
    """Return the screen for a target: for its noise and, if it is on another scale, for that scale.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen : Screen
        Of the labelled recording.

    Returns
    -------
    Screen
    """
    raw = read_representative(recording)
    check_sizes(raw)
    quiet = measure_quiet(raw, screen)
    known = (screen.quiet > 0) & np.isfinite(screen.quiet)
    ratio = np.where(known, quiet, 1.0) / np.where(known, screen.quiet, 1.0)
    # A recording that is much louder may be so by its gain or its unit of voltage, and a far quieter one is.
    scale = np.where(ratio < LEAST_NOISE, ratio, np.maximum(ratio / USUAL_NOISE, 1.0))
    return replace(screen, spikes=scale * screen.spikes, quiet=quiet, offset=_offset(raw))


def measure_quiet(raw: npt.NDArray[Any], screen: Screen) -> npt.NDArray[np.float64]:
    """Return the usual swing of each channel's noise in a trace, in its own unit."""
    return _quiet(_swings(measure_cells(raw, screen.cell_samples)))


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
    InputError
        It names channels that are constant throughout, or says how much is bad.
    """
    n_samples, given = source.recording.get_num_frames(), source.bad.samples_by_kind.get("given", 0)
    if source.good_samples > (1 - MOST_BAD) * (n_samples - given):
        return
    whole = described(source.bad, n_samples, fs_hz=fs_hz)
    if given == source.bad.samples:
        raise InputError(f"{whole}; nothing remains to be sorted")
    check_channels(read_representative(source.recording))
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
    raise InputError(f"{whole}; {cause}")


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


def _swings(cells: Cells) -> npt.NDArray[np.float64]:
    """Return the swings around cells; NaN where a sample near them is missing."""
    missing = ~(np.isfinite(cells.low) & np.isfinite(cells.high)).all(axis=1)
    if not missing.any():
        return swings(cells)
    swing = swings(Cells(*(np.where(missing[:, None], 0, side) for side in (cells.low, cells.high))))
    swing[binary_dilation(missing, iterations=AROUND)] = np.nan
    return swing


def _cells_of(labels: Spikes, screen: Screen) -> npt.NDArray[np.int64]:
    return np.asarray(labels.sample // screen.cell_samples, np.int64)


def _quiet(swing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the usual swing of each channel, which is that of noise, where it is not dead."""
    alive = np.where(np.isfinite(swing) & (swing > 0), swing, np.nan)
    with np.errstate(all="ignore"):
        usual = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in alive.T])
    return np.asarray(usual, np.float64)


def _offset(raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    finite = raw[np.isfinite(raw).all(axis=1)] if raw.dtype.kind == "f" else raw
    return np.median(finite, axis=0).astype(np.float64) if len(finite) else np.zeros(raw.shape[1])


def _frequent(swing: npt.NDArray[np.float64], seconds: float, *, cells_apart: int) -> npt.NDArray[np.float64]:
    """Return how large the events are that still occur at a rate of `LARGE_EVENTS_PER_S`."""
    largest, number = _largest(swing, cells_apart), max(round(LARGE_EVENTS_PER_S * seconds), 1)
    if len(largest) <= number:
        return np.zeros(swing.shape[1])
    return np.asarray(np.sort(largest, axis=0)[-number], np.float64)


def _largest(swing: npt.NDArray[np.float64], cells: int) -> npt.NDArray[np.float64]:
    """Return the largest swing of each stretch of some cells, shape (stretches, channels)."""
    stretches = len(swing) // cells
    whole = np.nan_to_num(swing[: stretches * cells], nan=0.0, posinf=0.0)
    return np.asarray(whole.reshape(stretches, cells, swing.shape[1]).max(axis=1), np.float64)
