"""From a trace to candidate spikes: decoders, calibration, thresholds."""
