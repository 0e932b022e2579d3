"""Forecast the score of a sorting from a rehearsal, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesorter.core.score import Score, score, study_weights
from spikesorter.core.spikes import Spikes

__all__ = ["Forecast", "forecast_score", "forecast_study"]

FIGURES = ("score", "strict", "precision", "recall", "f_det", "f_cls")
PARTS = 12
QUANTILE = 1.645  # SD that contain nine of ten values
MODEL_ERROR = (
    0.01  # measured SD between scores of rehearsal and target, beyond chance (docs/dev/experiments.md)
)


@dataclass(frozen=True)
class Forecast:
    """Expected score of a recording's sorting.

    Parameters
    ----------
    score, strict, precision, recall, f_det, f_cls : float
        As in `Score`.
    f1 : tuple of float
        Strict F1 of each unit.
    unit_ids : tuple of int
    low, high : float
        Interval in which the score lies in nine of ten cases.
    remarks : tuple of str
        Differences between target and rehearsal, one sentence each.
    """

    score: float
    strict: float
    precision: float
    recall: float
    f_det: float
    f_cls: float
    f1: tuple[float, ...]
    unit_ids: tuple[int, ...]
    low: float
    high: float
    remarks: tuple[str, ...] = ()

    def summary(self) -> dict[str, object]:
        """Return the contents of `forecast.json` for one recording."""
        figures = {name: round(getattr(self, name), 4) for name in ("score", "low", "high", *FIGURES[1:])}
        f1 = {str(k): round(v, 4) for k, v in zip(self.unit_ids, self.f1, strict=True)}
        return {**figures, "f1": f1, **({"remarks": list(self.remarks)} if self.remarks else {})}


def forecast_score(
    truth: Spikes,
    found: Spikes,
    unit_ids: tuple[int, ...],
    *,
    n_samples: int,
    target_samples: int,
    fs_hz: float,
    unlike_samples: int | None = None,
) -> Forecast:
    """Forecast the score from a rehearsal that was not used in training or tuning.

    The interval accounts for chance in the rehearsal, chance in the target, and differences between the two.

    Parameters
    ----------
    truth, found : Spikes
        True spikes and found spikes of the rehearsal.
    unit_ids : tuple of int
    n_samples : int
        Length of the rehearsal.
    target_samples : int
        Length of the target.
    fs_hz : float
    unlike_samples : int, optional
        Length of the rehearsal without repeated spikes; its whole length if not given.

    Returns
    -------
    Forecast

    Examples
    --------
    One spike in ten of a rehearsal is missed:

    >>> samples = np.arange(100, 250_000, 1000)
    >>> truth = Spikes(samples, np.ones(250))
    >>> found = truth.select(np.arange(250) % 10 > 0)
    >>> forecast = forecast_score(truth, found, (1,), n_samples=250_000, target_samples=250_000, fs_hz=25_000)
    >>> round(forecast.recall, 3), forecast.precision
    (0.9, 1.0)
    >>> forecast.low < forecast.score < forecast.high
    True
    """
    whole = score(truth, found, fs_hz=fs_hz)
    length = n_samples // PARTS
    parts = [
        _part(truth, found, start * length, length, fs_hz).score
        for start in range(PARTS)
        if len(truth.within(start * length, (start + 1) * length))
    ]
    of_part = float(np.std(parts, ddof=1)) if len(parts) > 1 else 0.5
    chance = of_part**2 * length * (1 / (unlike_samples or n_samples) + 1 / target_samples)
    reach = QUANTILE * float(np.sqrt(chance + MODEL_ERROR**2))
    return Forecast(
        **{name: float(getattr(whole, name)) for name in FIGURES},  # type: ignore[arg-type]
        f1=tuple(whole.strict_of.get(unit, 0.0) for unit in unit_ids),
        unit_ids=unit_ids,
        low=max(whole.score - reach, 0.0),
        high=min(whole.score + reach, 1.0),
    )


def forecast_study(forecasts: dict[str, Forecast]) -> dict[str, object]:
    """Return the contents of `forecast.json`: the forecasts of each recording and of the study.

    Parameters
    ----------
    forecasts : dict of str to Forecast
        In the order of the targets.

    Returns
    -------
    dict
    """
    weights = study_weights(len(forecasts))
    study = float(sum(w * f.score for w, f in zip(weights, forecasts.values(), strict=True)))
    return {
        "recordings": {name: forecast.summary() for name, forecast in forecasts.items()},
        "study": round(study, 4),
    }


def _part(truth: Spikes, found: Spikes, start: int, length: int, fs_hz: float) -> Score:
    return score(truth.within(start, start + length), found.within(start, start + length), fs_hz=fs_hz)
