"""The same bytes for any span, any number of threads, resumed or not, from a file or as a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.settings import load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.simulate import SimulatedRecording, simulate_study
from spikesorter.sorting.sorter import Sorter
from tests.conftest import FS_HZ

# The thresholds are set below, and networks need not be good: one threshold to try, few layers and steps.
SHORT = (
    "rehearsal.training_seconds=5", "rehearsal.tuning_seconds=5", "rehearsal.forecast_seconds=5",
    "detector.filters=8", "detector.base_steps=20", "detector.steps=20", "classifier.filters=8",
    "classifier.base_steps=20", "classifier.steps=20", "output.threshold_grid=[0.5]",
    "output.refractory_grid_ms=[0.8]", "detector.dilations=[1, 4]", "classifier.layers=2",
)  # fmt: skip
KINDS = {
    "pursuit": ("decoder=pursuit",),
    "low_latency": ("decoder=low_latency",),
    "botm": ("decoder=botm",),
    "trees": ("decoder=trees",),
    "cnn": ("decoder=cnn", "denoise.strength=0.3"),
    "combined": ("decoder=combined",),
    "channels": ("decoder=pursuit",),
    "published": ("decoder=cnn", "detector.curves=spike", "detector.unit_variance=true"),
}
HUM_HZ = 50.0


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def study(kind: str) -> list[SimulatedRecording]:
    channels = 3 if kind == "channels" else 1
    return simulate_study(units=3, seconds=9, noise_levels=(0.5, 1.0), channels=channels, seed=3)


@pytest.fixture(scope="module")
def sorter(kind: str, study: list[SimulatedRecording], target: NumpyRecording) -> Sorter:
    settings = load_settings(assignments=[*SHORT, *KINDS[kind]])
    labelled = NumpyRecording([study[0].trace], FS_HZ)
    adapted = Sorter.fit(labelled, study[0].spikes, settings=settings).adapt(target)
    # Low thresholds, so that there is much to differ.
    return adapted.with_working_point(threshold=0.05, refractory_ms=0.8)


@pytest.fixture(scope="module")
def target(study: list[SimulatedRecording]) -> NumpyRecording:
    """A target in 16 bits, with hum, of an odd length."""
    trace = study[2].trace[:200_123]
    hum = 2 * np.sin(2 * np.pi * HUM_HZ * np.arange(len(trace)) / FS_HZ)
    return NumpyRecording([np.round(10 * (trace + hum[:, None])).astype(np.int16)], FS_HZ)


@pytest.fixture(scope="module")
def whole(sorter: Sorter, target: NumpyRecording) -> Spikes:
    assert sorter.profile.hum_hz == (HUM_HZ,)
    spikes = sorter.sort(target, n_jobs=1, span_seconds=1000)
    assert len(spikes) > 100
    return spikes


def assert_same(found: Spikes, expected: Spikes) -> None:
    for name in ("sample", "unit", "probability", "unit_probability"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.slow
@pytest.mark.parametrize(("span_seconds", "n_jobs"), [(0.1, 1), (0.37, 2), (1.0, 3)])
def test_spans_and_threads_change_nothing(
    span_seconds: float, n_jobs: int, sorter: Sorter, whole: Spikes, target: NumpyRecording
) -> None:
    assert_same(sorter.sort(target, n_jobs=n_jobs, span_seconds=span_seconds), whole)


@pytest.mark.slow
def test_a_stream_gives_the_same_bytes(sorter: Sorter, whole: Spikes, target: NumpyRecording) -> None:
    samples, rng = target.get_traces(), np.random.default_rng(0)
    stream, parts, at = sorter.stream(FS_HZ), [], 0
    while at < len(samples):
        packet = samples[at : at + rng.integers(1, 3000)]
        parts.append(stream.push(packet))
        at += len(packet)
    assert stream.received_samples == len(samples)
    late = stream.received_samples - stream.decided_samples
    assert stream.behind_seconds == late / FS_HZ
    assert late <= sorter.state.margin.after + 4096  # the hum filter's tiles
    parts.append(stream.flush())
    assert stream.decided_samples == len(samples)
    assert_same(Spikes.concatenate(parts), whole)


@pytest.mark.slow
def test_a_resumed_run_gives_the_same_bytes(
    sorter: Sorter, whole: Spikes, target: NumpyRecording, tmp_path: Path
) -> None:
    def stop_half_way(step: str, done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    spans = tmp_path / "spans"
    with pytest.raises(KeyboardInterrupt):
        sorter.sort(target, span_seconds=1, n_jobs=2, progress=stop_half_way, resume=spans)
    kept = sorted(spans.glob("*.npz"))
    assert len(kept) >= 3
    written = [path.stat().st_mtime_ns for path in kept]
    again = sorter.sort(target, span_seconds=1, n_jobs=2, resume=spans)
    assert_same(again, whole)
    assert [path.stat().st_mtime_ns for path in kept] == written
