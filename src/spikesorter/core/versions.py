"""The version of this package, and of all that results depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

__all__ = ["__version__", "versions"]

__version__ = "0.1.0"
"""Defined here only; the build, the command line and saved files read it from here."""

PACKAGES = ("numpy", "scipy", "PyWavelets", "numba", "keras", "jax", "spikeinterface")


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the packages that results depend on.

    Examples
    --------
    >>> list(versions())[:3]
    ['python', 'neural-spike-sorter', 'numpy']
    """
    own = {"python": platform.python_version(), "neural-spike-sorter": __version__}
    return own | {name: version(name) for name in PACKAGES}
