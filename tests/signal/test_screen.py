"""What is found bad in made-up traces, and that it does not depend on the part that is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.signal.screen import (
    Screen,
    find_bad_cells,
    may_be_bad,
    measure_cells,
    stretches_of,
)

SIZE = 10
SCREEN = Screen(SIZE, spikes=np.array([10.0]), quiet=np.array([5.0]), offset=np.zeros(1))  # limit 40, loud 10
N = 6000


def noise(seed: int = 0, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2.5, 2.5, (N, channels))


def found(trace: np.ndarray, screen: Screen = SCREEN) -> BadStretches:
    kinds = find_bad_cells(measure_cells(trace, screen.cell_samples), screen)
    return stretches_of(kinds, screen.cell_samples, n_samples=len(trace))


def only(trace: np.ndarray, screen: Screen = SCREEN) -> tuple[int, int, str]:
    (stretch,) = found(trace, screen)
    return stretch


def test_noise_and_spikes_that_coincide_are_good() -> None:
    trace = noise()
    for at in range(100, N - 100, 333):
        trace[at : at + 8] -= 30.0  # as large as three spikes at once
    assert len(found(trace)) == 0


def test_a_pulse_is_an_artefact_with_its_edges() -> None:
    trace = noise()
    trace[3000:3020] += 200.0
    start, stop, kind = only(trace)
    assert kind == "artefact"
    assert 3000 - 6 * SIZE < start < 3000
    assert 3020 < stop < 3020 + 6 * SIZE


def test_what_is_loud_beside_an_artefact_belongs_to_it_up_to_its_reach() -> None:
    for stop, expected in ((3300, 3300), (5000, 3600)):  # the second is louder for longer than artefacts last
        trace = noise()
        trace[3000:3010] += 200.0
        trace[3010:stop:2] += 20.0  # below the limit
        assert expected <= only(trace)[1] < expected + 8 * SIZE


def test_slow_drift_is_no_artefact_and_a_jump_is() -> None:
    drift = noise() + 100 * np.sin(2 * np.pi * np.arange(N) / N)[:, None]
    assert len(found(drift)) == 0
    drift[3000:] += 100.0
    start, stop, kind = only(drift)
    assert (kind, start < 3000 < stop, stop - start < 16 * SIZE) == ("artefact", True, True)


@pytest.mark.parametrize(("value", "kind"), [(0.0, "dead"), (19.0, "dead"), (21.0, "saturated")])
def test_a_constant_stretch_is_dead_or_saturated(value: float, kind: str) -> None:
    trace = noise()
    trace[3000:3400] = value
    assert only(trace) == (2990, 3410, kind)
    assert only(trace + 1000.0, replace(SCREEN, offset=np.array([1000.0]))) == (2990, 3410, kind)


def test_a_constant_stretch_of_ten_milliseconds_is_needed() -> None:
    trace = noise()
    trace[3000:3190] = 0.0
    assert len(found(trace)) == 0
    trace[3000:3200] = 0.0
    assert only(trace)[2] == "dead"


@pytest.mark.parametrize(("share", "dead"), [(0.001, True), (0.045, True), (0.1, False)])
def test_a_channel_that_is_off_is_dead_and_one_that_is_quieter_is_not(share: float, dead: bool) -> None:
    trace = noise()
    trace[3000:5000] *= share
    assert list(found(trace)) == ([(2990, 5010, "dead")] if dead else [])
    assert list(found(trace + 1000.0, replace(SCREEN, offset=np.array([1000.0])))) == list(found(trace))


def test_what_is_off_for_ten_milliseconds_is_dead_and_spikes_end_it() -> None:
    trace = noise()
    trace[3000:3200] *= 0.001
    assert len(found(trace)) == 0
    trace[3000:3210] *= 0.001
    assert only(trace) == (2990, 3220, "dead")
    trace[3000:5000] = 0.001 * noise(1)[3000:5000]
    trace[4000:4008] -= 30.0
    assert list(found(trace)) == [(2990, 5010, "dead")]  # 1 ms with a spike between two dead stretches
    trace[4300:4500:9] -= 30.0
    assert len(found(trace)) == 2


def test_a_channel_that_is_off_at_the_ends_or_beside_missing_samples_is_dead_there() -> None:
    trace = noise()
    trace[:500] *= 0.001
    trace[-505:] *= 0.001
    assert list(found(trace)) == [(0, 510, "dead"), (N - 510, N, "dead")]
    trace[1000:1030] = np.nan
    trace[1030:1130] *= 0.001  # too short, though what stands in for missing samples is as quiet
    assert list(found(trace))[1] == (990, 1040, "missing")


def test_one_channel_that_is_off_makes_a_stretch_bad_and_jitter_at_a_rail_is_saturation() -> None:
    screen = Screen(SIZE, np.full(2, 10.0), np.full(2, 5.0), np.zeros(2))
    trace = noise(channels=2)
    trace[3000:3400, 1] *= 0.001
    assert only(trace, screen) == (2990, 3410, "dead")
    trace[3000:3400, 1] += 21.0
    assert only(trace, screen) == (2990, 3410, "saturated")


def test_without_knowledge_of_noise_nothing_is_off() -> None:
    nothing = np.full(1, np.inf)
    assert len(found(0.001 * noise(), Screen(SIZE, nothing, nothing, np.zeros(1)))) == 0


def test_whole_recordings_of_constant_cells_that_change_are_not_dead() -> None:
    steps = np.repeat(np.arange(N // SIZE) % 7, SIZE)[:, None].astype(float)
    assert len(found(steps)) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_missing_are_a_stretch_and_no_jump(value: float) -> None:
    trace = noise()
    trace[3005] = value
    assert only(trace) == (2990, 3020, "missing")


def test_one_bad_channel_makes_a_stretch_bad() -> None:
    screen = Screen(SIZE, np.full(2, 10.0), np.full(2, 5.0), np.zeros(2))
    trace = noise(channels=2)
    trace[3000:3400, 1] = 0.0
    assert only(trace, screen) == (2990, 3410, "dead")


def test_constant_stretches_of_two_channels_do_not_add_up() -> None:
    screen = Screen(SIZE, np.full(2, 10.0), np.full(2, 5.0), np.zeros(2))
    trace = noise(channels=2)
    trace[3000:3150, 0], trace[3150:3300, 1] = 0.0, 0.0
    assert len(found(trace, screen)) == 0


def test_bad_stretches_with_a_short_gap_are_one() -> None:
    trace = noise()
    trace[3000:3010], trace[3100:3110] = 200.0, 200.0
    assert only(trace)[2] == "artefact"
    trace[3100:3110] = 0.0
    trace[3400:3410] = 200.0
    assert len(found(trace)) == 2


def test_a_recording_may_begin_and_end_bad() -> None:
    trace = noise()
    trace[:300], trace[-305:] = np.nan, 77.0
    assert list(found(trace)) == [(0, 310, "missing"), (N - 320, N, "saturated")]
    assert only(np.full((N, 1), np.nan)) == (0, N, "missing")


def test_without_knowledge_of_spikes_nothing_is_an_artefact() -> None:
    nothing = np.full(1, np.inf)
    trace = noise()
    trace[3000:3010] = 1e9
    assert len(found(trace, Screen(SIZE, nothing, nothing, np.zeros(1)))) == 0


@pytest.mark.parametrize("screen", [SCREEN, replace(SCREEN, prompt=True)])
def test_the_kind_of_a_cell_depends_on_its_margin_only(screen: Screen) -> None:
    rng = np.random.default_rng(1)
    trace = noise()
    for at in rng.integers(0, N, 12):
        length = int(rng.integers(1, 300))
        trace[at : at + length] = rng.choice([0.0, 90.0, np.nan], 1)
        trace[at + length : at + 2 * length : 2] += 20.0
    for at in (1500, 2480, 4011, 5705):
        trace[at : at + 280] *= 0.001
    cells = measure_cells(trace, SIZE)
    whole, margin = find_bad_cells(cells, screen), screen.margin_cells
    assert 0.2 < np.mean(whole >= 0) < 0.8
    for start in range(0, len(cells), 37):
        first, last = max(start - margin.before, 0), min(start + 37 + margin.after, len(cells))
        part = find_bad_cells(measure_cells(trace[first * SIZE : last * SIZE], SIZE), screen)
        assert np.array_equal(part[start - first : start - first + 37], whole[start : start + 37])


def test_what_may_be_bad_holds_all_that_is() -> None:
    for seed in range(40):
        rng, trace = np.random.default_rng(seed), noise(seed)[:200]
        at, value = rng.integers(0, 200), rng.choice([np.nan, np.inf, 90.0, 30.0])
        trace[at : at + rng.integers(1, 30)] = value
        if (find_bad_cells(measure_cells(trace, SIZE), SCREEN) >= 0).any():
            assert may_be_bad(measure_cells(trace, SIZE), SCREEN)
    off = measure_cells(0.001 * noise()[:300], SIZE)
    assert (find_bad_cells(off, SCREEN) >= 0).all()
    assert may_be_bad(off, SCREEN)
    assert may_be_bad(measure_cells(np.array([[-30_000], [30_000]] * 50, np.int16), SIZE), SCREEN)
    assert not may_be_bad(measure_cells(noise(), SIZE), SCREEN)


def test_a_prompt_screen_finds_what_it_sees_by_the_past_alone() -> None:
    screen = replace(SCREEN, prompt=True)
    assert screen.margin_cells.after == 0
    trace = noise()
    trace[1000:1025] += 200.0
    trace[3000:3400] = 0.0
    trace[4000:4500] *= 0.001
    trace[5000] = np.nan
    assert list(found(trace, screen)) == [
        (1000, 1040, "artefact"),
        (3190, 3410, "dead"),
        (4200, 4510, "dead"),
        (5000, 5020, "missing"),
    ]
