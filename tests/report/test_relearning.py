from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.labels import read_labels
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.relearning import Relabelled, relabel, what_changed
from spikesorter.report.results import Result
from tests.browser.test_report import renamed


@pytest.mark.slow
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


@pytest.mark.slow
def test_new_units_and_units_that_are_gone_are_said(results: list[Result], tmp_path: Path) -> None:
    result = results[0]
    first, second = result.sorter.units.known[:2]
    fewer = result.spikes.select(result.spikes.unit != second)
    made = Relabelled(tmp_path / "D2.csv", "", result.spikes, fewer, (renamed(result, "D2", "other").sorter,))
    lines = what_changed(made, result.sorter)
    name = result.sorter.names[first]
    assert lines[0].startswith(f"unit {name}: new; ")
    assert lines[-1].startswith("unit other: no longer there")


def fake_sorter(fs_hz: float = 1000.0, **shapes: list[float]) -> Any:
    """What is asked of a sorter here: units by their names, each with the values of its template."""
    names = dict(enumerate(shapes, start=1))
    waveforms = [np.float32(values)[:, None] for values in shapes.values()]
    units = SimpleNamespace(
        known=tuple(names), templates=SimpleNamespace(unit_ids=tuple(names), waveforms=waveforms)
    )
    return SimpleNamespace(fs_hz=fs_hz, names=names, units=units)


def test_templates_are_compared_by_names_and_over_all_groups(tmp_path: Path) -> None:
    found = Spikes.from_arrays(range(7), [1, 1, 2, 2, 2, 3, 3], names={1: "a", 2: "b", 3: "c"})
    labels = Spikes.from_arrays(range(5), [7, 7, 8, 8, 8], names={7: "b", 8: "d"})
    groups = (fake_sorter(a=[3.0, 4.0], b=[0.0, 10.0]), fake_sorter(c=[1.0, 1.0]))
    made = Relabelled(tmp_path / "D2.csv", "", found, labels, groups)
    assert what_changed(made, fake_sorter(d=[9.0, 9.0], b=[3.0, 14.0], a=[3.0, 4.0, 5.0])) == [
        "unit d: new; 0 spikes found, 3 labelled",
        "unit b: 3 spikes found, 2 labelled; its template differs by 50 % (root mean square) from the "
        "earlier one",
        "unit a: 2 spikes found, 0 labelled; its template has another length",
        "unit c: no longer there; 2 spikes found",
    ]


def test_labels_come_from_the_log_and_from_all_groups_of_that_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def result(place: str, *spikes: tuple[int, int]) -> Any:
        sample, unit = zip(*spikes, strict=True)
        return SimpleNamespace(
            place=Path(place), spikes=Spikes.from_arrays(sample, unit), sorter=fake_sorter(a=[1.0])
        )

    here = [result("D2.mat", (10, 1), (20, 1)), result("D3.mat", (10, 1)), result("D2.mat", (15, 2))]
    opened: list[Path] = []

    def open_results(out: Path) -> list[Any]:
        opened.append(out)
        return here

    monkeypatch.setattr("spikesorter.report.results.open_results", open_results)
    folder = tmp_path / "corrected"
    log = CorrectionLog(folder / "D2.jsonl")
    for change in (Correction(10, 1, "reject"), Correction(15, 2, "move", 16), Edit("undo"), Edit("redo")):
        log.append(change)
    made = relabel(folder, Path("elsewhere/D2.csv"))
    assert made is not None
    assert (opened, made.words, made.path) == (
        [tmp_path],
        "1 spike rejected, 1 spike moved",
        folder / "D2.csv",
    )
    assert made.found.sample.tolist() == [10, 15, 20]
    assert read_labels(made.path, fs_hz=1000.0) == made.labels == Spikes.from_arrays([16, 20], [2, 1])
    assert made.sorters == (here[0].sorter, here[2].sorter)
    here[:] = here[1:2]
    with pytest.raises(InputError, match="has no results of D2 any more; sort it again"):
        relabel(folder, Path("D2.mat"))
