from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, create_sorting_analyzer
from spikeinterface.metrics import compute_quality_metrics

from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.features import Features, measure_features
from spikesorter.report.metrics import read_conditioned
from spikesorter.report.results import Result
from spikesorter.report.unit_metrics import HEAD, metric_contents, unit_metrics


@pytest.mark.slow
def test_metrics_are_those_of_spikeinterface(results: list[Result]) -> None:
    result = results[0]
    features = measure_features(result.sorter, result.recording, result.spikes)
    metrics = unit_metrics(result, features)
    known = result.spikes.select(result.spikes.unit > 0)
    sorting = known.described(fs_hz=result.sorter.fs_hz, names={}).to_spikeinterface()
    trace = read_conditioned(result.sorter, result.recording, 0, result.n_samples, bad=result.spikes.bad)
    recording = NumpyRecording([trace], result.sorter.fs_hz)
    recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False)
    analyzer.compute(["random_spikes", "templates", "noise_levels"])
    theirs = compute_quality_metrics(analyzer, metric_names=["snr", "isi_violation"])
    for unit, values in metrics.items():
        named = dict(zip(HEAD[3:], values, strict=True))
        row = theirs.loc[unit]
        assert named["violations"] == row["isi_violations_count"]
        assert named["interval violations"] == pytest.approx(row["isi_violations_ratio"])
        assert named["SNR"] == pytest.approx(row["snr"], rel=0.15)  # from other spikes and places
        assert named["presence"] == 1.0
        assert named["isolation distance"] > 20
        assert named["NN hit"] > 0.9


@pytest.mark.slow
def test_the_table_has_expected_shares_beside_them(results: list[Result]) -> None:
    table = metric_contents(results[1], most=100)
    assert {len(row) for row in table["rows"]} == {len(table["head"])}
    shares = [float(row[1].removeprefix("\u2248\u00a0")) for row in table["rows"]]
    assert all(0 < one <= 1 for one in shares)
    assert table["rows"][0][HEAD.index("amplitude cut-off")] == ""  # 100 spikes are too few
    few = measure_features(results[1].sorter, results[1].recording, results[1].spikes, most=30)
    assert all(
        math.isnan(values[-1]) or np.isfinite(values[-1]) for values in unit_metrics(results[1], few).values()
    )


MINUTE = 60_000  # samples at 1000 Hz


@pytest.fixture
def three_minutes(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> tuple[Any, Features]:
    """Unit 1 spikes in two minutes of three, unit 2 twice in all; one spike is of no known unit."""
    first = np.sort(rng.choice(np.arange(0, 2 * MINUTE, 5), 30, replace=False))
    first[1] = first[0] + 1  # 1 ms later: the only violation
    sample = [*first, 2 * MINUTE + 10, 2 * MINUTE + 12, 5]
    spikes = Spikes.from_arrays(sample, [1] * 30 + [2, 2, UNKNOWN])
    result = SimpleNamespace(
        spikes=spikes,
        sorter=SimpleNamespace(fs_hz=1000.0, names={1: "a"}, units=SimpleNamespace(known=(2, 1, 3))),
        truth=None,
        doubts=("it is another brain",),
        recording=None,
        n_samples=3 * MINUTE,
        seconds=180.0,
        good_seconds=90.0,
    )
    white = (spikes.unit[:, None, None] * 10 + rng.standard_normal((33, 4, 1))).astype(np.float32)
    features = Features(np.arange(33), white, white[:, :, 0])
    levels = np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]])
    mean = np.float32([[4.0, 0.0], [-8.0, 10.0]])
    monkeypatch.setattr("spikesorter.report.unit_metrics.noise_levels", lambda result: levels)
    monkeypatch.setattr(
        "spikesorter.report.unit_metrics.measure_shapes", lambda *given: [SimpleNamespace(unit=1, mean=mean)]
    )
    monkeypatch.setattr("spikesorter.report.unit_metrics.measure_features", lambda *given, most: features)
    return result, features


def test_metrics_of_a_few_spikes_are_those_worked_out_by_hand(three_minutes: tuple[Any, Features]) -> None:
    result, features = three_minutes
    metrics = unit_metrics(result, features)
    assert list(metrics) == [2, 1]  # as the sorter has them; no spikes, no row, and none for unknown ones
    one, two = (dict(zip(HEAD[3:], metrics[unit], strict=True)) for unit in (1, 2))
    assert one["SNR"] == 4.0  # 8 by a noise of 2 on the first channel, not 10 by 5 on the second
    assert (one["violations"], two["violations"]) == (1.0, 0.0)  # 2 ms are none
    assert one["interval violations"] == pytest.approx(1 / (2 * 30 * 0.0015) / (30 / 90.0))
    assert (one["presence"], two["presence"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert all(math.isnan(two[name]) for name in ("SNR", "amplitude cut-off", "NN hit", "L-ratio"))
    assert math.isnan(one["isolation distance"])  # 30 spikes of its own, and 3 of others


@pytest.mark.parametrize(
    ("levels", "ratio"),
    [
        ([[0.0, 0.0]] * 5 + [[2.0, 5.0]], 4.0),  # most places are in bad stretches
        ([[0.0, 5.0]] * 3, 2.0),  # a dead channel
        ([[0.0, 0.0]] * 3, math.nan),
    ],
)
def test_places_without_noise_make_no_unit_clear(
    three_minutes: tuple[Any, Features],
    monkeypatch: pytest.MonkeyPatch,
    levels: list[list[float]],
    ratio: float,
) -> None:
    monkeypatch.setattr("spikesorter.report.unit_metrics.noise_levels", lambda result: np.array(levels))
    assert unit_metrics(*three_minutes)[1][0] == pytest.approx(ratio, nan_ok=True)


def test_too_few_spikes_leave_a_cell_empty(three_minutes: tuple[Any, Features]) -> None:
    second, first = metric_contents(three_minutes[0])["rows"]
    assert first[:7] == ["a", "", "", "4", "33.3", "1", "0.667"]
    assert second == ["2", "", "", "", "0", "0", "0.333", "", "", "", "", ""]
    assert first[7:] == [""] * 5


def test_shapes_that_are_measured_already_are_not_measured_again(
    three_minutes: tuple[Any, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesorter.report.unit_metrics.measure_shapes", None)
    shapes: list[Any] = [SimpleNamespace(unit=1, mean=np.float32([[6.0, 0.0]]))]
    assert metric_contents(three_minutes[0], shapes=shapes)["rows"][1][3] == "3"  # 6 by a noise of 2
