"""Export spikes with their recording, through SpikeInterface: `SortingAnalyzer` and Phy folders."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import PROBABILITIES, UNKNOWN, Spikes

if TYPE_CHECKING:
    from spikeinterface import BaseRecording
    from spikeinterface.core import SortingAnalyzer

__all__ = ["MARK", "UNDER_CURATION", "make_analyzer", "write_analyzer", "write_phy"]

MARK = "spikesorter.json"
"""File that marks a folder as written by spikesorter and holds the provenance of its spikes."""
UNDER_CURATION = "cluster_info.tsv"
"""File that Phy writes when a user saves."""

BEFORE_MS, AFTER_MS = 1.0, 2.5  # of a spike's start
SPIKES_PER_UNIT = 500
LEAST_FOR_COMPONENTS = 6
ONE_AT_A_TIME = {"n_jobs": 1, "progress_bar": False}
HARMLESS = (
    "The extractor is not serializable",  # a recording in memory: the analyzer keeps no link to it
    "The Recording is not serializable",
    "unclosed file",
)


def make_analyzer(
    spikes: Spikes, recording: BaseRecording, *, folder: Path | None = None, numbered: bool = False
) -> SortingAnalyzer:
    """Make an analyzer with waveforms of up to 500 spikes of each unit, and their means.

    Parameters
    ----------
    spikes : Spikes
    recording : spikeinterface.BaseRecording
        If it has no probe, its channels are placed along a line.
    folder : Path, optional
        Folder to store it in; in memory if not given.
    numbered : bool
        Whether unit ids are numbers even if units have names.

    Returns
    -------
    spikeinterface.core.SortingAnalyzer

    Raises
    ------
    InputError
        If a spike lies beyond the end of the recording.
    """
    from spikeinterface.core import create_sorting_analyzer

    n_samples = recording.get_num_frames()
    if len(spikes) and spikes.sample[-1] >= n_samples:
        raise InputError(
            f"a spike starts at sample {spikes.sample[-1]}, but the recording has {n_samples} samples; it is "
            "not the recording in which the spikes were found"
        )
    rate = float(recording.get_sampling_frequency())
    named = spikes.described(fs_hz=rate, names={} if numbered else spikes.names)
    sorting = named.to_spikeinterface()
    for name in PROBABILITIES:  # an array for each unit, which SpikeInterface could only pickle
        sorting.delete_property(name)
    place: dict[str, Any] = {"format": "memory"} if folder is None else {"format": "binary_folder"}
    with _quiet():
        analyzer = create_sorting_analyzer(
            sorting,
            _with_probe(recording),
            folder=folder,
            overwrite=folder is not None,
            sparse=False,
            seed=0,
            return_in_uV=recording.has_scaleable_traces(),
            job_kwargs=ONE_AT_A_TIME,
            **place,
        )
        analyzer.compute(
            {
                "random_spikes": {"max_spikes_per_unit": SPIKES_PER_UNIT, "seed": 0},
                "waveforms": {"ms_before": BEFORE_MS, "ms_after": AFTER_MS},
                "templates": {},
                "noise_levels": {},
            },
            **ONE_AT_A_TIME,
        )
    return analyzer


def write_analyzer(folder: Path, spikes: Spikes, recording: BaseRecording | None) -> None:
    """Write a `SortingAnalyzer` with the probabilities of spikes to a folder, which is replaced."""
    from spikesorter.io.probabilities import ComputeSpikeProbabilities

    assert recording is not None
    analyzer = make_analyzer(spikes, recording, folder=folder)
    analyzer.compute(ComputeSpikeProbabilities.extension_name, spikes=spikes)


def write_phy(folder: Path, spikes: Spikes, recording: BaseRecording | None) -> None:
    """Write a folder for Phy, which is replaced; probabilities become attributes of the spikes.

    Raises
    ------
    InputError
        If there are no spikes.
    """
    from spikeinterface.exporters import export_to_phy

    assert recording is not None
    known = spikes.select(spikes.unit != UNKNOWN)
    if len(known) == 0:
        raise InputError(
            "there are no spikes, and Phy cannot open a folder without spikes; choose another format"
        )
    names = {unit: spikes.name_of(unit) for unit in known.unit_ids}
    known = known.described(
        fs_hz=recording.get_sampling_frequency(), names=names
    )  # without units that have no spikes
    analyzer = make_analyzer(known, recording, numbered=True)
    shown = ["mean_probability"]
    if known.named_otherwise:
        analyzer.sorting.set_property("unit_name", np.array(list(names.values()), str))
        shown.append("unit_name")
    with _quiet():
        export_to_phy(
            analyzer,
            folder,
            compute_pc_features=min(known.counts().values()) >= LEAST_FOR_COMPONENTS,
            additional_properties=shown,
            remove_if_exists=True,
            use_relative_path=True,
            verbose=False,
            **ONE_AT_A_TIME,
        )
    for name in PROBABILITIES:
        np.save(folder / f"spike_{name}.npy", getattr(known, name))


def _with_probe(recording: BaseRecording) -> BaseRecording:
    """Return the recording; if it has no probe, a view of it with its channels along a line."""
    if recording.has_probe():
        return recording
    from probeinterface import generate_linear_probe

    channels = recording.get_num_channels()
    probe = generate_linear_probe(channels)
    probe.set_device_channel_indices(np.arange(channels))
    view = recording.select_channels(recording.channel_ids)
    view.set_probe(probe)
    return view


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        yield
