from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import (
    BaseRecording,
    SortingAnalyzer,
    create_sorting_analyzer,
    generate_ground_truth_recording,
    load_sorting_analyzer,
)

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.probabilities import compute_spike_probabilities

NAMES = {1: "a", 2: "b", 3: "c", 4: "silent"}
FORMATS = ("memory", "binary_folder", "zarr")
pytestmark = [
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
    pytest.mark.filterwarnings("ignore:Property .* not saved because it is a python Object"),
    pytest.mark.filterwarnings("ignore:The Recording is not serializable"),
    pytest.mark.filterwarnings("ignore:The sorting provenance"),
]


@pytest.fixture(scope="module")
def recording() -> BaseRecording:
    return generate_ground_truth_recording(durations=[4.0], num_channels=2, num_units=3, seed=0)[0]


@pytest.fixture(scope="module")
def spikes(recording: BaseRecording) -> Spikes:
    rng = np.random.default_rng(0)
    samples, labels = rng.integers(200, 99_000, 300), rng.choice([1, 2, 3], 300)
    return Spikes.from_arrays(
        np.repeat(samples, 2)[:300],  # pairs at one sample
        labels,
        rng.random(300),
        rng.random(300),
        fs_hz=recording.get_sampling_frequency(),
        names=NAMES,
    )


def analyzer_of(spikes: Spikes, recording: BaseRecording, kind: str, folder: Path) -> SortingAnalyzer:
    place = None if kind == "memory" else folder / f"analyzer.{kind}"
    main = np.zeros(4, int)
    sorting = spikes.to_spikeinterface()
    return create_sorting_analyzer(
        sorting, recording, format=kind, folder=place, sparse=False, main_channel_indices=main
    )


def by_unit(analyzer: SortingAnalyzer, name: str = "probability") -> dict[str, list[float]]:
    extension = analyzer.get_extension("spike_probabilities")
    parts = extension.get_data(outputs="by_unit", concatenated=True, return_data_name=name)
    return {str(unit): values.tolist() for unit, values in parts.items()}


def expected(spikes: Spikes, name: str = "probability") -> dict[str, list[float]]:
    return {unit: getattr(spikes.of(label), name).tolist() for label, unit in NAMES.items()}


@pytest.mark.parametrize("kind", FORMATS)
def test_each_spike_keeps_its_probabilities(
    recording: BaseRecording, spikes: Spikes, kind: str, tmp_path: Path
) -> None:
    analyzer = analyzer_of(spikes, recording, kind, tmp_path)
    given: dict[str, Any] = {"spikes": spikes} if kind == "zarr" else {}
    extension = analyzer.compute("spike_probabilities", **given)
    vector = analyzer.sorting.to_spike_vector()
    assert extension.get_data().shape == vector.shape
    assert extension.get_data().dtype == np.float32
    for name in ("probability", "unit_probability"):
        assert by_unit(analyzer, name) == expected(spikes, name)


@pytest.mark.parametrize("kind", FORMATS[1:])
def test_what_was_saved_is_loaded(
    recording: BaseRecording, spikes: Spikes, kind: str, tmp_path: Path
) -> None:
    analyzer = analyzer_of(spikes, recording, kind, tmp_path)
    analyzer.compute("spike_probabilities", spikes=spikes)
    again = load_sorting_analyzer(analyzer.folder)
    assert by_unit(again) == expected(spikes)
    assert by_unit(again, "unit_probability") == expected(spikes, "unit_probability")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("new_kind", FORMATS)
def test_units_can_be_selected(
    recording: BaseRecording, spikes: Spikes, kind: str, new_kind: str, tmp_path: Path
) -> None:
    analyzer = analyzer_of(spikes, recording, kind, tmp_path)
    analyzer.compute("spike_probabilities", spikes=spikes)
    folder = None if new_kind == "memory" else tmp_path / f"chosen.{new_kind}"
    chosen = analyzer.select_units(["c", "a"], format=new_kind, folder=folder)
    everything = expected(spikes)
    assert by_unit(chosen) == {"c": everything["c"], "a": everything["a"]}
    assert by_unit(analyzer.save_as(format="memory")) == everything


def test_units_can_be_merged(recording: BaseRecording, spikes: Spikes, tmp_path: Path) -> None:
    analyzer = analyzer_of(spikes, recording, "binary_folder", tmp_path)
    analyzer.compute("spike_probabilities")
    merged = analyzer.merge_units([["a", "c"]], new_unit_ids=["both"])
    both = spikes.select(np.isin(spikes.unit, [1, 3]))
    assert by_unit(merged)["both"] == both.probability.tolist()
    assert by_unit(merged)["b"] == expected(spikes)["b"]


def test_units_can_be_split(recording: BaseRecording, spikes: Spikes, tmp_path: Path) -> None:
    analyzer = analyzer_of(spikes, recording, "binary_folder", tmp_path)
    analyzer.compute("spike_probabilities")
    for name in ("probability", "unit_probability"):
        analyzer.sorting.delete_property(name)  # SpikeInterface cannot split units with such properties
    pieces = [np.arange(5), np.arange(5, len(spikes.of(1)))]
    split = analyzer.split_units({"a": pieces}, new_unit_ids=[["a1", "a2"]])
    assert by_unit(split)["a1"] == expected(spikes)["a"][:5]
    assert by_unit(split)["a2"] == expected(spikes)["a"][5:]


def test_spikes_that_a_merge_drops_lose_their_probabilities(
    recording: BaseRecording, spikes: Spikes, tmp_path: Path
) -> None:
    analyzer = analyzer_of(spikes, recording, "memory", tmp_path)
    analyzer.compute("spike_probabilities")
    merged = analyzer.merge_units([["a", "c"]], new_unit_ids=["both"], censor_ms=1.0)
    train = merged.sorting.get_unit_spike_train("both").tolist()
    assert len(train) < len(spikes.of(1)) + len(spikes.of(3))
    values = by_unit(merged)["both"]
    known = {
        (sample, probability)
        for sample, label, probability in zip(spikes.sample, spikes.unit, spikes.probability, strict=True)
        if label in (1, 3)
    }
    assert set(zip(train, np.float32(values), strict=True)) <= known


def test_the_functional_form(recording: BaseRecording, spikes: Spikes, tmp_path: Path) -> None:
    analyzer = analyzer_of(spikes, recording, "memory", tmp_path)
    values = compute_spike_probabilities(analyzer)
    np.testing.assert_array_equal(values, analyzer.get_extension("spike_probabilities").get_data())


def test_what_is_not_known_is_said(recording: BaseRecording, spikes: Spikes, tmp_path: Path) -> None:
    lost = analyzer_of(spikes, recording, "zarr", tmp_path)
    with pytest.raises(InputError, match="no property probability; give the sorter's spikes"):
        lost.compute("spike_probabilities")
    other = replace(spikes, sample=spikes.sample + 1)
    with pytest.raises(InputError, match="unit a: the given spikes are not those of the analyzer's unit"):
        lost.compute("spike_probabilities", spikes=other)
    assert not lost.has_extension("spike_probabilities")
    short = spikes.to_spikeinterface()
    short.set_property("probability", np.array([np.ones(1)] * 3 + [np.ones(0)], object))
    analyzer = create_sorting_analyzer(short, recording, sparse=False, main_channel_indices=np.zeros(4, int))
    with pytest.raises(InputError, match=r"unit a has \d+ spikes, but 1 values of probability"):
        analyzer.compute("spike_probabilities")
