"""The version of this package, and of all that results depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

__all__ = ["__version__", "versions"]

__version__ = version("neural-spike-sorter")
"""As the package was built: from the tag of its source, or from the last tag and the commits since then."""

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
