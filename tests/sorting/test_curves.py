from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.sorting.curves import evidence_of, trace_reader
from spikesorter.sorting.state import SorterState

GIVEN = NumpyRecording([np.zeros((100, 2), np.float32)], 25_000.0)
FITTING = NumpyRecording([np.ones((90, 2), np.float32)], 25_000.0)
BAD = BadStretches.of([(3, 5, "given")])


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> SorterState:
    """Return a state whose decoder's evidence is the number of each sample, in three columns."""

    def fitting(target: NumpyRecording) -> NumpyRecording:
        assert target in (GIVEN, FITTING)
        return FITTING

    def read_evidence(decoder: Any, read: Any, n_samples: int, start: int, stop: int) -> np.ndarray:
        assert (read, n_samples) == (("without hum", "filter"), 90)
        return np.arange(start, stop)[:, None] + np.zeros(3)

    def screened_target(state: Any, target: Any, exclude: Any, *, known: Any, n_jobs: int) -> Any:
        assert (target, exclude, known, n_jobs) == (FITTING, None, BAD, 1)
        return SimpleNamespace(without_hum=lambda kernel: ("without hum", kernel))

    def decoder_for(target: NumpyRecording) -> Any:
        assert target is FITTING
        return SimpleNamespace(curves=lambda evidence: evidence * [1, 10, 100])

    monkeypatch.setattr("spikesorter.sorting.curves.read_evidence", read_evidence)
    monkeypatch.setattr("spikesorter.sorting.curves.screened_target", screened_target)
    units = SimpleNamespace(known=(4, 9))
    return cast(
        SorterState,
        SimpleNamespace(fitting=fitting, decoder_for=decoder_for, units=units, hum_filter="filter"),
    )


def test_curves_are_of_the_labelled_units_and_the_samples_that_are_asked_for(state: SorterState) -> None:
    curves = evidence_of(state, GIVEN, 88, 90, bad=BAD)
    assert curves.tolist() == [[88, 880], [89, 890]]
    assert len(evidence_of(state, GIVEN, 0, None, bad=BAD)) == 90
    assert evidence_of(state, GIVEN, 89, None, bad=BAD)[:, 0].tolist() == [89]


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 91), (90, None), (0, 0)])
def test_samples_that_are_not_there_are_refused(state: SorterState, start: int, stop: int | None) -> None:
    last = 90 if stop is None else stop
    with pytest.raises(InputError, match=f"no samples from {start} to {last}: the recording has 90"):
        evidence_of(state, GIVEN, start, stop, bad=BAD)


def test_a_trace_is_read_without_hum_and_what_is_known_as_bad(state: SorterState) -> None:
    assert cast(Any, trace_reader(state, GIVEN, bad=BAD)) == ("without hum", "filter")
