"""Simulated studies: labelled recordings and noisier ones of the same units, with known spikes."""

from spikesorter.estimation.simulate import SimulatedRecording, simulate_study

__all__ = ["SimulatedRecording", "simulate_study"]
