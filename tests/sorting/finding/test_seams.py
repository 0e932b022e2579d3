"""Stretches are cut out where no spike is cut through."""

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.sorting.finding.seams import MOST_CELLS, between_spikes

CELL, N = 12, 12_000


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((N, 2))


@pytest.mark.parametrize("start", [5_990, 6_085, 6_105])
def test_no_spike_reaches_over_an_end(noise: np.ndarray, start: int) -> None:
    """The spike lies at the stretch's start, at its stop, or after its stop by less than a spike's length."""
    noise[start : start + 30, 1] += 40
    widened = between_spikes(BadStretches.of([(6_000, 6_100, "artefact")]), noise, CELL)
    (first, last, kind) = next(iter(widened))
    assert len(widened) == 1
    assert first <= min(start, 6_000)
    assert last >= max(start + 30, 6_100)
    assert last - first < 400
    assert kind == "artefact"


def test_where_nothing_is_quiet_a_stretch_stays_as_it_is(noise: np.ndarray) -> None:
    noise[5_000:8_000] *= 50
    bad = BadStretches.of([(6_000, 6_100, "artefact")])
    widened = between_spikes(bad, noise, CELL)
    assert widened.samples <= bad.samples + 3 * CELL


def test_at_the_ends_of_a_recording(noise: np.ndarray) -> None:
    noise[-20:] += 40
    widened = between_spikes(BadStretches.of([(0, 10, "given"), (N - 15, N - 5, "missing")]), noise, CELL)
    assert widened.start[0] == 0
    assert N - 20 - (MOST_CELLS * CELL) < widened.start[1] <= N - 20
    assert widened.stop[1] == N


def test_nothing_bad_stays_nothing(noise: np.ndarray) -> None:
    assert len(between_spikes(BadStretches(), noise, CELL)) == 0
