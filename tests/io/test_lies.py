"""Files that claim more than they hold are refused before memory suffers."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.io.wavfile
from spikeinterface.core import NpzSortingExtractor, NumpySorting

import spikesorter.io.mat5
from spikesorter import read_labels, read_recording
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io import bounds
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.io.mat_writing import write_mat

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
FS_HZ = 30_000
NOISE = np.random.default_rng(0).standard_normal(500)
MOST_MEMORY = 32 << 20
DOUBLE, CELL, STRUCT, CHAR, INT32, UTF8 = 6, 1, 2, 4, 5, 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


def refused(read: Callable[[Path], Any], path: Path, message: str) -> None:
    """Reading fails by an error of one line that names the file, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(str(path))
    assert len(str(error.value)) < 1000 + len(str(path))


def element(kind: int, data: bytes, claimed: int | None = None) -> bytes:
    length = len(data) if claimed is None else claimed
    return struct.pack("<II", kind, length) + data + b"\0" * (-len(data) % 8)


def matrix(
    name: str,
    data: bytes,
    *,
    shape: tuple[int, ...] = (1, 1),
    kind: int = DOUBLE,
    claimed: int | None = None,
) -> bytes:
    """A variable of v5 as its bytes, whose size and shape may be lies; `data` with the data's own tag."""
    head = element(6, struct.pack("<II", kind, 0)) + element(INT32, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name.encode()) + data, claimed)


def packed(variable: bytes) -> bytes:
    held = zlib.compress(variable, 9)
    return struct.pack("<II", 15, len(held)) + held


def save_v5(path: Path, *variables: bytes) -> Path:
    header = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"
    path.write_bytes(header + b"".join(variables))
    return path


def doubles(count: int, claimed: int | None = None) -> bytes:
    return element(9, np.arange(count, dtype=float).tobytes(), claimed)


@pytest.mark.parametrize("wrap", [packed, lambda variable: variable])
def test_what_is_made_here_by_hand_is_read_if_it_is_honest(
    wrap: Callable[[bytes], bytes], path: Path
) -> None:
    save_v5(path, wrap(matrix("d", doubles(50), shape=(50, 1))))
    np.testing.assert_array_equal(read_mat(path)[0].get_traces()[:, 0], np.arange(50.0))


@pytest.mark.parametrize("wrap", [packed, lambda variable: variable])
@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (matrix("d", doubles(9), shape=(2**31 - 1, 2**31 - 1)), "claims the shape .* does not fit"),
        (matrix("d", doubles(9), shape=(2**31 - 1, 0, 7)), "claims the shape .* does not fit"),
        (matrix("d", doubles(9, claimed=2**32 - 16), shape=(2**29 - 2, 1)), "claim 4.3 GB, but the whole"),
        (matrix("d", element(259, b""), shape=(0, 1)), "does not fit"),  # a segmentation fault in SciPy
        (matrix("d", doubles(9), shape=(-9, 1)), "shape"),
        (matrix("d", doubles(9), shape=(1,) * 33), "33 dimensions"),
        (matrix("d" * 3000, doubles(9)), "name is 3000 bytes long"),
        (matrix("d", doubles(9), kind=STRUCT), "not a struct"),
        (matrix("d", doubles(9), kind=99), "class 99"),
        (matrix("d", element(UTF8, b""), shape=(2**31 - 1, 4), kind=CHAR), "does not fit"),
        (matrix("Names", doubles(1), shape=(2**31 - 1, 2**31 - 1), kind=CELL), "claims 46.* names"),
        (matrix("Names", doubles(1), shape=(9, 1), kind=CELL), "fewer names than it claims"),
    ],
)
def test_variables_of_v5_that_lie_are_refused(
    variable: bytes, message: str, wrap: Callable[[bytes], bytes], path: Path
) -> None:
    refused(read_mat_or_spikes, save_v5(path, wrap(variable), matrix("Index", doubles(1))), message)


def read_mat_or_spikes(path: Path) -> None:
    """Both readers, whichever refuses first."""
    read_mat_spikes(path) if b"d" not in path.read_bytes()[150:] else read_mat(path)


def test_cells_within_cells_are_refused_before_scipy_descends_into_them(path: Path) -> None:
    inner = matrix("", doubles(1))
    for _ in range(3000):
        inner = matrix("", inner, kind=CELL)
    for wrap in (packed, bytes):
        refused(
            read_mat_spikes, save_v5(path, wrap(matrix("Names", inner, kind=CELL))), "cell array of texts"
        )


def test_a_cell_that_hides_another_behind_its_text_is_refused(path: Path) -> None:
    text = matrix("", element(UTF8, b"ab"), shape=(1, 2), kind=CHAR)
    hidden = element(14, text[8:] + matrix("", matrix("", doubles(1)), kind=CELL))
    save_v5(path, matrix("Names", hidden + text, shape=(2, 1), kind=CELL))
    refused(read_mat_spikes, path, "does not fill its cell")


def test_a_variable_that_claims_more_than_the_file_holds_is_refused(path: Path) -> None:
    save_v5(path, matrix("d", doubles(9), shape=(9, 1), claimed=2**31))
    refused(read_mat, path, "claims 2.1 GB, but .* bytes are left")


def test_bombs_are_refused_unpacked_by_their_head_alone(path: Path) -> None:
    packer = zlib.compressobj(9)
    count = 50_000_000
    honest = matrix("d", doubles(0, claimed=8 * count), shape=(count, 1), claimed=8 * count + 64)
    bomb = packer.compress(honest) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(382))
    bomb += packer.flush()
    save_v5(path, struct.pack("<II", 15, len(bomb)) + bomb)
    refused(read_mat, path, "d claims 400.0 MB, but .* kB are stored for it; no recording compresses")


def test_a_packed_variable_may_not_go_on_beyond_what_it_claims(path: Path) -> None:
    packer = zlib.compressobj(9)
    bomb = packer.compress(matrix("x", doubles(9), shape=(9, 1)))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    save_v5(path, struct.pack("<II", 15, len(bomb)) + bomb, matrix("d", doubles(9), shape=(9, 1)))
    refused(read_mat, path, "compressed into a variable that claims")


def test_more_than_fits_into_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(path, {"d": NOISE})
    monkeypatch.setattr(bounds, "free_memory", lambda: 1000)
    refused(read_mat, path, "d needs 4.0 kB of memory, but only 1.0 kB are free")


def test_thousands_of_variables_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikesorter.io.mat5, "MOST_VARIABLES", 20)
    refused(read_mat, save_v5(path, *[matrix("x", doubles(1))] * 21), "more than 20 variables")


def test_two_variables_of_one_name_are_refused(path: Path) -> None:
    refused(read_mat, save_v5(path, *[matrix("d", doubles(9), shape=(9, 1))] * 2), "two variables d")


SAMPLES = sorted((Path(scipy.io.__file__).parent / "matlab" / "tests" / "data").glob("*.mat"))


@pytest.mark.skipif(not SAMPLES, reason="SciPy was installed without its samples")
def test_every_plain_array_in_scipys_samples_from_matlab_is_found_honest() -> None:
    """Files of both byte orders, written by MATLAB 5 to 7.4: what SciPy reads as numbers, so do we."""
    checked = 0
    for sample in SAMPLES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                contents = scipy.io.loadmat(sample)
        except Exception:  # damaged on purpose
            continue
        for name, values in contents.items():
            plain = isinstance(values, np.ndarray) and values.dtype.kind in "iufbU"
            if plain and sample.read_bytes()[:6] == b"MATLAB" and not name.startswith("__"):
                ours = spikesorter.io.mat5.read_mat5(sample, (name,))[name]
                np.testing.assert_array_equal(ours, values)
                checked += 1
    assert checked > 40


def test_names_are_read_though_some_are_empty(path: Path) -> None:
    spikes = Spikes.from_arrays([5, 9], [1, 3], names={1: "ä b", 3: "c"})
    write_mat(path, spikes)
    assert read_mat_spikes(path).names == {1: "ä b", 3: "c"}


def v73(path: Path, write: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        write(file)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(116))
    return path


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(500,), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/hostname", "d", shape=(500,))
    file.create_virtual_dataset("d", layout)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: file.create_dataset("d", (10**15,), "f8", chunks=(1000,)), "d claims 8000.0 TB"),
        (lambda file: file.create_dataset("d", (10**12,), "i1"), "d claims 1.0 TB"),
        (
            lambda file: file.create_dataset(
                "d", data=NOISE, maxshape=(None,), chunks=(10**7,), compression=1
            ),
            "a part of d claims 80.0 MB",
        ),
        (lambda file: file.create_dataset("d", (10**8,), "f8", compression="gzip"), "d claims 800.0 MB"),
        (virtual, "is stored in another file"),
        (
            lambda file: file.create_dataset("d", (500,), "f8", external=[("/etc/hostname", 0, 4000)]),
            "is stored in another file",
        ),
        (
            lambda file: file.__setitem__("d", h5py.ExternalLink("other.h5", "/d")),
            "is a link, which is not followed",
        ),
        (lambda file: file.__setitem__("d", h5py.SoftLink("/e")), "is a link, which is not followed"),
        (lambda file: file.create_dataset("d", (2,), h5py.ref_dtype), "must hold numbers"),
        (lambda file: file.create_dataset("d", (2,), h5py.string_dtype()), "must hold numbers"),
        (lambda file: file.create_dataset("d", (2,), [("a", "f8")]), "must hold numbers"),
        (lambda file: file.create_dataset("d", dtype="f8", shape=None), "has no shape"),
        (lambda file: file.create_dataset("d", data=NOISE, scaleoffset=3), "filter 6"),
        (lambda file: file.create_group("d"), "not an array of numbers"),
    ],
)
def test_datasets_that_lie_or_lie_elsewhere_are_refused(
    write: Callable[[h5py.File], Any], message: str, path: Path
) -> None:
    refused(read_mat, v73(path, write), message)


def test_a_chunk_that_unpacks_to_more_than_its_size_is_refused(path: Path) -> None:
    def write(file: h5py.File) -> None:
        dataset = file.create_dataset("d", (500_000,), "i1", compression="gzip", chunks=(500_000,))
        packer = zlib.compressobj(9)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
        dataset.id.write_direct_chunk((0,), bomb)

    refused(read_mat, v73(path, write), "decompresses to more than the 500.0 kB")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True, "fletcher32": True}])
def test_large_packed_chunks_that_are_honest_are_read(options: dict[str, Any], path: Path) -> None:
    trace = np.random.default_rng(1).integers(-1000, 1000, 400_000).astype(np.int16)
    v73(path, lambda file: file.create_dataset("d", data=trace, chunks=trace.shape, **options))
    np.testing.assert_array_equal(read_mat(path)[0].get_traces()[:, 0], trace)


def test_small_packed_chunks_are_not_unpacked_to_be_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = np.random.default_rng(1).integers(-1000, 1000, 10_000).astype(np.int16)
    v73(path, lambda file: file.create_dataset("d", data=trace, compression="gzip"))
    monkeypatch.setattr("spikesorter.io.mat73.zlib.decompressobj", None)
    np.testing.assert_array_equal(read_mat(path)[0].get_traces()[:, 0], trace)


def refused_as(read: Callable[..., Any], path: Path, contents: bytes, message: str, **options: Any) -> None:
    path.write_bytes(contents)
    refused(lambda given: read(given, **options), path, message)


def npy(shape: str, dtype: str = "<i2", data: bytes = bytes(100)) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (npy("(51,)"), "mmap length is greater than file size"),
        (npy("(1000000000000000,)"), "mmap length is greater than file size"),
        (npy("(4611686018427387904, 4)"), "overflow"),
        (npy("(-1,)"), "negative"),
        (npy("(1, 1000000000)", data=bytes(10)), "mmap length is greater"),
        (npy("(0, 1000000000000000000)"), "must hold an array of numbers"),
        (npy("(5,)", "|O"), "Python objects"),
        (npy("(" * 200 + "5" + ")" * 200), "Cannot parse header|nested parentheses"),
        (b"PK\x03\x04" + bytes(100), "it is not an .npy file, despite its name"),
    ],
)
def test_npy_files_that_lie_are_refused(contents: bytes, message: str, path: Path) -> None:
    refused_as(read_recording, path.with_suffix(".npy"), contents, message, fs_hz=30_000.0)


@pytest.mark.parametrize("fs_hz", [0.0, -1.0, 1e300, float("nan"), float("inf"), 99.0])
@pytest.mark.parametrize("ending", [".npy", ".dat", ".mat"])
def test_sampling_rates_that_no_recording_has_are_refused(ending: str, fs_hz: float, path: Path) -> None:
    options: dict[str, Any] = {"dtype": "int16", "channels": 2} if ending == ".dat" else {}
    scipy.io.savemat(path, {"d": NOISE})
    contents = path.read_bytes() if ending == ".mat" else npy("(50,)")[: 128 + 100]
    refused_as(
        read_recording, path.with_suffix(ending), contents, "fs is .* Hz; expected", fs_hz=fs_hz, **options
    )


def wav(path: Path, *, channels: int = 3, rate: int = FS_HZ, samples: int = 1000) -> bytearray:
    scipy.io.wavfile.write(path, rate, np.arange(samples * channels, dtype=np.int16).reshape(-1, channels))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (b"data", 2**31, "its part 'data' claims 2.1 GB, but 6.0 kB are left"),
        (b"data", 2**32 - 1, "its part 'data' claims 4.3 GB"),
        (b"data", 0, "holds no samples"),
        (b"RIFF", 2**31, "truncated or damaged: Reached EOF"),
        (b"fmt ", 2**31, "its part 'fmt ' claims 2.1 GB"),
    ],
)
def test_wav_files_that_lie_are_refused(place: bytes, value: int, message: str, path: Path) -> None:
    path = path.with_suffix(".wav")
    contents = wav(path)
    struct.pack_into("<I", contents, contents.index(place) + 4, value)
    refused_as(read_recording, path, bytes(contents), message)


@pytest.mark.parametrize(("rate", "message"), [(1, "fs is 1 Hz"), (2**28, "fs is 2.68435e.08 Hz")])
def test_wav_files_of_absurd_rates_are_refused(rate: int, message: str, path: Path) -> None:
    path = path.with_suffix(".wav")
    refused_as(read_recording, path, bytes(wav(path, rate=rate)), message)


def test_what_follows_the_samples_of_a_wav_file_is_no_samples(path: Path) -> None:
    path = path.with_suffix(".wav")
    contents = wav(path) + b"LIST" + struct.pack("<I", 60) + bytes(60)
    struct.pack_into("<I", contents, 4, len(contents) - 8)
    path.write_bytes(contents)
    assert read_recording(path).get_traces().shape == (1000, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample,unit\n1e300,1\n", "beyond any recording's length"),
        ("sample,unit\n99999999999999999999,1\n", "beyond any recording's length"),
        ("sample,unit\n1," + "x" * 2000 + "\n" + "2,1\n" * 20_000, "an entry is 2000 letters long"),
        ("sample,unit\n1," + "x" * 200_000 + "\n", "field larger than field limit"),
        ("sample,unit\n-5,1\n", "must be 0 or more"),
        ("sample,unit\n1,1,2\n", "row 2 has 3 cells"),
    ],
)
def test_tables_that_no_recording_has_are_refused(text: str, message: str, path: Path) -> None:
    refused_as(read_labels, path.with_suffix(".csv"), text.encode(), message)


@pytest.mark.parametrize("unit", ["9" * 20, "9" * 900])
def test_a_number_that_is_too_large_for_a_units_is_its_name(unit: str, path: Path) -> None:
    path = path.with_suffix(".csv")
    path.write_text(f"sample,unit\n5,{unit}\n9,2\n")
    spikes = read_labels(path)
    assert spikes.unit.tolist() == [2, 1]
    assert spikes.names == {1: "2", 2: unit}


def test_labels_of_an_absurd_rate_are_refused(path: Path) -> None:
    refused_as(read_labels, path.with_suffix(".csv"), b"time_s,unit\n1,1\n", "fs is nan", fs_hz=float("nan"))


def test_tables_of_parquet_that_repeat_one_row_without_end_are_refused(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    path = path.with_suffix(".parquet")
    rows = 2_000_000
    table = pyarrow.table({"sample": np.zeros(rows, np.int64), "unit": np.ones(rows, np.int64)})
    parquet.write_table(table, path)
    refused(read_labels, path, "claims 2000000 rows in")
    long = pyarrow.array(["x" * 100_000]).dictionary_encode().take(pyarrow.array([0] * 10_000))
    parquet.write_table(pyarrow.table({"sample": np.arange(10_000), "unit": long}), path)
    refused(read_labels, path, "an entry is 100000 letters long")


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, contents in entries.items():
            file.writestr(f"{name}.npy", contents)
    return path


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (npy("(100000000,)", data=bytes(200_000_000)), "claims 200.0 MB, but .* kB are stored"),
        (npy("(1000000000000,)"), "claims 2.0 TB, but holds 100 bytes"),
        (npy("(10,)"), "claims 20 bytes, but holds 100"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version"),
        (b"", "cannot be read"),
    ],
)
def test_archives_that_lie_are_refused(entry: bytes, message: str, path: Path) -> None:
    refused(read_labels, archive(path.with_suffix(".npz"), labels=entry), message)


def test_a_sorting_in_an_archive_is_read(path: Path) -> None:
    path = path.with_suffix(".npz")
    sorting = NumpySorting.from_unit_dict([{1: np.array([5, 9])}], float(FS_HZ))
    NpzSortingExtractor.write_sorting(sorting, path)
    assert read_labels(path) == Spikes.from_arrays([5, 9], [1, 1])


@pytest.mark.parametrize("name", ["spike_times", "spike_clusters"])
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (npy("(1000000000000,)"), "mmap length is greater"),
        (npy("(25,)", "<f4", np.full(25, np.nan, "<f4").tobytes()), "NaN"),
        (npy("(12,)", "<u8", b"\xff" * 96), "beyond any recording"),
        (npy("(25,)", "<U1"), "must hold numbers"),
    ],
)
def test_folders_of_phy_that_lie_are_refused(
    name: str, contents: bytes, message: str, tmp_path: Path
) -> None:
    for other in ("spike_times", "spike_clusters"):
        np.save(tmp_path / f"{other}.npy", np.arange(25))
    (tmp_path / f"{name}.npy").write_bytes(contents)
    refused(read_labels, tmp_path, message)


@pytest.mark.parametrize("kind", [b"int16", np.bytes_("int16"), 7])
def test_the_class_that_matlab_states_need_not_be_as_matlab_writes_it(kind: object, path: Path) -> None:
    v73(path, lambda file: file.create_dataset("d", data=NOISE).attrs.__setitem__("MATLAB_class", kind))
    assert read_mat(path)[0].get_num_samples() == 500
