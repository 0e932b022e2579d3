"""The sampler against the sum over all explanations, and against traces with a known answer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numba import njit

from spikesorter.decoding import gibbs
from spikesorter.decoding.gibbs import Block, Priors, priors_at

SAMPLES, CLASSES = 5, 2
REACH = 3
LONGEST = 60  # samples; longer than any window of which pairs are tried


# Most compiled functions can be called by compiled ones only.
@njit
def new_block(outputs: np.ndarray, overlaps: np.ndarray) -> Block:
    return gibbs.new_block(outputs, overlaps, 0)


@njit
def place_spikes(block: Block, samples: np.ndarray, units: np.ndarray, amplitudes: np.ndarray) -> None:
    gibbs.place_spikes(block, samples, units, amplitudes)


@njit
def resolve(block: Block, parts: np.ndarray, priors: Priors) -> bool:
    return gibbs.resolve(block, parts, priors, gibbs.pair_memory(LONGEST * block.units))


@njit
def settle_clear(block: Block, priors: Priors, first: int, last: int) -> np.ndarray:
    return gibbs.settle_clear(block, priors, gibbs.pair_memory(LONGEST * block.units), first, last)


@njit
def only(block: Block, first: int, last: int) -> Block:
    return gibbs._only(block, first, last)


@njit
def sweep_often(block: Block, parts: np.ndarray, priors: Priors, kinds: np.ndarray, times: int) -> None:
    """Sweep with one row of (window, offset, most) after the other, `times` times in all."""
    found = gibbs.pair_memory(LONGEST * block.units)
    for number in range(times):
        window, offset, most = kinds[number % len(kinds)]
        gibbs.sweep(block, parts, priors, found, window, offset, most)


@njit
def weigh_pairs(
    block: Block, priors: Priors, first: int, last: int, gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    found = gibbs.pair_memory(len(gains))
    best = max(0.0, gibbs._gains(block, priors, first, last, found.places.gain))
    gains[:] = found.places.gain
    n, best = gibbs._weigh_pairs(block, priors, found, first, last, best)
    return found.one[:n].copy(), found.other[:n].copy(), found.log[:n].copy(), best


def shaped(values: np.ndarray) -> np.ndarray:
    """Return an array of a block in the shape (samples, units)."""
    return values.reshape(-1, CLASSES)


def everything(block: Block) -> np.ndarray:
    return np.array([[0, block.samples]])


@pytest.fixture
def overlaps(rng: np.random.Generator) -> np.ndarray:
    """Overlaps of two random shapes of four samples, of d' about 2."""
    shapes = rng.standard_normal((CLASSES, REACH + 1))
    return (
        np.float32([[np.correlate(a, b, "full") for b in shapes] for a in shapes]).transpose(0, 2, 1).copy()
    )


def exact_marginals(
    outputs: np.ndarray, overlaps: np.ndarray, log_odds: np.ndarray, *, doubles: bool
) -> np.ndarray:
    """Expected number of spikes at each place, by going through all sets of spikes of size 1.

    Windows of single spikes never get to two spikes at one sample: `doubles` says whether those count.
    """
    places = list(product(range(SAMPLES), range(CLASSES)))
    total, weighted = 0.0, np.zeros(outputs.shape)
    for members in product([0, 1], repeat=len(places)):
        chosen = [place for place, member in zip(places, members, strict=True) if member]
        if not doubles and len({t for t, _ in chosen}) < len(chosen):
            continue
        log = sum(outputs[t, k] + log_odds[k] for t, k in chosen)
        for t, k in chosen:
            for u, j in chosen:
                if abs(u - t) <= REACH:
                    log -= 0.5 * overlaps[k, REACH + u - t, j]
        weight = np.exp(log)
        total += weight
        for t, k in chosen:
            weighted[t, k] += weight
    return weighted / total


@pytest.mark.parametrize("use_pairs", [False, True])
def test_sampling_gives_the_exact_posterior(
    use_pairs: bool, overlaps: np.ndarray, rng: np.random.Generator
) -> None:
    outputs = rng.normal(2.0, 2.0, (SAMPLES, CLASSES)).astype(np.float32)
    log_odds = np.array([-1.0, -2.0])
    energies = np.array([overlaps[k, REACH, k] for k in range(CLASSES)], float)
    priors = priors_at(1.0, energies[None], np.zeros(CLASSES), log_odds, samples=SAMPLES)
    block = new_block(outputs, overlaps[None])
    sweeps = 60_000
    windows = [1 + number % 3 for number in range(6)]
    kinds = [(w, number % w, 2 if use_pairs and number % 2 else 1) for number, w in enumerate(windows)]
    sweep_often(block, everything(block), priors, np.array(kinds), sweeps)
    expected = exact_marginals(outputs, overlaps, log_odds, doubles=use_pairs)
    assert expected.max() > 0.3 > 0.05 > expected.min()
    np.testing.assert_allclose(shaped(block.counts) / sweeps, expected, atol=0.015)


def test_what_is_placed_is_taken_out_of_the_outputs(overlaps: np.ndarray) -> None:
    outputs = np.zeros((20, CLASSES), np.float32)
    block = new_block(outputs, overlaps[None])
    place_spikes(block, np.array([10, 19]), np.array([1, 0]), np.array([2.0, 1.0]))
    rest = shaped(block.rest)
    np.testing.assert_allclose(rest[10 - REACH : 10 + REACH + 1], -2 * overlaps[1], rtol=1e-6)
    np.testing.assert_allclose(rest[19 - REACH + 4 - 4 :], -overlaps[0][: REACH + 1], rtol=1e-6)
    assert np.all(outputs == 0)


def smooth_bank(noise_sd: float) -> np.ndarray:
    """Overlaps of two shapes of like form whose spikes a greedy decoder confuses when they overlap."""
    t = np.arange(LONGEST)
    shapes = np.stack([4 * t / 5 * np.exp(1 - t / 5), 6 * t / 7 * np.exp(1 - t / 7)]) / noise_sd
    return (
        np.float32([[np.correlate(a, b, "full") for b in shapes] for a in shapes]).transpose(0, 2, 1).copy()
    )


def planted(overlaps: np.ndarray, samples: list[int], classes: list[int]) -> Block:
    block = new_block(np.zeros((200, 2), np.float32), overlaps[None])
    place_spikes(block, np.array(samples), np.array(classes), -np.ones(len(samples)))
    return new_block(shaped(block.rest), overlaps[None])


@pytest.mark.parametrize("distance", [2, 5, 9])
def test_a_wrong_explanation_of_an_overlap_is_resolved(distance: int) -> None:
    overlaps = smooth_bank(0.3)
    block = planted(overlaps, [80, 80 + distance], [0, 1])
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    priors = priors_at(1.0, energies[None], np.zeros(2), np.full(2, -8.0), samples=200)
    place_spikes(block, np.array([81, 84]), np.array([1, 1]), np.array([1.0, 0.7]))
    assert resolve(block, everything(block), priors)
    assert list(zip(*np.nonzero(shaped(block.amplitude)), strict=True)) == [(80, 0), (80 + distance, 1)]
    assert np.abs(block.rest).max() < 1e-2 * energies.max()


def test_heat_makes_less_certain() -> None:
    overlaps = smooth_bank(1.0)
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    certainty = []
    for heat in (0.1, 1.0):
        block = planted(overlaps, [100], [1])
        priors = priors_at(heat, energies[None], np.zeros(2), np.full(2, -7.0), samples=200)
        sweep_often(block, everything(block), priors, np.array([[16, 3, 1]]), 50)
        certainty.append(block.counts.max() / 50)
    assert certainty[0] < 0.5 < 0.9 < certainty[1]


def test_a_lone_spike_is_settled_at_once_as_sampling_would() -> None:
    overlaps = smooth_bank(1.0)
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    priors = priors_at(1.0, energies[None], np.full(2, 0.01), np.full(2, -5.0), samples=200)
    rng = np.random.default_rng(3)
    outputs = shaped(planted(overlaps, [60], [0]).rest) + rng.normal(0, 1.0, (200, 2)).astype(np.float32)
    settled, sampled, sweeps = new_block(outputs, overlaps[None]), new_block(outputs, overlaps[None]), 20_000
    parts = settle_clear(settled, priors, 0, 200)
    kinds = np.array([(16, number, 1 + number % 2) for number in range(16)])
    sweep_often(sampled, everything(sampled), priors, kinds, sweeps)
    near = slice(50, 70)
    assert not any(first < 70 and last > 50 for first, last in parts)
    counts = shaped(settled.counts)[near]
    assert 0.05 < counts.max() < 0.95
    np.testing.assert_allclose(counts, shaped(sampled.counts)[near] / sweeps, atol=0.02)


def test_overlapping_spikes_are_left_open() -> None:
    overlaps = smooth_bank(0.3)
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    priors = priors_at(1.0, energies[None], np.full(2, 0.01), np.full(2, -8.0), samples=200)
    starts, classes = [80, 110, 135], [0, 1, 0]
    block = planted(overlaps, starts, classes)
    assert len(settle_clear(block, priors, 0, 200)) == 1
    assert block.amplitude.sum() == 0
    # Far from what is wanted they stay as they were found first.
    far = planted(overlaps, starts, classes)
    assert len(settle_clear(far, priors, 190, 200)) == 0
    assert np.abs(far.rest).max() < 0.2 * energies.max()


def test_outputs_that_are_not_needed_change_nothing(rng: np.random.Generator) -> None:
    overlaps, parts = smooth_bank(0.6), np.array([[60, 90], [110, 130]])
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    priors = priors_at(1.0, energies[None], np.full(2, 0.1), np.full(2, -5.0), samples=200)
    outputs = shaped(planted(overlaps, [70, 78, 118], [0, 1, 1]).rest) + rng.normal(0, 3.0, (200, 2))
    whole, part = (new_block(outputs.astype(np.float32), overlaps[None]) for _ in range(2))
    for block in (whole, only(part, 60, 130)):
        sweep_often(block, parts, priors, np.array([(16, 3, 1), (14, 5, 2)]), 8)
        resolve(block, parts, priors)
        sweep_often(block, parts, priors, np.array([(14, 2, 2)]), 4)
    for name in ("amplitude", "counts"):
        assert getattr(part, name).tobytes() == getattr(whole, name).tobytes()
    assert shaped(part.rest)[60:130].tobytes() == shaped(whole.rest)[60:130].tobytes()
    for beyond in (slice(60), slice(130, 200)):
        assert shaped(part.rest)[beyond].tobytes() == outputs.astype(np.float32)[beyond].tobytes()
        assert shaped(whole.rest)[beyond].tobytes() != outputs.astype(np.float32)[beyond].tobytes()


@pytest.mark.parametrize("heat", [0.3, 1.0])
@pytest.mark.parametrize("length", [3, 8, 9, 14, 20])  # pairs are excluded 16 at once, or the last few
def test_no_pair_that_matters_is_left_out(length: int, heat: float, rng: np.random.Generator) -> None:
    overlaps, first = smooth_bank(0.8), 70
    energies = np.array([overlaps[k, LONGEST - 1, k] for k in range(2)], float)
    priors = priors_at(heat, energies[None], np.array([0.1, 0.3]), np.array([-5.0, -6.0]), samples=200)
    outputs = shaped(planted(overlaps, [74, 79], [0, 1]).rest) + rng.normal(0, 6.0, (200, 2))
    block = new_block(outputs.astype(np.float32), overlaps[None])
    gains = np.empty(2 * length)
    one, other, log, best = weigh_pairs(block, priors, first, first + length, gains)
    places = [(t, k) for t in range(first, first + length) for k in range(2)]
    expected = {}
    for i, (t, k) in enumerate(places):
        for j, (u, of) in enumerate(places[i + 1 :], i + 1):
            x = heat * np.array([block.rest[2 * t + k], block.rest[2 * u + of]])
            a = heat * np.array([energies[k], energies[of]])
            q = priors.precision[[k, of]]
            shared = heat * overlaps[k, LONGEST - 1 + u - t, of]
            power = np.array([[a[0] + q[0], shared], [shared, a[1] + q[1]]])
            value = 0.5 * (x + q) @ np.linalg.solve(power, x + q) - 0.5 * np.log(np.linalg.det(power))
            expected[i, j] = value + np.sum(priors.odds[[k, of]] - 0.5 * q + 0.5 * np.log(q))
    assert best == pytest.approx(max(0.0, gains.max(), *expected.values()))
    found = dict(zip(zip(one.tolist(), other.tolist(), strict=True), log, strict=True))
    matter = {pair for pair, value in expected.items() if value > best + gibbs.NEGLIGIBLE + 1e-6}
    assert matter <= found.keys()
    assert 0 < len(matter) <= len(found) < len(expected) or length == 3
    np.testing.assert_allclose(list(found.values()), [expected[pair] for pair in found], rtol=1e-5, atol=1e-5)
