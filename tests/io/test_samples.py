from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpySorting

from spikesorter.core.errors import InputError
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.samples import as_spikes, check_trace
from tests.conftest import FS_HZ


def test_labels_are_spikes_or_a_sorting_of_the_recordings_rate() -> None:
    spikes = Spikes.from_arrays([120, 300], [2, 1])
    assert as_spikes(spikes, fs_hz=FS_HZ) is spikes
    sorting = NumpySorting.from_unit_dict([{"b": np.array([300]), "a": np.array([120])}], FS_HZ)
    assert as_spikes(sorting, fs_hz=FS_HZ) == Spikes.from_arrays([120, 300], [2, 1])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(np.array([120, 300]), "ndarray"), (([120], [1]), "tuple"), ("labels.csv", "str"), ({}, "dict")],
)
def test_what_are_no_labels_is_called_by_its_kind(labels: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"expected Spikes or a SpikeInterface sorting, not a {kind}"):
        as_spikes(labels, fs_hz=FS_HZ)


@pytest.mark.parametrize("fs_hz", [30_000.0, 25_001.0])
def test_labels_at_another_rate_are_refused(fs_hz: float) -> None:
    sorting = NumpySorting.from_unit_dict([{"1": np.array([300])}], fs_hz)
    with pytest.raises(InputError, match=f"labels count at {fs_hz:g} Hz, but the recording is at 25000 Hz"):
        as_spikes(sorting, fs_hz=FS_HZ)


def test_channels_on_which_nothing_was_recorded_are_named(rng: np.random.Generator) -> None:
    trace = rng.normal(size=(50_000, 4)).astype(np.float32)
    check_trace(trace, Settings())
    trace[:, [1, 3]] = 7
    with pytest.raises(InputError, match=r"nothing was recorded on channel 1, 3 \(counted from 0\)"):
        check_trace(trace, Settings())
    with pytest.raises(InputError, match="the trace is constant"):
        check_trace(np.zeros_like(trace), Settings())
