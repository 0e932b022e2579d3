from __future__ import annotations

import math

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, create_sorting_analyzer
from spikeinterface.metrics import compute_quality_metrics

from spikesorter.report.features import measure_features
from spikesorter.report.metrics import read_conditioned
from spikesorter.report.results import Result
from spikesorter.report.unit_metrics import HEAD, metric_contents, unit_metrics

pytestmark = pytest.mark.slow


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
