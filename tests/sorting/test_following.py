from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.decoding.calibration import UNCALIBRATED
from spikesorter.decoding.candidates import WorkingPoint
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.tuning import TunedDecoder
from spikesorter.signal.spans import Margin
from spikesorter.sorting.following import Following, digest_of, following_of, part_stops
from tests.decoding.test_run import Sums

FIRST, SECOND, WHOLE = (Sums(16, Margin(before, 9)) for before in (1, 5, 3))


def tuned(decoder: object) -> TunedDecoder:
    return TunedDecoder(decoder, UNCALIBRATED, WorkingPoint((1,), (0.5,), 3, True), "pursuit", 0.9)  # type: ignore[arg-type]


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60)), max_size=6),
)
def test_parts_hold_equal_numbers_of_good_samples(parts: int, stretches: list[tuple[int, int]]) -> None:
    bad = BadStretches.of([(start, start + length, "dead") for start, length in stretches])
    stops = part_stops(parts, 1000, bad)
    good = ~bad.contain(np.arange(1000))
    counts = [good[a:b].sum() for a, b in zip((0, *stops[:-1]), stops, strict=True)]
    assert sum(counts) == good.sum()
    assert max(counts) - min(counts) <= 1
    assert list(stops) == sorted(stops)


def test_a_decoder_in_parts_is_taken_apart_and_put_together_again() -> None:
    whole, following = following_of(tuned(InParts(WHOLE, (FIRST, SECOND), (1, 2))))  # type: ignore[arg-type]
    assert whole.decoder is WHOLE
    assert following is not None
    again = Following(following.parts, (50, 100), "digest").decoder(WHOLE)  # type: ignore[arg-type]
    assert again.decoders == (FIRST, SECOND)
    assert again.stops == (50, 100)
    assert following_of(tuned(WHOLE)) == (tuned(WHOLE), None) or following_of(tuned(WHOLE))[1] is None


@pytest.mark.parametrize("change", [0, 1])
def test_a_recording_is_recognised_by_its_length_and_samples(change: int) -> None:
    trace = np.random.default_rng(0).standard_normal((1000, 1)).astype(np.float32)
    other = trace.copy()
    other[500] += change
    one, two = (digest_of(NumpyRecording([samples], 1000.0)) for samples in (trace, other))
    assert (one == two) == (change == 0)
    assert digest_of(NumpyRecording([trace[:-1]], 1000.0)) != one
