from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from spikesorter import read_labels
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN
from spikesorter.io.mat import read_mat
from tests.io.mat_files import TRACE, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "D1.mat"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": TRACE}, "has no variable d"),
        ({"d": np.where(np.arange(500) == 7, np.nan, TRACE)}, "1 samples that are NaN or infinite"),
        ({"d": np.where(np.arange(500) == 7, np.inf, TRACE)}, "NaN or infinite"),
        ({"d": np.ones(500)}, "constant"),
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
