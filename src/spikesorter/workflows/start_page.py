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
from spikesorter.report.html import read_asset, render
from spikesorter.report.policy import allow_scripts
from spikesorter.report.server import LoopbackServer, Route, json_reply, page_reply
from spikesorter.report.session import Session
from spikesorter.report.viewer import page_routes, result_session
from spikesorter.sorting.model import load_model
from spikesorter.workflows.discovering import discover_files
from spikesorter.workflows.files import sort_files
from spikesorter.workflows.training import train_model

__all__ = ["StartPage", "run_start_page"]

LOGGER = logging.getLogger(__name__)
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
        script = read_asset("start.js")
        policy = allow_scripts([script], served=True, header=False)
        style, title = read_asset("page.css"), "spikesorter: start"
        html = page_reply(render("start.html", title=title, style=style, scripts=[script], policy=policy))
        return {
            ("GET", ""): lambda fields: html,
            ("GET", "folder"): lambda fields: json_reply(self.folder(fields)),
            ("GET", "progress"): lambda fields: json_reply(self.progress(fields)),
            ("POST", "begin"): lambda fields: json_reply(self.begin(fields)),
        }

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
            folder = folder if folder.is_dir() else folder.parent
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
        """Begin to learn and sort: `recording`, `labels` ("": its own), `unlabelled`, `targets`, `out`.

        Raises
        ------
        InputError
            If something is missing, or work is under way.
        """
        recording, out = self._path(fields, "recording"), self._path(fields, "out", must_exist=False)
        labels = self._path(fields, "labels") if fields.get("labels") else None
        targets = fields.get("targets") or []
        if not isinstance(targets, list):
            raise InputError("targets must be a list of paths")
        chosen = [self._path({"target": one}, "target") for one in targets]
        unlabelled = fields.get("unlabelled") is True
        if unlabelled and labels is not None:
            raise InputError("labels: they are not used if units are to be found; remove one of the two")
        with self._lock:
            if self._state["working"] or self._state["done"]:
                raise InputError("the work is under way already")
            self._state |= {"working": True, "problem": "", "step": "opening the files", "share": 0.0}
        work = threading.Thread(
            target=self._work, args=(recording, labels, chosen, out, unlabelled), daemon=True
        )
        work.start()
        return self.progress(fields)

    def _work(
        self, recording: Path, labels: Path | None, targets: list[Path], out: Path, unlabelled: bool
    ) -> None:
        try:
            if unlabelled:
                settings = self._settings.replace(["decoder=pursuit"])
                discover_files([recording, *targets], out, settings, progress=self._tell)
            else:
                model = out / "model"
                train_model(recording, targets, model, self._settings, labels=labels, progress=self._tell)
                sort_files(targets or [recording], load_model(model), out, progress=self._tell)
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

    def _path(self, fields: Fields, name: str, *, must_exist: bool = True) -> Path:
        given = fields.get(name)
        if not isinstance(given, str) or not given.strip():
            raise InputError(f"{name}: choose a {'folder' if name == 'out' else 'file'}")
        try:
            path = Path(given.strip()).expanduser()
            exists = path.exists()
        except (OSError, RuntimeError) as error:  # too long, an unknown user's home
            raise InputError(f"{name}: {given:.80}: cannot be used: {error}") from None
        if must_exist and not exists:
            raise InputError(f"{path}: no such file")
        return path
