"""The viewer: serve results to a browser on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikesorter.core.spikes import Spikes
from spikesorter.report.html import read_asset
from spikesorter.report.server import LoopbackServer, Route, page_reply
from spikesorter.report.session import Session

if TYPE_CHECKING:
    from spikesorter.io.events import Events
    from spikesorter.report.results import Result

__all__ = ["CORRECTED", "SCRIPTS", "page_routes", "result_session", "run_viewer", "serve", "show_results"]

CORRECTED = "corrected"
"""Folder in the results with corrections (`NAME.jsonl`) and corrected labels (`NAME.csv`)."""

SCRIPTS = (
    "viewer.js",
    "correcting.js",
    "placing.js",
    "details.js",
    "scatter.js",
    "features.js",
    "proposals.js",
)
"""Scripts of the viewer's page, in the order in which they run."""


def run_viewer(
    out: Path,
    *,
    port: int = 0,
    events: Path | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> dict[Path, Spikes]:
    """Show results in a browser until interrupted (Ctrl-C).

    Parameters
    ----------
    out : Path
        Results of `spikesorter run` or `sort`. Corrections are written to `corrected` in this folder.
    port : int
        0: any free port.
    events : Path, optional
        Events of the recording, or a folder with a file of each recording's.
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
    with show_results(out, port=port, events=events) as (server, session):
        on_ready(server.url)
        server.wait()
    return session.save_pending()


@contextmanager
def show_results(
    out: Path, *, port: int = 0, events: Path | None = None
) -> Iterator[tuple[LoopbackServer, Session]]:
    """Serve the page of a folder's results during a `with` block; see `run_viewer`.

    Yields
    ------
    LoopbackServer, Session
    """
    session, contents = result_session(out, events=events)
    with serve(session, _page(contents), port=port) as server:
        yield server, session


def result_session(out: Path, *, events: Path | None = None) -> tuple[Session, dict[str, Any]]:
    """Open a folder's results for the viewer; see `run_viewer`.

    Returns
    -------
    Session, dict
        And the contents of its page.
    """
    from spikesorter.report.contents import (
        figure_contents,
        noise_contents,
        span_contents,
        thumbnail_contents,
        viewer_contents,
    )
    from spikesorter.report.features import measure_features
    from spikesorter.report.placing import best_place
    from spikesorter.report.results import open_results
    from spikesorter.report.unit_metrics import metric_contents
    from spikesorter.report.verdict import expected_units

    results = open_results(out)
    given = _events(events, results) if events else {}
    contents = viewer_contents(f"Results in {out.resolve().name}", results, events=given)
    session = Session(
        results,
        contents,
        out / CORRECTED,
        span=span_contents,
        place=best_place,
        features=lambda result: measure_features(result.sorter, result.recording, result.spikes),
        expected=expected_units,
        more={
            "figures": partial(figure_contents, events=given),
            "thumbnails": thumbnail_contents,
            "metrics": metric_contents,
            "noise": noise_contents,
        },
    )
    return session, contents


def _events(path: Path, results: Sequence[Result]) -> dict[str, Events]:
    from spikesorter.io.events import Clock, events_by_name
    from spikesorter.io.labels import read_labels

    def clock(result: Result) -> Clock:
        rate = result.sorter.fs_hz
        stated_hz = read_labels(result.place, fs_hz=rate).fs_hz  # of the file; it may have been resampled
        return Clock(stated_hz or rate, result.seconds, float(result.recording.get_start_time(0)))

    return events_by_name(path, {result.place.stem: clock(result) for result in results})


def page_routes(session: Session, contents: Mapping[str, Any]) -> dict[tuple[str, str], Route]:
    """Return the routes of the viewer's page and of its session."""
    html = page_reply(_page(contents))
    return {("GET", ""): lambda fields: html} | session.routes()


def _page(contents: Mapping[str, Any]) -> str:
    from spikesorter.report.page import page_html

    return page_html(contents, scripts=[read_asset(name) for name in SCRIPTS])


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
