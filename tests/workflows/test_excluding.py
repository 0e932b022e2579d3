"""Missing samples and what the user leaves out: `sort`, `train`, `batch`, `listen` and streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.mat import read_mat
from spikesorter.io.mat_writing import write_mat_recording
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.live_groups import GroupStreams
from spikesorter.sorting.model import load_model
from spikesorter.sorting.sorter import Sorter
from spikesorter.workflows.batch import run_batch
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.live import listen
from spikesorter.workflows.manifest import read_batch
from spikesorter.workflows.packets import Packet
from spikesorter.workflows.training import train_model
from tests.cli.test_cli import spikesorter
from tests.conftest import FS_HZ, PURSUIT

pytestmark = pytest.mark.slow

HOLE = (50_000, 50_500)  # 20 ms
NEAR = 1000  # samples beside the hole whose spikes may differ


@pytest.fixture(scope="module")
def whole(study_folder: Path) -> np.ndarray:
    return read_mat(study_folder / "D2.mat")[0].get_traces()


@pytest.fixture(scope="module")
def holed(whole: np.ndarray) -> np.ndarray:
    trace = whole.copy()
    trace[slice(*HOLE)] = np.nan
    return trace


@pytest.fixture(scope="module")
def sorter(sorted_study: Path) -> Sorter:
    return Sorter.load(sorted_study / "model" / "targets" / "D2")


def far(spikes: Spikes) -> list[tuple[int, int]]:
    pairs = zip(spikes.sample.tolist(), spikes.unit.tolist(), strict=True)
    return [
        (sample, unit) for sample, unit in pairs if not -NEAR < sample - HOLE[0] < HOLE[1] - HOLE[0] + NEAR
    ]


@pytest.fixture
def recordings(holed: np.ndarray, whole: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    write_mat_recording(folder / "holed.mat", holed, fs_hz=FS_HZ)
    write_mat_recording(folder / "whole.mat", whole, fs_hz=FS_HZ)
    np.save(folder / "plain.npy", holed)
    return folder


def test_missing_samples_are_left_out_of_files(recordings: Path, sorted_study: Path, tmp_path: Path) -> None:
    paths = [recordings / name for name in ("holed.mat", "whole.mat", "plain.npy")]
    done = sort_files(paths, load_model(sorted_study / "model"), tmp_path / "out")
    holed, whole, plain = (one.spikes for one in done)
    ((start, stop, kind),) = holed.bad
    assert kind == "missing"
    assert start <= HOLE[0] < HOLE[1] <= stop < start + 600
    assert far(holed) == far(whole)
    assert plain.bad == holed.bad
    assert plain.sample.tolist() == holed.sample.tolist()
    assert (tmp_path / "out" / "report.html").is_file()


def test_missing_samples_are_left_out_of_streams(holed: np.ndarray, sorter: Sorter) -> None:
    def packets() -> Iterator[Packet]:
        yield from map(Packet, np.array_split(holed.astype(np.float32), 40))

    stream = sorter.stream(FS_HZ)
    found_live = list(listen(packets(), GroupStreams.of(stream), trust=True))
    from spikeinterface.core import NumpyRecording

    found = sorter.sort(NumpyRecording([holed.astype(np.float32)], FS_HZ))
    assert [spike.sample for spike in found_live] == found.sample.tolist()
    assert stream.bad == found.bad


def test_missing_samples_are_left_out_of_training(study_folder: Path, tmp_path: Path) -> None:
    recording, labels = read_mat(study_folder / "D1.mat")
    trace = recording.get_traces().copy()
    trace[slice(*HOLE)] = np.inf
    write_mat_recording(tmp_path / "D1.mat", trace, fs_hz=FS_HZ, labels=labels)
    recording, _ = read_mat(study_folder / "D2.mat")
    trace = recording.get_traces().copy()
    trace[slice(*HOLE)] = np.nan
    write_mat_recording(tmp_path / "D2.mat", trace, fs_hz=FS_HZ)
    learnt: dict[str, Sorter] = {}
    train_model(
        tmp_path / "D1.mat",
        [tmp_path / "D2.mat"],
        tmp_path / "model",
        load_settings(assignments=PURSUIT),
        on_sorter=learnt.__setitem__,
    )
    assert list(learnt) == ["D1", "D2"]
    assert all(np.isfinite(one.profile.scale).all() and one.forecast.score > 0.8 for one in learnt.values())


def test_what_the_user_leaves_out_is_told_in_the_result(
    recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("start_s,stop_s\n1,1.5\n")
    (tmp_path / "pulses.csv").write_text("time_s\n3\n4\n")
    spikesorter(
        "sort", recordings / "whole.mat", "--model", sorted_study / "model", "--out", tmp_path / "out",
        "--exclude", tmp_path / "bad.csv", "--blank-events", tmp_path / "pulses.csv",
        "--blank-ms", "-1", "20", "--no-report",
    )  # fmt: skip
    found = read_bad(tmp_path / "out" / "whole.bad.csv")
    assert found == [(1.0, 1.5, "given"), (2.999, 3.02, "given"), (3.999, 4.02, "given")]
    options = json.loads((tmp_path / "out" / "sort.json").read_text())["recordings"]["whole"]["options"]
    assert options["exclude"]["window_ms"] == [-1.0, 20.0]


def read_bad(path: Path) -> list[tuple[float, float, str]]:
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    return [(float(start), float(stop), kind) for start, stop, kind in rows]


def test_several_recordings_need_a_column_that_names_them(
    recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("start_s,stop_s\n1,1.5\n")
    options = RecordingOptions(exclude=Exclusion(str(tmp_path / "bad.csv")))
    paths = [recordings / "whole.mat", recordings / "holed.mat"]
    with pytest.raises(InputError, match="there are 2 recordings; say in a column `recording`"):
        sort_files(paths, load_model(sorted_study / "model"), tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_a_batch_sorts_again_what_is_left_out_otherwise(
    recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    (recordings / "plain.npy").unlink()
    bad, out = tmp_path / "bad.csv", tmp_path / "out"
    bad.write_text("recording,start_s,stop_s\nwhole,1,1.5\nholed,6,7\n")

    def states(**options: Any) -> dict[str, str]:
        items = read_batch(recordings, model=sorted_study / "model", options=RecordingOptions(**options))
        return {one.name: one.state for one in run_batch(items, out)}

    exclusion = Exclusion(str(bad))
    assert states(exclude=exclusion) == {"holed": "done", "whole": "done"}
    assert states(exclude=exclusion) == {"holed": "kept", "whole": "kept"}
    bad.write_text("recording,start_s,stop_s\nwhole,1,1.75\nholed,6,7\n")
    assert states(exclude=exclusion) == {"holed": "kept", "whole": "done"}
    assert read_bad(out / "predictions" / "whole.bad.csv") == [(1.0, 1.75, "given")]
    with pytest.raises(InputError, match="was sorted there with another options"):
        states()


def test_finished_spans_are_not_used_for_something_else_left_out(
    recordings: Path, sorted_study: Path, tmp_path: Path
) -> None:
    model, place = load_model(sorted_study / "model"), tmp_path / "spans"
    bad = tmp_path / "bad.csv"
    found = []
    for stop in (1.5, 3.0):
        bad.write_text(f"start_s,stop_s\n1,{stop}\n")
        opened = RecordingOptions(exclude=Exclusion(str(bad))).open(recordings / "whole.mat")
        chosen = model.chosen(model.nearest(opened.recording).names)
        found.append(
            [
                model.sort(opened.recording, chosen, exclude=opened.exclude, resume=resume, span_seconds=1.0)
                for resume in (place, None)
            ]
        )
    assert all(resumed == fresh for resumed, fresh in found)
    assert found[0][0] != found[1][0]
