"""A recording sorted span by span: what is finished is kept, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finished_spans import FACTS, FinishedSpans, open_spans
from spikesorter.sorting.spans import span_samples
from tests.decoding.test_run import DECODERS, Sums
from tests.properties.strategies import spikes_values

OURS = {"version": "1", "sorter": "abc", "recording": "def"}
SPIKES = Spikes.from_arrays([100, 250, 250], [2, 1, 2], [0.5, 0.25, 1.0], [1.0, 0.5, 0.125])


def kept(folder: Path, facts: dict[str, str] = OURS) -> FinishedSpans:
    spans = open_spans(folder, facts)
    spans.write(0, 1000, SPIKES)
    return spans


def test_finished_spans_come_back(tmp_path: Path) -> None:
    kept(tmp_path / "spans")
    again = open_spans(tmp_path / "spans", OURS)
    assert again.read(0, 1000) == SPIKES
    assert again.read(0, 1001) is None
    assert again.read(1000, 2000) is None
    again.write(1000, 2000, Spikes.empty())
    assert again.read(1000, 2000) == Spikes.empty()


@settings(max_examples=15)
@given(spikes_values(least_unit=0, named=False), st.integers(0, 2**50), st.integers(1, 2**30))
def test_any_spikes_of_any_span_come_back(spikes: Spikes, start: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spans = FinishedSpans(Path(folder))
        spans.write(start, start + length, spikes)
        again = spans.read(start, start + length)
        assert len(list(Path(folder).iterdir())) == 1
    assert again == spikes
    assert again is not None
    assert again.probability.tobytes() == spikes.probability.tobytes()


@pytest.mark.parametrize("name", sorted(OURS))
def test_spans_of_another_recording_sorter_or_version_are_removed(name: str, tmp_path: Path) -> None:
    kept(tmp_path / "spans")
    spans = open_spans(tmp_path / "spans", OURS | {name: "other"})
    assert spans.read(0, 1000) is None
    assert [path.name for path in (tmp_path / "spans").iterdir()] == [FACTS]
    assert json.loads((tmp_path / "spans" / FACTS).read_text()) == OURS | {name: "other"}


@pytest.mark.parametrize("facts", ["", "[]", "{", '{"version": "1"}', "null"])
def test_facts_that_cannot_be_read_are_of_another_run(facts: str, tmp_path: Path) -> None:
    kept(tmp_path / "spans")
    (tmp_path / "spans" / FACTS).write_text(facts)
    assert open_spans(tmp_path / "spans", OURS).read(0, 1000) is None


@pytest.mark.parametrize("harm", ["short", "empty", "text", "lacking", "negative", "objects", "folder"])
def test_a_damaged_span_is_sorted_again(harm: str, tmp_path: Path) -> None:
    spans = kept(tmp_path / "spans")
    (path,) = (path for path in spans.folder.iterdir() if path.name != FACTS)
    arrays = {name: getattr(SPIKES, name) for name in ("sample", "unit", "probability", "unit_probability")}
    if harm == "short":
        path.write_bytes(path.read_bytes()[:-30])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "text":
        path.write_text("spikes")
    elif harm == "lacking":
        np.savez(path, **{name: values for name, values in arrays.items() if name != "unit"})
    elif harm == "negative":
        np.savez(path, **arrays | {"sample": -arrays["sample"]})
    elif harm == "objects":
        np.savez(path, **arrays | {"unit": np.array([None, "a", {}], object)})
    else:
        path.unlink()
        path.mkdir()
    assert spans.read(0, 1000) is None
    if harm != "folder":
        spans.write(0, 1000, SPIKES)
        assert spans.read(0, 1000) == SPIKES


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="contains something other than the spans of an interrupted run"):
        open_spans(tmp_path, OURS)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / FACTS).exists()


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".temporary").write_text("half a span")
    open_spans(tmp_path, OURS).write(0, 10, SPIKES)
    assert not (tmp_path / ".temporary").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    kept(tmp_path / "precious")
    (tmp_path / "spans").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="spans: is a link; finished spans are kept in the folder"):
        open_spans(tmp_path / "spans", OURS | {"version": "2"})
    assert FinishedSpans(tmp_path / "precious").read(0, 1000) == SPIKES


@given(st.floats(1e-6, 1e6), st.sampled_from(DECODERS), st.sampled_from([1000.0, 25_000.0, 24_414.0625]))
def test_a_span_is_the_nearest_whole_number_of_blocks(seconds: float, decoder: Sums, fs_hz: float) -> None:
    length = span_samples(seconds, decoder, fs_hz=fs_hz)  # type: ignore[arg-type]
    assert length % decoder.grid_samples == 0
    assert length >= decoder.grid_samples
    wanted = max(seconds * fs_hz, decoder.grid_samples)
    assert abs(length - wanted) <= decoder.grid_samples / 2 + 1e-3


def test_a_span_for_ever_is_long_and_one_of_no_time_is_refused() -> None:
    assert span_samples(float("inf"), DECODERS[1], fs_hz=25_000.0) == 1 << 40  # type: ignore[arg-type]
    for seconds in (0, -1, float("nan")):
        with pytest.raises(SettingsError, match="span_seconds must be more than 0, not"):
            span_samples(seconds, DECODERS[1], fs_hz=25_000.0)  # type: ignore[arg-type]
