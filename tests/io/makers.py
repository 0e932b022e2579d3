"""Tiny files as recording systems write them, for formats that no library at hand writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

Trace = npt.NDArray[np.int16]


def write_blackrock(path: Path, trace: Trace, *, fs_hz: int = 30_000, pause_after: int = 0) -> Path:
    """A .ns5 file of specification 2.3; channels are called 1, 2, ...; a pause of 1 s divides it in two."""
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
    blocks = b""
    for begin, part in ((0, trace[:pause_after]), (30_000 + pause_after, trace[pause_after:])):
        if len(part):
            begin = begin if pause_after else 0
            blocks += b"\x01" + np.array([begin, len(part)], "<u4").tobytes() + part.astype("<i2").tobytes()
    path.write_bytes(basic.tobytes() + extended.tobytes() + blocks)
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


def write_spikeglx(
    folder: Path, trace: Trace, *, fs_hz: int = 30_000, name: str = "run_g0_t0.nidq", lines: int = 0
) -> Path:
    """The .bin and .meta of a National Instruments run; with `lines`, its last column has digital words."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = folder / f"{name}.bin"
    trace.astype("<i2").tofile(binary)
    words = int(lines > 0)
    channels = trace.shape[1] - words
    facts = {
        "acqMnMaXaDw": f"0,0,{channels},{words}",
        "fileName": binary,
        "fileSizeBytes": binary.stat().st_size,
        "fileTimeSecs": len(trace) / fs_hz,
        "firstSample": 0,
        "nSavedChans": channels + words,
        "niAiRangeMax": 5,
        "niAiRangeMin": -5,
        "niMNGain": 1,
        "niMAGain": 1,
        "niSampRate": fs_hz,
        "niXAChans1": f"0:{channels - 1}",
        "niXDChans1": f"0:{lines - 1}" if lines else "",
        "snsMnMaXaDw": f"0,0,{channels},{words}",
        "snsSaveChanSubset": "all",
        "typeThis": "nidq",
        "~snsChanMap": f"(0,0,0,{channels},{words})"
        + "".join(f"(XA{k};{k}:{k})" for k in range(channels))
        + f"(XD0;{channels}:{channels})" * words,
    }
    binary.with_suffix(".meta").write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
    return binary


def write_intan(
    path: Path, trace: Trace, *, fs_hz: int = 30_000, lines: npt.NDArray[np.bool_] | None = None
) -> Path:
    """A .rhd file of version 1.5: amplifier channels A-000, A-001, ... and one auxiliary input.

    With `lines`, of shape (samples, lines), also digital inputs DIGITAL-IN-00, DIGITAL-IN-01, ...
    """
    amplifiers, samples = trace.shape[1], 60
    inputs = 0 if lines is None else lines.shape[1]
    words = np.zeros(len(trace), "<u2") if lines is None else (lines @ (1 << np.arange(inputs))).astype("<u2")

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
    head += np.array([1, amplifiers + 1 + inputs, amplifiers], "<i2").tobytes()
    head += b"".join(channel(f"A-{k:03d}", k, 0) for k in range(amplifiers)) + channel(
        "A-AUX1", amplifiers, 1
    )
    head += b"".join(channel(f"DIGITAL-IN-{k:02d}", k, 4) for k in range(inputs))
    blocks = [
        np.arange(start, start + samples, dtype="<i4").tobytes()
        + (trace[start : start + samples].astype(int) + 32_768).astype("<u2").T.tobytes()
        + np.zeros(samples // 4, "<u2").tobytes()
        + (words[start : start + samples].tobytes() if inputs else b"")
        for start in range(0, len(trace), samples)
    ]
    path.write_bytes(head + b"".join(blocks))
    return path


def write_neuralynx(folder: Path, trace: Trace, *, fs_hz: int = 32_000) -> Path:
    """A folder of .ncs files of Cheetah 5, one for each channel: text, then records of 512 samples."""
    folder.mkdir(parents=True, exist_ok=True)
    record = np.dtype([("time_us", "<u8"), ("channel", "<u4"), ("fs_hz", "<u4"), ("valid", "<u4"),
                       ("samples", "<i2", 512)])  # fmt: skip
    for k, values in enumerate(trace.T):
        n = -(-len(values) // 512)
        records = np.zeros(n, record)
        records["time_us"] = np.rint(np.arange(n) * 512e6 / fs_hz)
        records["channel"], records["fs_hz"], records["valid"] = k, fs_hz, 512
        records["valid"][-1] = len(values) - 512 * (n - 1)
        records["samples"] = np.pad(values, (0, 512 * n - len(values))).reshape(n, 512)
        lines = (
            "######## Neuralynx Data File Header",
            f"-FileName CSC{k + 1}.ncs",
            "-TimeCreated 2026/01/05 12:00:00",
            "-TimeClosed 2026/01/05 12:01:00",
            "-FileType NCS",
            "-FileVersion 3.3.0",
            "-RecordSize 1044",
            "-CheetahRev 5.7.4",
            "-HardwareSubSystemName AcqSystem1",
            "-HardwareSubSystemType DigitalLynx",
            f"-SamplingFrequency {fs_hz}",
            "-ADMaxValue 32767",
            "-ADBitVolts 0.000000030518510385491027",
            f"-AcqEntName CSC{k + 1}",
            "-NumADChannels 1",
            f"-ADChannel {k}",
            "-InputRange 1000",
            "-InputInverted False",
            "-DSPLowCutFilterEnabled False",
            "-DSPHighCutFilterEnabled False",
        )
        header = "\r\n".join(lines).encode().ljust(16_384, b"\0")
        (folder / f"CSC{k + 1}.ncs").write_bytes(header + records.tobytes())
    return folder


def write_plexon(path: Path, trace: Trace, *, fs_hz: int = 30_000) -> Path:
    """A .plx file of version 106 with continuous channels only, one block of samples for each."""
    channels = trace.shape[1]
    head = np.zeros(1, [("magic", "<u4"), ("version", "<i4"), ("comment", "S128"), ("adfrequency", "<i4"),
                        ("dsp", "<i4"), ("events", "<i4"), ("slow", "<i4"), ("wave", "<i4"),
                        ("before", "<i4"),
                        ("date", "<i4", 6), ("fast", "<i4"), ("wavefreq", "<i4"), ("last", "<f8"),
                        ("trodal", "u1"), ("data_trodal", "u1"), ("spike_bits", "u1"), ("slow_bits", "u1"),
                        ("spike_mv", "<u2"), ("slow_mv", "<u2"), ("spike_gain", "<u2"), ("acquiring", "S18"),
                        ("processing", "S18"), ("padding", "S10"),
                        ("counts", "<i4", 650 + 650 + 512)])  # fmt: skip
    slow = np.zeros(channels, [("name", "S32"), ("channel", "<i4"), ("adfreq", "<i4"), ("gain", "<i4"),
                               ("enabled", "<i4"), ("preamp", "<i4"), ("spike", "<i4"), ("comment", "S128"),
                               ("source", "u1"), ("reserved", "u1"), ("chan", "<u2"),
                               ("padding", "<i4", 27)])  # fmt: skip
    head["magic"], head["version"] = 0x58454C50, 106
    head["adfrequency"], head["slow"], head["wavefreq"], head["last"] = fs_hz, channels, fs_hz, len(trace)
    head["date"] = (2026, 1, 5, 12, 0, 0)
    head["trodal"], head["data_trodal"], head["spike_bits"], head["slow_bits"] = 1, 1, 16, 16
    head["spike_mv"], head["slow_mv"], head["spike_gain"] = 3000, 5000, 1000
    slow["name"] = [f"WB{k + 1:02d}".encode() for k in range(channels)]
    slow["channel"], slow["adfreq"], slow["gain"], slow["preamp"] = np.arange(channels), fs_hz, 1, 1000
    slow["enabled"] = 1
    block = np.dtype([("type", "<u2"), ("upper", "<u2"), ("time", "<u4"), ("channel", "<u2"), ("unit", "<u2"),
                      ("waveforms", "<u2"), ("words", "<u2")])  # fmt: skip
    blocks = []
    for start in range(0, len(trace), 1000):
        for k in range(channels):
            values = trace[start : start + 1000, k].astype("<i2")
            one = np.zeros(1, block)
            one["type"], one["time"], one["channel"], one["waveforms"], one["words"] = (
                5,
                start,
                k,
                1,
                len(values),
            )
            blocks.append(one.tobytes() + values.tobytes())
    path.write_bytes(head.tobytes() + slow.tobytes() + b"".join(blocks))
    return path


def write_tdt(folder: Path, trace: Trace, *, fs_hz: float = 30_000, name: str = "Block-1") -> Path:
    """A block of a TDT tank with one store, `Wav1`: its description, an index of chunks, and the chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, points, stream = f"{folder.parent.name}_{name}", 250, 0x8101
    values = {"StoreName": "Wav1", "HeadName": "Wav1", "Enabled": 1, "CircType": 3, "NumChan": trace.shape[1],
              "StrobeMode": 0, "TankEvType": stream, "NumPoints": points, "DataFormat": 2,
              "SampleFreq": fs_hz}  # fmt: skip
    text = "".join(f"NAME={key};TYPE=S;VALUE={value};\r\n" for key, value in values.items())
    (folder / f"{stem}.Tbk").write_text(f"{text}[STOREHDRITEM][USERNOTEDELIMITER]")
    index = np.dtype([("size", "<i4"), ("type", "<i4"), ("name", "S4"), ("channel", "<u2"),
                      ("sortcode", "<u2"), ("time_s", "<f8"), ("offset", "<i8"), ("format", "<i4"),
                      ("fs_hz", "<f4")])  # fmt: skip
    began, chunks = 1.7e9, b""
    rows = [(0, 0, b"\0", 0, 0, 0.0, 0, 0, 0), (0, 0x8801, b"\1", 0, 0, began, 0, 0, 0)]
    for start in range(0, len(trace), points):
        for k, values_of_channel in enumerate(trace[start : start + points].T):
            when = began + start / fs_hz
            rows.append((10 + points // 2, stream, b"Wav1", k + 1, 0, when, len(chunks), 2, fs_hz))
            chunks += values_of_channel.astype("<i2").tobytes()
    rows.append((0, 0x8801, b"\2", 0, 0, began + len(trace) / fs_hz, 0, 0, 0))
    (folder / f"{stem}.tsq").write_bytes(np.array(rows, index).tobytes())
    (folder / f"{stem}.tev").write_bytes(chunks)
    (folder / f"{stem}.Tdx").touch()
    return folder


def write_edf(path: Path, trace: Trace, *, fs_hz: int = 30_000) -> Path:
    """A .edf file in microvolts, of channels E1, E2, ...; in records of 0.1 s, the last of them filled."""
    per_record, channels = fs_hz // 10, trace.shape[1]
    n_records = -(-len(trace) // per_record)

    def texts(values: list[object], width: int) -> bytes:
        return b"".join(str(value)[:width].ljust(width).encode("ascii") for value in values)

    head = texts(["0"], 8) + texts(["patient", "session"], 80) + texts(["05.01.26", "12.00.00"], 8)
    head += texts([256 * (channels + 1)], 8) + texts([""], 44) + texts([n_records, 0.1], 8)
    head += texts([channels], 4)
    of_each = [
        (16, [f"E{k + 1}" for k in range(channels)]),
        (80, ["electrode"] * channels),
        (8, ["uV"] * channels),
    ]
    of_each += [(8, [value] * channels) for value in (-3276.8, 3276.7, -32_768, 32_767)]
    of_each += [(80, [""] * channels), (8, [per_record] * channels), (32, [""] * channels)]
    head += b"".join(texts(list(values), width) for width, values in of_each)
    filled = np.zeros((n_records * per_record, channels), "<i2")
    filled[: len(trace)] = trace
    records = filled.reshape(n_records, per_record, channels).transpose(0, 2, 1)
    path.write_bytes(head + records.tobytes())
    return path


def write_edf_of_rates(path: Path, channels: dict[str, tuple[int, Trace]]) -> Path:
    """An .edf file of channels by name, each with its own rate and samples, of a whole number of seconds."""
    from pyedflib import EdfWriter

    common = {"dimension": "uV", "transducer": "", "prefilter": ""}
    limits = {"physical_min": -3276.8, "physical_max": 3276.7, "digital_min": -32_768, "digital_max": 32_767}
    with EdfWriter(str(path), len(channels), file_type=1) as writer:  # EDF+
        for number, (name, (fs_hz, _)) in enumerate(channels.items()):
            writer.setSignalHeader(number, common | limits | {"label": name, "sample_frequency": fs_hz})
        writer.writeSamples([np.asarray(trace, np.int32) for _, trace in channels.values()], digital=True)
    return path


def write_spike2(path: Path, trace: Trace, *, fs_hz: int = 30_000) -> Path:
    """A .smr file of version 6: a waveform channel for each column, in blocks of 1000 samples."""

    def text(value: str, size: int) -> bytes:
        return (bytes([len(value)]) + value.encode()).ljust(size, b"\0")

    n_samples, channels = trace.shape
    starts = range(0, n_samples, 1000)
    first = 512 + 140 * channels
    places = [
        [first + (2 * 1000 + 20) * (k * len(starts) + n) for n in range(len(starts))] for k in range(channels)
    ]
    head = np.array([6], "<i2").tobytes() + b"(C) CED 87" + b"spikesort"[:8]
    head += np.array([10, 1, 0], "<i2").tobytes() + np.array([first], "<i4").tobytes()
    head += np.array([channels, 140, 0, 32_000, 0], "<i2").tobytes() + np.array([n_samples], "<i4").tobytes()
    head += np.array([0.1 / fs_hz], "<f8").tobytes()  # of ten such times consists a tick, and so a sample
    described = b""
    for k in range(channels):
        one = np.array([0], "<i2").tobytes() + np.array([-1, places[k][0], places[k][-1]], "<i4").tobytes()
        one += np.array([len(starts), 0, 0, 0, 2020, 1000], "<i2").tobytes() + text("", 72)
        one += (
            np.array([n_samples, 1], "<i4").tobytes() + np.array([k], "<i2").tobytes() + text(f"E{k + 1}", 10)
        )
        one += np.array([fs_hz], "<f4").tobytes() + b"\1\0"
        one += np.array([1, 0], "<f4").tobytes() + text("mV", 6) + np.array([1], "<i2").tobytes()
        described += one.ljust(140, b"\0")
    blocks = b""
    for k, column in enumerate(trace.T):
        for n, start in enumerate(starts):
            values = column[start : start + 1000].astype("<i2")
            around = [places[k][n - 1] if n else -1, places[k][n + 1] if n + 1 < len(starts) else -1]
            blocks += np.array([*around, start, start + len(values) - 1], "<i4").tobytes()
            blocks += np.array([k + 1, len(values)], "<i2").tobytes() + values.tobytes().ljust(2000, b"\0")
    path.write_bytes(head.ljust(512, b"\0") + described + blocks)
    return path
