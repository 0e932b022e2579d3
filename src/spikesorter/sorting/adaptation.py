"""Adapt to a target: estimate its profile, rehearse it, tune and choose a decoder, forecast the score."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import in_threads, one_blas_thread
from spikesorter.core.progress import Progress
from spikesorter.decoding.bench import Bench
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.pursuit import make_pursuit
from spikesorter.decoding.run import find_candidates, find_evidence
from spikesorter.decoding.tuning import Outcome, TunedDecoder, known_spikes, pick_all
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import (
    estimate_initially,
    is_faint,
)
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.io.samples import check_trace
from spikesorter.signal.screen import Screen
from spikesorter.signal.spans import iterate_spans
from spikesorter.sorting.channels import select
from spikesorter.sorting.choosing import best_outcome
from spikesorter.sorting.diagnostics import Diagnostics, diagnose
from spikesorter.sorting.doubts import band_doubt
from spikesorter.sorting.following import digest_of, following_of, part_stops
from spikesorter.sorting.forecast import Forecast, forecast_score
from spikesorter.sorting.look_back import corrected_forecast, reckon
from spikesorter.sorting.narrowing import choose_for, narrow
from spikesorter.sorting.outlier_spikes import OutlierRule, fit_outlier_rule
from spikesorter.sorting.screening import Screened, check_good, described_source, screened, without_bad
from spikesorter.sorting.screens import screen_for
from spikesorter.sorting.spans import span_samples
from spikesorter.sorting.state import Lessons, SorterState
from spikesorter.sorting.target_profile import estimate_target

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["adapt_state", "low_latency_state", "tune_for"]

logger = logging.getLogger(__name__)
USUAL_GAINS = (0.4, 2.5)
COMPARED_SECONDS, COMPARED_SPANS = 60.0, 12  # of a target, for comparison with its rehearsal


@one_blas_thread()
def adapt_state(
    state: SorterState,
    target: BaseRecording,
    *,
    exclude: BadStretches | None = None,
    n_jobs: int,
    progress: Progress,
) -> SorterState:
    """Return a sorter's state adapted to a target; see `Sorter.adapt`."""
    target, lessons, own_screen = state.fitting(target), state.lessons, state.own_screen
    progress("estimating noise, gain and rates", 0.0)
    choice, left = choose_for(state, target, as_it_is=False, exclude=exclude), None
    if choice.words:
        left = narrow(state, choice.used, why=choice.words)
        for words in filter(None, (choice.words, left.words)):
            logger.warning("%s", words)
        target, lessons = select(target, choice.used), left.lessons
        own_screen = own_screen.of_channels(choice.used)
    screen = screen_for(target, own_screen)
    source = screened(target, screen, screen.offset, exclude=exclude, fs_hz=state.fs_hz, n_jobs=n_jobs)
    check_good(source, fs_hz=state.fs_hz)
    left_out = ""
    if len(source.bad):
        left_out = described_source(source, fs_hz=state.fs_hz)
        logger.warning("%s", left_out)
    raw, offset = without_bad(source)
    check_trace(raw, state.settings, left_out=left_out)
    initial = estimate_initially(raw, lessons.context)
    profile = estimate_target(raw, initial, lessons, n_jobs=n_jobs)
    profile = replace(profile, offset=profile.offset + offset)
    if not is_faint(initial):
        _warn_of_odd_gain(profile.activity.gain)
    progress("estimating noise, gain and rates", 1.0)
    adapted = tune_for(
        lessons,
        profile,
        measured=initial.profile,
        screen=source.screen,
        target_samples=source.good_samples,
        train=True,
        n_jobs=n_jobs,
        progress=progress,
    )
    recording = digest_of(target)
    if adapted.following is not None:
        stops = part_stops(len(adapted.following.parts), target.get_num_frames(), source.bad)
        following = replace(adapted.following, stops=stops, recording=recording)
        adapted = replace(adapted, following=following)
    adapted = replace(
        adapted,
        channel_ids=state.channel_ids,
        recording=recording,
        used=tuple(state.columns[k] for k in choice.used) if left else state.used,
        remark=choice.words or state.remark,
    )
    adapted = _with_corrected_forecast(adapted, source, n_jobs=n_jobs, progress=progress)
    if left:
        adapted = replace(adapted, forecast=left.forecast(adapted.forecast))
    doubt = band_doubt(profile.noise.power, lessons.labelled_noise, lessons.context.kernel)
    return _doubted(adapted, doubt) if doubt else adapted


@one_blas_thread()
def low_latency_state(state: SorterState, *, n_jobs: int, progress: Progress) -> SorterState:
    """Return a sorter's state with a low-latency decoder for the same recordings."""
    settings = state.settings.model_copy(update={"decoder": "low_latency"})
    lessons = replace(state.lessons, context=replace(state.lessons.context, settings=settings))
    tuned = tune_for(
        lessons,
        state.profile,
        measured=state.measured,
        screen=replace(state.own_screen, prompt=True),
        target_samples=None,
        train=True,
        n_jobs=n_jobs,
        progress=progress,
    )
    return replace(
        tuned,
        channel_ids=state.channel_ids,
        recording=state.recording,
        used=state.used,
        remark=state.remark,
    )


def tune_for(
    lessons: Lessons,
    profile: Profile,
    *,
    measured: Profile,
    screen: Screen | None,
    target_samples: int | None,
    train: bool,
    n_jobs: int,
    progress: Progress,
) -> SorterState:
    """Rehearse recordings of a profile, tune decoders, choose the best and forecast its score.

    Parameters
    ----------
    lessons : Lessons
    profile : Profile
        Of the recordings to sort.
    measured : Profile
        Initial estimate of the same.
    screen : Screen or None
        For the same.
    target_samples : int or None
        Length of the recording to sort, if it is known.
    train : bool
        Whether networks are trained further for this profile.
    n_jobs : int
    progress : callable

    Returns
    -------
    SorterState
    """
    context, rehearser = lessons.context, Rehearser(lessons.context, profile, lessons.labelled)
    progress("rehearsing", 0.0)
    rehearsal = rehearser.for_tuning()
    progress("rehearsing", 1.0)
    bench = Bench(rehearser, rehearsal, lessons.average, lessons.base, train, n_jobs, progress)
    outcome = best_outcome(bench)
    progress("forecasting", 0.0)
    forecast, diagnostics = _forecast(bench, outcome, target_samples)
    unknown = _outlier_rule(bench, outcome.tuned) if context.settings.outliers.mark else None
    progress("forecasting", 1.0)
    _log(context, profile, outcome.tuned, forecast)
    tuned, following = following_of(outcome.tuned)
    return SorterState(
        settings=context.settings,
        fs_hz=context.fs_hz,
        channels=context.units.templates.waveforms.shape[2],
        units=context.units,
        average=lessons.average,
        labelled=lessons.labelled,
        base=lessons.base,
        measured=measured,
        profile=profile,
        tuned=tuned,
        forecast=forecast,
        diagnostics=diagnostics,
        labelled_noise=lessons.labelled_noise,
        unknown=unknown,
        screen=screen,
        following=following,
        rehearsed=reckon(
            outcome.candidates,
            outcome.found,
            context.units.known,
            seconds=outcome.rehearsal.kept_share * len(rehearsal.trace) / context.fs_hz,
        ),
        grid=outcome.grid,
        training=outcome.record,
    )


def _forecast(bench: Bench, outcome: Outcome, target_samples: int | None) -> tuple[Forecast, Diagnostics]:
    """Forecast the score from the held-out parts of a cross-fitted rehearsal, or from another rehearsal."""
    context = bench.context
    tested = outcome if bench.rehearser.cross_fits else _tested_again(bench, outcome.tuned)
    true, once = known_spikes(tested.rehearsal, context.units.known), tested.rehearsal.period
    forecast = forecast_score(
        true,
        tested.found,
        context.units.known,
        n_samples=len(tested.rehearsal.trace),
        unlike_samples=once,
        target_samples=target_samples or once,
        fs_hz=context.fs_hz,
    )
    noise = bench.rehearser.noise_power(tested.rehearsal)
    return forecast, diagnose(tested.candidates, true, tested.found, noise=noise, fs_hz=context.fs_hz)


def _tested_again(bench: Bench, tuned: TunedDecoder) -> Outcome:
    """Sort a planted rehearsal that was not used in training or tuning."""
    rehearsal = bench.rehearser.for_forecast()
    evidence = find_evidence(tuned.decoder, rehearsal.trace, n_jobs=bench.n_jobs)
    candidates = tuned.calibrated(pick_all(tuned.decoder, evidence))
    return Outcome(tuned, rehearsal, candidates, tuned.point.to_spikes(candidates))


def _outlier_rule(bench: Bench, tuned: TunedDecoder) -> OutlierRule:
    """Return the rule for outlier spikes, fitted on a rehearsal without outliers."""
    context, profile = bench.context, bench.rehearser.profile
    rule = OutlierRule(
        pursuit=make_pursuit(context, profile),
        templates=context.units.templates.scaled(profile.factors),
        lead_samples=context.samples(context.settings.outliers.before_ms),
        window_samples=max(context.samples(context.settings.outliers.window_ms), 1),
        beside=np.inf,
        alone=np.inf,
    )
    tested = _tested_again(bench, tuned)
    return fit_outlier_rule(rule, tested.rehearsal.trace, tested.found, fs_hz=context.fs_hz)


def _with_corrected_forecast(
    state: SorterState, source: Screened, *, n_jobs: int, progress: Progress
) -> SorterState:
    """Sort part of the target, and correct the forecast by its probabilities and the rehearsal's."""
    if state.rehearsed is None:
        return state
    progress("comparing target and rehearsal", 0.0)
    decoder, known = state.decoder_for(source.recording), state.units.known
    n_samples = source.recording.get_num_frames()
    read_trace = replace(source, offset=state.profile.offset).without_hum(state.hum_filter)
    length = span_samples(COMPARED_SECONDS / COMPARED_SPANS, decoder, fs_hz=state.fs_hz)
    spans = list(iterate_spans(n_samples, length))
    chosen = spans[:: -(-len(spans) // COMPARED_SPANS)]

    def candidates(span: tuple[int, int]) -> Candidates:
        found = state.tuned.calibrated(find_candidates(decoder, read_trace, n_samples, *span))
        return found.select(~source.bad.contain(found.sample)) if len(source.bad) else found

    found = Candidates.concatenate(list(in_threads(candidates, chosen, n_jobs=n_jobs)))
    good = sum(stop - start - source.bad.within(start, stop).samples for start, stop in chosen)
    seconds = max(good, 1) / state.fs_hz
    reckoned = reckon(found, state.tuned.point.to_spikes(found), known, seconds=seconds)
    names = tuple(state.names[unit] for unit in known)
    columns = {state.units.unit_ids.index(unit): state.names[unit] for unit in known}
    usual = state.units.rates[list(columns)] * state.fs_hz
    forecast = corrected_forecast(
        state.forecast, state.rehearsed, reckoned, names, usual=usual, seconds=seconds
    )
    forecast = replace(forecast, remarks=(*state.profile.course.remarks(columns), *forecast.remarks))
    for remark in forecast.remarks:
        logger.warning("%s", remark)
    progress("comparing target and rehearsal", 1.0)
    return replace(state, forecast=forecast)


def _doubted(state: SorterState, words: str) -> SorterState:
    """Return the state with a forecast that promises nothing, and say why."""
    logger.warning("%s", words)
    remarks = (*state.forecast.remarks, words)
    return replace(state, forecast=replace(state.forecast, low=0.0, remarks=remarks))


def _warn_of_odd_gain(gain: float) -> None:
    if not USUAL_GAINS[0] <= abs(gain) <= USUAL_GAINS[1]:
        logger.warning(
            "the spikes seem to be %.3g times as large as in the labelled recording: does this one have "
            "another unit of voltage? If it is from another electrode, do not trust the result",
            gain,
        )


def _log(context: Context, profile: Profile, tuned: TunedDecoder, forecast: Forecast) -> None:
    logger.info(
        "noise %s, gain %.3g, %.1f spikes/s; thresholds %s, refractory period %d samples; "
        "expected score %.3f",
        np.array2string(profile.scale, precision=3),
        profile.activity.gain,
        sum(profile.activity.rates) * context.fs_hz,
        tuned.point.thresholds,
        tuned.point.refractory_samples,
        forecast.score,
    )
