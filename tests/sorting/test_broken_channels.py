from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import resample

from spikesorter.core.errors import InputError
from spikesorter.core.score import score
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat_writing import write_mat, write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.report.contents import report_contents
from spikesorter.report.plots.trace import trace as draw_trace
from spikesorter.report.results import open_results
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.model import load_model, nearest_sorter
from spikesorter.sorting.narrowing import narrow
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.live_model import LiveOptions, open_streams
from spikesorter.workflows.training import train_model
from tests.conftest import FS_HZ, PURSUIT, warnings_kept

pytestmark = pytest.mark.slow

SETTINGS = load_settings(assignments=PURSUIT)
IDS = ["e1", "e2", "e3"]
BROKEN, LEFT = 1, [0, 2]
Trace = npt.NDArray[np.float32]


@cache
def study() -> list[SimulatedRecording]:
    return simulate_study(units=2, seconds=6, noise_levels=(0.6,), channels=3, seed=5)


def recording(trace: Trace, ids: list[str] | None = None) -> NumpyRecording:
    return NumpyRecording([trace], FS_HZ, channel_ids=IDS if ids is None else ids)


def broken(number: int, value: float = 0.0, *, start: int = 0) -> Trace:
    trace = study()[number].trace.copy()
    trace[start:, BROKEN] = value
    return trace


def fitted(trace: Trace, ids: list[str] | None = None) -> Sorter:
    return Sorter.fit(recording(trace, ids), study()[0].spikes, settings=SETTINGS, n_jobs=1)


@pytest.fixture(scope="module")
def sorter() -> Sorter:
    return fitted(study()[0].trace)


@pytest.fixture(scope="module")
def of_two() -> Sorter:
    """Learnt from the channels that are left, from the start."""
    return fitted(study()[0].trace[:, LEFT], ["e1", "e3"])


@pytest.fixture(scope="module")
def two() -> NumpyRecording:
    """The target without the channel that is broken in others."""
    return recording(study()[1].trace[:, LEFT], ["e1", "e3"])


@pytest.fixture(scope="module")
def two_adapted(of_two: Sorter, two: NumpyRecording) -> Sorter:
    return of_two.adapt(two, n_jobs=1)


@pytest.fixture(scope="module")
def adapted(sorter: Sorter) -> Sorter:
    return sorter.adapt(recording(broken(1)), n_jobs=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the labelled recording (D1), the whole target (D2) and the broken one (D3)."""
    folder = tmp_path_factory.mktemp("files")
    write(folder, "D1", study()[0].trace, study()[0].spikes)
    write(folder, "D2", study()[1].trace)
    write(folder, "D3", broken(1))
    return folder


@pytest.fixture(scope="module")
def warned_of(files: Path) -> list[str]:
    """What is said of channels while a model is trained on all of them; it is left in the folder `model`."""
    targets = [files / "D2.mat", files / "D3.mat"]
    with warnings_kept() as said:
        train_model(files / "D1.mat", targets, files / "model", SETTINGS, n_jobs=1)
    return of_channels(said)


@pytest.fixture(scope="module")
def of_whole(files: Path, warned_of: list[str]) -> Path:
    """A model that knows the labelled recording and the whole target."""
    known = files / "model"
    return Path(shutil.copytree(known, files / "of_whole", ignore=shutil.ignore_patterns("D3")))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return of_channels(said)


def of_channels(said: list[str]) -> list[str]:
    return [line for line in said if "channels that are used" in line]


def true_score(found: Spikes) -> float:
    return score(study()[1].spikes, found, fs_hz=FS_HZ).strict


def test_a_target_that_lacks_a_channel_is_as_one_in_which_it_is_missing(
    sorter: Sorter, caplog: pytest.LogCaptureFixture
) -> None:
    missing = recording(broken(1, np.nan))
    lacking = recording(study()[1].trace[:, [2, 0]], ["e3", "e1"])  # in another order
    adapted = sorter.adapt(lacking, n_jobs=1)
    assert told(caplog) == [
        "channel e2 is missing (NaN or infinite) throughout, and is left out; channels that are used: e1, e3"
    ]
    alike = sorter.adapt(missing, n_jobs=1)
    assert adapted.used_channels == alike.used_channels == ("e1", "e3")
    assert adapted.forecast.summary() == alike.forecast.summary()
    assert adapted.sort(lacking, n_jobs=1) == alike.sort(missing, n_jobs=1) == adapted.sort(missing, n_jobs=1)
    whole = sorter.adapt(recording(study()[1].trace), n_jobs=1)
    assert whole.sort(lacking, n_jobs=1) == whole.sort(missing, n_jobs=1)
    assert whole.suited_to(lacking).forecast.score < whole.forecast.score
    trace = study()[1].trace[:, LEFT].copy()
    trace[:, 1] = 0.0
    caplog.clear()
    assert sorter.suited_to(recording(trace, ["e1", "e3"])).used_channels == ("e1",)
    assert "channel e2 is missing" in caplog.text
    assert "channel e3 is dead" in caplog.text


@pytest.mark.filterwarnings("ignore:The extractor is not serializable")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # SpikeInterface leaves its files open
@pytest.mark.filterwarnings("ignore:.*FileIO.*:pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_lacks_a_channel_is_adapted_to_sorted_and_shown(tmp_path: Path) -> None:
    spikes = study()[0].spikes
    for name, one in (
        ("D1", recording(study()[0].trace)),
        ("D2", recording(study()[1].trace[:, LEFT], ["e1", "e3"])),
    ):
        one.save(folder=tmp_path / name, verbose=False, progress_bar=False)
    write_mat(tmp_path / "labels.mat", spikes)
    files = tmp_path / "D1", tmp_path / "D2"
    model = tmp_path / "model"
    train_model(files[0], [files[1]], model, SETTINGS, labels=tmp_path / "labels.mat", n_jobs=1)
    for to in ("D2", "(labelled)"):
        (one,) = sort_files([files[1]], load_model(model), tmp_path / "out", report=False, n_jobs=1)
        assert (one.adapted_to, one.left_out) == (to, {"": ("e2",)})
        assert true_score(one.spikes) > 0.8
        (shown,) = open_results(tmp_path / "out")
        assert report_contents("T", [shown])["recordings"][0]["channels"] == ["e1", "e3"]
        shutil.rmtree(model / "targets", ignore_errors=True)  # as trained without a target


@pytest.mark.parametrize("ids", [["0", "1"], ["e1", "e4"]])
def test_channels_that_do_not_tell_which_are_missing_are_refused(sorter: Sorter, ids: list[str]) -> None:
    with pytest.raises(InputError, match="has 2 channels, but the sorter was fitted to 3"):
        sorter.sort(recording(study()[1].trace[:, LEFT], ids), n_jobs=1)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_target_with_a_dead_channel_is_adapted_to_by_the_others(
    sorter: Sorter,
    two: NumpyRecording,
    two_adapted: Sorter,
    value: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = recording(broken(1, value))
    caplog.clear()
    adapted = sorter.adapt(target, n_jobs=1)
    found = adapted.sort(target, n_jobs=1)
    assert [line.partition(" is ")[0] for line in told(caplog)] == ["channel e2"]
    assert (adapted.used_channels, adapted.channels, len(found.bad)) == (("e1", "e3"), 3, 0)
    assert true_score(found) == pytest.approx(true_score(two_adapted.sort(two, n_jobs=1)), abs=0.02)
    assert adapted.forecast.score == pytest.approx(two_adapted.forecast.score, abs=0.02)
    assert true_score(found) > 0.8


def test_what_the_channel_holds_changes_nothing(adapted: Sorter) -> None:
    zeros, missing, alive = (
        adapted.sort(recording(trace), n_jobs=1) for trace in (broken(1), broken(1, np.nan), study()[1].trace)
    )
    assert zeros == missing == alive


def test_file_spans_threads_resume_and_stream_give_the_same(adapted: Sorter, tmp_path: Path) -> None:
    trace = broken(1)
    whole = adapted.sort(recording(trace), n_jobs=1)
    assert len(whole) > 50
    for jobs in (1, 2):
        assert adapted.sort(recording(trace), n_jobs=jobs, span_seconds=1.0, resume=tmp_path) == whole
    stream = adapted.stream(FS_HZ)
    assert stream.channels == 3
    parts = [stream.push(packet) for packet in np.array_split(trace, 37)]
    live = Spikes.concatenate([*parts, stream.flush()])
    np.testing.assert_array_equal(live.sample, whole.sample)
    np.testing.assert_array_equal(live.unit, whole.unit)
    np.testing.assert_array_equal(live.probability, whole.probability)


def test_without_adapting_the_others_are_used_too(
    sorter: Sorter, of_two: Sorter, two: NumpyRecording, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    target = recording(broken(1))
    found = sorter.sort(target, n_jobs=1)
    assert len(told(caplog)) == 1
    assert true_score(found) == pytest.approx(true_score(of_two.sort(two, n_jobs=1)), abs=0.05)
    suited = sorter.suited_to(target, n_jobs=1)
    assert suited.sort(target, n_jobs=2, span_seconds=1.0, resume=tmp_path) == found
    assert suited.used_channels == ("e1", "e3")
    assert sorter.suited_to(recording(study()[1].trace), n_jobs=1) is not suited
    assert sorter.suited_to(recording(study()[1].trace), n_jobs=1).state is sorter.state


def test_a_second_channel_has_its_own_name_where_another_was_dead_when_labelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Channels without ids are counted; those that are left must not be counted anew."""
    labelled = study()[0].trace.copy()
    labelled[:, 0] = 0
    known = Sorter.fit(NumpyRecording([labelled], FS_HZ), study()[0].spikes, settings=SETTINGS, n_jobs=1)
    caplog.clear()
    suited = known.suited_to(NumpyRecording([broken(1)], FS_HZ), n_jobs=1)
    (said,) = told(caplog)
    assert said == "channel 1 is dead or switched off throughout, and is left out; channels that are used: 2"
    assert suited.used_channels == ("2",)


def test_a_threshold_that_was_asked_for_stays(sorter: Sorter) -> None:
    strict = sorter.with_working_point(threshold=0.95, refractory_ms=1.0)
    suited = strict.suited_to(recording(broken(1)), n_jobs=1)
    assert set(suited.point.thresholds) == {0.95}
    assert suited.point.refractory_samples == 25


def test_a_dead_labelled_channel_is_left_out_and_kept_by_id(
    of_two: Sorter, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for value in (0.0, np.nan):
        fitted(broken(0, value)).save(tmp_path / "model")
        one = Sorter.load(tmp_path / "model")
        assert (one.used_channels, one.channels) == (("e1", "e3"), 3)
        np.testing.assert_array_equal(one.units.templates.waveforms, of_two.units.templates.waveforms)
    assert len(told(caplog)) == 2
    target = study()[1].trace
    whole = one.sort(recording(target), n_jobs=1)
    turned = recording(target[:, [2, 1, 0]], ["e3", "e2", "e1"])
    only = recording(target[:, LEFT], ["e1", "e3"])
    assert one.sort(turned, n_jobs=1) == one.sort(only, n_jobs=1) == whole
    with pytest.raises(
        InputError, match="has 2 channels, but the sorter was fitted to 3, and goes by e1, e3"
    ):
        one.sort(recording(target[:, :2], ["e1", "e4"]))
    assert one.suited_to(recording(target[:, :2], ["e1", "e2"])).used_channels == ("e1",)


def test_a_channel_that_dies_part_way_costs_the_time_or_the_channel(sorter: Sorter) -> None:
    n_samples = len(study()[1].trace)
    late, early = (recording(broken(1, start=int(share * n_samples))) for share in (0.9, 0.3))
    found = sorter.sort(late, n_jobs=1)
    assert found.bad.samples == pytest.approx(0.1 * n_samples, rel=0.02)
    assert sorter.suited_to(late).used_channels == ("e1", "e2", "e3")
    found = sorter.sort(early, n_jobs=1)
    assert len(found.bad) == 0
    assert sorter.suited_to(early).used_channels == ("e1", "e3")


def test_a_channel_with_far_more_noise_is_whitened_away_or_left_out(
    sorter: Sorter, two: NumpyRecording, two_adapted: Sorter
) -> None:
    trace = study()[1].trace.copy()
    trace[:, BROKEN] += np.random.default_rng(1).normal(0, 12.0, len(trace)).astype(np.float32)
    target = recording(trace)
    adapted = sorter.adapt(target, n_jobs=1)
    assert adapted.used_channels == ("e1", "e2", "e3")
    found = adapted.sort(target, n_jobs=1)
    assert len(found.bad) == 0
    assert true_score(found) > true_score(two_adapted.sort(two, n_jobs=1)) - 0.02
    assert sorter.suited_to(target).used_channels == ("e1", "e3")
    assert len(sorter.sort(target, n_jobs=1).bad) == 0


def test_a_unit_of_the_broken_channel_alone_is_lost_and_lowers_the_forecast(sorter: Sorter) -> None:
    units = sorter.units
    waveforms = units.templates.waveforms.copy()
    waveforms[1][:, LEFT] = 0
    alone = replace(units, templates=replace(units.templates, waveforms=waveforms))
    left = narrow(replace(sorter.state, units=alone), tuple(LEFT))
    assert left.lost == ("2",)
    assert left.words == "unit 2 cannot be distinguished from noise on the channels that are left"
    assert left.lessons.context.units.unit_ids == (1,)
    assert left.lessons.labelled is not None
    assert left.lessons.labelled.spikes.unit_ids == (1,)
    one = replace(sorter.forecast, unit_ids=(1,), f1=(0.9,), score=0.9)
    assert left.forecast(one).score == pytest.approx(0.45)
    waveforms[0][:, LEFT] = 0
    with pytest.raises(InputError, match="no unit can be distinguished from noise on the channels that are"):
        narrow(replace(sorter.state, units=alone), tuple(LEFT))


def test_channels_are_left_out_by_id_or_position(sorter: Sorter, adapted: Sorter) -> None:
    assert sorter.without_channels(["e2"]).used_channels == ("e1", "e3")
    assert sorter.without_channels([1]).state is sorter.without_channels(["e2"]).state
    assert adapted.without_channels(["e2"]).state is adapted.state
    assert adapted.without_channels(["e3"]).used_channels == ("e1",)
    with pytest.raises(InputError, match="has no channel e4; there are e1, e2, e3"):
        sorter.without_channels(["e4"])
    with pytest.raises(InputError, match="no channel is left"):
        sorter.without_channels(IDS)


def test_a_stream_tells_a_dead_channel_and_goes_on_without_it(
    sorter: Sorter, caplog: pytest.LogCaptureFixture
) -> None:
    trace = broken(1)
    stream = sorter.stream(FS_HZ)
    stream.push(trace[:25_000])
    assert stream.doubt.startswith("channel e2 is dead or missing, and nothing is sorted while it is")
    assert "listen --without e2" in caplog.text
    stream = sorter.without_channels(["e2"]).stream(FS_HZ)
    found = Spikes.concatenate([stream.push(trace), stream.flush()])
    assert not stream.doubt.startswith("channel")
    assert len(found) == len(sorter.sort(recording(trace), n_jobs=1))
    calibrated = sorter.stream(FS_HZ, calibration_seconds=4.0)
    found = Spikes.concatenate([calibrated.push(trace), calibrated.flush()])
    assert calibrated.state is not None
    assert calibrated.state.used_ids == ("e1", "e3")
    assert true_score(found) > 0.8


def write(folder: Path, name: str, trace: Trace, spikes: Spikes | None = None) -> Path:
    path = folder / f"{name}.mat"
    write_mat_recording(path, trace, fs_hz=FS_HZ, labels=spikes)
    return path


def test_files_are_trained_sorted_and_shown_without_the_broken_channel(
    files: Path, warned_of: list[str], of_whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead = files / "D3.mat"
    assert len(warned_of) == 1
    model = load_model(files / "model")
    sorters = model.groups[""]
    assert sorters["D3"].used_channels == ("0", "2")
    assert nearest_sorter(sorters, NumpyRecording([study()[1].trace], FS_HZ))[0] == "D2"
    (one,) = sort_files([dead], model, tmp_path / "out", report=False, n_jobs=1)
    assert (one.adapted_to, one.left_out) == ("D3", {"": ("1",)})
    caplog.clear()
    (other,) = sort_files([dead], load_model(of_whole), tmp_path / "other", n_jobs=1)
    assert (other.adapted_to, other.left_out) == ("D2", {"": ("1",)})
    assert [line.partition(" is ")[0] for line in told(caplog)] == ["channel 1 (counted from 0)"]
    for found in (one, other):
        assert true_score(found.spikes) > 0.8
    facts = json.loads((tmp_path / "other" / "sort.json").read_text())["recordings"]["D3"]
    assert facts["left_out"] == {"": ["1"]}
    (shown,) = open_results(tmp_path / "other")
    assert shown.sorter.used_channels == ("0", "2")
    figure = draw_trace(shown.recording, found=shown.spikes, sorter=shown.sorter, seconds=0.1)
    lines = [one.name for one in figure.data if one.name.startswith("channel")]
    assert lines == ["channel 0", "channel 2"]
    assert report_contents("T", [shown])["recordings"][0]["channels"] == ["0", "2"]
    assert "channels left out" in (tmp_path / "other" / "report.html").read_text(encoding="utf-8")


def test_a_file_at_another_rate_is_sorted_without_its_missing_channel(sorter: Sorter, tmp_path: Path) -> None:
    faster = np.asarray(resample(recording(study()[1].trace), 30_000.0).get_traces()).copy()
    faster[:, BROKEN] = np.nan
    path = tmp_path / "D2.mat"
    write_mat_recording(path, faster, fs_hz=30_000.0)
    opened = RecordingOptions(resample=True).open(path, fs_hz=FS_HZ)
    found = sorter.sort(opened.recording, exclude=opened.exclude, n_jobs=1)
    assert sorter.suited_to(opened.recording).used_channels == ("e1", "e3")
    assert len(found.bad) == 0
    native = sorter.sort(recording(broken(1, np.nan)), n_jobs=1)
    assert true_score(found) == pytest.approx(true_score(native), abs=0.02)
    assert true_score(found) > 0.8


def test_a_live_model_goes_by_the_channels_that_are_asked_for(of_whole: Path) -> None:
    said: list[str] = []
    streams = open_streams(of_whole, LiveOptions(without=("1",)), say=said.append)
    assert streams.channels == 3
    assert said == ["sorting, as adapted to D2, without channel 1"]
    spikes = [*streams.push(broken(1)).values(), *streams.flush().values()]
    assert true_score(Spikes.concatenate(spikes)) > 0.8
    with pytest.raises(InputError, match="has no channel 7"):
        open_streams(of_whole, LiveOptions(without=("7",)))


def test_labels_beside_a_recording_with_a_dead_channel(tmp_path: Path) -> None:
    place = tmp_path / "labels.mat"
    write_mat(place, study()[0].spikes)
    labelled = write(tmp_path, "D1", broken(0, np.nan))
    train_model(labelled, [], tmp_path / "model", SETTINGS, labels=place, n_jobs=1)
    assert load_model(tmp_path / "model").groups[""]["(labelled)"].used_channels == ("0", "2")
