"""Live recordings sorted with a model: the same spikes as from a file, called as in the labels."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat
from spikesorter.io.model_files import write_model
from spikesorter.sorting.model_places import low_latency_place
from spikesorter.sorting.sorter import Sorter
from spikesorter.sorting.state import SorterState
from spikesorter.workflows.live import listen
from spikesorter.workflows.live_model import LiveOptions, open_streams
from spikesorter.workflows.packets import Packet
from spikesorter.workflows.sources import from_pipe, from_tcp, open_source
from tests.cli.test_cli import ENVIRONMENT, PROGRAM
from tests.cli.test_cli import spikesorter as in_this_process
from tests.conftest import FS_HZ

HANGS_S = 120  # guards against hanging only


@pytest.fixture(scope="module")
def model(sorted_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was adapted to D2 alone."""
    folder = tmp_path_factory.mktemp("listen") / "model"
    return shutil.copytree(sorted_study / "model", folder, ignore=shutil.ignore_patterns("D3"))


@pytest.fixture(scope="module")
def samples(study_folder: Path) -> np.ndarray:
    """Four seconds of D2 in 32 bits."""
    return read_mat(study_folder / "D2.mat")[0].get_traces()[: int(4 * FS_HZ)].astype(np.float32)


@pytest.fixture(scope="module")
def expected(model: Path, samples: np.ndarray) -> Spikes:
    stream = Sorter.load(model / "targets" / "D2").stream(FS_HZ)
    spikes = Spikes.concatenate([stream.push(samples), stream.flush()])
    assert len(spikes) > 100
    return spikes


@pytest.mark.slow
def test_a_pipe_gives_lines_of_json(model: Path, samples: np.ndarray, expected: Spikes) -> None:
    command = [str(PROGRAM), "listen", "--model", str(model), "--dtype", "float32", "--scale", "0.5"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(HANGS_S)
        command += ["--send", f"udp://127.0.0.1:{receiver.getsockname()[1]}"]
        data = (2 * samples).tobytes()
        done = subprocess.run(command, input=data, capture_output=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        assert [receiver.recv(1 << 16) for _ in range(3)] == [
            line + b"\n" for line in done.stdout.splitlines()[:3]
        ]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["sample"] for line in lines] == expected.sample.tolist()
    assert [line["unit"] for line in lines] == [str(unit) for unit in expected.unit.tolist()]
    assert lines[7]["time_s"] == pytest.approx(expected.sample[7] / FS_HZ)
    assert all(0 < line["behind_s"] < 5 for line in lines)
    assert f"{len(expected)} spikes in 4.0 s" in done.stderr.decode()


def test_units_are_called_as_in_the_labels_which_may_begin_at_0(
    samples: np.ndarray, model: Path, tmp_path: Path
) -> None:
    adapted, fitted = (Sorter.load(folder).state for folder in (model / "targets" / "D2", model))
    units = replace(fitted.units, names=("0", "1", "2"))  # as Phy calls its clusters
    write_model(replace(fitted, units=units), tmp_path / "model")
    write_model(replace(adapted, units=units), tmp_path / "model" / "targets" / "D2")
    found = list(listen(iter([Packet(samples)]), open_streams(tmp_path / "model")))
    assert {spike.row()["unit"] for spike in found} == {"0", "1", "2"}
    spikes = Sorter.load(tmp_path / "model" / "targets" / "D2").stream(FS_HZ).push(samples)
    assert re.fullmatch(r"Spikes\(\d+ spikes of 3 units; 0: \d+, 1: \d+, 2: \d+; 25000 Hz\)", repr(spikes))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
def test_one_who_stops_it_gets_the_last_spikes(
    number: signal.Signals, model: Path, samples: np.ndarray, expected: Spikes
) -> None:
    command = [str(PROGRAM), "listen", "--model", str(model), "--dtype", "float32"]
    with subprocess.Popen(
        command,
        bufsize=0,  # else `communicate` misses what `readline` has read ahead
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        left = memoryview(samples.tobytes() + b"12")
        while left:  # a pipe takes less at once
            left = left[running.stdin.write(left) :]
        known = int(np.searchsorted(expected.sample, len(samples) - 0.1 * FS_HZ))
        lines = [running.stdout.readline() for _ in range(known)]  # so that all has been received
        running.send_signal(signal.SIGUSR1)
        assert running.stderr is not None
        said = [running.stderr.readline() for _ in range(2)]  # what it is adapted to, and how late it is
        running.send_signal(number)  # while it waits for more
        running.wait(HANGS_S)
        rest, after = running.communicate()
    lines += rest.splitlines()
    text = b"".join([*said, after]).decode()
    assert running.returncode == 0, text
    assert [json.loads(line)["sample"] for line in lines] == expected.sample.tolist()
    assert f"{len(expected)} spikes in 4.0 s" in text
    assert re.search(
        r"latency of \d+ spikes: median .* ms, 99 % .* ms, longest .* ms; behind by", said[1].decode()
    )
    assert f"latency of {len(expected)} spikes: median" in text


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(model: Path, samples: np.ndarray) -> None:
    command = f"'{PROGRAM}' listen --quiet --model '{model}' --dtype float32 | head -n 2"
    done = subprocess.run(command, shell=True, input=samples.tobytes(), capture_output=True, env=ENVIRONMENT)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == b""


def test_a_socket_gives_the_same(model: Path, samples: np.ndarray, expected: Spikes) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    data = samples.tobytes()

    def serve() -> None:
        with server.accept()[0] as connection:
            for first in range(0, len(data), 30_001):  # cuts samples in two
                connection.sendall(data[first : first + 30_001])

    thread = threading.Thread(target=serve)
    thread.start()
    stream = open_streams(model)
    source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    found = list(listen(open_source(source, dtype="float32", fs_hz=FS_HZ, channels=1), stream))
    thread.join()
    server.close()
    assert [spike.sample for spike in found] == expected.sample.tolist()


@pytest.mark.slow
def test_a_calibrated_stream_sorts_its_calibration_too(model: Path, study_folder: Path) -> None:
    target = read_mat(study_folder / "D2.mat")[0]
    samples = target.get_traces()[:, 0]
    fitted = Sorter.load(model)
    stream, parts = fitted.stream(FS_HZ, calibration_seconds=4), []
    for first in range(0, len(samples), 10_000):
        assert (stream.state is None) == (first < 4 * FS_HZ)
        parts.append(stream.push(samples[first : first + 10_000]))
        if stream.state is None:
            assert stream.behind_seconds == stream.received_samples / FS_HZ
    found = Spikes.concatenate([*parts, stream.flush()])
    beginning = target.frame_slice(0, int(4 * FS_HZ))
    again = fitted.adapt(beginning).sort(target)
    np.testing.assert_array_equal(found.sample, again.sample)
    np.testing.assert_array_equal(found.probability, again.probability)
    assert found.sample[0] < FS_HZ


def test_bad_packets_are_refused_and_change_nothing(
    model: Path, samples: np.ndarray, expected: Spikes
) -> None:
    stream = Sorter.load(model / "targets" / "D2").stream(FS_HZ)
    first = stream.push(samples[:50_000])
    with pytest.raises(InputError, match=r"expected samples of shape \(samples, 1\), not \(5, 2\)"):
        stream.push(np.zeros((5, 2)))
    with pytest.raises(InputError, match="expected numbers, not <U1"):
        stream.push(["a", "b"])
    rest = [stream.push(samples[50_000:]), stream.push([]), stream.flush()]
    np.testing.assert_array_equal(Spikes.concatenate([first, *rest]).sample, expected.sample)
    with pytest.raises(InputError, match="already flushed"):
        stream.push(samples[:5])
    with pytest.raises(InputError, match="already flushed"):
        stream.flush()


def test_a_kept_low_latency_sorter_is_used_at_once(
    model: Path, samples: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(state: SorterState, **_: object) -> SorterState:
        prepared.append(state)
        return state

    prepared: list[SorterState] = []
    monkeypatch.setattr("spikesorter.sorting.stream.low_latency_state", prepare)
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    said: list[str] = []
    open_streams(folder, LiveOptions(low_latency=True), say=said.append)
    assert len(prepared) == 1
    assert said[1] == (
        "preparing the low-latency sorter, which takes up to a minute (train --live keeps it in the model)"
    )
    state = Sorter.load(folder / "targets" / "D2").state
    quiet = replace(state, tuned=replace(state.tuned, name="low_latency")).with_working_point(
        threshold=1.0, refractory_ms=None
    )
    write_model(quiet, low_latency_place(folder / "targets" / "D2"))
    streams = open_streams(folder, LiveOptions(low_latency=True), say=said.append)
    assert len(prepared) == 1
    assert said[2:] == ["sorting with low latency, as adapted to D2"]
    assert list(listen(iter([Packet(samples)]), streams)) == []  # it is this one that sorts
    assert len(list(listen(iter([Packet(samples)]), open_streams(folder)))) > 100
    said.clear()
    open_streams(folder, LiveOptions(calibration_seconds=5, low_latency=True), say=said.append)
    assert "train --live" not in said[1]


def test_an_empty_stream_is_a_result(model: Path) -> None:
    assert len(Sorter.load(model / "targets" / "D2").stream(FS_HZ).flush()) == 0
    assert list(from_pipe(io.BytesIO(b""), dtype="int16", channels=1)) == []


def test_what_cannot_be_is_said(model: Path) -> None:
    sorter = Sorter.load(model)
    with pytest.raises(InputError, match="fitted at 25000 Hz"):
        sorter.stream(30_000)
    with pytest.raises(SettingsError, match="mode must be exact or low_latency, not 'quick'"):
        sorter.stream(FS_HZ, mode="quick")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"ended after 0.0 s, before its calibration of 5 s"):
        sorter.stream(FS_HZ, calibration_seconds=5).flush()
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match=f"calibration_seconds must be between 0 .* not {seconds}"):
            sorter.stream(FS_HZ, calibration_seconds=seconds)
    with pytest.raises(SettingsError, match="n_jobs must be a whole number"):
        sorter.stream(FS_HZ, n_jobs=0)
    with pytest.raises(InputError, match="in the middle of a sample"):
        list(from_pipe(io.BytesIO(b"12345"), dtype="int16", channels=2))
    with pytest.raises(InputError, match="cannot connect"):
        next(from_tcp("127.0.0.1", 1, dtype="int16", fs_hz=FS_HZ, channels=1))
    for source in ("udp://127.0.0.1:5", "zmq://a", "tcp://nowhere", "tcp://a:b", "x"):
        refused = in_this_process("listen", source, "--model", model, rc=2)
        assert "expected -, tcp://HOST:PORT or lsl:NAME, or zmq://HOST:PORT" in refused.stderr
    assert "but to: D2" in in_this_process("listen", "--model", model, "--like", "D9", rc=2).stderr
    for seconds in ("-1", "nan"):
        refused = in_this_process("listen", "--model", model, "--calibrate", seconds, rc=2)
        assert "calibration_seconds must be between 0" in refused.stderr
    both = in_this_process("listen", "--model", model, "--like", "D2", "--calibrate", "5", rc=2)
    assert "not both" in both.stderr


@pytest.mark.parametrize("stdin", [None, io.StringIO()])
def test_a_closed_standard_input_is_said(stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if stdin is not None:
        stdin.close()
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(InputError, match="-: standard input is closed"):
        open_source("-", dtype="int16", fs_hz=25_000.0, channels=1)
