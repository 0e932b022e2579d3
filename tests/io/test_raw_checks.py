from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal

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
        ("int32", "int16", "as int32 they are whole (--dtype int32)"),
        (">i4", ">i2", "as int32 they are whole (--dtype '>i4')"),
        ("int16", "int32", "--dtype int16"),
        (">i2", ">i4", "--dtype '>i2'"),
        ("int16", "uint16", "--dtype int16"),
    ],
)
def test_another_type_is_noticed(written: str, read: str, told: str) -> None:
    (doubt,) = doubts_of_raw(NOISE.astype(written).tobytes(), np.dtype(read), 4)
    assert told in doubt


def test_another_sign_is_noticed() -> None:
    values = (NOISE + 32_768).astype(np.uint16)
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype("int16"), 4)
    assert doubt.endswith("as uint16 it looks like a recording (--dtype uint16)")
    (doubt,) = doubts_of_raw(values.astype(">u2").tobytes(), np.dtype(">i2"), 4)
    assert doubt.endswith("--dtype '>u2')")


def test_sixteen_bits_in_the_upper_half_of_32_are_not_two_values() -> None:
    values = NOISE.astype(np.int32) << 16
    assert doubts_of_raw(values.tobytes(), np.dtype("int32"), 4) == []


def test_a_channel_without_a_signal_beside_one_is_not_a_sign() -> None:
    values = np.abs(NOISE).astype(np.int16)
    values[:, 1::2] = 0
    assert doubts_of_raw(values.tobytes(), np.dtype("int16"), 4) == []


def smooth(channels: int, *, shared: float = 0.0) -> np.ndarray:
    """Noise below 5 kHz at 30 kHz, of which a part is the same on all channels."""
    sos = scipy.signal.butter(3, 5000, fs=30_000, output="sos")
    own, same = RNG.normal(0, 60, (60_000, channels)), RNG.normal(0, 60, (60_000, 1))
    mixed = np.sqrt(1 - shared) * own + np.sqrt(shared) * same
    return np.asarray(scipy.signal.sosfilt(sos, mixed, axis=0))


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        (4, 1, "values look like those of 4 channels in turn (--channels 4)"),
        (4, 3, "values look like those of 4 channels in turn (--channels 4)"),
        (4, 8, "values look like those of 4 channels in turn (--channels 4)"),
        (
            1,
            2,
            "are the channels stored one after the other (--planar), or is there one only (--channels 1)?",
        ),
    ],
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_another_number_of_channels_is_noticed(written: int, read: int, told: str, dtype: str) -> None:
    values = smooth(written).astype(dtype)
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype(dtype), read)
    assert told in doubt
    assert doubts_of_raw(values.tobytes(), np.dtype(dtype), written) == []


@pytest.mark.parametrize("channels", [2, 4, 16])
def test_channels_that_are_stored_one_after_the_other_are_noticed(channels: int) -> None:
    values = smooth(channels).astype(np.int16)
    (doubt,) = doubts_of_raw(values.T.tobytes(), np.dtype("int16"), channels)
    assert "(--planar)" in doubt
    assert doubts_of_raw(values.T.tobytes(), np.dtype("int16"), channels, planar=True) == []
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype("int16"), channels, planar=True)
    assert doubt.endswith(f"of {channels} channels in turn (--channels {channels}); is it not planar?")


@pytest.mark.parametrize("shared", [0.5, 0.99])
@pytest.mark.parametrize("channels", [2, 4, 64])
def test_channels_that_record_nearly_the_same_are_not_taken_for_one(channels: int, shared: float) -> None:
    values = smooth(channels, shared=shared).astype(np.int16)
    assert doubts_of_raw(values.tobytes(), np.dtype("int16"), channels) == []


def test_a_differentiated_trace_is_not_taken_for_two_channels() -> None:
    assert doubts_of_raw(np.diff(NOISE[:, 0]).astype(np.int16).tobytes(), np.dtype("int16"), 1) == []


def spiking(channels: int, *, width: float = 6.0, size: float = 800.0) -> np.ndarray:
    """White noise and 600 spikes, each on all channels in some proportion."""
    trace = RNG.normal(0, 60, (60_000, channels))
    spike = size * np.exp(-(((np.arange(24) - 12) / width) ** 2))
    for start in RNG.integers(0, len(trace) - 24, 600):
        trace[start : start + 24] += spike[:, None] * RNG.uniform(0.5, 1, channels)
    return trace.astype(np.int16)


@pytest.mark.parametrize("channels", [1, 2, 4, 16])
@pytest.mark.parametrize("width", [0.6, 2.0, 6.0])
def test_spikes_in_white_noise_as_they_were_written_are_not_doubted(channels: int, width: float) -> None:
    values = spiking(channels, width=width)
    assert doubts_of_raw(values.tobytes(), np.dtype("int16"), channels) == []
    assert doubts_of_raw(values[:, 0].tobytes(), np.dtype("int16"), channels, planar=True) == []


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [(4, 1, "(--channels 4)"), (2, 3, "(--channels 2)"), (1, 4, "(--planar)"), (4, 2, "(--channels 4)")],
)
def test_spikes_tell_the_number_of_channels_where_the_noise_is_white(
    written: int, read: int, told: str
) -> None:
    values = spiking(written)
    values = values[: len(values) // read * read]
    (doubt,) = doubts_of_raw(values.tobytes(), np.dtype("int16"), read)
    assert told in doubt


def test_spikes_tell_that_channels_are_stored_one_after_the_other() -> None:
    values = spiking(4)
    (doubt,) = doubts_of_raw(values.T.tobytes(), np.dtype("int16"), 4)
    assert "(--planar)" in doubt
    assert doubts_of_raw(values.T.tobytes(), np.dtype("int16"), 4, planar=True) == []


def test_white_noise_tells_nothing_of_channels() -> None:
    """The limit that docs/reliability.md states: too few values are beyond the noise."""
    assert doubts_of_raw(NOISE.astype(np.int16).tobytes(), np.dtype("int16"), 1) == []


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


def test_a_column_of_times_in_an_array_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = np.c_[np.arange(20_000) / 30_000, NOISE[:, 0]]
    np.save(tmp_path / "a.npy", times)
    read_recording(tmp_path / "a.npy", fs_hz=30_000)
    assert f"{tmp_path / 'a.npy'}: channel 0 (from 0) rises steadily" in caplog.text
    caplog.clear()
    np.save(tmp_path / "b.npy", times[:, 1:])
    read_recording(tmp_path / "b.npy", fs_hz=30_000)
    assert caplog.text == ""
