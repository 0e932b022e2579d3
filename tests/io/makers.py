"""Tiny files as recording systems write them, for formats that no library at hand writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

Trace = npt.NDArray[np.int16]


def write_blackrock(path: Path, trace: Trace, *, fs_hz: int = 30_000) -> Path:
    """A .ns5 file of specification 2.3 with one block of data; channels are called 1, 2, ..."""
    basic = np.zeros(1, [("id", "S8"), ("version", "u1", 2), ("header_bytes", "<u4"), ("label", "S16"),
                         ("comment", "S256"), ("period", "<u4"), ("resolution", "<u4"), ("date", "<u2", 8),
                         ("channels", "<u4")])  # fmt: skip
    channels = trace.shape[1]
    extended = np.zeros(channels, [("type", "S2"), ("id", "<u2"), ("label", "S16"), ("place", "u1", 2),
                                   ("range", "<i2", 4), ("units", "S16"), ("filters", "u1", 20)])  # fmt: skip
    basic["id"], basic["version"] = b"NEURALCD", (2, 3)
    basic["header_bytes"] = basic.nbytes + extended.nbytes
    basic["period"], basic["resolution"], basic["channels"] = 30_000 // fs_hz, 30_000, channels
    basic["date"] = (2026, 1, 0, 5, 12, 0, 0, 0)
    extended["type"], extended["id"] = b"CC", np.arange(1, channels + 1)
    extended["label"] = [f"elec{k + 1}".encode() for k in range(channels)]
    extended["range"], extended["units"] = (-8192, 8192, -2048, 2048), b"uV"
    block = b"\x01" + np.array([0, len(trace)], "<u4").tobytes()
    path.write_bytes(basic.tobytes() + extended.tobytes() + block + trace.astype("<i2").tobytes())
    return path


def write_open_ephys(folder: Path, traces: dict[str, Trace], *, fs_hz: int = 30_000) -> Path:
    """A folder of the Open Ephys GUI's binary format, with one stream for each trace."""
    experiment = folder / "Record Node 101" / "experiment1" / "recording1"
    streams = []
    for name, trace in traces.items():
        place = experiment / "continuous" / f"Source-100.{name}"
        place.mkdir(parents=True)
        trace.astype("<i2").tofile(place / "continuous.dat")
        np.save(place / "sample_numbers.npy", np.arange(len(trace)))
        np.save(place / "timestamps.npy", np.arange(len(trace)) / fs_hz)
        channel = {"bit_volts": 0.195, "units": "uV", "description": "", "identifier": "", "history": ""}
        streams.append(
            {
                "folder_name": f"Source-100.{name}/",
                "sample_rate": fs_hz,
                "stream_name": name,
                "source_processor_name": "Source",
                "source_processor_id": 100,
                "recorded_processor": "Record Node",
                "recorded_processor_id": 101,
                "num_channels": trace.shape[1],
                "channels": [channel | {"channel_name": f"CH{k + 1}"} for k in range(trace.shape[1])],
            }
        )
    described = {"GUI version": "0.6.0", "continuous": streams, "events": [], "spikes": []}
    (experiment / "structure.oebin").write_text(json.dumps(described))
    return folder


def write_spikeglx(folder: Path, trace: Trace, *, fs_hz: int = 30_000, name: str = "run_g0_t0.nidq") -> Path:
    """The .bin and .meta of a National Instruments run."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = folder / f"{name}.bin"
    trace.astype("<i2").tofile(binary)
    channels = trace.shape[1]
    facts = {
        "acqMnMaXaDw": f"0,0,{channels},0",
        "fileName": binary,
        "fileSizeBytes": binary.stat().st_size,
        "fileTimeSecs": len(trace) / fs_hz,
        "firstSample": 0,
        "nSavedChans": channels,
        "niAiRangeMax": 5,
        "niAiRangeMin": -5,
        "niMNGain": 1,
        "niMAGain": 1,
        "niSampRate": fs_hz,
        "niXAChans1": f"0:{channels - 1}",
        "snsMnMaXaDw": f"0,0,{channels},0",
        "snsSaveChanSubset": "all",
        "typeThis": "nidq",
        "~snsChanMap": f"(0,0,0,{channels},0)" + "".join(f"(XA{k};{k}:{k})" for k in range(channels)),
    }
    binary.with_suffix(".meta").write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
    return binary


def write_intan(path: Path, trace: Trace, *, fs_hz: int = 30_000) -> Path:
    """A .rhd file of version 1.5: amplifier channels A-000, A-001, ... and one auxiliary input."""
    amplifiers, samples = trace.shape[1], 60

    def text(value: str) -> bytes:
        encoded = value.encode("utf-16-le")
        return np.array(len(encoded), "<u4").tobytes() + encoded

    def channel(name: str, order: int, kind: int) -> bytes:
        numbers = np.array([order, order, kind, 1, order, 0, 0, 0, 0, 0], "<i2").tobytes()
        return text(name) + text(name) + numbers + np.zeros(2, "<f4").tobytes()

    head = np.array(0xC6912702, "<u4").tobytes() + np.array([1, 5], "<i2").tobytes()
    head += np.array(fs_hz, "<f4").tobytes() + np.array(0, "<i2").tobytes() + np.ones(6, "<f4").tobytes()
    head += np.array(0, "<i2").tobytes() + np.ones(2, "<f4").tobytes() + 3 * text("")
    head += np.array([0, 0, 1], "<i2").tobytes() + text("Port A") + text("A")
    head += np.array([1, amplifiers + 1, amplifiers], "<i2").tobytes()
    head += b"".join(channel(f"A-{k:03d}", k, 0) for k in range(amplifiers)) + channel(
        "A-AUX1", amplifiers, 1
    )
    blocks = [
        np.arange(start, start + samples, dtype="<i4").tobytes()
        + (trace[start : start + samples].astype(int) + 32_768).astype("<u2").T.tobytes()
        + np.zeros(samples // 4, "<u2").tobytes()
        for start in range(0, len(trace), samples)
    ]
    path.write_bytes(head + b"".join(blocks))
    return path
