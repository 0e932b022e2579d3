"""The viewer: results in a browser, by a server on this machine, and what the user says of their spikes."""

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
from spikesorter.report.corrections import Correction, CorrectionLog, doubtful, judgements, write_labels
from spikesorter.report.server import LoopbackServer, Route, json_reply, page_reply

if TYPE_CHECKING:
    from spikesorter.report.results import Result

__all__ = ["CORRECTED", "Desk", "run_viewer", "serve", "show_results"]

CORRECTED = "corrected"
"""Folder beside the results: what the user said (`NAME.jsonl`), and the labels that follow (`NAME.csv`)."""

MOST_SECONDS = 10  # of a recording, asked for at once
FIGURES_KEPT = 8  # of so many recordings
MOST_DOUBTFUL = 60  # told at once

Contents = dict[str, Any]


def run_viewer(
    out: Path, *, port: int = 0, on_ready: Callable[[str], None] = lambda url: None
) -> dict[Path, Spikes]:
    """Show results in a browser until interrupted (Ctrl-C).

    Parameters
    ----------
    out : Path
        A folder of results of `spikesorter run` or `sort`. Corrections go to its folder `corrected`.
    port : int
        0: any that is free.
    on_ready : callable, optional
        Told the address, with its token, once the page is there.

    Returns
    -------
    dict of Path to Spikes
        The labels that were written at the end, because corrections had come since they were last written.

    Raises
    ------
    InputError
        If the folder holds no results, their corrections cannot be read, or the port cannot be used.
    """
    with show_results(out, port=port) as (server, desk):
        on_ready(server.url)
        server.wait()
    return desk.save_pending()


@contextmanager
def show_results(out: Path, *, port: int = 0) -> Iterator[tuple[LoopbackServer, Desk]]:
    """Serve the page of a folder's results while the block lasts; see `run_viewer`.

    Yields
    ------
    LoopbackServer, Desk
    """
    from spikesorter.report.contents import figure_contents, span_contents, viewer_contents
    from spikesorter.report.page import page_html
    from spikesorter.report.results import open_results

    results = open_results(out)
    contents = viewer_contents(str(out), results)
    desk = Desk(results, contents, out / CORRECTED, span=span_contents, figures=figure_contents)
    with serve(desk, page_html(contents, scripts=[viewer_script()]), port=port) as server:
        yield server, desk


def serve(desk: Desk, page: str, *, port: int = 0) -> LoopbackServer:
    """Return a server of a page and of what it asks a desk for; serves from `with` on, its address is `url`.

    Parameters
    ----------
    desk : Desk
    page : str
        HTML.
    port : int
        0: any that is free.

    Raises
    ------
    InputError
        If the port cannot be used.
    """
    html = page_reply(page)
    return LoopbackServer({("GET", ""): lambda fields: html} | desk.routes(), port=port)


def viewer_script() -> str:
    """Return what the viewer adds to the page of the report."""
    return (Path(__file__).parent / "assets" / "viewer.js").read_text(encoding="utf-8")


class Desk:
    """What the page may ask for: spans of recordings, doubtful spikes, corrections.

    Parameters
    ----------
    results : sequence of Result
    contents : dict
        What the page shows of them (`viewer_contents`): their lengths, rates and neurons.
    folder : Path
        Gets corrections and labels.
    span : callable
        Given a result, start and stop, returns what is shown of that span, as JSON can hold it. Never called
        twice at a time: readers of recordings were not made for several threads.
    figures : callable, optional
        Given a result, returns its figures, drawn. Likewise.

    Raises
    ------
    InputError
        If corrections that were made before cannot be read.
    """

    def __init__(
        self,
        results: Sequence[Result],
        contents: Contents,
        folder: Path,
        *,
        span: Callable[[Result, int, int], Contents],
        figures: Callable[[Result], list[Contents]] = lambda result: [],
    ) -> None:
        self._results, self._folder, self._span = tuple(results), folder, span
        self._shown: list[Contents] = contents["recordings"]
        self._queues = [doubtful(result.spikes) for result in self._results]
        self._logs = {result.place: CorrectionLog(self._beside(result.place, "jsonl")) for result in results}
        self._figures = lru_cache(maxsize=FIGURES_KEPT)(figures)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        for log in self._logs.values():
            log.read()

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return what is answered, by method and name."""
        return {
            ("GET", "span"): lambda fields: json_reply(self.span(fields)),
            ("GET", "figures"): lambda fields: json_reply(self.figures(fields)),
            ("GET", "corrections"): lambda fields: json_reply(self.corrections(fields)),
            ("POST", "correct"): lambda fields: json_reply(self.correct(fields)),
            ("POST", "save"): lambda fields: json_reply(self.save(fields)),
        }

    def span(self, fields: Mapping[str, Any]) -> Contents:
        """Return a span of a recording (`r`, `start`, `stop`), at most ten seconds.

        Raises
        ------
        InputError
            If it does not lie inside the recording or is longer.
        """
        r, start, stop = self._which(fields), _count(fields, "start"), _count(fields, "stop")
        n_samples, most = self._shown[r]["n_samples"], round(MOST_SECONDS * self._shown[r]["fs_hz"])
        if not start < stop <= n_samples:
            raise InputError(f"span: {start} to {stop} is not inside the recording, 0 to {n_samples}")
        if stop - start > most:
            raise InputError(f"span: {stop - start} samples are too many at once; at most {most}")
        with self._reading:
            return self._span(self._results[r], start, stop)

    def figures(self, fields: Mapping[str, Any]) -> list[Contents]:
        """Return a recording's (`r`) figures."""
        result = self._results[self._which(fields)]
        with self._reading:
            return self._figures(result)

    def corrections(self, fields: Mapping[str, Any]) -> Contents:
        """Return what was said of a recording's (`r`) spikes, and which are to be looked at next.

        Returns
        -------
        dict
            `corrections`: what counts, of each spike; `doubtful` and `judged`: how many doubtful spikes there
            are, and of how many of them something was said; `next`: [sample, label, probability] of others,
            the most doubtful first.
        """
        r = self._which(fields)
        return self._state(r, judgements(self._logs[self._results[r].place].read()))

    def correct(self, fields: Mapping[str, Any]) -> Contents:
        """Write down what the user says of a spike: `r`, `sample`, `label`, `action` and, to rename, `to`.

        Returns
        -------
        dict
            As `corrections` does. When this returns, the correction is on disk.

        Raises
        ------
        InputError
            If it makes no sense or cannot be written.
        """
        r = self._which(fields)
        given: dict[str, Any] = {name: fields.get(name) for name in ("sample", "label", "action", "to")}
        said = Correction(**given)
        if _find(self._results[r].spikes, said.spike) is None:
            raise InputError(f"correction: no spike of neuron {said.label} was found at sample {said.sample}")
        if said.to is not None and said.to not in {unit["label"] for unit in self._shown[r]["units"]}:
            raise InputError(f"correction: there is no neuron {said.to}")
        log = self._logs[self._results[r].place]
        with self._writing:
            log.append(said)
            return self._state(r, judgements(log.read()))

    def save(self, fields: Mapping[str, Any]) -> Contents:
        """Write a recording's (`r`) spikes, corrected, as labels for the next fit.

        Returns
        -------
        dict
            `file`; `command`: what learns from it; `spikes`: how many are in it; `ignored`: how many
            corrections are of spikes that are not in the results any more.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        place = self._results[self._which(fields)].place
        found = self._found(place)
        with self._writing:
            said = judgements(self._logs[place].read())
            path, labels = self._write(place)
        ignored = sum(_find(found, spike) is None for spike in said)
        command = f"spikesorter train RECORDING --labels {shlex.quote(str(path))} --model FOLDER"
        return {"file": str(path), "command": command, "spikes": len(labels), "ignored": ignored}

    def save_pending(self) -> dict[Path, Spikes]:
        """Write labels wherever corrections have come since they were last written.

        Returns
        -------
        dict of Path to Spikes
            What was written where.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        with self._writing:
            return dict(
                self._write(place) for place, log in self._logs.items() if self._is_pending(place, log)
            )

    def _state(self, r: int, said: Mapping[tuple[int, int], Correction]) -> Contents:
        spikes, queue = self._results[r].spikes, self._queues[r]
        present = {spike: place for spike in said if (place := _find(spikes, spike)) is not None}
        places = np.fromiter(present.values(), np.int64, len(present))
        upcoming = queue[~np.isin(queue, places)]
        following = spikes.sample[upcoming], spikes.unit[upcoming], spikes.joint[upcoming]
        return {
            "corrections": [asdict(said[spike]) for spike in present],
            "doubtful": len(queue),
            "judged": len(queue) - len(upcoming),
            "next": list(zip(*(values[:MOST_DOUBTFUL].tolist() for values in following), strict=True)),
        }

    def _which(self, fields: Mapping[str, Any]) -> int:
        r = _count(fields, "r")
        if r >= len(self._results):
            raise InputError(f"r: there is no recording {r}; there are {len(self._results)}, counted from 0")
        return r

    def _found(self, place: Path) -> Spikes:
        """Return all spikes of a file of results; groups of channels share one."""
        return Spikes.concatenate([result.spikes for result in self._results if result.place == place])

    def _write(self, place: Path) -> tuple[Path, Spikes]:
        path = self._beside(place, "csv")
        r = next(r for r, result in enumerate(self._results) if result.place == place)
        said, rate = self._logs[place].read(), self._shown[r]["fs_hz"]
        return path, write_labels(path, self._found(place), said, fs_hz=rate)

    def _is_pending(self, place: Path, log: CorrectionLog) -> bool:
        labels = self._beside(place, "csv")
        if not labels.exists():
            return bool(judgements(log.read()))
        return log.path.exists() and labels.stat().st_mtime_ns <= log.path.stat().st_mtime_ns

    def _beside(self, place: Path, ending: str) -> Path:
        return self._folder / f"{place.stem}.{ending}"


def _count(fields: Mapping[str, Any], name: str) -> int:
    """Return a whole number, 0 or more, from a query or a body."""
    value = fields.get(name)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value):
        return int(value)
    if type(value) is int and value >= 0:
        return value
    raise InputError(f"{name} must be a whole number, 0 or more, not {value!r:.40}")


def _find(spikes: Spikes, spike: tuple[int, int]) -> int | None:
    """Return the place of a spike (sample, label), None if it is not there."""
    sample, label = spike
    first, last = np.searchsorted(spikes.sample, (sample, sample + 1))
    return next((k for k in range(first, last) if spikes.unit[k] == label), None)
