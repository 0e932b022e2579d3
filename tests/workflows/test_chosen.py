"""What the start page's form says, and what is left out because of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError
from spikesorter.io.exclusion import Exclusion
from spikesorter.workflows.chosen import EXCLUDED, Chosen, number_in, reading_options

# SpikeInterface leaves what it wrote open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:The extractor is not serializable")
FS_HZ = 20_000.0
READING = {"fs_hz": "20000", "dtype": "", "channels": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("D1", "D2"):
        np.save(tmp_path / f"{name}.npy", np.arange(80_000).astype(np.float32)[:, None] % 7)
    return tmp_path


def fields_in(folder: Path, **changed: Any) -> dict[str, Any]:
    usual = {"recording": str(folder / "D1.npy"), "targets": [str(folder / "D2.npy")], "reading": READING}
    return usual | {"out": str(folder / "out")} | changed


def test_what_was_marked_is_left_out_of_that_recording_alone(folder: Path) -> None:
    one, other = folder / "D1.npy", folder / "D2.npy"
    chosen = Chosen.of(fields_in(folder, bad={str(one): [[3.0, 9.0], [1.0, 1.5], [1.4, 2]], str(other): []}))
    chosen.write_bad()
    table = folder / "out" / EXCLUDED / "D1.bad.csv"
    assert table.read_text().splitlines() == ["start_s,stop_s,kind", "1.0,2.0,given", "3.0,4.0,given"]
    options = chosen.options([one, other])
    assert options.exclude is not None
    options.exclude.check(["D1", "D2"])
    left_out = options.open(one).exclude
    assert list(zip(left_out.start.tolist(), left_out.stop.tolist(), strict=True)) == [
        (20_000, 40_000), (60_000, 80_000),
    ]  # fmt: skip
    assert len(options.open(other).exclude) == 0
    assert chosen.options([other]).exclude is None


def test_a_table_of_an_earlier_attempt_does_not_stay(folder: Path) -> None:
    Chosen.of(fields_in(folder, bad={str(folder / "D1.npy"): [[0.5, 1.0]]})).write_bad()
    Chosen.of(fields_in(folder, bad={str(folder / "D2.npy"): [[0.5, 1.0]]})).write_bad()
    assert [path.name for path in (folder / "out" / EXCLUDED).iterdir()] == ["D2.bad.csv"]
    Chosen.of(fields_in(folder)).write_bad()
    assert list((folder / "out" / EXCLUDED).iterdir()) == []


def test_without_bad_stretches_nothing_is_written(folder: Path) -> None:
    chosen = Chosen.of(fields_in(folder))
    chosen.write_bad()
    assert not (folder / "out").exists()
    assert chosen.options([chosen.recording]) == reading_options({"reading": READING})


def test_a_stretch_of_a_recording_that_is_no_longer_chosen_is_forgotten(folder: Path) -> None:
    given = fields_in(folder, bad={str(folder / "D2.npy"): [[0.5, 1.0]]}, targets=[])
    assert Chosen.of(given).bad == {}


def test_channels_and_how_files_are_read_go_into_the_options(folder: Path) -> None:
    reading = {"fs_hz": "30000", "dtype": " int16 ", "channels": "4"}
    options = Chosen.of(fields_in(folder, reading=reading, channels=["a", "2"])).options([])
    assert (options.fs_hz, options.dtype, options.channels, options.channel) == (
        30_000.0,
        "int16",
        4,
        ("a", "2"),
    )
    assert options.exclude is None


def test_bad_stretches_of_a_segment_are_left_out_of_it(tmp_path: Path) -> None:
    """Its result, and so its table, is named after the segment."""
    path = tmp_path / "night"
    parts = [np.arange(n, dtype=np.int16)[:, None] % 7 for n in (40_000, 60_000)]
    NumpyRecording(parts, FS_HZ).save(folder=path, verbose=False)
    given = {"recording": str(path), "out": str(tmp_path / "out"), "bad": {str(path): [[1.0, 2.5]]}}
    chosen = Chosen.of(given | {"reading": {"stream": "", "segment": "1"}})
    assert (chosen.reading.stream, chosen.reading.segment) == (None, 1)
    chosen.write_bad()
    assert [one.name for one in (tmp_path / "out" / EXCLUDED).iterdir()] == ["night-segment1.bad.csv"]
    left_out = chosen.options([path]).open(path).exclude
    assert (left_out.start.tolist(), left_out.stop.tolist()) == ([20_000], [50_000])


def test_two_recordings_of_one_name_cannot_be_told_apart(folder: Path) -> None:
    (folder / "more").mkdir()
    np.save(folder / "more" / "D1.npy", np.zeros((80_000, 1), np.float32))
    targets = [str(folder / "more" / "D1.npy")]
    chosen = Chosen.of(fields_in(folder, targets=targets, bad={targets[0]: [[0.5, 1.0]]}))
    with pytest.raises(InputError, match="two recordings have one name"):
        chosen.write_bad()


def test_the_recording_itself_may_be_sorted(folder: Path) -> None:
    one = str(folder / "D1.npy")
    chosen = Chosen.of(fields_in(folder, targets=[one], bad={one: [[0.5, 1.0]]}))
    chosen.write_bad()
    assert isinstance(chosen.options([Path(one)]).exclude, Exclusion)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bad": 3}, "bad must be an object"),
        ({"bad": {"/nowhere": [[1, 2]]}}, "/nowhere: no such file"),
        ({"bad": {__file__: [[1]]}}, "a start and a stop in seconds, not"),
        ({"bad": {__file__: [[2, 1]]}}, "from 2 to 1 s is nothing"),
        ({"bad": {__file__: [[-1, 1]]}}, "from -1 to 1 s is nothing"),
        ({"bad": {__file__: [["x", 1]]}}, "time: expected a number, not 'x'"),
        ({"bad": {__file__: [[1, float("nan")]]}}, "time: expected a number"),
        ({"channels": "0"}, "channels must be a list"),
        ({"reading": [1]}, "reading must be an object"),
        ({"reading": {"fs_hz": "fast"}}, "fs_hz: expected a number, not 'fast'"),
        ({"reading": {"segment": "first"}}, "segment: expected a number, not 'first'"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Chosen.of(fields_in(folder, **changed))


def test_a_stretch_beyond_the_end_is_refused_with_the_file(folder: Path) -> None:
    chosen = Chosen.of(fields_in(folder, bad={str(folder / "D1.npy"): [[4.0, 5.0]]}))
    with pytest.raises(InputError, match=r"D1.npy: bad stretch at 4 s: the recording has only 4 s"):
        chosen.write_bad()


def test_numbers_may_be_text() -> None:
    assert number_in({"a": "2.5"}, "a") == 2.5
    for wrong in (None, "", "1,5", [], "inf"):
        with pytest.raises(InputError, match="a: expected a number"):
            number_in({"a": wrong}, "a")
