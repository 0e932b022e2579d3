"""Draw recordings, spikes, scores and sorters as Plotly figures.

report shows the same figures.
Each function returns a `plotly.graph_objects.Figure`, which you can show, change and save like any other.
The report shows the same figures.
report shows the same figures.
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
