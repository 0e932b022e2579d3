"""EDF files: refuse BDF, and choose the channels of one sampling rate, as a file may hold several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikesorter.core.errors import InputError
from spikesorter.core.spike import shown_hz

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["check_edf", "edf_stream"]

MOST_LISTED = 24


def check_edf(path: Path) -> None:
    """Refuse what the reader of EDF would read as other samples: BDF, whose samples have 24 bits.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.edf"
    ...     _ = path.write_bytes(b"0       ")
    ...     check_edf(path)
    """
    with path.open("rb") as file:
        if file.read(1) == b"\xff":
            raise InputError(
                f"{path}: is a BDF file, with samples of 24 bits, which is not read; convert it, for "
                "example to NWB or WAV"
            )


def edf_stream(
    path: Path, ids: Sequence[str], channel: Sequence[str | int], read: Callable[[str], BaseRecording]
) -> str:
    """Return the id of the stream with the wanted channels; those of one sampling rate are a stream.

    Parameters
    ----------
    path : Path
        For the message.
    ids : sequence of str
        Of all streams.
    channel : sequence of str or int
        Ids or names of the wanted channels.
    read : callable
        Opens a stream.

    Raises
    ------
    InputError
        If no stream has them all, or there are several and no channel is wanted.
    """
    if len(ids) == 1:
        return ids[0]
    streams = {key: read(key) for key in ids}
    wanted = {str(one) for one in channel}
    fitting = [key for key, stream in streams.items() if wanted <= _known(stream)]
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(_described(stream) for stream in streams.values())
    raise InputError(
        f"{path}: its channels have several sampling rates; choose those of one with channel=NAME "
        f"(--channel NAME): {listed}"
    )


def _known(stream: BaseRecording) -> set[str]:
    return {*map(str, stream.channel_ids), *map(str, _names(stream))}


def _names(stream: BaseRecording) -> list[str]:
    names = stream.get_property("channel_name")
    return list(map(str, stream.channel_ids if names is None else names))


def _described(stream: BaseRecording) -> str:
    names = _names(stream)
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{', '.join(names[:MOST_LISTED])}{more} at {shown_hz(stream.get_sampling_frequency())}"
