"""Accuracy, precision and recall of each unit, by SpikeInterface's ground-truth comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.pairs import common_rate, outside_bad
from spikesorter.core.spikes import UNKNOWN, Spikes, check_spikes

if TYPE_CHECKING:
    from spikeinterface import BaseSorting

__all__ = ["Comparison", "Pairing", "UnitComparison", "compare_sortings"]

TOLERANCE_MS = 0.4  # SpikeInterface's default
LEAST_AGREEMENT = 0.5  # SpikeInterface's default: units that agree less are no match

Pairing = Literal["hungarian", "name"]


@dataclass(frozen=True)
class UnitComparison:
    """Accuracy, precision and recall for one true unit.

    Parameters
    ----------
    unit : str
        Its name.
    found_as : str or None
        Name of the found unit that it is paired with; None if there is none.
    accuracy : float
        Spikes found / (true spikes + false ones). Without a partner, all three figures are 0.
    precision : float
        Share of the partner's spikes that are this unit's.
    recall : float
        Share of this unit's spikes that the partner has.
    true_spikes, found_spikes : int
        Spikes of the unit, and of its partner.

    Examples
    --------
    >>> found = UnitComparison("2", "7", 0.8, precision=0.9, recall=0.88, true_spikes=50, found_spikes=49)
    >>> found.recall
    0.88
    """

    unit: str
    found_as: str | None
    accuracy: float
    precision: float
    recall: float
    true_spikes: int
    found_spikes: int


@dataclass(frozen=True)
class Comparison:
    """Result of SpikeInterface's `compare_sorter_to_ground_truth` for one sorting.

    Parameters
    ----------
    units : tuple of UnitComparison
        One for each true unit that has spikes, in order of `unit_ids`.
    unpaired : tuple of str
        Found units that no true unit is paired with.

    Examples
    --------
    >>> good = UnitComparison("1", "5", 0.8, 1.0, 0.8, true_spikes=50, found_spikes=40)
    >>> lost = UnitComparison("2", None, 0.0, 0.0, 0.0, true_spikes=30, found_spikes=0)
    >>> comparison = Comparison((good, lost), unpaired=("6",))
    >>> comparison.accuracy, comparison.recall
    (0.4, 0.4)
    """

    units: tuple[UnitComparison, ...]
    unpaired: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Mean over the true units; 0 if there are none."""
        return self._mean("accuracy")

    @property
    def precision(self) -> float:
        """Mean over the true units; 0 if there are none."""
        return self._mean("precision")

    @property
    def recall(self) -> float:
        """Mean over the true units; 0 if there are none."""
        return self._mean("recall")

    @property
    def has_namesakes(self) -> bool:
        """Whether a found unit and a true unit have the same name, or one side has no units."""
        true = {unit.unit for unit in self.units}
        found = {unit.found_as for unit in self.units if unit.found_as is not None} | {*self.unpaired}
        return bool(true & found) or not true or not found

    def summary(self) -> dict[str, Any]:
        """Return the figures as `spikesorter evaluate --json` prints them."""
        return {
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "units": [vars(unit) for unit in self.units],
            "unpaired": list(self.unpaired),
        }

    def _mean(self, figure: str) -> float:
        return float(sum(getattr(unit, figure) for unit in self.units) / max(len(self.units), 1))


def compare_sortings(
    truth: Spikes,
    found: Spikes,
    *,
    fs_hz: float | None = None,
    pairing: Pairing = "hungarian",
    tolerance_ms: float = TOLERANCE_MS,
) -> Comparison:
    """Compare any tool's sorting with the true spikes, by SpikeInterface's ground-truth comparison.

    Parameters
    ----------
    truth, found : Spikes
        The two may name their units differently. Outlier spikes (unit 0) are left out, as in
        `Spikes.to_spikeinterface`, and so are spikes in bad stretches of either. Spike times must be defined
        alike: a tool that reports peaks does not agree with labels that mark starts.
    fs_hz : float, optional
        Sampling rate, if neither of them has one.
    pairing : {"hungarian", "name"}
        hungarian: pair units so that total agreement is highest, and leave units that agree by less than half
        unpaired (SpikeInterface's default). name: pair units of the same name, however little they agree.
    tolerance_ms : float
        Largest time difference between a true spike and the found spike that it is paired with.

    Returns
    -------
    Comparison
        All figures of a sorting without spikes are 0, precision included.

    Raises
    ------
    InputError
        If the sampling rate is not known, or `truth` and `found` have different ones.
    SettingsError
        If `pairing` is neither of the two.

    Examples
    --------
    >>> truth = Spikes([100, 300, 500, 700], [1, 2, 1, 1], fs_hz=25_000.0)
    >>> found = Spikes([104, 300, 500, 900], [5, 7, 5, 5], fs_hz=25_000.0)
    >>> for unit in compare_sortings(truth, found).units:
    ...     print(unit.unit, unit.found_as, unit.accuracy, round(unit.precision, 2), round(unit.recall, 2))
    1 5 0.5 0.67 0.67
    2 7 1.0 1.0 1.0
    """
    if pairing not in ("hungarian", "name"):
        raise SettingsError(f"pairing must be hungarian or name, not {pairing!r}")
    check_spikes(truth, "truth")
    check_spikes(found, "found")
    rate = common_rate(truth, found, fs_hz)
    if rate is None:
        raise InputError("spikes: the sampling rate is not known; give fs_hz")
    truth, found = outside_bad(truth, found)
    true_names, found_names = _unit_names(truth), _unit_names(found)
    if not true_names or not found_names:
        return Comparison(
            tuple(_missed(truth, name, unit) for name, unit in true_names.items()), (*found_names,)
        )
    comparison = _compare(_sorting(truth, true_names, rate), _sorting(found, found_names, rate), tolerance_ms)
    if pairing == "name":
        partners = {name: name if name in found_names else None for name in true_names}
    else:
        matches = comparison.hungarian_match_12
        partners = {name: matches[name] or None for name in true_names}  # "" where there is none
    units = [
        _missed(truth, name, unit)
        if (partner := partners[name]) is None
        else _verdict(
            name,
            partner,
            both=int(comparison.match_event_count.at[name, partner]),
            true_spikes=int(comparison.event_counts1[name]),
            found_spikes=int(comparison.event_counts2[partner]),
        )
        for name, unit in true_names.items()
    ]
    return Comparison(tuple(units), tuple(name for name in found_names if name not in partners.values()))


def _compare(truth: BaseSorting, found: BaseSorting, tolerance_ms: float) -> Any:
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    return compare_sorter_to_ground_truth(
        truth, found, delta_time=tolerance_ms, match_score=LEAST_AGREEMENT, exhaustive_gt=True
    )


def _sorting(spikes: Spikes, names: dict[str, int], fs_hz: float) -> BaseSorting:
    """Make a SpikeInterface sorting with names as ids: its comparison requires ids of one type."""
    from spikeinterface.core import NumpySorting

    return NumpySorting.from_unit_dict([{name: spikes.of(k).sample for name, k in names.items()}], fs_hz)


def _unit_names(spikes: Spikes) -> dict[str, int]:
    """Return the units that have spikes, by name."""
    return {spikes.name_of(unit): unit for unit in spikes.unit_ids if unit != UNKNOWN}


def _verdict(name: str, partner: str, *, both: int, true_spikes: int, found_spikes: int) -> UnitComparison:
    every = true_spikes + found_spikes - both
    return UnitComparison(
        name, partner, both / every, both / found_spikes, both / true_spikes, true_spikes, found_spikes
    )


def _missed(truth: Spikes, name: str, unit: int) -> UnitComparison:
    return UnitComparison(name, None, 0.0, 0.0, 0.0, truth.counts()[unit], 0)
