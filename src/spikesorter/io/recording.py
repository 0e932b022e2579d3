"""Open recordings of any format: plain files directly, all others through SpikeInterface."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spike import same_rate, shown_hz
from spikesorter.core.spikes import Spikes
from spikesorter.io.bounds import MOST_CHANNELS, NUMERIC_KINDS, check_declared, check_rate, shown_bytes
from spikesorter.io.foreign_objects import check_zarr, load_foreign
from spikesorter.io.formats import OWN_FORMATS, Source, check_regular, find_source, reading
from spikesorter.io.label_checks import LabelTimes
from spikesorter.io.mat import read_mat
from spikesorter.io.raw_checks import warn_of_raw
from spikesorter.io.samples import at_rate

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["OpenedRecording", "RecordingOptions", "check_recording", "read_recording"]

logger = logging.getLogger(__name__)

Channel = str | int
NOT_NEURAL = ("SYNC", "ADC", "AUXILIARY", "SUPPLY VOLTAGE", "DIGITAL", "DC AMPLIFIER", "STIM", "TEMPERATURE")
OTHER_NAMES = {
    "binary": "raw",
    "openephys": "openephysbinary",
    "binaryfolder": "spikeinterface",
    "zarr": "spikeinterface",
}
NOT_OPENED = (
    "numpy",
    "ibl",  # connects to a server
    "shybrid",  # runs its probe file
    "sinapsresearchplatform",  # evaluates its metadata
)
"""SpikeInterface's readers that are not used."""
MOST_LISTED = 24


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
                    path, source, self.stream, fs_hz=rate, dtype=self.dtype, channels=self.channels
                )
        recording = _one_segment(path, recording, self.segment)
        if source.format == "plexon":
            recording = _without_last_sample(recording)
        check_rate(path, recording.get_sampling_frequency())
        chosen = _select_channels(path, recording, tuple(self.channel))
        chosen = _select_group(path, chosen, self.group)
        held = recording.get_memory_size() if source.format == "mat" else 0
        fitting = _resampled(path, chosen, fs_hz) if self.resample else chosen
        return OpenedRecording(path, self, fitting, labels, held, chosen)

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
    """

    path: Path
    options: RecordingOptions
    recording: BaseRecording
    labels: Spikes | None
    bytes_in_memory: int
    source: BaseRecording

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
        Raw binary: number of channels, which are interleaved.
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
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "probe.dat"
    ...     np.arange(12, dtype=np.int16).tofile(path)  # three samples of four channels
    ...     recording = read_recording(path, fs_hz=30_000, dtype="int16", channels=4, channel=2)
    ...     recording.get_traces()[:, 0]
    array([ 2,  6, 10], dtype=int16)
    """
    chosen = (channel,) if isinstance(channel, (str, int)) else tuple(channel)
    return RecordingOptions(fs_hz, dtype, channels, format, stream, segment, chosen, group).read(path)


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


def _source(path: Path, name: str | None) -> Source:
    if name is None:
        return find_source(path)
    check_regular(path)
    name = OTHER_NAMES.get(name.lower(), name.lower())
    if name not in OWN_FORMATS and name not in _extractors():
        known = ", ".join((*OWN_FORMATS, *sorted(set(_extractors()) - set(OWN_FORMATS))))
        raise InputError(f"{path}: unknown format {name}; known are {known}")
    return Source(path, name)


def _extractors() -> dict[str, Callable[..., BaseRecording]]:
    from spikeinterface.extractors import recording_extractor_full_dict

    return {
        name: reader
        for name, reader in recording_extractor_full_dict.items()
        if name not in NOT_OPENED and name not in OTHER_NAMES
    }


def _open(path: Path, source: Source, stream: str | None, **plain: Any) -> BaseRecording:
    if source.format in ("npy", "wav", "raw"):
        return {"npy": _open_npy, "wav": _open_wav, "raw": _open_raw}[source.format](path, **plain)
    if source.format == "spikeinterface":
        return _load(path)
    if source.format == "nwb":
        if path.is_dir():
            check_zarr(path)
        return _open_nwb(path, stream)
    return _open_extractor(path, source, stream)


def _open_npy(path: Path, *, fs_hz: float | None, **_: Any) -> BaseRecording:
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: cannot be read as npy: it is not an .npy file, despite its name")
    with np.errstate(over="raise"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # refuses files shorter than they declare
    if array.ndim not in (1, 2) or array.dtype.kind not in NUMERIC_KINDS or array.size == 0:
        raise InputError(
            f"{path}: must hold an array of numbers of shape (samples,) or (samples, channels), not "
            f"{array.dtype} of shape {array.shape}"
        )
    return _binary(path, array, _needed(path, fs_hz))


def _open_wav(path: Path, **_: Any) -> BaseRecording:
    import scipy.io.wavfile

    _check_wav_parts(path)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            fs_hz, samples = scipy.io.wavfile.read(path, mmap=True)
        except ValueError as error:
            if "mmap" not in str(error):
                raise
            size = path.stat().st_size  # NumPy has no type of 24 bits: samples become 32 bits, in memory
            check_declared(path, "its samples", declared=size * 4 // 3, stored=size)
            fs_hz, samples = scipy.io.wavfile.read(path)
    cut_off = [str(remark.message) for remark in remarks if "EOF" in str(remark.message)]
    if cut_off:
        raise InputError(f"{path}: truncated or damaged: {cut_off[0]}")
    if samples.size == 0:
        raise InputError(f"{path}: holds no samples")
    check_rate(path, float(fs_hz))
    return _binary(path, samples, float(fs_hz))


def _check_wav_parts(path: Path) -> None:
    """Refuse a WAV file in which a chunk, up to the samples, claims more than is left in the file."""
    size, place, part = path.stat().st_size, 12, b""
    with path.open("rb") as file:
        kind = file.read(4)
        while part != b"data" and place + 8 <= size:
            file.seek(place)
            part, held = struct.unpack(">4sI" if kind == b"RIFX" else "<4sI", file.read(8))
            place += 8
            elsewhere = kind == b"RF64" and part == b"data"  # files beyond 4 GB state their size elsewhere
            if held > size - place and not elsewhere:
                raise InputError(
                    f"{path}: truncated or damaged: its part {part.decode('latin-1')!r} claims "
                    f"{shown_bytes(held)}, but {shown_bytes(size - place)} are left in the file"
                )
            place += held + held % 2


def _binary(path: Path, array: Any, fs_hz: float) -> BaseRecording:
    """Read a mapped array through SpikeInterface, which maps only the part that is needed."""
    trace = np.atleast_2d(array).T if array.ndim == 1 or array.shape[0] < array.shape[1] else array
    if trace.shape[1] > MOST_CHANNELS:
        raise InputError(f"{path}: has shape {array.shape}: at most {MOST_CHANNELS} channels are supported")
    if trace.flags.c_contiguous and isinstance(array, np.memmap):
        whole = _binary_file(path, fs_hz, trace.dtype, trace.shape[1], file_offset=array.offset)
        return whole.frame_slice(
            0, len(trace)
        )  # what follows, such as a WAV file's metadata, is not part of the trace
    from spikeinterface.core import NumpyRecording  # its binary reader needs interleaved channels

    return NumpyRecording([trace], fs_hz)


def _binary_file(
    path: Path, fs_hz: float, dtype: Any, channels: int, *, file_offset: int = 0
) -> BaseRecording:
    from spikeinterface.core import BinaryRecordingExtractor

    return BinaryRecordingExtractor([path], fs_hz, dtype, num_channels=channels, file_offset=file_offset)


def _open_raw(path: Path, *, fs_hz: float | None, dtype: str | None, channels: int | None) -> BaseRecording:
    missing = [
        name
        for name, value in (
            ("fs_hz (--fs)", fs_hz),
            ("dtype (--dtype)", dtype),
            ("channels (--channels)", channels),
        )
        if value is None
    ]
    if missing or fs_hz is None or dtype is None or channels is None:
        raise InputError(
            f"{path}: raw binary files have no header; give {', '.join(missing)}; or, if "
            "it has another format, give format=NAME (--format)"
        )
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: dtype must be a type of real numbers, such as int16, not {dtype}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise InputError(f"{path}: channels must be between 1 and {MOST_CHANNELS}, not {channels}")
    size, step = path.stat().st_size, kind.itemsize * channels
    if size == 0 or size % step:
        raise InputError(
            f"{path}: holds {size} bytes, not a whole number of {channels}-channel samples of {kind} "
            f"({step} bytes each); check the type, the number of channels, and that the file is complete"
        )
    warn_of_raw(path, kind, channels)
    return _binary_file(path, check_rate(path, fs_hz), kind, channels)


def _needed(path: Path, fs_hz: float | None) -> float:
    if fs_hz is None:
        raise InputError(f"{path}: does not state its sampling rate; give fs_hz (--fs)")
    return check_rate(path, fs_hz)


def _load(path: Path) -> BaseRecording:
    from spikeinterface.core import BaseRecording, SortingAnalyzer

    found = load_foreign(path)
    if isinstance(found, SortingAnalyzer) and found.has_recording():
        found = found.recording
    if not isinstance(found, BaseRecording):
        raise InputError(f"{path}: holds a {type(found).__name__} of SpikeInterface, not a recording")
    return found


def _open_nwb(path: Path, stream: str | None) -> BaseRecording:
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

    series = NwbRecordingExtractor.fetch_available_electrical_series_paths(path)
    if not series:
        raise InputError(f"{path}: holds no recording (ElectricalSeries)")
    names = [name.rpartition("/")[2] for name in series]
    return NwbRecordingExtractor(path, electrical_series_path=_choose_stream(path, names, series, stream))


def _open_extractor(path: Path, source: Source, stream: str | None) -> BaseRecording:
    from spikeinterface.extractors.neoextractors import get_neo_streams, neo_recording_class_dict

    for kind in (DeprecationWarning, FutureWarning):  # of SpikeInterface's use of neo
        warnings.filterwarnings("ignore", message=".*strict_gap_mode", category=kind)
    reader = _extractors()[source.format]
    if source.format not in neo_recording_class_dict:
        return reader(source.path) if stream is None else reader(source.path, stream_name=stream)
    names, ids = get_neo_streams(source.format, source.path)
    if not ids:
        raise InputError(f"{path}: holds no recording")
    return reader(source.path, stream_id=_choose_stream(path, names, ids, stream, source.stream))


def _without_last_sample(recording: BaseRecording) -> BaseRecording:
    """Leave out the last sample of a .plx file: if it is read, neo 0.14 returns zeros for its whole block."""
    return recording.frame_slice(0, recording.get_num_frames() - 1)


def _choose_stream(
    path: Path, names: Sequence[str], ids: Sequence[str], wanted: str | None, own: str | None = None
) -> str:
    """Return the id of the wanted stream, or of the only neural stream."""
    listed = "; ".join(
        name if name == key else f"{name} (id {key})" for name, key in zip(names, ids, strict=True)
    )
    if wanted is not None:
        fitting = [key for name, key in zip(names, ids, strict=True) if str(wanted) in (name, str(key))]
        if not fitting:
            raise InputError(f"{path}: has no stream {wanted}; there are {listed}")
        return fitting[0]
    if own is not None and own in ids:
        return own
    neural = [
        key
        for name, key in zip(names, ids, strict=True)
        if not any(word in name.upper() for word in NOT_NEURAL)
    ]
    if len(neural or ids) > 1:
        raise InputError(
            f"{path}: has several streams; choose one with stream=NAME (--stream NAME): {listed}"
        )
    return (neural or list(ids))[0]


def _one_segment(path: Path, recording: BaseRecording, segment: int | None) -> BaseRecording:
    count = recording.get_num_segments()
    if segment is None and count == 1:
        return recording
    rate = recording.get_sampling_frequency()
    lengths = ", ".join(f"{recording.get_num_samples(k) / rate:.1f} s" for k in range(count))
    if segment is None:
        raise InputError(
            f"{path}: has {count} segments ({lengths}); choose one with segment=0 to {count - 1} (--segment)"
        )
    if not 0 <= segment < count:
        raise InputError(f"{path}: has no segment {segment}; there are 0 to {count - 1} ({lengths})")
    return recording.select_segments([segment])


def _resampled(path: Path, recording: BaseRecording, fs_hz: float | None) -> BaseRecording:
    """Return a recording at a sampling rate, resampled as float32 if it has another."""
    own = float(recording.get_sampling_frequency())
    if fs_hz is None or same_rate(own, fs_hz):
        return recording
    from spikeinterface.preprocessing import resample

    with reading(path, "a recording to resample"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a rate that differs by parts in a million
        changed: BaseRecording = resample(recording, fs_hz, dtype="float32")
    logger.info("%s: resampled from %s to %s", path, shown_hz(own), shown_hz(fs_hz))
    return changed


def _select_group(path: Path, recording: BaseRecording, group: Channel | None) -> BaseRecording:
    if group is None:
        return recording
    values = recording.get_property("group")
    if values is None:
        raise InputError(f"{path}: its channels have no groups; choose them with channel=ID (--channel)")
    groups = [str(value) for value in values]
    chosen = [key for key, value in zip(recording.channel_ids, groups, strict=True) if value == str(group)]
    if not chosen:
        raise InputError(f"{path}: has no group {group}; there are {_listed(sorted(set(groups)))}")
    return recording.select_channels(chosen)


def _select_channels(path: Path, recording: BaseRecording, wanted: tuple[Channel, ...]) -> BaseRecording:
    if not wanted:
        return recording
    ids = list(recording.channel_ids)
    by_id = {str(key): key for key in ids}
    names = recording.get_property("channel_name")
    by_name = {} if names is None else dict(zip(map(str, names), ids, strict=True))
    by_place = {str(place): key for place, key in enumerate(ids)}
    known = by_place | by_name | by_id
    for channel in wanted:
        if str(channel) not in known:
            raise InputError(f"{path}: has no channel {channel}; there are {_listed(list(map(str, ids)))}")
    return recording.select_channels(list(dict.fromkeys(known[str(channel)] for channel in wanted)))


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
