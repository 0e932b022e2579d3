"""Models of every format that was ever current can still be read, and find what they found then."""

from __future__ import annotations

from pathlib import Path

import pytest
from spikeinterface.core import NumpyRecording

from spikesorter import Sorter, read_labels, score
from spikesorter.io.model_files import FORMAT_VERSION, READABLE, read_model_files
from tests.conftest import FS_HZ
from tests.models.make import sample_study

HERE = Path(__file__).parent
PLACES = sorted(HERE.glob("format*"))


def test_a_sample_of_each_readable_format_is_kept() -> None:
    assert [place.name for place in PLACES] == [f"format{number}" for number in READABLE]
    assert max(READABLE) == FORMAT_VERSION


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_kept_model_finds_what_it_found_then(place: Path) -> None:
    assert f"format{read_model_files(place / 'model').format_version}" == place.name
    recording = NumpyRecording([sample_study()[1].trace], FS_HZ)
    found = Sorter.load(place / "model").sort(recording)
    then = read_labels(place / "D2.mat")
    assert score(then, found, fs_hz=FS_HZ).score > 0.99  # other versions may round in other ways
