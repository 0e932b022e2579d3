"""Figures; matplotlib is imported nowhere else."""
