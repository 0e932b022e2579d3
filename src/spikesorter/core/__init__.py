"""The vocabulary: spikes, settings, scores, errors."""
