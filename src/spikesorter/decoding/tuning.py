"""Calibrate and tune a decoder on a rehearsal, and measure its quality there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.cores import in_threads
from spikesorter.core.sections import OutputSettings
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.base import Decoder
from spikesorter.decoding.bench import Bench, DecoderKind, Trial
from spikesorter.decoding.calibration import UNCALIBRATED, Calibration, fit_calibration
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.cross_fitting import FOLDS, Folds
from spikesorter.decoding.in_parts import InParts
from spikesorter.decoding.missing_labels import without_missing
from spikesorter.decoding.registry import decoder_types
from spikesorter.decoding.run import pieces_of
from spikesorter.decoding.thinning import make_thinning
from spikesorter.decoding.thresholds import Grid, objective, tune, tune_on_grid
from spikesorter.decoding.training_record import TrainingRecord
from spikesorter.decoding.undecided import after_hiding, decided
from spikesorter.estimation.labelled import dead_time
from spikesorter.estimation.rehearsal import Rehearsal

__all__ = ["Outcome", "TunedDecoder", "known_spikes", "pick_all", "tune_decoder"]

BY_CHANCE = 0.001  # of the objective; the first of such similar variants is taken, which smooths least
FAR_BEHIND = 0.02  # of the objective; variants worse by more are not tried on the parts


@dataclass(frozen=True, eq=False)
class TunedDecoder:
    """A decoder with its calibration and working point.

    Parameters
    ----------
    decoder : Decoder
    calibration : Calibration
    point : WorkingPoint
    name : str
        Of the decoder.
    value : float
        Value of the objective on a rehearsal. If it is cross-fitted, each part is sorted by what was tuned on
        the others.
    """

    decoder: Decoder = field(metadata={"one_of": decoder_types})
    calibration: Calibration
    point: WorkingPoint
    name: str
    value: float

    def above_threshold(self, candidates: Candidates) -> Spikes:
        """Return the candidates above their thresholds, as spikes; no refractory period is applied yet."""
        return self.point.above_threshold(self.calibrated(candidates))

    def calibrated(self, candidates: Candidates) -> Candidates:
        """Return the candidates of labelled units with calibrated probabilities."""
        return self.calibration.apply(candidates.select(np.isin(candidates.unit, self.point.unit_ids)))


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a tuned decoder on a rehearsal.

    Parameters
    ----------
    tuned : TunedDecoder
    rehearsal : Rehearsal
    candidates : Candidates
        Calibrated; if the rehearsal is cross-fitted, each by what was tuned on the other parts.
    found : Spikes
        Spikes above the thresholds, tuned likewise.
    grid : Grid or None
        What the decoder was tuned on, if a refractory period is tuned for it.
    record : TrainingRecord or None
        Of its networks.
    """

    tuned: TunedDecoder
    rehearsal: Rehearsal
    candidates: Candidates
    found: Spikes
    grid: Grid | None = None
    record: TrainingRecord | None = None


def tune_decoder(kind: DecoderKind, trial: Trial, bench: Bench, *, held_out: bool = True) -> Outcome:
    """Calibrate and tune a decoder; if rehearsals are cross-fitted, test each part by what the others tuned.

    Parameters
    ----------
    kind : DecoderKind
    trial : Trial
        The decoder with its evidence.
    bench : Bench
        Bench with the rehearsal of the evidence.
    held_out : bool
        If false, it is tested on what it was tuned on, even if rehearsals are cross-fitted.

    Returns
    -------
    Outcome
        Its decoder is the best variant.
    """
    known, variants = bench.context.units.known, trial.decoder.variants()
    found = pick_each(variants, trial.evidence)
    if bench.rehearser.cross_fits:
        spikes = bench.rehearsal.spikes
        seen = replace(bench.rehearsal, spikes=spikes.select(_seen(spikes.sample, bench)))
        thinning = make_thinning(seen, bench.context, bench.rehearser.profile)
        found = [thinning.select(_decided(one, bench)) for one in found]
        bench = replace(bench, rehearsal=thinning.thinned)
    found = [one.select(np.isin(one.unit, known)) for one in found]
    picked = list(zip(variants, found, strict=True))
    tuner = _Tuner(kind, bench)
    truth = known_spikes(bench.rehearsal, known)
    coarse = tuner.coarse(picked, truth)
    best, candidates, grid = tuner.finest(coarse, truth)
    kept = grid if kind.tunes_refractory else None
    if not bench.rehearser.cross_fits or not held_out:
        spikes = best.point.to_spikes(candidates)
        return Outcome(best, bench.rehearsal, candidates, spikes, kept, trial.record)
    least = max(one.value for one, _ in coarse) - FAR_BEHIND
    close = [own for own, (one, _) in zip(picked, coarse, strict=True) if one.value >= least]
    parts, spikes = tuner.held_out(close, truth)
    settings = bench.context.settings
    value = objective(truth, spikes, settings.tuning.objective, fs_hz=bench.context.fs_hz)
    return Outcome(replace(best, value=value), bench.rehearsal, parts, spikes, kept, trial.record)


def _decided(found: Candidates, bench: Bench) -> Candidates:
    """Return the candidates that the labels of a grafted rehearsal decide."""
    labels, n_samples, fs_hz = bench.rehearsal.spikes, len(bench.rehearsal.trace), bench.context.fs_hz
    found = decided(found, labels, dead_time(labels, n_samples, fs_hz=fs_hz), fs_hz=fs_hz)
    found = found.select(_seen(found.sample, bench))
    return without_missing(found, labels, _missing_per_label(bench), fs_hz=fs_hz)


def _missing_per_label(bench: Bench) -> dict[int, float]:
    """Return for each unit how many labels are missing for each; those of planted spikes are complete."""
    labelled, units, added = bench.rehearser.labelled, bench.context.units, bench.rehearsal.added_rates
    share = labelled.missing_share if labelled else 0.0
    planted = np.array(added) if added else np.zeros(len(units.rates))
    found_there = units.rates / np.maximum(units.rates + planted, 1e-30)
    missing = share / (1 - share) * found_there
    return {
        unit: float(one) for unit, one in zip(units.unit_ids, missing, strict=True) if unit in units.known
    }


def _seen(samples: npt.NDArray[np.int64], bench: Bench) -> npt.NDArray[np.bool_]:
    """Return which samples are not in the dead time after an event without a label.

    There, a spike that is found is rarely confirmed by a label, and one that is not found rarely has a label.
    """
    rehearsal, fs_hz = bench.rehearsal, bench.context.fs_hz
    dead_samples = dead_time(rehearsal.spikes, len(rehearsal.trace), fs_hz=fs_hz)
    return ~after_hiding(samples, rehearsal.hiding, dead_samples, fs_hz=fs_hz)


def known_spikes(rehearsal: Rehearsal, unit_ids: tuple[int, ...]) -> Spikes:
    """Return a rehearsal's spikes of labelled units, as results leave out unlabelled units."""
    return rehearsal.spikes.select(np.isin(rehearsal.spikes.unit, unit_ids))


def pick_all(decoder: Decoder, evidence: npt.NDArray[np.float32]) -> Candidates:
    """Return the candidates of a whole rehearsal, from its evidence."""
    return pick_each([decoder], evidence)[0]


def pick_each(decoders: Sequence[Decoder], evidence: npt.NDArray[np.float32]) -> list[Candidates]:
    """Return each decoder's candidates of a whole rehearsal, from the evidence that they share.

    One after the other, as each needs several times the memory of the evidence.
    """
    farthest = max(decoder.pick_reach for decoder in decoders)
    around = np.pad(evidence, ((farthest, farthest), (0, 0)))
    beyond = [farthest - decoder.pick_reach for decoder in decoders]
    return [
        _pick_whole(decoder, around[off : len(around) - off])
        for decoder, off in zip(decoders, beyond, strict=True)
    ]


def _pick_whole(decoder: Decoder, around: npt.NDArray[np.float32]) -> Candidates:
    """Return the candidates of a rehearsal from its evidence, with as much around it as they depend on."""
    reach = decoder.pick_reach
    n_samples = len(around) - 2 * reach
    whole = decoder.over(n_samples) if isinstance(decoder, InParts) else decoder
    pieces = pieces_of(whole, 0, n_samples)
    found = [one.pick(around[first : last + 2 * reach]).shifted(first) for one, first, last in pieces]
    return found[0] if len(found) == 1 else Candidates.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Tuner:
    """Calibration and tuning of the variants of one kind of decoder."""

    kind: DecoderKind
    bench: Bench

    def coarse(
        self, picked: list[tuple[Decoder, Candidates]], truth: Spikes
    ) -> list[tuple[TunedDecoder, Candidates]]:
        """Tune every variant with one threshold for all units."""
        tuning, unit_ids = self.bench.context.settings.tuning, self.bench.context.units.known
        output = self._output.model_copy(update={"per_unit": False})
        fs_hz = self.bench.context.fs_hz

        def tuned(one: tuple[Decoder, Candidates]) -> tuple[TunedDecoder, Candidates]:
            variant, found = one
            calibration = self._calibration(found, truth)
            calibrated = calibration.apply(found)
            point, value = tune(calibrated, truth, unit_ids, tuning, output, fs_hz=fs_hz)
            return TunedDecoder(variant, calibration, point, self.kind.name, value), calibrated

        return list(in_threads(tuned, picked, n_jobs=self.bench.n_jobs))

    def finest(
        self, outcomes: list[tuple[TunedDecoder, Candidates]], truth: Spikes
    ) -> tuple[TunedDecoder, Candidates, Grid]:
        """Tune the best variant with a threshold for each unit."""
        context = self.bench.context
        tuning, unit_ids, fs_hz = context.settings.tuning, context.units.known, context.fs_hz
        values = [one.value for one, _ in outcomes]
        best, chosen = outcomes[next(i for i, value in enumerate(values) if value >= max(values) - BY_CHANCE)]
        point, value, grid = tune_on_grid(chosen, truth, unit_ids, tuning, self._output, fs_hz=fs_hz)
        return replace(best, point=point, value=value), chosen, grid

    def held_out(self, picked: list[tuple[Decoder, Candidates]], truth: Spikes) -> tuple[Candidates, Spikes]:
        """Return each part's candidates and spikes, with what was tuned on the other parts."""
        folds = Folds(self.bench.rehearsal.period)
        parts, spikes = [], []
        for fold in range(FOLDS):
            others = [(one, found.select(folds.select(found, fold, others=True))) for one, found in picked]
            other_truth = truth.select(folds.select(truth, fold, others=True))
            tuned, _, _ = self.finest(self.coarse(others, other_truth), other_truth)
            found = next(found for variant, found in picked if variant is tuned.decoder)
            parts.append(tuned.calibration.apply(found.select(folds.select(found, fold))))
            spikes.append(tuned.point.to_spikes(parts[-1]))
        return Candidates.concatenate(parts), Spikes.concatenate(spikes)

    @property
    def _output(self) -> OutputSettings:
        output = self.bench.context.settings.output
        if self.kind.tunes_refractory:
            return output
        return output.model_copy(update={"refractory_ms": output.refractory_ms or 0.0})

    def _calibration(self, found: Candidates, truth: Spikes) -> Calibration:
        if self.bench.rehearser.published:
            return UNCALIBRATED
        context = self.bench.context
        return fit_calibration(found, truth, context.units.known, fs_hz=context.fs_hz)
