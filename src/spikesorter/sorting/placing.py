"""Find the place and the unit of one more spike, by the evidence of the pursuit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.gibbs import priors_at
from spikesorter.decoding.pursuit import PursuitDecoder, make_pursuit
from spikesorter.signal.bank import Bank
from spikesorter.sorting.amplitudes import amplitudes
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["Placement", "Placer"]

Float64Array = npt.NDArray[np.float64]
SAME = 3  # samples from a spike of a unit within which it can have no other


@dataclass(frozen=True)
class Placement:
    """Where one more spike fits best.

    Parameters
    ----------
    sample, unit : int
    log_odds : float
        Posterior log odds that the spike is there, given all others; more than 0: more probable than not.
    """

    sample: int
    unit: int
    log_odds: float


class Placer:
    """Finds the best places of spikes in recordings of a sorter, whichever decoder it uses.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the recording.
    """

    def __init__(self, sorter: Sorter) -> None:
        self._sorter = sorter
        self._pursuit: PursuitDecoder = make_pursuit(sorter.state.lessons.context, sorter.profile)

    @property
    def units(self) -> tuple[int, ...]:
        """Units that spikes can be of."""
        return self._sorter.units.known

    def best(
        self, recording: BaseRecording, spikes: Spikes, start: int, stop: int, *, unit: int | None = None
    ) -> Placement:
        """Return where in a range of samples one more spike is most probable, and of which unit.

        Parameters
        ----------
        recording : spikeinterface.BaseRecording
        spikes : Spikes
            All other spikes of the recording, with its bad stretches.
        start, stop : int
            Range of samples.
        unit : int, optional
            The unit of the spike; any if not given.

        Raises
        ------
        InputError
            If there is no such place, or the unit has no template.
        """
        gains = self._gains(recording, spikes, start, stop)
        wanted = self.units if unit is None else (unit,)
        if unit is not None and unit not in self.units:
            raise InputError(f"unit {unit} has no template; place its spike by hand")
        gains[:, ~np.isin(self._pursuit.unit_ids, wanted)] = -np.inf
        if not np.isfinite(gains).any():
            raise InputError("there are such spikes already, on every sample near here")
        at, column = np.unravel_index(int(gains.argmax()), gains.shape)
        return Placement(
            start + int(at), int(self._pursuit.unit_ids[int(column)]), float(gains[int(at), int(column)])
        )

    def _gains(self, recording: BaseRecording, spikes: Spikes, start: int, stop: int) -> Float64Array:
        """Return the log odds of one more spike, shape (samples, units)."""
        pursuit, bank = self._pursuit, self._pursuit.bank
        assert isinstance(bank, Bank)
        reach = bank.overlaps.shape[1] // 2
        first, last = start - 2 * reach, stop + 2 * reach
        read = self._sorter.trace_reader(recording, bad=spikes.bad)
        trace = read(first - bank.margin.before, last + bank.margin.after)
        near = spikes.within(first, last)
        near = near.select(np.isin(near.unit, pursuit.unit_ids))
        at = near.sample - first
        columns = np.array([pursuit.unit_ids.index(unit) for unit in near.unit.tolist()], np.int64)
        rest = bank.apply(trace).astype(np.float64)
        for sample, column, amplitude in zip(at, columns, amplitudes(bank, trace, at, columns), strict=True):
            begin, end = max(sample - reach, 0), min(sample + reach + 1, len(rest))
            rest[begin:end] -= (
                amplitude * bank.overlaps[column, begin - sample + reach : end - sample + reach]
            )
        priors = priors_at(1.0, np.atleast_2d(bank.energies), pursuit.spreads, pursuit.log_odds, samples=1)
        linear = rest[start - first : stop - first] + priors.precision
        gains = 0.5 * linear**2 * priors.variance[-1] + priors.single[-1]
        for sample, column in zip((near.sample - start).tolist(), columns.tolist(), strict=True):
            gains[max(sample - SAME, 0) : max(sample + SAME + 1, 0), column] = -np.inf
        return np.asarray(gains, np.float64)
