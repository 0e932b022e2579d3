"""Figures of recordings, spikes and scores, for notebooks and papers."""

from spikesorter.report.plot import (
    amplitudes,
    confusion,
    correlograms,
    intervals,
    noise,
    precision_recall,
    reliability,
    trace,
    waveforms,
)

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
