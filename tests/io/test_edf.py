"""Files of EDF whose channels have several sampling rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.recording import RecordingOptions, read_recording
from tests.io.makers import write_edf_of_rates

COUNTS = {"E1": np.arange(50_000) % 100, "slow": np.arange(200), "E2": np.arange(50_000) % 77}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rates = {"E1": 25_000, "slow": 100, "E2": 25_000}
    return write_edf_of_rates(tmp_path / "mixed.edf", {name: (rates[name], COUNTS[name]) for name in rates})


@pytest.mark.parametrize("channel", [["E2", "E1"], ["2", "0"], ["E1"], ["slow"]])
def test_wanted_channels_choose_their_rate(channel: list[str], mixed: Path) -> None:
    recording = read_recording(mixed, channel=channel)
    names = [{"0": "E1", "2": "E2"}.get(name, name) for name in channel]
    assert recording.get_sampling_frequency() == (100 if names == ["slow"] else 25_000)
    np.testing.assert_array_equal(recording.get_traces().T, [COUNTS[name] for name in names])
    assert RecordingOptions(channel=channel).segments(mixed) == 1


@pytest.mark.parametrize("channel", [(), ("E1", "slow"), ("E9",)])
def test_several_rates_are_refused_with_the_channels_of_each(channel: tuple[str, ...], mixed: Path) -> None:
    listed = r"several sampling rates; choose those of one .*: E1, E2 at 25000 Hz; slow at 100 Hz"
    with pytest.raises(InputError, match=rf"mixed\.edf: its channels have {listed}"):
        read_recording(mixed, channel=channel)


def test_a_stream_is_chosen_by_its_id_too(mixed: Path) -> None:
    assert read_recording(mixed, stream="1").get_num_frames() == 200
