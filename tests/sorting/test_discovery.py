from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.score import match_spikes
from spikesorter.core.settings import Settings, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.discovered_units import DiscoveredUnit, describe_units
from spikesorter.sorting.discovery import Discovery
from spikesorter.sorting.groups import discover_groups
from spikesorter.sorting.sorter import Sorter
from spikesorter.sorting.state import SorterState
from tests.conftest import BRIEF

FS_HZ = 25_000.0
SETTINGS = load_settings(assignments=BRIEF)


def recording_of(trace: np.ndarray) -> NumpyRecording:
    return NumpyRecording([trace], FS_HZ)


@pytest.fixture(scope="module")
def study() -> tuple[SimulatedRecording, SimulatedRecording]:
    _, first, second = simulate_study(units=3, seconds=10, noise_levels=(0.9, 1.1), spikes_per_s=60, seed=1)
    return first, second


@pytest.fixture(scope="module")
def found(study: tuple[SimulatedRecording, SimulatedRecording]) -> Discovery:
    return Sorter.discover(recording_of(study[0].trace), settings=SETTINGS, n_jobs=1)


def share_found(truth: Spikes, spikes: Spikes) -> float:
    i, _ = match_spikes(truth.sample, spikes.sample, tolerance_samples=25)
    return len(i) / len(truth)


def test_it_finds_the_units_and_their_spikes(
    study: tuple[SimulatedRecording, SimulatedRecording], found: Discovery
) -> None:
    assert found.sorter is not None
    assert found.sorter.decoder == "pursuit"
    assert found.sorter.units.known == (1, 2, 3)
    assert share_found(study[0].spikes, found.spikes) > 0.94
    assert len(found.spikes) < 1.05 * len(study[0].spikes)


def test_its_sorter_goes_on_to_the_next_recording(
    study: tuple[SimulatedRecording, SimulatedRecording], found: Discovery
) -> None:
    assert found.sorter is not None
    target = recording_of(study[1].trace)
    spikes = found.sorter.adapt(target, n_jobs=1).sort(target, n_jobs=1)
    assert share_found(study[1].spikes, spikes) > 0.9


def test_it_describes_each_unit(found: Discovery) -> None:
    assert [unit.unit for unit in found.units] == [1, 2, 3]
    counts = found.spikes.counts()
    for unit in found.units:
        assert unit.spikes == counts[unit.unit]
        assert unit.rate_hz == pytest.approx(unit.spikes / 10, rel=0.01)
        assert 0 <= unit.false_share < 0.2
        assert 0 <= unit.missed_share < 0.2
        assert unit.nearest in {1, 2, 3} - {unit.unit}
        assert unit.verdict == "single"
        assert 0.9 < unit.least_size <= 1
        assert 0.6 < unit.least_rate <= 1
    clearest = [unit.detectability for unit in found.units]
    assert clearest == pytest.approx(sorted(clearest, reverse=True), rel=0.1)


def test_the_same_recording_gives_the_same_spikes(
    study: tuple[SimulatedRecording, SimulatedRecording], found: Discovery
) -> None:
    again = Sorter.discover(recording_of(study[0].trace), settings=SETTINGS, n_jobs=2)
    assert again.spikes == found.spikes
    assert again.units == found.units


def test_its_sorter_can_be_saved(found: Discovery, tmp_path: Path) -> None:
    assert found.sorter is not None
    found.sorter.save(tmp_path / "model")
    assert Sorter.load(tmp_path / "model").units.known == (1, 2, 3)


def test_no_unit_is_a_result(caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).standard_normal((90_000, 1)).astype(np.float32)
    found = Sorter.discover(recording_of(noise), settings=SETTINGS, n_jobs=1)
    assert found.sorter is None
    assert found.units == ()
    assert len(found.spikes) == 0
    assert repr(found) == "Discovery(no units; 0 spikes)"
    assert "no units were found" in caplog.text


def test_what_is_excluded_is_left_out(study: tuple[SimulatedRecording, SimulatedRecording]) -> None:
    trace = study[0].trace.copy()
    trace[100_000:150_000] += 60 * np.sin(np.arange(50_000) / 15)[:, None].astype(np.float32)
    exclude = BadStretches.of([(99_000, 151_000, "given")])
    found = Sorter.discover(recording_of(trace), settings=SETTINGS, exclude=exclude, n_jobs=1)
    assert len(found.units) == 3
    assert len(found.spikes.within(99_000, 151_000)) == 0
    good = study[0].spikes.outside(exclude)
    assert share_found(good, found.spikes) > 0.93


def test_labels_stay_what_they_are(study: tuple[SimulatedRecording, SimulatedRecording]) -> None:
    """A few spikes of one unit are known, marked at their start, and sloppily."""
    own = study[0].spikes.of(2)[5:35]
    labels = Spikes(own.sample + np.arange(30) % 3, own.unit, names={2: "mine"})
    found = Sorter.discover(
        recording_of(study[0].trace),
        settings=SETTINGS,
        n_units=3,
        polarity="positive",
        labels=labels,
        n_jobs=1,
    )
    assert found.spikes.unit_ids == (2, 3, 4)
    assert found.spikes.name_of(2) == "mine"
    mine = found.spikes.of(2)
    assert np.isin(labels.sample, mine.sample).all()
    assert share_found(study[0].spikes.of(2), mine) > 0.9
    assert len(mine) < 1.1 * len(study[0].spikes.of(2))
    assert share_found(study[0].spikes, found.spikes) > 0.9


@pytest.mark.slow
def test_groups_of_channels_have_units_of_their_own(
    study: tuple[SimulatedRecording, SimulatedRecording],
) -> None:
    noise = np.random.default_rng(0).standard_normal((125_000, 1)).astype(np.float32)
    first, second = study[0].trace[:125_000], study[0].trace[125_000:250_000]
    recording = recording_of(np.concatenate([first, second, noise], axis=1))
    recording.set_property("group", ["left", "right", "none"])
    found = discover_groups(recording, settings=SETTINGS, n_jobs=1)
    assert [unit.unit for unit in found["left"].units] == [1, 2, 3]
    assert [unit.unit for unit in found["right"].units] == [4, 5, 6]
    assert found["none"].sorter is None
    assert share_found(study[0].spikes.within(0, 125_000), found["left"].spikes) > 0.9


@pytest.mark.slow
def test_artefacts_are_no_units(study: tuple[SimulatedRecording, SimulatedRecording]) -> None:
    """Pulses come far more often than neurons that a labelled recording's screen would allow for."""
    trace, starts = study[0].trace.copy(), np.arange(1_300, len(study[0].trace) - 100, 2_500)
    for at in starts:
        trace[at : at + 40] += 300 * np.sin(np.arange(40))[:, None].astype(np.float32)
    found = Sorter.discover(recording_of(trace), settings=SETTINGS, n_jobs=1)
    pulses = BadStretches.of([(at - 20, at + 80, "artefact") for at in starts.tolist()])
    assert sum(unit.verdict != "doubtful" for unit in found.units) == 3
    assert len(found.spikes) - len(found.spikes.outside(pulses)) < 0.02 * len(found.spikes)
    assert share_found(study[0].spikes.outside(found.spikes.bad), found.spikes) > 0.93


def test_units_are_looked_for_in_the_middle_of_a_long_recording(
    study: tuple[SimulatedRecording, SimulatedRecording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.sorting.discovery.MOST_SECONDS", 7.0)
    found = Sorter.discover(recording_of(study[0].trace), settings=SETTINGS, n_jobs=1)
    assert share_found(study[0].spikes, found.spikes) > 0.94


def test_settings_are_checked() -> None:
    with pytest.raises(SettingsError, match="expected Settings"):
        Sorter.discover(recording_of(np.zeros((9000, 1), np.float32)), settings={})  # type: ignore[arg-type]


def test_a_dead_recording_is_refused() -> None:
    with pytest.raises(InputError):
        Sorter.discover(recording_of(np.zeros((90_000, 1), np.float32)), settings=Settings(), n_jobs=1)


def with_intervals(sample: np.ndarray, state: SorterState) -> DiscoveredUnit:
    spikes = Spikes.from_arrays(sample, np.ones(len(sample), np.int64))
    return describe_units(state, spikes, 3_000_000)[0]


def state_of(found: Discovery, amplitudes: np.ndarray) -> SorterState:
    """Return the state of a sorter whose units have these amplitudes."""
    assert found.sorter is not None
    state = found.sorter.state
    units = replace(state.units, amplitudes=(amplitudes,) * len(state.units.unit_ids))
    return replace(state, units=units)


def test_intervals_as_short_as_by_chance_of_spikes_that_vary_are_of_several_units(
    found: Discovery, rng: np.random.Generator
) -> None:
    vary, equal = np.linspace(0.5, 1.5, 50, dtype=np.float32), np.ones(50, np.float32)
    anywhere = np.sort(rng.integers(0, 3_000_000, 1500))
    apart = np.cumsum(rng.integers(1000, 3000, 1500))
    several = with_intervals(anywhere, state_of(found, vary))
    assert several.verdict == "multi-unit"
    assert several.contamination > 0.7
    assert several.variation == pytest.approx(np.std(vary) * several.detectability)
    alike = with_intervals(anywhere, state_of(found, equal))
    assert (alike.verdict, alike.variation) == ("single", 0.0)
    assert with_intervals(apart, state_of(found, vary)).verdict == "single"
    assert with_intervals(apart, state_of(found, vary)).contamination == 0
    assert with_intervals(apart, state_of(found, vary)).violations == 0


def test_contamination_of_two_equal_units(found: Discovery, rng: np.random.Generator) -> None:
    assert found.sorter is not None
    trains = [np.cumsum(38 + rng.exponential(500, 5200).astype(np.int64)) for _ in range(2)]
    both = np.unique(np.concatenate([train[train < 2_500_000] for train in trains]))
    spikes = Spikes.from_arrays(both, np.ones(len(both), np.int64))
    (unit, *_) = describe_units(found.sorter.state, spikes, 2_500_000)
    assert unit.contamination == pytest.approx(1 - np.sqrt(0.5), abs=0.06)


def test_spikes_that_are_hardly_probable_make_a_unit_doubtful(
    found: Discovery, rng: np.random.Generator
) -> None:
    assert found.sorter is not None
    sample = np.cumsum(rng.integers(1000, 3000, 1500))
    unsure = Spikes.from_arrays(sample, np.ones(1500, np.int64), np.full(1500, 0.6, np.float32))
    unit = describe_units(found.sorter.state, unsure, 3_000_000)[0]
    assert unit.false_share == pytest.approx(0.4)
    assert unit.verdict == "doubtful"
    assert "many false" in unit.reasons


def test_a_row_of_the_only_unit_names_no_neighbour() -> None:
    alone, short = (None, float("inf")), (float("nan"), float("nan"))
    only = DiscoveredUnit(1, 90, 3.00004, 8.0, 0.1, 0.1, 0.0, 0.0, 0.5, *alone, 0.0, *short)
    assert only.row()["nearest_detectability"] is None
    assert only.row()["least_size"] is None
    assert only.row()["rate_hz"] == 3.0
