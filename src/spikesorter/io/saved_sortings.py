"""Read labels from sortings and analyzers that SpikeInterface saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikesorter.core.errors import InputError
from spikesorter.core.spikes import PROBABILITIES, Spikes
from spikesorter.io.bounds import check_archive
from spikesorter.io.foreign_objects import load_foreign

if TYPE_CHECKING:
    from spikeinterface.core import SortingAnalyzer

__all__ = ["read_sorting"]


def read_sorting(path: Path) -> Spikes:
    """Read a folder, `.zarr` or `.npz` of a sorting, or an analyzer with its probabilities, if it has any.

    Raises
    ------
    InputError
        If it holds anything else, or more than it states.
    """
    from spikeinterface.core import BaseSorting, NpzSortingExtractor, SortingAnalyzer

    from spikesorter.io.probabilities import ComputeSpikeProbabilities  # registers the extension

    if path.suffix.lower() == ".npz":
        check_archive(path)
    found = NpzSortingExtractor(path) if path.suffix.lower() == ".npz" else load_foreign(path)
    if isinstance(found, SortingAnalyzer):
        spikes = Spikes.from_spikeinterface(found.sorting)
        known = found.has_extension(ComputeSpikeProbabilities.extension_name)
        return _with_probabilities(spikes, found) if known else spikes
    if not isinstance(found, BaseSorting):
        raise InputError(f"{path}: holds a {type(found).__name__} of SpikeInterface, not a sorting")
    return Spikes.from_spikeinterface(found)


def _with_probabilities(spikes: Spikes, analyzer: SortingAnalyzer) -> Spikes:
    """Add the probabilities, which are stored in the order of the analyzer's spikes."""
    from spikesorter.io.probabilities import ComputeSpikeProbabilities

    number_of = {name: unit for unit, name in spikes.names.items()}
    unit_ids = np.array([number_of[str(unit)] for unit in analyzer.unit_ids], np.int64)
    vector = analyzer.sorting.to_spike_vector()
    stored = analyzer.get_extension(ComputeSpikeProbabilities.extension_name)
    values = {name: stored.get_data(return_data_name=name) for name in PROBABILITIES}
    return Spikes.from_arrays(
        vector["sample_index"],
        unit_ids[vector["unit_index"]],
        **values,
        fs_hz=spikes.fs_hz,
        names=spikes.names,
        bad=spikes.bad,
    )
