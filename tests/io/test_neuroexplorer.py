"""Files for NeuroExplorer are read back by its own library and, where it can, by neo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.neuroexplorer import NEX_FORMATS, check_neuroexplorer, write_neuroexplorer

reader = pytest.importorskip("nex5file.reader")
FS_HZ = 24_414.0625
SOME = Spikes(
    [0, 120, 300, 450_000_000],
    [0, 2, 1, 2],
    [1, 0.5, 1, 1],
    fs_hz=FS_HZ,
    names={1: "basket", 2: "é" * 40},
    bad=BadStretches.of([(10, 20, "dead"), (400, 900, "given")]),
)
TRAINS = [[300], [120, 450_000_000]]


@pytest.mark.parametrize("name", NEX_FORMATS)
def test_units_and_bad_stretches_come_back_to_the_sample(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"D2.{name}"
    write_neuroexplorer(path, SOME)
    data = reader.Reader().ReadNexFile(str(path))
    assert data.timestamp_frequencyHz == FS_HZ
    assert data.NeuronNames()[0] == "basket"
    assert [(data[unit].Timestamps() * FS_HZ).tolist() for unit in data.NeuronNames()] == TRAINS
    bad = np.array(data["bad stretches"].Intervals()) * FS_HZ
    assert bad.tolist() == [[10, 400], [20, 900]]


def test_neo_reads_the_older_format(tmp_path: Path) -> None:
    from neo.rawio import NeuroExplorerRawIO

    write_neuroexplorer(tmp_path / "D2.nex", SOME)
    read = NeuroExplorerRawIO(str(tmp_path / "D2.nex"))
    read.parse_header()
    assert read.header["spike_channels"]["name"].tolist() == ["basket", "é" * 31]
    assert [read.get_spike_timestamps(0, 0, k).tolist() for k in range(2)] == TRAINS


def test_the_newer_format_holds_recordings_of_any_length(tmp_path: Path) -> None:
    long = Spikes([5, 2**33], [1, 1], fs_hz=FS_HZ)
    write_neuroexplorer(tmp_path / "D2.nex5", long)
    data = reader.Reader().ReadNexFile(str(tmp_path / "D2.nex5"))
    assert (data["1"].Timestamps() * FS_HZ).tolist() == [5, 2**33]
    with pytest.raises(InputError, match=r"D2\.nex: cannot be written as \.nex: .*you can save as \.nex5"):
        write_neuroexplorer(tmp_path / "D2.nex", long)
    assert [path.name for path in tmp_path.iterdir()] == ["D2.nex5"]  # no part of the other


@pytest.mark.parametrize("name", NEX_FORMATS)
def test_only_what_was_written_here_is_replaced(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"D2.{name}"
    write_neuroexplorer(path, SOME)
    write_neuroexplorer(path, SOME.of(1))
    assert reader.Reader().ReadNexFile(str(path)).NeuronNames() == ["basket"]
    path.write_bytes(b"NEX5" + bytes(400))
    with pytest.raises(InputError, match="exists and was not written by spikesorter"):
        check_neuroexplorer(path)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (Spikes.from_arrays([], [], fs_hz=1e4), "there are no spikes"),
        (Spikes([5], [0], fs_hz=1e4), "there are no spikes"),
        (replace(SOME, fs_hz=None), "the sampling rate of the spikes is not known"),
    ],
)
def test_what_cannot_be_written_is_refused(spikes: Spikes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"D2\.nex5: {message}"):
        write_neuroexplorer(tmp_path / "D2.nex5", spikes)
    assert not list(tmp_path.iterdir())
