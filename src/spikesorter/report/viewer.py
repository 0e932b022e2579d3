"""The viewer: serve results to a browser on this machine, and store the user's corrections of spikes."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.report.corrections import (
    Correction,
    CorrectionLog,
    check_not_linked,
    decisions,
    doubtful,
    write_labels,
)
from spikesorter.report.html import read_asset
from spikesorter.report.server import LoopbackServer, Route, json_reply, page_reply

if TYPE_CHECKING:
    from spikesorter.report.results import Result

__all__ = ["CORRECTED", "Session", "run_viewer", "serve", "show_results"]

CORRECTED = "corrected"
"""Folder in the results with corrections (`NAME.jsonl`) and corrected labels (`NAME.csv`)."""

MOST_SECONDS = 10  # of a recording in one request
FIGURES_KEPT = 8  # recordings
MOST_DOUBTFUL = 60  # in one reply

Contents = dict[str, Any]


def run_viewer(
    out: Path, *, port: int = 0, on_ready: Callable[[str], None] = lambda url: None
) -> dict[Path, Spikes]:
    """Show results in a browser until interrupted (Ctrl-C).

    Parameters
    ----------
    out : Path
        Results of `spikesorter run` or `sort`. Corrections are written to `corrected` in this folder.
    port : int
        0: any free port.
    on_ready : callable, optional
        Called with the address, including the token, when the page can be opened.

    Returns
    -------
    dict of Path to Spikes
        The labels written at the end, of recordings corrected since their labels were last written.

    Raises
    ------
    InputError
        If the folder has no results, their corrections cannot be read, or the port cannot be used.
    """
    with show_results(out, port=port) as (server, session):
        on_ready(server.url)
        server.wait()
    return session.save_pending()


@contextmanager
def show_results(out: Path, *, port: int = 0) -> Iterator[tuple[LoopbackServer, Session]]:
    """Serve the page of a folder's results during a `with` block; see `run_viewer`.

    Yields
    ------
    LoopbackServer, Session
    """
    from spikesorter.report.contents import (
        figure_contents,
        span_contents,
        thumbnail_contents,
        viewer_contents,
    )
    from spikesorter.report.page import page_html
    from spikesorter.report.results import open_results

    results = open_results(out)
    contents = viewer_contents(f"Results in {out.resolve().name}", results)
    session = Session(
        results,
        contents,
        out / CORRECTED,
        span=span_contents,
        figures=figure_contents,
        thumbnails=thumbnail_contents,
    )
    with serve(session, page_html(contents, scripts=[read_asset("viewer.js")]), port=port) as server:
        yield server, session


def serve(session: Session, page: str, *, port: int = 0) -> LoopbackServer:
    """Return a server for a page and its session, which runs during a `with` block.

    Parameters
    ----------
    session : Session
    page : str
        HTML.
    port : int
        0: any free port.

    Raises
    ------
    InputError
        If the port cannot be used.
    """
    html = page_reply(page)
    return LoopbackServer({("GET", ""): lambda fields: html} | session.routes(), port=port)


class Session:
    """Source of the page's data: spans of recordings, figures, doubtful spikes, corrections.

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
    figures : callable, optional
        Returns the drawn figures of a result. Called by one thread at a time.
    thumbnails : callable, optional
        Returns the trace around each doubtful spike of a result. Called by one thread at a time.

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
        figures: Callable[[Result], list[Contents]] = lambda result: [],
        thumbnails: Callable[[Result], list[Contents]] = lambda result: [],
    ) -> None:
        self._results, self._folder, self._span = tuple(results), folder, span
        self._shown: list[Contents] = contents["recordings"]
        self._queues = [doubtful(result.spikes) for result in self._results]
        self._logs = {result.place: CorrectionLog(self._beside(result.place, "jsonl")) for result in results}
        self._figures = lru_cache(maxsize=FIGURES_KEPT)(figures)
        self._thumbnails = lru_cache(maxsize=FIGURES_KEPT)(thumbnails)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        for place, log in self._logs.items():
            log.read()
            check_not_linked(self._beside(place, "csv"))

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the routes by method and name."""
        return {
            ("GET", "span"): lambda fields: json_reply(self.span(fields)),
            ("GET", "figures"): lambda fields: json_reply(self.figures(fields)),
            ("GET", "thumbnails"): lambda fields: json_reply(self.thumbnails(fields)),
            ("GET", "corrections"): lambda fields: json_reply(self.corrections(fields)),
            ("POST", "correct"): lambda fields: json_reply(self.correct(fields)),
            ("POST", "save"): lambda fields: json_reply(self.save(fields)),
        }

    def span(self, fields: Mapping[str, Any]) -> Contents:
        """Return a span of a recording (`r`, `start`, `stop`) of at most ten seconds.

        Raises
        ------
        InputError
            If the span is not inside the recording, or is longer.
        """
        r, start, stop = self._which(fields), _count(fields, "start"), _count(fields, "stop")
        n_samples, most = self._shown[r]["n_samples"], round(MOST_SECONDS * self._shown[r]["fs_hz"])
        if not start < stop <= n_samples:
            raise InputError(f"span: {start} to {stop} is not inside the recording, 0 to {n_samples}")
        if stop - start > most:
            raise InputError(f"span: {stop - start} samples are too many for one request; at most {most}")
        with self._reading:
            return self._span(self._results[r], start, stop)

    def figures(self, fields: Mapping[str, Any]) -> list[Contents]:
        """Return the figures of a recording (`r`)."""
        result = self._results[self._which(fields)]
        with self._reading:
            return self._figures(result)

    def thumbnails(self, fields: Mapping[str, Any]) -> list[Contents]:
        """Return the trace around each doubtful spike of a recording (`r`)."""
        result = self._results[self._which(fields)]
        with self._reading:
            return self._thumbnails(result)

    def corrections(self, fields: Mapping[str, Any]) -> Contents:
        """Return the corrections of a recording's spikes (`r`), and the doubtful spikes to review next.

        Returns
        -------
        dict
            `corrections`: the last correction of each spike; `doubtful`: number of doubtful spikes;
            `reviewed`: number of these with a correction; `next`: [sample, unit, probability] of those
            without a correction, the most doubtful first.
        """
        r = self._which(fields)
        return self._state(r, decisions(self._logs[self._results[r].place].read()))

    def correct(self, fields: Mapping[str, Any]) -> Contents:
        """Store a correction of a spike: `r`, `sample`, `unit`, `action` and, for rename, `to`.

        Returns
        -------
        dict
            As for `corrections`. The correction is on disk when this returns.

        Raises
        ------
        InputError
            If there is no such spike or unit, a value is not allowed, or the log cannot be written.
        """
        r = self._which(fields)
        given: dict[str, Any] = {name: fields.get(name) for name in ("sample", "unit", "action", "to")}
        correction = Correction(**given)
        if _find(self._results[r].spikes, correction.spike) is None:
            raise InputError(
                f"correction: no spike of unit {correction.unit} was found at sample {correction.sample}"
            )
        if correction.to is not None and correction.to not in {
            one["unit"] for one in self._shown[r]["units"]
        }:
            raise InputError(f"correction: there is no unit {correction.to}")
        log = self._logs[self._results[r].place]
        with self._writing:
            log.append(correction)
            return self._state(r, decisions(log.read()))

    def save(self, fields: Mapping[str, Any]) -> Contents:
        """Write the corrected spikes of a recording (`r`) as labels for the next fit.

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
        found = self._found(place)
        with self._writing:
            decided = decisions(self._logs[place].read())
            path, labels = self._write(place)
        ignored = sum(_find(found, spike) is None for spike in decided)
        command = f"spikesorter train RECORDING --labels {shlex.quote(str(path))} --model FOLDER"
        return {"file": str(path), "command": command, "spikes": len(labels), "ignored": ignored}

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
                self._write(place) for place, log in self._logs.items() if self._is_pending(place, log)
            )

    def _state(self, r: int, decided: Mapping[tuple[int, int], Correction]) -> Contents:
        spikes, queue = self._results[r].spikes, self._queues[r]
        present = {spike: place for spike in decided if (place := _find(spikes, spike)) is not None}
        places = np.fromiter(present.values(), np.int64, len(present))
        upcoming = queue[~np.isin(queue, places)]
        following = spikes.sample[upcoming], spikes.unit[upcoming], spikes.joint[upcoming]
        return {
            "corrections": [asdict(decided[spike]) for spike in present],
            "doubtful": len(queue),
            "reviewed": len(queue) - len(upcoming),
            "next": list(zip(*(values[:MOST_DOUBTFUL].tolist() for values in following), strict=True)),
        }

    def _which(self, fields: Mapping[str, Any]) -> int:
        r = _count(fields, "r")
        if r >= len(self._results):
            raise InputError(f"r: there is no recording {r}; there are {len(self._results)}, counted from 0")
        return r

    def _found(self, place: Path) -> Spikes:
        """Return all spikes in a file of results, which groups of channels may share."""
        return Spikes.concatenate([result.spikes for result in self._results if result.place == place])

    def _write(self, place: Path) -> tuple[Path, Spikes]:
        path = self._beside(place, "csv")
        check_not_linked(path)
        r = next(r for r, result in enumerate(self._results) if result.place == place)
        decided, rate = self._logs[place].read(), self._shown[r]["fs_hz"]
        return path, write_labels(path, self._found(place), decided, fs_hz=rate)

    def _is_pending(self, place: Path, log: CorrectionLog) -> bool:
        labels = self._beside(place, "csv")
        if not labels.exists():
            return bool(decisions(log.read()))
        return log.path.exists() and labels.stat().st_mtime_ns <= log.path.stat().st_mtime_ns

    def _beside(self, place: Path, ending: str) -> Path:
        return self._folder / f"{place.stem}.{ending}"


def _count(fields: Mapping[str, Any], name: str) -> int:
    """Return the value of a field, a whole number of 0 or more."""
    value = fields.get(name)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value):
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise InputError(f"{name} must be a whole number, 0 or more, not {value!r:.40}")


def _find(spikes: Spikes, spike: tuple[int, int]) -> int | None:
    """Return the index of a spike (sample, unit), or None if there is no such spike."""
    sample, unit = spike
    first, last = np.searchsorted(spikes.sample, (sample, sample + 1))
    return next((k for k in range(first, last) if spikes.unit[k] == unit), None)
