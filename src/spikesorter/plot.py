"""Draw recordings, spikes, scores and sorters as Plotly figures.

Each function returns a `plotly.graph_objects.Figure`, to be shown, changed and saved in Plotly's own ways.
The report shows the same figures.
"""

from spikesorter.report.plots.quality import confusion, noise, precision_recall, reliability
from spikesorter.report.plots.trace import trace
from spikesorter.report.plots.units import amplitudes, correlograms, intervals, waveforms

__all__ = [
    "amplitudes",
    "confusion",
    "correlograms",
    "intervals",
    "noise",
    "precision_recall",
    "reliability",
    "trace",
    "waveforms",
]
