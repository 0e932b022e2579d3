from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.events import Clock, Events, events_by_name, read_events
from spikesorter.report.panels import panels
from spikesorter.report.peri_events import AFTER_S, BEFORE_S, BIN_S, around_events, edges_s, write_peri_events
from spikesorter.report.plots.events import peri_events
from spikesorter.report.results import Result

FS_HZ = 1000.0
CLOCK = Clock(FS_HZ, 60.0)


def test_a_unit_that_answers_is_seen_and_another_is_not(rng: np.random.Generator) -> None:
    times = np.arange(2.0, 202.0, 2.0)
    answer = (1000 * (times[:50] + 0.11)).astype(int)  # to the first condition only
    base = rng.integers(0, 204_000, 2040)
    spikes = Spikes.from_arrays(np.concatenate([answer, base]), np.repeat([1, 2], [50, 2040]), names={2: "b"})
    events = Events(times, ("tone",) * 50 + ("light",) * 50)
    light, tone, *base_rates = around_events(spikes, events, fs_hz=FS_HZ, n_samples=204_000)
    assert (light.condition, tone.condition, tone.events) == ("light", "tone", 50)
    assert tone.rate[24] == pytest.approx(40.0)  # a spike of each event, in 25 ms
    assert tone.rate.sum() == pytest.approx(40.0)
    assert light.rate.sum() == 0
    assert sorted(tone.event.tolist()) == list(range(50))
    inside = [np.mean((one.low <= 10.0) & (one.high >= 10.0)) for one in base_rates]
    assert min(inside) > 0.8  # 95 % intervals of few counts


def test_the_legend_has_a_line_for_each_condition_once(rng: np.random.Generator) -> None:
    spikes = Spikes.from_arrays(rng.integers(0, 60_000, 400), 1 + np.arange(400) % 2)
    events = Events(np.arange(2.0, 58.0, 2.0), ("left", "right") * 14)
    drawn = peri_events(spikes, events, fs_hz=FS_HZ, n_samples=60_000).data
    named = [(one.name, one.mode) for one in drawn if one.showlegend]
    assert sorted(named) == [("left", "lines"), ("right", "lines")]


def test_events_are_read_from_every_format_alike(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_s,condition\n2.5,light\n1,tone\n")
    (tmp_path / "b.csv").write_text("sample;type\n2500;light\n1000;tone\n")
    scipy.io.savemat(tmp_path / "c.mat", {"time_s": [2.5, 1.0], "condition": ["light", "tone"]})
    with h5py.File(tmp_path / "d.nwb", "w") as file:
        trials = file.create_group("intervals/trials")
        trials["start_time"] = [2.5, 1.0]
        trials["condition"] = ["light", "tone"]
    for name in ("a.csv", "b.csv", "c.mat", "d.nwb"):
        events = read_events(tmp_path / name, fs_hz=FS_HZ)
        assert events.time_s.tolist() == [1.0, 2.5], name
        assert [one.strip() for one in events.condition] == ["tone", "light"], name
    by_name = events_by_name(tmp_path, dict.fromkeys("acx", CLOCK))
    assert sorted(by_name) == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("when\n1\n", "expected a column time_s or sample"),
        ("time_s\nsoon\n", "event 1 is not a time: 'soon'"),
        ("time_s\nnan\n", "is not a time"),
        ("time_s\n", "has no events"),
    ],
)
def test_what_is_wrong_with_events_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"events.csv.*{words}"):
        read_events(path, fs_hz=FS_HZ)
    path.write_text("time_s\n1\n")
    with pytest.raises(InputError, match="one file of events, but there are 2 recordings"):
        events_by_name(path, {"D2": CLOCK, "D3": CLOCK})
    with pytest.raises(InputError, match="no such file"):
        read_events(tmp_path / "none.csv", fs_hz=FS_HZ)
    with pytest.raises(InputError, match="has no file of events of D9"):
        events_by_name(tmp_path, {"D9": CLOCK})


def test_spikes_are_exported_with_their_events(tmp_path: Path) -> None:
    spikes = Spikes.from_arrays([1010, 1900, 5000], [1, 2, 1], names={1: "=1+1", 2: "b"})
    write_peri_events(tmp_path / "x.csv", spikes, Events(np.array([1.0, 1.5]), ("t", "l")), fs_hz=FS_HZ)
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["event"], row["condition"], row["sample"], row["from_event_s"]) for row in rows] == [
        ("1", "t", "1010", "0.010000"), ("1", "t", "1900", "0.900000"),
        ("2", "l", "1010", "-0.490000"), ("2", "l", "1900", "0.400000"),
    ]  # fmt: skip
    assert rows[0]["unit"] == "'=1+1"  # no formula for a spreadsheet


@pytest.mark.slow
def test_the_figure_has_a_raster_and_a_histogram_for_each_unit(results: list[Result]) -> None:
    events = Events(np.array([1.0, 2.0, 3.0, 4.0]), ("<b>", "a", "<b>", "a"))
    *_, panel = panels(results[0], None, [], events=events)
    names = {trace["name"] for trace in panel["figure"]["data"]}
    assert names == {"&lt;b&gt;", "a"}
    units = len(results[0].spikes.unit_ids)
    assert sum(trace["mode"] == "markers" for trace in panel["figure"]["data"]) == 2 * units


def test_one_event_has_no_interval_and_events_at_the_ends_are_counted() -> None:
    spikes = Spikes.from_arrays([0, 100, 9_900], [1, 1, 1])
    (one,) = around_events(spikes, Events(np.array([0.05]), ("",)), fs_hz=FS_HZ, n_samples=10_000)
    assert one.lag_s.round(3).tolist() == [-0.05, 0.05]
    assert np.isnan(one.low).all()
    assert np.nansum(one.rate) == pytest.approx(2 * 40.0)
    assert np.isnan(one.rate).tolist() == [True] * 18 + [False] * 42  # what was before the recording
    both = Events(np.array([0.05, 9.9]), ("a", "b"))
    first, last = around_events(spikes, both, fs_hz=FS_HZ, n_samples=10_000)
    assert (len(first.lag_s), last.lag_s.tolist()) == (2, [0.0])
    assert (first.events, last.events) == (1, 1)


def test_outlier_spikes_and_no_spikes_have_no_raster() -> None:
    events = Events(np.array([0.1]), ("",))
    given = {"fs_hz": FS_HZ, "n_samples": 60_000}
    assert around_events(Spikes.from_arrays([100], [0]), events, **given) == []
    assert around_events(Spikes.empty(), events, **given) == []
    rates = around_events(Spikes.from_arrays([50_000], [1]), events, **given)
    assert [np.nanmax(one.rate) for one in rates] == [0.0]


def test_rates_refer_to_what_was_recorded_only() -> None:
    bad = BadStretches.of(
        [(4_980, 5_020, "artefact"), (5_205, 5_210, "artefact"), (8_000, 9_990, "artefact")]
    )
    steady = np.arange(2, 10_000, 5)  # on no edge of a bin
    steady = steady[~bad.contain(steady)]
    spikes = Spikes.from_arrays(steady, np.ones(len(steady), int), bad=bad)
    events = Events(np.array([0.1, 3.0, 5.0, 9.5]), ("",) * 4)
    (one,) = around_events(spikes, events, fs_hz=FS_HZ, n_samples=10_000)
    assert one.rate == pytest.approx(np.full(60, 200.0), rel=1e-9)  # neither silent there nor before or after
    assert one.low == pytest.approx(one.rate)
    alone = Events(np.array([5.0]), ("",))
    (one,) = around_events(spikes, alone, fs_hz=FS_HZ, n_samples=10_000)
    assert np.flatnonzero(np.isnan(one.rate)).tolist() == [19, 20]


def test_lags_and_rates_are_those_of_pynapple() -> None:
    pynapple = pytest.importorskip("pynapple")
    rng = np.random.default_rng(1)
    spikes = Spikes.from_arrays(rng.choice(600_000, 3000, replace=False), rng.integers(1, 3, 3000), fs_hz=1e4)
    events = Events(np.sort(rng.uniform(1, 58, 40)), ("left", "right") * 20)
    for one in around_events(spikes, events, fs_hz=1e4, n_samples=600_000):
        chosen = events.time_s[[name == one.condition for name in events.condition]]
        units = spikes.to_pynapple(n_samples=600_000)
        around = pynapple.compute_perievent(units, pynapple.Ts(chosen), (-BEFORE_S, AFTER_S))[one.unit]
        lags = around.to_tsd()
        assert np.sort(lags.t) == pytest.approx(np.sort(one.lag_s), abs=1e-8)
        counts = np.histogram(lags.t, edges_s())[0]
        assert counts / len(chosen) / BIN_S == pytest.approx(one.rate)
