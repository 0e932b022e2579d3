"""What the sorter says, warns of and refuses; how well it sorts is tested elsewhere."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.comparison import compare_sortings
from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.score import score
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.mat_writing import write_mat
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.model import nearest_sorter
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = pytest.mark.slow

SETTINGS = load_settings(assignments=PURSUIT)


@pytest.fixture(scope="module")
def study() -> list[SimulatedRecording]:
    return simulate_study(units=2, seconds=5, noise_levels=(0.5, 2.0), seed=4)


def recording_of(one: SimulatedRecording, *, unit: float = 1.0) -> NumpyRecording:
    return NumpyRecording([(unit * one.trace).astype(np.float32)], FS_HZ)


@pytest.fixture(scope="module")
def sorters(study: list[SimulatedRecording]) -> dict[str, Sorter]:
    fitted = Sorter.fit(recording_of(study[0]), study[0].spikes, settings=SETTINGS)
    return {name: fitted.adapt(recording_of(study[k])) for k, name in ((1, "D2"), (2, "D3"))}


@pytest.mark.parametrize("known", [("D2",), ("D2", "D3")])
@pytest.mark.parametrize("unit", [20, 0.05, 1e3, 1e-3])
def test_a_recording_in_another_unit_is_noticed(
    known: tuple[str, ...], unit: float, sorters: dict[str, Sorter], study: list[SimulatedRecording]
) -> None:
    chosen = {name: sorters[name] for name in known}
    assert nearest_sorter(chosen, recording_of(study[1])) == ("D2", "")
    other = recording_of(study[1], unit=unit)
    name, doubt_of_gain = nearest_sorter(chosen, other)
    assert doubt_of_gain == ""  # as the level tells it all
    told = re.match(r"its noise is (\S+) times", chosen[name].state.doubt(other))
    assert told is not None
    ratio = float(told[1])
    noise = {"D2": 0.5, "D3": 2.0}  # as simulated
    assert ratio == pytest.approx(unit if name == "D2" else unit * noise["D2"] / noise["D3"], rel=0.4)


@pytest.mark.slow
def test_adapting_to_another_unit_is_noticed_even_where_no_gain_can_be_measured(
    sorters: dict[str, Sorter], study: list[SimulatedRecording], caplog: pytest.LogCaptureFixture
) -> None:
    sorters["D2"].adapt(recording_of(study[1], unit=1e3))
    assert "no labelled unit can be distinguished from this recording's noise" in caplog.text


def test_one_sorter_takes_a_recording_too_short_to_be_measured(
    sorters: dict[str, Sorter], study: list[SimulatedRecording], caplog: pytest.LogCaptureFixture
) -> None:
    short = NumpyRecording([1000 * study[1].trace[:500]], FS_HZ)
    assert nearest_sorter({"D2": sorters["D2"]}, short) == ("D2", "")
    assert not caplog.text
    (doubt,) = sorters["D2"].sort(NumpyRecording([study[1].trace[:500]], FS_HZ)).doubts
    assert doubt.startswith("only 500 samples long: too short to tell whether its noise is what the sorter")


def test_units_that_are_not_on_these_channels_are_named_and_left_out(
    study: list[SimulatedRecording], rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    one = study[0]
    elsewhere = Spikes.from_arrays(rng.integers(300, len(one.trace) - 300, 400), np.repeat([3, 4], 200))
    names = {1: "a", 2: "b", 3: "far one", 4: "far two"}
    every = Spikes.concatenate([one.spikes, elsewhere]).described(fs_hz=FS_HZ, names=names)
    sorter = Sorter.fit(recording_of(one), every, settings=SETTINGS)
    assert [record.getMessage() for record in caplog.records] == [
        "unit far one cannot be distinguished from noise on these channels and is left out",
        "unit far two cannot be distinguished from noise on these channels and is left out",
    ]
    assert sorter.names == {1: "a", 2: "b"}
    alone = Sorter.fit(recording_of(one), one.spikes, settings=SETTINGS)
    assert sorter.sort(recording_of(study[1])) == alone.sort(recording_of(study[1]))
    noise = NumpyRecording([rng.normal(size=one.trace.shape).astype(np.float32)], FS_HZ)
    with pytest.raises(InputError, match="no unit can be distinguished from noise on these channels"):
        Sorter.fit(noise, elsewhere, settings=SETTINGS)


def test_units_without_a_labelled_spike_are_named_once(
    study: list[SimulatedRecording], caplog: pytest.LogCaptureFixture
) -> None:
    names = {1: "a", 2: "b", 5: "quiet", 6: "mute"}
    truth = study[0].spikes.described(fs_hz=FS_HZ, names=names)
    assert Sorter.fit(recording_of(study[0]), truth, settings=SETTINGS).names == {1: "a", 2: "b"}
    assert [record.getMessage() for record in caplog.records] == [
        "units without labelled spikes are left out: quiet, mute"
    ]


def test_what_is_of_another_kind_is_refused_and_called_by_it(
    sorters: dict[str, Sorter], study: list[SimulatedRecording], tmp_path: Path
) -> None:
    recording, truth, wrong = recording_of(study[0]), study[0].spikes, cast(Any, "D1.mat")
    sorting = cast(Any, truth.to_spikeinterface(FS_HZ))
    use: Callable[[], object]
    for use in (
        lambda: Sorter.fit(wrong, truth),
        lambda: sorters["D2"].adapt(wrong),
        lambda: sorters["D2"].sort(wrong),
        lambda: sorters["D2"].score(wrong, truth),
        lambda: write_spikes(tmp_path / "a.nwb", truth, fs_hz=FS_HZ, recording=wrong),
    ):
        with pytest.raises(InputError, match="expected a SpikeInterface recording, not a str"):
            use()
    for use in (lambda: Sorter.fit(recording, wrong), lambda: sorters["D2"].score(recording, wrong)):
        with pytest.raises(InputError, match="labels: expected Spikes or a .* sorting, not a str"):
            use()
    for use in (
        lambda: score(truth, sorting),
        lambda: score(sorting, truth),
        lambda: compare_sortings(truth, sorting),
        lambda: compare_sortings(sorting, truth),
        lambda: write_spikes(tmp_path / "a.csv", sorting, fs_hz=FS_HZ),
        lambda: write_mat(tmp_path / "a.mat", sorting),
    ):
        with pytest.raises(InputError, match=r"expected Spikes, not a NumpySorting; .*from_spikeinterface"):
            use()
    with pytest.raises(InputError, match="expected a SpikeInterface sorting, not a Spikes"):
        Spikes.from_spikeinterface(cast(Any, truth))
    with pytest.raises(SettingsError, match=r"expected Settings, not a dict; Settings\(\*\*values\) takes"):
        Sorter.fit(recording, truth, settings=cast(Any, {"decoder": "pursuit"}))
    with pytest.raises(SettingsError, match="expected a TOML file's path, not a dict"):
        load_settings(cast(Any, {"decoder": "pursuit"}))
    assert not list(tmp_path.iterdir())


def test_a_sorter_is_made_by_fit_or_load_alone() -> None:
    with pytest.raises(InputError, match=r"cannot be called; use Sorter\.fit\(.*Sorter\.load\(folder\)"):
        Sorter()
    with pytest.raises(InputError, match="cannot be called"):
        Sorter(settings=SETTINGS)


def test_a_sorter_never_changes(sorters: dict[str, Sorter]) -> None:
    before = sorters["D2"].point
    other = sorters["D2"].with_working_point(threshold=0.9, refractory_ms=0.28)
    assert (set(other.point.thresholds), other.point.refractory_samples) == ({0.9}, 7)
    assert sorters["D2"].point == before
    for name in ("settings", "units", "fs_hz", "forecast", "anything"):
        with pytest.raises(AttributeError):
            setattr(sorters["D2"], name, None)


def test_a_sorter_says_what_it_is_in_one_line(sorters: dict[str, Sorter]) -> None:
    assert repr(sorters["D2"]) == "Sorter(2 units, 1 channel(s), 25000 Hz, decoder pursuit)"


def test_a_sorter_can_be_copied_and_sent_to_other_processes(
    sorters: dict[str, Sorter], study: list[SimulatedRecording]
) -> None:
    again = pickle.loads(pickle.dumps(sorters["D2"]))
    assert again.sort(recording_of(study[1])) == sorters["D2"].sort(recording_of(study[1]))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_calibration_takes_some_time_or_none(seconds: float, sorters: dict[str, Sorter]) -> None:
    with pytest.raises(SettingsError, match="calibration_seconds must be between 0"):
        sorters["D2"].stream(FS_HZ, calibration_seconds=seconds)
