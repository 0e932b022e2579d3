"""Say in words what was corrected, for people to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from spikesorter.core.errors import InputError
from spikesorter.core.text import count_of, visible
from spikesorter.io.atomic import atomic_file
from spikesorter.report.correcting import in_force
from spikesorter.report.corrections import Change, Edit, changed_spikes

__all__ = ["journal", "sentence", "summary", "write_journal"]

HEADING = (
    "What was corrected, in the order in which it was done. spikesorter wrote this; it is not read again."
)
DONE = {"accept": "accepted", "reject": "rejected", "rename": "renamed", "move": "moved", "add": "added"}


def sentence(change: Change, *, fs_hz: float, names: Mapping[int, str]) -> str:
    """Return a change in words.

    Parameters
    ----------
    change : Correction or Edit
    fs_hz : float
        Sampling rate.
    names : mapping of int to str
        Names of units.

    Examples
    --------
    >>> from spikesorter.report.corrections import Correction
    >>> sentence(Correction(1200, 1, "rename", to=2), fs_hz=1000.0, names={2: "basket"})
    'the spike of unit 1 at 1.2000 s is of unit basket'
    >>> sentence(Edit("merge", unit=3, to=1), fs_hz=1000.0, names={})
    'unit 3 is merged into unit 1'
    """

    def unit(number: int | None) -> str:
        return f"unit {names.get(number, number)}" if number is not None else "its unit"

    if isinstance(change, Edit):
        if change.action in ("undo", "redo"):
            return f"{change.action} of the last step"
        if change.action == "merge":
            return f"{unit(change.unit)} is merged into {unit(change.to)}"
        counts = Counter(of for _, of in change.spikes).most_common()
        listed = " and ".join(f"{count} of {unit(of)}" for of, count in counts)
        number = len(change.spikes)
        what = f"{count_of(number, 'spike')} ({listed}) {'is' if number == 1 else 'are'}"
        return (
            f"{what} of {unit(change.to)}" if change.action == "rename" else f"{what} {DONE[change.action]}"
        )
    what = f"the spike of {unit(change.unit)} at {change.sample / fs_hz:.4f} s"
    if change.action == "rename":
        return f"{what} is of {unit(change.to)}"
    if change.action == "move" and change.to is not None:
        return f"{what} is moved to {change.to / fs_hz:.4f} s"
    if change.action == "add":
        return f"a spike of {unit(change.unit)} at {change.sample / fs_hz:.4f} s is added"
    return f"{what} is {DONE.get(change.action, 'as found again')}"


def journal(changes: Iterable[Change], *, fs_hz: float, names: Mapping[int, str]) -> list[str]:
    """Return each change with its time, in words; steps back and forth included.

    Examples
    --------
    >>> journal([Edit("merge", unit=3, to=1, at="2026-11-29T10:00:00+00:00")], fs_hz=1.0, names={})
    ['2026-11-29 10:00:00 UTC: unit 3 is merged into unit 1']
    """
    lines = []
    for change in changes:
        when = change.at.replace("T", " ").replace("+00:00", " UTC")
        text = sentence(change, fs_hz=fs_hz, names=names)
        lines.append(visible(f"{when}: {text}" if when else text))
    return lines


def summary(changes: Iterable[Change]) -> str:
    """Say in one sentence what the changes in force come to.

    Examples
    --------
    >>> from spikesorter.report.corrections import Correction
    >>> summary([Correction(9, 1, "reject"), Correction(30, 1, "reject"), Edit("merge", unit=3, to=1)])
    '2 spikes rejected, 1 unit merged'
    >>> summary([])
    'nothing corrected'
    """
    made, _ = in_force(changes)
    counts: Counter[str] = Counter()
    merged = 0
    for change in made:
        if isinstance(change, Edit) and change.action == "merge":
            merged += 1
        elif change.action in DONE:
            counts[DONE[change.action]] += len(changed_spikes(change))
    parts = [f"{count_of(counts[word], 'spike')} {word}" for word in DONE.values() if counts[word]]
    parts += [f"{count_of(merged, 'unit')} merged"] if merged else []
    return ", ".join(parts) or "nothing corrected"


def write_journal(path: Path, changes: Iterable[Change], *, fs_hz: float, names: Mapping[int, str]) -> None:
    """Write what was corrected as a text file.

    Raises
    ------
    InputError
        If it cannot be written, or the path is anything but an earlier journal.
    """
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADING):
        raise InputError(f"{path}: was not written by spikesorter; move it elsewhere, and try again")
    text = "\n".join([HEADING, "", *journal(changes, fs_hz=fs_hz, names=names), ""])
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
