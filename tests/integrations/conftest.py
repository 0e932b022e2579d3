from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from spikeinterface.core import BaseRecording, BaseSorting, generate_ground_truth_recording, load

from spikesorter.core.settings import load_settings
from spikesorter.sorting.sorter import Sorter
from tests.conftest import PURSUIT

SETTINGS = load_settings(assignments=PURSUIT)


@dataclass(frozen=True)
class Example:
    """A recording on disk, as SpikeInterface's sorters need it, its truth, and a model fitted to it."""

    recording: BaseRecording
    truth: BaseSorting
    model: Path


def saved_to(folder: Path, recording: BaseRecording) -> BaseRecording:
    """Return a recording as it is read from disk: SpikeInterface's sorters take no other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The extractor is not serializable to file")
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files for Python to close
        recording.save(folder=folder, n_jobs=1, verbose=False, progress_bar=False)
    return load(folder)


def make_example(folder: Path, *, channels: int, seed: int) -> Example:
    recording, truth = generate_ground_truth_recording(
        durations=[5.0],
        num_channels=channels,
        num_units=2,
        generate_probe_kwargs={"num_columns": 1, "xpitch": 20, "ypitch": 20},
        generate_unit_locations_kwargs={
            "margin_um": 5.0,
            "minimum_z": 5.0,
            "maximum_z": 20.0,
            "minimum_distance": 5,
        },
        seed=seed,
    )
    truth = truth.rename_units(["big", "small"])
    saved = saved_to(folder / "recording", recording)
    Sorter.fit(saved, truth, settings=SETTINGS).save(folder / "model")
    return Example(saved, truth, folder / "model")


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_example(tmp_path_factory.mktemp("example"), channels=2, seed=1)
