"""The gain of a target, weighed against the labelled trace: neurons that nobody labelled must not fool it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.course import Course
from spikesorter.estimation.estimate import InitialEstimate, estimate_initially, with_gain
from spikesorter.estimation.gain_evidence import (
    LOG_GAIN_SD,
    STEPS,
    GainComparison,
    choose_gain,
    compare_gains,
)
from spikesorter.estimation.labelled import Labelled
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import learn_units
from spikesorter.signal.templates import Templates, plant
from tests.conftest import FS_HZ

SETTINGS = Settings()
SECONDS = 8
KERNEL = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
T = np.arange(40) - 10
SHAPES = Templates(
    (1, 2, 3),
    np.stack(
        [size * np.where(T > 0, T / tau * np.exp(1 - T / tau), 0) for size, tau in ((12, 4), (9, 7), (5, 5))]
    ).astype(np.float32)[:, :, None],
    before=10,
)  # the third is not labelled


def made(rng: np.random.Generator, *, gain: float, others_per_s: float) -> tuple[np.ndarray, Spikes]:
    """Two labelled neurons whose spikes vary by a tenth, and a smaller one, in noise of SD 1."""
    n = int(SECONDS * FS_HZ)
    counts = [10 * SECONDS, 10 * SECONDS, int(others_per_s * SECONDS)]
    spikes = Spikes.from_arrays(rng.integers(100, n - 200, sum(counts)), np.repeat([1, 2, 3], counts))
    sizes = (gain * (1 + 0.1 * rng.standard_normal(len(spikes)))).astype(np.float32)
    trace = plant(n, spikes, sizes, SHAPES) + rng.standard_normal((n, 1), dtype=np.float32)
    return trace, spikes.select(spikes.unit < 3)


@dataclass(frozen=True)
class Known:
    context: Context
    labelled: Labelled


@pytest.fixture(scope="module")
def known() -> Known:
    trace, labels = made(np.random.default_rng(1), gain=1.0, others_per_s=20)
    units = learn_units(trace, labels, SETTINGS.templates, kernel=KERNEL, fs_hz=FS_HZ)
    context = Context.of(units, SETTINGS, fs_hz=FS_HZ)
    profile = estimate_initially(trace, context).profile
    return Known(context, Labelled(trace, labels, profile))


def comparison(known: Known, *, gain: float, others_per_s: float, seed: int = 2) -> GainComparison:
    trace, _ = made(np.random.default_rng(seed), gain=gain, others_per_s=others_per_s)
    initial = estimate_initially(trace, known.context)
    return compare_gains(initial, known.labelled, known.context)


@pytest.mark.parametrize("gain", [1.0, 0.8, 1.3, -1.0, 3.0])
def test_the_gain_is_found(known: Known, gain: float) -> None:
    assert choose_gain(comparison(known, gain=gain, others_per_s=20)).gain == pytest.approx(gain, rel=0.04)


@pytest.mark.parametrize("level", [0.5, 1.0, 2.0])
def test_noise_alone_tells_no_gain(known: Known, level: float) -> None:
    noise = np.random.default_rng(4).standard_normal((len(known.labelled.trace), 1), dtype=np.float32)
    initial = estimate_initially(np.float32(level) * noise, known.context)
    compared = compare_gains(initial, known.labelled, known.context)
    assert choose_gain(compared).gain == 1.0


@pytest.mark.parametrize("gain", [0.9, 1.3])
def test_threads_change_no_digit_of_the_gain(known: Known, gain: float) -> None:
    compared = comparison(known, gain=gain, others_per_s=20)
    alone, threads = (choose_gain(replace(compared, n_jobs=n_jobs, _known={})) for n_jobs in (1, 3))
    assert alone == threads


def test_a_gain_of_one_is_exactly_one(known: Known) -> None:
    assert choose_gain(comparison(known, gain=1.0, others_per_s=20)).gain == 1.0


@pytest.mark.parametrize("others_per_s", [2, 100])
def test_how_often_unlabelled_neurons_fire_does_not_matter(known: Known, others_per_s: float) -> None:
    compared = comparison(known, gain=1.0, others_per_s=others_per_s)
    assert choose_gain(compared).gain == pytest.approx(1.0, rel=0.04)


def test_a_wrong_gain_from_elsewhere_is_corrected(known: Known) -> None:
    trace, _ = made(np.random.default_rng(3), gain=1.0, others_per_s=20)
    initial = estimate_initially(trace, known.context)
    fooled = with_gain(initial, 0.6, known.context)
    choice = choose_gain(compare_gains(fooled, known.labelled, known.context))
    assert choice.gain == pytest.approx(1.0, rel=0.03)
    assert not choice.sharp


def test_rates_follow_a_gain_that_is_known(known: Known) -> None:
    trace, _ = made(np.random.default_rng(3), gain=1.0, others_per_s=0)
    initial = estimate_initially(trace, known.context)
    rates = [sum(with_gain(initial, gain, known.context).profile.activity.rates) for gain in (0.8, 1.0, 1.25)]
    assert rates[0] > rates[1] > rates[2]
    assert rates[1] * FS_HZ == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize(("samples", "start", "length"), [(20_000, 0, 20_000), (40_001, 5000, 30_000)])
def test_the_middle_half_minute_of_a_long_target_is_compared(
    samples: int, start: int, length: int, known: Known
) -> None:
    evidence = np.arange(samples, dtype=np.float32)[:, None].repeat(2, axis=1)
    initial = InitialEstimate(known.labelled.profile, evidence, filters=None)  # type: ignore[arg-type]
    compared = compare_gains(initial, known.labelled, replace(known.context, fs_hz=1000.0))
    assert (compared.evidence[0, 0], len(compared.evidence)) == (start, length)
    assert len(compared.labelled.trace) == 30_000


class Parabola(GainComparison):
    """Of a target that is the more unlike, the further the gain is from 1.17."""

    def distance(self, profile: Profile) -> float:
        return float(1000 * np.log(profile.activity.gain / 1.17) ** 2)


class Length(GainComparison):
    """Tells how long the rehearsal is."""

    def outputs(self, trace: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return trace

    def difference(self, outputs: npt.NDArray[np.float32], spikes: Spikes, gain: float) -> float:
        return len(outputs)


def test_the_minimum_is_found_between_the_gains_that_are_tried(known: Known) -> None:
    profile = replace(known.labelled.profile, noise=known.labelled.profile.noise.scaled(4))
    compared = Parabola(known.labelled, known.context, profile, None, np.zeros((1, 2)))  # type: ignore[arg-type]
    prior = 1 / LOG_GAIN_SD**2
    assert np.log(compared.best((1.0,))) == pytest.approx(1000 * np.log(1.17) / (1000 + prior), abs=1e-4)


def test_gains_beyond_those_that_fit_far_worse_are_not_tried(known: Known) -> None:
    compared = comparison(known, gain=1.0, others_per_s=20)
    misfits = dict(zip(STEPS, (None, None, 900.0, 300.0, 450.0, 200.0, 500.0, 650.0, 200.0), strict=True))
    compared._known.update({round(float(gain), 6): its for gain, its in misfits.items() if its is not None})
    around = compared._around(1.0)
    np.testing.assert_allclose(around, STEPS[2:8])
    assert set(compared._known) == {round(float(gain), 6) for gain in STEPS[2:]}  # none was computed


def test_where_all_gains_fit_alike_the_best_one_stays(known: Known) -> None:
    compared = comparison(known, gain=1.0, others_per_s=20)
    compared._known.update({0.9: 0.0, 1.0: 0.0, 1.1: 0.0})
    assert compared._lowest(1.0) == 1.0


@pytest.mark.parametrize(("levels", "length"), [((1.0,), 20_000), ((1.0, 2.0), 40_000)])
def test_a_target_that_changes_is_compared_in_its_whole_length(
    levels: tuple[float, ...], length: int, known: Known
) -> None:
    profile = replace(known.labelled.profile, course=Course(levels=np.array(levels)))
    louder = replace(profile, noise=profile.noise.scaled(4.0))
    evidence = np.zeros((40_000, 2), np.float32)
    compared = Length(known.labelled.excerpt(20_000), known.context, louder, None, evidence)  # type: ignore[arg-type]
    assert compared.distance(louder) == length


class Counted(GainComparison):
    """Of which the numbers of events are given: the target's, and those of each source of the rehearsal."""

    def _counts(
        self, outputs: npt.NDArray[np.float32], spikes: Spikes, gain: float
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        del spikes, gain
        return [(outputs[:, 0].astype(float), outputs[:, 1:].astype(float))]


@pytest.mark.parametrize(
    ("shares", "least", "most"),
    [
        ((1.0, 1.0, 1.0), 0, 0.01),
        ((1.0, 0.5, 2.0), 3, 9),  # rates do change
        ((1.3, 1.0, 1.0), 0.3, 2),
        ((1.0, 1.0, 0.0), 20, 60),  # a unit may fall silent
        ((0.3, 0.05, 0.02), 80, 150),  # hardly any is left: `wild` 61 D5, whose gain was taken for 2.38
    ],
)
def test_rates_far_from_the_labelled_ones_are_improbable(
    shares: tuple[float, ...], least: float, most: float, known: Known
) -> None:
    """Each source has events of its own height, so that only rates differ."""
    there = np.array([4000.0, 1000.0, 1000.0])
    for times in (1, 3):  # a target that is as long as the labelled recording, or three times as long
        counts = np.column_stack([there * shares, np.diag(there / times)]).astype(np.float32)
        evidence = np.zeros((times * len(counts), 1), np.float32)
        compared = Counted(known.labelled, known.context, known.labelled.profile, None, evidence)  # type: ignore[arg-type]
        assert least <= compared.difference(counts, known.labelled.spikes, 1.0) <= most


@pytest.mark.parametrize(
    ("gain", "level", "least", "most"),
    [(1.2, 1, 0.7, 1), (1.2, 2, 0, 0), (3, 1, 16, 16), (1, 0.5, 0, 0), (1.2, 0.5, 0.7, 1)],
)
def test_a_gain_that_makes_the_labelled_noise_louder_than_the_targets_is_improbable(
    gain: float, level: float, least: float, most: float, known: Known
) -> None:
    noise = known.labelled.profile.noise.scaled(level**2)
    profile = replace(known.labelled.profile, noise=noise)
    compared = Parabola(known.labelled, known.context, profile, None, np.zeros((1, 2)))  # type: ignore[arg-type]
    prior = min((np.log(gain) / LOG_GAIN_SD) ** 2, 9)
    of_noise = compared.misfit(gain) - prior - 1000 * np.log(gain / 1.17) ** 2
    assert least - 1e-6 <= of_noise <= most + 1e-6
