"""Learn from a recording what an artefact is: how large its spikes and its noise are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.io.samples import check_sizes, read_representative
from spikesorter.signal.screen import AROUND, OFF, Cells, Screen, measure_cells, swings
from spikesorter.signal.spans import to_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "LEAST_NOISE",
    "learn_screen",
    "measure_quiet",
    "new_screen",
    "quiet_of_cells",
    "screen_for",
    "screen_without_labels",
]

CELL_MS = 0.5
USUAL_SPIKE = 0.95  # quantile of the swings of a unit's labelled spikes
LARGE_EVENTS_PER_S = 0.5  # events that are so frequent are spikes of a neuron, labelled or not
LARGE_EVENT_MS, LARGE_EVENT_FACTOR = 20.0, 1 / 2
WITH_SPIKES = 2.0  # swing of a stretch with spikes, relative to the usual one
LARGEST_NEURON = 2.0  # relative to the usual stretch with spikes
LEAST_NOISE, USUAL_NOISE = 0.2, 2.0  # relative to the labelled recording's, on the same scale
STRETCH_CELLS = 100  # whose median swing is that of noise, whatever spikes there are
LEAST_ON = 0.1  # share of a recording with noise like the labelled one's, by which the rest is judged
ON_QUANTILE = 0.75  # otherwise: of the stretches' noise; so a channel may be off for nearly as long


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
    """Return the usual swing of each channel's noise in a trace, in its own unit, where it is on."""
    return _quiet(_swings(measure_cells(raw, screen.cell_samples)), screen.quiet)


def quiet_of_cells(cells: Cells) -> npt.NDArray[np.float64]:
    """Return the usual swing of each channel's noise in cells, where it is on."""
    return _quiet(_swings(cells))


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


def _quiet(
    swing: npt.NDArray[np.float64], known: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Return the usual swing of each channel, which is that of noise, where it is not dead or off.

    Parameters
    ----------
    swing : ndarray of float64, shape (cells, channels)
    known : ndarray of float64, shape (channels,), optional
        That of the labelled recording, by which a channel that is on is told from one that is off.

    Examples
    --------
    >>> swing = np.r_[np.full(300, 0.001), np.full(200, 4.0)][:, None]
    >>> float(_quiet(swing, np.array([5.0]))[0])
    4.0
    """
    like = np.full(swing.shape[1], np.inf) if known is None else known
    pairs = zip(swing.T, like, strict=True)
    return np.array([_quiet_of(c[np.isfinite(c) & (c > 0)], float(one)) for c, one in pairs], np.float64)


def _quiet_of(alive: npt.NDArray[np.float64], known: float) -> float:
    """Return the usual one of a channel's swings, without the stretches in which it is switched off."""
    if not len(alive):
        return 0.0
    whole = alive[: len(alive) // STRETCH_CELLS * STRETCH_CELLS].reshape(-1, STRETCH_CELLS)
    levels = np.median(whole, axis=1)
    on = levels >= OFF * _level_when_on(levels, known)
    return float(np.median(alive if on.all() else whole[on]))


def _level_when_on(levels: npt.NDArray[np.float64], known: float) -> float:
    """Return the noise of a channel that is on, from that of its stretches."""
    if not len(levels):
        return 0.0
    like = levels[(levels > LEAST_NOISE * known) & (levels < known / LEAST_NOISE)]
    if len(like) and len(like) >= LEAST_ON * len(levels):
        return float(np.median(like))
    return float(np.quantile(levels, ON_QUANTILE))


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
