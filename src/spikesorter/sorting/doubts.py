"""Notice recordings that are unlike the one that a sorter was adapted to, and say the likely cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.estimation.passband import noise_of_parts, octaves_lacking
from spikesorter.io.recording_parts import channel_names, note_on
from spikesorter.io.samples import read_signature, read_some_parts
from spikesorter.signal.screen import OFF, Screen
from spikesorter.sorting.screens import measure_quiet

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = [
    "MANY_SPIKES",
    "SILENT",
    "band_doubt",
    "change_doubt",
    "crowd_doubt",
    "doubt_of_band",
    "doubt_of_gain",
    "doubt_of_level",
    "level_doubt",
    "noisier_doubt",
    "silence_doubt",
]

LIKE_LEVELS = (1 / 3, 3.0)
NOISIER = 1.5  # over a whole recording: with the thresholds for less noise, noise is taken for spikes
LOUDER = 1.6  # in some parts than in others, beyond what the sorter knows of
PARTS = 16  # of a recording, between which noise is compared
CROWD, FEW_SPIKES = 5.0, 500  # times as many spikes as expected; fewer say nothing
SILENT, MANY_SPIKES = 0.05, 100.0  # share of the expected spikes; fewer expected say nothing
LIKE_GAINS = (0.5, 2.0)
ADAPT = "Adapt to it (train --targets, Sorter.adapt), or do not trust the result"
MOST_LACKING = 0.6  # octaves in which one recording has hardly any noise and the other one has
OTHERWISE = (
    "spikes look otherwise in it: give both before any filter, or both after the same one, or do not trust "
    "the result"
)
FAR_OFFSET = 100.0  # of unsigned numbers, whose zero is in the middle of their range


def doubt_of_level(recording: BaseRecording, screen: Screen, levels: npt.NDArray[np.float64]) -> str:
    """Return in words that a recording's noise is unlike the one that a sorter was adapted to, or "".

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    screen : Screen
        Of the recording that the sorter was adapted to.
    levels : ndarray of float64, shape (blocks,)
        Levels of the noise over that recording.

    Returns
    -------
    str
    """
    raw, (names, _) = read_signature(recording), channel_names(recording)
    parts = np.stack([measure_quiet(part, screen) for part in np.array_split(raw, PARTS)])
    quiet = measure_quiet(raw, screen)
    on = np.where((parts < OFF * quiet).any(axis=1, keepdims=True), 0.0, parts)  # the others are left out
    doubt = level_doubt(quiet, screen, names) or change_doubt(on, levels) or noisier_doubt(quiet, screen)
    middle = float(np.median(raw))
    if doubt and raw.dtype.kind == "u" and abs(middle - np.median(screen.offset)) > FAR_OFFSET:
        doubt += (
            f". Its samples are unsigned numbers ({raw.dtype.name}) around {middle:.6g}: are they a "
            "converter's counts, where the model's recording is in volts?"
        )
    return doubt


def doubt_of_band(
    recording: BaseRecording, labelled: npt.NDArray[np.float64], kernel: npt.NDArray[np.float64]
) -> str:
    """Return in words that a recording was filtered otherwise than the labelled one, or "".

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    labelled : ndarray of float64, shape (frequencies, channels)
        Power of the labelled recording's noise.
    kernel : ndarray of float64, shape (taps,)
        The conditioning filter.

    Returns
    -------
    str
    """
    noise = noise_of_parts(read_some_parts(recording), kernel, n_fft=2 * (len(labelled) - 1))
    return "" if noise is None else band_doubt(noise, labelled, kernel)


def band_doubt(
    noise: npt.NDArray[np.float64], labelled: npt.NDArray[np.float64], kernel: npt.NDArray[np.float64]
) -> str:
    """Return the same in words, for a recording's noise.

    Parameters
    ----------
    noise, labelled : ndarray of float64, shape (frequencies, channels)
    kernel : ndarray of float64, shape (taps,)

    Returns
    -------
    str

    Examples
    --------
    >>> labelled = np.ones((1025, 1))
    >>> band_doubt(4 * labelled, labelled, np.ones(1))
    ''
    >>> filtered = np.where(np.arange(1025) < 20, 1e-4, 3.0)[:, None]
    >>> band_doubt(filtered, labelled, np.ones(1)).partition(", ")[0]
    'it was filtered and the labelled recording was not'
    >>> band_doubt(labelled, filtered, np.ones(1)).partition(":")[0]
    'it has noise at frequencies where the labelled recording has hardly any'
    """
    here, there = (octaves_lacking(*pair, kernel) for pair in ((noise, labelled), (labelled, noise)))
    if max(here, there) <= MOST_LACKING:
        return ""
    if here > there:
        return f"it was filtered and the labelled recording was not, or less than it, so {OTHERWISE}"
    return (
        "it has noise at frequencies where the labelled recording has hardly any: if that one was filtered "
        f"and this one was not, {OTHERWISE}"
    )


def level_doubt(
    quiet: npt.NDArray[np.float64], screen: Screen, names: Sequence[str], *, remedy: str = ADAPT
) -> str:
    """Return in words that the noise of a recording is many times that of another, or a small part of it.

    Parameters
    ----------
    quiet : ndarray of float64, shape (channels,)
        Usual swing of the recording's noise.
    screen : Screen
        Of the other one.
    names : sequence of str
        Of the channels.
    remedy : str
        What to do.

    Returns
    -------
    str
        "" if they are alike.

    Examples
    --------
    >>> screen = Screen(12, np.array([9.0, 9.0]), np.array([1.5, 1.5]), np.zeros(2))
    >>> level_doubt(np.array([2.0, 1.5]), screen, ["0", "1"])
    ''
    >>> level_doubt(np.array([1.5, 150.0]), screen, ["0", "1"]).partition(" that ")[0]
    'the noise of channel 1 (counted from 0) is 100 times'
    """
    ratio = _levels(quiet, screen)
    unlike = (ratio < LIKE_LEVELS[0]) | (ratio > LIKE_LEVELS[1])
    if not unlike.any():
        return ""
    worst = int(np.abs(np.log(ratio)).argmax())
    where = "its noise" if unlike.all() else f"the noise of channel {names[worst]}{note_on(names)}"
    level = "noisier, " if ratio[worst] > 1 else "switched off, " if ratio[worst] < OFF else ""
    return (
        f"{where} is {ratio[worst]:.3g} times that of the recording that the sorter was adapted to: is this "
        f"one {level}in another unit of voltage, amplified differently, or from another electrode? {remedy}"
    )


def noisier_doubt(quiet: npt.NDArray[np.float64], screen: Screen) -> str:
    """Return in words that a whole recording is noisier than the thresholds allow for, or "".

    Parameters
    ----------
    quiet : ndarray of float64, shape (channels,)
        Usual swing of the recording's noise.
    screen : Screen
        Of the recording that the sorter was adapted to.

    Examples
    --------
    >>> screen = Screen(12, np.array([9.0, 9.0]), np.array([1.5, 1.5]), np.zeros(2))
    >>> noisier_doubt(np.array([2.0, 2.0]), screen)
    ''
    >>> noisier_doubt(np.array([3.3, 3.0]), screen).partition(":")[0]
    'its noise is 2.1 times that of the recording that the sorter was adapted to'
    """
    ratio = float(np.exp(np.log(_levels(quiet, screen)).mean()))
    if ratio < NOISIER:
        return ""
    return (
        f"its noise is {ratio:.2g} times that of the recording that the sorter was adapted to: noise may be "
        f"taken for spikes. {ADAPT}"
    )


def _levels(quiet: npt.NDArray[np.float64], screen: Screen) -> npt.NDArray[np.float64]:
    """Return how many times as strong the noise of each channel is; 1 where either is not known."""
    known = (quiet > 0) & (screen.quiet > 0) & np.isfinite(screen.quiet)
    return np.asarray(np.where(known, quiet, 1.0) / np.where(known, screen.quiet, 1.0))


def change_doubt(quiet: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]) -> str:
    """Return in words that the noise changes over a recording by more than is known of it, or "".

    Parameters
    ----------
    quiet : ndarray of float64, shape (parts, channels)
        Usual swing of the noise in parts of the recording.
    levels : ndarray of float64, shape (blocks,)
        Levels that the sorter was adapted to.

    Examples
    --------
    >>> change_doubt(np.repeat([[1.0], [1.9]], 8, axis=0), np.ones(1)).partition(":")[0]
    'its noise is 1.9 times as strong in some parts as in others'
    >>> change_doubt(np.repeat([[1.0], [1.9]], 8, axis=0), np.array([1.0, 2.0]))
    ''
    """
    mean = np.sort(quiet.mean(axis=1))
    mean = mean[mean > 0]
    few = len(mean) // 8  # parts that may be odd
    ratio = mean[-1 - few] / mean[few] if len(mean) else 1.0
    if ratio < LOUDER * levels.max() / levels.min():
        return ""
    return (
        f"its noise is {ratio:.2g} times as strong in some parts as in others: adapt to it (train --targets, "
        "Sorter.adapt), which follows that, or do not trust the result"
    )


def crowd_doubt(found: int, expected: float) -> str:
    """Return in words that there are many times as many spikes as in the recording adapted to, or "".

    Examples
    --------
    >>> crowd_doubt(1200, 1000.0)
    ''
    >>> crowd_doubt(13_000, 1000.0).partition(":")[0]
    '13 times as many spikes as in the recording that the sorter was adapted to'
    """
    if found < FEW_SPIKES or found < CROWD * expected:
        return ""
    return (
        f"{found / max(expected, 1):.3g} times as many spikes as in the recording that the sorter was "
        f"adapted to: is this one of the other polarity, noisier, or from another electrode? {ADAPT}"
    )


def silence_doubt(found: Mapping[str, int], expected: Mapping[str, float]) -> str:
    """Return in words that units of the recording adapted to have hardly any spikes, or "".

    Parameters
    ----------
    found, expected : mapping of str to number
        Spikes of each unit, by its name.

    Examples
    --------
    >>> silence_doubt({"1": 150, "2": 30}, {"1": 140.0, "2": 160.0})
    ''
    >>> silence_doubt({"1": 2, "2": 300}, {"1": 140.0, "2": 160.0}).partition(":")[0]
    'hardly any spikes of unit 1 (2 where the recording that the sorter was adapted to has 140)'
    """
    gone = [
        (name, found.get(name, 0), number)
        for name, number in expected.items()
        if number >= MANY_SPIKES and found.get(name, 0) < SILENT * number
    ]
    if not gone:
        return ""
    units = f"unit{'' if len(gone) == 1 else 's'} {', '.join(name for name, _, _ in gone)}"
    if len(gone) == len(expected):
        units = "any unit"
    counts, usual = (", ".join(f"{one[k]:.0f}" for one in gone) for k in (1, 2))
    return (
        f"hardly any spikes of {units} ({counts} where the recording that the sorter was adapted to has "
        f"{usual}): are they silent here, clipped, of the other polarity, or is it another electrode?"
    )


def doubt_of_gain(ratio: float, name: str) -> str:
    """Return in words that the spikes are much larger or smaller than in a target, or "".

    Examples
    --------
    >>> doubt_of_gain(1.2, "D4")
    ''
    >>> doubt_of_gain(1000, "D4").partition(",")[0]
    'the spikes seem to be 1e+03 times as large as in D4'
    """
    if LIKE_GAINS[0] <= ratio <= LIKE_GAINS[1]:
        return ""
    return (
        f"the spikes seem to be {ratio:.3g} times as large as in {name}, which the sorter was adapted to: "
        f"does this recording have another unit of voltage? {ADAPT}"
    )
