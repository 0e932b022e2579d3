from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.cli.console import outcome_line, sorted_json, sorted_line
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.labels import read_labels
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.results import open_results
from spikesorter.report.tables import facts
from spikesorter.sorting.groups import adapt_groups, discover_groups, fit_groups, sort_groups
from spikesorter.sorting.model import load_model
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.live_model import LiveOptions, open_streams
from spikesorter.workflows.manifest import BatchItem
from spikesorter.workflows.training import train_model
from tests.cli.test_cli import spikesorter
from tests.conftest import FS_HZ, PURSUIT
from tests.sorting.test_groups import SETTINGS, two_tetrodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
    pytest.mark.filterwarnings(
        "ignore:unclosed file:ResourceWarning"
    ),  # SpikeInterface leaves its files open
    pytest.mark.filterwarnings("ignore:.*FileIO.*:pytest.PytestUnraisableExceptionWarning"),
]

LEFT, RIGHT = [0, 2], [1, 3]
CONSTANT = "the trace is constant: nothing was recorded"
MISSING = "the trace is NaN or infinite throughout: nothing was recorded"
SHORT = "3.97 of 4 s are bad and left out: dead 3.97 s"
NOT_SOUGHT = "its units are not looked for"


def unplugged(
    number: int, value: float, columns: list[int] = RIGHT, *, until: int | None = None
) -> NumpyRecording:
    recording, _ = two_tetrodes(number)
    trace = recording.get_traces().copy()
    trace[:until, columns] = value
    changed = NumpyRecording([trace], FS_HZ)
    changed.set_property("group", recording.get_property("group"))
    return changed


def saved(folder: Path, **recordings: NumpyRecording) -> list[Path]:
    for name, recording in recordings.items():
        recording.save(folder=folder / name, verbose=False, progress_bar=False)
    return [folder / name for name in recordings]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return [line for line in said if line.startswith("group ")]


def same(found: Spikes, other: Spikes) -> bool:
    return found == other and found.bad == other.bad


@pytest.fixture(scope="module")
def sorters() -> dict[str, Sorter]:
    return fit_groups(*two_tetrodes(0), settings=SETTINGS, n_jobs=1)


@pytest.fixture(scope="module")
def left_alone(sorters: dict[str, Sorter]) -> Spikes:
    """What the left group's own sorter finds in a target whose other group is whole."""
    target, _ = two_tetrodes(1)
    one = {"left": sorters["left"]}
    return sort_groups(adapt_groups(one, target, n_jobs=1), target, n_jobs=1)


class Training:
    """The command that trains a model of both groups, adapted to a whole target and one with a dead group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        saved(folder, labelled=two_tetrodes(0)[0], whole=two_tetrodes(1)[0], dead=unplugged(1, 0.0))
        write_spikes(folder / "labels.csv", two_tetrodes(0)[1])

    def run(self, n_jobs: int) -> tuple[dict[str, Any], Path]:
        """Return what is told of the recordings, and the model's folder."""
        names = {name: self.folder / name for name in ("labelled", "whole", "dead")}
        model = self.folder / f"model{n_jobs}"
        words = ("train", names["labelled"], "--labels", self.folder / "labels.csv", "--by-group")
        targets = ("--targets", names["whole"], names["dead"], "--model", model)
        options = [word for assignment in PURSUIT for word in ("--set", assignment)]
        said = spikesorter(*words, *targets, *options, "--n-jobs", n_jobs, "--json").stdout
        return json.loads(said)["recordings"], model


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def trained(training: Training) -> tuple[dict[str, Any], Path]:
    """What is told, and the model, if one target is adapted to after another."""
    return training.run(1)


@pytest.mark.parametrize(
    ("value", "until", "why"), [(0.0, None, CONSTANT), (np.nan, None, MISSING), (0.0, -800, SHORT)]
)
def test_a_dead_group_of_a_target_does_not_stop_the_others(
    sorters: dict[str, Sorter],
    left_alone: Spikes,
    value: float,
    until: int | None,
    why: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    target = unplugged(1, value, until=until)
    adapted = adapt_groups(sorters, target, n_jobs=1)
    (line,) = told(caplog)
    assert line.startswith("group right: ")
    assert why in line
    assert line.endswith("; its sorter is not adapted to this recording")
    assert adapted["right"] is sorters["right"]
    assert adapted["left"] is not sorters["left"]
    found = sort_groups(adapted, target, n_jobs=1)
    (line,) = told(caplog)
    assert why in line
    assert line.endswith(NOT_SOUGHT)
    assert found.doubts == (line,)
    assert same(found, left_alone)
    assert len(found) > 50
    for jobs in (1, 2):  # by spans, then by finished ones
        again = sort_groups(adapted, target, n_jobs=jobs, span_seconds=1.0, resume=tmp_path)
        assert same(again, found)
        assert again.doubts == found.doubts


def test_if_all_groups_are_dead_that_is_an_error(sorters: dict[str, Sorter]) -> None:
    target = unplugged(1, 0.0, LEFT + RIGHT)
    for use in (adapt_groups, sort_groups):
        with pytest.raises(InputError, match=f"group left: {CONSTANT}$"):
            use(sorters, target, n_jobs=1)
    with pytest.raises(InputError, match="nothing was recorded|no unit can be distinguished"):
        fit_groups(target, two_tetrodes(0)[1], settings=SETTINGS, n_jobs=1)


def test_other_faults_of_a_group_are_errors_still(sorters: dict[str, Sorter]) -> None:
    target, _ = two_tetrodes(1)
    target.set_property("group", ["left", "right", "left", "left"])
    with pytest.raises(InputError, match="group left: has 3 channels, but the sorter was fitted to 2"):
        sort_groups(sorters, target, n_jobs=1)


@pytest.mark.parametrize(("value", "until"), [(0.0, None), (np.nan, None), (0.0, -800)])
def test_a_group_that_is_dead_in_the_labelled_recording_is_not_learnt(
    left_alone: Spikes, value: float, until: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    labelled = unplugged(0, value, until=until)
    fitted = fit_groups(labelled, two_tetrodes(0)[1], settings=SETTINGS, n_jobs=1)
    assert list(fitted) == ["left"]
    assert told(caplog) == ["group right: its channels are dead or missing; the group will not be sorted"]
    target, _ = two_tetrodes(1)
    assert same(sort_groups(adapt_groups(fitted, target, n_jobs=1), target, n_jobs=1), left_alone)


def test_files_are_trained_and_sorted_without_the_dead_group(
    left_alone: Spikes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labelled, dead, gone = saved(
        tmp_path,
        labelled=two_tetrodes(0)[0],
        dead=unplugged(1, 0.0),
        gone=unplugged(1, 0.0, LEFT + RIGHT),
    )
    write_spikes(tmp_path / "labels.csv", two_tetrodes(0)[1])
    learnt: list[str] = []
    unlearnt: list[tuple[str, str]] = []
    train_model(
        labelled, [dead], tmp_path / "model", SETTINGS, labels=tmp_path / "labels.csv", by_group=True,
        n_jobs=1, on_sorter=lambda name, _: learnt.append(name), on_dead=lambda *one: unlearnt.append(one),
    )  # fmt: skip
    assert learnt == ["labelled, group left", "labelled, group right", "dead, group left"]
    (line,) = told(caplog)
    assert unlearnt == [("dead, group right", line)]
    model = load_model(tmp_path / "model")
    assert {group: list(one) for group, one in model.groups.items()} == {
        "left": ["(labelled)", "dead"], "right": ["(labelled)"]
    }  # fmt: skip
    doubt = f"group right: {CONSTANT}; {NOT_SOUGHT}"
    out = tmp_path / "out"
    (one,) = sort_files([dead], model, out, n_jobs=1)
    assert told(caplog) == [doubt]
    assert (one.chosen, one.doubts) == ({"left": "dead"}, (doubt,))
    assert same(one.spikes, left_alone)
    written = read_labels(out / "dead.mat", fs_hz=FS_HZ)
    assert written == left_alone
    assert written.doubts == (doubt,)
    score = f"forecast {model.groups['left']['dead'].forecast.score:.3f}"
    assert score in sorted_line(one)
    assert sorted_line(one).endswith("; see the warnings")
    (told_as_json,) = json.loads(sorted_json([one]))["recordings"]
    assert told_as_json["doubts"] == [doubt]
    assert list(told_as_json["sorters"]) == ["left"]
    assert told_as_json["sorters"]["left"]["forecast"]["score"] > 0.8
    (shown,) = open_results(out)
    assert (shown.name, shown.doubts, shown.remarks) == ("dead, group left", (), (doubt,))
    assert ["groups left out", doubt] in facts(shown)
    assert "groups left out" in (out / "report.html").read_text(encoding="utf-8")
    items = [BatchItem(path.name, path, tmp_path / "model", RecordingOptions()) for path in (dead, gone)]
    done, failed = run_batch(items, tmp_path / "night")
    assert (done.state, done.doubts, list(done.forecast)) == ("done", (doubt,), ["left"])
    assert score in outcome_line(done)
    assert doubt in outcome_line(done)
    assert read_labels(tmp_path / "night" / done.result, fs_hz=FS_HZ) == left_alone
    assert (failed.state, CONSTANT in failed.reason) == ("failed", True)
    said: list[str] = []
    streams = open_streams(tmp_path / "model", LiveOptions(like="dead"), n_jobs=1, say=said.append)
    assert said == ["sorting, as adapted to dead", "group right was dead in dead: sorting it as first learnt"]
    streams.close()


def test_targets_with_a_dead_group_are_adapted_to_at_once_and_told_as_json_in_order(
    training: Training, trained: tuple[dict[str, Any], Path]
) -> None:
    (told_by_one, model1), (told_by_two, model2) = trained, training.run(2)
    assert told_by_one == told_by_two
    names = ["labelled", "whole", "dead"]
    assert list(told_by_two) == [f"{name}, group {group}" for name in names for group in ("left", "right")]
    reason = f"group right: {CONSTANT}; its sorter is not adapted to this recording"
    assert told_by_two["dead, group right"] == {"forecast": None, "doubts": [reason]}
    one, other = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (model1, model2)
    )
    assert one == other
    assert Path("groups/left/targets/dead/model.json") in one
    assert Path("groups/right/targets/dead/model.json") not in one


def test_a_group_whose_units_are_on_the_broken_channel_alone(
    sorters: dict[str, Sorter], left_alone: Spikes, caplog: pytest.LogCaptureFixture
) -> None:
    whole, truth = two_tetrodes(0)
    trace = whole.get_traces().copy()
    trace[:, 3] = np.random.default_rng(0).normal(0, trace[:, 3].std() / 2, len(trace))  # sees no unit
    labelled = NumpyRecording([trace], FS_HZ)
    labelled.set_property("group", whole.get_property("group"))
    fitted = fit_groups(labelled, truth, settings=SETTINGS, n_jobs=1)
    caplog.clear()
    target = unplugged(1, 0.0, [1])
    adapted = adapt_groups(fitted, target, n_jobs=1)
    (line,) = told(caplog)
    assert "no unit can be distinguished from noise on the channels that are left" in line
    assert "channel 1" in line
    found = sort_groups(
        {**adapted, "left": adapt_groups({"left": sorters["left"]}, target, n_jobs=1)["left"]},
        target,
        n_jobs=1,
    )
    assert same(found, left_alone)
    assert len(found.doubts) == 1


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_units_are_discovered_in_the_other_groups(value: float, caplog: pytest.LogCaptureFixture) -> None:
    found = discover_groups(unplugged(1, value), settings=SETTINGS, n_jobs=1)
    assert told(caplog) == [f"group right: {CONSTANT if value == 0 else MISSING}; {NOT_SOUGHT}"]
    assert list(found) == ["left"]
    assert len(found["left"].units) >= 2


def test_a_model_learnt_anew_keeps_no_group_of_before(
    training: Training, trained: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(trained[1], tmp_path / "model"))
    assert list(load_model(model).groups) == ["left", "right"]
    (broken,) = saved(tmp_path, broken=unplugged(0, 0.0))
    labels = training.folder / "labels.csv"
    train_model(broken, [], model, SETTINGS, labels=labels, by_group=True, n_jobs=1)
    assert list(load_model(model).groups) == ["left"]
