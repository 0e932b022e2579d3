"""Draw the quality of a sorting: confusion, precision and recall, calibration, and noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.score import Score
from spikesorter.core.spikes import Spikes
from spikesorter.report.palette import GREY, colour
from spikesorter.report.plots.style import finish, name_of, rate_of, with_opacity
from spikesorter.sorting.diagnostics import Diagnostics, measure_reliability, measure_trade_off
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["confusion", "draw_confusion", "noise", "precision_recall", "reliability"]

DECADES = 2.5  # of noise amplitude drawn below the maximum
FEWEST_EVENTS = 5  # in a bin; fewer do not determine the share of correct spikes
POINTS = ("circle", "square")  # rehearsed, measured

FloatArray = npt.NDArray[np.float64]


def confusion(of: Score | Diagnostics, names: Mapping[int, str] | None = None) -> Figure:
    """Draw the confusion matrix of true and found units.

    Parameters
    ----------
    of : Score or Diagnostics
        Result against the true spikes, or on the rehearsal.
    names : mapping of int to str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        Rows are true units, columns found units; darker cells are a larger share of their row.

    Examples
    --------
    >>> from spikesorter import Spikes, score
    >>> spikes = Spikes.from_arrays([100, 300, 500], [1, 2, 1])
    >>> heat = confusion(score(spikes, spikes)).data[0]
    >>> list(heat.y), heat.text.tolist()
    (['1', '2', 'false'], [[2, 0, 0], [0, 1, 0], [0, 0, 0]])
    """
    called = [name_of(names or {}, unit) for unit in of.unit_ids]
    return draw_confusion(of.confusion, rows=[*called, "false"], columns=[*called, "missed"])


def draw_confusion(counts: npt.NDArray[np.int64], *, rows: list[str], columns: list[str]) -> Figure:
    """Draw counts of spikes by their true unit (rows) and the unit that they were given (columns)."""
    from plotly.graph_objects import Figure, Heatmap

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    heat = Heatmap(
        z=shares, x=columns, y=rows, text=counts, texttemplate="%{text}",
        colorscale=[[0, with_opacity(colour(0), 0)], [1, with_opacity(colour(0), 1)]], showscale=False,
        zmin=0, zmax=1, xgap=1, ygap=1, hovertemplate="%{y} found as %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    figure = Figure(heat)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", side="top", showgrid=False)
    return finish(figure, x="found as", y="true unit", height=130 + 40 * len(rows), top=60)


def precision_recall(
    diagnostics: Diagnostics,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    fs_hz: float | None = None,
) -> Figure:
    """Draw precision against recall for all thresholds, and mark the threshold used.

    Parameters
    ----------
    diagnostics : Diagnostics
        Diagnostics of a sorter, from its rehearsal.
    found, truth : Spikes, optional
        With both, the measured curve is drawn as well. It starts at the sorter's thresholds, because less
        probable spikes were not reported.
    fs_hz : float, optional
        Sampling rate, if the spikes have none.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.graph_objects import Figure

    figure, curve = Figure(), diagnostics.trade_off
    _add_curve(figure, 0, "rehearsed", curve.recall, curve.precision, curve.threshold)
    _add_point(figure, 0, "threshold used, rehearsed", diagnostics.recall, diagnostics.precision)
    if found is not None and truth is not None:
        measured = measure_trade_off(truth, found, fs_hz=rate_of(found, fs_hz))
        _add_curve(figure, 1, "measured", measured.recall, measured.precision, measured.threshold)
        if len(measured.recall):
            _add_point(figure, 1, "threshold used, measured", measured.recall[0], measured.precision[0])
    return _from_0_to_1(finish(figure, x="recall", y="precision"))


def reliability(
    diagnostics: Diagnostics,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    fs_hz: float | None = None,
) -> Figure:
    """Draw the calibration curve: the share of correct spikes against the stated probability.

    Parameters
    ----------
    diagnostics, found, truth, fs_hz
        As for `precision_recall`.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    line = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, name="as stated", hoverinfo="skip")
    curves = [("rehearsed", diagnostics.reliability)]
    if found is not None and truth is not None:
        curves.append(("measured", measure_reliability(truth, found, fs_hz=rate_of(found, fs_hz))))
    for k, (name, curve) in enumerate(curves):
        enough = curve.events >= FEWEST_EVENTS
        figure.add_scatter(
            x=curve.stated[enough], y=curve.right[enough], text=curve.events[enough], mode="lines+markers",
            line={"color": colour(k)}, marker={"symbol": POINTS[k], "size": 7}, name=name,
            hovertemplate="stated %{x:.2f}, correct %{y:.2f} (%{text} spikes)",
        )  # fmt: skip
    return _from_0_to_1(finish(figure, x="stated probability", y="share of correct spikes"))


def noise(sorter: Sorter) -> Figure:
    """Draw the noise spectra of the labelled recording, the target and the target's rehearsal.

    Parameters
    ----------
    sorter : Sorter
        Adapted to the target.

    Returns
    -------
    plotly.graph_objects.Figure
        Amplitude density after removal of hum and drift, from the mean power of the channels.
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    curves = (
        ("labelled recording", sorter.state.labelled_noise, GREY, "dash"),
        ("this recording", sorter.profile.noise.power, colour(0), "solid"),
        ("its rehearsal", sorter.diagnostics.noise, colour(1), "dot"),
    )
    for name, power, hue, dash in curves:
        density = np.sqrt(np.maximum(power.mean(axis=1), 0) * 2 / sorter.fs_hz).astype(np.float32)
        hertz = np.fft.rfftfreq(2 * (len(density) - 1), 1 / sorter.fs_hz).astype(np.float32)
        line = {"color": hue, "dash": dash, "width": 1.5}
        figure.add_scatter(x=hertz[1:], y=density[1:], mode="lines", line=line, name=name)
    figure.update_xaxes(type="log")
    loudest = np.log10(max(float(np.sqrt(power.max() * 2 / sorter.fs_hz)) for _, power, *_ in curves) or 1.0)
    figure.update_yaxes(type="log", exponentformat="power", range=[loudest - DECADES, loudest + 0.2])
    return finish(figure, x="frequency (Hz)", y="noise (unit / √Hz)")


def _add_curve(
    figure: Any, k: int, name: str, recall: FloatArray, precision: FloatArray, threshold: FloatArray
) -> None:
    figure.add_scatter(
        x=recall, y=precision, text=threshold, mode="lines", name=name,
        hovertemplate="threshold %{text:.2f}<br>recall %{x:.3f}, precision %{y:.3f}",
        line={"color": colour(k), "width": 2, "dash": ("solid", "dash")[k]},
    )  # fmt: skip


def _add_point(figure: Any, k: int, name: str, recall: float, precision: float) -> None:
    marker = {"color": colour(k), "symbol": POINTS[k], "size": 10}
    figure.add_scatter(x=[recall], y=[precision], mode="markers", name=name, marker=marker)


def _from_0_to_1(figure: Figure) -> Figure:
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.02])
    return figure
