"""Open recordings of any format: plain files directly, all others through SpikeInterface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.bounds import check_rate
from spikesorter.io.clock import counted_gaps, find_gaps
from spikesorter.io.exclusion import Exclusion
from spikesorter.io.foreign_objects import check_zarr
from spikesorter.io.foreign_recording import (
    OTHER_NAMES,
    known_extractors,
    load_saved_recording,
    open_extractor,
    open_nwb,
    stream_names,
    without_last_sample,
)
from spikesorter.io.formats import OWN_FORMATS, Source, check_regular, find_source, reading
from spikesorter.io.label_checks import LabelTimes
from spikesorter.io.mat import read_mat
from spikesorter.io.plain_recording import open_npy, open_raw, open_wav
from spikesorter.io.recording_parts import (
    Channel,
    one_segment,
    part_name,
    select_channels,
    select_group,
)
from spikesorter.io.samples import at_rate

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["OpenedRecording", "RecordingOptions", "check_recording", "read_recording"]

ONE_SEGMENT = ("mat", "npy", "wav", "raw")
"""Formats with one stream of one segment."""


@dataclass(frozen=True)
class RecordingOptions:
    """Options of `read_recording`."""

    fs_hz: float | None = None
    dtype: str | None = None
    channels: int | None = None
    format: str | None = None
    stream: str | None = None
    segment: int | None = None
    channel: Sequence[Channel] = ()
    group: Channel | None = None
    resample: bool = False
    variable: Sequence[str] = ()
    exclude: Exclusion | None = None
    planar: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """Names of variables in `.mat` files, by what they are called here."""
        pairs = [text.partition("=") for text in self.variable]
        wrong = [name for name, sign, value in pairs if not (name and sign and value)]
        if wrong:
            raise InputError(
                f"variable {wrong[0]!r}: expected NAME=VARIABLE, such as trace=data (--variable)"
            )
        return {name: value for name, _, value in pairs}

    def open(
        self, path: str | Path, *, fs_hz: float | None = None, times: LabelTimes | None = None
    ) -> OpenedRecording:
        """Open a recording; `fs_hz` is the sampling rate if neither the file nor the options state one.

        With `resample`, a recording of another rate is resampled to `fs_hz`. `times` is what the times of
        labels in the same file are; see `read_labels`.

        Raises
        ------
        InputError
            As for `read_recording`.
        """
        path, rate = Path(path), fs_hz if self.fs_hz is None else self.fs_hz
        source, labels = _source(path, self.format), None
        if source.format == "mat":
            recording, labels = read_mat(path, fs_hz=rate, variables=self.variables, times=times)
        else:
            with reading(path, source.format), warnings.catch_warnings():
                recording = _open(
                    path,
                    source,
                    self.stream,
                    tuple(self.channel),
                    fs_hz=rate,
                    dtype=self.dtype,
                    channels=self.channels,
                    planar=self.planar,
                )
        gaps = counted_gaps(recording, self.segment or 0)
        name = part_name(path, self.segment if recording.get_num_segments() > 1 else None)
        recording = one_segment(path, recording, self.segment)
        if source.format == "plexon":
            recording = without_last_sample(recording)
        check_rate(path, recording.get_sampling_frequency())
        chosen = select_channels(path, recording, tuple(self.channel))
        chosen = select_group(path, chosen, self.group)
        if self.exclude is not None:
            chosen = self.exclude.cleaned(name, chosen)
        held = recording.get_memory_size() if source.format == "mat" else 0
        fitting = chosen
        if self.resample:
            from spikesorter.io.resampling import resampled

            fitting = resampled(path, chosen, fs_hz)
        excluded = gaps if self.exclude is None else gaps.joined(self.exclude.of(name, chosen))
        if fitting is not chosen:
            ratio = fitting.get_sampling_frequency() / chosen.get_sampling_frequency()
            excluded = excluded.joined(find_gaps(chosen)).at_rate(ratio)
        return OpenedRecording(path, self, fitting, labels, held, chosen, excluded)

    def segments(self, path: Path) -> int:
        """Return the number of segments of a recording that has not been opened yet.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        return max(len(self.segment_lengths_s(path)), 1)

    def name_of(self, path: Path) -> str:
        """Return the name of a recording's result, and of tables that are for it alone.

        Raises
        ------
        InputError
            If a segment is wanted, and the recording cannot be read.
        """
        several = self.segment is not None and self.segments(path) > 1
        return part_name(path, self.segment if several else None)

    def segment_lengths_s(self, path: Path) -> list[float]:
        """Return the lengths of the segments of a recording; none if its format has only one.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        source = _source(path, self.format)
        if source.format in ONE_SEGMENT:
            return []
        with reading(path, source.format), warnings.catch_warnings():
            recording = _open(path, source, self.stream, tuple(self.channel))
            rate = recording.get_sampling_frequency()
            return [recording.get_num_samples(k) / rate for k in range(recording.get_num_segments())]

    def streams(self, path: Path) -> list[str]:
        """Return the names of the streams of a recording; none if its format has only one.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        source = _source(path, self.format)
        if source.format in (*ONE_SEGMENT, "spikeinterface"):
            return []
        with reading(path, source.format), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return stream_names(source)

    def read(self, path: str | Path, *, fs_hz: float | None = None) -> BaseRecording:
        """Open a recording and return it without labels; see `open`."""
        return self.open(path, fs_hz=fs_hz).recording


@dataclass(frozen=True, eq=False)
class OpenedRecording:
    """An opened recording, passed on so that no file is read twice.

    Parameters
    ----------
    path : Path
    options : RecordingOptions
        Options that it was read with.
    recording : spikeinterface.BaseRecording
        One segment.
    labels : Spikes or None
        Labels read along with it, from a `.mat` file; see `own_labels`.
    bytes_in_memory : int
        Memory that it occupies; 0 if samples are read from disk on demand.
    source : spikeinterface.BaseRecording
        The recording before it was resampled; otherwise the same.
    exclude : BadStretches
        Stretches of `recording` to leave out: those that the options name, and those next to gaps in the
        numbers of samples or, if it was resampled, in its times.
    pulses_subtracted : bool
        Whether the response to pulses that were found in it has been subtracted.
    """

    path: Path
    options: RecordingOptions
    recording: BaseRecording
    labels: Spikes | None
    bytes_in_memory: int
    source: BaseRecording
    exclude: BadStretches = field(default_factory=BadStretches)
    pulses_subtracted: bool = False

    def to_source(self, spikes: Spikes) -> Spikes:
        """Return spikes of the resampled recording as spikes of the file's own samples."""
        if self.source is self.recording:
            return spikes
        own_hz = float(self.source.get_sampling_frequency())
        return at_rate(spikes, own_hz, n_samples=self.source.get_num_frames())


def read_recording(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    dtype: str | None = None,
    channels: int | None = None,
    format: str | None = None,  # noqa: A002 (the word that users look for)
    stream: str | None = None,
    segment: int | None = None,
    channel: Channel | Sequence[Channel] = (),
    group: Channel | None = None,
    planar: bool = False,
) -> BaseRecording:
    """Open a recording of any common format.

    Samples are read on demand; only `.mat` files are read at once.

    Parameters
    ----------
    path : str or Path
        `.mat`, `.npy`, `.wav`, `.nwb`, raw binary (`.dat`, `.bin`, `.raw`), a folder or `.zarr` that
        SpikeInterface saved, or any file or folder that its extractors read: Intan, Blackrock, Open Ephys,
        SpikeGLX, Neuralynx, Plexon, Spike2, EDF, ...
    fs_hz : float, optional
        Sampling rate (Hz) of files that do not state it: raw binary, `.npy` and some `.mat`.
    dtype : str, optional
        Raw binary: type of a sample, such as ``"int16"``.
    channels : int, optional
        Raw binary: number of channels, which are interleaved unless `planar`.
    format : str, optional
        Format of the file, if its name does not show it: ``"raw"``, ``"npy"``, ..., or a name of
        SpikeInterface's extractors, such as ``"intan"``.
    stream : str, optional
        Name or id of the stream to read, if there are several (NWB: path of the ElectricalSeries).
    segment : int, optional
        Segment to read (from 0), if there are several.
    channel : str, int or sequence of these, optional
        Channels to read, by id, by name or, if neither matches, by position (from 0); all if not given.
    group : str or int, optional
        Read only the channels whose property `group` has this value, such as those of one tetrode.
    planar : bool, optional
        Raw binary: whether each channel is stored as a whole, one after the other.

    Returns
    -------
    spikeinterface.BaseRecording
        One segment, with samples of the file's own type.

    Raises
    ------
    InputError
        If the file cannot be read, or it is not clear what to read; the message then lists the choices.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "probe.dat"
    ...     np.arange(12, dtype=np.int16).tofile(path)  # three samples of four channels
    ...     recording = read_recording(path, fs_hz=30_000, dtype="int16", channels=4, channel=2)
    ...     recording.get_traces()[:, 0]
    array([ 2,  6, 10], dtype=int16)
    """
    chosen = (channel,) if isinstance(channel, (str, int)) else tuple(channel)
    options = RecordingOptions(fs_hz, dtype, channels, format, stream, segment, chosen, group, planar=planar)
    return options.read(path)


def check_recording(recording: Any) -> None:
    """Refuse anything but a recording of one segment.

    Raises
    ------
    InputError
    """
    if not hasattr(recording, "get_traces"):
        raise InputError(
            f"expected a SpikeInterface recording, not a {type(recording).__name__}; "
            "spikesorter.read_recording opens files, "
            "spikeinterface.core.NumpyRecording([samples], fs_hz) takes arrays"
        )
    segments = recording.get_num_segments()
    if segments != 1:
        raise InputError(f"has {segments} segments; select one with select_segments")
    dtype, samples = np.dtype(recording.get_dtype()), recording.get_num_frames()
    if dtype.kind not in "iuf":
        raise InputError(f"has samples of type {dtype}; expected real numbers, such as int16 or float32")
    if samples == 0:
        raise InputError("has no samples")
    if recording.get_num_channels() > samples:
        raise InputError(
            f"has {recording.get_num_channels()} channels of {samples} samples: arrays must have shape "
            "(samples, channels); transpose it"
        )


def _source(path: Path, name: str | None) -> Source:
    if name is None:
        return find_source(path)
    check_regular(path)
    name = OTHER_NAMES.get(name.lower(), name.lower())
    if name not in OWN_FORMATS and name not in known_extractors():
        known = ", ".join((*OWN_FORMATS, *sorted(set(known_extractors()) - set(OWN_FORMATS))))
        raise InputError(f"{path}: unknown format {name}; known are {known}")
    return Source(path, name)


def _open(
    path: Path, source: Source, stream: str | None, channel: Sequence[Channel], **plain: Any
) -> BaseRecording:
    if source.format in ("npy", "wav", "raw"):
        return {"npy": open_npy, "wav": open_wav, "raw": open_raw}[source.format](path, **plain)
    if source.format == "spikeinterface":
        return load_saved_recording(path)
    if source.format == "nwb":
        if path.is_dir():
            check_zarr(path)
        return open_nwb(path, stream)
    return open_extractor(path, source, stream, channel=channel)
