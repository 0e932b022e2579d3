"""Stretches are cut out where no spike is cut through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def in_cells(height: dict[int, float], cells: int = 100) -> np.ndarray:
    """Return two channels that swing by 2 in each cell of ten samples, the second by others in some cells."""
    trace = np.tile([[1.0], [-1.0]], (5 * cells, 2))
    for cell, swing in height.items():
        trace[10 * cell : 10 * cell + 10, 1] *= swing / 2
    return trace


@pytest.mark.parametrize(
    ("start", "stop", "height", "widened"),
    [
        (500, 600, {}, (490, 610)),
        (505, 595, {}, (490, 610)),
        (501, 601, {}, (490, 620)),
        (0, 100, {}, (0, 110)),
        (100, 1000, dict.fromkeys(range(10, 100), 9.0), (80, 1000)),
        (500, 600, {48: 3.2, 61: 3.2}, (490, 610)),
        (500, 600, {48: 3.3}, (460, 610)),
        (500, 600, {61: 3.3}, (490, 640)),
        (500, 600, {47: 9.0, 62: 9.0}, (490, 610)),
        (500, 600, {50: 9.0, 59: 9.0}, (480, 620)),
        (500, 600, dict.fromkeys(range(12, 50), 9.0), (100, 610)),
        (500, 600, dict.fromkeys(range(11, 50), 9.0), (490, 610)),
        (500, 600, dict.fromkeys(range(60, 98), 9.0), (490, 1000)),
    ],
)
def test_it_ends_in_the_nearest_cell_that_is_quiet_with_its_neighbours(
    start: int, stop: int, height: dict[int, float], widened: tuple[int, int]
) -> None:
    """A cell is loud above 1.6 times the noise; no more than 40 are looked at."""
    bad = BadStretches.of([(start, stop, "dead")])
    assert list(between_spikes(bad, in_cells(height), 10)) == [(*widened, "dead")]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 994), st.integers(1, 300)), min_size=1, max_size=4),
    st.dictionaries(st.integers(0, 99), st.sampled_from([3.3, 9.0, np.nan, np.inf])),
    st.sampled_from([np.float32, np.int16]),
)
def test_stretches_grow_within_the_recording(
    spans: list[tuple[int, int]], height: dict[int, float], dtype: type
) -> None:
    """The recording is not a whole number of cells long."""
    trace = in_cells(height)[:995]
    if dtype is np.int16:
        trace = np.nan_to_num(trace, posinf=9, neginf=-9)
    bad = BadStretches.of([(start, min(start + length, 995), "dead") for start, length in spans])
    widened = between_spikes(bad, trace.astype(dtype), 10)
    every = np.arange(995)
    assert (widened.contain(every) | ~bad.contain(every)).all()
    assert widened.stop[-1] <= 995
    assert widened.samples <= bad.samples + len(bad) * 2 * (MOST_CELLS + 1) * 10


def test_where_all_is_bad_nothing_is_looked_for() -> None:
    bad = BadStretches.of([(0, 1000, "missing")])
    assert between_spikes(bad, np.full((1000, 2), np.nan), 10) == bad
