"""Draw what denoising and matched filters, the first parts of a sorter's networks, make of a trace."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.decoding.cnn import CnnDecoder
from spikesorter.decoding.combined import CombinedDecoder
from spikesorter.decoding.front_end import Stages
from spikesorter.report.palette import GREY, colour, symbol
from spikesorter.report.plots.style import arrange, finish, name_of
from spikesorter.sorting.sorter import Sorter

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from spikeinterface import BaseRecording

__all__ = [
    "add_line",
    "add_spikes",
    "busiest_s",
    "denoising",
    "has_networks",
    "largest_channel",
    "matched_filter",
    "networks_of",
    "ordered",
]

SECONDS = 0.04  # of a trace; in longer ones single spikes cannot be seen
FloatArray = npt.NDArray[np.float32]


def denoising(
    recording: BaseRecording,
    sorter: Sorter,
    *,
    found: Spikes | None = None,
    start_s: float = 0.0,
    seconds: float = SECONDS,
) -> Figure:
    """Draw part of a recording before and after wavelet denoising, as a sorter's networks receive it.

    Parameters
    ----------
    recording : spikeinterface.BaseRecording
    sorter : Sorter
        With networks and denoising, adapted to the recording.
    found : Spikes, optional
        Spikes to mark.
    start_s, seconds : float
        Start and length of the part.

    Returns
    -------
    plotly.graph_objects.Figure
        In SD of the noise, on the channel with the largest template.

    Raises
    ------
    InputError
        If the sorter has no networks or no denoising, or the part lies beyond the recording's end.

    Examples
    --------
    >>> from spikesorter import Sorter, plot, read_recording
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> recording = read_recording("D2.mat")                     # doctest: +SKIP
    >>> plot.denoising(recording, sorter, start_s=1.0).show()    # doctest: +SKIP
    """
    from plotly.graph_objects import Figure

    front_end = networks_of(sorter).front_end
    span = _span(recording, sorter, start_s, seconds)
    stages = _stages(recording, sorter, span, found)
    if stages.denoised is None:
        raise InputError("the sorter does not denoise; train one with --set denoise.strength=auto")
    k, figure = largest_channel(sorter), Figure()
    add_line(figure, stages.scaled[:, k], GREY, "before", fs_hz=sorter.fs_hz, first=span[0])
    name = f"after ({front_end.wavelet}, strength {front_end.strength:g})"
    add_line(figure, stages.denoised[:, k], colour(0), name, fs_hz=sorter.fs_hz, first=span[0])
    _mark(figure, sorter, found, span, top=float(stages.scaled[:, k].max()))
    return finish(figure, x="time (s)", y="SD of the noise")


def matched_filter(
    recording: BaseRecording,
    sorter: Sorter,
    *,
    found: Spikes | None = None,
    start_s: float = 0.0,
    seconds: float = SECONDS,
) -> Figure:
    """Draw part of a recording, and the outputs of the matched filters of a sorter's networks below it.

    Parameters
    ----------
    recording, sorter, found, start_s, seconds
        As for `denoising`.

    Returns
    -------
    plotly.graph_objects.Figure
        Both in SD of the noise; outputs peak where spikes start.

    Raises
    ------
    InputError
        If the sorter has no networks or no matched filter, or the part lies beyond the recording's end.

    Examples
    --------
    >>> from spikesorter import Sorter, plot, read_recording
    >>> sorter = Sorter.load("OUT/model/targets/D2")             # doctest: +SKIP
    >>> recording = read_recording("D2.mat")                     # doctest: +SKIP
    >>> plot.matched_filter(recording, sorter).show()            # doctest: +SKIP
    """
    from plotly.subplots import make_subplots

    span = _span(recording, sorter, start_s, seconds)
    stages = _stages(recording, sorter, span, found)
    if stages.filtered is None:
        raise InputError(
            "the sorter has no matched filter; train one with --set matched_filter.kind=per_unit"
        )
    k, outputs = largest_channel(sorter), stages.filtered.T
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=["trace", "filtered"]
    )
    draw = partial(add_line, figure, fs_hz=sorter.fs_hz, first=span[0])
    draw(stages.scaled[:, k], GREY, "trace", row=1, showlegend=False)
    units = sorter.units.unit_ids
    for i, output in enumerate(outputs):
        per_unit = len(outputs) == len(units)
        hue = colour(ordered(sorter).index(units[i])) if per_unit else GREY
        name = f"filter of {name_of(sorter.names, units[i])}" if per_unit else "average template"
        draw(output, hue, name, row=2)
    _mark(figure, sorter, found, span, top=float(stages.scaled[:, k].max()), row=1)
    figure.update_yaxes(title_text="SD of the noise")
    figure.update_xaxes(title_text="time (s)", row=2, col=1)
    return finish(figure, height=420, top=40)


def has_networks(sorter: Sorter) -> bool:
    """Return whether a sorter's decoder has networks."""
    return isinstance(sorter.state.tuned.decoder, (CnnDecoder, CombinedDecoder))


def networks_of(sorter: Sorter) -> CnnDecoder:
    """Return a sorter's networks, with their front end.

    Raises
    ------
    InputError
        If its decoder has none.
    """
    decoder = sorter.state.tuned.decoder
    cnn = decoder.cnn if isinstance(decoder, CombinedDecoder) else decoder
    if not isinstance(cnn, CnnDecoder):
        raise InputError(
            f"the sorter's decoder {sorter.decoder} has no networks; train one with --set decoder=cnn or "
            "--preset published"
        )
    return cnn


def busiest_s(found: Spikes, *, fs_hz: float, seconds: float = SECONDS) -> float:
    """Return the start, in seconds, of the part with spikes of most units, then with most spikes.

    Parameters
    ----------
    found : Spikes
    fs_hz : float
    seconds : float
        Length of a part.

    Examples
    --------
    >>> found = Spikes.from_arrays([100, 5000, 5100, 90_000, 90_100], [1, 1, 2, 1, 1])
    >>> busiest_s(found, fs_hz=25_000.0)
    0.196
    """
    length = int(seconds * fs_hz)
    lead = length // 10
    starts = np.maximum(found.sample - lead, 0)
    counts = np.searchsorted(found.sample, starts + length - lead) - np.arange(len(found))
    tried = np.argsort(-counts, kind="stable")[:100]
    kinds = [len(set(found.unit[k : k + counts[k]].tolist())) for k in tried.tolist()]
    return float(starts[tried[int(np.argmax(kinds))]]) / fs_hz if len(tried) else 0.0


def ordered(sorter: Sorter) -> list[int]:
    """Return a sorter's units in the order of their colours: labelled ones, then others."""
    return list(dict.fromkeys((*sorter.units.known, *sorter.units.unit_ids)))


def _span(recording: BaseRecording, sorter: Sorter, start_s: float, seconds: float) -> tuple[int, int]:
    n_samples = recording.get_num_frames()
    first = max(int(start_s * sorter.fs_hz), 0)
    last = min(int((start_s + seconds) * sorter.fs_hz), n_samples)
    if first >= last:
        raise InputError(
            f"nothing to draw from second {start_s:g}; the recording lasts {n_samples / sorter.fs_hz:g} s"
        )
    return first, last


def _stages(recording: BaseRecording, sorter: Sorter, span: tuple[int, int], found: Spikes | None) -> Stages:
    """Return what the front end makes of a span of samples."""
    front_end, (first, last) = networks_of(sorter).front_end, span
    bad: BadStretches | None = None if found is None else found.bad
    before, after = front_end.margin.before, front_end.margin.after
    stages = front_end.stages(sorter.trace_reader(recording, bad=bad)(first - before, last + after))

    def inner(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[before : len(values) - after]

    scaled = stages.scaled[before : len(stages.scaled) - after]
    return Stages(scaled, inner(stages.denoised), inner(stages.filtered))


def largest_channel(sorter: Sorter) -> int:
    """Return the channel on which a template is largest."""
    return int(np.abs(sorter.units.templates.waveforms).max(axis=(0, 1)).argmax())


def add_line(
    figure: Any,
    values: FloatArray,
    hue: str,
    name: str,
    *,
    fs_hz: float,
    first: int = 0,
    row: int | None = None,
    **more: Any,
) -> None:
    """Add a line over seconds to a figure or, if a row is given, to that row's panel."""
    where = {} if row is None else {"row": row, "col": 1}
    line = {"color": hue, "width": 1}
    figure.add_scatter(
        x0=first / fs_hz, dx=1 / fs_hz, y=np.asarray(values, np.float32), mode="lines", line=line, name=name,
        hoverinfo="skip", **where, **more,
    )  # fmt: skip


def _mark(
    figure: Any,
    sorter: Sorter,
    found: Spikes | None,
    span: tuple[int, int],
    *,
    top: float,
    row: int | None = None,
) -> None:
    if found is not None:
        add_spikes(figure, sorter, found.within(*span), top, row=row)


def add_spikes(figure: Any, sorter: Sorter, spikes: Spikes, top: float, *, row: int | None) -> None:
    """Draw spikes above a trace, in the colours of their units."""
    where, order = {} if row is None else {"row": row, "col": 1}, arrange(spikes, first=ordered(sorter))
    for unit in spikes.unit_ids:
        times, k = spikes.of(unit).sample / sorter.fs_hz, order.index(unit)
        figure.add_scatter(
            x=times, y=np.full(len(times), 1.1 * top), mode="markers", name=name_of(sorter.names, unit),
            marker={"color": colour(k), "symbol": symbol(k).plotly, "size": 8}, hoverinfo="skip",
            showlegend=False, **where,
        )  # fmt: skip
