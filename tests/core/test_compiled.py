from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, stat
os.access = lambda *_, **__: False  # as in a read-only package and a home that cannot be written to
import spikesorter
import spikesorter.core.compiled
from spikesorter.signal.correlate import njit
folder = os.environ["NUMBA_CACHE_DIR"]
print(folder, oct(stat.S_IMODE(os.stat(folder).st_mode)))
"""


@pytest.mark.skipif(os.name == "nt", reason="homes can be written to there")
def test_without_a_place_for_compiled_code_it_is_kept_for_this_run_only() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    folder, mode = ended.stdout.split()
    assert mode == "0o700"
    assert not Path(folder).exists()  # any more
    assert ended.stderr.count("compiled anew") == 1
    assert len(ended.stderr.splitlines()) == 1


KEPT = """
from numba import njit
from spikesorter.core.compiled import is_kept

@njit(cache=True)
def double(x):
    return 2 * x

print(is_kept(double), double(1), is_kept(double))
"""


def test_it_is_told_whether_compiled_code_was_kept(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(KEPT)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = [
        subprocess.check_output([sys.executable, tmp_path / "program.py"], env=environment, text=True).split()
        for _ in range(2)
    ]
    assert said == [["False", "2", "True"], ["True", "2", "True"]]
