"""Files of recording systems, from the file to the spikes: the same as of the same samples in a raw file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat
from spikesorter.io.recording import RecordingOptions
from spikesorter.sorting.model import Model, load_model
from spikesorter.workflows.files import sort_files
from tests.conftest import PURSUIT
from tests.io.makers import (
    write_edf,
    write_intan,
    write_neuralynx,
    write_open_ephys,
    write_plexon,
    write_spike2,
    write_spikeglx,
    write_tdt,
)
from tests.io.recording_files import tofile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
]
FS_HZ = 25_000
Writer = Callable[[Path, np.ndarray], Path]
SYSTEMS: dict[str, Writer] = {
    "EDF": lambda folder, x: write_edf(folder / "a.edf", x, fs_hz=FS_HZ),
    "Intan": lambda folder, x: write_intan(folder / "a.rhd", x, fs_hz=FS_HZ),
    "Neuralynx": lambda folder, x: write_neuralynx(folder / "a", x, fs_hz=FS_HZ),
    "Open Ephys": lambda folder, x: write_open_ephys(folder / "a", {"Probe": x}, fs_hz=FS_HZ),
    "Plexon": lambda folder, x: write_plexon(folder / "a.plx", x, fs_hz=FS_HZ),
    "Spike2": lambda folder, x: write_spike2(folder / "a.smr", x, fs_hz=FS_HZ),
    "SpikeGLX": lambda folder, x: write_spikeglx(folder / "a", x, fs_hz=FS_HZ),
    "TDT": lambda folder, x: write_tdt(folder / "tank" / "a", x, fs_hz=FS_HZ),
}


def counts_of(study: Path, name: str) -> tuple[np.ndarray, Spikes | None]:
    """A recording of the study as a converter of 16 bits gives it, and its labels."""
    recording, labels = read_mat(study / f"{name}.mat")
    return np.round(1000 * recording.get_traces()).astype(np.int16), labels


@pytest.fixture(scope="module")
def model(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    counts, labels = counts_of(study_folder, "D1")
    assert labels is not None
    fitted = Sorter.fit(NumpyRecording([counts], FS_HZ), labels, settings=load_settings(assignments=PURSUIT))
    place = tmp_path_factory.mktemp("counts") / "model"
    fitted.save(place)
    return load_model(place)


@pytest.mark.parametrize("system", SYSTEMS)
def test_spikes_of_a_systems_files_are_those_of_its_samples(
    system: str, model: Model, study_folder: Path, tmp_path: Path
) -> None:
    counts = counts_of(study_folder, "D2")[0][:75_000]

    def spikes_of(path: Path, options: RecordingOptions) -> Spikes:
        (one,) = sort_files([path], model, tmp_path / "out", options=options, report=False)
        return one.spikes.select(one.spikes.sample < 74_000)  # the last sample of a .plx file is left out

    raw = RecordingOptions(fs_hz=FS_HZ, dtype="int16", channels=1)
    expected = spikes_of(tofile(tmp_path / "a.raw", counts), raw)
    assert len(expected) > 50
    (tmp_path / system).mkdir()
    found = spikes_of(SYSTEMS[system](tmp_path / system, counts), RecordingOptions())
    np.testing.assert_array_equal(found.sample, expected.sample)
    np.testing.assert_array_equal(found.unit, expected.unit)
