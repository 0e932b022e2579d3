"""What is shown of a recording before anything is learnt from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.io.recording import RecordingOptions
from spikesorter.workflows import preview
from spikesorter.workflows.preview import MOST_SECONDS, Opened, choices, describe, open_for_preview, strip
from tests.io.recording_files import save_nwb

# SpikeInterface leaves what it wrote open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:The extractor is not serializable")
FS_HZ = 20_000.0
OPTIONS = RecordingOptions(fs_hz=FS_HZ, dtype="int16", channels=3)
PIECE: dict[str, Any] = {"start_s": 1.0, "seconds": 0.5, "channels": [0, 2], "columns": 100, "flat": False}


@pytest.fixture
def path(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Four seconds of three channels: noise of SD 10, 20 and 40 on offsets and drift; a spike at 1.2 s."""
    n = int(4 * FS_HZ)
    drift = 300 * np.sin(2 * np.pi * np.arange(n) / FS_HZ)
    trace = rng.normal(size=(n, 3)) * [10, 20, 40] + [500, 0, -500] + drift[:, None]
    trace[24_000] += 1000
    place = tmp_path / "probe.dat"
    trace.round().astype(np.int16).tofile(place)
    return place


@pytest.fixture
def opened(path: Path) -> Opened:
    return open_for_preview(path, OPTIONS)


def test_it_is_said_what_the_recording_is(path: Path, opened: Opened) -> None:
    said = describe(path, opened)
    assert (said["name"], said["seconds"], said["fs_hz"]) == ("probe", 4.0, FS_HZ)
    assert said["channels"] == ["0", "1", "2"]
    assert opened.spread == pytest.approx([10, 20, 40], rel=0.1)
    assert np.median(said["loudness"]) == pytest.approx(1.0, abs=0.1)


def test_where_it_is_louder_is_seen(path: Path) -> None:
    trace = np.fromfile(path, np.int16).reshape(-1, 3)
    trace[:8000] = np.where(np.arange(8000)[:, None] % 2, 2000, -2000)
    trace.tofile(path)
    loudness = describe(path, open_for_preview(path, OPTIONS))["loudness"]
    assert min(loudness[:5]) > 20 > 3 > max(loudness[10:])


def test_each_column_has_the_least_and_the_greatest_of_its_samples(path: Path, opened: Opened) -> None:
    shown = strip(opened, **PIECE)
    assert (shown["start_s"], shown["stop_s"]) == (1.0, 1.5)
    raw = np.fromfile(path, np.int16).reshape(-1, 3)[20_000:30_000, [0, 2]]
    tenths = 10 * (raw - opened.middle[[0, 2]]) / opened.spread[[0, 2]]
    for name, extreme in (("low", np.min), ("high", np.max)):
        expected = np.array([extreme(part, axis=0) for part in np.split(tenths, 100)])
        assert np.abs(np.array(shown[name]).T - expected).max() <= 1


def test_drift_is_removed_the_same_at_the_edges_of_what_is_shown(opened: Opened) -> None:
    shown = strip(opened, **PIECE | {"flat": True, "channels": [0]})
    whole = strip(
        opened, **PIECE | {"flat": True, "channels": [0], "start_s": 0.5, "seconds": 1.5, "columns": 300}
    )
    assert shown["low"] == [whole["low"][0][100:200]]
    assert max(shown["high"][0]) > 900  # the spike
    assert abs(np.median(shown["high"][0])) < 40


def test_only_what_is_shown_is_read(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []

    def noted(recording: Any, start: int, stop: int) -> Any:
        read.append((start, stop))
        return np.zeros((stop - start, recording.get_num_channels()), np.int16)

    monkeypatch.setattr(preview, "read_samples", noted)
    strip(opened, **PIECE)
    strip(opened, **PIECE | {"flat": True})
    assert read == [(20_000, 30_000), (19_600, 30_400)]


def test_a_place_beyond_the_end_is_moved_into_the_recording(opened: Opened) -> None:
    shown = strip(opened, **PIECE | {"start_s": 99.0})
    assert (shown["start_s"], shown["stop_s"]) == (3.5, 4.0)
    whole = strip(opened, **PIECE | {"start_s": -1.0, "seconds": 60.0})
    assert (whole["start_s"], whole["stop_s"]) == (0.0, 4.0)


def test_fewer_samples_than_pixels_are_shown_each(opened: Opened) -> None:
    shown = strip(opened, **PIECE | {"seconds": 0.001})
    assert len(shown["low"][0]) == 20
    assert shown["low"] == shown["high"]


def test_missing_samples_are_gaps(tmp_path: Path, rng: np.random.Generator) -> None:
    trace = rng.normal(size=(40_000, 2)).astype(np.float32)
    trace[10_000:20_000, 0], trace[30_000, 1] = np.nan, np.inf
    np.save(tmp_path / "gaps.npy", trace)
    one = open_for_preview(tmp_path / "gaps.npy", RecordingOptions(fs_hz=FS_HZ))
    shown = strip(one, start_s=0.0, seconds=2.0, channels=[0, 1], columns=8, flat=True)
    assert [value is None for value in shown["low"][1]] == [k in (2, 3, 6) for k in range(8)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seconds": 0.0}, "0 s of 2 channels are too much"),
        ({"seconds": MOST_SECONDS + 1}, "61 s of 2 channels are too much for one picture"),
        ({"columns": 0}, "columns must be between 1 and"),
        ({"channels": []}, "choose from 3 channels"),
        ({"channels": [3]}, "choose from 3 channels"),
        ({"channels": [-1]}, "choose from 3 channels"),
    ],
)
def test_what_cannot_be_shown_is_said(opened: Opened, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        strip(opened, **PIECE | changed)


def test_a_recording_is_opened_once_unless_it_changes(path: Path) -> None:
    first = open_for_preview(path, OPTIONS)
    assert open_for_preview(path, OPTIONS) is first
    path.write_bytes(path.read_bytes()[: -3 * 2 * 1000])
    assert open_for_preview(path, OPTIONS).n_samples == first.n_samples - 1000


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path: Path) -> None:
    with pytest.raises(InputError, match="nothing.dat: cannot be read"):
        open_for_preview(tmp_path / "nothing.dat", OPTIONS)
    with pytest.raises(InputError, match="raw binary files have no header; give fs_hz"):
        open_for_preview(path, RecordingOptions())


def test_a_recording_of_one_value_and_a_short_one_can_be_shown(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.full((30, 1), 7, np.int16))
    one = open_for_preview(tmp_path / "flat.npy", RecordingOptions(fs_hz=FS_HZ))
    shown = strip(one, start_s=0.0, seconds=4.0, channels=[0], columns=900, flat=True)
    assert shown["low"] == shown["high"] == [[0] * 30]


def test_what_a_file_of_several_recordings_holds_is_told(tmp_path: Path) -> None:
    trace = np.arange(40_000, dtype=np.int16).reshape(-1, 2) % 9
    path = save_nwb(tmp_path / "two.nwb", trace, names=("raw", "lfp"))
    said = choices(path, RecordingOptions())
    assert (sorted(said["streams"]), said["segments"], said["choose"]) == (["lfp", "raw"], [], "stream")
    said = choices(path, RecordingOptions(stream="raw"))
    assert (len(said["segments"]), said["choose"]) == (1, "")
    with pytest.raises(InputError, match="has no stream other"):
        choices(path, RecordingOptions(stream="other"))


def test_segments_are_told_with_their_lengths(tmp_path: Path) -> None:
    parts = [np.zeros((n, 1), np.int16) for n in (10_000, 30_000)]
    path = tmp_path / "night"
    NumpyRecording(parts, FS_HZ).save(folder=path, verbose=False)
    nothing = {"streams": [], "segments": [0.5, 1.5]}
    assert choices(path, RecordingOptions()) == nothing | {"choose": "segment"}
    assert choices(path, RecordingOptions(segment=1)) == nothing | {"choose": ""}


def test_plain_files_leave_nothing_to_choose(path: Path) -> None:
    assert choices(path, OPTIONS) == {"streams": [], "segments": [], "choose": ""}
