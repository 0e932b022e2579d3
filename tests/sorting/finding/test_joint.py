from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.sorting.finding.joint import joined

NONE = BadStretches()


def recording(trace: np.ndarray, fs_hz: float = 1000.0) -> NumpyRecording:
    return NumpyRecording([trace.astype(np.float32)[:, None]], fs_hz)


def test_parts_follow_each_other_without_their_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesorter.sorting.finding.joint.MOST_SECONDS", 4.0)
    first, second = np.arange(3000) % 100, np.arange(1000) % 10 + 500.0
    bad = BadStretches.of([(900, 1000, "given")])
    together, out = joined(
        [
            (recording(first), bad, Path("a")),
            (recording(second), BadStretches.of([(3, 5, "given")]), Path("b")),
        ]
    )
    trace = together.get_traces()[:, 0]
    assert trace[:2000].tolist() == (first[500:2500] - np.median(first[500:2500])).tolist()
    assert trace[2000:].tolist() == (second - np.median(second)).tolist()
    assert [(start, stop) for start, stop, _ in out] == [(400, 500), (2003, 2005)]


def test_one_recording_is_returned_whole() -> None:
    one, bad = recording(np.arange(100.0)), BadStretches.of([(3, 5, "given")])
    assert joined([(one, bad, Path("a"))]) == (one, bad)


def test_recordings_of_another_rate_are_refused() -> None:
    with pytest.raises(InputError, match="b: has 1 channels at 2000 Hz, but a has 1 at 1000 Hz"):
        joined(
            [
                (recording(np.arange(100.0)), NONE, Path("a")),
                (recording(np.arange(100.0), 2000.0), NONE, Path("b")),
            ]
        )


def channels(rows: list[list[float]], ids: list[str], groups: list[str] | None = None) -> NumpyRecording:
    made = NumpyRecording([np.float32(rows).T], 1000.0, channel_ids=ids)
    if groups:
        made.set_property("group", groups)
    return made


def test_channels_are_joined_by_their_ids() -> None:
    """The second recording lists the same electrodes the other way round."""
    first = channels([[0, 1, 2], [0, 10, 20]], ["e1", "e2"], ["left", "right"])
    second = channels([[0, 30, 60], [0, 3, 6]], ["e2", "e1"], ["right", "left"])
    together, _ = joined([(first, NONE, Path("a")), (second, NONE, Path("b"))])
    assert together.get_traces().T.tolist() == [[-1, 0, 1, -3, 0, 3], [-10, 0, 10, -30, 0, 30]]
    assert together.get_channel_ids().tolist() == ["e1", "e2"]
    assert together.get_property("group").tolist() == ["left", "right"]


def test_other_electrodes_are_refused() -> None:
    first, second = (channels([[0, 1], [0, 1]], ids) for ids in (["e1", "e2"], ["e1", "e3"]))
    with pytest.raises(InputError, match="b: has the channels e1, e3, but a has e1, e2"):
        joined([(first, NONE, Path("a")), (second, NONE, Path("b"))])
    with pytest.raises(InputError, match="b: has 1 channels at 1000 Hz, but a has 2"):
        joined([(first, NONE, Path("a")), (recording(np.arange(4.0)), NONE, Path("b"))])


def test_samples_are_in_the_unit_of_the_first_recording() -> None:
    """The second recording has steps of a quarter of the size, and lists its channels the other way round."""
    first = channels([[0, 1, 2], [0, 10, 20]], ["e1", "e2"])
    second = channels([[0, 40, 80], [0, 8, 16]], ["e2", "e1"])
    first.set_channel_gains([2.0, 4.0])
    second.set_channel_gains([1.0, 0.5])
    second.set_channel_offsets([100.0, 200.0])
    together, _ = joined([(first, NONE, Path("a")), (second, NONE, Path("b"))])
    assert together.get_traces().T.tolist() == [[-1, 0, 1, -2, 0, 2], [-10, 0, 10, -10, 0, 10]]


def test_channels_that_differ_by_several_factors_are_refused() -> None:
    first, second = (channels([[0, 1, 2], [0, 10, 20]], ["e1", "e2"]) for _ in range(2))
    first.set_channel_gains([2.0, 4.0])
    second.set_channel_gains([2.0, 2.0])
    with pytest.raises(
        InputError, match=r"^b: its channels have 1, 0.5 times the microvolts .* of a; .*scale_to_uV"
    ):
        joined([(first, NONE, Path("a")), (second, NONE, Path("b"))])


def test_a_unit_that_only_one_states_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    first, second = recording(np.arange(3.0)), recording(np.arange(3.0))
    second.set_channel_gains([0.5])
    together, _ = joined([(first, NONE, Path("a")), (second, NONE, Path("b"))])
    assert together.get_traces()[:, 0].tolist() == [-1, 0, 1] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "a does not state the unit of its samples, but b does; they are taken to be the same"
    ]


def test_a_large_offset_costs_no_precision() -> None:
    count = np.arange(5, dtype=np.int32) + 2**28
    one = NumpyRecording([count[:, None]], 1000.0)
    together, _ = joined([(one, NONE, Path("a")), (one, NONE, Path("b"))])
    assert together.get_traces()[:, 0].tolist() == [-2, -1, 0, 1, 2] * 2


def test_missing_samples_stay_missing_and_only_these() -> None:
    gap = np.r_[np.arange(4.0), np.nan, np.arange(4.0, 7.0)]
    together, _ = joined([(recording(gap), NONE, Path("a")), (recording(np.ones(2)), NONE, Path("b"))])
    trace = together.get_traces()[:, 0]
    assert np.flatnonzero(np.isnan(trace)).tolist() == [4]
    assert trace[[0, 3, 5, 8]].tolist() == [-3, 0, 1, 0]


def test_each_recording_has_an_equal_part_and_of_an_odd_one_the_middle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spikesorter.sorting.finding.joint.MOST_SECONDS", 0.03)
    out = BadStretches.of([(0, 6, "given"), (15, 16, "dead"), (17, 21, "missing")])
    parts = [(recording(np.arange(21.0)), out, Path(name)) for name in "abc"]
    together, bad = joined(parts)
    assert together.get_num_frames() == 30
    assert together.get_traces()[[0, 9, 10], 0].tolist() == [-4.5, 4.5, -4.5]
    assert list(bad) == [(0, 1, "given"), (10, 11, "given"), (20, 21, "given")]
