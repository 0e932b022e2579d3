"""One more spike is put where the pursuit's evidence says, by whoever points near it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import padded
from spikesorter.report.placing import best_place
from spikesorter.report.results import Result
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.placing import SAME, Placer
from tests.decoding.test_pursuit import make_decoder


@pytest.mark.slow
def test_spikes_that_were_left_out_are_found_again_from_near_their_peaks(results: list[Result]) -> None:
    result = results[0]
    spikes = result.spikes
    clear = np.flatnonzero(spikes.joint > 0.99)[10:70:3]
    right = 0
    for k in clear.tolist():
        others = spikes.select(np.arange(len(spikes)) != k)
        placed = best_place(result, others, int(spikes.sample[k]) + 8, None)
        assert placed is not None
        right += abs(placed.sample - spikes.sample[k]) <= 2 and placed.unit == spikes.unit[k]
        assert placed.log_odds > 0
    assert right >= 0.9 * len(clear)


@pytest.mark.slow
def test_where_nothing_is_left_a_spike_is_improbable(results: list[Result]) -> None:
    result = results[0]
    at = int(result.spikes.sample[result.spikes.joint > 0.99][20])
    again = best_place(result, result.spikes, at, None)
    assert again is not None
    assert again.log_odds < 0  # its spike explains it already
    unit = result.sorter.units.known[0]
    assert best_place(result, result.spikes, at, unit).unit == unit  # type: ignore[union-attr]
    assert best_place(result, result.spikes, at, 77) is None
    with pytest.raises(InputError, match="has no template"):
        Placer(result.sorter).best(result.recording, result.spikes, at, at + 5, unit=77)


SPREAD = 0.1
NONE = Spikes.empty()


class Known:
    """A placer whose templates are known, on a trace without noise."""

    def __init__(self, shapes: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes, self.bad = shapes, []
        self.pursuit = replace(make_decoder(shapes, 0.5), spreads=np.full(2, SPREAD))
        monkeypatch.setattr("spikesorter.sorting.placing.make_pursuit", lambda context, profile: self.pursuit)

    def placer(self, there: Spikes, *, units: tuple[int, ...] = (1, 2), length: int = 600) -> Placer:
        trace = plant(length, there, np.ones(len(there), np.float32), self.shapes)
        self.trace = trace
        state = SimpleNamespace(lessons=SimpleNamespace(context=None))

        def reader(recording: Any, *, bad: BadStretches) -> Any:
            self.bad.append(bad)
            return padded(trace)

        sorter: Any = SimpleNamespace(
            state=state, profile=None, units=SimpleNamespace(known=units), trace_reader=reader
        )
        return Placer(sorter)


@pytest.fixture
def known(shapes: Templates, monkeypatch: pytest.MonkeyPatch) -> Known:
    return Known(shapes, monkeypatch)


@pytest.mark.parametrize("unit", [1, 2])
def test_log_odds_are_those_of_all_amplitudes_that_the_spike_could_have(known: Known, unit: int) -> None:
    placed = known.placer(Spikes.from_arrays([300], [unit])).best(Any, NONE, 280, 310)
    assert (placed.sample, placed.unit) == (300, unit)
    bank, column = known.pursuit.bank, unit - 1
    output = bank.apply(known.trace[300 - bank.margin.before : 301 + bank.margin.after])[0, column]
    amplitude = np.linspace(0, 2, 4001)
    prior = np.exp(-0.5 * ((amplitude - 1) / SPREAD) ** 2) / (SPREAD * np.sqrt(2 * np.pi))
    log_ratio = amplitude * float(output) - 0.5 * amplitude**2 * float(bank.energies[column])
    integral = np.sum(prior * np.exp(log_ratio - log_ratio.max())) * (amplitude[1] - amplitude[0])
    expected = float(known.pursuit.log_odds[column]) + log_ratio.max() + np.log(integral)
    assert placed.log_odds == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("lag", [-35, -20, -12, 12, 20, 35])
def test_what_other_spikes_explain_is_taken_out_on_either_side(known: Known, lag: int) -> None:
    both = Spikes.from_arrays([300, 300 + lag], [1, 2])
    placer = known.placer(both)
    placed = placer.best(Any, both.of(1), 300 + lag - 4, 300 + lag + 5)
    assert abs(placed.sample - 300 - lag) <= 1
    assert placed.unit == 2
    assert placed.log_odds > 0
    assert placer.best(Any, both, 300 + lag - 4, 300 + lag + 5).log_odds < 0


@pytest.mark.parametrize("unit", [1, 2])
def test_a_spike_before_the_range_explains_what_is_left_of_it_there(known: Known, unit: int) -> None:
    one = Spikes.from_arrays([300], [unit])
    placer = known.placer(one)
    assert placer.best(Any, one, 305, 330).log_odds < 0 < placer.best(Any, NONE, 290, 330).log_odds
    silent = known.placer(NONE)
    assert placer.best(Any, one, 305, 306).log_odds == pytest.approx(
        silent.best(Any, NONE, 305, 306).log_odds, abs=0.01
    )


def test_a_unit_has_no_two_spikes_within_a_few_samples_and_others_may(known: Known) -> None:
    one = Spikes.from_arrays([300], [1])
    placer = known.placer(one)
    with pytest.raises(InputError, match="on every sample near here"):
        placer.best(Any, one, 300 - SAME, 300 + SAME + 1, unit=1)
    assert placer.best(Any, one, 300 - SAME, 300 + SAME + 2, unit=1).sample == 300 + SAME + 1
    assert placer.best(Any, one, 300 - SAME - 1, 300 + SAME + 1, unit=1).sample == 300 - SAME - 1
    assert placer.best(Any, one, 300 - SAME, 300 + SAME + 1).unit == 2


def test_only_units_of_the_sorter_are_placed_and_spikes_of_others_are_left_aside(known: Known) -> None:
    bad = BadStretches.of([(0, 50, "dead")])
    others = replace(Spikes.from_arrays([300, 301], [0, 77]), bad=bad)
    placer = known.placer(Spikes.from_arrays([300], [1]), units=(2,))
    assert placer.best(Any, others, 280, 310).unit == 2
    assert known.bad == [bad]
    with pytest.raises(InputError, match="unit 1 has no template"):
        placer.best(Any, NONE, 280, 310, unit=1)


def test_places_at_the_ends_of_a_recording_can_be_told(known: Known) -> None:
    placer = known.placer(Spikes.from_arrays([2, 568], [1, 1]))
    assert placer.best(Any, NONE, 0, 12).sample == 2
    assert placer.best(Any, NONE, 560, 600, unit=1).sample == 568
