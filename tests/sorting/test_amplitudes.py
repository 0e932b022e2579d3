"""Amplitudes of spikes are measured as they are, also of those that overlap."""

from __future__ import annotations

import numpy as np

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.run import padded
from spikesorter.signal.bank import Bank
from spikesorter.signal.templates import Templates
from spikesorter.sorting.amplitudes import amplitudes
from tests.sorting.test_fading import bank, planted

__all__ = ["bank"]  # a fixture


def test_amplitudes_of_overlapping_spikes_are_estimated_together(shapes: Templates, bank: Bank) -> None:
    spikes = Spikes([500, 506, 900], [3, 5, 3])
    sizes = np.array([0.6, 1.3, 1.0])
    read = padded(planted(shapes, spikes, sizes, 1500))
    around = read(-bank.margin.before, 1500 + bank.margin.after)
    found = amplitudes(bank, around, spikes.sample, np.array([0, 1, 0]))
    np.testing.assert_allclose(found, sizes, atol=0.05)
    assert amplitudes(bank, around, np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)
