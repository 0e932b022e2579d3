from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.signal.filters import fir_filter, fir_margin
from spikesorter.signal.spans import Margin, iterate_spans, read_span
from tests.conftest import run_in_spans


def test_margins_of_operators_in_a_row_add_up() -> None:
    assert Margin(3, 4) + Margin(10, 1) == Margin(13, 5)


@given(st.integers(0, 500), st.integers(1, 200))
def test_spans_cover_everything_once(n_samples: int, span: int) -> None:
    covered = [sample for start, stop in iterate_spans(n_samples, span) for sample in range(start, stop)]
    assert covered == list(range(n_samples))


@pytest.mark.parametrize(("start", "stop"), [(-3, 2), (8, 14), (-5, 20), (-9, -2), (12, 15), (2, 5)])
def test_beyond_its_ends_a_recording_stays_at_its_last_value(start: int, stop: int) -> None:
    trace = np.arange(1, 11, dtype=np.float32)[:, None]
    outside = stop <= 0 or start >= 10
    expected = [0 if outside else trace[min(max(i, 0), 9), 0] for i in range(start, stop)]
    span = read_span(lambda a, b: trace[a:b], len(trace), start, stop)
    assert span[:, 0].tolist() == expected


@pytest.mark.parametrize("span_samples", [7, 64, 1000])
def test_any_span_length_gives_what_one_run_gives(span_samples: int, rng: np.random.Generator) -> None:
    trace = rng.standard_normal((300, 2)).astype(np.float32)
    kernel = rng.standard_normal(21)
    trace[0] = trace[-1] = 0  # beyond the ends, the filter itself takes zeros
    whole = fir_filter(trace, kernel)
    spans = run_in_spans(
        lambda x: fir_filter(x, kernel), trace, margin=fir_margin(kernel), span_samples=span_samples
    )
    np.testing.assert_allclose(spans, whole, atol=1e-4)


def test_too_small_a_margin_is_noticed(rng: np.random.Generator) -> None:
    trace = rng.standard_normal((300, 1)).astype(np.float32)
    kernel = np.ones(21)
    spans = run_in_spans(lambda x: fir_filter(x, kernel), trace, margin=Margin(9, 10), span_samples=64)
    assert np.abs(spans - fir_filter(trace, kernel)).max() > 0.1
