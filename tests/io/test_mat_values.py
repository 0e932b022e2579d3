from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN
from spikesorter.io.mat import read_mat, read_mat_spikes
from tests.io.mat_files import TRACE, save, save_v73


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": TRACE}, "has no variable d"),
        ({"d": np.ones(500)}, "constant"),
        ({"d": np.where(np.arange(500) == 7, np.nan, 1.0)}, "constant"),
        ({"d": np.c_[np.zeros(500), np.ones(500)]}, "d is constant: nothing was recorded"),
        ({"d": np.full(500, np.nan)}, "d is NaN or infinite throughout: nothing was recorded"),
        ({"d": np.zeros((0, 0))}, "d is empty"),
        ({"d": "text"}, "must hold real numbers"),
        ({"d": TRACE + 1j}, "must hold real numbers"),
        ({"d": np.zeros((5, 5, 5))}, "shape"),
        ({"d": TRACE, "fs": -3.0}, "fs is -3 Hz"),
        ({"d": TRACE, "fs": [1.0, 2.0]}, "fs must be one real number"),
        ({"d": TRACE, "Index": [1]}, "has Index but no Class"),
        ({"d": TRACE, "Class": [1]}, "has Class but no Index"),
        ({"d": TRACE, "Index": [500], "Class": [1]}, "goes up to 500, but d has only 500 samples"),
        ({"d": TRACE, "Index": [-1], "Class": [1]}, "0 or more, found -1"),
        ({"d": TRACE, "Index": [1.5], "Class": [1]}, "fractional"),
        ({"d": TRACE, "Index": [np.nan], "Class": [1]}, "fractional, NaN"),
        ({"d": TRACE, "Index": [1e300], "Class": [1]}, "beyond any recording"),
        ({"d": TRACE, "Index": [1, 2], "Class": [1]}, "2 entries, but Class has 1"),
        ({"d": TRACE, "Index": [1], "Class": [-1]}, "0 or more, found -1"),
        ({"d": TRACE, "Index": [[1, 2], [3, 4]], "Class": [[1, 1], [1, 1]]}, "row or a column"),
        ({"d": TRACE, "Index": [1], "Class": [1], "Probability": [2.0]}, "from 0 to 1"),
    ],
)
def test_bad_contents_get_an_error_that_names_file_and_cause(
    variables: dict[str, Any], message: str, path: Path
) -> None:
    save(path, **variables)
    with pytest.raises(InputError, match=message) as error:
        read_mat(path)
    assert str(error.value).startswith(str(path))


def test_wave_clus(tmp_path: Path) -> None:
    path = tmp_path / "times_a.mat"
    scipy.io.savemat(path, {"cluster_class": [[1, 10.0], [0, 20.0], [2, 30.52]], "spikes": np.zeros((3, 64))})
    labels = read_labels(path, fs_hz=10_000.0)
    assert labels.sample.tolist() == [100, 200, 305]
    assert labels.unit.tolist() == [1, UNKNOWN, 2]
    with pytest.raises(InputError, match="milliseconds; give the recording's sampling rate"):
        read_labels(path)


BAD = [[900, 1000], [5, 9], [8, 20]]


@pytest.mark.parametrize("saved", [save, save_v73])
def test_bad_stretches_may_be_in_any_order_and_overlap(saved: Any, path: Path) -> None:
    saved(path, Index=[1], Class=[1], Bad=np.array(BAD))
    assert list(read_mat_spikes(path).bad) == [(5, 20, "given"), (900, 1000, "given")]
    saved(path, Index=[1], Class=[1], Bad=np.array(BAD, float), BadKind=[4, 2, 1])
    assert list(read_mat_spikes(path).bad) == [(5, 20, "missing"), (900, 1000, "artefact")]
    saved(path, Index=[1], Class=[1], Bad=np.array(BAD[:2]))  # whose rows might be columns
    assert list(read_mat_spikes(path).bad) == [(5, 9, "given"), (900, 1000, "given")]
    save(path, Index=[1], Class=[1], Bad=np.zeros((0, 2)))
    assert len(read_mat_spikes(path).bad) == 0


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Bad": np.array(BAD).T}, r"Bad must have two columns.* has shape \(2, 3\)"),
        ({"Bad": [[1.5, 2]]}, "Bad must hold whole numbers"),
        ({"Bad": [[-3, 2]]}, "start at sample 0 or later"),
        ({"Bad": [[7, 7]]}, "from sample 7 to 7 is nothing"),
        ({"Bad": "ab"}, "Bad must"),
        ({"Bad": BAD, "BadKind": [1]}, "BadKind must hold a number for each row of Bad: 0 given, 1 missing"),
        ({"Bad": [[1, 2]], "BadKind": [5]}, "BadKind must hold"),
    ],
)
def test_impossible_bad_stretches_are_refused(variables: dict[str, Any], message: str, path: Path) -> None:
    save(path, Index=[1], Class=[1], **variables)
    with pytest.raises(InputError, match=message) as error:
        read_mat_spikes(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_missing_samples_are_read(missing: float, path: Path) -> None:
    save(path, d=np.where(np.arange(500) == 7, missing, TRACE))
    recording, _ = read_mat(path)
    trace = recording.get_traces()[:, 0]
    assert np.flatnonzero(~np.isfinite(trace)).tolist() == [7]
