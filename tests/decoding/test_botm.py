"""Linear discriminants: the best of all linear rules, with overlaps resolved by subtraction."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.botm import DISTANCE_SAMPLES, ROUNDS, BotmDecoder
from spikesorter.decoding.candidates import WorkingPoint
from spikesorter.decoding.run import find_candidates, find_evidence, padded
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.signal.templates import Templates, plant

N_SAMPLES = 40_000
WHITE = NoiseSpectrum.independent(np.ones((257, 1)))
ALWAYS = WorkingPoint((1, 2), (0.5, 0.5), 0, True)


def make_decoder(shapes: Templates, *, log_odds: float = -5.0, noise: float = 1.0) -> BotmDecoder:
    bank = make_bank(shapes, WHITE.scaled(noise**2), kernel=np.ones(1), reach=40)
    return BotmDecoder((1, 2), bank, np.full(2, log_odds))


def trace_of(spikes: Spikes, shapes: Templates, *, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    clean = plant(N_SAMPLES, spikes, np.ones(len(spikes), np.float32), shapes)
    return clean + noise * synthesise_noise(WHITE, N_SAMPLES, np.random.default_rng(seed))


def found_in(decoder: BotmDecoder, trace: np.ndarray) -> Spikes:
    return ALWAYS.to_spikes(find_candidates(decoder, padded(trace), len(trace), 0, len(trace)))


def test_spikes_far_apart_are_all_found_at_their_start(shapes: Templates) -> None:
    spikes = Spikes.from_arrays(np.arange(200, 39_000, 311), np.tile([1, 2], 63)[:125])
    found = found_in(make_decoder(shapes, noise=0.5), trace_of(spikes, shapes))
    assert score(spikes, found).strict == 1.0
    assert np.abs(found.sample - spikes.sample).max() <= 1


@pytest.mark.parametrize("apart", [0, 3, 8, 14, 25])
def test_overlapping_spikes_of_two_units_are_told_apart(apart: int, shapes: Templates) -> None:
    starts = np.arange(300, 39_000, 400)
    spikes = Spikes.from_arrays(np.concatenate([starts, starts + apart]), np.repeat([1, 2], len(starts)))
    result = score(spikes, found_in(make_decoder(shapes, noise=0.5), trace_of(spikes, shapes, noise=0.1)))
    assert result.recall > 0.95
    assert result.precision > 0.95


def test_noise_alone_holds_no_spikes(shapes: Templates) -> None:
    decoder = make_decoder(shapes)
    assert len(found_in(decoder, trace_of(Spikes.empty(), shapes, noise=1.0))) <= 2


@pytest.mark.parametrize("log_odds", [-9.0, -3.0])
def test_probabilities_are_those_of_one_spike_or_none(log_odds: float, shapes: Templates) -> None:
    """Of a unit: odds x exp(output - half the energy), over one and the same of every unit."""
    decoder = make_decoder(shapes, log_odds=log_odds)
    beyond = np.array([[5.0, 3.0], [0.0, 0.0], [12.0, 11.0], [-4.0, 8.0]])
    outputs = np.asarray(beyond + 0.5 * decoder.bank.energies, np.float32)
    odds = np.exp(beyond + log_odds)
    expected = odds / (1 + odds.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(decoder.curves(outputs), expected, rtol=1e-3)


def test_the_reach_covers_every_round_of_subtraction(shapes: Templates, rng: np.random.Generator) -> None:
    decoder = make_decoder(shapes)
    half = decoder.bank.overlaps.shape[1] // 2
    assert decoder.pick_reach == ROUNDS * (half + DISTANCE_SAMPLES)
    assert (decoder.grid_samples, decoder.overlap_samples) == (1, 0)
    assert decoder.margin == decoder.bank.margin
    assert list(decoder.variants()) == [decoder]
    spikes = Spikes.from_arrays(rng.integers(100, 39_000, 800), rng.choice([1, 2], 800))
    trace = trace_of(spikes, shapes, noise=0.5)
    read = padded(trace)
    whole = find_candidates(decoder, read, N_SAMPLES, 0, N_SAMPLES)
    for start, stop in ((0, 7001), (7001, 7002), (7002, 23_457), (23_457, N_SAMPLES)):
        part = find_candidates(decoder, read, N_SAMPLES, start, stop)
        expected = whole.inside(start, stop)
        assert part.sample.tolist() == (expected.sample + start).tolist()
        assert part.unit.tolist() == expected.unit.tolist()
        assert part.probability.tobytes() == expected.probability.tobytes()
        assert part.unit_probability.tobytes() == expected.unit_probability.tobytes()


def test_evidence_is_not_changed_by_picking(shapes: Templates) -> None:
    decoder = make_decoder(shapes)
    evidence = find_evidence(decoder, trace_of(Spikes([5000, 5010], [1, 2]), shapes), n_jobs=1)
    before = evidence.copy()
    found = decoder.pick(evidence)
    np.testing.assert_array_equal(evidence, before)
    assert np.all((found.probability > 0) & (found.probability <= 1))
    assert sorted(found.unit[found.probability > 0.9].tolist()) == [1, 2]
