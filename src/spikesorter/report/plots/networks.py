"""Draw how a sorter's networks learnt, what they were tuned on, and what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.candidates import Candidates
from spikesorter.decoding.cnn import CnnDecoder
from spikesorter.decoding.nets.detector import widened_labels
from spikesorter.decoding.nets.learning import LearningCurve
from spikesorter.decoding.training_record import TrainingRecord
from spikesorter.decoding.tuning import pick_all
from spikesorter.report.palette import GREY, colour
from spikesorter.report.plots.quality import draw_confusion
from spikesorter.report.plots.stages import add_line, add_spikes, largest_channel, networks_of, ordered
from spikesorter.report.plots.style import finish, name_of, with_opacity
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["classifier", "detector", "grid_search", "learning_curves"]

LEAST_ROW, MOST_TEXTS = 22, 150  # pixels of a row of the grid; cells with their value written in them
FloatArray = npt.NDArray[np.float32]


def learning_curves(sorter: Sorter) -> Figure:
    """Draw loss and accuracy of a sorter's networks by epoch, on what they were trained on and on more.

    Parameters
    ----------
    sorter : Sorter
        Adapted to a target, with networks.

    Returns
    -------
    plotly.graph_objects.Figure
        A row for the detector and, if there is one, for the classifier. If rehearsals are cross-fitted, the
        curves are the means over networks that were each trained without one part and tested on it.

    Raises
    ------
    InputError
        If no curves were kept: the sorter has no networks, was not adapted, or is of an older version.

    Examples
    --------
    >>> from spikesorter import Sorter, plot
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> plot.learning_curves(sorter).show()                      # doctest: +SKIP
    """
    from plotly.subplots import make_subplots

    curves = _record(sorter).curves
    titles = [f"{one.network}: {what}" for one in curves for what in ("loss", _accuracy_of(one))]
    rows = max(len(curves), 1)
    figure = make_subplots(rows=rows, cols=2, subplot_titles=titles, vertical_spacing=0.3 / rows)
    for row, one in enumerate(curves, start=1):
        for column, values in enumerate((one.loss, one.accuracy), start=1):
            _add_learning(figure, one, values, row, column)
            figure.update_yaxes(rangemode="tozero", row=row, col=column)
        figure.update_yaxes(range=[0, 1.02], row=row, col=2)
    figure.update_xaxes(title_text="epochs", row=rows)
    return finish(figure, height=120 + 190 * rows, top=40)


def grid_search(sorter: Sorter) -> Figure:
    """Draw the objective over thresholds and refractory periods, with the pair that is kept.

    Parameters
    ----------
    sorter : Sorter
        With networks or trees, for which both are tuned.

    Returns
    -------
    plotly.graph_objects.Figure
        If units have thresholds of their own, these were searched from the marked pair on.

    Raises
    ------
    InputError
        If no grid was kept: no refractory period is tuned for the decoder, or the sorter is of an older
        version.

    Examples
    --------
    >>> from spikesorter import Sorter, plot
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> plot.grid_search(sorter).write_html("grid.html")         # doctest: +SKIP
    """
    from plotly.graph_objects import Figure, Heatmap

    grid = sorter.state.grid
    if grid is None:
        raise InputError(
            f"the sorter's decoder {sorter.decoder} has no grid of thresholds and refractory periods; train "
            "one with --set decoder=cnn or --preset published"
        )
    columns = [f"{1000 * samples / sorter.fs_hz:g}" for samples in grid.refractory_samples]
    rows = [f"{threshold:g}" for threshold in grid.threshold]
    texts = np.vectorize(lambda value: f"{value:.3f}")(grid.value)
    figure = Figure(
        Heatmap(
            z=grid.value, x=columns, y=rows, text=texts, customdata=grid.lacking, xgap=1, ygap=1,
            texttemplate="%{text}" if grid.value.size <= MOST_TEXTS else None, colorscale="Viridis",
            colorbar={"title": {"text": "objective"}},
            hovertemplate="threshold %{y}, %{x} ms: %{text}; precision lacking %{customdata:.3f}<extra>"
            "</extra>",
        )
    )  # fmt: skip
    row, column = grid.chosen
    figure.add_scatter(
        x=[columns[column]], y=[rows[row]], mode="markers", name="kept", hoverinfo="skip",
        marker={"symbol": "square-open", "size": 22, "color": colour(1), "line": {"width": 3}},
    )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    height = 140 + LEAST_ROW * max(len(rows), 6)
    return finish(figure, x="refractory period (ms)", y="threshold", height=height, showlegend=True)


def detector(sorter: Sorter) -> Figure:
    """Draw a detector's probability on part of what it was trained on, with the labels and the threshold.

    Parameters
    ----------
    sorter : Sorter
        Adapted to a target, with networks.

    Returns
    -------
    plotly.graph_objects.Figure
        Above: the trace, with its true spikes. Below: the labels, which are 1 on a few samples of each spike;
        the network's output; and the candidates, at their calibrated probabilities, with the threshold.
        Without candidates if the decoder combines networks with the pursuit.

    Raises
    ------
    InputError
        If no part was kept: the sorter has no networks, was not adapted, or is of an older version.

    Examples
    --------
    >>> from spikesorter import Sorter, plot
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> plot.detector(sorter).show()                             # doctest: +SKIP
    """
    from plotly.subplots import make_subplots

    excerpt, cnn = _record(sorter).excerpt, networks_of(sorter)
    margin, evidence = cnn.margin, cnn.evidence(excerpt.trace)
    curves = cnn.curves(evidence)
    scaled = cnn.front_end.stages(excerpt.trace).scaled[margin.before : len(excerpt.trace) - margin.after]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.4, 0.6], vertical_spacing=0.12,
        subplot_titles=["trace", "probability that a spike starts"],
    )  # fmt: skip
    k = largest_channel(sorter)
    add_line(figure, scaled[:, k], GREY, "trace", fs_hz=sorter.fs_hz, row=1, showlegend=False)
    add_spikes(figure, sorter, excerpt.spikes, float(scaled[:, k].max()), row=1)
    labels, names = _labels(sorter, cnn, excerpt.spikes, len(curves))
    for i, (curve, label) in enumerate(zip(curves.T, labels, strict=True)):
        hue = GREY if len(labels) == 1 else colour(ordered(sorter).index(cnn.unit_ids[i]))
        _add_labels(figure, sorter, label, hue, first=i == 0)
        add_line(figure, curve, hue, names[i], fs_hz=sorter.fs_hz, row=2)
    if sorter.state.tuned.decoder is cnn:
        _add_candidates(figure, sorter, sorter.state.tuned.calibrated(pick_all(cnn, evidence)))
        _add_thresholds(figure, sorter)
    figure.update_yaxes(title_text="SD", row=1, col=1)
    figure.update_yaxes(range=[0, 1.05], row=2, col=1)
    figure.update_xaxes(title_text="time (s)", row=2, col=1)
    return finish(figure, height=460, top=40)


def classifier(sorter: Sorter) -> Figure:
    """Draw the confusion matrix of a classifier network, on spikes that it was not trained on.

    Parameters
    ----------
    sorter : Sorter
        Adapted to a target, with a detector for all units and a classifier.

    Returns
    -------
    plotly.graph_objects.Figure
        Rows are true units, columns the units that it names, for spikes whose place is known. `confusion`
        draws that of the whole sorter.

    Raises
    ------
    InputError
        If no confusions were kept: the sorter has no classifier, was not adapted, or is of an older version.

    Examples
    --------
    >>> from spikesorter import Sorter, plot
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> plot.classifier(sorter).show()                           # doctest: +SKIP
    """
    counts = _record(sorter).confusion
    if not counts.size:
        raise InputError(
            "the sorter has no classifier, as its detector has a curve for each unit; train one with "
            "--set detector.curves=spike"
        )
    called = [name_of(sorter.names, unit) for unit in networks_of(sorter).unit_ids]
    return draw_confusion(counts, rows=called, columns=called)


def _record(sorter: Sorter) -> TrainingRecord:
    networks_of(sorter)
    if sorter.state.training is None:
        raise InputError(
            "nothing was kept of how the sorter's networks were trained: adapt it to a recording, with this "
            "version"
        )
    return sorter.state.training


def _accuracy_of(curve: LearningCurve) -> str:
    return "F1 of samples" if curve.network == "detector" else "share of spikes rightly named"


def _add_learning(figure: Any, curve: LearningCurve, values: FloatArray, row: int, column: int) -> None:
    kinds = (("trained on", GREY, "dash", "circle"), ("held out", colour(0), "solid", "square"))
    for k, (name, hue, dash, marker) in enumerate(kinds):
        figure.add_scatter(
            x=curve.epoch.round(3), y=values[:, k], text=curve.step, name=name, mode="lines+markers",
            line={"color": hue, "dash": dash}, marker={"symbol": marker, "size": 5}, legendgroup=name,
            showlegend=row == column == 1, hovertemplate="%{y:.4f} after %{text} steps", row=row, col=column,
        )  # fmt: skip


def _labels(
    sorter: Sorter, cnn: CnnDecoder, spikes: Spikes, n_samples: int
) -> tuple[list[FloatArray], list[str]]:
    """Return the labels of each of the detector's curves, and the curves' names."""
    width = sorter.settings.detector.label_samples
    if cnn.networks.classifier is not None:
        return [widened_labels(spikes, n_samples, label_samples=width)], ["detector"]
    trains = [spikes.of(unit) for unit in cnn.unit_ids]
    labels = [widened_labels(train, n_samples, label_samples=width) for train in trains]
    return labels, [name_of(sorter.names, unit) for unit in cnn.unit_ids]


def _add_labels(figure: Any, sorter: Sorter, label: FloatArray, hue: str, *, first: bool) -> None:
    """Draw labels as bars, each as wide as its samples."""
    edges = np.flatnonzero(np.diff(label, prepend=0, append=0)) - 0.5
    figure.add_scatter(
        x=(np.repeat(edges, 2) / sorter.fs_hz).round(6), y=np.tile([0, 1, 1, 0], len(edges) // 2),
        mode="lines", line={"width": 0, "color": hue}, fill="tozeroy", fillcolor=with_opacity(hue, 0.5),
        name="labels", legendgroup="labels", showlegend=first, hoverinfo="skip", row=2, col=1,
    )  # fmt: skip


def _add_candidates(figure: Any, sorter: Sorter, found: Candidates) -> None:
    units = sorter.point.unit_ids
    above = found.joint >= np.asarray(sorter.point.thresholds, np.float32)[np.searchsorted(units, found.unit)]
    for name, chosen, marker in (("spike", above, "circle"), ("below the threshold", ~above, "circle-open")):
        figure.add_scatter(
            x=found.sample[chosen] / sorter.fs_hz, y=found.joint[chosen], mode="markers", name=name,
            text=[name_of(sorter.names, unit) for unit in found.unit[chosen].tolist()],
            marker={
                "symbol": marker, "size": 7,
                "color": [colour(units.index(unit)) for unit in found.unit[chosen].tolist()],
            },
            hovertemplate="%{text}: %{y:.2f}<extra></extra>", row=2, col=1,
        )  # fmt: skip


def _add_thresholds(figure: Any, sorter: Sorter) -> None:
    """Draw each unit's threshold, or one line if they are the same."""
    thresholds = sorter.point.thresholds
    if len(set(thresholds)) == 1:
        lines = [(thresholds[0], GREY, "threshold")]
    else:
        names = [name_of(sorter.names, unit) for unit in sorter.point.unit_ids]
        lines = [
            (each, colour(k), f"threshold of {names[k]}") for k, each in enumerate(thresholds)
        ]  # fmt: skip
    for least, hue, text in lines:
        line = {"color": hue, "dash": "dash", "width": 1}
        figure.add_hline(y=least, line=line, name=text, showlegend=True, row=2, col=1)
