from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import SettingsError


def test_minus_one_and_none_are_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 7)
    assert effective_n_jobs(None) == effective_n_jobs(-1) == 7


@pytest.mark.parametrize("n_jobs", [1, 3, 1024, np.int64(3)])
def test_a_number_of_threads_is_itself_as_an_int(n_jobs: int) -> None:
    assert effective_n_jobs(n_jobs) == n_jobs
    assert type(effective_n_jobs(n_jobs)) is int


@pytest.mark.parametrize("n_jobs", [0, -2, 1025, 1.5, 2.0, True, False, "2", float("nan")])
def test_anything_else_is_refused(n_jobs: Any) -> None:
    with pytest.raises(SettingsError, match=r"n_jobs must be .* or -1 for all cores, not "):
        effective_n_jobs(n_jobs)
