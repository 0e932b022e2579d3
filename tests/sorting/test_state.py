"""The channels of a recording are those that a sorter was fitted to, by their ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.core.settings import load_settings
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study() -> list[SimulatedRecording]:
    return simulate_study(units=2, seconds=5, noise_levels=(0.5,), channels=2, seed=4)


def recording_of(one: SimulatedRecording, ids: list[str]) -> NumpyRecording:
    return NumpyRecording([one.trace], FS_HZ, channel_ids=ids)


def test_channels_go_by_id(study: list[SimulatedRecording], tmp_path: Path) -> None:
    labelled, target = study[0], study[1]
    settings = load_settings(assignments=PURSUIT)
    Sorter.fit(recording_of(labelled, ["e1", "e2"]), labelled.spikes, settings=settings).save(tmp_path)
    sorter = Sorter.load(tmp_path)
    assert sorter.state.channel_ids == ("e1", "e2")
    expected = sorter.sort(recording_of(target, ["e1", "e2"]))
    swapped = NumpyRecording([target.trace[:, ::-1]], FS_HZ, channel_ids=["e2", "e1"])
    assert sorter.sort(swapped) == expected
    np.testing.assert_array_equal(
        sorter.evidence(swapped, stop=5000), sorter.evidence(recording_of(target, ["e1", "e2"]), stop=5000)
    )
    adapted = sorter.adapt(swapped)
    assert adapted.state.channel_ids == ("e1", "e2")
    assert adapted.sort(swapped) == adapted.sort(recording_of(target, ["e1", "e2"]))
    for use in (sorter.sort, sorter.adapt):
        with pytest.raises(
            InputError, match="has the channels e1, e3, but the labelled recording has e1, e2"
        ):
            use(recording_of(target, ["e1", "e3"]))
    older = replace(sorter.state, channel_ids=())
    assert older.fitting(swapped) is swapped
