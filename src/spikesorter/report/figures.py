"""Save a figure of part of a recording and its spikes, drawn with Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.pairs import numbered_alike
from spikesorter.core.spikes import Spikes
from spikesorter.io.atomic import atomic_file
from spikesorter.report.palette import GREY, colour, symbol

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["save_trace_figure"]


def save_trace_figure(
    path: Path,
    recording: BaseRecording,
    *,
    found: Spikes | None,
    truth: Spikes | None,
    start_s: float,
    seconds: float,
    title: str,
) -> None:
    """Draw part of a recording, with found spikes and true spikes above it.

    Parameters
    ----------
    path : Path
        File to write; its suffix is the format: .png, .svg or .pdf.
    recording : spikeinterface.BaseRecording
        Its first channel is drawn.
    found, truth : Spikes or None
        Not drawn if None. The bad stretches of `found` are shaded, or those of `truth` if it is None.
    start_s, seconds : float
        Start and length of the part.
    title : str

    Raises
    ------
    InputError
        If Matplotlib is not installed, the part lies beyond the end, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from spikeinterface.core import NumpyRecording
    >>> recording = NumpyRecording([np.zeros((5000, 1), np.float32)], 25_000.0)
    >>> found = Spikes.from_arrays([500, 900], [1, 2])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D5.svg"
    ...     save_trace_figure(path, recording, found=found, truth=None, start_s=0, seconds=0.1, title="D5")
    ...     path.read_bytes()[:5]
    b'<?xml'
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("figures need Matplotlib: pip install 'neural-spike-sorter[plot]'") from None
    fs_hz, n_samples = recording.get_sampling_frequency(), recording.get_num_frames()
    first, last = int(start_s * fs_hz), min(int((start_s + seconds) * fs_hz), n_samples)
    if first >= last:
        raise InputError(
            f"{title}: nothing to draw from second {start_s:g}; the recording lasts {n_samples / fs_hz:g} s"
        )
    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise InputError(f"{path}: figures are .png, .svg or .pdf")

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots()
    trace = np.asarray(recording.get_traces(start_frame=first, end_frame=last), float)[:, 0]
    axes.plot(np.arange(first, last) / fs_hz, trace, color="0.35", linewidth=0.7)
    finite = np.nan_to_num(trace, posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    if found is not None and truth is not None:
        found, truth = numbered_alike(found, truth)
    rows = [(name, spikes) for name, spikes in (("found", found), ("true", truth)) if spikes is not None]
    unit_ids = sorted({unit for _, spikes in rows for unit in spikes.unit_ids})
    heights = [high + (0.1 + 0.1 * row) * (high - low) for row in range(len(rows))]
    for height, (name, spikes) in zip(heights, rows, strict=True):
        _draw_spikes(axes, spikes.within(first, last), unit_ids, height, fs_hz)
        axes.annotate(
            name, (1.005, height), xycoords=("axes fraction", "data"), va="center", annotation_clip=False
        )
    for start, stop, _ in rows[0][1].bad.within(first, last) if rows else ():
        axes.axvspan(start / fs_hz, stop / fs_hz, color=GREY, alpha=0.3, linewidth=0)
    if unit_ids:
        names = {unit: spikes.name_of(unit) for _, spikes in rows for unit in spikes.unit_ids}
        _draw_legend(axes, names, unit_ids)
    axes.set(title=title, xlabel="time (s)", ylabel="d", xlim=(first / fs_hz, last / fs_hz))
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


def _style(unit_ids: list[int], unit: int) -> dict[str, Any]:
    k = unit_ids.index(unit)
    return {"color": colour(k), "marker": symbol(k).matplotlib}


def _draw_spikes(axes: Any, spikes: Spikes, unit_ids: list[int], height: float, fs_hz: float) -> None:
    for unit in spikes.unit_ids:
        times = spikes.of(unit).sample / fs_hz
        axes.plot(
            times, np.full(len(times), height), linestyle="none", markersize=6, **_style(unit_ids, unit)
        )


def _draw_legend(axes: Any, names: Mapping[int, str], unit_ids: list[int]) -> None:
    for unit in unit_ids:
        name = names[unit].replace("$", r"\$")  # not a formula
        axes.plot([], [], linestyle="none", label=f"unit {name}", **_style(unit_ids, unit))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=len(unit_ids), frameon=False)
