"""Pictures of a whole recording and of its units, as paths for SVG: read by the page without a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.score import Score
from spikesorter.core.spikes import UNKNOWN
from spikesorter.report.metrics import Shape, measure_correlograms, read_conditioned
from spikesorter.report.results import Result
from spikesorter.report.tables import shown_units, unit_name
from spikesorter.report.verdict import quality_of

__all__ = ["noise_levels", "strip", "strip_noise", "unit_cards", "usual_noise"]

Contents = dict[str, Any]
FloatArray = npt.NDArray[np.floating[Any]]

BINS = 150  # of a strip
STRIP_WIDTH, ROW = 1000, 20
PROBES, PROBE_S = 60, 0.1  # places where the noise is measured, and their length
WIDTH, HEIGHT = 120, 60  # of a card's pictures
MOST_DOTS = 200
MAD = 0.6745  # of a normal distribution of SD 1
TALLEST = 2.0  # amplitude at the top of a card's picture


def strip(result: Result, *, with_noise: bool) -> Contents:
    """Return a recording from beginning to end: rate of each unit, noise, bad stretches.

    Parameters
    ----------
    result : Result
    with_noise : bool
        Whether to measure the noise, which reads the recording in 60 places; if not, room is left for it.

    Returns
    -------
    dict
        `width`, `height`; `rows`, each with `k` (number of the unit; None: noise), `name`, `path` and `most`
        (what its highest point is or, of noise, the middle one); `bad`: x and width of each bad stretch.
    """
    n_samples, names = result.n_samples, list(enumerate(shown_units(result)))
    edges = np.linspace(0, n_samples, BINS + 1)
    rows: list[Contents] = []
    for k, unit in names:
        counts, _ = np.histogram(result.spikes.of(unit).sample, edges)
        rates = counts / ((edges[1] - edges[0]) / result.sorter.fs_hz)
        rows.append(
            {
                "k": k,
                "name": unit_name(result, unit),
                "path": _area(rates, len(rows)),
                "most": f"at most {rates.max():.3g} per second",
            }
        )
    noise = strip_noise(result, len(rows)) if with_noise else {"path": "", "most": ""}
    rows.append({"k": None, "name": "noise", **noise})
    return {
        "width": STRIP_WIDTH,
        "height": ROW * len(rows),
        "rows": rows,
        "bad": _shaded(result),
    }


def strip_noise(result: Result, row: int) -> Contents:
    """Return the noise from beginning to end, as a row of a strip.

    Returns
    -------
    dict
        `path` and `most`.
    """
    levels = noise_levels(result).max(axis=1)  # of the noisiest channel
    usual = float(usual_noise(levels))
    return {
        "path": _area(np.repeat(levels, 2), row),
        "most": f"SD about {usual:.3g}" if np.isfinite(usual) else "bad stretches only",
    }


def unit_cards(result: Result, measured: Score | None, shapes: Sequence[Shape]) -> list[Contents]:
    """Return a card for each unit: how good it is, and how its spikes look.

    Parameters
    ----------
    result : Result
    measured : Score, optional
        Score against the true spikes.
    shapes : sequence of Shape
        Waveforms of the units to be pictured; the cards of others have words only.

    Returns
    -------
    list of dict
        `k` (number of the unit), `name`, `level`, `words`, `sentence`, `discovered`, `counts`, `pictures`.
    """
    quality, pictures = quality_of(result, measured), _pictures(result, shapes)
    cards = []
    for k, unit in enumerate(shown_units(result)):
        if unit == UNKNOWN:
            continue
        count, shares = int((result.spikes.unit == unit).sum()), quality.units.get(unit) if quality else None
        expected = "" if quality is None or quality.measured else "Expected: "
        sentence = f"{expected}{shares.sentence}" if shares else ""
        cards.append(
            {
                "k": k,
                "name": unit_name(result, unit),
                "level": shares.level if shares else "unknown",
                "words": shares.words if shares else "",
                "sentence": f"{sentence[:1].upper()}{sentence[1:]}",
                "discovered": result.discovered.get(unit, ""),
                "counts": f"{count} spikes, {count / result.good_seconds:.3g} per second",
                "pictures": pictures.get(unit),
            }
        )
    return cards


def _shaded(result: Result) -> list[list[float]]:
    """Return x and width of bad stretches: of those that begin in one column of the strip, the longest."""
    scale, widest = STRIP_WIDTH / result.n_samples, dict[int, list[float]]()
    for start, stop, _ in result.spikes.bad:
        x, wide = round(start * scale, 1), round(max((stop - start) * scale, 1.0), 1)
        if wide > widest.get(int(x), [0.0, 0.0])[1]:
            widest[int(x)] = [x, wide]
    return list(widest.values())


def _pictures(result: Result, shapes: Sequence[Shape]) -> dict[int, Contents]:
    if not shapes:
        return {}
    known = result.spikes.select(result.spikes.unit != UNKNOWN)
    lags = measure_correlograms(known, fs_hz=result.sorter.fs_hz, bin_ms=2.0)
    own = {unit: lags.counts[k, k] for k, unit in enumerate(lags.unit_ids)}
    return {
        shape.unit: {
            "width": WIDTH,
            "height": HEIGHT,
            **_waveform(shape),
            "amplitudes": _dots(shape, result.n_samples),
            "correlogram": _bars(own[shape.unit]),
        }
        for shape in shapes
    }


def _waveform(shape: Shape) -> dict[str, str]:
    """Draw mean, spread and template on the channel where the template is largest."""
    channel = int(np.abs(shape.expected).max(axis=0).argmax())
    mean, spread, expected = (one[:, channel] for one in (shape.mean, shape.spread, shape.expected))
    low, high = min((mean - spread).min(), expected.min()), max((mean + spread).max(), expected.max())
    x = np.linspace(0, WIDTH, len(mean))

    def at(values: FloatArray) -> FloatArray:
        return np.asarray(2 + (high - values) / max(high - low, 1e-12) * (HEIGHT - 4))

    around = np.r_[x, x[::-1]], np.r_[at(mean + spread), at(mean - spread)[::-1]]
    return {
        "spread": f"{_line(*around)}Z",
        "mean": _line(x, at(mean)),
        "expected": _line(x, at(expected)),
    }


def _dots(shape: Shape, n_samples: int) -> str:
    chosen = slice(None, None, -(-len(shape.sample) // MOST_DOTS))
    x = shape.sample[chosen] * (WIDTH / n_samples)
    y = HEIGHT * (1 - np.clip(shape.amplitude[chosen] / TALLEST, 0, 1))
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))


def _bars(counts: npt.NDArray[np.int64]) -> str:
    wide, most = WIDTH / len(counts), max(int(counts.max()), 1)
    return "".join(
        f"M{k * wide:.1f} {HEIGHT}v{-(HEIGHT - 2) * count / most:.1f}h{wide:.1f}V{HEIGHT}Z"
        for k, count in enumerate(counts.tolist())
        if count
    )


def _area(values: FloatArray, row: int) -> str:
    """Draw values as an area that fills its row of a strip."""
    bottom, x = (row + 1) * ROW, np.linspace(0, STRIP_WIDTH, len(values) + 1)
    tops = bottom - values / max(float(values.max()), 1e-12) * (ROW - 3)
    steps = "".join(f"V{y:.1f}H{right:.1f}" for y, right in zip(tops, x[1:], strict=True))
    return f"M0 {bottom}{steps}V{bottom}Z"


def _line(x: FloatArray, y: FloatArray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def usual_noise(levels: FloatArray) -> FloatArray:
    """Return the median over places that are not in bad stretches; NaN if there are none.

    Parameters
    ----------
    levels : ndarray of float64, shape (places, ...)
        From `noise_levels`.

    Examples
    --------
    >>> usual_noise(np.array([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]]))
    array([ 2., nan])
    """
    median = np.ma.median(np.ma.masked_equal(levels, 0.0), axis=0)  # type: ignore[no-untyped-call]
    return np.ma.filled(np.ma.asarray(median, np.float64), np.nan)


def noise_levels(result: Result) -> FloatArray:
    """Return the SD of each channel in places spread over the recording, 0 in bad stretches.

    Returns
    -------
    ndarray of float64, shape (places, channels)
    """
    length = max(round(PROBE_S * result.sorter.fs_hz), 1)
    starts = np.linspace(0, max(result.n_samples - length, 0), PROBES).astype(int).tolist()
    recording, bad = result.recording, result.spikes.bad
    levels = []
    for start in starts:
        stop = min(start + length, result.n_samples)
        trace = read_conditioned(result.sorter, recording, start, stop, bad=bad)
        levels.append(np.median(np.abs(trace), axis=0) / MAD)
    return np.array(levels, np.float64)
