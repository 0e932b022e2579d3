"""Fit a sorter to a labelled recording, pass by pass.

1. Read the recording: check it, choose channels, remove offset and hum (`sorting.labelled_source`).
2. Learn the units' templates, amplitudes and intervals, and estimate the recording's profile.
3. Leave out units that cannot be distinguished from noise on these channels, and learn again.
4. Find unlabelled units that could be mistaken for labelled ones, and learn again with them.
5. Train base networks, if the settings may need them.
6. Tune a decoder for recordings like the labelled one (`sorting.adaptation`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.compiled import is_kept
from spikesorter.core.cores import one_blas_thread
from spikesorter.core.errors import NothingToSortError
from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cnn import train_base_networks
from spikesorter.decoding.gibbs import explain_blocks
from spikesorter.decoding.missing_labels import MOST_BELIEVED, MOST_IF_ALIKE, look_alike, missing_share
from spikesorter.decoding.networks import Networks
from spikesorter.decoding.pursuit import make_pursuit
from spikesorter.decoding.registry import AUTO, wanted_kinds
from spikesorter.decoding.run import find_evidence
from spikesorter.decoding.tuning import pick_all
from spikesorter.decoding.undecided import after_hiding, decided, hiding_events
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import (
    LEAST_DETECTABILITY,
    estimate_initially,
    estimate_profile,
    with_gain,
)
from spikesorter.estimation.labelled import Labelled, dead_time, measure_variance_left
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.estimation.units import Units, learn_units, warn_of_labels
from spikesorter.estimation.window import window_of_waveforms_ms
from spikesorter.signal.bank import make_bank
from spikesorter.signal.shifts import measure_start_variance, slopes
from spikesorter.signal.templates import average_waveform, plant
from spikesorter.signal.whitening import needed_reach
from spikesorter.sorting.adaptation import tune_for
from spikesorter.sorting.label_holes import find_holes
from spikesorter.sorting.labelled_source import LabelledSource, read_labelled
from spikesorter.sorting.refine import noise_left
from spikesorter.sorting.state import Lessons, SorterState
from spikesorter.sorting.unlabelled_units import find_unlabelled

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = ["fit_state"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
BESIDE_BEFORE_MS, BESIDE_AFTER_MS = (
    0.3,
    1.2,
)  # around a spike's start, where the variation of waveforms is measured
JUDGED_SECONDS = 120.0  # of the labelled recording, to see whether spikes lack labels
MENTIONED_SHARE = 0.02
WITHOUT_LABEL = (
    "labels: %.0f %% of the clearest spikes have none; in forecasts, as many of the others that are found "
    "without a label do not count as false"
)
OTHER_NEURON = (
    "labels: %.0f %% of the clearest spikes have none, so many labels are missing, or another neuron looks "
    "like a labelled one. Such spikes count as false in forecasts, which may be too low. Label all spikes of "
    "a part of the recording, and none of the rest"
)
MOST_KEPT = 1 << 25  # values of the labelled trace for rehearsals; 22 minutes of one channel at 25 kHz


@one_blas_thread()
def fit_state(
    recording: BaseRecording,
    labels: Spikes | BaseSorting,
    settings: Settings,
    *,
    n_jobs: int,
    exclude: BadStretches | None = None,
    progress: Progress,
) -> SorterState:
    """Fit a sorter to a labelled recording; see `Sorter.fit`."""
    wanted_kinds(settings)
    source = read_labelled(recording, labels, settings, exclude, n_jobs=n_jobs)
    learning = "learning templates"
    if not is_kept(explain_blocks):
        learning += " (and compiling, once after installing)"
    progress(learning, 0.0)
    source, learnt = _learn_in_whole(source)
    source, learnt = _without_holes(source, learnt, n_jobs=n_jobs)
    learnt = _without_faint_units(source, learnt)
    warn_of_labels(learnt.context.units, source.settings.templates, fs_hz=source.fs_hz)
    learnt = _with_unlabelled_units(source, learnt, n_jobs=n_jobs)
    lessons = _with_missing_share(_lessons(source, learnt, n_jobs=n_jobs), n_jobs=n_jobs)
    progress(learning, 1.0)
    lessons = replace(lessons, base=_base_networks(lessons, learnt.profile, progress))
    state = tune_for(
        lessons,
        learnt.profile,
        measured=learnt.measured,
        screen=source.screen,
        target_samples=len(source.raw),
        train=False,
        n_jobs=n_jobs,
        progress=progress,
    )
    ids, choice = tuple(map(str, recording.channel_ids)), source.choice
    return replace(state, channel_ids=ids, used=choice.used if choice.words else (), remark=choice.words)


@dataclass(frozen=True, eq=False)
class _Learnt:
    """Units and profile of a labelled recording after a pass."""

    spikes: Spikes  # all spikes learnt from, including those of unlabelled units
    context: Context
    measured: Profile  # initial estimate
    profile: Profile
    detectability: npt.NDArray[np.float64]  # of each unit


def _learn_in_whole(source: LabelledSource) -> tuple[LabelledSource, _Learnt]:
    """Learn units from the labels, with templates and whitening filters that are long enough."""
    learnt = _learn(source, source.labels)
    for _ in range(2):  # first to their end, then from their beginning
        own = source.settings.templates
        before_ms, after_ms = window_of_waveforms_ms(
            source.trace, learnt.spikes, learnt.context, learnt.profile
        )
        if (before_ms, after_ms) == (own.before_ms, own.after_ms):
            break
        logger.info("templates last from %.1f ms before spikes' starts to %.1f ms after", before_ms, after_ms)
        window = {"before_ms": before_ms, "after_ms": after_ms}
        source = replace(source, settings=source.settings.replace(templates=window))
        learnt = _learn(source, source.labels)
    reach_ms = _needed_reach_ms(learnt)
    if reach_ms == source.settings.matched_filter.whitening_reach_ms:
        return source, learnt
    logger.info("whitening reaches %.1f ms, as the noise's spectrum is steep", reach_ms)
    filters = {"whitening_reach_ms": reach_ms}
    source = replace(source, settings=source.settings.replace(matched_filter=filters))
    return source, _learn(source, source.labels)


def _without_holes(source: LabelledSource, learnt: _Learnt, *, n_jobs: int) -> tuple[LabelledSource, _Learnt]:
    """Leave out the stretches that nobody labelled, and learn from the rest."""
    holes = find_holes(source.trace, source.labels, learnt.context, learnt.profile, n_jobs=n_jobs)
    if not len(holes):
        return source, learnt
    _warn_of_holes(holes, source)
    return _learn_in_whole(source.without(holes))


def _warn_of_holes(holes: BadStretches, source: LabelledSource) -> None:
    first, last = source.bad.moved_back(np.array([holes.start[0], holes.stop[0] - 1])) / source.fs_hz
    many = f"in {len(holes)} stretches, the first " if len(holes) > 1 else ""
    logger.warning(
        "labels: none %sfrom %.1f to %.1f s, where spikes are found about as often as among labels; of the "
        "recording's %.3g s, %.3g are not learnt from",
        many, first, last, len(source.trace) / source.fs_hz, holes.samples / source.fs_hz,
    )  # fmt: skip


def _needed_reach_ms(learnt: _Learnt) -> float:
    """Return how far whitening has to reach in the labelled recording's noise, at least as far as set."""
    context, own_ms = learnt.context, learnt.context.settings.matched_filter.whitening_reach_ms
    least = context.whitening_reach
    reach = needed_reach(context.units.templates, learnt.profile.noise, kernel=context.kernel, least=least)
    return own_ms if reach == least else round(1000 * reach / context.fs_hz, 2)


def _learn(source: LabelledSource, spikes: Spikes, *, unlabelled_ids: tuple[int, ...] = ()) -> _Learnt:
    """Learn units from spikes, and estimate the recording's profile with them.

    Gain and rates are not estimated: the gain is 1 by definition, and the rates are counted from the labels.
    """
    units = learn_units(
        source.trace,
        spikes,
        source.settings.templates,
        kernel=source.kernel,
        fs_hz=source.fs_hz,
        unlabelled_ids=unlabelled_ids,
    )
    context = Context(source.settings, source.fs_hz, units, source.kernel)
    initial = estimate_initially(source.raw, context)
    profile = estimate_profile(with_gain(initial, 1.0, context), context, gain_known=True)
    counted = replace(profile.activity, gain=1.0, rates=tuple(units.rates))
    profile = replace(profile, activity=counted)
    units = replace(units, start_variance=_start_variance(source.trace, spikes, context, profile))
    context = replace(context, units=units)
    return _Learnt(spikes, context, initial.profile, profile, initial.filters.detectability)


def _start_variance(trace: FloatArray, spikes: Spikes, context: Context, profile: Profile) -> float:
    """Measure how far spikes start from their labels, on what they leave if each is a template."""
    templates = context.units.templates
    own = spikes.select(np.isin(spikes.unit, templates.unit_ids))
    left = trace - plant(len(trace), own, np.ones(len(own), np.float32), templates)
    bank = make_bank(slopes(templates), profile.noise, kernel=context.kernel, reach=context.whitening_reach)
    return measure_start_variance(left, own, bank, templates.unit_ids)


def _without_faint_units(source: LabelledSource, learnt: _Learnt) -> _Learnt:
    """Leave out units that cannot be distinguished from noise; other channels probably record them."""
    faint = learnt.detectability < LEAST_DETECTABILITY
    if not np.any(faint):
        return learnt
    return _learn(source, _labels_without(source.labels, learnt.context.units, faint))


def _with_unlabelled_units(source: LabelledSource, learnt: _Learnt, *, n_jobs: int) -> _Learnt:
    """Add unlabelled units that could be mistaken for labelled ones, if the settings ask for it."""
    if not source.settings.unlabelled.learn or source.settings.outliers.mark:
        return learnt
    found = find_unlabelled(source.trace, learnt.spikes, learnt.context, learnt.profile, n_jobs=n_jobs)
    if len(found) == 0:
        return learnt
    every = Spikes.concatenate([learnt.spikes, found])
    again = _learn(source, every, unlabelled_ids=found.unit_ids)
    return replace(again, spikes=learnt.spikes)


def _lessons(source: LabelledSource, learnt: _Learnt, *, n_jobs: int) -> Lessons:
    settings, context = source.settings, learnt.context
    labels = learnt.spikes.select(np.isin(learnt.spikes.unit, context.units.unit_ids))
    before, after = settings.classifier.before_samples, settings.classifier.after_samples
    average = average_waveform(context.conditioned(source.trace), labels, before=before, after=after)
    labelled = None
    if settings.rehearsal.method == "graft" or settings.tuning.on == "labelled":
        left = _variance_left(source.trace, labels, context)
        whole = Labelled(source.trace, labels, learnt.profile, left)
        labelled = whole.excerpt(MOST_KEPT // source.trace.shape[1])
        left_over = noise_left(labelled.trace, learnt.profile, context, n_jobs=n_jobs)
        labelled = replace(_with_hiding(labelled, context), noise_left=left_over)
    return Lessons(context, average, labelled, None, learnt.profile.noise.power)


def _with_hiding(labelled: Labelled, context: Context) -> Labelled:
    """Find the events without a label that hid spikes, if the labels have a dead time."""
    labels, fs_hz = labelled.spikes, context.fs_hz
    dead_samples = dead_time(labels, len(labelled.trace), fs_hz=fs_hz)
    if dead_samples == 0:
        return labelled
    hiding = hiding_events(context.conditioned(labelled.trace), labels, dead_samples, fs_hz=fs_hz)
    return replace(labelled, hiding=hiding)


def _with_missing_share(lessons: Lessons, *, n_jobs: int) -> Lessons:
    """Estimate the share of spikes without a label, from what the pursuit finds in the labelled recording."""
    labelled, context = lessons.labelled, lessons.context
    if labelled is None:
        return lessons
    part, fs_hz = labelled.excerpt(context.samples(1000 * JUDGED_SECONDS)), context.fs_hz
    pursuit, labels = make_pursuit(context, part.profile), part.spikes
    found = pick_all(pursuit, find_evidence(pursuit, part.trace, n_jobs=n_jobs))
    found = found.select(np.isin(found.unit, context.units.known))
    dead_samples = dead_time(labels, len(part.trace), fs_hz=fs_hz)
    found = decided(found, labels, dead_samples, fs_hz=fs_hz)
    found = found.select(~after_hiding(found.sample, part.hiding, dead_samples, fs_hz=fs_hz))
    share = missing_share(found, labels, fs_hz=fs_hz)
    believed = share <= MOST_BELIEVED or (share <= MOST_IF_ALIKE and _look_alike(part, found, context))
    if share >= MENTIONED_SHARE:
        logger.warning(WITHOUT_LABEL if believed else OTHER_NEURON, 100 * share)
    return replace(lessons, labelled=replace(labelled, missing_share=share if believed else 0.0))


def _look_alike(labelled: Labelled, found: Candidates, context: Context) -> bool:
    """Return whether spikes without a label look like those with one."""
    trace, templates = context.conditioned(labelled.trace), context.units.templates
    window = templates.waveforms.shape[1] - templates.before
    return look_alike(trace, found, labelled.spikes, window=window, fs_hz=context.fs_hz)


def _base_networks(lessons: Lessons, profile: Profile, progress: Progress) -> Networks | None:
    """Return the networks from which those for targets are trained, or None if they may not be needed.

    `auto` hardly ever tries networks. Those of a target then start from base networks that are trained when
    they are first needed, which takes the labelled recording.
    """
    if lessons.context.settings.decoder == AUTO and lessons.labelled is not None:
        return None
    rehearser = Rehearser(lessons.context, profile, lessons.labelled)
    wanted = wanted_kinds(lessons.context.settings, units_vary=rehearser.labelled_units_vary)
    if not any(kind.uses_networks for kind in wanted):
        return None
    return train_base_networks(rehearser, average=lessons.average, progress=progress)


def _variance_left(trace: FloatArray, labels: Spikes, context: Context) -> float:
    """Measure how much the labelled units' waveforms vary, on spikes wholly inside the recording."""
    templates = context.units.templates.of(context.units.known)
    after = templates.waveforms.shape[1] - templates.before
    inside = labels.within(templates.before, len(trace) - after + 1)
    window = (max(context.samples(BESIDE_BEFORE_MS), 1), max(context.samples(BESIDE_AFTER_MS), 1))
    return measure_variance_left(trace, inside, templates, kernel=context.kernel, window=window)


def _labels_without(labels: Spikes, units: Units, faint: npt.NDArray[np.bool_]) -> Spikes:
    known = list(zip(units.unit_ids, units.names, faint.tolist(), strict=True))
    kept = np.isin(labels.unit, [unit for unit, _, gone in known if not gone])
    if not kept.any():
        raise NothingToSortError(
            "labels: no unit can be distinguished from noise on these channels; do the labels belong to this "
            "recording and these channels, and have its sampling rate?"
        )
    for _, name, gone in known:
        if gone:
            logger.warning(
                "unit %s cannot be distinguished from noise on these channels and is left out", name
            )
    return labels.select(kept)
