"""What the benchmark of a closed loop makes of the times at which spikes come back."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spikesorter.workflows.open_ephys import parse


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    return importlib.import_module("live")


def test_delays_are_counted_from_the_packet_that_decided_a_spike(live: ModuleType) -> None:
    due = 100 + 0.01 * np.arange(1, 5)  # four packets of 10 ms; the first sample is taken at 100 s
    received = [
        (100.012, b'{"sample": 50, "behind_s": 0.008}'),  # decided by the first packet
        (100.036, b'{"sample": 250, "behind_s": 0.02}'),  # by the third
    ]
    figures = live.figures_of(received, due)
    np.testing.assert_allclose(figures["spike_ms"], [18, 25.84, 26], atol=0.02)
    np.testing.assert_allclose(figures["reply_ms"], [4, 5.96, 6], atol=0.02)
    assert figures["jitter_ms"] == 2


def test_messages_are_those_of_the_plugin(live: ModuleType) -> None:
    message = parse(live.zmq_message(np.float32([1, 2, 3]), 500))
    assert message is not None
    assert (message.start, message.samples.tolist()) == (500, [1, 2, 3])
