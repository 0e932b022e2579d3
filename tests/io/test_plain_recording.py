from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from spikesorter import read_recording
from spikesorter.core.errors import InputError
from spikesorter.io.recording import RecordingOptions
from tests.io.recording_files import FS_HZ, npy, wav

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]


@pytest.fixture
def trace(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-1000, 1000, (3000, 3)).astype(np.int16)


def test_a_row_of_samples_is_one_channel(trace: np.ndarray, tmp_path: Path) -> None:
    recording = read_recording(npy(tmp_path / "a.npy", trace[:, 0]), fs_hz=FS_HZ)
    np.testing.assert_array_equal(recording.get_traces(), trace[:, :1])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2)), "shape"),
        (np.array(["a", "b"]), "array of numbers"),
        (np.zeros(0), "array of numbers"),
        (np.ones((5000, 5000), np.int8), "at most 4096 channels are supported"),
    ],
)
def test_arrays_that_are_no_recordings_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_recording(npy(tmp_path / "a.npy", array), fs_hz=FS_HZ)


def test_arrays_need_a_rate(trace: np.ndarray, tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", trace)
    with pytest.raises(InputError, match=r"does not state its sampling rate; give fs_hz \(--fs\)"):
        read_recording(path)
    assert RecordingOptions().read(path, fs_hz=20_000.0).get_sampling_frequency() == 20_000
    assert RecordingOptions(fs_hz=10_000.0).read(path, fs_hz=20_000.0).get_sampling_frequency() == 10_000


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with pytest.raises(InputError, match="cannot be read as npy"):
        read_recording(tmp_path / "a.npy", fs_hz=FS_HZ)


def test_plain_files_are_mapped_not_read(trace: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.int16, (20_000_000_000, 1))  # sparse: no disk is used
    recording = read_recording(path, fs_hz=FS_HZ)
    assert recording.get_num_frames() == 20_000_000_000
    assert not recording.get_traces(start_frame=19_999_999_000, end_frame=20_000_000_000).any()


@pytest.mark.parametrize(("kept", "left"), [(0, "0 bytes"), (17_980, "18.0 kB")])
def test_wav_files_that_end_early_are_refused(
    kept: int, left: str, trace: np.ndarray, tmp_path: Path
) -> None:
    path = wav(tmp_path / "a.wav", trace)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - trace.nbytes + kept])
    with pytest.raises(InputError, match=f"'data' claims 18.0 kB, but {left} are left in the file"):
        read_recording(path)


def test_wav_of_24_bits_and_of_the_other_order_of_bytes(trace: np.ndarray, tmp_path: Path) -> None:
    samples = trace.astype(np.int32) << 8  # as if with 24 bits
    packed = samples.astype("<i4").tobytes()
    three = b"".join(packed[k : k + 3] for k in range(0, len(packed), 4))
    channels = trace.shape[1]
    head = struct.pack("<HHIIHH", 1, channels, FS_HZ, FS_HZ * channels * 3, channels * 3, 24)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(three)) + three
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    found = read_recording(tmp_path / "a.wav").get_traces()
    np.testing.assert_array_equal(found, trace.astype(np.int32) << 16)  # in the upper three of four bytes
    swapped = trace.astype(">i2").tobytes()
    head = struct.pack(">HHIIHH", 1, channels, FS_HZ, FS_HZ * channels * 2, channels * 2, 16)
    body = (
        b"WAVE" + b"fmt " + struct.pack(">I", 16) + head + b"data" + struct.pack(">I", len(swapped)) + swapped
    )
    (tmp_path / "b.wav").write_bytes(b"RIFX" + struct.pack(">I", len(body)) + body)
    np.testing.assert_array_equal(read_recording(tmp_path / "b.wav").get_traces(), trace)
    (tmp_path / "c.dat").write_bytes(swapped)
    raw = read_recording(tmp_path / "c.dat", fs_hz=FS_HZ, dtype=">i2", channels=channels)
    np.testing.assert_array_equal(raw.get_traces(), trace)
