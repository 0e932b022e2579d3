"""Show spikes, scores and sorters in notebooks as tables and small figures."""

from __future__ import annotations

import numpy as np

from spikesorter.core.score import Score
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.estimation.context import Context
from spikesorter.report import drawing
from spikesorter.sorting.sorter import Sorter

__all__ = ["score_html", "sorter_html", "spikes_html"]


def spikes_html(spikes: Spikes) -> str:
    """Return a table of the units and a raster of their spikes, with bad stretches shaded.

    Parameters
    ----------
    spikes : Spikes

    Returns
    -------
    str

    Examples
    --------
    >>> spikes_html(Spikes.from_arrays([100, 300], [1, 2]))[:27]
    '<div><p><b>2 spikes</b></p>'
    """
    unit_ids = sorted({*spikes.unit_ids, *spikes.names})
    end = int(spikes.sample[-1]) + 1 if len(spikes) else 1
    seconds = end / spikes.fs_hz if spikes.fs_hz and len(spikes) else None
    shown = spikes.bad.within(0, end)
    lost = shown.samples / spikes.fs_hz if spikes.fs_hz else 0.0
    trains = {unit: spikes.of(unit) for unit in unit_ids}
    rows = [
        (
            spikes.name_of(unit) if unit != UNKNOWN else "unknown",
            len(train),
            f"{len(train) / max(seconds - lost, 1 / spikes.fs_hz):.2f}" if seconds and spikes.fs_hz else "",
            f"{train.joint.mean():.3f}" if len(train) else "",
        )
        for unit, train in trains.items()
    ]
    last = float(spikes.sample[-1]) if len(spikes) else 1.0
    times = [train.sample / max(last, 1.0) for train in trains.values()]
    return _page(
        f"{len(spikes)} spikes"
        + (f" in {seconds:.1f} s" if seconds else "")
        + (f", of which {lost:.3g} s are bad" if lost else ""),
        drawing.table(("unit", "spikes", "per second", "mean probability"), rows),
        drawing.raster(
            times, [str(row[0]) for row in rows], bad=np.stack([shown.start, shown.stop], axis=1) / end
        ),
    )


def score_html(score: Score) -> str:
    """Return the score and its parts, the strict F1 of each unit, and the confusion matrix.

    Parameters
    ----------
    score : Score

    Returns
    -------
    str

    Examples
    --------
    >>> from spikesorter import score
    >>> spikes = Spikes.from_arrays([100, 300], [1, 2])
    >>> score_html(score(spikes, spikes))[:30]
    '<div><p><b>Score 1.000</b></p>'
    """
    names = [score.name_of(unit) for unit in score.unit_ids]
    strict = [(score.name_of(unit), f"{value:.3f}") for unit, value in score.strict_of.items()]
    return _page(
        f"Score {score.score:.3f}",
        drawing.table(list(score.summary()), [[f"{value:.3f}" for value in score.summary().values()]]),
        drawing.table(("unit", "strict F1"), strict),
        drawing.heat_map(score.confusion, [*names, "false"], [*names, "missed"]),
    )


def sorter_html(sorter: Sorter) -> str:
    """Return the units, with their d' in the recording adapted to, and the forecast.

    Parameters
    ----------
    sorter : Sorter

    Returns
    -------
    str
    """
    units, forecast, fs_hz = sorter.units, sorter.forecast, sorter.fs_hz
    bank = Context.of(units, sorter.settings, fs_hz=fs_hz).bank(sorter.profile)
    detectability = np.sqrt(bank.energies)
    activity, expected = sorter.profile.activity, dict(zip(forecast.unit_ids, forecast.f1, strict=True))
    counts = [len(amplitudes) for amplitudes in units.amplitudes]
    rows = [
        (
            name,
            counts[k],
            f"{activity.rates[k] * fs_hz:.2f}",
            f"{detectability[k]:.1f}",
            f"{expected[unit]:.3f}",
        )
        for k, (unit, name) in enumerate(zip(units.unit_ids, units.names, strict=True))
        if unit in units.known
    ]
    shapes = units.templates.waveforms[: len(units.known)]
    clearest = np.abs(shapes).max(axis=1).argmax(axis=1)
    score = f"{forecast.score:.3f} ({forecast.low:.3f} to {forecast.high:.3f})"
    return _page(
        repr(sorter),
        drawing.table(("expected score", "gain"), [(score, f"{activity.gain:.2f}")]),
        drawing.table(("unit", "labelled spikes", "per second", "d'", "expected F1"), rows),
        drawing.lines(shapes[np.arange(len(shapes)), :, clearest], units.names[: len(shapes)]),
    )


def _page(title: str, *parts: str) -> str:
    return str(drawing.page(title, *parts))  # return plain text, not markup objects
