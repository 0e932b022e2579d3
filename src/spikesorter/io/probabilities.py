"""Probabilities of spikes in a `SortingAnalyzer` of SpikeInterface: extension "spike_probabilities"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from spikeinterface.core.analyzer_extension_core import BaseSpikeVectorExtension
from spikeinterface.core.sortinganalyzer import register_result_extension

from spikesorter.core.errors import InputError
from spikesorter.core.spike_arrays import Float32Array, Int64Array
from spikesorter.core.spikes import PROBABILITIES, Spikes

if TYPE_CHECKING:
    from spikeinterface.core import BaseSorting

__all__ = ["ComputeSpikeProbabilities", "compute_spike_probabilities"]


class ComputeSpikeProbabilities(BaseSpikeVectorExtension):  # type: ignore[misc]  # the base class has no types
    """The probability that each spike exists, and that it belongs to its unit.

    `analyzer.compute("spike_probabilities")` takes both from the sorting's properties `probability` and
    `unit_probability`, which `Spikes.to_spikeinterface` and the sorter "spikesorter" set. If the sorting has
    lost them, as in analyzers of format "zarr", `analyzer.compute("spike_probabilities", spikes=spikes)`
    takes them from a `Spikes`.

    `get_data()` returns the probability that each spike exists, in the order of the analyzer's spikes.
    `get_data(return_data_name="unit_probability")` returns the probability that it belongs to its unit, given
    that it exists. `get_data(outputs="by_unit")` returns a dict for each segment.

    The extension is saved, loaded, selected, split and soft-merged with the analyzer. A hard merge recomputes
    all extensions, which is not possible for this one. SpikeInterface 0.105 cannot split a unit while its
    sorting has array properties: delete `probability` and `unit_probability` with
    `analyzer.sorting.delete_property` once the extension is computed.

    Parameters
    ----------
    spikes : Spikes, optional
        The spikes of the analyzer's units, with the same names; other units are ignored.

    Raises
    ------
    InputError
        If the probabilities are not known, or are those of other spikes.
    """

    extension_name = "spike_probabilities"
    depend_on: ClassVar[list[str]] = []
    need_recording = False
    need_job_kwargs = False
    use_nodepipeline = False
    nodepipeline_variables = PROBABILITIES

    def __init__(self, sorting_analyzer: Any) -> None:
        super().__init__(sorting_analyzer)
        self._spikes: Spikes | None = None

    def _set_params(self, spikes: Spikes | None = None) -> dict[str, Any]:
        self._spikes = spikes  # not saved as a parameter: its probabilities are saved as data
        return {}

    def _run(self, verbose: bool = False) -> None:
        sorting = self.sorting_analyzer.sorting
        if sorting.get_num_segments() != 1:
            raise InputError(f"has {sorting.get_num_segments()} segments; probabilities need a single one")
        places = sorting.get_spike_vector_to_indices()[0]
        for name in PROBABILITIES:
            values = np.ones(len(sorting.to_spike_vector()), np.float32)
            for unit in sorting.unit_ids:
                if self._spikes is None:
                    values[places[unit]] = _from_property(sorting, unit, name)
                else:
                    values[places[unit]] = _from_spikes(sorting, unit, name, self._spikes)
            self.data[name] = values


def _from_property(sorting: BaseSorting, unit: Any, name: str) -> Float32Array:
    properties = sorting.get_property(name)
    if properties is None:
        raise InputError(
            f"the sorting has no property {name}; give the sorter's spikes (spikes=...). Sortings of other "
            "tools, analyzers of format zarr and merged units do not have it (compute the extension before a "
            "soft merge); analyzers that spikesorter wrote already have the extension"
        )
    values = np.asarray(properties[sorting.id_to_index(unit)], np.float32)
    expected = len(sorting.get_unit_spike_train(unit, segment_index=0))
    if values.shape != (expected,):
        raise InputError(
            f"unit {unit} has {expected} spikes, but {values.size} values of {name}: spikes were "
            "added or removed; give them as spikes=..."
        )
    return values


def _from_spikes(sorting: BaseSorting, unit: Any, name: str, spikes: Spikes) -> Float32Array:
    own = spikes.select(_named(spikes, str(unit)))
    train: Int64Array = sorting.get_unit_spike_train(unit, segment_index=0)
    if not np.array_equal(own.sample, train):
        raise InputError(f"unit {unit}: the given spikes are not those of the analyzer's unit")
    values: Float32Array = getattr(own, name)
    return values


def _named(spikes: Spikes, name: str) -> Any:
    return np.isin(spikes.unit, [unit for unit in spikes.unit_ids if spikes.name_of(unit) == name])


register_result_extension(ComputeSpikeProbabilities)
compute_spike_probabilities = ComputeSpikeProbabilities.function_factory()
