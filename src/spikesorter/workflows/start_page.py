"""The start page: choose recordings and labels in a browser, learn, sort, and look at the results."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spikesorter.core.errors import InputError, SpikeSorterError
from spikesorter.core.settings import Settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.paths import is_there
from spikesorter.io.recording_parts import part_name
from spikesorter.report.html import read_asset, render
from spikesorter.report.policy import allow_scripts
from spikesorter.report.server import LoopbackServer, Route, json_reply, page_reply
from spikesorter.report.session import Session
from spikesorter.report.viewer import page_routes, result_session
from spikesorter.sorting.model import load_model
from spikesorter.workflows.chosen import Chosen, number_in, path_in, reading_options
from spikesorter.workflows.discovering import discover_files
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.preview import choices, describe, open_for_preview, strip
from spikesorter.workflows.training import train_model

__all__ = ["StartPage", "run_start_page"]

LOGGER = logging.getLogger(__name__)
SCRIPTS = ("start.js", "preview.js")
Fields = Mapping[str, Any]


def run_start_page(
    settings: Settings, *, port: int = 0, on_ready: Callable[[str], None] = lambda url: None
) -> dict[Path, Spikes]:
    """Serve the start page, then the results that are made from it, until interrupted (Ctrl-C).

    Parameters
    ----------
    settings : Settings
    port : int
        0: any free port.
    on_ready : callable, optional
        Called with the address, including the token, when the page can be opened.

    Returns
    -------
    dict of Path to Spikes
        As for `run_viewer`.

    Raises
    ------
    InputError
        If the port cannot be used.
    """
    page = StartPage(settings)
    with LoopbackServer(page.routes(), port=port) as server:
        page.on_done = server.replace
        on_ready(server.url)
        server.wait()
    return page.session.save_pending() if page.session else {}


class StartPage:
    """What the start page asks its server for: folders, to begin, and how far the work is.

    Parameters
    ----------
    settings : Settings
        Settings to learn with.
    """

    def __init__(self, settings: Settings) -> None:
        self.session: Session | None = None
        self.on_done: Callable[[Mapping[tuple[str, str], Route]], None] = lambda routes: None
        self._settings = settings
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {
            "step": "",
            "share": 0.0,
            "problem": "",
            "working": False,
            "done": False,
        }

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the routes by method and name."""
        scripts = [read_asset(name) for name in SCRIPTS]
        policy = allow_scripts(scripts, served=True, header=False)
        style, title = read_asset("page.css"), "spikesorter: start"
        html = page_reply(render("start.html", title=title, style=style, scripts=scripts, policy=policy))
        return {
            ("GET", ""): lambda fields: html,
            ("GET", "folder"): lambda fields: json_reply(self.folder(fields)),
            ("GET", "progress"): lambda fields: json_reply(self.progress(fields)),
            ("POST", "describe"): lambda fields: json_reply(self.describe(fields)),
            ("POST", "strip"): lambda fields: json_reply(self.strip(fields)),
            ("POST", "begin"): lambda fields: json_reply(self.begin(fields)),
        }

    def describe(self, fields: Fields) -> dict[str, Any]:
        """Return what a recording is: `recording`, `reading`; see `preview.describe`.

        Its `streams` and the lengths of its `segments` are returned too. If there are several, and it is not
        said which is meant, `choose` names what is to be chosen, and the recording is not opened.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        path, options = path_in(fields, "recording"), reading_options(fields)
        parts = choices(path, options)
        if parts["choose"]:
            return parts
        name = part_name(path, options.segment if len(parts["segments"]) > 1 else None)
        return parts | describe(path, open_for_preview(path, options)) | {"name": name}

    def strip(self, fields: Fields) -> dict[str, Any]:
        """Return a part of its trace: `start_s`, `seconds`, `shown` (channels), `columns`, `flat`.

        Raises
        ------
        InputError
            As for `preview.strip`.
        """
        opened = open_for_preview(path_in(fields, "recording"), reading_options(fields))
        shown = fields.get("shown")
        return strip(
            opened,
            start_s=number_in(fields, "start_s"),
            seconds=number_in(fields, "seconds"),
            channels=[one for one in shown if type(one) is int] if isinstance(shown, list) else [],
            columns=round(number_in(fields, "columns")),
            flat=fields.get("flat") is True,
        )

    def folder(self, fields: Fields) -> dict[str, Any]:
        """Return the names of what is in a folder (`path`; the current one if empty).

        Raises
        ------
        InputError
            If it cannot be read.
        """
        given = fields.get("path") or "."
        folder = Path(given)
        try:
            folder = folder.expanduser().resolve()
            folder = folder if is_there(folder) and folder.is_dir() else folder.parent
            entries = sorted(folder.iterdir(), key=lambda entry: entry.name.lower())
            names = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from None
        except (RuntimeError, ValueError):  # an unknown user's home; what is no path
            raise InputError(f"{given}: no such folder") from None
        return {
            "path": str(folder),
            "above": str(folder.parent),
            "folders": [name for name, is_folder in names if is_folder],
            "files": [name for name, is_folder in names if not is_folder],
        }

    def progress(self, fields: Fields) -> dict[str, Any]:
        """Return `step` and `share` of the work, whether it is `working` or `done`, and its `problem`."""
        return dict(self._state)

    def begin(self, fields: Fields) -> dict[str, Any]:
        """Begin to learn and sort what was chosen; see `Chosen.of`.

        Raises
        ------
        InputError
            If something is missing, or work is under way.
        """
        chosen = Chosen.of(fields)
        with self._lock:
            if self._state["working"] or self._state["done"]:
                raise InputError("the work is under way already")
            self._state |= {"working": True, "problem": "", "step": "opening the files", "share": 0.0}
        threading.Thread(target=self._work, args=(chosen,), daemon=True).start()
        return self.progress(fields)

    def _work(self, chosen: Chosen) -> None:
        recording, targets, out = chosen.recording, list(chosen.targets), chosen.out
        try:
            chosen.write_bad()
            if chosen.unlabelled:
                settings, every = self._settings.replace(["decoder=pursuit"]), [recording, *targets]
                discover_files(every, out, settings, options=chosen.options(every), progress=self._tell)
            else:
                model, sorted_ones = out / "model", targets or [recording]
                train_model(
                    recording,
                    targets,
                    model,
                    self._settings,
                    labels=chosen.labels,
                    options=chosen.options([recording, *targets]),
                    progress=self._tell,
                )
                options = chosen.options(sorted_ones)
                sort_files(sorted_ones, load_model(model), out, options=options, progress=self._tell)
            self._tell("opening the results", 0.0)
            self.session, contents = result_session(out)
            asked = {key: route for key, route in self.routes().items() if key[1] == "progress"}
            self.on_done(page_routes(self.session, contents) | asked)  # by which the page learns of it
            self._state |= {"working": False, "done": True}
        except SpikeSorterError as error:
            self._state |= {"working": False, "problem": str(error)}
        except Exception:
            LOGGER.exception("the work of the start page failed")
            self._state |= {"working": False, "problem": "something went wrong; see the terminal"}

    def _tell(self, step: str, share: float) -> None:
        self._state |= {"step": step, "share": float(share)}
