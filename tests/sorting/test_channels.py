from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.screen import Screen
from spikesorter.sorting.channels import ChannelChoice, best_channels, choose_channels
from spikesorter.sorting.screens import new_screen
from tests.conftest import FS_HZ

N, NOISE = 50_000, 4.0
Trace = npt.NDArray[np.float32]


def four() -> Trace:
    return np.random.default_rng(1).standard_normal((N, 4)).astype(np.float32)


def chosen(
    trace: Trace,
    *,
    usual: npt.NDArray[np.float64] | None = None,
    as_it_is: bool = False,
    exclude: BadStretches | None = None,
    ids: list[str] | None = None,
    unit: float = 1.0,
    noise: float = NOISE,
) -> ChannelChoice:
    def screen_of(columns: tuple[int, ...]) -> Screen:
        spikes, quiet = (np.full(len(columns), unit * size) for size in (12.0, noise))
        return Screen(12, spikes, quiet, np.zeros(len(columns)))

    recording = NumpyRecording([trace * np.float32(unit)], FS_HZ, channel_ids=ids)
    return choose_channels(recording, screen_of, usual=usual, as_it_is=as_it_is, exclude=exclude, fs_hz=FS_HZ)


def test_all_channels_are_used_where_nothing_is_wrong() -> None:
    assert chosen(four(), usual=np.full(4, NOISE), as_it_is=True) == ChannelChoice((0, 1, 2, 3), "")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0.0, "dead or switched off"), (7.5, "dead or switched off"), (np.nan, "missing"), (np.inf, "missing")],
)
def test_a_channel_with_the_same_value_or_none_throughout_is_left_out(value: float, kind: str) -> None:
    trace = four()
    trace[:, 2] = value
    found = chosen(trace, ids=["a", "b", "c", "d"])
    assert found.used == (0, 1, 3)
    assert found.words.startswith(f"channel c is {kind}")
    assert found.words.endswith("throughout, and is left out; channels that are used: a, b, d")


@pytest.mark.parametrize(("usual", "used"), [(None, (0, 1, 3)), (np.full(4, NOISE), (1, 3))])
def test_of_channels_that_are_the_same_one_is_learnt_from_and_none_is_sorted(
    usual: np.ndarray | None, used: tuple[int, ...]
) -> None:
    trace = four()
    trace[:, 2] = trace[:, 0]
    found = chosen(trace, usual=usual)
    assert found.used == used
    assert "the same as another (bridged, or wrongly mapped) throughout" in found.words


def test_channels_that_are_broken_alike_are_named_together() -> None:
    trace = four()
    trace[:, [0, 2]] = 0
    assert chosen(trace).words == (
        "channels 0, 2 (counted from 0) are dead or switched off throughout, and are left out; "
        "channels that are used: 1, 3"
    )


@pytest.mark.parametrize(("left", "used"), [(0.01, (0, 1, 3)), (0.15, (0, 1, 3)), (0.3, (0, 1, 2, 3))])
def test_a_channel_with_a_small_part_of_its_noise_is_off_whatever_the_unit(
    left: float, used: tuple[int, ...]
) -> None:
    trace = four()
    trace[:, 2] *= left
    for unit in (1.0, 1e-6):
        assert chosen(trace, usual=np.full(4, NOISE), unit=unit).used == used
    assert chosen(trace[:, 2:], usual=np.full(2, NOISE)).used == ((1,) if left < 0.2 else (0, 1))


def test_a_channel_as_noisy_as_usual_is_off_where_all_others_are_far_noisier() -> None:
    trace = 7 * four()
    trace[:, 2] *= 0.1
    for as_it_is in (False, True):
        found = chosen(trace, usual=np.full(4, NOISE), noise=7 * NOISE, as_it_is=as_it_is)
        assert found.used == (0, 1, 3)


def test_a_channel_that_is_far_noisier_is_left_out_unless_it_is_adapted_to() -> None:
    trace = four()
    trace[:, 0] *= 5.5
    found = chosen(trace, usual=np.full(4, NOISE), as_it_is=True)
    assert found.used == (1, 2, 3)
    assert "channel 0 (counted from 0) is far louder" in found.words
    assert chosen(trace[:, :2], usual=np.full(2, NOISE), as_it_is=True).used == (1,)
    assert chosen(trace, usual=np.full(4, NOISE)).used == (0, 1, 2, 3)


def test_without_a_labelled_recording_channels_are_compared_with_each_other() -> None:
    trace = four()
    trace[:, 1] *= 0.3  # an electrode may be so much better
    assert chosen(trace).used == (0, 1, 2, 3)
    trace[:, 1] *= 0.1
    assert chosen(trace).used == (0, 2, 3)


@pytest.mark.parametrize(("share", "used"), [(0.2, (0, 1, 2, 3)), (0.3, (0, 1, 3)), (0.7, (0, 1, 3))])
def test_a_channel_is_left_out_if_it_would_cost_more_than_it_gives(
    share: float, used: tuple[int, ...]
) -> None:
    for part in (slice(None, int(share * N)), slice(N - int(share * N), None)):
        trace = four()
        trace[part, 2] = 0
        assert chosen(trace).used == used
    if len(used) == 3:
        assert f"for {100 * share:.0f} % of the time" in chosen(trace).words


def test_what_is_bad_on_all_channels_costs_none_of_them() -> None:
    trace = four()
    trace[: N // 2] = 0
    trace[N // 2 : 3 * N // 4] = np.nan
    assert chosen(trace).used == (0, 1, 2, 3)
    dead = np.zeros((N, 3), np.float32)
    assert chosen(dead).used == (0, 1, 2)  # that nothing is left is told where it is refused


def test_what_is_left_out_on_request_does_not_count() -> None:
    trace = four()
    trace[: N // 2, 2] = 0
    assert chosen(trace).used == (0, 1, 3)
    assert chosen(trace, exclude=BadStretches.of([(0, N // 2, "given")])).used == (0, 1, 2, 3)


def test_one_channel_is_never_left_out() -> None:
    assert chosen(np.zeros((N, 1), np.float32)).used == (0,)


def test_channels_that_are_bad_at_different_times_are_weighed_together() -> None:
    bad = np.zeros((100, 4), bool)
    bad[:40, 0] = bad[:40, 1] = bad[60:95, 2] = True
    # 2 and 3: 2 * .65; 3 alone: 1; 0, 1 and 3: 3 * .6
    assert best_channels(bad) == (0, 1, 3)


def test_the_choice_is_the_best_of_all_sets_if_few_channels_fail(rng: np.random.Generator) -> None:
    from itertools import combinations

    for _ in range(20):
        bad = rng.random((60, 4)) < rng.random(4) * 0.6
        bad = np.repeat(bad[:3], [10, 20, 30], axis=0)
        sets = [own for size in range(1, 5) for own in combinations(range(4), size)]
        worth = {own: len(own) * int((~bad[:, list(own)].any(axis=1)).sum()) for own in sets}
        found = best_channels(bad)
        assert worth[found] == max(worth.values())


def test_a_screen_that_knows_nothing_finds_dead_channels_too() -> None:
    trace = four()
    trace[:, 3] = 2.0
    recording = NumpyRecording([trace], FS_HZ)

    def blind(columns: tuple[int, ...]) -> Screen:
        return new_screen(fs_hz=FS_HZ, channels=len(columns))

    found = choose_channels(
        recording, blind, usual=np.full(4, np.inf), as_it_is=True, exclude=None, fs_hz=FS_HZ
    )
    assert found.used == (0, 1, 2)
