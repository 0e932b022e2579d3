"""Recordings and labels in, spikes and models out: all that opens files."""
