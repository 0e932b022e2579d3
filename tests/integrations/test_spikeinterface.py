from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import BaseSorting, NumpyRecording, generate_ground_truth_recording, load
from spikeinterface.extractors import toy_example
from spikeinterface.sorters import (
    available_sorters,
    get_default_sorter_params,
    get_sorter_params_description,
    installed_sorters,
    read_sorter_folder,
    run_sorter,
    run_sorter_by_property,
    run_sorter_jobs,
    sorterlist,
)
from spikeinterface.sorters.utils import SpikeSortingError

import spikesorter.integrations.spikeinterface as integration
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.comparison import compare_sortings
from spikesorter.core.errors import InputError, ModelError, SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.simulate import simulate_study
from spikesorter.sorting.sorter import Sorter
from tests.integrations.conftest import SETTINGS, Example, make_example, saved_to

# SpikeInterface leaves its files for Python to close.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*FileIO.*:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def sorted_once(example: Example, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BaseSorting]:
    folder = tmp_path_factory.mktemp("runs") / "run"
    sorting = run_sorter("spikesorter", example.recording, folder=folder, model=example.model, adapt=False)
    return folder, sorting


def test_importing_registers_the_sorter_and_twice_is_harmless() -> None:
    before = [sorter.sorter_name for sorter in sorterlist.sorter_full_list]
    integration.register_sorter()
    importlib.import_module("spikesorter.integrations.spikeinterface")
    after = [sorter.sorter_name for sorter in sorterlist.sorter_full_list]
    assert sorted(after) == sorted(before)
    assert after.count("spikesorter") == 1
    assert "spikesorter" in available_sorters()
    assert "spikesorter" in installed_sorters()


def test_every_parameter_has_a_default_and_a_description() -> None:
    defaults = get_default_sorter_params("spikesorter")
    assert defaults == {
        "model": None,
        "adapt": True,
        "threshold": None,
        "n_units": None,
        "polarity": None,
        "n_jobs": None,
    }
    descriptions = get_sorter_params_description("spikesorter")
    assert descriptions.keys() == defaults.keys()
    assert all(descriptions.values())


def test_what_run_sorter_finds_is_what_the_sorter_finds(
    example: Example, sorted_once: tuple[Path, BaseSorting]
) -> None:
    _, sorting = sorted_once
    spikes = Sorter.load(example.model).sort(example.recording)
    assert Spikes.from_spikeinterface(sorting).sample.tolist() == spikes.sample.tolist()
    assert sorting.unit_ids.tolist() == ["big", "small"]
    for unit, probability in zip(sorting.unit_ids, sorting.get_property("probability"), strict=True):
        label = sorting.unit_ids.tolist().index(unit) + 1
        np.testing.assert_array_equal(probability, spikes.of(label).probability)
    truth = Spikes.from_spikeinterface(example.truth)
    assert compare_sortings(truth, Spikes.from_spikeinterface(sorting)).accuracy > 0.9


def test_a_result_folder_can_be_read_again(sorted_once: tuple[Path, BaseSorting]) -> None:
    folder, sorting = sorted_once
    again = read_sorter_folder(folder)
    assert Spikes.from_spikeinterface(again) == Spikes.from_spikeinterface(sorting)
    assert again.get_sampling_frequency() == sorting.get_sampling_frequency()
    assert again.has_recording()
    for name in ("probability", "unit_probability"):
        for a, b in zip(again.get_property(name), sorting.get_property(name), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_by_default_it_adapts_first(example: Example, tmp_path: Path) -> None:
    sorting = run_sorter(
        "spikesorter", example.recording, folder=tmp_path / "run", model=example.model, n_jobs=1
    )
    spikes = Sorter.load(example.model).adapt(example.recording).sort(example.recording)
    assert Spikes.from_spikeinterface(sorting).sample.tolist() == spikes.sample.tolist()


def test_without_a_spike_there_is_a_result(example: Example, tmp_path: Path) -> None:
    silence = np.random.default_rng(0).normal(0, 5, (100_000, 2)).astype(np.float32)
    quiet = NumpyRecording([silence], example.recording.get_sampling_frequency())
    saved = saved_to(tmp_path / "quiet", quiet)
    settings = {"model": example.model, "adapt": False, "threshold": 1.0}
    sorting = run_sorter("spikesorter", saved, folder=tmp_path / "run", **settings)
    assert sorting.unit_ids.tolist() == ["big", "small"]
    assert len(sorting.to_spike_vector()) == 0
    assert [len(values) for values in sorting.get_property("probability")] == [0, 0]
    assert len(read_sorter_folder(tmp_path / "run").to_spike_vector()) == 0


@pytest.mark.slow
def test_one_channel_needs_no_probe(tmp_path: Path) -> None:
    one = make_example(tmp_path, channels=1, seed=3)
    bare = NumpyRecording([one.recording.get_traces()], one.recording.get_sampling_frequency())
    assert not bare.has_probe()
    saved = saved_to(tmp_path / "bare", bare)
    sorting = run_sorter("spikesorter", saved, folder=tmp_path / "run", model=one.model, adapt=False)
    truth = Spikes.from_spikeinterface(one.truth)
    assert compare_sortings(truth, Spikes.from_spikeinterface(sorting)).recall > 0.5


def test_each_group_has_its_own_model(example: Example, tmp_path: Path) -> None:
    two = load(example.recording.to_dict(include_properties=True))
    two.set_property("group", ["left", "right"])
    for group, channel in two.split_by("group").items():
        Sorter.fit(channel, example.truth, settings=SETTINGS).save(tmp_path / "models" / str(group))
    sorting = run_sorter_by_property(
        "spikesorter",
        two,
        "group",
        tmp_path / "runs",
        model=tmp_path / "models" / "{group}",
        adapt=False,
    )
    assert sorting.get_property("group").tolist() == ["left", "left", "right", "right"]
    spikes = Sorter.load(tmp_path / "models" / "left").sort(two.split_by("group")["left"])
    first = sorting.unit_ids[0]
    assert sorting.get_unit_spike_train(first).tolist() == spikes.of(1).sample.tolist()
    np.testing.assert_array_equal(sorting.get_property("probability")[0], spikes.of(1).probability)


def test_without_a_model_units_are_discovered(tmp_path: Path) -> None:
    _, study = simulate_study(units=2, seconds=8, noise_levels=(0.9,), spikes_per_s=50, seed=1)
    recording = saved_to(tmp_path / "recording", NumpyRecording([study.trace], 25_000.0))
    folder = tmp_path / "run"
    sorting = run_sorter("spikesorter", recording, folder=folder, n_units=2, n_jobs=1)
    assert sorting.unit_ids.tolist() == [1, 2]
    assert sorting.get_property("verdict").tolist() == ["single", "single"]
    assert sum(sorting.count_num_spikes_per_unit().values()) > 0.95 * len(study.spikes)
    spikes = Sorter.load(folder / "sorter_output" / "model").sort(recording, n_jobs=1)
    assert sorting.get_unit_spike_train(1).tolist() == spikes.of(1).sample.tolist()


def test_jobs_in_a_loop_carry_over(example: Example, tmp_path: Path) -> None:
    job = {
        "sorter_name": "spikesorter",
        "recording": example.recording,
        "folder": tmp_path / "run",
        "model": example.model,
        "adapt": False,
    }
    [sorting] = run_sorter_jobs([job], engine="loop", return_output=True)
    assert sorting.unit_ids.tolist() == ["big", "small"]


def test_what_is_wrong_is_said_before_the_run(example: Example, tmp_path: Path) -> None:
    recording = load(example.recording.to_dict(include_properties=True))
    recording.set_property("side", ["left", "right"])

    def run(**settings: object) -> None:
        folder = tmp_path / "run"
        run_sorter("spikesorter", recording, folder=folder, remove_existing_folder=True, **settings)

    with pytest.raises(SettingsError, match="threshold: without a model"):
        run(threshold=0.5)
    with pytest.raises(SettingsError, match="n_units: expected 1 to"):
        run(n_units=0)
    with pytest.raises(SettingsError, match="polarity: expected negative or positive"):
        run(polarity="up")
    with pytest.raises(SettingsError, match="a model knows its units"):
        run(model=example.model, n_units=2)
    with pytest.raises(ModelError, match="nowhere: no such model folder"):
        run(model="nowhere")
    with pytest.raises(InputError, match="has no property tetrode; it must have one value"):
        run(model="models/{tetrode}")
    with pytest.raises(InputError, match="has 2 values of the property side"):
        run(model="models/{side}")
    with pytest.raises(InputError, match="cannot be parsed"):
        run(model="models/{group")
    for threshold in (2, -0.1, float("nan"), "high"):
        with pytest.raises(SettingsError, match=f"threshold must be between 0 and 1, not {threshold}"):
            run(model=example.model, threshold=threshold)
    with pytest.raises(SettingsError, match="n_jobs must be .* or -1 for all cores, not 0"):
        run(model=example.model, n_jobs=0)


def test_a_recording_that_does_not_fit_the_model_is_refused(example: Example, tmp_path: Path) -> None:
    other, _ = generate_ground_truth_recording(durations=[2.0], num_channels=3, num_units=2, seed=0)
    other = saved_to(tmp_path / "other", other)
    with pytest.raises(SpikeSortingError, match="has 3 channels, but the sorter was fitted to 2"):
        run_sorter("spikesorter", other, folder=tmp_path / "run", model=example.model)


@pytest.mark.slow
def test_it_passes_the_common_test_of_spikeinterfaces_sorters(tmp_path: Path) -> None:
    """What its `SorterCommonTestSuite` asks of every sorter, on a shorter recording of fewer units.

    Neither its wheels nor its source packages hold the suite itself.
    """
    recording, truth = toy_example(num_channels=4, duration=5, num_units=2, seed=0, num_segments=1)
    recording = saved_to(tmp_path / "rec", recording)
    Sorter.fit(recording, truth, settings=SETTINGS).save(tmp_path / "model")
    folder, defaults = tmp_path / "spikesorter", integration.SpikesorterSorter.default_params()
    sorting = run_sorter(
        "spikesorter",
        recording,
        folder=folder,
        remove_existing_folder=True,
        delete_output_folder=True,
        verbose=False,
        raise_error=True,
        **{**defaults, "model": tmp_path / "model"},
    )
    assert sorting.sorting_info.keys() >= {"recording", "params", "log"}
    assert len(sorting.get_property("probability")) == len(truth.unit_ids)
    assert not (folder / "sorter_output").exists()
    for name in ("recording", "params", "log"):
        assert (folder / f"spikeinterface_{name}.json").is_file()
    log = json.loads((folder / "spikeinterface_log.json").read_text())
    assert log["sorter_version"] == integration.SpikesorterSorter.get_sorter_version()


def test_bad_stretches_are_an_annotation_that_stays(example: Example, tmp_path: Path) -> None:
    trace = example.recording.get_traces().copy()
    trace[20_000:30_000] = 0
    dead = saved_to(tmp_path / "dead", NumpyRecording([trace], example.recording.get_sampling_frequency()))
    folder = tmp_path / "run"
    sorting = run_sorter("spikesorter", dead, folder=folder, model=example.model, adapt=False)
    (stretch,) = Spikes.from_spikeinterface(sorting).bad
    assert stretch.kind == "dead"
    assert stretch.start <= 20_000 < 30_000 <= stretch.stop
    assert Spikes.from_spikeinterface(read_sorter_folder(folder)).bad == BadStretches.of([stretch])
