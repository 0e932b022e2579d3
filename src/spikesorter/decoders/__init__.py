"""Decoders: from the features of a trace to spikes."""
