"""NWB files of other programs; see also test_export.py and test_labels.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spikesorter.core.spikes import Spikes
from spikesorter.io.nwb import _invalid_times, _with_columns


def test_nothing_is_added_to_units_that_are_not_in_a_file_of_hdf5(tmp_path: Path) -> None:
    """Such as those of a folder of zarr, which is never written here."""
    spikes = Spikes([5, 9], [1, 2])
    sorting: Any = None  # not used
    assert _with_columns(tmp_path, sorting, spikes) is spikes
    assert len(_invalid_times(tmp_path, sorting)) == 0
