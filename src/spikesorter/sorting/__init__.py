"""Fit, adapt and sort: the sorter and what it takes."""
