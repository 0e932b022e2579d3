"""Keep the corrections of results: check them, store them, apply them, write them as labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.report.correcting import Corrected, correct, has_spike, in_force, write_labels
from spikesorter.report.correction_log import CorrectionLog, check_not_linked
from spikesorter.report.corrections import Change, Correction, Edit, changed_spikes
from spikesorter.report.journal import journal, sentence, write_journal
from spikesorter.report.revision import Judging, contents_of

if TYPE_CHECKING:
    from spikesorter.report.results import Result
    from spikesorter.report.verdict import Shares

__all__ = ["Desk"]

MOST_DOUBTFUL = 60  # in one reply
JOURNAL_LINES = 100  # in one reply

Contents = dict[str, Any]


class Desk:
    """The corrections of some results, each in a file of its own; results of one file share one.

    Parameters
    ----------
    results : sequence of Result
    shown : sequence of dict
        Contents of each for the page: `n_samples`, `fs_hz`, `units`.
    folder : Path
        Folder for corrections and labels.
    expected : callable, optional
        Returns the forecast of each unit of a result, or None if there is none.

    Raises
    ------
    InputError
        If earlier corrections cannot be read.
    """

    def __init__(
        self,
        results: Sequence[Result],
        shown: Sequence[Contents],
        folder: Path,
        *,
        expected: Callable[[Result], Mapping[int, Shares] | None] = lambda result: None,
    ) -> None:
        self._results, self._shown, self._folder = tuple(results), tuple(shown), folder
        self._expected, self._judged = expected, dict[int, Judging]()
        self._latest: dict[int, tuple[tuple[int, ...], Corrected]] = {}
        self.logs = {result.place: CorrectionLog(self.beside(result.place, "jsonl")) for result in results}
        for place, log in self.logs.items():
            log.read()
            check_not_linked(self.beside(place, "csv"))

    def corrected(self, r: int) -> Corrected:
        """Return the spikes of a recording as found and as corrected; the same object until that changes."""
        stamp = self.logs[self._results[r].place].stamp()
        known = self._latest.get(r)
        if known is None or known[0] != stamp:
            known = self._latest[r] = stamp, self._corrected(r)
        return known[1]

    def _corrected(self, r: int) -> Corrected:
        result = self._results[r]
        changes = self.logs[result.place].read()
        grouped = sum(other.place == result.place for other in self._results) > 1
        return correct(result.spikes, changes, known=self._own_units(r, changes) if grouped else None)

    def _own_units(self, r: int, changes: Sequence[Change]) -> set[int]:
        """Return the units of a group of channels, with those that were made of its spikes."""
        spikes = self._results[r].spikes
        own = {one["unit"] for one in self._shown[r]["units"]}
        for change in in_force(changes)[0]:
            merged = isinstance(change, Edit) and change.unit in own
            named = changed_spikes(change) if change.action == "rename" else ()
            if change.to is not None and (
                merged or any(spike[1] in own or has_spike(spikes, spike) for spike in named)
            ):
                own.add(change.to)
        return own

    def _judging(self, r: int) -> Judging:
        """Return a recording's spikes in order, which takes a moment, and is done once."""
        if r not in self._judged:
            result, shown = self._results[r], self._shown[r]
            self._judged[r] = Judging(
                result.spikes,
                n_samples=shown["n_samples"],
                fs_hz=shown["fs_hz"],
                expected=self._expected(result),
            )
        return self._judged[r]

    def state(self, r: int) -> Contents:
        spikes, judging = self._results[r].spikes, self._judging(r)
        changes = self.logs[self._results[r].place].read()
        made, undone = in_force(changes)
        now = self.corrected(r)
        queue = judging.strata.queue
        upcoming = judging.following(now, most=MOST_DOUBTFUL)
        following = spikes.sample[upcoming], spikes.unit[upcoming], spikes.joint[upcoming]
        units = self._units(r, now)
        words = {"fs_hz": self._shown[r]["fs_hz"], "names": {one["unit"]: one["name"] for one in units}}
        return {
            "units": units,
            "changed": int(np.count_nonzero(now.decision)),
            "doubtful": len(queue),
            "reviewed": int(np.count_nonzero(now.decision[queue])),
            "next": list(zip(*(values.tolist() for values in following), strict=True)),
            "judged": contents_of(judging.revision(now), words["names"]),
            "undo": sentence(made[-1], **words) if made else None,
            "redo": sentence(undone[-1], **words) if undone else None,
            "journal": journal(changes[-JOURNAL_LINES:], **words),
        }

    def _units(self, r: int, now: Corrected) -> list[Contents]:
        counts = now.spikes.counts()
        listed = [dict(one) for one in self._shown[r]["units"]]
        known = {one["unit"] for one in listed}
        new = [unit for unit in counts if unit not in known]
        listed += [{"unit": unit, "name": now.names.get(unit, str(unit))} for unit in new]
        return [one | {"spikes": counts.get(one["unit"], 0)} for one in listed]

    def check(self, r: int, correction: Correction) -> None:
        now = self.corrected(r)
        units = {one["unit"] for one in self._units(r, now)}
        wanted = correction.unit if correction.action == "add" else correction.to
        if correction.action == "add":
            at = now.there & (now.sample == correction.sample) & (now.unit == correction.unit)
            if at.any():
                raise InputError(
                    f"correction: there is a spike of unit {correction.unit} at sample {correction.sample}"
                )
            if now.there[now.places([correction.spike])].any():
                raise InputError(
                    f"correction: the spike of unit {correction.unit} that was found at sample "
                    f"{correction.sample} has been moved or given to another unit since; change that spike "
                    "back, or add yours at another sample"
                )
        else:
            self.find(now, correction.spike)
        if correction.action in ("rename", "accept", "add") and wanted is not None and wanted not in units:
            raise InputError(f"correction: there is no unit {wanted}")
        moved_to = correction.to if correction.action == "move" else correction.sample
        if moved_to is not None:
            self.check_inside(r, moved_to)

    def check_inside(self, r: int, sample: int) -> None:
        n_samples = self._shown[r]["n_samples"]
        if sample >= n_samples:
            raise InputError(f"correction: sample {sample} is beyond the end of the recording, {n_samples}")

    def check_edit(self, r: int, edit: Edit, *, made: bool) -> None:
        now = self.corrected(r)
        done, undone = in_force(self.logs[self._results[r].place].read())
        if edit.action == "undo" and not done:
            raise InputError("there is nothing to undo")
        if edit.action == "redo" and not undone:
            raise InputError("there is nothing to make again")
        if len(now.places(edit.spikes)) < len(edit.spikes):
            raise InputError("correction: some of the spikes are not in the results")
        units = {one["unit"] for one in self._units(r, now)}
        for unit in (edit.unit, None if made else edit.to):
            if unit is not None and unit not in units:
                raise InputError(f"correction: there is no unit {unit}")

    def as_known(self, now: Corrected, correction: Correction) -> Correction:
        """Return the correction that brings back a spike, if one is to be added where it was rejected."""
        gone = [k for k in now.places([correction.spike]) if not now.there[k]]
        if correction.action == "add" and any(now.sample[gone] == correction.sample):
            return Correction(*correction.spike, "accept", correction.unit)
        return correction

    def find(self, now: Corrected, spike: tuple[int, int]) -> int:
        places = now.places([spike])
        if not len(places):
            raise InputError(f"correction: no spike of unit {spike[1]} was found at sample {spike[0]}")
        return int(places[0])

    def append(self, r: int, change: Change) -> Contents:
        """Store a change that was checked, and return the new state; `about`: a spike of a step undone."""
        log = self.logs[self._results[r].place]
        if not (isinstance(change, Edit) and change.action in ("undo", "redo")):
            log.append(change)
            return self.state(r)
        stepped = in_force(log.read())[change.action == "redo"][-1]
        log.append(change)
        return self.state(r) | {"about": [list(spike) for spike in changed_spikes(stepped)[:1]]}

    def new_unit(self, r: int) -> int:
        """Return a number that no unit of the recording has or had."""
        place = self._results[r].place
        used = [UNKNOWN, *self.found(place).unit_ids]
        for other, result in enumerate(self._results):
            if result.place == place:
                used += [one["unit"] for one in self._shown[other]["units"]]
        for change in self.logs[place].read():
            used += [change.to or 0] if change.action in ("rename", "merge") else []
        return max(used) + 1

    def found(self, place: Path) -> Spikes:
        """Return all spikes in a file of results, which groups of channels may share."""
        return Spikes.concatenate([result.spikes for result in self._results if result.place == place])

    def write(self, place: Path) -> tuple[Path, Spikes]:
        path, said = self.beside(place, "csv"), self._folder / f"{place.stem}-journal.txt"
        for one in (path, said):
            check_not_linked(one)
        r = next(r for r, result in enumerate(self._results) if result.place == place)
        changes, rate, found = self.logs[place].read(), self._shown[r]["fs_hz"], self.found(place)
        labels = write_labels(path, found, changes, fs_hz=rate)
        write_journal(said, changes, fs_hz=rate, names=labels.names)
        return path, labels

    def is_pending(self, place: Path, log: CorrectionLog) -> bool:
        labels = self.beside(place, "csv")
        if not labels.exists():
            return bool(in_force(log.read())[0])
        return log.path.exists() and labels.stat().st_mtime_ns <= log.path.stat().st_mtime_ns

    def beside(self, place: Path, ending: str) -> Path:
        return self._folder / f"{place.stem}.{ending}"
