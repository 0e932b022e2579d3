"""Discover the units of a recording without labels, fit a sorter to them, and say what they are worth.

1. Check the recording, take out bad stretches, offset and hum.
2. Find units in a part of it (`finding.rounds`).
3. Fit a sorter to their confident spikes, as to labels, and sort the whole recording with it.
4. Describe each unit by its spikes' probabilities, its intervals, its neighbours and the rehearsal.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import one_blas_thread
from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.core.spike import check_rate
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel, without_hum
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import check_trace, read_samples
from spikesorter.signal.hum import find_hum
from spikesorter.signal.screen import Screen
from spikesorter.sorting.channels import choose_channels, select
from spikesorter.sorting.discovered_units import DiscoveredUnit, describe_units
from spikesorter.sorting.finding.hints import Hints, with_labels
from spikesorter.sorting.finding.rounds import find_labels
from spikesorter.sorting.finding.seams import between_spikes
from spikesorter.sorting.fitting import fit_state
from spikesorter.sorting.labelled_source import check_channels
from spikesorter.sorting.screening import check_good, find_bad_stretches, screened
from spikesorter.sorting.screens import screen_without_labels
from spikesorter.sorting.spans import measured_quarters, sort_recording
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

    from spikesorter.sorting.sorter import Sorter

__all__ = ["MOST_SECONDS", "Discovery", "discover_state"]

logger = logging.getLogger(__name__)
MOST_SECONDS = 300.0  # of a long recording in which units are looked for
SPAN_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Discovery:
    """Units found in a recording without labels, and the sorter that was fitted to them.

    Parameters
    ----------
    sorter : Sorter or None
        None if no unit was found.
    spikes : Spikes
        Of the whole recording, found by the sorter.
    units : tuple of DiscoveredUnit
        The clearest first.
    """

    sorter: Sorter | None
    spikes: Spikes
    units: tuple[DiscoveredUnit, ...]

    def __repr__(self) -> str:
        kinds = [unit.verdict for unit in self.units]
        listed = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return f"Discovery({listed or 'no units'}; {len(self.spikes)} spikes)"


@one_blas_thread()
def discover_state(
    recording: BaseRecording,
    settings: Settings,
    hints: Hints,
    *,
    exclude: BadStretches | None,
    n_jobs: int,
    progress: Progress,
) -> tuple[SorterState | None, Spikes, tuple[DiscoveredUnit, ...]]:
    """Discover the units of a recording, and sort it; see `Sorter.discover`."""
    settings = _for_discovery(settings)
    check_recording(recording)
    check_channels(recording)
    fs_hz = check_rate(float(recording.get_sampling_frequency()))
    start, stop = _part(recording.get_num_frames(), fs_hz, hints.labels)
    part = recording if stop - start == recording.get_num_frames() else recording.frame_slice(start, stop)
    given = BadStretches() if exclude is None else exclude.within(start, stop).shifted(-start)
    whole, (part, raw) = part, _good_channels(part, given, fs_hz=fs_hz)
    screen = screen_without_labels(raw, fs_hz=fs_hz)
    # The sorter learns how large spikes are from what is found here, so artefacts must be out before.
    found = find_bad_stretches(part, screen, n_jobs=n_jobs).joined(given)
    bad = between_spikes(found, raw, screen.cell_samples)
    trace, kept = _read(part, raw, settings, screen, bad, fs_hz=fs_hz, n_jobs=n_jobs)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    known = hints.within(start, stop).at(kept)
    labels = find_labels(trace, settings, known, kernel=kernel, fs_hz=fs_hz, n_jobs=n_jobs, progress=progress)
    if len(labels) == 0:
        logger.warning("no units were found")
        return None, Spikes.empty().described(fs_hz=fs_hz, names={}), ()
    labels = replace(labels, sample=kept[labels.sample], names=hints.labels.names)
    state = fit_state(whole, labels, settings, exclude=bad, n_jobs=n_jobs, progress=progress)
    spikes = sort_recording(
        state,
        recording,
        exclude=exclude,
        n_jobs=n_jobs,
        span_seconds=SPAN_SECONDS,
        resume=None,
        progress=progress,
    )
    spikes = with_labels(spikes, hints.labels, fs_hz=fs_hz)
    quarters = measured_quarters(state, recording, spikes, n_jobs=n_jobs)
    return state, spikes, describe_units(state, spikes, recording.get_num_frames(), quarters)


def _good_channels(
    recording: BaseRecording, exclude: BadStretches, *, fs_hz: float
) -> tuple[BaseRecording, npt.NDArray[Any]]:
    """Return a recording without broken channels, and its samples."""
    raw = read_samples(recording, 0, recording.get_num_frames())

    def screen_of(columns: tuple[int, ...]) -> Screen:
        return screen_without_labels(raw[:, list(columns)], fs_hz=fs_hz)

    choice = choose_channels(recording, screen_of, usual=None, as_it_is=False, exclude=exclude, fs_hz=fs_hz)
    return select(recording, choice.used), raw[:, list(choice.used)] if choice.words else raw


def _for_discovery(settings: Settings) -> Settings:
    """Return the settings with the pursuit in place of `auto`; what is found is all there is to learn."""
    decoder = "pursuit" if settings.decoder == "auto" else settings.decoder
    return settings.replace(decoder=decoder, unlabelled={"learn": False})


def _part(n_samples: int, fs_hz: float, labels: Spikes) -> tuple[int, int]:
    """Return the part of a long recording in which units are looked for: about the labels, or its middle."""
    length = min(n_samples, int(MOST_SECONDS * fs_hz))
    middle = int(np.median(labels.sample)) if len(labels) else n_samples // 2
    start = min(max(middle - length // 2, 0), n_samples - length)
    return start, start + length


def _read(
    recording: BaseRecording,
    raw: npt.NDArray[Any],
    settings: Settings,
    screen: Screen,
    bad: BadStretches,
    *,
    fs_hz: float,
    n_jobs: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return a recording's trace without offset and hum, bad stretches cut out, and the samples it keeps."""
    finite = raw[np.isfinite(raw).all(axis=1)] if raw.dtype.kind == "f" else raw
    offset = np.median(finite, axis=0).astype(np.float64) if len(finite) else np.zeros(raw.shape[1])
    source = screened(recording, screen, offset, exclude=bad, fs_hz=fs_hz, n_jobs=n_jobs)
    check_good(source, fs_hz=fs_hz)
    if not len(source.bad):
        check_trace(raw, settings)
    trace = np.asarray(source.bad.without(source.read(0, len(raw))), np.float32)
    if settings.conditioning.remove_hum:
        trace = without_hum(trace, find_hum(trace, fs_hz=fs_hz), fs_hz=fs_hz)
    return trace, np.asarray(source.bad.without(np.arange(len(raw))), np.int64)
