"""Use the sorter inside SpikeInterface; importing this module registers it.

``import spikesorter.integrations.spikeinterface`` adds to SpikeInterface the sorter "spikesorter"
(`spikeinterface.sorters.run_sorter("spikesorter", recording, folder=..., model="MODEL")`; without a model it
discovers the units) and the analyzer extension "spike_probabilities". SpikeInterface has no entry points, so
each process must import the module.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from spikeinterface.sorters import BaseSorter, sorterlist

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.cores import effective_n_jobs
from spikesorter.core.errors import InputError, ModelError, SettingsError
from spikesorter.core.spike_arrays import FIELDS
from spikesorter.core.spikes import Spikes
from spikesorter.core.versions import __version__
from spikesorter.io.atomic import atomic_file, write_json
from spikesorter.io.probabilities import ComputeSpikeProbabilities, compute_spike_probabilities
from spikesorter.sorting.finding.hints import Hints
from spikesorter.sorting.model import load_sorters, nearest_sorter
from spikesorter.sorting.sorter import Sorter
from spikesorter.sorting.state import check_threshold

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording, NumpySorting

__all__ = [
    "ComputeSpikeProbabilities",
    "SpikesorterSorter",
    "compute_spike_probabilities",
    "register_sorter",
]

SPIKES = "spikes.npz"
HEADER, UNITS, MODEL = "spikes.json", "units.json", "model"


class SpikesorterSorter(BaseSorter):  # type: ignore[misc]  # the base class has no types
    """The sorter "spikesorter" of SpikeInterface, which sorts with a model fitted beforehand, or without.

    Without a model, units are discovered (`Sorter.discover`), and each has the property `verdict`. With one,
    `run_sorter` returns a sorting of all labelled units, including those without spikes. Units have the names
    in the labels, and the sorting has the properties and the annotation `bad_stretches` of
    `Spikes.to_spikeinterface`. See `spikeinterface.sorters.get_sorter_params_description("spikesorter")`.
    """

    sorter_name = "spikesorter"
    requires_locations = False
    gpu_capability = "not-supported"
    requires_binary_data = False
    handle_multi_segment = False
    sorter_description = (
        "Sorts the spikes of known units, learnt from one labelled recording of the same electrode, in "
        "noisier recordings, or discovers the units; each spike has a probability. For one or a few channels."
    )
    installation_mesg = "pip install neural-spike-sorter"

    _default_params: ClassVar[dict[str, Any]] = {
        "model": None,
        "adapt": True,
        "threshold": None,
        "n_units": None,
        "polarity": None,
        "n_jobs": None,
    }
    _params_description: ClassVar[dict[str, str]] = {
        "model": "Folder of the model, from Sorter.save, `spikesorter train` or `spikesorter run`; units are "
        "discovered if None. "
        "{group} in the path is replaced by the recording's property `group` (or another property with one "
        "value on all channels), so that each tetrode can have its own model",
        "adapt": "Adapt to this recording first, which takes some seconds (default). If False, use the "
        "model's sorter for the target most similar in noise and gain",
        "threshold": "Least probability of a spike, 0 to 1, for all units; tuned if None",
        "n_units": "Without a model: how many units there are; found if None",
        "polarity": "Without a model: negative or positive, if all spikes are; either if None",
        "n_jobs": "Number of threads; -1 or None: one on each core. It does not affect the result",
    }

    @classmethod
    def is_installed(cls) -> bool:
        """Return True: the sorter is part of this package."""
        return True

    @classmethod
    def get_sorter_version(cls) -> str:
        """Return the version of `neural-spike-sorter`."""
        return __version__

    @classmethod
    def _check_params(cls, recording: BaseRecording, output_folder: Path, params: dict[str, Any]) -> Any:
        check_threshold(params["threshold"])
        effective_n_jobs(params["n_jobs"])  # refuses invalid values
        if not params["model"]:
            Hints(params["n_units"], params["polarity"])  # refuses invalid values
            if params["threshold"] is not None:
                raise SettingsError("threshold: without a model, it is found; leave it out")
            return params
        if params["n_units"] is not None or params["polarity"] is not None:
            raise SettingsError("n_units, polarity: a model knows its units; leave them out")
        model = Path(_filled_in(str(params["model"]), recording)).expanduser().absolute()
        if not model.is_dir():
            raise ModelError(
                f"{model}: no such model folder; make one with Sorter.save or `spikesorter train`"
            )
        return {**params, "model": str(model)}

    @classmethod
    def _setup_recording(cls, recording: Any, sorter_output_folder: Any, params: Any, verbose: bool) -> None:
        """Do nothing: the recording is read directly."""

    @classmethod
    def _run_from_folder(cls, sorter_output_folder: Path, params: dict[str, Any], verbose: bool) -> None:
        recording = cls.load_recording_from_folder(sorter_output_folder.parent)
        if not params["model"]:
            _discover(recording, Path(sorter_output_folder), params)
            return
        model, n_jobs = Path(params["model"]), params["n_jobs"]
        if params["adapt"]:
            sorter = Sorter.load(model).adapt(recording, n_jobs=n_jobs)
        else:
            sorters = load_sorters(model)
            name, _ = nearest_sorter(sorters, recording)
            sorter = sorters[name]
        spikes = sorter.with_working_point(threshold=params["threshold"]).sort(recording, n_jobs=n_jobs)
        rate = float(recording.get_sampling_frequency())
        _write_spikes(sorter_output_folder, spikes.described(fs_hz=rate, names=spikes.names))

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder: Path) -> NumpySorting:
        folder = Path(sorter_output_folder)
        sorting = _read_spikes(folder).to_spikeinterface()
        if (folder / UNITS).exists():
            described = json.loads((folder / UNITS).read_text(encoding="utf-8"))["units"]
            verdicts = {row["unit"]: row["verdict"] for row in described}
            sorting.set_property("verdict", np.array([verdicts[int(u)] for u in sorting.get_unit_ids()], str))
        return sorting


def register_sorter() -> None:
    """Register the sorter with SpikeInterface in this process, as importing the module does.

    Calling it again changes nothing.
    """
    name = SpikesorterSorter.sorter_name
    others = [sorter for sorter in sorterlist.sorter_full_list if sorter.sorter_name != name]
    sorterlist.sorter_full_list[:] = [*others, SpikesorterSorter]
    sorterlist.sorter_dict[name] = SpikesorterSorter


def _discover(recording: BaseRecording, folder: Path, params: dict[str, Any]) -> None:
    """Discover the units of a recording; write its spikes, what the units are worth, and the model."""
    found = Sorter.discover(
        recording, n_units=params["n_units"], polarity=params["polarity"], n_jobs=params["n_jobs"]
    )
    write_json(folder / UNITS, {"units": [unit.row() for unit in found.units]})
    if found.sorter is not None:
        found.sorter.save(folder / MODEL)
    rate = float(recording.get_sampling_frequency())
    _write_spikes(folder, found.spikes.described(fs_hz=rate, names=found.spikes.names))


def _filled_in(model: str, recording: BaseRecording) -> str:
    """Replace names in braces by properties of the recording."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(model) if name is not None}
        return model.format(**{name: _common_property(recording, name) for name in names})
    except (ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{model}: cannot be parsed: {error}; braces must contain the name of a property"
        ) from None


def _common_property(recording: BaseRecording, name: str) -> Any:
    values = recording.get_property(name)
    known = [] if values is None else np.unique(values).tolist()
    if len(known) != 1:
        found = "has no property" if values is None else f"has {len(known)} values of the property"
        raise InputError(
            f"{{{name}}} in the model's path: the recording {found} {name}; it must have one value on all "
            "channels, as after split_by and in run_sorter_by_property"
        )
    return known[0]


def _write_spikes(folder: Path, spikes: Spikes) -> None:
    header = {
        "fs_hz": spikes.fs_hz,
        "names": [[unit, name] for unit, name in spikes.names.items()],
        "bad": [list(stretch) for stretch in spikes.bad],
        "doubts": spikes.doubts,
    }
    with atomic_file(folder / HEADER) as temporary:
        temporary.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    with atomic_file(folder / SPIKES) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: getattr(spikes, name) for name in FIELDS})


def _read_spikes(folder: Path) -> Spikes:
    header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    with np.load(folder / SPIKES, allow_pickle=False) as stored:
        return Spikes(
            *(stored[name] for name in FIELDS),
            fs_hz=header["fs_hz"],
            names=dict(map(tuple, header["names"])),
            bad=BadStretches.of([tuple(stretch) for stretch in header.get("bad", ())]),
            doubts=tuple(header.get("doubts", ())),
        )


register_sorter()
