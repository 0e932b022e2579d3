from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError, ModelError, SettingsError
from spikesorter.core.score import score
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.labels import read_labels
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.groups import adapt_groups, channel_groups, fit_groups, share_labels, sort_groups
from spikesorter.sorting.model import load_model, load_sorters
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.live import listen
from spikesorter.workflows.live_model import open_streams
from spikesorter.workflows.packets import Packet
from spikesorter.workflows.training import train_model
from tests.conftest import FS_HZ, PURSUIT, warnings_kept

pytestmark = pytest.mark.slow

SETTINGS = load_settings(assignments=PURSUIT)
NAMES = {1: "a", 2: "b", 3: "c", 4: "d"}


@cache
def stereotrode(seed: int) -> list[SimulatedRecording]:
    return simulate_study(units=2, seconds=4, noise_levels=(1.0,), channels=2, seed=seed)


def two_tetrodes(number: int) -> tuple[NumpyRecording, Spikes]:
    """Two stereotrodes far from each other, neurons 1 and 2 on one of them, 3 and 4 on the other."""
    left, right = (stereotrode(seed)[number] for seed in (5, 6))
    traces = np.concatenate([left.trace, right.trace], axis=1)[:, [0, 2, 1, 3]]
    recording = NumpyRecording([traces], FS_HZ)
    recording.set_property("group", ["left", "right", "left", "right"])
    parts = [left.spikes, Spikes.from_arrays(right.spikes.sample, right.spikes.unit + 2)]
    return recording, Spikes.concatenate(parts).described(fs_hz=FS_HZ, names=NAMES)


def warnings_in(said: list[str]) -> list[str]:
    """What was warned of, but for spikes that the simulation itself put at one sample."""
    return [line for line in said if "duplicate" not in line]


@pytest.fixture(scope="module")
def learnt() -> tuple[dict[str, Sorter], list[str]]:
    """Sorters of all groups, and what is warned of while they are learnt."""
    with warnings_kept() as said:
        return fit_groups(*two_tetrodes(0), settings=SETTINGS), said


@pytest.fixture(scope="module")
def sorters(learnt: tuple[dict[str, Sorter], list[str]]) -> dict[str, Sorter]:
    return learnt[0]


@pytest.fixture(scope="module")
def adapted(sorters: dict[str, Sorter]) -> dict[str, Sorter]:
    return adapt_groups(sorters, two_tetrodes(1)[0])


def test_groups_are_the_propertys_in_order_of_their_channels() -> None:
    recording, truth = two_tetrodes(0)
    groups = channel_groups(recording)
    assert [(name, group.channel_ids.tolist()) for name, group in groups.items()] == [
        ("left", [0, 2]), ("right", [1, 3])
    ]  # fmt: skip
    shares = share_labels(recording, truth)
    assert {name: share.unit_ids for name, share in shares.items()} == {"left": (1, 2), "right": (3, 4)}
    alone = channel_groups(NumpyRecording([np.zeros((10, 2), np.float32)], FS_HZ))
    assert [group.channel_ids.tolist() for group in alone.values()] == [[0, 1]]


@pytest.mark.slow
def test_each_group_is_sorted_by_its_own_sorter_into_one_result(adapted: dict[str, Sorter]) -> None:
    target, truth = two_tetrodes(1)
    spikes = sort_groups(adapted, target)
    assert spikes.names == NAMES
    assert spikes.fs_hz == FS_HZ
    assert score(truth, spikes).strict > 0.95


def test_a_target_without_the_group_is_refused(sorters: dict[str, Sorter]) -> None:
    target, _ = two_tetrodes(1)
    target.set_property("group", ["left", "middle", "left", "middle"])
    with pytest.raises(
        InputError,
        match="has no group right; its groups are left, middle.*names of the labelled recording",
    ):
        sort_groups(sorters, target)


def test_a_recording_in_no_groups_is_not_fitted_by_groups() -> None:
    recording, truth = two_tetrodes(0)
    plain = NumpyRecording([recording.get_traces()], FS_HZ)
    with pytest.raises(InputError, match="have no groups .property group.; fit one sorter to all of them"):
        fit_groups(plain, truth, settings=SETTINGS)


def test_what_are_no_sorters_or_no_recording_is_called_by_its_kind(sorters: dict[str, Sorter]) -> None:
    target, _ = two_tetrodes(1)
    for wrong in (sorters["left"], "left", None):
        kind = type(wrong).__name__
        with pytest.raises(InputError, match=f"expected sorters by the names of their groups, not a {kind}"):
            sort_groups(cast(Any, wrong), target)
    for use in (sort_groups, adapt_groups):
        with pytest.raises(InputError, match="expected a SpikeInterface recording, not a str"):
            use(sorters, cast(Any, "D2.mat"))
    with pytest.raises(InputError, match="expected a SpikeInterface recording, not a str"):
        fit_groups(cast(Any, "D1.mat"), Spikes.empty())
    with pytest.raises(SettingsError, match="expected Settings, not a dict"):
        fit_groups(*two_tetrodes(0), settings=cast(Any, {"decoder": "pursuit"}))


def test_a_group_without_neurons_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    recording, truth = two_tetrodes(0)
    sorters = fit_groups(recording, truth.select(truth.unit <= 2), settings=SETTINGS)
    assert list(sorters) == ["left"]
    assert warnings_in(caplog.messages) == [
        "units without labelled spikes are left out: c, d",
        "group right: no labelled unit is largest on its channels; the group will not be sorted",
    ]


@pytest.mark.slow
def test_neurons_of_another_group_bring_no_warning(learnt: tuple[dict[str, Sorter], list[str]]) -> None:
    assert not warnings_in(learnt[1])


def test_labels_of_all_groups_teach_one_group_its_own_neurons(caplog: pytest.LogCaptureFixture) -> None:
    recording, truth = two_tetrodes(0)
    sorter = Sorter.fit(channel_groups(recording)["left"], truth, settings=SETTINGS)
    assert sorter.names == {1: "a", 2: "b"}
    assert [line.split(" cannot")[0] for line in warnings_in(caplog.messages)] == ["unit c", "unit d"]


def test_a_whole_probe_is_not_taken_for_a_tetrode() -> None:
    probe = NumpyRecording([np.zeros((5000, 64), np.float32)], FS_HZ)
    with pytest.raises(InputError, match="has 64 channels; a sorter takes at most 32"):
        Sorter.fit(probe, Spikes.from_arrays([100], [1]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The extractor is not serializable")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # SpikeInterface leaves its files open
@pytest.mark.filterwarnings("ignore:.*FileIO.*:pytest.PytestUnraisableExceptionWarning")
def test_files_are_learnt_and_sorted_by_group(adapted: dict[str, Sorter], tmp_path: Path) -> None:
    (labelled, truth), (target, _) = two_tetrodes(0), two_tetrodes(1)
    for name, recording in {"labelled": labelled, "target": target}.items():
        recording.save(folder=tmp_path / name, verbose=False, progress_bar=False)
    write_spikes(tmp_path / "labels.csv", truth)
    train_model(
        tmp_path / "labelled",
        [tmp_path / "target"],
        tmp_path / "model",
        SETTINGS,
        labels=tmp_path / "labels.csv",
        by_group=True,
    )
    model = load_model(tmp_path / "model")
    assert {group: list(one) for group, one in model.groups.items()} == {
        "left": ["(labelled)", "target"], "right": ["(labelled)", "target"]
    }  # fmt: skip
    expected = sort_groups(adapted, target)
    said = []
    sort_files(
        [tmp_path / "target"],
        model,
        tmp_path / "out",
        resume=True,
        report=False,
        on_result=lambda one: said.append((one.spikes, one.adapted_to)),
    )
    assert said == [(expected, "target")]
    assert read_labels(tmp_path / "out" / "target.mat", fs_hz=FS_HZ) == expected
    assert not (tmp_path / "out" / ".spans").exists()
    with pytest.raises(
        ModelError, match="a model for each group of channels; give one of them, such as .*left"
    ):
        load_sorters(tmp_path / "model")
    streams = open_streams(tmp_path / "model", n_jobs=2)  # and while it is recorded
    live = list(listen(iter([Packet(target.get_traces())]), streams))
    streams.close()
    found = sorted((spike.sample, spike.unit, spike.group) for spike in live)
    assert found == sorted(
        (spike.sample, NAMES[spike.unit], "left" if spike.unit <= 2 else "right") for spike in expected
    )
    (tmp_path / "model" / "groups" / "channels.json").unlink()
    with pytest.raises(ModelError, match="does not say which channels its groups have"):
        open_streams(tmp_path / "model")


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_dead_channel_stops_neither_its_group_nor_the_others(
    sorters: dict[str, Sorter], adapted: dict[str, Sorter], value: float
) -> None:
    whole, truth = two_tetrodes(1)
    trace = whole.get_traces().copy()
    trace[:, 0] = value
    target = NumpyRecording([trace], FS_HZ)
    target.set_property("group", ["left", "right", "left", "right"])
    again = adapt_groups(sorters, target)
    assert {name: sorter.used_channels for name, sorter in again.items()} == {
        "left": ("2",), "right": ("1", "3")
    }  # fmt: skip
    found, before = sort_groups(again, target), sort_groups(adapted, whole)
    for unit in (3, 4):
        np.testing.assert_array_equal(found.of(unit).sample, before.of(unit).sample)
    assert score(truth, found).strict > 0.75


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_labels_are_shared_and_learnt_where_a_channel_is_dead(value: float) -> None:
    whole, truth = two_tetrodes(0)
    trace = whole.get_traces().copy()
    trace[:, 0] = value
    recording = NumpyRecording([trace], FS_HZ)
    recording.set_property("group", ["left", "right", "left", "right"])
    shares = share_labels(recording, truth)
    assert {name: share.unit_ids for name, share in shares.items()} == {"left": (1, 2), "right": (3, 4)}
    fitted = fit_groups(recording, truth, settings=SETTINGS)
    assert fitted["left"].used_channels == ("2",)
    assert fitted["left"].names == {1: "a", 2: "b"}
