"""Where the parts of a model folder are, and which channels its groups have.

MODEL/ has the fitted sorter, and MODEL/targets/NAME/ the adapted ones. If channels are in groups, each
MODEL/groups/GROUP/ has this structure, and MODEL/groups/channels.json names the group of each channel. While
a model is being adapted to targets, unfinished.json names those that it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from spikesorter.core.errors import InputError, ModelError
from spikesorter.io.atomic import recover_folder, write_json
from spikesorter.io.model_files import DESCRIPTION, TARGETS, check_model_place

__all__ = [
    "TARGETS",
    "WHOLE",
    "adapted_folders",
    "check_group_places",
    "check_model_folder",
    "group_folders",
    "group_place",
    "low_latency_place",
    "read_channels",
    "read_unfinished",
    "target_names",
    "target_place",
    "unfinished_words",
    "write_channels",
    "write_unfinished",
]

GROUPS, CHANNELS, UNFINISHED = "groups", "channels.json", "unfinished.json"
WHOLE = ""
"""Name of the only group of a model for all channels."""


def target_place(folder: Path, name: str) -> Path:
    """Return the folder of the sorter adapted to a target.

    Examples
    --------
    >>> target_place(Path("model"), "D5").as_posix()
    'model/targets/D5'
    """
    return folder / TARGETS / name


def low_latency_place(folder: Path) -> Path:
    """Return the folder of the low-latency sorter that is kept with an adapted one.

    Examples
    --------
    >>> low_latency_place(target_place(Path("model"), "D5")).as_posix()
    'model/targets/D5/low_latency'
    """
    return folder / "low_latency"


def group_place(folder: Path, group: str) -> Path:
    """Return the folder of the sorters of a group of channels, or the model's own, if it is for all channels.

    Examples
    --------
    >>> group_place(Path("model"), "left").as_posix(), group_place(Path("model"), WHOLE).as_posix()
    ('model/groups/left', 'model')
    """
    return folder if group == WHOLE else folder / GROUPS / group


def check_group_places(folder: Path, groups: list[str]) -> None:
    """Check that a model with these groups can be written, over at most an older model of the same groups.

    Raises
    ------
    InputError
        If something else is there, or a group's name cannot be a folder's.
    """
    for group in groups:
        if Path(group).name != group or group.startswith("."):
            raise InputError(f"group {group!r}: cannot be the name of a folder; rename the group")
        check_model_place(group_place(folder, group))
    others = [path.name for path in folder.iterdir() if path.name != GROUPS] if folder.is_dir() else []
    others += [path.name for path in _folders(folder / GROUPS) if path.name not in groups]
    if others:
        raise InputError(
            f"{folder}: already contains {sorted(others)[0]}; choose another folder for the model"
        )


def target_names(folder: Path) -> list[str]:
    """Return the targets that a model for all channels was adapted to.

    Raises
    ------
    ModelError
        If there is no such folder.
    """
    check_model_folder(folder)
    return [path.name for path in _folders(folder / TARGETS)]


def adapted_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each adapted sorter of a model for all channels, by target.

    Raises
    ------
    ModelError
        If there is no such folder, or its model is for groups.
    """
    check_model_folder(folder)
    if (folder / GROUPS).is_dir():
        one = _folders(folder / GROUPS)[0]
        raise ModelError(f"{folder}: has a model for each group of channels; give one of them, such as {one}")
    return {path.name: path for path in _folders(folder / TARGETS)}


def group_folders(folder: Path) -> dict[str, Path]:
    """Return the model folder of each group of channels: of one, "", if the model is for all channels.

    Raises
    ------
    ModelError
        If there is no such folder.
    """
    check_model_folder(folder)
    if not (folder / GROUPS).is_dir():
        return {WHOLE: folder}
    return {path.name: path for path in _folders(folder / GROUPS)}


def write_channels(folder: Path, groups: list[str], channel_ids: list[str]) -> None:
    """Write which group each channel of the labelled recording is in, beside the groups' models."""
    channels = [{"id": one, "group": group} for one, group in zip(channel_ids, groups, strict=True)]
    write_json(folder / GROUPS / CHANNELS, {"channels": channels})


def read_channels(folder: Path) -> list[str]:
    """Return the group of each channel, as `write_channels` wrote them.

    Raises
    ------
    ModelError
        If the file is missing, as in a model of an older version, or damaged.
    """
    path = folder / GROUPS / CHANNELS
    try:
        with path.open(encoding="utf-8") as file:
            stored = json.load(file)
        groups = [one["group"] for one in stored["channels"]]
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: does not say which channels its groups have, an older version made it; train it again"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: is damaged ({type(error).__name__}); train the model again") from None
    if not all(isinstance(group, str) for group in groups):
        raise ModelError(f"{path}: is damaged (a group has no name); train the model again")
    return groups


def write_unfinished(folder: Path, targets: Sequence[str]) -> None:
    """Write which targets a model is not adapted to yet; remove the file when there are none."""
    place = _unfinished_place(folder)
    if targets:
        write_json(place, {"targets": list(targets)})
    else:
        place.unlink(missing_ok=True)


def read_unfinished(folder: Path) -> tuple[str, ...]:
    """Return the targets that a model lacks because its training was ended; none if it was finished.

    Raises
    ------
    ModelError
        If the file that names them is damaged.
    """
    place = _unfinished_place(folder)
    try:
        targets = json.loads(place.read_bytes())["targets"]
        if not all(isinstance(name, str) for name in targets):
            raise TypeError
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{place}: is damaged ({type(error).__name__}); train the model again") from None
    return tuple(targets)


def unfinished_words(folder: Path) -> str:
    """Return in words which targets a model lacks; "" if its training was finished.

    Raises
    ------
    ModelError
        As for `read_unfinished`.
    """
    lacking = read_unfinished(folder)
    if not lacking:
        return ""
    names = ", ".join(lacking)
    return f"{folder}: its training was ended before it was adapted to {names}; train it again to have all"


def _unfinished_place(folder: Path) -> Path:
    return (folder / GROUPS if (folder / GROUPS).is_dir() else folder) / UNFINISHED


def check_model_folder(folder: Path) -> None:
    """Refuse what is no model folder, and say where the model may be.

    Raises
    ------
    ModelError
    """
    recover_folder(folder)
    if folder.is_file():
        raise ModelError(f"{folder}: is a file; give a model folder")
    if not (folder / DESCRIPTION).exists() and (folder / "model" / DESCRIPTION).is_file():
        raise ModelError(f"{folder}: is not a model folder; its model is {folder / 'model'}")
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; make one with `spikesorter train` or `run`")


def _folders(inside: Path) -> list[Path]:
    if not inside.is_dir():
        return []
    return sorted(path for path in inside.iterdir() if path.is_dir() and not path.name.startswith("."))
