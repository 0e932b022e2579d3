from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.score import match_spikes, score, study_score
from spikesorter.core.spikes import Spikes

trains = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), min_size=1, max_size=25)


def spikes(pairs: list[tuple[int, int]]) -> Spikes:
    return Spikes.from_arrays([sample for sample, _ in pairs], [unit for _, unit in pairs])


def paired_naively(true: list[int], found: list[int], tolerance: int) -> list[tuple[int, int]]:
    """The rule of the study, word by word."""
    distances = [
        (abs(t - f), i, j) for i, t in enumerate(true) for j, f in enumerate(found) if abs(t - f) <= tolerance
    ]
    pairs: list[tuple[int, int]] = []
    for _, i, j in sorted(distances):
        if all(i != p and j != q for p, q in pairs):
            pairs.append((i, j))
    return sorted(pairs)


@given(trains, trains)
def test_matching_follows_the_rule(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    true, found = spikes(a).sample, spikes(b).sample
    i, j = match_spikes(true, found, tolerance_samples=50)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == paired_naively(true.tolist(), found.tolist(), 50)


def test_of_equal_distances_the_earlier_true_spike_comes_first() -> None:
    i, j = match_spikes(np.array([100, 140]), np.array([120]), tolerance_samples=50)
    assert (i.tolist(), j.tolist()) == ([0], [0])


@pytest.mark.parametrize(("distance", "hit"), [(50, True), (51, False)])
def test_the_loose_tolerance_is_50_samples_at_25_khz(distance: int, hit: bool) -> None:
    result = score(spikes([(1000, 1)]), spikes([(1000 + distance, 1)]))
    assert result.f_det == (1.0 if hit else 0.0)
    assert result.strict == 0


@pytest.mark.parametrize(("distance", "hit"), [(10, True), (11, False)])
def test_the_strict_tolerance_is_10_samples_at_25_khz(distance: int, hit: bool) -> None:
    assert score(spikes([(1000, 1)]), spikes([(1000 + distance, 1)])).strict == (1.0 if hit else 0.0)


def test_tolerances_are_times_not_samples() -> None:
    assert score(spikes([(1000, 1)]), spikes([(1012, 1)]), fs_hz=30_000).strict == 1
    assert score(spikes([(1000, 1)]), spikes([(1013, 1)]), fs_hz=30_000).strict == 0


@pytest.mark.parametrize("rates", [(30_000.0, 30_000.0), (30_000.0, None), (None, 30_000.0)])
def test_the_rate_is_that_of_the_spikes(rates: tuple[float | None, float | None]) -> None:
    truth, found = (Spikes([start], [1], fs_hz=rate) for start, rate in zip((1000, 1012), rates, strict=True))
    assert score(truth, found).strict == 1.0


def test_without_any_rate_it_is_25_khz() -> None:
    assert score(spikes([(1000, 1)]), spikes([(1012, 1)])).strict == 0
    assert score(spikes([(1000, 1)]), spikes([(1010, 1)])).strict == 1


def test_spikes_of_different_rates_are_not_scored() -> None:
    truth, found = Spikes([1000], [1], fs_hz=25_000.0), Spikes([1200], [1], fs_hz=30_000.0)
    with pytest.raises(InputError, match=r"different sampling rates \(25000 and 30000 Hz\)"):
        score(truth, found)
    with pytest.raises(InputError, match=r"different sampling rates \(25000 and 30000 Hz\)"):
        score(truth, truth, fs_hz=30_000.0)


def test_the_truth_comes_first() -> None:
    """Changed places, precision and recall would change places too, unseen by any F1."""
    truth, found = spikes([(100, 1), (500, 1), (900, 2), (1300, 3)]), spikes([(100, 1), (900, 4), (1700, 1)])
    result = score(truth, found)
    assert (result.precision, result.recall) == (2 / 3, 1 / 2)
    assert set(result.strict_of) == {1, 2, 3}
    assert result.confusion[result.unit_ids.index(2), result.unit_ids.index(4)] == 1
    by_name = score(found=found, truth=truth)
    assert by_name.summary() == result.summary()


@given(trains)
def test_a_perfect_sorting_scores_one(pairs: list[tuple[int, int]]) -> None:
    result = score(spikes(pairs), spikes(pairs))
    assert result.summary() == dict.fromkeys(result.summary(), 1.0) or result.f_det == 1.0
    assert result.strict == 1.0


def test_a_worked_example() -> None:
    true = spikes([(100, 1), (300, 1), (500, 2), (700, 2)])
    found = spikes([(102, 1), (300, 2), (505, 2), (900, 1)])
    result = score(true, found)
    assert (result.precision, result.recall, result.f_det) == (0.75, 0.75, 0.75)
    # Among the three pairs: unit 1 has 1 right, 1 taken for 2; unit 2 has 1 right.
    assert result.f_cls == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert result.score == pytest.approx(0.3 * 0.75 + 0.7 * 2 / 3)
    assert result.strict_of == {1: pytest.approx(0.5), 2: pytest.approx(0.5)}
    assert result.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 0]]


def test_missed_spikes_do_not_enter_the_classification() -> None:
    true = spikes([(100, 1), (300, 2), (500, 1), (900, 2)])
    result = score(true, true.within(0, 400))
    assert (result.f_cls, result.recall) == (1.0, 0.5)


def test_no_spikes_is_a_result() -> None:
    result = score(spikes([(100, 1)]), Spikes.empty())
    assert result.summary() == dict.fromkeys(result.summary(), 0.0)
    assert score(Spikes.empty(), spikes([(100, 1)])).score == 0
    assert score(Spikes.empty(), Spikes.empty()).precision == 0


def test_the_study_weighs_later_targets_more() -> None:
    names = ("D2", "D3", "D4", "D5", "D6")
    for name, weight in zip(names, (0.10, 0.15, 0.20, 0.25, 0.30), strict=True):
        assert study_score({other: float(other == name) for other in names}) == pytest.approx(weight)
    assert study_score({"D2": 1.0, "D3": 0.0}) == pytest.approx(0.4)
    assert study_score({}) == 0


@pytest.mark.parametrize(("distance", "hit"), [(400, True), (401, False)])
def test_the_strict_tolerance_is_400_samples_at_1_mhz(distance: int, hit: bool) -> None:
    true = spikes([(100_000, 1)])
    assert score(true, true.shifted(distance), fs_hz=1e6).strict == float(hit)


@pytest.mark.parametrize("place", [0, 1])
def test_what_are_no_spikes_is_refused(place: int) -> None:
    pair: list[object] = [spikes([(100, 1)]), spikes([(100, 1)])]
    pair[place] = np.array([100])
    with pytest.raises(InputError, match="expected Spikes, not a ndarray"):
        score(*pair)  # type: ignore[arg-type]


@pytest.mark.parametrize(("distance", "hit"), [(2000, True), (2001, False)])
def test_the_loose_tolerance_is_2000_samples_at_1_mhz(distance: int, hit: bool) -> None:
    true = spikes([(100_000, 1)])
    assert score(true, true.shifted(distance), fs_hz=1e6).f_det == float(hit)


@pytest.mark.parametrize("side", ["truth", "found", "both"])
def test_spikes_in_bad_stretches_of_either_are_left_out_on_both_sides(side: str) -> None:
    truth = Spikes([100, 1000, 5000], [1, 1, 2], fs_hz=25_000.0)
    found = Spikes([100, 1100, 1200, 5000], [1, 1, 2, 2])
    assert score(truth, found).precision == 0.5
    parts = [BadStretches.of([(900, 1150, "artefact")]), BadStretches.of([(1150, 1400, "dead")])]
    whole = parts[0].joined(parts[1])
    bad = {"truth": (whole, None), "found": (None, whole), "both": parts}[side]
    truth, found = (replace(one, bad=b or one.bad) for one, b in zip((truth, found), bad, strict=True))
    result = score(truth, found)
    assert (result.score, result.strict, result.left_out_s) == (1.0, 1.0, 0.02)
    assert result.confusion.sum() == 2


def test_nothing_is_left_out_where_nothing_is_bad() -> None:
    assert score(spikes([(1000, 1)]), spikes([(1000, 1)])).left_out_s == 0


def test_units_are_the_same_if_their_names_are() -> None:
    truth = Spikes([100, 300, 500], [1, 2, 1], names={1: "basket", 2: "granule"})
    found = Spikes([100, 300, 500, 900], [2, 1, 2, 3], names={1: "granule", 2: "basket", 3: "stellate"})
    result = score(truth, found)
    assert (result.f_cls, result.strict_of) == (1.0, {1: 1.0, 2: 1.0})
    assert result.unit_ids == (1, 2, 3)
    assert result.names[3] == "stellate"
    assert score(truth, Spikes([100, 300, 500], [1, 2, 1])).strict == 1.0  # numbers, where one has no names
