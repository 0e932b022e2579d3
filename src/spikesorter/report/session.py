"""What the viewer's page asks its server for: spans, figures, spikes as corrected; and what it stores."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import DECISIONS, Corrected, correct, in_force
from spikesorter.report.corrections import Correction, Edit, changed_spikes
from spikesorter.report.desk import Desk
from spikesorter.report.grouping import feature_contents, proposal_contents
from spikesorter.report.server import Route, json_reply

if TYPE_CHECKING:
    from spikesorter.report.features import Features
    from spikesorter.report.results import Result
    from spikesorter.report.verdict import Shares
    from spikesorter.sorting.placing import Placement

__all__ = ["NEW", "Session"]

MOST_SECONDS = 10  # of a recording in one request
MORE_KEPT = 8  # recordings
FEATURES_KEPT = 2  # recordings, some 50 MB each
NEW = -1
"""Stands for a unit that is yet to be made."""

Contents = dict[str, Any]


class Session:
    """Source of the page's data, and keeper of the user's corrections.

    Parameters
    ----------
    results : sequence of Result
    contents : dict
        Contents of the page (`viewer_contents`), for lengths, sampling rates and units.
    folder : Path
        Folder for corrections and labels.
    span : callable
        Returns the contents of a span, for JSON, given a result, start and stop. Called by one thread at a
        time, because readers of recordings are not thread-safe.
    place : callable, optional
        Returns where a spike fits best, given a result, all other spikes, a sample and a unit or None; or
        None, if it cannot tell. Called by one thread at a time.
    features : callable, optional
        Returns the features of a result's spikes. Called by one thread at a time.
    expected : callable, optional
        Returns the forecast of each unit of a result, or None if there is none.
    more : mapping of str to callable, optional
        Further contents of a result, for JSON, by the name that the page asks for: `figures`, `thumbnails`
        (the trace around each doubtful spike), `metrics`, `noise`. Called by one thread at a time, and once
        for each result.

    Raises
    ------
    InputError
        If earlier corrections cannot be read.
    """

    def __init__(
        self,
        results: Sequence[Result],
        contents: Contents,
        folder: Path,
        *,
        span: Callable[[Result, int, int], Contents],
        place: Callable[[Result, Spikes, int, int | None], Placement | None] = lambda *given: None,
        features: Callable[[Result], Features] | None = None,
        expected: Callable[[Result], Mapping[int, Shares] | None] = lambda result: None,
        more: Mapping[str, Callable[[Result], Any]] | None = None,
    ) -> None:
        self._results, self._span, self._place = tuple(results), span, place
        self._shown: list[Contents] = contents["recordings"]
        self._more = {name: lru_cache(maxsize=MORE_KEPT)(one) for name, one in (more or {}).items()}
        self._features = None if features is None else lru_cache(maxsize=FEATURES_KEPT)(features)
        self._desk = Desk(results, self._shown, folder, expected=expected)
        self._reading, self._writing = threading.Lock(), threading.Lock()

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the routes by method and name."""
        given: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
            ("GET", "span"): self.span,
            ("GET", "features"): self.features,
            ("GET", "proposals"): self.proposals,
            ("GET", "spikes"): self.spikes,
            ("GET", "spike"): self.spike,
            ("GET", "corrections"): self.corrections,
            ("POST", "correct"): self.correct,
            ("POST", "edit"): self.edit,
            ("POST", "place"): self.place,
            ("POST", "save"): self.save,
        }
        for name, contents in self._more.items():
            given["GET", name] = partial(self._once, contents)
        return {key: _in_json(answer) for key, answer in given.items()}

    def _once(self, contents: Callable[[Result], Any], fields: Mapping[str, Any]) -> Any:
        result = self._results[self._which(fields)]
        with self._reading:
            return contents(result)

    def span(self, fields: Mapping[str, Any]) -> Contents:
        """Return a span of a recording (`r`, `start`, `stop`) of at most ten seconds.

        Raises
        ------
        InputError
            If the span is not inside the recording, or is longer.
        """
        r, start, stop = self._range(fields)
        with self._reading:
            return self._span(self._results[r], start, stop)

    def spikes(self, fields: Mapping[str, Any]) -> list[Contents]:
        """Return the spikes of a span (`r`, `start`, `stop`) as they are after corrections.

        Returns
        -------
        list of dict
            `sample`, `unit`, `probability`; if it was decided on or changed, `decision` (a word), `rejected`,
            and `was`: sample and unit as found.
        """
        r, start, stop = self._range(fields)
        now = self._desk.corrected(r)
        shown = now.there | (now.decision == DECISIONS.index("rejected"))
        places = np.flatnonzero((now.sample >= start) & (now.sample < stop) & shown)
        places = places[np.lexsort((now.unit[places], now.sample[places]))]
        return [_spike(now, int(k)) for k in places]

    def spike(self, fields: Mapping[str, Any]) -> Contents | None:
        """Return one spike, named as found (`r`, `sample`, `unit`), as `spikes` does, or None."""
        r = self._which(fields)
        wanted = _count(fields, "sample"), _count(fields, "unit")
        now = self._desk.corrected(r)
        places = now.places([wanted])
        return _spike(now, int(places[0])) if len(places) else None

    def features(self, fields: Mapping[str, Any]) -> Contents:
        """Return the features of a recording's spikes (`r`); see `feature_contents`."""
        r = self._which(fields)
        return feature_contents(self._measured(r), self._desk.corrected(r))

    def proposals(self, fields: Mapping[str, Any]) -> Contents:
        """Return which units of a recording (`r`) could be merged or split; see `proposal_contents`."""
        r = self._which(fields)
        now, shown = self._desk.corrected(r), self._desk.state(r)
        names = {one["unit"]: one["name"] for one in shown["units"]}
        return proposal_contents(self._measured(r), now, fs_hz=self._shown[r]["fs_hz"], names=names)

    def _measured(self, r: int) -> Features:
        if self._features is None:
            raise InputError("features cannot be measured here")
        with self._reading:
            return self._features(self._results[r])

    def corrections(self, fields: Mapping[str, Any]) -> Contents:
        """Return what has been done with a recording's spikes (`r`), and what to review next.

        Returns
        -------
        dict
            `units`: unit, name and number of spikes of each; `doubtful`: number of doubtful spikes;
            `reviewed`: number of these that were decided on; `next`: [sample, unit, probability] of those
            that were not, those that would teach most first; `judged`: what the judged spikes change in the
            forecast (`line`, `units`), and their number (`judged`); `changed`: number of spikes decided on;
            `undo`, `redo`: in words, what would be undone or made again, or None; `journal`: the last lines
            of what was done.
        """
        return self._desk.state(self._which(fields))

    def correct(self, fields: Mapping[str, Any]) -> Contents:
        """Store a decision on a spike: `r`, `sample`, `unit`, `action` and, for rename and move, `to`.

        Returns
        -------
        dict
            As for `corrections`. The decision is on disk when this returns.

        Raises
        ------
        InputError
            If there is no such spike or unit, a value is not allowed, or the log cannot be written.
        """
        r = self._which(fields)
        given: dict[str, Any] = {name: fields.get(name) for name in ("sample", "unit", "action", "to")}
        correction = Correction(**given)
        with self._writing:
            self._desk.check(r, correction)
            return self._desk.append(r, correction)

    def edit(self, fields: Mapping[str, Any]) -> Contents:
        """Store a decision on many spikes or a unit, or step back or forth; see `Edit` for the fields.

        `r`, `action` and `spikes` ([sample, unit] of each, as found), `unit`, `to` (-1: a new unit).

        Returns
        -------
        dict
            As for `corrections`, and `unit`: the number of the new unit, if one was made.

        Raises
        ------
        InputError
            If a value is not allowed, there is no such spike or unit, nothing can be undone or made again, or
            the log cannot be written.
        """
        r = self._which(fields)
        spikes = fields.get("spikes") or []
        if not isinstance(spikes, list):
            raise InputError("spikes must be a list of pairs of sample and unit")
        with self._writing:
            to = fields.get("to")
            made = to == NEW
            edit = Edit(
                fields.get("action"),  # type: ignore[arg-type]
                tuple(_pair(spike) for spike in spikes),
                fields.get("unit"),
                self._desk.new_unit(r) if made else to,
            )
            self._desk.check_edit(r, edit, made=made)
            return self._desk.append(r, edit) | ({"unit": edit.to} if made else {})

    def place(self, fields: Mapping[str, Any]) -> Contents:
        """Add a spike near a sample (`r`, `sample`, `unit` or None), or move one there (`moved`: as found).

        It is put where it fits best near the sample, if that can be told.

        Returns
        -------
        dict
            As for `corrections`, and `placed`: `sample` and `unit` as found, and `log_odds` or None.

        Raises
        ------
        InputError
            As for `correct`.
        """
        r, sample = self._which(fields), _count(fields, "sample")
        self._desk.check_inside(r, sample)
        moved = fields.get("moved")
        unit = None if fields.get("unit") is None else _count(fields, "unit")
        with self._writing:
            now = self._desk.corrected(r)
            others = now.spikes
            if moved is not None:
                spike = _pair(moved)
                k = self._desk.find(now, spike)
                unit = int(now.unit[k])
                others = others.select((others.sample != now.sample[k]) | (others.unit != unit))
            with self._reading:
                placed = self._place(self._results[r], others, sample, unit)
            if placed is None and unit is None:
                raise InputError("which unit the spike is of cannot be told here; choose a unit")
            at, of = (sample, unit) if placed is None else (placed.sample, placed.unit)
            correction = (
                Correction(*spike, "move", at) if moved is not None else Correction(at, of or 0, "add")
            )
            correction = self._desk.as_known(now, correction)
            self._desk.check(r, correction)
            state = self._desk.append(r, correction)
        log_odds = None if placed is None else round(placed.log_odds, 2)
        return state | {
            "placed": {"sample": at, "was": list(correction.spike), "unit": of, "log_odds": log_odds}
        }

    def save(self, fields: Mapping[str, Any]) -> Contents:
        """Write the corrected spikes of a recording (`r`) as labels for the next fit, and what was done.

        Returns
        -------
        dict
            `file`; `command`: the command that trains with it; `spikes`: number of labels; `ignored`: number
            of corrections of spikes that are no longer in the results.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        place = self._results[self._which(fields)].place
        with self._writing:
            made, _ = in_force(self._desk.logs[place].read())
            now = correct(self._desk.found(place), made)
            path, labels = self._desk.write(place)
        last = {spike: one.action for one in made for spike in changed_spikes(one)}
        judged = [spike for spike, action in last.items() if action != "undo"]
        ignored = len(judged) - len(now.places(judged))
        command = f"spikesorter train RECORDING --labels {shlex.quote(str(path))} --model FOLDER"
        results = shlex.quote(str(path.parent.parent))
        export = f"spikesorter export {results} --corrected --to nwb --out FOLDER"
        saved = {"file": str(path), "spikes": len(labels), "ignored": ignored}
        return saved | {"command": command, "export": export}

    def save_pending(self) -> dict[Path, Spikes]:
        """Write the labels of all recordings with corrections since their labels were last written.

        Returns
        -------
        dict of Path to Spikes
            The labels, by the file that they were written to.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        with self._writing:
            return dict(
                self._desk.write(place)
                for place, log in self._desk.logs.items()
                if self._desk.is_pending(place, log)
            )

    def _range(self, fields: Mapping[str, Any]) -> tuple[int, int, int]:
        r, start, stop = self._which(fields), _count(fields, "start"), _count(fields, "stop")
        n_samples, most = self._shown[r]["n_samples"], round(MOST_SECONDS * self._shown[r]["fs_hz"])
        if not start < stop <= n_samples:
            raise InputError(f"span: {start} to {stop} is not inside the recording, 0 to {n_samples}")
        if stop - start > most:
            raise InputError(f"span: {stop - start} samples are too many for one request; at most {most}")
        return r, start, stop

    def _which(self, fields: Mapping[str, Any]) -> int:
        r = _count(fields, "r")
        if r >= len(self._results):
            raise InputError(f"r: there is no recording {r}; there are {len(self._results)}, counted from 0")
        return r


def _in_json(answer: Callable[[Mapping[str, Any]], Any]) -> Route:
    return lambda fields: json_reply(answer(fields))


def _spike(now: Corrected, k: int) -> Contents:
    """Return a spike as the page has it."""
    was = [int(now.found_sample[k]), int(now.found_unit[k])]
    one: Contents = {
        "sample": int(now.sample[k]),
        "unit": int(now.unit[k]),
        "probability": round(float(now.probability[k] * now.unit_probability[k]), 4),
    }
    if now.decision[k]:
        one |= {"decision": DECISIONS[now.decision[k]], "rejected": not now.there[k]}
    elif one["unit"] != was[1]:
        one["decision"] = "merged"
    return one | ({"was": was} if [one["sample"], one["unit"]] != was else {})


def _pair(spike: Any) -> tuple[int, int]:
    """Return sample and unit of a spike, as the page sends them."""
    if not isinstance(spike, list) or len(spike) != 2:
        raise InputError(f"a spike must be a pair of sample and unit, not {spike!r:.40}")
    sample, unit = (_count({"a number of a spike": value}, "a number of a spike") for value in spike)
    return sample, unit


def _count(fields: Mapping[str, Any], name: str) -> int:
    """Return the value of a field, a whole number of 0 or more."""
    value = fields.get(name)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value):
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise InputError(f"{name} must be a whole number, 0 or more, not {value!r:.40}")
