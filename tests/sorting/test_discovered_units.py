"""What is said of a discovered unit follows from numbers that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.discovered_units import DiscoveredUnit, describe_units
from spikesorter.sorting.state import SorterState

FS_HZ = 20_000.0  # 1.5 ms are 30 samples
PERFECT = np.diag([50, 50, 50])


def state_of(
    templates: list[float],
    known: tuple[int, ...],
    *,
    confusion: np.ndarray = PERFECT,
    rehearsed: tuple[int, ...] = (4, 7, 9),
    amplitudes: tuple[float, ...] = (1.0,),
) -> SorterState:
    """Return the state of a sorter whose templates are one shape of different d', alike at a lag of 2."""
    overlaps = np.zeros((len(templates), 9, len(templates)))
    overlaps[:, 6] = np.outer(templates, templates)
    overlaps[np.arange(len(templates)), 4, np.arange(len(templates))] = np.square(templates)
    bank = SimpleNamespace(overlaps=overlaps)
    return cast(
        SorterState,
        SimpleNamespace(
            fs_hz=FS_HZ,
            profile=None,
            lessons=SimpleNamespace(context=SimpleNamespace(bank=lambda profile: bank)),
            units=SimpleNamespace(known=known, amplitudes=(np.array(amplitudes),) * len(templates)),
            diagnostics=SimpleNamespace(confusion=confusion, unit_ids=rehearsed),
        ),
    )


def described(spikes: Spikes, n_samples: int = 200_000, **given: Any) -> DiscoveredUnit:
    """Return what is said of a unit of d' 8, the only one unless others are given."""
    templates, known = given.pop("templates", [8.0]), given.pop("known", (4,))
    return describe_units(state_of(templates, known, **given), spikes, n_samples)[0]


def train(intervals: list[int], probability: float = 1.0, bad: BadStretches | None = None) -> Spikes:
    sample = np.cumsum(intervals)
    return Spikes.from_arrays(sample, np.full(len(sample), 4), probability, bad=bad)


def test_an_interval_is_short_below_a_millisecond_and_a_half() -> None:
    unit = described(train([100, 29, 30, 31, 1, 1000]))
    assert unit.violations == 2 / 5
    assert unit.contamination == 1  # by chance not even one would be
    assert described(train([100])).violations == 0


def test_contamination_is_the_share_that_makes_so_many_intervals_short() -> None:
    """Of 400 spikes in 10 s, 24 intervals are short by chance; a share c of others makes c (2 - c) so."""
    unit = described(train([500] * 382 + [20] * 18))
    assert unit.contamination == pytest.approx(0.5)
    assert unit.contamination * (2 - unit.contamination) == pytest.approx(18 / 24)
    assert unit.rate_hz == 40


def test_bad_stretches_are_no_time_in_which_a_unit_is_silent() -> None:
    bad = BadStretches.of([(10, 40_010, "dead"), (150_000, 210_000, "given")])
    half = described(train([400] * 191 + [20] * 9, bad=bad))
    assert half.rate_hz == 40
    assert half.contamination == pytest.approx(1 - np.sqrt(1 - 9 / 12))


def test_the_nearest_unit_is_a_labelled_one_at_any_lag() -> None:
    """The last template is of a unit without labels: it is nearest to both, but not among those found."""
    units = describe_units(state_of([20.0, 12.0, 8.0, 9.0], (9, 4, 7)), train([500] * 9), 200_000)
    assert [unit.unit for unit in units] == [9, 4, 7]
    assert [unit.nearest for unit in units] == [4, 7, 4]
    assert [unit.nearest_detectability for unit in units] == [8, 4, 4]
    assert [unit.detectability for unit in units] == [20, 12, 8]
    assert [unit.spikes for unit in units] == [0, 9, 0]
    assert [unit.false_share for unit in units] == [1, 0, 1]
    assert units[0].verdict == "doubtful"


def test_missed_spikes_are_those_of_a_units_row_in_the_rehearsal() -> None:
    """The rehearsal lists units in another order; a row is of true spikes, its last column of missed ones."""
    confusion = np.array([[30, 0, 0, 10], [0, 45, 3, 2], [5, 0, 0, 15]])
    state = state_of([30.0, 20.0, 10.0, 5.0], (7, 9, 4, 2), confusion=confusion, rehearsed=(4, 7, 9))
    units = describe_units(state, train([500] * 9), 200_000)
    assert [unit.missed_share for unit in units] == pytest.approx([0.1, 1.0, 0.25, 1.0])


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        ({}, ()),
        ({"templates": [6.0]}, ()),
        ({"templates": [5.99]}, ("d' below 6",)),
        ({"templates": [8.0, 11.0], "known": (4, 7)}, ()),
        ({"templates": [8.0, 10.9], "known": (4, 7)}, ("near another",)),
        ({"templates": [8.0, 5.1], "known": (4, 7)}, ("near another",)),
        ({"templates": [5.5, 7.5], "known": (4, 7)}, ("d' below 6", "near another")),
        ({"confusion": np.array([[81, 19]]), "rehearsed": (4,)}, ()),
        ({"confusion": np.array([[79, 21]]), "rehearsed": (4,)}, ("many missed",)),
    ],
)
def test_a_single_unit_is_clear_and_apart_and_found(given: dict[str, Any], reasons: tuple[str, ...]) -> None:
    unit = described(train([500] * 9), **given)
    assert unit.reasons == reasons
    assert unit.verdict == ("doubtful" if reasons else "single")


@pytest.mark.parametrize(
    ("probability", "verdict", "reasons"), [(0.81, "single", ()), (0.79, "doubtful", ("many false",))]
)
def test_a_single_units_spikes_are_mostly_its_own(
    probability: float, verdict: str, reasons: tuple[str, ...]
) -> None:
    unit = described(train([500] * 9, probability))
    assert unit.false_share == pytest.approx(1 - probability)
    assert (unit.verdict, unit.reasons) == (verdict, reasons)


BECAUSE = {"single": (), "doubtful": ("contaminated",), "multi-unit": ("short intervals",)}


@pytest.mark.parametrize(
    ("short", "spread", "n_samples", "verdict"),
    [
        (13, 0.126, 200_000, "multi-unit"),
        (12, 0.126, 200_000, "doubtful"),
        (9, 0.126, 200_000, "doubtful"),
        (8, 0.126, 200_000, "single"),
        (13, 0.124, 200_000, "single"),
        (10, 0.124, 200_000, "single"),
        (9, 0.124, 200_000, "doubtful"),  # three SD fewer than by chance, so that a neuron pauses
        (8, 0.124, 200_000, "single"),
        (13, 0.126, 1_200_000, "multi-unit"),
        (13, 0.126, 1_200_001, "single"),
    ],
)
def test_several_units_have_many_short_intervals_and_vary(
    short: int, spread: float, n_samples: int, verdict: str
) -> None:
    """By chance 24 intervals are short, or 4 in a longer recording; 0.125 of d' 8 is as much as the noise.

    A share c of other spikes makes c (2 - c) of these short: 8.64 if a fifth are others'.
    """
    spikes = train([450] * (400 - short) + [20] * short)
    unit = described(spikes, n_samples, amplitudes=(1 - spread, 1 + spread))
    assert unit.variation == pytest.approx(8 * spread)
    assert (unit.verdict, unit.reasons) == (verdict, BECAUSE[verdict])


def test_a_unit_of_several_may_have_other_faults() -> None:
    spikes = train([450] * 387 + [20] * 13, 0.7)
    unit = described(spikes, amplitudes=(1 - 0.126, 1 + 0.126))
    assert (unit.verdict, unit.reasons) == ("multi-unit", ("short intervals", "many false"))


def test_a_row_is_rounded_and_keeps_a_neighbour() -> None:
    unit = described(train([500] * 3), templates=[8.0, 20.123456], known=(4, 7))
    row = unit.row()
    assert (row["nearest"], row["nearest_detectability"], row["spikes"]) == (7, 12.1235, 3)
    assert (row["verdict"], row["reasons"]) == ("single", [])
    assert list(row) == DiscoveredUnit.columns()


def test_the_only_unit_has_no_neighbour_and_without_spikes_no_contamination() -> None:
    unit = described(Spikes.empty())
    assert (unit.nearest, unit.nearest_detectability) == (None, np.inf)
    assert (unit.contamination, unit.violations, unit.rate_hz) == (0, 0, 0)
    assert described(train([500] * 3)).verdict == "single"


@pytest.mark.parametrize(
    ("spread", "others", "share", "verdict"),
    [
        (0.0, 100, 0.0668, "single"),  # 3 apart, each varies by the noise's SD of 1: half-way are 1.5 SD
        (0.0, 290, 0.1937, "single"),
        (0.0, 310, 0.2071, "doubtful"),
        (0.12, 100, 0.1615, "single"),  # the SD are now 1.386 and 1.657
        (0.3, 100, 0.3099, "doubtful"),
    ],
)
def test_spikes_of_units_near_it_may_be_among_a_single_units(
    spread: float, others: int, share: float, verdict: str
) -> None:
    amplitudes = (1 - spread, 1 + spread)
    one, other = np.arange(100) * 1000, np.arange(others) * 600 + 500
    spikes = Spikes.from_arrays(np.concatenate([one, other]), np.repeat([4, 7], [100, others]))
    unit = described(spikes, templates=[8.0, 11.0], known=(4, 7), amplitudes=amplitudes)
    assert unit.mixed_share == pytest.approx(share, abs=1e-3)
    assert unit.reasons == {"single": (), "doubtful": ("many mixed",)}[verdict]
    assert unit.verdict == verdict


def test_no_spikes_are_mixed_with_those_of_no_other() -> None:
    assert described(train([500] * 9)).mixed_share == 0
