"""Choose a decoder: make and tune those that could be best on a rehearsal, and compare them."""

from __future__ import annotations

import logging
from dataclasses import replace

from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.registry import AUTO, wanted_kinds
from spikesorter.decoding.thresholds import objective
from spikesorter.decoding.tuning import Outcome, known_spikes, tune_decoder
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.signal.gain import SILENT

__all__ = ["best_outcome"]

logger = logging.getLogger(__name__)
HARDLY = 0.005  # of the objective; smaller differences may be chance
LOOKED_AT = 6  # the first of so many parts of a rehearsal tells whether another decoder is worth more
FAR_BEHIND = 0.03  # of the objective there


def best_outcome(bench: Bench) -> Outcome:
    """Make, tune and compare the decoders of the settings.

    With `auto`, those that cannot be chosen are not made, as far as that can be told before.

    Parameters
    ----------
    bench : Bench

    Returns
    -------
    Outcome
        Of the best decoder, or of the preferred one if it is hardly worse.
    """
    settings = bench.context.settings
    outcomes: list[tuple[DecoderKind, Outcome]] = []
    tried: dict[str, Trial] = {}
    kinds = wanted_kinds(settings, units_vary=bench.rehearser.labelled_units_vary)
    if settings.decoder == AUTO and bench.rehearser.units_vary:  # by what is made for it, others are judged
        kinds = tuple(sorted(kinds, key=lambda kind: not kind.if_units_vary))
    for kind in kinds:
        if settings.decoder == AUTO and _cannot_be_chosen(kind, bench, outcomes):
            continue
        bench.progress(f"trying decoder {kind.name}", 0.0)
        if settings.decoder == AUTO and kind.quickly_judged and _far_behind(kind, bench, outcomes):
            bench.progress(f"trying decoder {kind.name}", 1.0)
            continue
        trial = kind.make(bench, tried)
        outcome = tune_decoder(kind, trial, bench)
        tried[kind.name] = replace(trial, decoder=outcome.tuned.decoder)
        outcomes.append((kind, outcome))
        bench.progress(f"trying decoder {kind.name}", 1.0)
    wanted = [one for one in outcomes if settings.decoder in (AUTO, one[0].name)]
    best = _chosen(wanted, units_vary=bench.rehearser.units_vary)
    values = {kind.name: round(outcome.tuned.value, 4) for kind, outcome in outcomes}
    logger.info("%s on the rehearsal: %s; chosen: %s", settings.tuning.objective, values, best.tuned.name)
    return best


def _cannot_be_chosen(kind: DecoderKind, bench: Bench, outcomes: list[tuple[DecoderKind, Outcome]]) -> bool:
    """Return whether `auto` knows before it makes a decoder that another will be chosen."""
    rehearser = bench.rehearser
    if kind.if_units_vary:
        return not _ever_vary(rehearser)
    if kind.uses_networks and not _alike_throughout(bench):
        return True  # beside the pursuit they failed on such a target, unforeseen: experiments, 19
    if rehearser.units_vary or kind.preferred:
        return False
    reached = max((one.tuned.value for made, one in outcomes if made.preferred), default=0.0)
    if kind.uses_networks:
        return reached >= bench.context.settings.enough or _model_holds(rehearser)
    return reached > 1 - HARDLY  # of at most 1


def _model_holds(rehearser: Rehearser) -> bool:
    """Return whether spikes of known templates in Gaussian noise are all there is.

    The pursuit then states the probabilities of spikes as they are, and no decoder can do better than that.
    """
    return rehearser.cross_fits and rehearser.profile.background == SILENT


def _far_behind(kind: DecoderKind, bench: Bench, outcomes: list[tuple[DecoderKind, Outcome]]) -> bool:
    """Return whether a decoder is far worse than another one in a part of the rehearsal.

    Its own value is that on what it was tuned on, which is too good; that of the other is not.
    """
    if not outcomes or not bench.rehearser.cross_fits or not bench.rehearser.profile.course.steady:
        return False
    settings, known, whole = bench.context.settings, bench.context.units.known, bench.rehearsal
    length = len(whole.trace) // LOOKED_AT
    part = replace(bench, rehearsal=whole.first(length))
    own = tune_decoder(kind, kind.make(part, {}), part, held_out=False).tuned.value
    others = []
    for _, outcome in outcomes:
        truth = known_spikes(outcome.rehearsal, known).within(0, length)
        found = outcome.found.within(0, length)
        others.append(objective(truth, found, settings.tuning.objective, fs_hz=bench.context.fs_hz))
    logger.debug("%s: %.3f where others have %.3f", kind.name, own, max(others))
    return own < max(others) - FAR_BEHIND


def _ever_vary(rehearser: Rehearser) -> bool:
    """Return whether waveforms vary too much for fixed templates, in the noise of either recording."""
    return rehearser.units_vary or rehearser.labelled_units_vary


def _alike_throughout(bench: Bench) -> bool:
    """Return whether fixed templates fit all spikes of a unit."""
    return not bench.rehearser.units_vary and bench.rehearser.profile.course.steady


def _chosen(outcomes: list[tuple[DecoderKind, Outcome]], *, units_vary: bool) -> Outcome:
    """Return the best outcome, or that of the preferred decoder if it is hardly worse.

    Where units vary in the target's noise, that is one made for it: it learnt from part of the trace to be
    judged on the rest, and will know more when it has learnt from all.
    """
    best = max((outcome for _, outcome in outcomes), key=lambda one: one.tuned.value)
    for_varying = [outcome for kind, outcome in outcomes if kind.if_units_vary and units_vary]
    preferred = for_varying or [outcome for kind, outcome in outcomes if kind.preferred]
    return next((one for one in preferred if best.tuned.value - one.tuned.value < HARDLY), best)
