"""A trace without noise, explained exactly: what is made of it follows from numbers that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from spikesorter.core.spikes import Spikes
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.finding.explaining import Explained

FS_HZ = 20_000.0  # 1.5 ms are 30 samples
BEFORE, WINDOW = 10, 60


def planted(
    spikes: Spikes, amplitudes: np.ndarray, detectability: dict[int, float], *, n_samples: int
) -> Explained:
    """Return an explanation by units whose templates differ by the difference of their d'.

    The first unit's spikes have their peak 4 samples after the start, the next one's 7, and so on.
    """
    size = np.array([*detectability.values()])
    peaks = 4 + 3 * np.arange(len(size))
    shapes = np.maximum(1 - np.abs(np.arange(-BEFORE, WINDOW - BEFORE) - peaks[:, None]) / 4, 0)
    templates = Templates(tuple(detectability), np.float32(shapes)[:, :, None], BEFORE)
    overlaps = np.zeros((len(size), 201, len(size)))
    overlaps[:, 100] = np.outer(size, size)
    bank = SimpleNamespace(energies=size**2, overlaps=overlaps, whitener=np.ones((1, 1, 1)))
    amplitudes = np.asarray(amplitudes, np.float32)
    return Explained(
        plant(n_samples, spikes, amplitudes, templates),
        cast(
            Any,
            SimpleNamespace(
                fs_hz=FS_HZ, units=SimpleNamespace(unit_ids=templates.unit_ids, templates=templates)
            ),
        ),
        cast(Any, SimpleNamespace(bank=bank)),
        spikes,
        amplitudes,
        spikes,
    )
