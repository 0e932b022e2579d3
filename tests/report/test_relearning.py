from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.relearning import Relabelled, relabel, what_changed
from spikesorter.report.results import Result
from tests.browser.test_report import renamed

pytestmark = pytest.mark.slow


def test_corrections_become_labels_and_it_is_said_what_they_changed(
    results: list[Result], sorted_study: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(sorted_study, tmp_path / "out"))
    spikes, names = results[0].spikes, results[0].sorter.names
    first, second = results[0].sorter.units.known[:2]
    log = CorrectionLog(out / "corrected" / "D2.jsonl")
    log.append(Correction(int(spikes.of(first).sample[0]), first, "reject"))
    log.append(Edit("merge", unit=second, to=first))
    (out / "corrected" / "D2.csv").unlink(missing_ok=True)  # as after a kill of the viewer
    made = relabel(out / "corrected", Path("elsewhere/D2.mat"))
    assert made is not None
    assert made.words == "1 spike rejected, 1 unit merged"
    assert made.path.is_file()
    counts = made.labels.counts()
    assert counts[first] == spikes.counts()[first] + spikes.counts()[second] - 1
    lines = what_changed(made, results[0].sorter)
    assert lines[0].startswith(
        f"unit {names[first]}: {spikes.counts()[first]} spikes found, {counts[first]} labelled"
    )
    assert lines[0].endswith("differs by 0 % (root mean square) from the earlier one")
    assert f"{spikes.counts()[second]} spikes found, 0 labelled" in lines[1]
    with pytest.raises(InputError, match="has no corrections of D9; it has those of D2"):
        relabel(out / "corrected", Path("D9.mat"))
    assert relabel(out / "predictions", Path("D2.mat")) is None
    assert relabel(tmp_path / "labels.csv", Path("D2.mat")) is None


def test_new_units_and_units_that_are_gone_are_said(results: list[Result], tmp_path: Path) -> None:
    result = results[0]
    first, second = result.sorter.units.known[:2]
    fewer = result.spikes.select(result.spikes.unit != second)
    made = Relabelled(tmp_path / "D2.csv", "", result.spikes, fewer, (renamed(result, "D2", "other").sorter,))
    lines = what_changed(made, result.sorter)
    name = result.sorter.names[first]
    assert lines[0].startswith(f"unit {name}: new; ")
    assert lines[-1].startswith("unit other: no longer there")
