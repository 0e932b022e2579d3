from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from spikesorter.core.cores import effective_n_jobs, one_blas_thread
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


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_linear_algebra_uses_one_thread_in_a_block_and_afterwards_as_many_as_before() -> None:
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread(), one_blas_thread(), ThreadPoolExecutor(1) as threads:
            assert threads.submit(blas_threads).result() == blas_threads() == {1}
        assert blas_threads() == {2}


def test_blocks_that_overlap_leave_the_callers_number_of_threads() -> None:
    """As when two sorters are fitted in threads of one program."""
    with threadpool_limits(2, user_api="blas"):
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == {2}
