from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.signal.noise import (
    NoiseSpectrum,
    estimate_noise_spectrum,
    quiet_samples,
    synthesise_noise,
)
from spikesorter.signal.templates import Templates, plant
from tests.conftest import memory_of, poisson_spikes

N_FFT = 512


def coloured(n_fft: int = N_FFT) -> NoiseSpectrum:
    """Four times as much power at the low end as at the high one."""
    return NoiseSpectrum.independent((1 + 3 * np.exp(-np.fft.rfftfreq(n_fft) / 0.1))[:, None])


def test_synthesis_and_estimation_agree(rng: np.random.Generator) -> None:
    wanted = coloured()
    noise = synthesise_noise(wanted, 400_000, rng)
    found = estimate_noise_spectrum(noise, np.ones(len(noise), bool), n_fft=N_FFT)
    np.testing.assert_allclose(found.power, wanted.power, rtol=0.15)
    np.testing.assert_allclose(noise.var(axis=0), wanted.variance, rtol=0.02)


def test_spikes_do_not_enter_the_noise(shapes: Templates, rng: np.random.Generator) -> None:
    n_samples = 300_000
    wanted = coloured()
    spikes = poisson_spikes(rng, n_samples=n_samples, count=2000)
    trace = synthesise_noise(wanted, n_samples, rng) + 5 * plant(
        n_samples, spikes, np.ones(2000, np.float32), shapes
    )
    assert trace.var() > 1.5 * wanted.variance[0]
    quiet = quiet_samples(trace, threshold=4.5, before=40, after=60)
    found = estimate_noise_spectrum(trace, quiet, n_fft=N_FFT)
    np.testing.assert_allclose(found.power, wanted.power, rtol=0.25)


def test_quiet_samples_keep_their_distance() -> None:
    evidence = np.tile([[1.0], [-1.0]], (500, 1))
    evidence[600] = 50
    quiet = quiet_samples(evidence, threshold=5, before=10, after=20)
    assert np.flatnonzero(~quiet).tolist() == list(range(590, 621))


def test_some_of_a_busy_recording_is_always_called_quiet(rng: np.random.Generator) -> None:
    quiet = quiet_samples(rng.standard_normal((10_000, 1)), threshold=0.1, before=5, after=5)
    assert quiet.mean() >= 0.1


def test_too_little_quiet_is_an_error() -> None:
    with pytest.raises(InputError, match="only 100 samples are away from spikes"):
        estimate_noise_spectrum(np.zeros((5000, 1), np.float32), np.arange(5000) < 100, n_fft=N_FFT)


def test_spectra_in_arithmetic() -> None:
    low, high = (
        NoiseSpectrum.independent(np.full((9, 1), 2.0)),
        NoiseSpectrum.independent(np.full((9, 1), 8.0)),
    )
    assert high.minus(low).power.max() == 6
    assert low.minus(high).power.max() == 0
    assert low.plus(high).power.max() == 10
    assert low.scaled(4).distance(high) == pytest.approx(0, abs=1e-12)
    assert low.distance(high) == pytest.approx(np.log(2))
    assert high.variance == pytest.approx(8)
    assert high.at(64).shape == (33, 1, 1)
    spiked = NoiseSpectrum.independent(np.array([[0.0], [1.0], [1.0]]))
    assert spiked.floored(0.5).power.min() == pytest.approx(0.5 * spiked.variance[0])


def shared(n_fft: int = N_FFT) -> NoiseSpectrum:
    """Two channels; the second hears the first one's slow noise three samples later, and some of its own."""
    frequency = np.fft.rfftfreq(n_fft)
    mixing = np.zeros((len(frequency), 2, 2), np.complex128)
    mixing[:, 0, 0] = 1 + 2 * np.exp(-frequency / 0.05)
    mixing[:, 1, 0] = np.exp(-frequency / 0.1 - 2j * np.pi * frequency * 3)
    mixing[:, 1, 1] = 0.5
    return NoiseSpectrum(mixing @ mixing.conj().transpose(0, 2, 1))


def test_what_channels_share_is_synthesised_and_estimated(rng: np.random.Generator) -> None:
    wanted = shared()
    noise = synthesise_noise(wanted, 400_000, rng)
    found = estimate_noise_spectrum(noise, np.ones(len(noise), bool), n_fft=N_FFT)
    np.testing.assert_allclose(found.density, wanted.density, atol=0.1 * np.abs(wanted.density).max())
    np.testing.assert_allclose(np.cov(noise.T), wanted.covariance, rtol=0.02)
    lagged = [np.mean(noise[:-6, 0] * noise[lag : len(noise) - 6 + lag, 1]) for lag in range(7)]
    assert np.argmax(lagged) == 3  # not -3: who hears whom
    assert found.distance(wanted) < 0.05
    assert found.distance(NoiseSpectrum.independent(wanted.power)) > 0.15


def test_what_is_missing_of_shared_noise_can_be_added(rng: np.random.Generator) -> None:
    some = shared().scaled(0.4)
    missing = shared().minus(some)
    np.testing.assert_allclose(missing.density, shared().scaled(0.6).density, atol=1e-9)
    assert np.linalg.eigvalsh(some.minus(shared()).density).max() == pytest.approx(0, abs=1e-9)


def test_copied_channels_do_not_break_the_floor(rng: np.random.Generator) -> None:
    noise = np.repeat(rng.standard_normal((50_000, 1)).astype(np.float32), 2, axis=1)
    found = estimate_noise_spectrum(noise, np.ones(len(noise), bool), n_fft=N_FFT)
    assert np.isfinite(np.linalg.inv(found.floored(0.02).density)).all()


def test_the_same_seed_gives_the_same_noise() -> None:
    first, second = (synthesise_noise(coloured(), 1000, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_line_is_smoothed_over_three_frequencies_as_a_hann_window_does() -> None:
    """The transform of a Hann window over the lags is 1/4, 1/2, 1/4 around its frequency, and 0 elsewhere."""
    at, n_samples = 40, 400_000
    line = np.cos(2 * np.pi * at * np.arange(n_samples) / N_FFT).astype(np.float32)[:, None]
    found = estimate_noise_spectrum(line, np.ones(n_samples, bool), n_fft=N_FFT)
    shares = found.power[at - 3 : at + 4, 0] / found.power.sum()
    np.testing.assert_allclose(shares, [0, 0, 0.25, 0.5, 0.25, 0, 0], atol=2e-3)
    assert found.variance[0] == pytest.approx(0.5, rel=1e-3)


def test_gaps_do_not_bias_the_spectrum(rng: np.random.Generator) -> None:
    """What lies in the gaps is not seen, and each lag is averaged over the pairs that are there."""
    noise = synthesise_noise(coloured(), 400_000, rng)
    quiet = rng.random(len(noise)) < 0.5
    noise[~quiet] = 1e3
    found = estimate_noise_spectrum(noise, quiet, n_fft=N_FFT)
    np.testing.assert_allclose(found.power, coloured().power, rtol=0.25)


def test_the_threshold_is_raised_no_further_than_it_must(rng: np.random.Generator) -> None:
    """Step by step, by a quarter each: one step earlier less than the wanted part was quiet."""
    evidence = rng.standard_normal((50_000, 1))
    quiet = quiet_samples(evidence, threshold=0.1, before=0, after=0, least_fraction=0.3)
    assert 0.3 <= quiet.mean() < 0.3 * 1.25


def test_a_recording_that_is_all_alike_is_quiet() -> None:
    assert quiet_samples(np.zeros((100, 2)), threshold=4.5, before=3, after=3).all()


def test_a_filter_is_taken_out_of_a_spectrum_where_it_passes_anything() -> None:
    kernel = np.array([0.25, 0.5, 0.25])
    gain = np.abs(np.fft.rfft(kernel, N_FFT))
    before = coloured()
    after = NoiseSpectrum.independent(before.power * gain[:, None] ** 2)
    found = after.unfiltered(kernel).power
    passed = gain > 0.05
    assert 0 < passed.mean() < 1
    np.testing.assert_allclose(found[passed], before.power[passed], rtol=1e-6)
    assert np.all(found[~passed] == 0)


@given(st.floats(0.01, 100))
def test_distance_is_that_of_amplitudes_and_the_same_both_ways(factor: float) -> None:
    plain, scaled = coloured(), coloured().scaled(factor)
    assert plain.distance(scaled) == pytest.approx(abs(np.log(factor)) / 2, abs=1e-9)
    assert plain.distance(scaled) == pytest.approx(scaled.distance(plain), abs=1e-9)
    assert shared().distance(shared().scaled(factor)) == pytest.approx(abs(np.log(factor)) / 2, abs=1e-9)


def test_a_spectrum_is_interpolated_between_its_frequencies() -> None:
    spectrum = NoiseSpectrum.independent(np.array([[1.0], [3.0], [5.0]]))
    assert spectrum.at(8)[:, 0, 0].real.tolist() == [1, 2, 3, 4, 5]
    assert spectrum.n_fft == 4
    assert spectrum.variance == pytest.approx((1 + 3 + 5 + 3) / 4)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 9), st.integers(0, 9))
def test_around_what_is_loud_nothing_is_quiet(loud: list[bool], before: int, after: int) -> None:
    evidence = np.tile([[1.0], [-1.0]], (100, 1))
    at = np.flatnonzero(loud) + 70
    evidence[at] = 50
    quiet = quiet_samples(evidence, threshold=5, before=before, after=after, least_fraction=0)
    near = [sample for one in at for sample in range(one - before, one + after + 1)]
    assert np.flatnonzero(~quiet).tolist() == sorted(set(near))


def test_parts_of_any_length_make_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transform is coloured in parts, to save memory: how long they are changes nothing."""
    whole = synthesise_noise(shared(), 5000, np.random.default_rng(5))
    monkeypatch.setattr("spikesorter.signal.noise.BLOCK_FREQUENCIES", 501)
    np.testing.assert_array_equal(synthesise_noise(shared(), 5000, np.random.default_rng(5)), whole)


def test_loud_samples_of_many_curves_are_found_one_curve_after_the_other(rng: np.random.Generator) -> None:
    evidence = rng.normal(size=(300_000, 8)).astype(np.float32)
    assert memory_of(lambda: quiet_samples(evidence, threshold=4.5, before=2, after=5)) < evidence.nbytes
