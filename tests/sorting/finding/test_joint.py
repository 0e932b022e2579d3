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
