"""Small results for tests of the viewer: what it needs of them, without a sorter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import NumpyRecording

from spikesorter.core.spikes import Spikes
from spikesorter.report.packing import pack, pack_spikes

FS_HZ = 25_000.0
SECONDS = 20
N_SAMPLES = int(SECONDS * FS_HZ)
PAGE = 6250
HOSTILE = "<script>alert(1)<"  # a file called <script>alert(1)</script>.mat has this stem
HOSTILE_UNIT = "<img src=x onerror=alert(2)>"
SPIKES = Spikes.from_arrays(
    [3_000, 9_000, 15_000, 21_000, 27_000, 400_000],
    [1, 2, 1, 3, 2, 1],
    [0.55, 0.99, 0.6, 0.75, 1.0, 0.5],
    [1.0, 1.0, 1.0, 0.9, 1.0, 1.0],
    fs_hz=FS_HZ,
    names={1: "1", 2: HOSTILE_UNIT, 3: "3"},
)


NO_PICTURES: dict[str, Callable[[Any], list[Any]]] = {
    "figures": lambda result: [],
    "thumbnails": lambda result: [],
}


@dataclass(frozen=True, eq=False)
class FakeResult:
    name: str
    recording: NumpyRecording
    spikes: Spikes
    truth: Spikes | None
    place: Path
    doubts: tuple[str, ...] = ("nothing is forecast for a stand-in",)


def fake_result(folder: Path, name: str = HOSTILE, spikes: Spikes = SPIKES) -> FakeResult:
    trace = _noise().copy()
    for sample in spikes.sample.tolist():
        trace[sample : sample + 30, 0] += 10 * np.hanning(30)
    return FakeResult(name, NumpyRecording([trace], FS_HZ), spikes, None, folder / f"{name}.mat")


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_SAMPLES, 1)).astype(np.float32)


def fake_span(result: FakeResult, start: int, stop: int) -> dict[str, Any]:
    """What `span_contents` gives, of a made-up evidence."""
    evidence = np.zeros((stop - start, 3), np.float32)
    found = result.spikes.within(start, stop)
    evidence[found.sample - start, found.unit - 1] = found.joint
    return {
        "start": start,
        "stop": stop,
        "trace": pack(result.recording.get_traces(start_frame=start, end_frame=stop), "f4"),
        "evidence": pack(evidence, "f4"),
        "found": pack_spikes(found),
        "truth": None,
        "bad": [],
    }


def fake_contents(results: list[FakeResult]) -> dict[str, Any]:
    """What `viewer_contents` gives, without figures."""
    rows = [
        {"cells": [result.name, str(len(result.spikes))], "level": "fair", "details": r}
        for r, result in enumerate(results)
    ]
    return {
        "kind": "viewer",
        "title": f"results of {HOSTILE}",
        "hand_in": "",
        "version": "1.2.3",
        "made": "2026-11-23 05:30 UTC",
        "overall": {"level": "fair", "text": "Some are missed."},
        "summary": {"head": ["recording", "spikes"], "rows": rows},
        "recordings": [_recording(result) for result in results],
        "note": "",
        "about": [{"title": "Versions", "rows": [["numpy", np.__version__]]}],
    }


def _recording(result: FakeResult) -> dict[str, Any]:
    spikes = result.spikes
    order = np.argsort(np.abs(spikes.joint - 0.5), kind="stable")
    units = [{"unit": unit, "name": spikes.name_of(unit)} for unit in (1, 2, 3)]
    return {
        "name": result.name,
        "fs_hz": FS_HZ,
        "n_samples": N_SAMPLES,
        "verdict": {"level": "fair", "text": "Expected score 0.8."},
        "bad_words": "",
        "strip": {"width": 10, "height": 0, "rows": [], "bad": []},
        "cards": [],
        "bad": [],
        "facts": [["noise", "1"]],
        "units": units,
        "unit_table": {"head": ["unit", "spikes"], "rows": [[unit["name"], "2"] for unit in units]},
        "metrics": None,
        "channels": ["0"],
        "curves": [unit["name"] for unit in units],
        "pages": [[start, min(start + PAGE, N_SAMPLES)] for start in range(0, N_SAMPLES, PAGE)],
        "whole": True,
        "found": None,
        "truth": None,
        "doubtful": [
            [int(spikes.sample[k]), int(spikes.unit[k]), round(float(spikes.joint[k]), 3)]
            for k in order
            if spikes.joint[k] < 0.95
        ],
        "embedded": None,
        "figures": [],
        "missing": [],
    }
