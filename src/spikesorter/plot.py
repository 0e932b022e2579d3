"""Draw recordings, spikes, scores and sorters as Plotly figures.

Each function returns a `plotly.graph_objects.Figure`, which you can show, change and save like any other.
The report shows the same figures.
"""

from spikesorter.report.plots.networks import classifier, detector, grid_search, learning_curves
from spikesorter.report.plots.quality import confusion, noise, precision_recall, reliability
from spikesorter.report.plots.stages import denoising, matched_filter
from spikesorter.report.plots.trace import trace
from spikesorter.report.plots.units import amplitudes, correlograms, intervals, waveforms

__all__ = [
    "amplitudes",
    "classifier",
    "confusion",
    "correlograms",
    "denoising",
    "detector",
    "grid_search",
    "intervals",
    "learning_curves",
    "matched_filter",
    "noise",
    "precision_recall",
    "reliability",
    "trace",
    "waveforms",
]
