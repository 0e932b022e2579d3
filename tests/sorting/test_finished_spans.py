from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finished_spans import open_spans


@pytest.mark.slow
def test_a_flipped_bit_in_a_finished_span_is_noticed_and_never_raises(tmp_path: Path) -> None:
    spans = open_spans(tmp_path / "spans", {"recording": "a"})
    spikes = Spikes.from_arrays([100, 250], [1, 2], [0.5, 0.9])
    spans.write(0, 1000, spikes)
    (path,) = (tmp_path / "spans").glob("*.npz")
    whole = path.read_bytes()
    assert spans.read(0, 1000) == spikes
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            found = spans.read(0, 1000)
            assert found is None or found == spikes
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert spans.read(0, 1000) is None
    np.savez(path, sample=np.array([1]))
    assert spans.read(0, 1000) is None
