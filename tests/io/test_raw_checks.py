from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesorter import read_recording
from spikesorter.io.raw_checks import doubts_of_raw

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 60, (20_000, 4))


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        ("int16", 1), ("int16", 0.05), ("int16", 60), ("uint16", 1), ("int32", 1), ("int32", 1e4),
        ("float32", 1e-6), ("float32", 1), ("float64", 1), (">i2", 1), (">f4", 1),
    ],
)  # fmt: skip
def test_what_is_read_as_it_was_written_is_not_doubted(dtype: str, scale: float, channels: int) -> None:
    values = NOISE * scale + (32_768 if dtype == "uint16" else 0)
    stored = values.astype(dtype).tobytes()
    assert doubts_of_raw(stored, np.dtype(dtype), channels) == []


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        ("int16", "float32", "--dtype int16"),
        ("float32", "int16", "--dtype float32"),
        ("float32", "int32", "--dtype float32"),
        ("float64", "int16", "--dtype float64"),
        (">i2", "<i2", "--dtype '>i2'"),
        ("<i2", ">i2", "--dtype '<i2'"),
        (">f4", "<f4", "--dtype '>f4'"),
    ],
)
def test_another_type_is_noticed(written: str, read: str, told: str) -> None:
    (doubt,) = doubts_of_raw(NOISE.astype(written).tobytes(), np.dtype(read), 4)
    assert told in doubt


@pytest.mark.parametrize("missing", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_missing_samples_are_not_taken_for_another_type(share: float, missing: float) -> None:
    for dtype in ("float32", "float64"):
        values = NOISE.astype(dtype)
        values[: round(share * len(values))] = missing
        assert doubts_of_raw(values.tobytes(), np.dtype(dtype), 4) == []


def test_a_column_of_times_is_noticed() -> None:
    values = NOISE.astype(np.float32)
    values[:, 2] = np.arange(len(values)) / 1000
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype("float32"), 4)
    assert "channel 2 (from 0) rises steadily" in doubt


@pytest.mark.parametrize(("count", "noticed"), [(999, False), (1000, True)])
@pytest.mark.parametrize(("written", "read"), [("int16", "float32"), ("float32", "int16")])
def test_a_thousand_values_are_enough(written: str, read: str, count: int, noticed: bool) -> None:
    stored = NOISE.astype(written).tobytes()[: 4 * count]
    assert bool(doubts_of_raw(stored, np.dtype(read), 1)) == noticed


def test_silence_hides_no_other_type() -> None:
    values = NOISE.astype(np.float32)
    values[:2000] = 0
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype("int16"), 4)
    assert "--dtype float32" in doubt


def test_little_is_not_concluded_from() -> None:
    assert doubts_of_raw(NOISE[:10].astype(np.int16).tobytes(), np.dtype("float32"), 1) == []


def test_it_is_said_when_the_file_is_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.dat"
    NOISE.astype(np.int16).tofile(path)
    read_recording(path, fs_hz=30_000, dtype="int16", channels=4)
    assert caplog.text == ""
    read_recording(path, fs_hz=30_000, dtype="float32", channels=4)
    assert f"{path}: as float32, many values are NaN or absurd" in caplog.text
