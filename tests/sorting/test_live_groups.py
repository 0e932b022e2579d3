"""Groups of channels of a live recording give what each of them gives alone, in any threads."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.live_groups import MOST_GROUPS, GroupStreams
from spikesorter.sorting.screens import measure_quiet
from spikesorter.sorting.stream import Stream
from spikesorter.workflows.live import listen
from spikesorter.workflows.packets import Packet
from tests.decoding.test_run import DECODERS
from tests.sorting.test_stream import ARRIVING, FS_HZ, SCREEN, from_file, state_of, stream_of

COLUMNS = {"left": np.array([0, 3]), "right": np.array([4, 1])}
TRACE = np.concatenate([ARRIVING] * 8)
RECEIVED = np.stack([TRACE[:, 0], TRACE[::-1, 1], 0 * TRACE[:, 0], TRACE[:, 1], TRACE[::-1, 0]], axis=1)


def streams_of(n_jobs: int) -> tuple[GroupStreams, dict[str, Stream]]:
    streams = {"left": stream_of(state_of(DECODERS[1], 5)), "right": stream_of(state_of(DECODERS[0], 5))}
    return GroupStreams(streams, COLUMNS, 5, n_jobs=n_jobs), streams


EXPECTED = {
    "left": from_file(state_of(DECODERS[1], 5), TRACE).sample.tolist(),
    "right": from_file(state_of(DECODERS[0], 5), TRACE[::-1]).sample.tolist(),
}


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, len(TRACE)), max_size=6), n_jobs=st.sampled_from([1, 2]))
def test_each_group_gets_its_channels_in_its_order(cuts: list[int], n_jobs: int) -> None:
    streams, _ = streams_of(n_jobs)
    packets = (Packet(part) for part in np.split(RECEIVED, sorted(cuts)))
    found = list(listen(packets, streams))
    streams.close()
    for group, samples in EXPECTED.items():
        assert [spike.sample for spike in found if spike.group == group] == samples
    assert {spike.row()["group"] for spike in found} == {"left", "right"}


def test_channels_of_a_group_are_in_the_order_that_is_given() -> None:
    got: list[np.ndarray] = []

    def push(packet: np.ndarray) -> Spikes:
        got.append(packet)
        return Spikes.empty()

    stream = cast(Stream, SimpleNamespace(push=push, state=1))
    GroupStreams({"right": stream}, COLUMNS, 5).push(RECEIVED[:3])
    np.testing.assert_array_equal(got[0], RECEIVED[:3, [4, 1]])


def test_of_one_packet_spikes_of_all_groups_come_in_order_of_time() -> None:
    streams, _ = streams_of(1)
    found = [spike.sample for spike in listen(iter([Packet(RECEIVED[:2000])]), streams)]
    pushed = [spike for spike in found if spike < 1900]
    assert len(pushed) > 100
    assert pushed == sorted(pushed)


def test_a_group_that_does_not_fit_is_told_and_the_others_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loud = state_of(DECODERS[0], 5)
    loud.own_screen = replace(SCREEN, quiet=measure_quiet(TRACE, SCREEN) / 100)
    streams = GroupStreams(
        {"left": stream_of(state_of(DECODERS[1], 5)), "right": stream_of(loud)}, COLUMNS, 5
    )
    with caplog.at_level(logging.WARNING):
        found = list(listen(iter([Packet(RECEIVED)]), streams))
    assert {spike.group for spike in found} == {"left"}
    assert "group right: does not fit the model, so" in caplog.text


def test_what_cannot_be_is_said() -> None:
    streams, one = streams_of(1)
    with pytest.raises(InputError, match=r"expected samples of shape \(samples, 5\), not \(3, 2\)"):
        streams.push(np.zeros((3, 2)))
    assert one["left"].received_samples == 0
    calibrated = {"left": stream_of(state_of(DECODERS[1], 5), calibration_samples=9)}
    with pytest.raises(InputError, match="before its calibration"):
        GroupStreams(calibrated, COLUMNS, 5).flush()
    many = {str(k): one["left"] for k in range(MOST_GROUPS + 1)}
    with pytest.raises(InputError, match="33 groups of channels: one process sorts at most 32"):
        GroupStreams(many, {}, 5)


def test_as_many_groups_as_are_allowed() -> None:
    streams = {str(k): stream_of(state_of(DECODERS[1], 5)) for k in range(MOST_GROUPS)}
    columns = {str(k): np.array([2 * k, 2 * k + 1]) for k in range(MOST_GROUPS)}
    groups = GroupStreams(streams, columns, 2 * MOST_GROUPS, n_jobs=2)
    found = list(listen(iter([Packet(np.tile(TRACE, MOST_GROUPS))]), groups))
    groups.close()
    assert len(found) == MOST_GROUPS * len(EXPECTED["left"])
    assert groups.fs_hz == FS_HZ
