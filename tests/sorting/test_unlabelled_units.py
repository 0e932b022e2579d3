from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.score import Score, score
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.report.notebook import sorter_html
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = pytest.mark.slow

SETTINGS = load_settings(assignments=PURSUIT)
STRANGER = 3


@pytest.fixture(scope="module")
def study() -> list[SimulatedRecording]:
    """Of two recordings; neuron 3 is like neuron 2, but a little smaller."""
    return simulate_study(units=4, seconds=14, noise_levels=(0.5,), spikes_per_s=40, seed=8)


def of_known(spikes: Spikes) -> Spikes:
    return spikes.select(spikes.unit != STRANGER)


def fit(recording: SimulatedRecording, unit_ids: Spikes, *, learn: bool = True) -> Sorter:
    settings = SETTINGS.replace(unlabelled={"learn": learn})
    return Sorter.fit(NumpyRecording([recording.trace], FS_HZ), unit_ids, settings=settings)


def sorted_by(sorter: Sorter, target: SimulatedRecording) -> Score:
    recording = NumpyRecording([target.trace], FS_HZ)
    return score(of_known(target.spikes), sorter.adapt(recording).sort(recording))


@pytest.fixture(scope="module")
def sorter(study: list[SimulatedRecording]) -> Sorter:
    return fit(study[0], of_known(study[0].spikes))


@pytest.mark.slow
def test_a_neuron_that_the_labels_leave_out_is_not_taken_for_a_labelled_one(
    study: list[SimulatedRecording], sorter: Sorter
) -> None:
    blind = sorted_by(fit(study[0], of_known(study[0].spikes), learn=False), study[1])
    seeing = sorted_by(sorter, study[1])
    assert blind.precision < 0.9
    assert seeing.precision > 0.97
    assert seeing.strict > 0.97


def test_it_is_kept_out_of_what_is_seen(
    study: list[SimulatedRecording], sorter: Sorter, tmp_path: Path
) -> None:
    assert len(sorter.units.unlabelled_ids) == 1
    assert sorter.units.known == (1, 2, 4)
    assert sorter.names == {1: "1", 2: "2", 4: "4"}
    assert sorter.forecast.unit_ids == sorter.point.unit_ids == (1, 2, 4)
    assert "3 units" in repr(sorter)
    assert sorter_html(sorter).count("<tr>") == 2 + 4
    recording = NumpyRecording([study[1].trace[:50_000]], FS_HZ)
    assert sorter.evidence(recording).shape == (50_000, 3)
    sorter.save(str(tmp_path / "model"))
    assert Sorter.load(str(tmp_path / "model")).sort(recording) == sorter.sort(recording)
    stream = sorter.stream(FS_HZ)
    pushed = Spikes.concatenate([stream.push(study[1].trace[:50_000]), stream.flush()])
    assert pushed == sorter.sort(recording)


def test_labels_that_miss_some_spikes_make_no_neuron_of_them(study: list[SimulatedRecording]) -> None:
    unit_ids = study[0].spikes
    seen = np.random.default_rng(0).random(len(unit_ids)) < 0.7
    assert fit(study[0], unit_ids.select(seen)).units.unlabelled_ids == ()


def test_where_all_are_labelled_there_is_nobody_else(study: list[SimulatedRecording]) -> None:
    assert fit(study[0], study[0].spikes).units.unlabelled_ids == ()


@pytest.mark.slow
def test_labels_that_do_not_belong_to_the_recording_are_noticed(
    study: list[SimulatedRecording], caplog: pytest.LogCaptureFixture
) -> None:
    part = replace(study[0], trace=study[0].trace[:125_000])
    unit_ids = study[0].spikes.within(500, 15_000)
    elsewhere = Spikes.from_arrays((unit_ids.sample * 7.3).astype(int), unit_ids.unit)
    few = elsewhere.select(np.arange(len(elsewhere)) % 2 == 0)
    sorter = fit(part, few)
    assert sorter.units.unlabelled_ids == ()
    assert "as many spikes as labels: do the labels belong to it" in caplog.text
