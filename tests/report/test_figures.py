from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from spikeinterface.core import NumpyRecording

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.report.figures import save_trace_figure


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_picture_is_written(ending: str, study_folder: Path, tmp_path: Path) -> None:
    recording, _ = read_mat(study_folder / "D2.mat")
    truth = read_mat_spikes(study_folder / "truth" / "D2.mat")
    path = tmp_path / f"trace{ending}"
    save_trace_figure(path, recording, found=truth, truth=truth, start_s=1, seconds=0.1, title="D2")
    assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "start_s", "message"), [("x.png", 99.0, "nothing to draw"), ("x.xyz", 0.0, "figures are")]
)
def test_impossible_pictures_are_refused(
    name: str, start_s: float, message: str, study_folder: Path, tmp_path: Path
) -> None:
    recording, _ = read_mat(study_folder / "D2.mat")
    with pytest.raises(InputError, match=message):
        save_trace_figure(
            tmp_path / name, recording, found=None, truth=None, start_s=start_s, seconds=0.1, title="D2"
        )
    assert not list(tmp_path.iterdir())


def test_units_are_called_by_their_names_and_one_name_has_one_colour(
    study_folder: Path, tmp_path: Path
) -> None:
    recording, _ = read_mat(study_folder / "D2.mat")
    truth = Spikes.from_arrays([100, 900], [1, 2], names={1: "basket <1>", 2: "$granule$"})
    found = Spikes.from_arrays([900], [1], names={1: "$granule$"})  # a file lacks the silent unit
    path = tmp_path / "trace.svg"
    with rc_context({"svg.fonttype": "none"}):
        save_trace_figure(path, recording, found=found, truth=truth, start_s=0, seconds=0.1, title="D2")
    words = [text.strip() for text in ET.parse(path).getroot().itertext()]
    assert [word for word in words if word.startswith("unit ")] == ["unit $granule$", "unit basket <1>"]


def test_bad_stretches_are_shaded_and_missing_samples_left_out(study_folder: Path, tmp_path: Path) -> None:
    trace = np.sin(np.arange(5000.0))[:, None]
    trace[500:600] = np.nan
    recording = NumpyRecording([trace], 25_000.0)
    bad = BadStretches.of([(500, 600, "missing"), (4000, 9000, "given")])
    sizes = []
    for stretches in (BadStretches(), bad):
        path = tmp_path / f"{len(stretches)}.svg"
        found = Spikes([100], [1], bad=stretches)
        save_trace_figure(path, recording, found=found, truth=None, start_s=0, seconds=0.1, title="D2")
        sizes.append(path.read_text().count("opacity: 0.3"))
    assert sizes == [0, 1]  # the other is later
