"""The electrodes of a recording in NWB files: device, groups and table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikesorter.io.session import Electrodes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording

__all__ = ["add_electrodes"]

GROUP = "channels"  # not "electrodes", which is the name of the table beside it in the file


def add_electrodes(file: Any, recording: BaseRecording, electrodes: Electrodes) -> int:
    """Add device, groups and the electrodes table to an NWB file, with places of a probe if there is one.

    Parameters
    ----------
    file : pynwb.NWBFile
    recording : spikeinterface.BaseRecording
        Its property `group` names the groups of channels.
    electrodes : Electrodes

    Returns
    -------
    int
        Number of electrodes.
    """
    place, device = electrodes.location, _add_device(file, electrodes)
    names = recording.get_property("group")
    groups = [f"group {name}" for name in names] if names is not None and len({*names}) > 1 else None
    made = {
        name: file.create_electrode_group(
            name=name, description=electrodes.group, location=place, device=device
        )
        for name in dict.fromkeys(groups or [GROUP])
    }
    located = recording.get_channel_locations() if recording.has_probe() else None
    file.add_electrode_column("channel_name", "id of the channel in the recording")
    for number, channel in enumerate(recording.channel_ids):
        group = made[groups[number] if groups else GROUP]
        at = (
            {}
            if located is None
            else dict(zip(("rel_x", "rel_y"), map(float, located[number]), strict=False))
        )
        file.add_electrode(group=group, location=place, channel_name=str(channel), **at)
    return int(recording.get_num_channels())


def _add_device(file: Any, electrodes: Electrodes) -> Any:
    """Add the device, and its model if the manufacturer is known; pynwb knows models from 3.1 on."""
    device = {"name": "electrode", "description": electrodes.device}
    if electrodes.manufacturer is None:
        return file.create_device(**device)
    try:
        from pynwb.device import DeviceModel
    except ImportError:
        return file.create_device(**device, manufacturer=electrodes.manufacturer)
    model = DeviceModel(name="electrode model", manufacturer=electrodes.manufacturer)
    file.add_device_model(model)
    return file.create_device(**device, model=model)
