"""Plotly figures, public as `spikesorter.plot` and shown in the report."""
