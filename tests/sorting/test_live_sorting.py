"""What a stream remembers of its signal; its sorting is tested with the stream itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.sorting.live_sorting import Recent


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(-10, 200), max_size=12))
def test_what_is_remembered_reads_as_the_whole_does(lengths: list[int], forgotten: list[int]) -> None:
    values = np.arange(1.0, 500.0, dtype=np.float32)[:, None]
    recent, end, since = Recent(1), 0, 0
    for length, start in zip(lengths, [*forgotten, *[0] * len(lengths)], strict=False):
        recent.append(values[end : end + length])
        end += length
        recent.forget(start)
        since = max(since, min(start, end - 1))
        assert recent.end == end
        assert recent.first <= max(since, 0)
        if end:
            np.testing.assert_array_equal(recent.read(since, end), values[max(since, 0) : end])
            assert recent.read(end - 1, end + 3)[:, 0].tolist() == [end] * 4  # the last goes on
    assert len(recent.values) <= 2 * (end - max(since, 0)) + 1 or not end
