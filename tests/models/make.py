"""Make the kept sample of the present model format: `python -m tests.models.make`.

Run it once for each new format, and keep what it wrote: a sample that is made anew tests nothing.
"""

from __future__ import annotations

from pathlib import Path

from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, load_settings, write_mat
from spikesorter.io.model_files import FORMAT_VERSION
from spikesorter.simulate import SimulatedRecording, simulate_study
from tests.conftest import FS_HZ, QUICK

HERE = Path(__file__).parent


def sample_study() -> list[SimulatedRecording]:
    """Two neurons in ten seconds, labelled, and in three noisier ones."""
    return simulate_study(units=2, seconds=10, noise_levels=(1.0,), fs_hz=FS_HZ, seed=5)


def main() -> None:
    labelled, target = sample_study()
    settings = load_settings(assignments=(*QUICK, "decoder=combined"))
    sorter = Sorter.fit(NumpyRecording([labelled.trace], FS_HZ), labelled.spikes, settings=settings)
    recording = NumpyRecording([target.trace], FS_HZ)
    adapted = sorter.adapt(recording)
    place = HERE / f"format{FORMAT_VERSION}"
    adapted.save(place / "model")
    write_mat(place / "D2.mat", adapted.sort(recording), fs_hz=FS_HZ)


if __name__ == "__main__":
    main()
