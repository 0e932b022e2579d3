"""The figures of one recording's result, each with what one sees in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spikesorter import plot
from spikesorter.evaluate import Score
from spikesorter.measures import measure_shapes
from spikesorter.report.results import Result
from spikesorter.spikes import UNKNOWN

__all__ = ["panels"]


def panels(result: Result, measured: Score | None) -> Iterator[dict[str, Any]]:
    """Draw all figures of a recording, one after the other.

    Parameters
    ----------
    result : Result
    measured : Score, optional
        Against the truth, where it is known; what was rehearsed is drawn otherwise.

    Yields
    ------
    dict
        Its `id`, `title`, `caption`, and `figure` as Plotly's JSON.
    """
    sorter, recording = result.sorter, result.recording
    spikes, true = result.spikes.described(fs_hz=sorter.fs_hz, names=sorter.names), result.truth
    shapes = measure_shapes(sorter, recording, spikes)
    found = spikes.select(spikes.label != UNKNOWN)
    of, where = (sorter.outlook, "on the rehearsal") if measured is None else (measured, "against the truth")
    yield _panel(
        "waveforms",
        "Mean waveforms",
        "What was found here (line, with its standard deviation) beside the labelled recording's shape at "
        "this recording's gain (dashed), both after drift removal and band-pass. Overlapping spikes widen "
        "the spread.",
        plot.waveforms(recording, spikes, sorter, shapes=shapes),
    )
    yield _panel(
        "amplitudes",
        "Amplitude over time",
        "Size of single spikes relative to the labelled shape at this gain. A trend is drift; points far off "
        "are mostly overlaps.",
        plot.amplitudes(recording, spikes, sorter, shapes=shapes),
    )
    yield _panel(
        "intervals",
        "Inter-spike intervals",
        "Time between successive spikes of one neuron.",
        plot.intervals(found),
    )
    yield _panel(
        "correlograms",
        "Cross-correlograms",
        "When the neuron of the column fires around each spike of the neuron of the row (ms); on the "
        "diagonal, around its own other spikes. A narrow peak or gap between two neurons hints at spikes "
        "given the wrong name.",
        plot.correlograms(found),
    )
    yield _panel(
        "confusion",
        "Confusion matrix",
        f"Which neurons were taken for which, {where}: rows true, columns found, spikes paired within 2 ms.",
        plot.confusion(of, dict(sorter.names)),
    )
    yield _panel(
        "precision-recall",
        "Precision against recall",
        "As the threshold moves, each spike of its class within 0.4 ms. What is measured ends where the "
        "thresholds stand: less probable spikes were not reported.",
        plot.precision_recall(sorter.outlook, found=found, truth=true),
    )
    yield _panel(
        "reliability",
        "Calibration",
        "Of the spikes said to be so probable, the share that is right. On the dashed line probabilities "
        "mean what they say.",
        plot.reliability(sorter.outlook, found=found, truth=true),
    )
    yield _panel(
        "noise",
        "Noise spectrum",
        "Of the labelled recording, of this one, and of the rehearsal that was made to be like this one: the "
        "last two should agree.",
        plot.noise(sorter),
    )


def _panel(name: str, title: str, caption: str, figure: Any) -> dict[str, Any]:
    drawn = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    return {"id": name, "title": title, "caption": caption, "figure": drawn}
