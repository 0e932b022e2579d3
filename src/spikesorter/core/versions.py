"""What a result was made with."""

from __future__ import annotations

import platform
from importlib.metadata import version

__all__ = ["versions"]

PACKAGES = ("neural-spike-sorter", "numpy", "scipy", "PyWavelets", "numba", "keras", "jax", "spikeinterface")


def versions() -> dict[str, str]:
    """Return the versions of Python and of all packages that decide about a result."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
