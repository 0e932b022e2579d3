"""Read recordings and labels, write spikes and models."""
