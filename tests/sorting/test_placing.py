"""One more spike is put where the pursuit's evidence says, by whoever points near it."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.placing import best_place
from spikesorter.report.results import Result
from spikesorter.sorting.placing import Placer

pytestmark = pytest.mark.slow


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
