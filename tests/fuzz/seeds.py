"""Make the honest part of the corpus anew: `python -m tests.fuzz.seeds`."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import scipy.io.wavfile
from spikeinterface.core import NpzSortingExtractor, NumpySorting, generate_recording
from spikeinterface.core.core_tools import SIJsonEncoder
from spikeinterface.preprocessing import common_reference

from spikesorter.core.settings import Settings, describe_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.mat_writing import write_mat, write_mat_recording
from spikesorter.sorting.finished_spans import FinishedSpans
from tests.fuzz.targets import PATCH

CORPUS = Path(__file__).parent / "corpus"
FS_HZ = 25_000.0
TRACE = np.random.default_rng(0).integers(-100, 100, (60, 2)).astype(np.int16)
SPIKES = Spikes.from_arrays([5, 9, 30], [1, 3, 1], [0.5, 1.0, 0.25], fs_hz=FS_HZ, names={1: "a", 3: "bc"})
MANIFEST = """
model = "day"
fs_hz = 30000
channel = "e1"
recordings = [
    "one.mat",
    { path = "deep/two.ns5", name = "second", model = "night", channel = ["e3", 4], group = 2 },
]
"""


def v73(path: Path, **options: Any) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("d", data=TRACE.T, **options)
        file["fs"] = np.array([[FS_HZ]])
        file["Index"], file["Class"] = SPIKES.sample[None], SPIKES.unit[None]
        file["d"].attrs["MATLAB_class"] = np.bytes_("int16")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(116))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mat(folder / "spikes.mat", SPIKES, fs_hz=FS_HZ)
        write_mat_recording(folder / "labelled.mat", TRACE, fs_hz=FS_HZ, labels=SPIKES)
        variables = {"Index": [1, 2], "Class": [1, 2], "Names": np.array(["a", "bc"], object)}
        scipy.io.savemat(folder / "plain.mat", {"d": TRACE, "fs": FS_HZ, **variables})
        scipy.io.savemat(folder / "others.mat", {"s": {"a": 1}, "d": "text", "fs": 1j, "Names": [[1, 2]]})
        for file in folder.glob("*.mat"):
            keep("mat", file.stem, file.read_bytes())
        keep("mat", "variables", b"v" + (folder / "plain.mat").read_bytes()[128:])
        keep("mat", "packed", b"z" + (folder / "plain.mat").read_bytes()[128:][: 56 + TRACE.nbytes])
        keep("mat73", "plain", v73(folder / "a.mat").read_bytes())
        packed = {"chunks": (1, 30), "compression": "gzip", "shuffle": True, "maxshape": (None, None)}
        keep("mat73", "packed", v73(folder / "b.mat", **packed).read_bytes())

        np.save(folder / "a.npy", TRACE)
        scipy.io.wavfile.write(folder / "a.wav", 25_000, TRACE)
        for number, contents in enumerate(((folder / "a.npy"), (folder / "a.wav"))):
            keep("recording", contents.suffix[1:], bytes([number]) + contents.read_bytes())
        keep("recording", "raw", b"\x02" + TRACE.tobytes())

        write_spikes(folder / "a.csv", SPIKES, fs_hz=FS_HZ)
        keep("labels", "csv", b"\x00" + (folder / "a.csv").read_bytes())
        keep("labels", "seconds", b"\x00time_s,unit\n0.5,noise\n1,unknown\n")
        keep("labels", "tsv", b"\x01" + (folder / "a.csv").read_bytes().replace(b",", b"\t"))
        sorting = NumpySorting.from_unit_dict([{1: SPIKES.sample[:2], 2: SPIKES.sample[2:]}], FS_HZ)
        NpzSortingExtractor.write_sorting(sorting, folder / "a.npz")
        keep("labels", "npz", b"\x02" + (folder / "a.npz").read_bytes())
        write_spikes(folder / "a.parquet", SPIKES, fs_hz=FS_HZ)
        keep("labels", "parquet", b"\x03" + (folder / "a.parquet").read_bytes())

    keep("manifest", "full", MANIFEST.encode())
    keep(
        "manifest", "tables", b'model = "m"\n[[recordings]]\npath = "c.raw"\nchannels = 4\ndtype = "int16"\n'
    )
    keep("manifest", "short", b'recordings = ["a.mat", "b/c.ns5"]\n')
    keep("settings", "all", describe_settings(Settings()).encode())
    keep("settings", "one", b'seed = 3\ndecoder = "pursuit"\n[rehearsal]\ngain_jitter = 1e-2\n')
    keep("settings", "many", b'tuning.objective = "precision=0.9"\ndetector = {dilations = [1, 2]}\n')
    keep("model", "description", bytes([0, 0]) + b'{"format_version": 6, "made_by": "x", "model": {}}')
    keep("model", "arrays", bytes([1, 0]) + b"PK\x05\x06" + bytes(18))
    keep("model", "patched", bytes([2, 0]) + PATCH.pack(300, ord("9")) + PATCH.pack(301, ord("8")))
    keep("model", "header", bytes([3, 0]) + PATCH.pack(60, ord("8")) + PATCH.pack(200, 255))
    keep("model", "unsealed", bytes([3, 1]) + PATCH.pack(300, 0))
    keep_foreign()
    for number, contents in enumerate((b"cluster_id,group\n1,good\n", b"sample_rate = 1e4\n"), start=2):
        keep("phy", ("table", "params")[number - 2], bytes([number]) + contents)
    times = io.BytesIO()
    np.save(times, SPIKES.sample)
    keep("phy", "times", b"\x00" + times.getvalue())
    keep("messages", "two-channels", _messages())
    keep("stream", "int16", b"\x02" + TRACE.tobytes())
    keep("stream", "float32", b"\x01" + TRACE.astype(np.float32).tobytes() + b"\x00")
    with tempfile.TemporaryDirectory() as name:
        FinishedSpans(Path(name)).write(0, 1000, SPIKES)
        (path,) = Path(name).glob("*.npz")
        keep("spans", "whole", path.read_bytes())


def _messages() -> bytes:
    """Four blocks of two channels, of which one message is lost, and one block is out of order."""
    sent = []
    for start in (100, 106, 112, 50):
        for channel in (3, 7):
            content = {"channel_num": channel, "sample_num": start, "num_samples": 6, "sample_rate": 1000.0}
            header = json.dumps({"type": "data", "content": content}).encode()
            sent.append(b"\n".join([b"DATA", header, b"abcd" * 6]))
    del sent[4]
    sent.insert(2, b"\n".join([b"EVENT", b'{"type": "event", "content": {}}', b""]))
    return b"\n\n".join(sent)


def keep_foreign() -> None:
    """Keep descriptions of a chain of recordings, and of one with a class that is refused."""
    noise = generate_recording(durations=[0.1], num_channels=2, set_probe=False)
    described = json.loads(json.dumps(common_reference(noise).to_dict(recursive=True), cls=SIJsonEncoder))
    keep("foreign", "chain", b"\x00" + json.dumps(described).encode())
    described["kwargs"]["recording"]["class"] = "subprocess.Popen"
    keep("foreign", "refused", b"\x00" + json.dumps(described).encode())
    keep("foreign", "folder", b"\x01" + json.dumps(described).encode())


def keep(target: str, name: str, contents: bytes) -> None:
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / f"seed-{name}").write_bytes(contents)


if __name__ == "__main__":
    main()
