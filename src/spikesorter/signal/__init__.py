"""Pure functions over traces of shape (samples, channels), float32; each states its margin."""
