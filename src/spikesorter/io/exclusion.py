"""What to leave out of each of a command's recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, naming
from spikesorter.io.formats import stem_of
from spikesorter.io.stretches import StretchRow, event_rows, stretch_rows, to_events, to_stretches

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["WINDOW_MS", "Exclusion"]

WINDOW_MS = (-0.5, 6.0)
MOST_SUBTRACTED_MS = 1000.0
ENDINGS = (".bad.csv", ".csv", ".tsv", ".nwb")
MOST_LISTED = 10
Reader = Callable[[Path], list[StretchRow]]


@dataclass(frozen=True)
class Exclusion:
    """Files of stretches and of events to leave out of recordings.

    Parameters
    ----------
    stretches : str
        File of `read_stretches`, with a column `recording` if it is of several recordings; or a folder with
        a file NAME.csv, NAME.tsv, NAME.nwb or NAME.bad.csv for each. "": none.
    events : str
        The same for events, which have one time each.
    window_ms : (float, float)
        What is left out around each event, milliseconds.
    subtract_ms : float
        Until how long after each event their mean response is subtracted; 0: it is not. Without `events`,
        that to pulses which are found.
    """

    stretches: str = ""
    events: str = ""
    window_ms: tuple[float, float] = WINDOW_MS
    subtract_ms: float = 0.0

    def __post_init__(self) -> None:
        if not self.window_ms[0] < self.window_ms[1]:
            first, last = self.window_ms
            raise InputError(
                f"--blank-ms {first:g} {last:g}: expected a start and a later stop, such as -0.5 6"
            )
        if not 0 <= self.subtract_ms <= MOST_SUBTRACTED_MS:
            raise InputError(
                f"--subtract-ms {self.subtract_ms:g}: expected milliseconds after each event, from 0 to "
                f"{MOST_SUBTRACTED_MS:g}"
            )

    @property
    def subtracts_found(self) -> bool:
        """Whether the response to pulses that are found in the recording itself is to be subtracted."""
        return bool(self.subtract_ms) and not self.events

    def check(self, names: Sequence[str]) -> None:
        """Refuse files that cannot be read, or from which it is not clear what is to be left out of what.

        Parameters
        ----------
        names : sequence of str
            Names of the recordings; see `part_name`.

        Raises
        ------
        InputError
        """
        for place, _, read in self._sources:
            found = [row for name in names for row in self._rows(place, name, read)[1]]
            if len(names) > 1 and place.is_file() and not all(row.recording for row in found):
                raise InputError(
                    f"{place}: there are {len(names)} recordings; say in a column `recording` which one each "
                    f"row is of, or give a folder of files such as {names[0]}.csv"
                )
            if names and not found:
                self._refuse_unused(place, names, read)

    def of(self, name: str, recording: BaseRecording) -> BadStretches:
        """Return what is to be left out of a recording, with the samples and the rate of its file.

        Raises
        ------
        InputError
        """
        fs_hz, start_s = float(recording.get_sampling_frequency()), float(recording.get_start_time(0))
        bad, n_samples = BadStretches(), recording.get_num_frames()
        for place, window_ms, read in self._sources:
            file, rows = self._rows(place, name, read)
            one = to_stretches(file, rows, fs_hz=fs_hz, start_s=start_s, window_ms=window_ms)
            if len(one) and one.start[0] >= n_samples:
                raise InputError(
                    f"{file}: begins at {one.start[0] / fs_hz:.6g} s, but {name} has only "
                    f"{n_samples / fs_hz:.6g} s; are these times of the session or of another recording?"
                )
            bad = bad.joined(one.within(0, n_samples))
        return bad

    def cleaned(self, name: str, recording: BaseRecording) -> BaseRecording:
        """Return a recording without the mean response to its given events, if that is wanted.

        Raises
        ------
        InputError
            If it has too few events.
        """
        if not (self.subtract_ms and self.events):
            return recording
        from spikesorter.io.responses import without_responses

        file, rows = self._rows(Path(self.events), name, event_rows)
        fs_hz, start_s = float(recording.get_sampling_frequency()), float(recording.get_start_time(0))
        events = to_events(file, rows, fs_hz=fs_hz, start_s=start_s)
        with naming(name):
            return without_responses(
                recording,
                events,
                before_ms=max(-self.window_ms[0], 0.0),
                after_ms=self.subtract_ms,
                blank_ms=max(self.window_ms[1], 0.0),
            )

    def resolved(self) -> Exclusion:
        """Return the same with absolute paths, which stay valid in another working directory.

        Examples
        --------
        >>> Exclusion("bad.csv").resolved().stretches == str(Path("bad.csv").resolve())
        True
        """
        places = (self.stretches, self.events)
        stretches, events = (str(Path(place).resolve()) if place else "" for place in places)
        return replace(self, stretches=stretches, events=events)

    def digest(self, name: str) -> str:
        """Return a digest of what is to be left out of a recording, to notice when it changes."""
        rows = [self._rows(place, name, read)[1] for place, _, read in self._sources]
        around = (*self.window_ms, self.subtract_ms) if self.events or self.subtract_ms else ()
        return hashlib.sha256(repr((rows, around)).encode()).hexdigest()

    @property
    def _sources(self) -> list[tuple[Path, tuple[float, float], Reader]]:
        given = ((self.stretches, (0.0, 0.0), stretch_rows), (self.events, self.window_ms, event_rows))
        return [(Path(place), window_ms, read) for place, window_ms, read in given if place]

    @staticmethod
    def _rows(place: Path, name: str, read: Reader) -> tuple[Path, list[StretchRow]]:
        """Return the file for a recording, and its rows that are of it."""
        if place.is_dir():
            files = [place / f"{name}{ending}" for ending in ENDINGS]
            file = next((file for file in files if file.is_file()), None)
            return (file, read(file)) if file else (place, [])
        return place, [row for row in read(place) if _is_of(row, name)]

    @staticmethod
    def _refuse_unused(place: Path, names: Sequence[str], read: Reader) -> None:
        if place.is_dir():
            raise InputError(f"{place}: has no file for any recording; expected names such as {names[0]}.csv")
        if rows := read(place):
            known = ", ".join(list(dict.fromkeys(row.recording for row in rows))[:MOST_LISTED])
            raise InputError(
                f"{place}: is of the recordings {known}, but not of {', '.join(names[:MOST_LISTED])}"
            )


def _is_of(row: StretchRow, name: str) -> bool:
    """Return whether a row is of a recording: it says so by its name or file, or says nothing."""
    return row.recording in ("", name) or stem_of(Path(row.recording)) == name
