"""The decoder given the truth about library studies finds what there is, and its errors are counted."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from spikesorter import Spikes, score

FS_HZ = 24_000.0


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    return importlib.import_module("library_reference")


def bumps(reference: ModuleType) -> np.ndarray:
    """Two neurons of one width and of another, at each shift within a sample."""
    t = np.arange(reference.SHAPE_SAMPLES)[None, :] - np.arange(reference.SHIFTS)[:, None] / reference.SHIFTS
    return np.concatenate([np.exp(-0.5 * ((t - 20) / width) ** 2) for width in (2.0, 5.0)])


def test_overlapping_spikes_between_samples_are_found_and_named(reference: ModuleType) -> None:
    rng = np.random.default_rng(0)
    n_samples, waveforms = 60_000, bumps(reference)
    truth = Spikes([5_000, 9_000, 9_012, 20_000, 31_000, 31_030], [1, 1, 2, 2, 1, 1])
    noise = 0.05 * rng.standard_normal(n_samples)
    trace = noise.copy()
    for i, (start, unit) in enumerate(zip(truth.sample, truth.unit, strict=True)):
        shift = i % reference.SHIFTS
        trace[start : start + reference.SHAPE_SAMPLES] += waveforms[(unit - 1) * reference.SHIFTS + shift]
    filters = reference.make_filters(waveforms, noise, FS_HZ)
    found, result = reference.decode(filters, trace, truth, FS_HZ)
    assert reference.errors(result) == {"missed": 0, "false": 0, "wrong": 0, "errors": 0}
    assert np.abs(found.sample - truth.sample).max() <= 1  # a shift is one quarter of a sample


def test_a_spike_that_is_not_there_is_taken_back(reference: ModuleType) -> None:
    waveforms = bumps(reference)
    trace = np.zeros(20_000)
    trace[8_000 : 8_000 + reference.SHAPE_SAMPLES] += waveforms[0]
    noise = 0.05 * np.random.default_rng(0).standard_normal(20_000)
    filters = reference.make_filters(waveforms, noise, FS_HZ)
    explanation = reference.Explanation(filters, reference.outputs_of(filters, trace))
    explanation.add(np.array([8_000, 8_009, 12_000]), np.array([0, reference.SHIFTS, 0]))
    reference.explain(explanation, 0.0)
    assert explanation.start.tolist() == [8_000]
    assert np.abs(explanation.output).max() < 0.02 * filters.energy.max()  # nothing else is left


def test_each_kind_of_error_is_counted(reference: ModuleType) -> None:
    truth = Spikes([100, 300, 500, 700], [1, 1, 2, 2])
    found = Spikes([100, 300, 500, 900], [1, 2, 2, 1])  # right, wrong name, right, false; one is missed
    assert reference.errors(score(truth, found)) == {"missed": 1, "false": 1, "wrong": 1, "errors": 3}
