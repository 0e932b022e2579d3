from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.score import score
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.botm import BotmDecoder
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.pursuit import (
    LOW_LATENCY_LENGTHS,
    USUAL_LENGTHS,
    Explanation,
    PursuitDecoder,
    sample_explanation,
)
from spikesorter.decoding.run import find_candidates, find_evidence, padded, read_evidence
from spikesorter.signal.bank import make_bank, make_causal_bank
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.shifts import shifted
from spikesorter.signal.templates import Templates, plant
from tests.conftest import poisson_spikes

N_SAMPLES = 70 * USUAL_LENGTHS.block + 11
POINT = WorkingPoint((1, 2), (0.5, 0.5), 0, True)


def make_decoder(shapes: Templates, noise_sd: float, *, rate: float = 0.004) -> PursuitDecoder:
    settings = Settings().pursuit
    noise = NoiseSpectrum.independent(np.full((257, 1), noise_sd**2))
    return PursuitDecoder(
        unit_ids=shapes.unit_ids,
        bank=make_bank(shapes, noise, kernel=np.ones(1), reach=20),
        log_odds=np.log(np.full(2, rate)),
        spreads=np.full(2, 0.01),
        sweeps=settings.sweeps,
        annealing_factor=settings.annealing_factor,
        annealing_detectability=settings.annealing_detectability,
        seed=0,
    )


def noisy(shapes: Templates, spikes: Spikes, noise_sd: float, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clean = plant(N_SAMPLES, spikes, np.ones(len(spikes), np.float32), shapes)
    return (clean + noise_sd * rng.standard_normal(clean.shape)).astype(np.float32)


def candidates(decoder: Decoder, trace: np.ndarray, start: int = 0, stop: int = N_SAMPLES) -> Candidates:
    return find_candidates(decoder, padded(trace), len(trace), start, stop)


def make_low_latency(shapes: Templates, noise_sd: float, *, rate: float = 0.004) -> PursuitDecoder:
    noise = NoiseSpectrum.independent(np.full((257, 1), noise_sd**2))
    bank = make_causal_bank(shapes, noise, kernel=np.ones(1), past=40, length=60)
    return replace(make_decoder(shapes, noise_sd, rate=rate), bank=bank, lengths=LOW_LATENCY_LENGTHS)


@pytest.fixture
def spikes(rng: np.random.Generator) -> Spikes:
    """Dense: about half of them overlap another one."""
    return poisson_spikes(rng, n_samples=N_SAMPLES, count=400)


def test_overlapping_spikes_are_found_and_named(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 0.5, rate=0.008)
    found = POINT.to_spikes(candidates(decoder, noisy(shapes, spikes, 0.5)))
    assert score(spikes, found).strict > 0.97


def test_two_spikes_of_one_class_a_few_samples_apart_are_two(shapes: Templates) -> None:
    decoder = make_decoder(shapes, 0.3)
    starts = np.arange(500, N_SAMPLES - 500, 500)
    pairs = Spikes.from_arrays(np.concatenate([starts, starts + 3]), np.ones(2 * len(starts), int))
    trace = noisy(shapes, pairs, 0.3)
    found = POINT.to_spikes(candidates(decoder, trace))
    assert score(pairs, found).strict > 0.97
    assert find_evidence(decoder, trace, n_jobs=2).max() <= 1 + 1e-5


def test_probabilities_mean_what_they_say(shapes: Templates, rng: np.random.Generator) -> None:
    spikes = poisson_spikes(rng, n_samples=N_SAMPLES, count=150)
    decoder = make_decoder(shapes, 3.0, rate=75 / N_SAMPLES)
    curves = find_evidence(decoder, noisy(shapes, spikes, 3.0), n_jobs=2)
    assert curves.shape == (N_SAMPLES, 2)
    assert curves.max() <= 1 + 1e-5
    for k, unit in enumerate((1, 2)):
        count = np.sum(spikes.unit == unit)
        assert curves[:, k].sum() == pytest.approx(count, abs=2.5 * np.sqrt(count))


@pytest.mark.parametrize("kind", ["pursuit", "low_latency", "botm"])
def test_any_part_gives_the_same_bytes(kind: str, shapes: Templates, spikes: Spikes) -> None:
    pursuit = make_decoder(shapes, 0.8)
    decoder: Decoder = {
        "pursuit": pursuit,
        "low_latency": make_low_latency(shapes, 0.8),
        "botm": BotmDecoder(pursuit.unit_ids, pursuit.bank, pursuit.log_odds),
    }[kind]
    trace = noisy(shapes, spikes, 0.8)
    whole, found = find_evidence(decoder, trace, n_jobs=1), candidates(decoder, trace)
    assert len(whole) == N_SAMPLES
    for start, stop in ((0, 1), (5000, 5300), (351, 353), (N_SAMPLES - 700, N_SAMPLES), (3333, 9999)):
        part = read_evidence(decoder, padded(trace), N_SAMPLES, start, stop)
        np.testing.assert_array_equal(part, whole[start:stop])
        inside = found.select((found.sample >= start) & (found.sample < stop))
        again = candidates(decoder, trace, start, stop)
        for name in ("sample", "unit", "probability", "unit_probability"):
            np.testing.assert_array_equal(getattr(again, name), getattr(inside, name))


def test_beyond_the_ends_there_is_no_evidence(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 0.8)
    trace = noisy(shapes, spikes, 0.8)
    rows = read_evidence(decoder, padded(trace), N_SAMPLES, -100, N_SAMPLES + 50)
    assert not rows[:100].any()
    assert not rows[-50:].any()
    np.testing.assert_array_equal(rows[100:-50], find_evidence(decoder, trace, n_jobs=2))


def test_readings_share_the_evidence(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 2.0)
    trace = noisy(shapes, spikes, 2.0)
    evidence = find_evidence(decoder, trace, n_jobs=2)
    for variant in decoder.variants():
        np.testing.assert_array_equal(find_evidence(variant, trace, n_jobs=2), evidence)
    smooth = candidates(replace(decoder, smoothing_samples=4), trace)
    assert len(smooth) < len(candidates(decoder, trace))


def test_a_spike_that_may_be_of_either_of_two_units_is_reported_once() -> None:
    """Two units of one shape and nearly one size: half of the names are wrong, but no spike is twice."""
    time = np.arange(29, dtype=np.float32)
    one = 10 * np.sin((time + 1) * np.float32(np.pi / 30)) * np.exp(-time / 8)
    alike = Templates((1, 2), np.stack([one, 1.02 * one])[:, :, None], 4)
    starts = np.arange(100, N_SAMPLES - 100, 150)
    trace = noisy(alike, Spikes(starts, 1 + np.arange(len(starts)) % 2), 1.0)
    decoder = make_decoder(alike, 1.0)
    assert np.diff(candidates(decoder, trace).sample).min() == 0
    for variant in decoder.variants():
        found = candidates(variant, trace)
        assert np.diff(found.sample).min() > variant.smoothing_samples
    widest = found.select(found.joint > 0.3)
    assert len(widest) == pytest.approx(len(starts), rel=0.02)


def test_a_draw_leaves_noise_behind(shapes: Templates, spikes: Spikes) -> None:
    decoder = make_decoder(shapes, 1.0, rate=0.008)
    trace = noisy(shapes, spikes, 1.0)
    explanation = sample_explanation(decoder, trace, n_jobs=2)
    assert isinstance(explanation, Explanation)
    assert explanation.expected.sum() == pytest.approx(len(explanation.spikes), rel=0.05)
    left = trace - plant(N_SAMPLES, explanation.spikes, explanation.amplitudes, shapes)
    assert left.std() == pytest.approx(1.0, abs=0.02)


def test_silence_is_a_result(shapes: Templates, rng: np.random.Generator) -> None:
    decoder = make_decoder(shapes, 1.0)
    trace = rng.standard_normal((N_SAMPLES, 1)).astype(np.float32)
    assert len(POINT.to_spikes(candidates(decoder, trace))) <= 3


def test_linear_discriminants_find_spikes_too_but_fewer_overlaps(shapes: Templates, spikes: Spikes) -> None:
    pursuit = make_decoder(shapes, 0.8, rate=0.008)
    botm = BotmDecoder(pursuit.unit_ids, pursuit.bank, pursuit.log_odds)
    trace = noisy(shapes, spikes, 0.8)
    of_botm, of_pursuit = (
        score(spikes, POINT.to_spikes(candidates(decoder, trace))).strict for decoder in (botm, pursuit)
    )
    assert 0.75 < of_botm < of_pursuit


def test_early_decisions_need_little_after_a_spike_and_are_nearly_as_good(
    shapes: Templates, spikes: Spikes
) -> None:
    late, low_latency = make_decoder(shapes, 0.8, rate=0.008), make_low_latency(shapes, 0.8, rate=0.008)
    assert low_latency.margin.after + low_latency.grid_samples + low_latency.pick_reach < 125
    trace = noisy(shapes, spikes, 0.8)
    of_early, of_late = (
        score(spikes, POINT.to_spikes(candidates(decoder, trace))).strict for decoder in (low_latency, late)
    )
    assert of_early > max(0.9, of_late - 0.03)


def test_early_decisions_know_nothing_of_what_comes_after(shapes: Templates, spikes: Spikes) -> None:
    low_latency = make_low_latency(shapes, 0.8)
    trace = noisy(shapes, spikes, 0.8)
    other = trace.copy()
    block, until = 20, 20 * low_latency.grid_samples + low_latency.grid_samples + low_latency.margin.after
    other[until:] += 50
    start, stop = 0, (block + 1) * low_latency.grid_samples
    one, two = (read_evidence(low_latency, padded(x), N_SAMPLES, start, stop) for x in (trace, other))
    np.testing.assert_array_equal(one, two)


@pytest.fixture
def between() -> tuple[Templates, PursuitDecoder, PursuitDecoder]:
    """Two units that differ like a spike and itself half a sample later; pursuits without and with shifts."""
    t = np.arange(60)
    waveforms = np.array([8 * np.exp(-0.5 * ((t - 25) / width) ** 2) for width in (2.0, 2.3)])
    templates = Templates((1, 2), waveforms[:, :, None].astype(np.float32), 20)
    plain = make_decoder(templates, 0.3)
    noise = NoiseSpectrum.independent(np.full((257, 1), 0.3**2))
    bank = make_bank(shifted(templates, 4), noise, kernel=np.ones(1), reach=20)
    return templates, plain, replace(plain, bank=bank, shifts=4)


def starting_between(templates: Templates, spikes: Spikes) -> np.ndarray:
    """A noisy trace whose spikes start a quarter of a sample before or after their labels, or nearly half."""
    early_to_late = np.split(shifted(templates, 4).waveforms.reshape(2, 4, -1, 1), 4, axis=1)
    trace = noisy(templates, Spikes([], []), 0.3)
    for i, waveforms in enumerate(early_to_late):
        own = spikes.select(np.arange(len(spikes)) % 4 == i)
        each = Templates((1, 2), waveforms[:, 0], templates.before)
        trace += plant(N_SAMPLES, own, np.ones(len(own), np.float32), each)
    return trace


def test_spikes_between_samples_are_named_by_templates_between_samples(
    between: tuple[Templates, PursuitDecoder, PursuitDecoder], spikes: Spikes
) -> None:
    templates, plain, shifting = between
    trace = starting_between(templates, spikes)
    of_plain, of_shifting = (
        score(spikes, POINT.to_spikes(candidates(decoder, trace))).strict for decoder in (plain, shifting)
    )
    assert 1 - of_shifting < 0.6 * (1 - of_plain)
    assert find_evidence(shifting, trace, n_jobs=1).shape == (N_SAMPLES, 2)
    explanation = sample_explanation(shifting, trace, n_jobs=1)
    assert len(explanation.spikes) == pytest.approx(len(spikes), rel=0.05)
    assert np.median(explanation.amplitudes) == pytest.approx(1.0, abs=0.01)


def test_any_part_gives_the_same_bytes_with_shifts(
    between: tuple[Templates, PursuitDecoder, PursuitDecoder], spikes: Spikes
) -> None:
    templates, _, shifting = between
    trace = starting_between(templates, spikes)
    whole = find_evidence(shifting, trace, n_jobs=2)
    for start, stop in ((0, 1), (5000, 5300), (3333, 9999)):
        part = read_evidence(shifting, padded(trace), N_SAMPLES, start, stop)
        np.testing.assert_array_equal(part, whole[start:stop])


def test_sizes_are_drawn_apart_in_every_block(shapes: Templates) -> None:
    """Were all blocks to draw the same numbers, what is drawn would be off in one direction."""
    decoder = replace(make_decoder(shapes, 1.0), spreads=np.full(2, 0.2))
    starts = np.arange(168, N_SAMPLES - 168, USUAL_LENGTHS.block)
    trace = noisy(shapes, Spikes.from_arrays(starts, np.ones_like(starts)), 1.0)
    explanation = sample_explanation(decoder, trace, n_jobs=1)
    found = np.isin(explanation.spikes.sample, starts) & (explanation.spikes.unit == 1)
    margin = decoder.bank.margin
    outputs = decoder.bank.apply(np.pad(trace, ((margin.before, margin.after), (0, 0))))[:, 0]
    total = decoder.bank.energies[0] + 1 / 0.2**2
    expected = (outputs[explanation.spikes.sample[found]] + 1 / 0.2**2) / total
    deviations = (explanation.amplitudes[found] - expected) * np.sqrt(total)  # standard normal
    assert found.sum() > 50
    assert abs(deviations.mean()) < 4 / np.sqrt(found.sum())
    assert 0.7 < deviations.std() < 1.3
