"""Ages of spikes, by a clock that the tests set."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.workflows.latency import Latency

FS_HZ = 1000.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_quantiles_are_right_to_one_percent() -> None:
    clock = Clock()
    latency = Latency(FS_HZ, clock)
    latency.arrived(0, waited_s=1.0)
    ages = np.random.default_rng(0).lognormal(-5, 1, 2000)
    for age in ages:
        clock.now = 100 + age
        latency.reported(0)
    for share in (0.5, 0.99):
        assert latency.quantile_s(share) == pytest.approx(np.quantile(ages, share), rel=0.03)
    assert latency.line().startswith("latency of 2000 spikes: median 6.")
    assert f"longest {1000 * ages.max():.0f} ms" in latency.line()


def test_a_backlog_is_told_and_counts_in_the_age_until_the_sorter_waits_again() -> None:
    clock = Clock()
    latency = Latency(FS_HZ, clock)
    latency.arrived(100, waited_s=0.1)
    clock.now += 0.4  # sorted slowly: the next packet was there long before
    latency.arrived(200, waited_s=0.0)
    latency.reported(150)
    assert latency.quantile_s(1.0) == pytest.approx(0.35)
    assert latency.line().endswith("behind by 300 ms, at most 300 ms")
    clock.now += 0.3
    latency.arrived(300, waited_s=0.05)
    assert latency.line().endswith("behind by 0 ms, at most 300 ms")


def test_what_comes_faster_than_it_was_taken_is_not_late() -> None:
    clock = Clock()
    latency = Latency(FS_HZ, clock)
    for received in range(1000, 11_000, 1000):
        clock.now += 0.01
        latency.arrived(received, waited_s=0.0)
        latency.reported(received - 40)
    assert (
        latency.line()
        == "latency of 10 spikes: median 40 ms, 99 % 40 ms, longest 40 ms; behind by 0 ms, at most 0 ms"
    )


def test_no_spikes_have_no_latency() -> None:
    assert (
        Latency(FS_HZ, Clock()).line().startswith("latency of 0 spikes: median 0 ms, 99 % 0 ms, longest 0 ms")
    )
