from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, append_recordings

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.recording_parts import MOST_LISTED, _listed, in_order
from tests.io.makers import write_blackrock
from tests.io.recording_files import FS_HZ, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


def test_one_segment_of_several_is_chosen_by_number(trace: np.ndarray, tmp_path: Path) -> None:
    parts = [NumpyRecording([part], FS_HZ) for part in (trace, trace[:1500])]
    append_recordings(parts).save(folder=tmp_path / "two", verbose=False)
    with pytest.raises(InputError, match=r"2 segments \(0\.1 s, 0\.1 s\); choose one with segment=0 to 1"):
        read_recording(tmp_path / "two")
    for segment, length in ((0, 3000), (1, 1500)):
        assert read_recording(tmp_path / "two", segment=segment).get_num_frames() == length
    with pytest.raises(InputError, match="no segment 2; there are 0 to 1"):
        read_recording(tmp_path / "two", segment=2)


@pytest.mark.parametrize(
    ("channel", "columns"), [("b", [1]), (["c", "a"], [2, 0]), (1, [1]), ("2", [2]), ((0, "a"), [0])]
)
def test_channels_are_chosen_by_id_or_place(
    channel: Any, columns: list[int], trace: np.ndarray, tmp_path: Path
) -> None:
    recording = read_recording(save(tmp_path / "folder", trace), channel=channel)
    np.testing.assert_array_equal(recording.get_traces(), trace[:, columns])


def test_an_id_goes_before_a_name_and_a_name_before_a_place(trace: np.ndarray, tmp_path: Path) -> None:
    path = write_blackrock(tmp_path / "a.ns5", trace)  # channels 1, 2, 3
    for channel, column in (("1", 0), ("elec3", 2), (0, 0), (3, 2)):
        found = read_recording(path, channel=channel).get_traces()
        np.testing.assert_array_equal(found, trace[:, [column]])


def test_channels_are_chosen_by_group(trace: np.ndarray, tmp_path: Path) -> None:
    recording = NumpyRecording([trace], FS_HZ)
    recording.set_property("group", np.array(["left", "right", "left"]))
    recording.save(folder=tmp_path / "folder", verbose=False)
    found = read_recording(tmp_path / "folder", group="left").get_traces()
    np.testing.assert_array_equal(found, trace[:, [0, 2]])
    with pytest.raises(InputError, match="no group up; there are left, right"):
        read_recording(tmp_path / "folder", group="up")
    with pytest.raises(InputError, match="has no group left; there are right"):
        read_recording(tmp_path / "folder", group="left", channel=1)


@pytest.mark.parametrize(
    ("own", "known", "order"),
    [
        (["e1", "e2", "e3"], ("e1", "e2", "e3"), [0, 1, 2]),
        (["e3", "e1", "e2"], ("e1", "e2", "e3"), [1, 2, 0]),
        ([2, 0, 1], ("0", "1", "2"), [1, 2, 0]),
        ([0, 1, 2], ("e1", "e2", "e3"), [0, 1, 2]),  # counted only
        (["e1", "e2", "e3"], ("1", "2", "3"), [0, 1, 2]),
        (["e3", "e1", "e2"], (), [0, 1, 2]),  # a model of an older version
    ],
)
def test_channels_are_put_in_the_known_order(
    own: list[str], known: tuple[str, ...], order: list[int], rng: np.random.Generator
) -> None:
    trace = rng.normal(size=(50, 3))
    recording = NumpyRecording([trace], 30_000.0, channel_ids=own)
    np.testing.assert_array_equal(in_order(recording, known).get_traces(), trace[:, order])


def test_a_new_order_is_said(caplog: pytest.LogCaptureFixture) -> None:
    recording = NumpyRecording([np.zeros((50, 2))], 30_000.0, channel_ids=["e2", "e1"])
    with caplog.at_level(logging.INFO):
        in_order(recording, ("e1", "e2"))
    assert "channels are put in the order e1, e2, as in the labelled recording" in caplog.text


@pytest.mark.parametrize(("more", "said"), [(0, ""), (1, " and 1 more"), (30, " and 30 more")])
def test_of_many_channels_the_first_are_listed(more: int, said: str) -> None:
    names = [f"e{k}" for k in range(MOST_LISTED + more)]
    assert _listed(names) == ", ".join(names[:MOST_LISTED]) + said


@pytest.mark.parametrize("own", [["e1", "e4"], [7, 9]])
def test_other_channels_are_refused_with_both_lists(own: list[str], rng: np.random.Generator) -> None:
    recording = NumpyRecording([rng.normal(size=(50, 2))], 30_000.0, channel_ids=own)
    shown = ", ".join(map(str, own))
    with pytest.raises(InputError, match=f"has the channels {shown}, but the labelled recording has e1, e2"):
        in_order(recording, ("e1", "e2"))
