from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.forecast import Forecast, forecast_score, forecast_study
from tests.conftest import poisson_spikes

FS_HZ = 25_000.0
N_SAMPLES = 1_500_000


def with_misses(rng: np.random.Generator, share: float) -> tuple[Spikes, Spikes]:
    truth = poisson_spikes(rng, n_samples=N_SAMPLES, count=3000)
    return truth, truth.select(rng.random(len(truth)) > share)


def made(truth: Spikes, found: Spikes, target_samples: int = N_SAMPLES) -> Forecast:
    return forecast_score(
        truth, found, (1, 2), n_samples=N_SAMPLES, target_samples=target_samples, fs_hz=FS_HZ
    )


def test_a_forecast_is_the_rehearsals_score_with_an_interval(rng: np.random.Generator) -> None:
    truth, found = with_misses(rng, 0.3)
    forecast = made(truth, found)
    assert forecast.score == score(truth, found).score
    assert forecast.precision > 0.99 > 0.75 > forecast.recall
    assert forecast.low < forecast.score < forecast.high
    assert forecast.f1 == tuple(score(truth, found).strict_of.values())


def test_intervals_hold_the_score_of_another_recording(rng: np.random.Generator) -> None:
    hits = 0
    for _ in range(20):
        forecast = made(*with_misses(rng, 0.3))
        hits += forecast.low <= score(*with_misses(rng, 0.3)).score <= forecast.high
    assert hits >= 18


def test_a_short_target_is_less_certain(rng: np.random.Generator) -> None:
    truth, found = with_misses(rng, 0.3)
    long, short = made(truth, found), made(truth, found, N_SAMPLES // 50)
    assert short.high - short.low > 1.2 * (long.high - long.low)


def test_finding_nothing_is_forecast_too(rng: np.random.Generator) -> None:
    truth, _ = with_misses(rng, 0.3)
    assert made(truth, Spikes.empty()).score == 0


def test_a_study_is_weighted_as_its_score(rng: np.random.Generator) -> None:
    forecasts = {"D2": made(*with_misses(rng, 0.1)), "D3": made(*with_misses(rng, 0.5))}
    written = forecast_study(forecasts)
    expected = 0.4 * forecasts["D2"].score + 0.6 * forecasts["D3"].score
    assert written["study"] == pytest.approx(expected, abs=1e-4)
    assert {"score", "low", "high", "precision", "recall", "f1"} <= set(written["recordings"]["D2"])  # type: ignore[index]
