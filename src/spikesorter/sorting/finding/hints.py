"""What is known of the units before they are found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.pairs import pairs_within
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import as_labels
from spikesorter.signal.spans import to_samples

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = ["Hints", "Polarity", "with_labels"]

Polarity = Literal["negative", "positive"]
SAME_SPIKE_MS = 0.5  # a found spike so near a label is the labelled one
MOST_UNITS = 50


@dataclass(frozen=True, eq=False)
class Hints:
    """What is known of the units before they are found; nothing by default.

    Parameters
    ----------
    n_units : int, optional
        How many units there are.
    polarity : {"negative", "positive"}, optional
        Of the largest deflection of all spikes.
    labels : Spikes
        Spikes that are known: a few of a unit, or all of a part. They keep their units.
    first_unit : int
        Least number of a unit that is found.

    Raises
    ------
    SettingsError
        If a value is out of range, or fewer units are wanted than have labels.
    InputError
        If a label is of no unit.
    """

    n_units: int | None = None
    polarity: Polarity | None = None
    labels: Spikes = field(default_factory=Spikes.empty)
    first_unit: int = 1

    def __post_init__(self) -> None:
        labelled = len(self.labels.unit_ids)
        if self.n_units is not None and not max(labelled, 1) <= self.n_units <= MOST_UNITS:
            least = f"{labelled}, as so many have labels," if labelled > 1 else "1"
            raise SettingsError(f"n_units: expected {least} to {MOST_UNITS}, not {self.n_units}")
        if self.polarity is not None and self.polarity not in get_args(Polarity):
            raise SettingsError(f"polarity: expected negative or positive, not {self.polarity!r}")
        if np.any(self.labels.unit == UNKNOWN):
            raise InputError("labels: some spikes are of no unit; leave them out")

    @classmethod
    def of(
        cls,
        recording: BaseRecording,
        *,
        n_units: int | None,
        polarity: Polarity | None,
        labels: Spikes | BaseSorting | None,
        first_unit: int,
    ) -> Hints:
        """Return hints for a recording; labels may be a sorting of it.

        Raises
        ------
        InputError, SettingsError
            As for the class; if the labels are not of this recording.
        """
        check_recording(recording)
        if labels is None:
            return cls(n_units, polarity, first_unit=first_unit)
        known = as_labels(labels, fs_hz=float(recording.get_sampling_frequency()))
        n_samples = recording.get_num_frames()
        if len(known) and known.sample[-1] >= n_samples:
            raise InputError(
                f"labels: a spike is at sample {known.sample[-1]}, but the recording has {n_samples} samples"
            )
        return cls(n_units, polarity, known, first_unit)

    @property
    def sign(self) -> int:
        """-1 or 1 by the polarity; 0 for both."""
        return {None: 0, "negative": -1, "positive": 1}[self.polarity]

    @property
    def fixed(self) -> tuple[int, ...]:
        """Units that have labels."""
        return self.labels.unit_ids

    @property
    def first_free(self) -> int:
        """Least number of a unit that is found."""
        return max([self.first_unit, *(unit + 1 for unit in self.fixed)])

    def within(self, start: int, stop: int) -> Hints:
        """Return the hints for a part of a recording, with samples counted from its start."""
        return self._with(self.labels.within(start, stop).shifted(-start))

    def at(self, kept: npt.NDArray[np.int64]) -> Hints:
        """Return the hints for a trace of which only some samples are kept."""
        place = np.searchsorted(kept, self.labels.sample)
        inside = place < len(kept)
        inside[inside] = kept[place[inside]] == self.labels.sample[inside]
        return self._with(replace(self.labels.select(inside), sample=place[inside]))

    def _with(self, labels: Spikes) -> Hints:
        """Return the hints with some of the labels; numbers of units of which none is left stay taken."""
        return replace(self, labels=labels, first_unit=self.first_free)


def with_labels(found: Spikes, labels: Spikes, *, fs_hz: float) -> Spikes:
    """Return found spikes in which labelled ones are as labelled.

    A found spike of the labelled unit near a label is the labelled one. One of another unit is it too, if
    none of the labelled unit was found there.

    Parameters
    ----------
    found, labels : Spikes
    fs_hz : float

    Returns
    -------
    Spikes

    Examples
    --------
    >>> found = Spikes([100, 300, 302, 500], [1, 1, 2, 2])
    >>> spikes = with_labels(found, Spikes([101, 303, 501], [1, 2, 1]), fs_hz=30_000.0)
    >>> spikes.sample.tolist(), spikes.unit.tolist()
    ([101, 300, 303, 501], [1, 1, 2, 1])
    """
    if len(labels) == 0:
        return found
    i, j = pairs_within(found.sample, labels.sample, to_samples(SAME_SPIKE_MS, fs_hz))
    own = found.unit[i] == labels.unit[j]
    alone = ~np.isin(j, j[own])
    gone = np.zeros(len(found), bool)
    gone[i[own | alone]] = True
    return Spikes.concatenate([found.select(~gone), Spikes.from_arrays(labels.sample, labels.unit)])
