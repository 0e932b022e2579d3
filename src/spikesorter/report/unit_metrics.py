"""Measure the quality of units by SpikeInterface's metrics, beside our expected precision and recall."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.spikes import UNKNOWN
from spikesorter.report.cards import noise_levels, usual_noise
from spikesorter.report.features import MOST_MEASURED, Features, amplitudes_of, measure_features
from spikesorter.report.metrics import Shape, measure_shapes
from spikesorter.report.results import Result
from spikesorter.report.tables import shown_units, unit_name
from spikesorter.report.verdict import measured_score, quality_of

__all__ = ["CAPTION", "metric_contents", "unit_metrics"]

CAPTION = (
    "Of the spikes as found, by the functions of spikeinterface.metrics with their usual parameters; SNR by "
    "its definition: peak of the mean waveform relative to the noise of its channel. Interval violations: "
    "intervals below 1.5 ms relative to those of equal numbers of independent spikes (1: as many). Presence: "
    "share of the recording's minutes with spikes. Amplitude cut-off: share of spikes missing below the "
    "smallest found. Isolation distance (more is better), L-ratio (less), nearest neighbours of the same "
    "unit (hit) and of others (miss): in the first five principal components of whitened waveforms. Empty: "
    "too few spikes to tell."
)
HEAD = (
    "unit", "precision", "recall", "SNR", "interval violations", "violations", "presence",
    "amplitude cut-off", "isolation distance", "L-ratio", "NN hit", "NN miss",
)  # fmt: skip
BIN_S = 60.0
NEIGHBOURS, MOST_NEIGHBOURS = 4, 10_000
FEWEST = 20  # spikes of a unit in its principal components


def metric_contents(
    result: Result, *, most: int = MOST_MEASURED, shapes: Sequence[Shape] | None = None
) -> dict[str, Any]:
    """Return the table of a result's metrics.

    Parameters
    ----------
    result : Result
    most : int
        Number of spikes whose waveforms are read.
    shapes : sequence of Shape, optional
        Of its units, if they are measured already.

    Returns
    -------
    dict
        `caption`, `head`, and `rows` with a text for each column.
    """
    features = measure_features(result.sorter, result.recording, result.spikes, most=most)
    metrics, quality = unit_metrics(result, features, shapes), quality_of(result, measured_score(result))
    rows = []
    for unit, values in metrics.items():
        shares = quality.units.get(unit) if quality else None
        sign = "" if quality and quality.measured else "\u2248\u00a0"
        own = (shares.precision, shares.recall) if shares else (None, None)
        rows.append(
            [unit_name(result, unit)]
            + ["" if one is None or math.isnan(one) else f"{sign}{one:.2f}" for one in own]
            + ["" if math.isnan(one) else f"{one:.3g}" for one in values]
        )
    return {"caption": CAPTION, "head": list(HEAD), "rows": rows}


def unit_metrics(
    result: Result, features: Features, shapes: Sequence[Shape] | None = None
) -> dict[int, list[float]]:
    """Measure each unit that has spikes.

    Parameters
    ----------
    result : Result
    features : Features
        Of the result's spikes.
    shapes : sequence of Shape, optional
        As for `metric_contents`.

    Returns
    -------
    dict of int to list of float
        In the order of the table's columns from SNR on; NaN where there are too few spikes.
    """
    from spikeinterface.metrics.quality.misc_metrics import amplitude_cutoff, isi_violations, presence_ratio

    spikes, fs_hz = result.spikes, result.sorter.fs_hz
    unit = spikes.unit[features.place]
    amplitude = amplitudes_of(features, unit)
    edges = np.linspace(0, result.n_samples, max(round(result.seconds / BIN_S), 1) + 1)
    ratios = _signal_to_noise(result, shapes)
    metrics = {}
    for one in shown_units(result):
        train = spikes.of(one).sample
        if one == UNKNOWN or len(train) == 0:
            continue
        ratio, _, count = isi_violations([train / fs_hz], result.good_seconds)
        presence = presence_ratio(train, bin_edges=edges)
        cutoff = amplitude_cutoff(amplitude[unit == one])
        values = [ratios.get(one, math.nan), ratio, count, presence, cutoff]
        metrics[one] = [float(value) for value in (*values, *_isolation(features.components, unit, one))]
    return metrics


def _isolation(
    components: npt.NDArray[np.float32], unit: npt.NDArray[np.int64], one: int
) -> tuple[float, float, float, float]:
    """Return isolation distance, L-ratio, and shares of nearest neighbours."""
    from spikeinterface.metrics.quality.pca_metrics import mahalanobis_metrics, nearest_neighbors_metrics

    own = int(np.count_nonzero(unit == one))
    if own < FEWEST or len(unit) - own < FEWEST:
        return (math.nan,) * 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units whose spikes are all alike
        distance, l_ratio = mahalanobis_metrics(components, unit, one)
        hit, miss = nearest_neighbors_metrics(components, unit, one, MOST_NEIGHBOURS, NEIGHBOURS)
    return distance, l_ratio, hit, miss


def _signal_to_noise(result: Result, shapes: Sequence[Shape] | None) -> dict[int, float]:
    """Return the peak of each unit's mean waveform relative to the noise of its channel."""
    levels = usual_noise(noise_levels(result))
    heard = np.flatnonzero(np.isfinite(levels))  # not channels that are dead, which have no noise either
    if len(heard) == 0:
        return {}
    if shapes is None:
        shapes = measure_shapes(result.sorter, result.recording, result.spikes)
    return {one.unit: float((np.abs(one.mean).max(axis=0) / levels)[heard].max()) for one in shapes}
