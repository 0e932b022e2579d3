from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.settings import Settings
from spikesorter.io.mat import read_mat
from spikesorter.sorting.fitting import _read


@pytest.mark.parametrize("exclude", [None, BadStretches.of([(100_000, 110_000, "given")])])
def test_bad_stretches_of_the_labels_are_cut_out_and_then_no_longer_known(
    exclude: BadStretches | None, study_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rehearsals are made of what is left, in which all samples are good."""
    recording, labels = read_mat(study_folder / "D1.mat")
    assert labels is not None
    bad = BadStretches.of([(50_000, 75_000, "artefact")])
    source = _read(recording, replace(labels, bad=bad), Settings(), exclude, n_jobs=1)
    every = bad if exclude is None else bad.joined(exclude)
    assert len(source.raw) == recording.get_num_frames() - every.samples
    good = labels.outside(every)
    assert len(source.labels) == len({*zip(good.sample.tolist(), good.unit.tolist(), strict=True)})
    assert source.labels.sample.max() < len(source.raw)
    assert len(source.labels.bad) == 0
    assert "are bad and left out" in caplog.text
    assert np.array_equal(source.labels.sample[:5], labels.sample[:5])
