"""Discover the units of a recording without labels, fit a sorter to them, and say what they are worth.

1. Check the recording, take out bad stretches, offset and hum.
2. Find units in a part of it (`finding.rounds`).
3. Fit a sorter to their confident spikes, as to labels, and sort the whole recording with it.
4. Describe each unit by its spikes' probabilities, its intervals, its neighbours and the rehearsal.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.progress import Progress
from spikesorter.core.settings import Settings
from spikesorter.core.spike import check_rate
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel, without_hum
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import check_trace, read_samples
from spikesorter.signal.hum import find_hum
from spikesorter.signal.screen import Screen
from spikesorter.signal.spans import to_samples
from spikesorter.sorting.finding.rounds import find_labels
from spikesorter.sorting.finding.seams import between_spikes
from spikesorter.sorting.fitting import check_channels, fit_state
from spikesorter.sorting.screening import check_good, find_bad_stretches, screen_without_labels, screened
from spikesorter.sorting.spans import sort_recording
from spikesorter.sorting.state import SorterState

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

    from spikesorter.sorting.sorter import Sorter

__all__ = ["DiscoveredUnit", "Discovery", "describe_units", "discover_state"]

logger = logging.getLogger(__name__)
MOST_SECONDS = 300.0  # of a long recording in which units are looked for
SPAN_SECONDS = 10.0
REFRACTORY_MS = 1.5
CLEAR, FEW_ERRORS, APART = (
    5.0,
    0.2,
    3.0,
)  # d', share of false or missed spikes, and d' to others of a single unit
OFTEN, TOLD = 0.5, 4.0  # intervals too short, relative to those by chance; and how many by chance tell it
Verdict = Literal["single", "doubtful", "multi-unit"]


@dataclass(frozen=True)
class DiscoveredUnit:
    """What is known of a unit that was found without labels.

    Parameters
    ----------
    unit : int
    spikes : int
    rate_hz : float
    detectability : float
        d' of its template in the recording's noise.
    false_share : float
        Expected share of its spikes that are not its own, from their probabilities.
    missed_share : float
        Expected share of its spikes that were not found, from the rehearsal.
    violations : float
        Share of its intervals that are shorter than 1.5 ms.
    nearest : int or None
        Unit whose template is most like its own; None if it is the only one.
    nearest_detectability : float
        d' of the difference of the two templates; infinite if it is the only unit.
    verdict : {"single", "doubtful", "multi-unit"}
        multi-unit: its intervals are as short as those of several units; doubtful: hard to tell from the
        noise or from another unit; single: neither.
    """

    unit: int
    spikes: int
    rate_hz: float
    detectability: float
    false_share: float
    missed_share: float
    violations: float
    nearest: int | None
    nearest_detectability: float
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """Return the values by name, rounded, for tables and JSON."""
        values = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        alone = self.nearest is None
        return values | ({"nearest_detectability": None} if alone else {})


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


def discover_state(
    recording: BaseRecording,
    settings: Settings,
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
    start, stop = _part(recording.get_num_frames(), fs_hz)
    part = recording if stop - start == recording.get_num_frames() else recording.frame_slice(start, stop)
    raw = read_samples(part, 0, stop - start)
    screen = screen_without_labels(raw, fs_hz=fs_hz)
    given = BadStretches() if exclude is None else exclude.within(start, stop).shifted(-start)
    # The sorter learns how large spikes are from what is found here, so artefacts must be out before.
    found = find_bad_stretches(part, screen, n_jobs=n_jobs).joined(given)
    bad = between_spikes(found, raw, screen.cell_samples)
    trace, kept = _read(part, raw, settings, screen, bad, fs_hz=fs_hz, n_jobs=n_jobs)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    labels = find_labels(trace, settings, kernel=kernel, fs_hz=fs_hz, n_jobs=n_jobs, progress=progress)
    if len(labels) == 0:
        logger.warning("no units were found")
        return None, Spikes.empty().described(fs_hz=fs_hz, names={}), ()
    labels = replace(labels, sample=kept[labels.sample])
    state = fit_state(part, labels, settings, exclude=bad, n_jobs=n_jobs, progress=progress)
    spikes = sort_recording(
        state,
        recording,
        exclude=exclude,
        n_jobs=n_jobs,
        span_seconds=SPAN_SECONDS,
        resume=None,
        progress=progress,
    )
    return state, spikes, describe_units(state, spikes, recording.get_num_frames())


def describe_units(state: SorterState, spikes: Spikes, n_samples: int) -> tuple[DiscoveredUnit, ...]:
    """Describe the units of a sorter by what it found in a recording.

    Parameters
    ----------
    state : SorterState
    spikes : Spikes
        Found by it.
    n_samples : int
        Length of the recording.

    Returns
    -------
    tuple of DiscoveredUnit
        In the order of the sorter's units.
    """
    bank = state.lessons.context.bank(state.profile)
    middle, unit_ids = bank.overlaps.shape[1] // 2, state.units.known
    near = bank.overlaps.max(axis=1).astype(np.float64)
    energies = np.diagonal(bank.overlaps[:, middle]).astype(np.float64)
    distances = np.sqrt(np.maximum(energies[:, None] + energies - 2 * near, 0.0))
    np.fill_diagonal(distances, np.inf)
    recall = _recall(state)
    refractory = to_samples(REFRACTORY_MS, state.fs_hz)
    described = []
    for k, unit in enumerate(unit_ids):
        own = spikes.of(unit)
        short = int((np.diff(own.sample) < refractory).sum())
        closest = int(distances[k, : len(unit_ids)].argmin())
        values = {
            "detectability": float(np.sqrt(energies[k])),
            "false_share": float(1 - own.joint.mean()) if len(own) else 1.0,
            "missed_share": float(1 - recall.get(unit, 0.0)),
            "nearest_detectability": float(distances[k, closest]),
        }
        by_chance = refractory * len(own) ** 2 / n_samples
        described.append(
            DiscoveredUnit(
                unit=unit,
                spikes=len(own),
                rate_hz=len(own) * state.fs_hz / n_samples,
                violations=short / max(len(own) - 1, 1),
                nearest=unit_ids[closest] if len(unit_ids) > 1 else None,
                verdict=_verdict(**values, short=short, by_chance=by_chance),
                **values,
            )
        )
    return tuple(described)


def _verdict(
    *,
    detectability: float,
    false_share: float,
    missed_share: float,
    nearest_detectability: float,
    short: int,
    by_chance: float,
) -> Verdict:
    if by_chance >= TOLD and short > OFTEN * by_chance:
        return "multi-unit"
    clear = detectability >= CLEAR and nearest_detectability >= APART
    return "single" if clear and max(false_share, missed_share) <= FEW_ERRORS else "doubtful"


def _recall(state: SorterState) -> dict[int, float]:
    """Return the share of each unit's spikes that were found in the rehearsal, by unit id."""
    confusion = state.diagnostics.confusion
    true = np.maximum(confusion.sum(axis=1), 1)
    return {unit: float(confusion[k, k] / true[k]) for k, unit in enumerate(state.diagnostics.unit_ids)}


def _for_discovery(settings: Settings) -> Settings:
    """Return the settings with the pursuit in place of `auto`; what is found is all there is to learn."""
    decoder = "pursuit" if settings.decoder == "auto" else settings.decoder
    return settings.replace(decoder=decoder, unlabelled={"learn": False})


def _part(n_samples: int, fs_hz: float) -> tuple[int, int]:
    """Return the part of a long recording in which units are looked for: its middle."""
    length = min(n_samples, int(MOST_SECONDS * fs_hz))
    start = (n_samples - length) // 2
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
