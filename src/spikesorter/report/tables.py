"""Tables and lists of facts in report and viewer, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from spikesorter.core.score import Score
from spikesorter.core.settings import Settings, describe_settings
from spikesorter.core.spikes import UNKNOWN
from spikesorter.core.versions import versions
from spikesorter.report.corrections import SURE, doubtful
from spikesorter.report.results import Result
from spikesorter.report.verdict import Shares, quality_of, verdict_of

__all__ = ["about", "facts", "shown_units", "summary_table", "unit_name", "unit_table"]

PREDICTIONS = "predictions"
Contents = dict[str, Any]


def summary_table(
    results: Sequence[Result], scores: Sequence[Score | None], detailed: Sequence[int]
) -> Contents:
    """Return the table of all recordings: its head, and a row for each."""
    measured = any(one is not None for one in scores)
    lost = any(len(result.spikes.bad) for result in results)
    head = ["recording", "quality", "precision", "recall", "expected score"]
    head += [*(["score", "strict"] if measured else []), "spikes", "per second"]
    head += [*(["bad"] if lost else []), "noise", "gain", "decoder"]
    rows = []
    for k, (result, one) in enumerate(zip(results, scores, strict=True)):
        forecast, profile = result.sorter.forecast, result.sorter.profile
        level, quality = verdict_of(result, one)["level"], quality_of(result, one)
        cells: list[Any] = [result.name, {"level": level, "text": ""}]
        cells += _shares(quality.whole, quality.measured) if quality else ["", ""]
        cells += [
            "none" if result.doubts else f"{forecast.score:.3f} ({forecast.low:.3f} to {forecast.high:.3f})"
        ]
        if measured:
            cells += [f"{one.score:.3f}", f"{one.strict:.3f}"] if one else ["", ""]
        cells += [str(len(result.spikes)), f"{len(result.spikes) / result.good_seconds:.1f}"]
        cells += [f"{result.seconds - result.good_seconds:.3g} s"] if lost else []
        cells += [_listed(profile.scale), f"{profile.activity.gain:.2f}", result.sorter.decoder]
        rows.append({"cells": cells, "level": level, "details": detailed.index(k) if k in detailed else None})
    return {"head": head, "rows": rows}


def unit_table(result: Result, measured: Score | None) -> Contents:
    """Return the table of a result's units."""
    sorter, seconds = result.sorter, result.good_seconds
    expected = dict(zip(sorter.forecast.unit_ids, sorter.forecast.f1, strict=True))
    counts, quality = result.spikes.counts(), quality_of(result, measured)
    head = [
        "unit",
        "spikes",
        "per second",
        "quality",
        "precision",
        "recall",
        "mean probability",
        "expected F1",
    ]
    rows = []
    for unit in shown_units(result):
        train = result.spikes.of(unit)
        mean = f"{train.joint.mean():.3f}" if len(train) else ""
        count = counts.get(unit, 0)
        shares = quality.units.get(unit) if quality else None
        row: list[Any] = [unit_name(result, unit), str(count), f"{count / seconds:.2f}"]
        row += (
            [_level_cell(shares), *_shares(shares, quality.measured)] if quality and shares else ["", "", ""]
        )
        row += [mean]
        row += [f"{expected[unit]:.3f}" if unit in expected else ""]
        if measured:
            row += [f"{measured.strict_of[unit]:.3f}" if unit in measured.strict_of else ""]
        if result.discovered:
            row += [result.discovered.get(unit, "")]
        rows.append(row)
    head += [*(["strict F1"] if measured else []), *(["discovered as"] if result.discovered else [])]
    return {"head": head, "rows": rows}


def facts(result: Result) -> list[list[str]]:
    """Return names and values of a result's facts."""
    sorter = result.sorter
    activity, seconds = sorter.profile.activity, result.seconds
    thresholds = ", ".join(f"{value:.2f}" for value in sorter.point.thresholds)
    channels = "channel" if sorter.channels == 1 else "channels"
    return [
        ["length", f"{seconds:.1f} s at {sorter.fs_hz:g} Hz, {sorter.channels} {channels}"],
        *([["channels left out", sorter.state.remark]] if sorter.state.remark else []),
        *([["groups left out", "; ".join(result.remarks)]] if result.remarks else []),
        ["noise (SD)", _listed(sorter.profile.scale)],
        ["gain against the labelled recording", f"{activity.gain:.3f}"],
        ["spikes", f"{len(result.spikes)}, {len(result.spikes) / result.good_seconds:.1f} per second"],
        ["doubtful spikes", f"{len(doubtful(result.spikes))} (probability below {SURE:.2f})"],
        ["decoder", sorter.decoder],
        ["thresholds", thresholds],
        ["refractory period", f"{1000 * sorter.point.refractory_samples / sorter.fs_hz:.3g} ms"],
        ["seed", str(sorter.settings.seed)],
        ["result", _place(result)],
    ]


def about(settings: Sequence[Settings], seconds: Mapping[str, float]) -> list[Contents]:
    """Return what the results were made with: versions, time taken, settings."""
    parts: list[Contents] = [{"title": "Versions", "rows": [list(pair) for pair in versions().items()]}]
    if seconds:
        rows = [[step, f"{value:.1f} s"] for step, value in seconds.items()]
        parts.append({"title": "Time taken", "rows": rows})
    for number, one in enumerate({describe_settings(one): one for one in settings}.values(), start=1):
        parts.append(
            {"title": f"Settings {number}" if number > 1 else "Settings", "text": describe_settings(one)}
        )
    return parts


def shown_units(result: Result) -> list[int]:
    """Return the units to show: the sorter's, then others that were found or are true."""
    known = list(result.sorter.units.known)
    others = {*result.spikes.unit_ids, *(result.truth.unit_ids if result.truth else ())}
    return known + sorted(others - {*known})


def unit_name(result: Result, unit: int) -> str:
    """Return a unit's name as it is shown."""
    return "unknown" if unit == UNKNOWN else result.sorter.names.get(unit, str(unit))


def _place(result: Result) -> str:
    """Return the path of the result in its folder, which may be elsewhere for whoever reads the report."""
    place = result.place
    return f"{PREDICTIONS}/{place.name}" if place.parent.name == PREDICTIONS else place.name


def _level_cell(shares: Shares) -> Contents:
    return {"level": shares.level, "text": shares.words}


def _shares(shares: Shares, measured: bool) -> list[str]:
    """Return precision and recall; the sign marks those that are expected, not measured."""
    sign = "" if measured else "\u2248\u00a0"
    return ["" if one is None else f"{sign}{one:.2f}" for one in (shares.precision, shares.recall)]


def _listed(values: npt.NDArray[Any]) -> str:
    return ", ".join(f"{float(value):.3g}" for value in values)
