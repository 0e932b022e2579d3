"""Score files of sortings against files of true spikes."""

from __future__ import annotations

import re
from pathlib import Path

from spikesorter.core.agreement import mismatches
from spikesorter.core.comparison import Comparison, Pairing, compare_sortings
from spikesorter.core.errors import InputError
from spikesorter.core.pairs import numbered_alike, outside_bad
from spikesorter.core.progress import Progress, silent
from spikesorter.core.score import Score, score
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.core.spikes import Spikes
from spikesorter.io.bad_table import is_bad_table
from spikesorter.io.formats import has_sorting
from spikesorter.io.label_checks import RateNeededError
from spikesorter.io.labels import LABEL_ENDINGS, read_labels
from spikesorter.report.peri_events import is_peri_event_table

__all__ = ["compare_files", "mismatches_of_files", "score_files", "unpredicted"]

RESULT_ENDINGS = (*LABEL_ENDINGS, ".phy", ".analyzer", ".zarr")
USUAL_HZ = 25_000.0


def score_files(
    truth: Path, predictions: Path, *, fs_hz: float | None = None, progress: Progress = silent
) -> dict[str, Score]:
    """Score a sorting, or a folder of sortings, against the truth.

    Parameters
    ----------
    truth, predictions : Path
        Two sortings in any format that `read_labels` reads, or two folders with sortings of the same names.
        In folders, every sorting in `predictions` is scored, and `truth` must contain its true spikes.
    fs_hz : float, optional
        Sampling rate, if no file states it; 25,000 by default.
    progress : callable, optional

    Returns
    -------
    dict of str to Score
        Scores by name, in the order of the numbers in the names.

    Raises
    ------
    InputError
        If a file is missing or cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from spikesorter import Spikes, write_spikes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "D5.csv"
    ...     write_spikes(path, Spikes.from_arrays([100, 300], [1, 2], fs_hz=25_000.0))
    ...     scores = score_files(path, path)
    >>> scores["D5"].score
    1.0
    """
    pairs = _read_pairs(truth, predictions, fs_hz)
    scores: dict[str, Score] = {}
    for name, (true, found, rate) in pairs.items():
        progress("scoring", len(scores) / len(pairs))
        scores[name] = score(*numbered_alike(true, found), fs_hz=rate)
    return scores


def compare_files(
    truth: Path,
    predictions: Path,
    *,
    fs_hz: float | None = None,
    pairing: Pairing = "hungarian",
    progress: Progress = silent,
) -> dict[str, Comparison]:
    """Compare files unit by unit with SpikeInterface's comparison.

    The files are those of `score_files`; for the pairing of units see `compare_sortings`.
    """
    pairs = _read_pairs(truth, predictions, fs_hz)
    comparisons: dict[str, Comparison] = {}
    for name, (true, found, rate) in pairs.items():
        progress("comparing units", len(comparisons) / len(pairs))
        comparisons[name] = compare_sortings(true, found, fs_hz=rate, pairing=pairing)
    return comparisons


def mismatches_of_files(truth: Path, predictions: Path, *, fs_hz: float | None = None) -> list[str]:
    """Return in words, by file, why scores may say little about the sorter; see `mismatches`.

    The files are those of `score_files`.
    """
    pairs = _read_pairs(truth, predictions, fs_hz)
    return [
        f"{name}: {words}"
        for name, (true, found, rate) in pairs.items()
        for words in mismatches(*outside_bad(true, found), fs_hz=rate)
    ]


def unpredicted(truth: Path, predictions: Path) -> list[str]:
    """Return the names of the targets that have true spikes but no predictions."""
    if _is_one(truth):
        return []
    found = _sortings(predictions)
    return [name for name in _sortings(truth) if name != "D1" and name not in found]


def _is_one(path: Path) -> bool:
    return not path.is_dir() or has_sorting(path)


def _sortings(path: Path) -> dict[str, Path]:
    """Return the sortings in a folder by name, or the path itself if it is one sorting."""
    if _is_one(path):
        return {_result_name(path): path}
    inside = [
        entry
        for entry in path.iterdir()
        if not (entry.name.startswith(".") or is_bad_table(entry) or is_peri_event_table(entry))
        and (has_sorting(entry) if entry.is_dir() else entry.suffix.lower() in LABEL_ENDINGS)
    ]
    named: dict[str, Path] = {}
    for entry in sorted(inside, key=_by_number):
        other = named.setdefault(_result_name(entry), entry)
        if other != entry:
            raise InputError(f"{entry}: has the same name as {other}; give only one of them")
    return named


def _result_name(path: Path) -> str:
    return path.stem if path.suffix.lower() in RESULT_ENDINGS else path.name


def _read_pairs(
    truth: Path, predictions: Path, fs_hz: float | None
) -> dict[str, tuple[Spikes, Spikes, float]]:
    """Read true spikes, found spikes and their sampling rate, by name."""
    if _is_one(predictions) != _is_one(truth):
        raise InputError(f"{predictions} and {truth}: give two files or two folders")
    found = _sortings(predictions)
    if not found:
        raise InputError(f"{predictions}: contains no .mat files or other sortings")
    answers = _sortings(truth)
    return {
        name: _read_pair(truth if _is_one(truth) else answers.get(name, truth / path.name), path, fs_hz)
        for name, path in found.items()
    }


def _read_pair(truth: Path, predictions: Path, fs_hz: float | None) -> tuple[Spikes, Spikes, float]:
    try:
        true = read_labels(truth, fs_hz=fs_hz)
        found = read_labels(predictions, fs_hz=true.fs_hz or fs_hz)
    except RateNeededError:
        found = read_labels(predictions, fs_hz=fs_hz)
        if found.fs_hz is None:
            raise
        true = read_labels(truth, fs_hz=found.fs_hz)
    if true.fs_hz and found.fs_hz and not same_rate(true.fs_hz, found.fs_hz):
        rates = shown_hz(found.fs_hz), shown_hz(true.fs_hz)
        raise InputError(f"{predictions}: is sampled at {rates[0]}, but {truth} at {rates[1]}")
    return true, found, true.fs_hz or found.fs_hz or USUAL_HZ


def _by_number(path: Path) -> tuple[list[int], str]:
    """Return a sort key that puts D10 after D9."""
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.stem
