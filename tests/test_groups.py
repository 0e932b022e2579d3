from __future__ import annotations

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.config import Settings
from spikesorter.errors import InputError
from spikesorter.evaluate import score
from spikesorter.groups import adapt_groups, channel_groups, fit_groups, share_labels, sort_groups
from spikesorter.simulate import simulate_study
from spikesorter.sorter import Sorter
from spikesorter.spikes import Spikes
from tests.conftest import FS_HZ

SETTINGS = Settings().set_params(
    decoder="pursuit", rehearsal__tuning_seconds=10, rehearsal__forecast_seconds=10
)
NAMES = {1: "a", 2: "b", 3: "c", 4: "d"}


def two_tetrodes(number: int) -> tuple[NumpyRecording, Spikes]:
    """Two stereotrodes far from each other, neurons 1 and 2 on one of them, 3 and 4 on the other."""
    left, right = (
        simulate_study(neurons=2, seconds=10, noise_levels=(1.0,), channels=2, seed=seed)[number]
        for seed in (5, 6)
    )
    traces = np.concatenate([left.trace, right.trace], axis=1)[:, [0, 2, 1, 3]]
    recording = NumpyRecording([traces], FS_HZ)
    recording.set_property("group", ["left", "right", "left", "right"])
    parts = [left.spikes, Spikes.from_arrays(right.spikes.sample, right.spikes.label + 2)]
    return recording, Spikes.concatenate(parts).described(fs_hz=FS_HZ, names=NAMES)


@pytest.fixture(scope="module")
def sorters() -> dict[str, Sorter]:
    return fit_groups(*two_tetrodes(0), settings=SETTINGS)


def test_groups_are_the_propertys_in_order_of_their_channels() -> None:
    recording, truth = two_tetrodes(0)
    groups = channel_groups(recording)
    assert [(name, group.channel_ids.tolist()) for name, group in groups.items()] == [
        ("left", [0, 2]), ("right", [1, 3])
    ]  # fmt: skip
    shares = share_labels(recording, truth)
    assert {name: share.labels for name, share in shares.items()} == {"left": (1, 2), "right": (3, 4)}
    alone = channel_groups(NumpyRecording([np.zeros((10, 2), np.float32)], FS_HZ))
    assert [group.channel_ids.tolist() for group in alone.values()] == [[0, 1]]


def test_each_group_is_sorted_by_its_own_sorter_into_one_result(sorters: dict[str, Sorter]) -> None:
    target, truth = two_tetrodes(1)
    spikes = sort_groups(adapt_groups(sorters, target), target)
    assert spikes.names == NAMES
    assert spikes.fs_hz == FS_HZ
    assert score(spikes, truth).strict > 0.95


def test_a_target_without_the_group_is_refused(sorters: dict[str, Sorter]) -> None:
    target, _ = two_tetrodes(1)
    target.set_property("group", ["left", "middle", "left", "middle"])
    with pytest.raises(InputError, match="has no group right; its channels are in: left, middle"):
        sort_groups(sorters, target)


def test_a_group_without_neurons_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    recording, truth = two_tetrodes(0)
    sorters = fit_groups(recording, truth.select(truth.label <= 2), settings=SETTINGS)
    assert list(sorters) == ["left"]
    assert "group right: no labelled neuron is largest there" in caplog.text


def test_a_whole_probe_is_not_taken_for_a_tetrode() -> None:
    probe = NumpyRecording([np.zeros((5000, 64), np.float32)], FS_HZ)
    with pytest.raises(InputError, match="has 64 channels; a sorter takes up to 32"):
        Sorter.fit(probe, Spikes.from_arrays([100], [1]))
