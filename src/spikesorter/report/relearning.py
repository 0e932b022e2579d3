"""Learn from corrections: find the labels that a folder of corrections gives, and say what they changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.core.text import count_of
from spikesorter.io.formats import stem_of
from spikesorter.report.correcting import write_labels
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.journal import summary

if TYPE_CHECKING:
    from spikesorter.sorting.sorter import Sorter

__all__ = ["Relabelled", "relabel", "what_changed"]

FloatArray = npt.NDArray[np.float32]
LOGS = "*.jsonl"


@dataclass(frozen=True, eq=False)
class Relabelled:
    """Labels made from corrections.

    Parameters
    ----------
    path : Path
        The file with the labels.
    words : str
        What was corrected, in a sentence.
    found, labels : Spikes
        Before and after.
    sorters : tuple of Sorter
        Those that found the spikes: one, or one for each group of channels.
    """

    path: Path
    words: str
    found: Spikes
    labels: Spikes
    sorters: tuple[Sorter, ...]


def relabel(folder: Path, recording: Path, *, name: str | None = None) -> Relabelled | None:
    """Write the labels of a recording from the corrections in `OUT/corrected`.

    They are made from the log of corrections, so that they are complete even if the viewer was killed.

    Parameters
    ----------
    folder : Path
    recording : Path
        The recording that was corrected.
    name : str, optional
        Name of its result, if that is not the file's: that of a segment.

    Returns
    -------
    Relabelled or None
        None if it is not a folder of corrections.

    Raises
    ------
    InputError
        If the folder has no corrections of this recording, or results and corrections cannot be read.
    """
    from spikesorter.report.results import open_results

    if not folder.is_dir() or not any(folder.glob(LOGS)):
        return None
    stem, known = name or stem_of(recording), sorted(path.stem for path in folder.glob(LOGS))
    if stem not in known:
        raise InputError(f"{folder}: has no corrections of {stem}; it has those of {', '.join(known)}")
    results = [result for result in open_results(folder.parent) if result.place.stem == stem]
    if not results:
        raise InputError(f"{folder.parent}: has no results of {stem} any more; sort it again")
    found, changes = (
        Spikes.concatenate([one.spikes for one in results]),
        CorrectionLog(folder / f"{stem}.jsonl").read(),
    )
    path = folder / f"{stem}.csv"
    labels = write_labels(path, found, changes, fs_hz=results[0].sorter.fs_hz)
    return Relabelled(path, summary(changes), found, labels, tuple(one.sorter for one in results))


def what_changed(relabelled: Relabelled, sorter: Sorter) -> list[str]:
    """Say what a sorter that was fitted to corrected labels learnt otherwise, one line for each unit.

    Parameters
    ----------
    relabelled : Relabelled
    sorter : Sorter
        Fitted to the labels.

    Returns
    -------
    list of str
    """
    before, after = _counts(relabelled.found), _counts(relabelled.labels)
    old = {name: shape for one in relabelled.sorters for name, shape in _shapes(one).items()}
    new = _shapes(sorter)
    lines = []
    for name, shape in new.items():
        counts = f"{count_of(before.get(name, 0), 'spike')} found, {after.get(name, 0)} labelled"
        if name not in old:
            lines.append(f"unit {name}: new; {counts}")
        else:
            lines.append(f"unit {name}: {counts}; {_difference(old[name], shape)}")
    lines += [
        f"unit {name}: no longer there; {count_of(before.get(name, 0), 'spike')} found"
        for name in old
        if name not in new
    ]
    return lines


def _counts(spikes: Spikes) -> dict[str, int]:
    return {spikes.name_of(unit): count for unit, count in spikes.counts().items()}


def _shapes(sorter: Sorter) -> dict[str, FloatArray]:
    templates = sorter.units.templates
    shapes = dict(zip(templates.unit_ids, templates.waveforms, strict=True))
    return {sorter.names.get(unit, str(unit)): shapes[unit] for unit in sorter.units.known}


def _difference(old: FloatArray, new: FloatArray) -> str:
    """Say how much a template differs from the earlier one."""
    if old.shape != new.shape:
        return "its template has another length"
    share = float(np.linalg.norm(new - old)) / max(float(np.linalg.norm(old)), 1e-12)
    return f"its template differs by {100 * share:.0f} % (root mean square) from the earlier one"
