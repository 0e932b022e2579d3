"""Open the recordings of a command once, before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikesorter.core.errors import InputError
from spikesorter.core.progress import Progress, silent
from spikesorter.core.settings import Settings
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.core.spikes import UNKNOWN, Spikes
from spikesorter.io.formats import stem_of
from spikesorter.io.label_checks import LabelTimes, check_plausible
from spikesorter.io.labels import own_labels, read_labels, without_units
from spikesorter.io.mat import rate_is_stated
from spikesorter.io.recording import OpenedRecording, RecordingOptions
from spikesorter.io.recording_parts import lacks_channels, part_name
from spikesorter.io.samples import shortest_samples

__all__ = [
    "CheckedRecording",
    "LabelOptions",
    "LabelledRecording",
    "keep_open",
    "open_labelled",
    "open_targets",
    "recording_parts",
    "unique_names",
]

logger = logging.getLogger(__name__)

MOST_OPEN = 64
MOST_BYTES_OPEN = 2 << 30


@dataclass(frozen=True)
class LabelOptions:
    """Options of `read_labels`.

    Parameters
    ----------
    times : {"samples", "seconds", "session"}, optional
    leave_out : sequence of str, optional
    """

    times: LabelTimes | None = None
    leave_out: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class LabelledRecording:
    """A recording with the labels to learn from.

    Parameters
    ----------
    opened : OpenedRecording
    labels : Spikes
        At least one label, without outlier spikes.
    """

    opened: OpenedRecording
    labels: Spikes

    @property
    def fs_hz(self) -> float:
        """Sampling rate."""
        return float(self.opened.recording.get_sampling_frequency())

    def warn_of_rate(self) -> None:
        """Warn if the sampling rate is neither in the recording's file nor among its options."""
        if self.opened.options.fs_hz is None and not rate_is_stated(self.opened.source):
            logger.warning(
                "%s: states no sampling rate (fs); %s is taken. If it is another: --set recording.fs_hz=HZ",
                self.opened.path, shown_hz(self.fs_hz),
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CheckedRecording:
    """An opened and checked recording.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        Options of `read_recording`.
    fs_hz : float
    n_samples : int
    kept : OpenedRecording or None
        None if it was closed to save memory; see `keep_open`.
    """

    path: Path
    options: RecordingOptions
    fs_hz: float
    n_samples: int
    kept: OpenedRecording | None

    def open(self) -> OpenedRecording:
        """Return the opened recording; open it again only if it was not kept."""
        return self.kept or self.options.open(self.path, fs_hz=self.fs_hz)


def keep_open(
    recordings: Iterable[OpenedRecording],
    *,
    most_open: int = MOST_OPEN,
    most_bytes: int = MOST_BYTES_OPEN,
) -> Iterator[CheckedRecording]:
    """Keep recordings open for later use, up to a limit.

    Only `.mat` files take memory while open. Recordings beyond the limits are closed, and opened again when
    needed, so that a command on a thousand files needs no more memory than one on a few.

    Parameters
    ----------
    recordings : iterable of OpenedRecording
    most_open : int
        Largest number of open recordings.
    most_bytes : int
        Largest memory that they may take together.

    Yields
    ------
    CheckedRecording
    """
    n_kept, held_bytes = 0, 0
    for opened in recordings:
        held_bytes += opened.bytes_in_memory
        keep = n_kept < most_open and held_bytes <= most_bytes
        n_kept += keep
        yield CheckedRecording(
            opened.path,
            opened.options,
            float(opened.recording.get_sampling_frequency()),
            opened.recording.get_num_frames(),
            opened if keep else None,
        )


def open_labelled(
    path: Path,
    settings: Settings,
    *,
    labels: Path | None = None,
    options: RecordingOptions | None = None,
    reading: LabelOptions | None = None,
) -> LabelledRecording:
    """Open a recording with the given labels or those in its own file.

    Parameters
    ----------
    path : Path
    settings : Settings
    labels : Path, optional
        Labels in any format that `read_labels` reads.
    options : RecordingOptions, optional
    reading : LabelOptions, optional
        How the labels are read.

    Returns
    -------
    LabelledRecording

    Raises
    ------
    InputError
        If the recording or the labels cannot be used.
    """
    reading = reading or LabelOptions()
    options, is_mat = options or RecordingOptions(), path.suffix.lower() == ".mat"
    times = reading.times if labels is None else None
    opened = options.open(path, fs_hz=settings.recording.fs_hz if is_mat else None, times=times)
    rate, source = float(opened.recording.get_sampling_frequency()), labels or path
    found = _labels(opened, labels, reading)
    if found is None or len(found) == 0:
        variables = " (variables Index and Class)" if is_mat and not labels else ""
        raise InputError(f"{source}: has no labels{variables}{'' if labels else '; give them with --labels'}")
    if found.fs_hz and not same_rate(found.fs_hz, rate):
        raise InputError(
            f"{source}: labels are at {shown_hz(found.fs_hz)}, but {path} is at {shown_hz(rate)}"
        )
    if unsorted := int((found.unit == UNKNOWN).sum()):
        logger.warning("%s: %d spikes of no unit (Class 0 or `unknown`) are left out", source, unsorted)
    check_plausible(source, found, n_samples=opened.recording.get_num_frames(), fs_hz=rate)
    _check_length(opened, settings)
    return LabelledRecording(opened, found.select(found.unit != UNKNOWN))


def _labels(opened: OpenedRecording, labels: Path | None, reading: LabelOptions) -> Spikes | None:
    """Read labels from a file of their own, or from that of the recording."""
    if labels is None:
        found = own_labels(opened)
        return None if found is None else without_units(opened.path, found, reading.leave_out)
    return read_labels(
        labels,
        fs_hz=float(opened.recording.get_sampling_frequency()),
        times=reading.times,
        start_s=float(opened.recording.get_start_time(0)),
        leave_out=reading.leave_out,
    )


def open_targets(
    targets: Mapping[str, Path],
    labelled: LabelledRecording,
    settings: Settings,
    *,
    options: RecordingOptions | None = None,
    progress: Progress = silent,
) -> dict[str, CheckedRecording]:
    """Open all targets; refuse those that cannot be used.

    Parameters
    ----------
    targets : mapping of str to Path
        By name.
    labelled : LabelledRecording
        Recording whose sampling rate and number of channels targets must have.
    settings : Settings
    options : RecordingOptions, optional
    progress : callable, optional

    Returns
    -------
    dict of str to CheckedRecording

    Raises
    ------
    InputError
        If a target cannot be read, is too short, or differs from the labelled recording.
    """
    chosen = options or RecordingOptions()

    def opened() -> Iterator[OpenedRecording]:
        for number, path in enumerate(targets.values()):
            progress("checking files", number / len(targets))
            one = chosen.open(path, fs_hz=labelled.fs_hz)
            _check_length(one, settings)
            _check_alike(one, labelled)
            yield one

    return dict(zip(targets, keep_open(opened()), strict=True))


def recording_parts(
    paths: list[Path], options: RecordingOptions
) -> tuple[dict[str, Path], dict[str, RecordingOptions]]:
    """Return recordings by name, and their options: one entry for each segment, if there are several.

    Parameters
    ----------
    paths : list of Path
    options : RecordingOptions
        If they choose a segment, others are left out.

    Returns
    -------
    paths : dict of str to Path
    options : dict of str to RecordingOptions

    Raises
    ------
    InputError
        If a recording cannot be read, or two results would have the same name.
    """
    parts: dict[str, Path] = {}
    chosen: dict[str, RecordingOptions] = {}
    for path in unique_names(paths).values():
        count = options.segments(path)
        numbers: list[int | None] = [None]
        if count > 1:
            numbers = list(range(count)) if options.segment is None else [options.segment]
        names = [part_name(path, number) for number in numbers]
        if len(names) > 1:
            logger.warning(
                "%s: has %d segments; each is sorted, with a result of its own: %s", path, count,
                ", ".join(names),
            )  # fmt: skip
        for name, number in zip(names, numbers, strict=True):
            if name in parts:
                raise InputError(f"{path}: {name} is also a result of {parts[name]}; rename one of them")
            parts[name] = path
            chosen[name] = options if number is None else replace(options, segment=number)
    return parts, chosen


def unique_names(paths: list[Path]) -> dict[str, Path]:
    """Return recordings by name, which is the file name without ending and names the results.

    Raises
    ------
    InputError
        If two recordings have the same name.

    Examples
    --------
    >>> list(unique_names([Path("monday/D2.mat"), Path("monday/D3.mat")]))
    ['D2', 'D3']
    """
    names: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path)
        if name in names:
            raise InputError(f"{path}: has the same name as {names[name]}, so their results would collide")
        names[name] = path
    return names


def _check_length(opened: OpenedRecording, settings: Settings) -> None:
    n_samples, shortest = opened.recording.get_num_frames(), shortest_samples(settings)
    if n_samples < shortest:
        raise InputError(f"{opened.path}: only {n_samples} samples long; at least {shortest} are needed")


def _check_alike(target: OpenedRecording, labelled: LabelledRecording) -> None:
    path, first = target.path, labelled.opened
    rate = target.recording.get_sampling_frequency()
    if not same_rate(rate, labelled.fs_hz):
        rates = shown_hz(rate), shown_hz(labelled.fs_hz)
        raise InputError(
            f"{path}: sampled at {rates[0]}, but {first.path} at {rates[1]}; --resample resamples targets to "
            "the rate of the labelled recording"
        )
    channels, wanted = target.recording.get_num_channels(), first.recording.get_num_channels()
    own, known = (list(map(str, one.recording.channel_ids)) for one in (target, first))
    if channels != wanted and not lacks_channels(own, known):
        raise InputError(f"{path}: has {channels} channels, but {first.path} has {wanted}")
