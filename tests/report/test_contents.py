from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.score import score
from spikesorter.core.spikes import Spikes
from spikesorter.report.contents import (
    recording_contents,
    report_contents,
    span_contents,
    thumbnail_contents,
    viewer_contents,
)
from spikesorter.report.metrics import read_conditioned
from spikesorter.report.results import Result


def unpacked(packed: dict[str, Any]) -> np.ndarray:
    flat = np.frombuffer(gzip.decompress(base64.b64decode(packed["gz"])), np.dtype(packed["dtype"]))
    return flat.reshape(packed["shape"])


def lengths(pages: Sequence[Sequence[int]]) -> int:
    return sum(stop - start for start, stop in pages)


def test_a_short_recording_is_embedded_whole(results: list[Result]) -> None:
    result = results[1]
    shown = recording_contents(result, budget_samples=10**6)
    assert shown["whole"]
    assert shown["pages"][0] == [0, 6250]
    assert lengths(shown["pages"]) == result.recording.get_num_frames() == shown["n_samples"]
    embedded = shown["embedded"]
    trace = unpacked(embedded["trace"]) * embedded["step"] + embedded["low"]
    true = read_conditioned(result.sorter, result.recording, 0, shown["n_samples"])
    assert np.abs(trace - true).max() <= 0.51 * embedded["step"][0]
    assert unpacked(embedded["evidence"]).shape == (len(trace), len(shown["curves"]))
    assert np.array_equal(unpacked(shown["found"]["sample"]), result.spikes.sample)
    assert result.truth is not None
    assert np.array_equal(unpacked(shown["truth"]["unit"]), result.truth.unit)


def test_of_a_long_recording_pages_from_all_over_are_embedded_and_the_doubtful_ones(
    results: list[Result],
) -> None:
    shown = recording_contents(results[1], budget_samples=100_000)
    pages = shown["pages"]
    assert not shown["whole"]
    assert 80_000 < lengths(pages) <= 106_250
    assert pages == sorted(pages)
    assert pages[-1][0] > 0.8 * shown["n_samples"]
    assert len(unpacked(shown["embedded"]["trace"])) == lengths(pages)
    seen = [any(a <= sample < b for a, b in pages) for sample, _, _ in shown["doubtful"]]
    assert np.mean(seen) > 0.5 or len(pages) < len(seen)


def test_the_most_doubtful_come_first(results: list[Result]) -> None:
    doubtful = recording_contents(results[1], budget_samples=None)["doubtful"]
    certainty = [abs(probability - 0.5) for _, _, probability in doubtful]
    assert certainty == sorted(certainty)
    assert len(doubtful) <= 60


def test_the_score_is_said_where_it_is_known_and_the_forecast_anyway(results: list[Result]) -> None:
    known = recording_contents(results[0], budget_samples=None)["verdict"]
    unknown = recording_contents(replace(results[0], truth=None), budget_samples=None)["verdict"]
    assert re.search(r" Score (0\.9|1\.0)", known["text"])
    assert re.search(r" Expected score (0\.9|1\.0)", unknown["text"])
    assert known["level"] == unknown["level"] == "good"


def test_no_path_of_this_machine_is_told(results: list[Result], tmp_path: Path) -> None:
    for place, told in (("predictions/D2.mat", "predictions/D2.mat"), ("night/elec17.nwb", "elec17.nwb")):
        contents = viewer_contents("view", [replace(results[0], place=tmp_path / place)])
        assert ["result", told] in contents["recordings"][0]["facts"]
        assert str(tmp_path) not in json.dumps(contents)


def test_the_viewer_gets_the_trace_around_each_doubtful_spike(results: list[Result]) -> None:
    listed = viewer_contents("view", results)["recordings"][1]["doubtful"]
    given = thumbnail_contents(results[1])
    assert len(given) == len(listed) > 0
    for (sample, _, _), one in zip(listed, given, strict=True):
        trace = unpacked(one["trace"])
        assert one["start"] == max(sample - 75, 0)
        true = span_contents(results[1], one["start"], one["start"] + len(trace))
        assert np.array_equal(trace, unpacked(true["trace"]))


def test_no_spikes_are_a_result_to_be_shown(results: list[Result]) -> None:
    silent = replace(results[0], spikes=Spikes.empty(), truth=None)
    shown = recording_contents(silent, budget_samples=100_000)
    assert shown["doubtful"] == []
    assert unpacked(shown["found"]["sample"]).shape == (0,)
    assert {row[1] for row in shown["unit_table"]["rows"]} == {"0"}


@pytest.mark.slow
def test_of_many_recordings_the_worst_are_shown_in_full(results: list[Result]) -> None:
    good, worse = results
    contents = report_contents("many", [good] * 20 + [worse])
    assert len(contents["recordings"]) == 12
    assert contents["recordings"][-1]["name"] == worse.name
    assert "The other 9 recordings" in contents["note"]
    details = [row["details"] for row in contents["summary"]["rows"]]
    assert sorted(k for k in details if k is not None) == list(range(12))


def test_contents_are_plain_json_and_say_what_they_were_made_with(results: list[Result]) -> None:
    contents = report_contents("study", results, overall=0.93, seconds={"fit": 1.0})
    assert json.loads(json.dumps(contents, allow_nan=False)) == contents
    assert contents["overall"]["level"] == "good"
    assert contents["overall"]["text"].endswith(" true spikes are found. Study score 0.930.")
    assert [part["title"] for part in contents["about"]] == ["Versions", "Time taken", "Settings"]
    assert 'decoder = "pursuit"' in contents["about"][2]["text"]
    assert [figure["id"] for figure in contents["recordings"][0]["figures"]] == [
        "waveforms", "amplitudes", "intervals", "correlograms", "confusion", "precision-recall",
        "reliability", "noise",
    ]  # fmt: skip


def test_the_viewer_gets_no_trace_but_spans_of_it(results: list[Result]) -> None:
    contents = viewer_contents("view", results)
    one = contents["recordings"][1]
    assert (one["found"], one["truth"], one["embedded"], one["whole"]) == (None, None, None, True)
    span = span_contents(results[1], 1000, 3000)
    assert unpacked(span["trace"]).shape == (2000, 1)
    assert unpacked(span["evidence"]).shape == (2000, len(one["curves"]))
    inside = results[1].spikes.within(1000, 3000)
    assert np.array_equal(unpacked(span["found"]["sample"]), inside.sample)


def test_reading_a_span_does_not_read_the_recording(
    results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = NumpyRecording.get_traces
    recording = NumpyRecording([results[1].recording.get_traces()], 25_000.0)

    def watched(self: NumpyRecording, *args: Any, **kwargs: Any) -> Any:
        asked.append((kwargs["start_frame"], kwargs["end_frame"]))
        return read(self, *args, **kwargs)

    monkeypatch.setattr(NumpyRecording, "get_traces", watched)
    span_contents(replace(results[1], read=lambda: recording), 150_000, 156_250)
    assert max(stop - start for start, stop in asked) < 60_000


BAD = BadStretches.of([(1000, 3500, "artefact"), (100_000, 112_500, "dead")])


def with_bad(result: Result) -> Result:
    return replace(result, spikes=replace(result.spikes.outside(BAD), bad=BAD))


def test_bad_stretches_are_told_listed_and_left_out_of_rates_and_scores(results: list[Result]) -> None:
    result = with_bad(results[1])
    shown = recording_contents(result, budget_samples=10**6)
    assert shown["bad"][0] == [1000, 3500, "artefact"]
    assert sum(stop - start for start, stop, _ in shown["bad"]) == BAD.samples
    assert shown["bad_words"].startswith(
        "0.6 of 8 s are bad and were left out: dead 0.5 s, artefact 0.1 s. There, spikes"
    )
    rates = [float(row[2]) for row in shown["unit_table"]["rows"]]
    counts = [int(row[1]) for row in shown["unit_table"]["rows"]]
    assert rates == pytest.approx([count / 7.4 for count in counts], abs=0.006)
    assert result.truth is not None
    expected = score(result.truth.outside(BAD), result.spikes).score
    assert f"Score {expected:.3f}" in shown["verdict"]["text"]
    embedded = shown["embedded"]
    trace = unpacked(embedded["trace"]) * embedded["step"] + embedded["low"]
    assert np.abs(trace[101_000:111_000]).max() < 2 * embedded["step"][0]


def test_the_table_has_a_column_of_what_is_bad_only_where_anything_is(results: list[Result]) -> None:
    summary = report_contents("study", [results[0], with_bad(results[1])])["summary"]
    assert [row["cells"][summary["head"].index("bad")] for row in summary["rows"]] == [
        "0 s", "0.6 s",
    ]  # fmt: skip
    assert all(len(row["cells"]) == len(summary["head"]) for row in summary["rows"])
    plain = report_contents("study", results)
    assert "bad" not in plain["summary"]["head"]
    assert {one["bad_words"] for one in plain["recordings"]} == {""}


def test_a_span_lists_the_bad_stretches_in_it(results: list[Result]) -> None:
    assert span_contents(with_bad(results[1]), 2000, 4000)["bad"] == [[2000, 3500, "artefact"]]
    assert span_contents(with_bad(results[1]), 3500, 4000)["bad"] == []
    assert recording_contents(with_bad(results[1]), budget_samples=None)["bad"] == []


def test_no_score_is_forecast_for_a_recording_that_is_unlike_the_sorters(results: list[Result]) -> None:
    spikes = replace(results[0].spikes, doubts=("its noise is 9 times that of D1",))
    one = replace(results[0], truth=None, spikes=spikes)
    contents = report_contents("sorted", [one, results[1]])
    assert (
        contents["recordings"][0]["verdict"]["text"]
        == "No score is forecast: its noise is 9 times that of D1."
    )
    row = contents["summary"]["rows"][0]
    assert row["level"] == "poor"
    assert "none" in row["cells"]
