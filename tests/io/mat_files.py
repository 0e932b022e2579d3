"""Files of MATLAB with any variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

TRACE = np.sin(np.arange(500.0)) * 100


def save(path: Path, **variables: Any) -> Path:
    scipy.io.savemat(path, variables)
    return path


def save_v73(path: Path, **variables: Any) -> Path:
    """A file as MATLAB writes it: a user block of 512 bytes before the HDF5 part, arrays transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            file[name] = np.atleast_2d(value).T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(116))
    return path
