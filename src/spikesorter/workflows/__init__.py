"""Whole jobs: files, studies, batches, streams."""
