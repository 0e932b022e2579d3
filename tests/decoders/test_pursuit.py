from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.config import Settings
from spikesorter.decoders.botm import BotmDecoder
from spikesorter.decoders.pursuit import BLOCK_SAMPLES, PursuitDecoder
from spikesorter.evaluate import score
from spikesorter.events import WorkingPoint
from spikesorter.signal.bank import make_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates, plant
from spikesorter.spikes import Spikes
from tests.conftest import poisson_spikes

N_SAMPLES = 3 * BLOCK_SAMPLES
POINT = WorkingPoint((1, 2), (0.5, 0.5), 0, True)


def make_decoder(shapes: Templates, noise_sd: float, *, rate: float = 0.004) -> PursuitDecoder:
    settings = Settings().pursuit
    noise = NoiseSpectrum(np.full((257, 1), noise_sd**2))
    return PursuitDecoder(
        labels=shapes.labels,
        bank=make_bank(shapes, noise, kernel=np.ones(1), reach=20),
        log_odds=np.log(np.full(2, rate)),
        spreads=np.full(2, 0.01),
        sweeps=settings.sweeps,
        annealing_steps=settings.annealing_steps,
        annealing_detectability=settings.annealing_detectability,
        seed=0,
    )


def noisy(shapes: Templates, spikes: Spikes, noise_sd: float, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clean = plant(N_SAMPLES, spikes, np.ones(len(spikes), np.float32), shapes)
    return (clean + noise_sd * rng.standard_normal(clean.shape)).astype(np.float32)


def padded(trace: np.ndarray, decoder: PursuitDecoder | BotmDecoder) -> np.ndarray:
    return np.pad(trace, ((decoder.margin.before, decoder.margin.after), (0, 0)), mode="edge")


@pytest.fixture
def spikes(rng: np.random.Generator) -> Spikes:
    """Dense: about half of them overlap another one."""
    return poisson_spikes(rng, n_samples=N_SAMPLES, count=400)


def test_overlapping_spikes_are_found_and_named(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 0.5, rate=0.008)
    found = POINT.settle(decoder.candidates(padded(noisy(shapes, spikes, 0.5), decoder)))
    assert score(found, spikes).strict > 0.97


def test_two_spikes_of_one_class_a_few_samples_apart_are_two(shapes: Templates) -> None:
    decoder = make_decoder(shapes, 0.3)
    starts = np.arange(500, N_SAMPLES - 500, 500)
    pairs = Spikes.from_arrays(np.concatenate([starts, starts + 3]), np.ones(2 * len(starts), int))
    found = POINT.settle(decoder.candidates(padded(noisy(shapes, pairs, 0.3), decoder)))
    assert score(found, pairs).strict > 0.97


def test_probabilities_mean_what_they_say(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=150)
    decoder = make_decoder(shapes, 3.0, rate=75 / N_SAMPLES)
    curves = decoder.evidence(padded(noisy(shapes, spikes, 3.0), decoder))
    assert curves.shape == (N_SAMPLES, 2)
    for k, label in enumerate((1, 2)):
        count = np.sum(spikes.label == label)
        assert curves[:, k].sum() == pytest.approx(count, abs=2.5 * np.sqrt(count))


def test_a_block_depends_on_itself_and_its_context_alone(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 0.8)
    trace = padded(noisy(shapes, spikes, 0.8), decoder)
    around = decoder.margin.before + decoder.margin.after
    whole = decoder.evidence(trace)
    second = decoder.evidence(trace[BLOCK_SAMPLES : 2 * BLOCK_SAMPLES + around])
    np.testing.assert_array_equal(second, whole[BLOCK_SAMPLES : 2 * BLOCK_SAMPLES])
    found, part = decoder.candidates(trace), decoder.candidates(trace[BLOCK_SAMPLES:]).shifted(BLOCK_SAMPLES)
    later = found.select(found.sample >= BLOCK_SAMPLES)
    for name in ("sample", "label", "spike", "named"):
        np.testing.assert_array_equal(getattr(later, name), getattr(part, name))


def test_readings_share_the_evidence(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 2.0)
    trace = padded(noisy(shapes, spikes, 2.0), decoder)
    for variant, found in decoder.readings(trace):
        again = variant.candidates(trace)
        np.testing.assert_array_equal(again.joint, found.joint)
    smooth = replace(decoder, smoothing_samples=4).candidates(trace)
    assert len(smooth) < len(decoder.candidates(trace))


def test_a_draw_leaves_noise_behind(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 1.0, rate=0.008)
    trace = noisy(shapes, spikes, 1.0)
    draw = decoder.draw(padded(trace, decoder))
    assert draw.expected.sum() == pytest.approx(len(draw.spikes), rel=0.05)
    left = trace - plant(N_SAMPLES, draw.spikes, draw.sizes, shapes)
    assert left.std() == pytest.approx(1.0, abs=0.02)


def test_silence_is_a_result(shapes: Templates, rng: np.random.Generator) -> None:
    decoder = make_decoder(shapes, 1.0)
    trace = rng.standard_normal((N_SAMPLES, 1)).astype(np.float32)
    assert len(POINT.settle(decoder.candidates(padded(trace, decoder)))) <= 3


def test_linear_discriminants_find_spikes_too_but_fewer_overlaps(shapes: Templates, spikes: Spikes) -> None:
    pursuit = make_decoder(shapes, 0.8, rate=0.008)
    botm = BotmDecoder(pursuit.labels, pursuit.bank, pursuit.log_odds)
    trace = noisy(shapes, spikes, 0.8)
    of_botm, of_pursuit = (
        score(POINT.settle(decoder.candidates(padded(trace, decoder))), spikes).strict
        for decoder in (botm, pursuit)
    )
    assert 0.75 < of_botm < of_pursuit


def test_linear_discriminants_are_a_local_operator(shapes: Templates, spikes: Spikes) -> None:
    pursuit = make_decoder(shapes, 0.8)
    botm = BotmDecoder(pursuit.labels, pursuit.bank, pursuit.log_odds)
    trace = padded(noisy(shapes, spikes, 0.8), botm)
    whole, part = botm.candidates(trace), botm.candidates(trace[5000:]).shifted(5000)
    later = whole.select(whole.sample >= 5000)
    np.testing.assert_array_equal(later.sample, part.sample)
    np.testing.assert_allclose(later.joint, part.joint, atol=1e-3)
    assert botm.evidence(trace).shape == (N_SAMPLES, 2)
