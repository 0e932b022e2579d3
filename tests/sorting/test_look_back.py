"""What differs between a target and its rehearsal lowers the forecast and is said; what does not, is not."""

from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.sorting.forecast import Forecast, forecast_score
from spikesorter.sorting.look_back import Reckoning, corrected_forecast, reckon
from tests.conftest import poisson_spikes

FS_HZ = 25_000.0
SECONDS = 60.0
NAMES = ("a", "b")
USUAL = np.array([500, 500]) / SECONDS


def sorting(counts: tuple[int, int], certainty: float, seed: int = 0) -> Reckoning:
    """Reckon spikes of both units, nine in ten of them above the threshold."""
    rng = np.random.default_rng(seed)
    total = sum(counts)
    sample = np.sort(rng.integers(0, int(SECONDS * FS_HZ), total))
    unit = rng.permutation(np.repeat([1, 2], counts))
    probability = np.where(rng.random(total) < 0.9, certainty, 0.1).astype(np.float32)
    candidates = Candidates(sample, unit, probability, np.ones(total, np.float32))
    held = candidates.select(probability > 0.2)
    found = Spikes(held.sample, held.unit, held.probability, held.unit_probability)
    return reckon(candidates, found, (1, 2), seconds=SECONDS)


@pytest.fixture
def forecast(rng: np.random.Generator) -> Forecast:
    truth = poisson_spikes(rng, n_samples=1_500_000, count=2000)
    found = truth.select(rng.random(len(truth)) > 0.1)
    return forecast_score(truth, found, (1, 2), n_samples=1_500_000, target_samples=1_500_000, fs_hz=FS_HZ)


def test_sure_spikes_are_reckoned_right() -> None:
    assert sorting((500, 500), 1.0).precision == pytest.approx(1, abs=1e-6)
    assert sorting((500, 500), 1.0).strict == pytest.approx(1, abs=0.02)
    assert sorting((500, 500), 0.5).precision == pytest.approx(0.5, abs=1e-6)


def test_a_target_like_its_rehearsal_changes_nothing(forecast: Forecast) -> None:
    seen = corrected_forecast(
        forecast, sorting((500, 500), 0.9), sorting((700, 400), 0.9, 1), NAMES, usual=USUAL, seconds=SECONDS
    )
    assert seen == forecast


def test_less_sure_spikes_lower_the_forecast_and_widen_its_interval(forecast: Forecast) -> None:
    seen = corrected_forecast(
        forecast, sorting((500, 500), 0.9), sorting((500, 500), 0.6), NAMES, usual=USUAL, seconds=SECONDS
    )
    assert seen.strict < forecast.strict - 0.1
    assert seen.score < forecast.score
    assert seen.high - seen.low > forecast.high - forecast.low
    assert "less certain" in seen.remarks[0]


def test_a_unit_that_fires_many_times_as_often_is_named(forecast: Forecast) -> None:
    seen = corrected_forecast(
        forecast, sorting((500, 500), 0.9), sorting((500, 4000), 0.9), NAMES, usual=USUAL, seconds=SECONDS
    )
    assert seen.remarks[0].startswith("unit b: 8 times as many spikes as expected")
    assert seen.strict < 0.85 * forecast.strict


def test_a_few_spikes_of_a_silent_unit_are_not_many_times_as_many(forecast: Forecast) -> None:
    seen = corrected_forecast(
        forecast, sorting((500, 1), 0.9), sorting((500, 12), 0.9), NAMES, usual=USUAL, seconds=SECONDS
    )
    assert not [remark for remark in seen.remarks if "times as many" in remark]


@pytest.mark.parametrize(("found", "told"), [(20, True), (40, False)])
def test_a_unit_of_which_hardly_any_spikes_are_found_is_named_and_little_promised(
    found: int, told: bool, forecast: Forecast
) -> None:
    like = sorting((500, found), 0.9)
    seen = corrected_forecast(forecast, like, like, NAMES, usual=USUAL, seconds=SECONDS)
    assert [remark[:26] for remark in seen.remarks] == (["unit b: hardly any spikes "] if told else [])
    assert (seen.low < 0.6 * forecast.low) is told
    rare = corrected_forecast(forecast, like, like, NAMES, usual=USUAL / 20, seconds=SECONDS)
    assert rare == forecast  # it fired as rarely when it was labelled
