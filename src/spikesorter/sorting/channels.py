"""Choose which channels of a recording are used, if some are broken.

While one channel of several is dead, missing or full of artefacts, nothing can be sorted by all of them. So
those channels are used, for a whole recording, that together give the most good channel-time: their number
times the time in which all of them are good. What is bad in the others no longer matters.

This is decided by short, evenly spaced parts of the recording, ten seconds in all, before anything else sees
it. It then goes by the channels that are used, like a recording of these channels alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import KINDS, BadStretches
from spikesorter.io.recording_parts import channel_names
from spikesorter.io.samples import read_samples, signature_parts
from spikesorter.signal.screen import (
    NOT_BAD,
    OFF,
    CellKinds,
    Cells,
    Screen,
    bad_cells_of_channels,
    measure_cells,
)
from spikesorter.sorting.screens import LEAST_NOISE, new_screen, quiet_of_cells

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["ChannelChoice", "best_channels", "choose_channels", "select"]

Columns = tuple[int, ...]
Quiet = npt.NDArray[np.float64]
MOST_PATTERNS = 8  # sets of channels that are bad together, of which all combinations are tried
THROUGHOUT = 0.99  # of the time
COPY = len(KINDS)
MISSING, DEAD, ARTEFACT = (KINDS.index(kind) for kind in ("missing", "dead", "artefact"))
WORDS = {
    MISSING: "missing (NaN or infinite)",
    DEAD: "dead or switched off",
    ARTEFACT: "far louder than what the sorter knows",
    COPY: "the same as another (bridged, or wrongly mapped)",
}


@dataclass(frozen=True)
class ChannelChoice:
    """Which channels of a recording are used.

    Parameters
    ----------
    used : tuple of int
        Positions among the recording's channels, in order.
    words : str
        Which others there are, and why they are left out; "" if there are none.

    Examples
    --------
    >>> ChannelChoice((0, 2), "channel 1 (counted from 0) is dead").used
    (0, 2)
    """

    used: Columns
    words: str = ""


def choose_channels(
    recording: BaseRecording,
    screen_of: Callable[[Columns], Screen],
    *,
    usual: Quiet | None,
    as_it_is: bool,
    exclude: BadStretches | None,
    fs_hz: float,
) -> ChannelChoice:
    """Choose the channels of a recording that give the most good channel-time.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen_of : callable
        Returns the screen for some of its channels, of which none is constant or missing throughout.
    usual : ndarray of float64, shape (channels,), or None
        Usual swing of each channel's noise in the labelled recording, by which a channel is told that is
        switched off throughout; by the other channels if there is none.
    as_it_is : bool
        Whether a channel that is far noisier than usual throughout is broken too, as no sorter is adapted to
        its noise.
    exclude : BadStretches or None
        Parts that do not count.
    fs_hz : float

    Returns
    -------
    ChannelChoice
        All channels, if no choice of them gives any good time.
    """
    channels = recording.get_num_channels()
    every = tuple(range(channels))
    if channels == 1:
        return ChannelChoice(every)
    blind = new_screen(fs_hz=fs_hz, channels=channels)
    cells, counted = _cells_of(recording, blind.cell_samples, exclude)
    kinds = bad_cells_of_channels(cells, blind)
    alive = best_channels(kinds[counted] != NOT_BAD)
    if any((kinds[counted][:, alive] == NOT_BAD).any(axis=0)):
        kinds = kinds.copy()
        own = Cells(cells.low[:, alive], cells.high[:, alive])
        kinds[:, alive] = bad_cells_of_channels(own, screen_of(alive))
        off, loud = _unlike_others(cells, alive, usual)
        kinds[:, off] = DEAD
        if as_it_is:
            kinds[:, loud] = ARTEFACT
        kinds[:, _copies(cells, alive, but_first=usual is None)] = COPY
    used = best_channels(kinds[counted] != NOT_BAD)
    return ChannelChoice(used, _words(channel_names(recording), used, kinds[counted]))


def select(recording: BaseRecording, columns: tuple[int, ...]) -> BaseRecording:
    """Return the channels of a recording at some positions."""
    if len(columns) == recording.get_num_channels():
        return recording
    return recording.select_channels([recording.channel_ids[k] for k in columns])


def best_channels(bad: npt.NDArray[np.bool_]) -> Columns:
    """Return the channels whose number times the time in which all of them are good is largest.

    Parameters
    ----------
    bad : ndarray of bool, shape (times, channels)

    Returns
    -------
    tuple of int
        All channels, if no choice has any good time; of equal choices, the one of more channels.

    Examples
    --------
    >>> bad = np.zeros((10, 4), bool)
    >>> bad[:2, 1] = True  # a fifth of the time; without the channel, a quarter would be lost
    >>> best_channels(bad)
    (0, 1, 2, 3)
    >>> bad[:, 1] = True
    >>> best_channels(bad)
    (0, 2, 3)
    """
    every = np.ones(bad.shape[1], np.bool_)
    if not bad.any():
        return tuple(range(bad.shape[1]))
    patterns, counts = np.unique(bad, axis=0, return_counts=True)
    longest = np.argsort(-counts, kind="stable")
    choices = [every]
    for pattern in [patterns[k] for k in longest if patterns[k].any()][:MOST_PATTERNS]:
        choices += [choice & ~pattern for choice in choices]

    def worth(choice: npt.NDArray[np.bool_]) -> tuple[int, int]:
        good = int(counts[~(patterns & choice).any(axis=1)].sum())
        return int(choice.sum()) * good, int(choice.sum())

    best = max(choices, key=worth)  # the first of equal ones
    return tuple(np.flatnonzero(best if worth(best)[0] else every).tolist())


def _cells_of(
    recording: BaseRecording, cell_samples: int, exclude: BadStretches | None
) -> tuple[Cells, npt.NDArray[np.bool_]]:
    """Return the cells of a recording's parts, and which of them count."""
    parts = signature_parts(recording)
    cells = [measure_cells(read_samples(recording, *part), cell_samples) for part in parts]
    starts = [
        start + cell_samples * np.arange(len(one)) for (start, _), one in zip(parts, cells, strict=True)
    ]
    joined = Cells.joined(cells)
    counted = np.ones(len(joined), np.bool_)
    if exclude is not None and len(exclude):
        counted = ~exclude.contain(np.concatenate(starts))
    return joined, counted if counted.any() else np.ones(len(joined), np.bool_)


def _unlike_others(cells: Cells, alive: Columns, usual: Quiet | None) -> tuple[list[int], list[int]]:
    """Return the channels with far less noise than usual, and with far more, by what is usual of the others.

    What is usual is known from the labelled recording, or else is the same for all channels.
    """
    kept = list(alive)
    quiet = quiet_of_cells(Cells(cells.low[:, kept], cells.high[:, kept]))
    if usual is None:
        level, least = quiet, OFF
    else:
        known = np.isfinite(usual[kept]) & (usual[kept] > 0)
        level, least = np.where(known, quiet, 1.0) / np.where(known, usual[kept], 1.0), LEAST_NOISE
    of_most = _level_of_most(level, like_usual=usual is not None)
    off = [k for k, one in zip(kept, level, strict=True) if one < least * of_most]
    return off, [k for k, one in zip(kept, level, strict=True) if one * least > of_most]


def _copies(cells: Cells, alive: Columns, *, but_first: bool) -> list[int]:
    """Return the channels that are the same as another: bridged electrodes, or a wrong map of channels.

    In the labelled recording one of them is as good as the other. Later, which one is what it was is not
    known.
    """
    swings = np.concatenate([cells.low, cells.high])[:, list(alive)]
    _, first, which, count = np.unique(
        swings, axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    return [
        k
        for place, (k, one) in enumerate(zip(alive, which.ravel().tolist(), strict=True))
        if count[one] > 1 and not (but_first and place == first[one])
    ]


def _level_of_most(level: Quiet, *, like_usual: bool) -> float:
    """Return the noise of most channels: the median.

    If half of them have far more than the other half, it is that of the half whose noise is more like the
    usual one, which is 1; if none is known, the one with more, as more channels are dead than loud.

    Examples
    --------
    >>> _level_of_most(np.array([6.0, 0.6, 7.0, 6.5]), like_usual=True)
    6.25
    >>> [_level_of_most(np.array([1.1, other]), like_usual=True) for other in (0.01, 20.0)]
    [1.1, 1.1]
    >>> _level_of_most(np.array([4.0, 0.1]), like_usual=False)
    4.0
    """
    ranked = np.sort(level)
    low, high = float(ranked[(len(level) - 1) // 2]), float(ranked[len(level) // 2])
    if low >= LEAST_NOISE * high:
        return (low + high) / 2
    return low if like_usual and abs(np.log(max(low, 1e-300))) < abs(np.log(high)) else high


def _words(named: tuple[list[str], str], used: Columns, kinds: CellKinds) -> str:
    """Return in words which channels are left out, and why."""
    (names, note), left_out = named, [k for k in range(kinds.shape[1]) if k not in used]
    if not left_out:
        return ""
    whys: dict[str, list[str]] = {}
    for k in left_out:
        whys.setdefault(_why(kinds[:, k]), []).append(names[k])
    told = ", ".join(f"{_listed(alike)}{note} {_be(alike)} {why}" for why, alike in whys.items())
    others = ", ".join(names[k] for k in used)
    return f"{told}, and {_be(left_out)} left out; channels that are used: {others}"


def _listed(names: list[str]) -> str:
    return f"channel{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _be(several: list[Any]) -> str:
    return "is" if len(several) == 1 else "are"


def _why(kinds: npt.NDArray[np.int8]) -> str:
    """Return in words what is wrong with a channel, and for how much of the time."""
    counts = {kind: int((kinds == kind).sum()) for kind in WORDS}
    worst = max(counts, key=lambda kind: counts[kind])
    share = sum(counts.values()) / len(kinds)
    time = "throughout" if share > THROUGHOUT else f"for {100 * share:.0f} % of the time"
    return f"{WORDS[worst]} {time}"
