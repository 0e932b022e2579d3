"""Write results that were sorted before in another format, or as a BIDS dataset."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from spikesorter.core.errors import InputError, naming
from spikesorter.core.progress import Progress, silent
from spikesorter.io.atomic import check_writable
from spikesorter.io.bids import BidsPlace, check_dataset, write_dataset, write_recording
from spikesorter.io.export import check_export, check_export_place, session_for, write_spikes
from spikesorter.io.neuroexplorer import NEX_FORMATS, check_neuroexplorer, write_neuroexplorer
from spikesorter.io.nwb import session_start_of
from spikesorter.io.recording import OpenedRecording
from spikesorter.io.session import session_of
from spikesorter.report.correcting import corrected
from spikesorter.report.correction_log import CorrectionLog
from spikesorter.report.corrections import Correction, Edit
from spikesorter.report.kept_results import KeptResult, kept_results
from spikesorter.report.unit_structs import export_units
from spikesorter.report.viewer import CORRECTED

__all__ = ["BIDS", "UNITS", "export_results"]

logger = logging.getLogger(__name__)
BIDS, UNITS = "bids", "mat-units"


def export_results(
    results: Path,
    out: Path,
    *,
    to: str,
    subject: Path | None = None,
    with_corrections: bool = False,
    progress: Progress = silent,
    on_written: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Write the results in a folder anew, without sorting again.

    Parameters
    ----------
    results : Path
        Of `spikesorter run`, `sort`, `discover` or `batch`.
    out : Path
        Folder for NAME.FORMAT of each recording or, of BIDS, the dataset, to which recordings are added.
    to : str
        Format of `write_spikes`, "mat-units", "nex5", "nex" or "bids".
    subject : Path, optional
        File that describes subject, session and electrodes; needed for BIDS.
    with_corrections : bool
        Whether spikes are written as corrected in the viewer, and not as found.
    progress : callable, optional
    on_written : callable, optional
        Called with each file or folder.

    Returns
    -------
    list of Path
        The files or folders with the spikes.

    Raises
    ------
    InputError
        If there are no results, or no corrections that are wanted, their recordings have changed, or they
        cannot be written. All places are checked before anything is written.
    """
    check_export(to, besides=(UNITS, *NEX_FORMATS, BIDS))
    session = session_of(subject) if to == BIDS else session_for(to, subject)
    if to == UNITS and with_corrections:
        raise InputError(
            "mat-units: the structs hold the units as they were learnt, not as corrected; train with the "
            "corrections and sort again, or export another format"
        )
    if to == UNITS:
        structs = export_units(results, out)
        for path in structs:
            on_written(path)
        return structs
    kept = {one.name: one for one in kept_results(results)}
    changes = _changes(results, kept.values(), wanted=with_corrections)
    places = {name: out / f"{name}.{to}" for name in kept}
    dataset = {name: BidsPlace.of(out, session, name) for name in kept} if to == BIDS else {}
    if to == BIDS:
        check_dataset(out, dataset)
        write_dataset(out, session)
    else:
        for place in places.values():
            if to in NEX_FORMATS:
                check_neuroexplorer(place)
            else:
                check_export_place(place, to)
        check_writable(out)
    written = []
    for number, (name, one) in enumerate(kept.items()):
        progress("writing", number / len(kept))
        opened, provenance, start = _opened(one), _provenance(one), session_start_of(one.recording)
        with naming(one.recording):
            spikes, recording, path = corrected(one.spikes(), changes[name]), opened.source, places[name]
            if to == BIDS:
                path = write_recording(
                    dataset[name], spikes, recording, session, provenance=provenance, session_start=start
                )
            elif to in NEX_FORMATS:
                rate = spikes.fs_hz or float(recording.get_sampling_frequency())
                write_neuroexplorer(path, spikes, fs_hz=rate)
            else:
                told = session if subject else None
                write_spikes(
                    path,
                    spikes,
                    format=to,
                    recording=recording,
                    provenance=provenance,
                    session_start=start,
                    subject=told,
                )
        written.append(path)
        on_written(path)
    progress("writing", 1.0)
    return written


def _changes(
    results: Path, kept: Iterable[KeptResult], *, wanted: bool
) -> defaultdict[str, list[Correction | Edit]]:
    """Return the corrections of each recording that are to be applied to its spikes."""
    logs = {one.name: CorrectionLog(results / CORRECTED / f"{one.place.stem}.jsonl") for one in kept}
    found = {name: changes for name, log in logs.items() if (changes := log.read())}
    if wanted and not found:
        raise InputError(f"{results}: has no corrections ({results / CORRECTED}); make them with `view`")
    if found and not wanted:
        logger.warning(
            "%s: spikes are written as found; %s have corrections, which --corrected applies",
            results,
            ", ".join(found),
        )
    return defaultdict(list, found if wanted else {})


def _opened(kept: KeptResult) -> OpenedRecording:
    """Open a recording as it was sorted."""
    opened = kept.options.open(kept.recording, fs_hz=kept.model.fs_hz)
    return kept.model.without_found_pulses(opened)


def _provenance(kept: KeptResult) -> dict[str, str]:
    return {
        "recording": str(kept.recording),
        "adapted_to": ", ".join(kept.chosen.values()),
        "sorter": kept.model.digest(kept.chosen),
    }
