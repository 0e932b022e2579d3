from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, Spikes, adapt_groups, fit_groups, load_settings
from spikesorter.simulate import simulate_study
from tests.conftest import FS_HZ, PURSUIT


class Known(NamedTuple):
    """A sorter that was adapted to a target, and what it was made from."""

    labelled: np.ndarray
    truth: Spikes
    target: np.ndarray
    target_truth: Spikes
    sorter: Sorter
    groups: dict[str, Sorter]


SETTINGS = load_settings(assignments=(*PURSUIT, "unlabelled.learn=false"))


def recording_of(
    trace: np.ndarray, *, groups: list[str] | None = None, fs_hz: float = FS_HZ
) -> NumpyRecording:
    recording = NumpyRecording([trace], fs_hz)
    if groups:
        recording.set_property("group", groups)
    return recording


@pytest.fixture(scope="session")
def known() -> Known:
    labelled, target = simulate_study(units=2, seconds=8, noise_levels=(0.8,), seed=3)
    fitted = Sorter.fit(recording_of(labelled.trace), labelled.spikes, settings=SETTINGS)
    one = recording_of(labelled.trace, groups=["a"])
    groups = fit_groups(one, labelled.spikes, settings=SETTINGS)
    return Known(
        labelled.trace,
        labelled.spikes,
        target.trace,
        target.spikes,
        fitted.adapt(recording_of(target.trace)),
        adapt_groups(groups, recording_of(target.trace, groups=["a"])),
    )
