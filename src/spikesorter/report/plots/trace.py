"""Draw part of a recording with its spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.samples import read_samples
from spikesorter.report.metrics import read_conditioned
from spikesorter.report.palette import GREY, colour, symbol
from spikesorter.report.plots.style import arrange, finish, name_of, plain, shade
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from spikeinterface import BaseRecording

__all__ = ["trace"]


def trace(
    recording: BaseRecording,
    *,
    found: Spikes | None = None,
    truth: Spikes | None = None,
    sorter: Sorter | None = None,
    start_s: float = 0.0,
    seconds: float = 0.2,
) -> Figure:
    """Draw part of a recording, with found and true spikes above it.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    found, truth : Spikes, optional
        The bad stretches of `found` are shaded, or those of `truth` if it is not given.
    sorter : Sorter, optional
        Adapted to the recording. If given, the trace is drawn without hum and drift, with the evidence for
        each unit below it.
    start_s, seconds : float
        Start and length of the part.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        If the part lies beyond the recording's end.

    Examples
    --------
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((5000, 1), np.float32)], 25_000.0)
    >>> figure = trace(recording, found=Spikes.from_arrays([500, 900, 4000], [1, 2, 1]), seconds=0.1)
    >>> [(one.name, len(one.x)) for one in figure.data]
    [('channel 0', 2500), ('found 1', 1), ('found 2', 1)]
    """
    from plotly.subplots import make_subplots

    fs_hz, n_samples = float(recording.get_sampling_frequency()), recording.get_num_frames()
    first, last = max(int(start_s * fs_hz), 0), min(int((start_s + seconds) * fs_hz), n_samples)
    if first >= last:
        raise InputError(
            f"nothing to draw from second {start_s:g}; the recording lasts {n_samples / fs_hz:g} s"
        )
    known = None if found is None else found.bad
    if sorter is None:
        values = read_samples(recording, first, last).astype(np.float32)
    else:
        values = read_conditioned(sorter, recording, first, last, bad=known)
    rows = 1 if sorter is None else 2
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3][:rows], vertical_spacing=0.04
    )
    times_s = np.arange(first, last) / fs_hz
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    height = float(np.ptp(finite)) or 1.0
    shown = recording if sorter is None else sorter.state.fitting(recording)
    _add_channels(figure, times_s, values, [str(one) for one in shown.get_channel_ids()], height)
    given = [(row, spikes) for row, spikes in (("found", found), ("true", truth)) if spikes is not None]
    order = arrange(*(spikes for _, spikes in given), first=sorter.units.known if sorter else ())
    for row, spikes in given:
        above = float(finite[:, 0].max()) + (0.08 if row == "found" else 0.16) * height
        _add_marks(figure, spikes.within(first, last), order, above, fs_hz, row)
    if sorter is not None:
        _add_evidence(figure, times_s, sorter, sorter.evidence(recording, start=first, stop=last, bad=known))
    if given:
        shade(figure, given[0][1].bad, fs_hz=fs_hz, span=(first, last))
    figure.update_xaxes(title_text="time (s)", row=rows, col=1)
    return finish(figure)


def _add_channels(
    figure: Any,
    times_s: npt.NDArray[np.float64],
    values: npt.NDArray[np.float32],
    names: Sequence[str],
    height: float,
) -> None:
    for k, name in enumerate(names):
        figure.add_scatter(
            x=times_s, y=values[:, k] - k * height, mode="lines", line={"color": GREY, "width": 1},
            name=plain(f"channel {name}"), showlegend=False,
        )  # fmt: skip


def _add_marks(
    figure: Any, spikes: Spikes, order: Sequence[int], height: float, fs_hz: float, row: str
) -> None:
    for unit in spikes.unit_ids:
        k, train = order.index(unit), spikes.of(unit)
        figure.add_scatter(
            x=train.sample / fs_hz,
            y=np.full(len(train), height),
            mode="markers",
            marker={"color": colour(k), "symbol": symbol(k).plotly, "size": 8},
            name=f"{row} {name_of(spikes.names, unit)}",
            text=[f"{value:.2f}" for value in train.joint],
            hovertemplate="%{x:.4f} s, probability %{text}",
        )


def _add_evidence(
    figure: Any, times_s: npt.NDArray[np.float64], sorter: Sorter, evidence: npt.NDArray[np.float32]
) -> None:
    for k, (unit, curve) in enumerate(zip(sorter.units.known, evidence.T, strict=False)):
        figure.add_scatter(
            x=times_s, y=curve, mode="lines", line={"color": colour(k), "width": 1},
            name=name_of(sorter.names, unit), row=2, col=1, showlegend=False,
        )  # fmt: skip
    figure.update_yaxes(title_text="evidence", row=2, col=1)
