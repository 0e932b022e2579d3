"""Results as MATLAB structs, one for each unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from spikesorter.core.errors import InputError
from spikesorter.report.results import Result
from spikesorter.report.unit_structs import export_units
from spikesorter.workflows.exporting import export_results
from tests.cli.test_cli import spikesorter
from tests.conftest import FS_HZ


def test_each_unit_is_a_struct_with_its_spikes_and_template(
    sorted_study: Path, results: list[Result], tmp_path: Path
) -> None:
    written = export_units(sorted_study, tmp_path)
    assert [path.name for path in written] == ["D2-units.mat", "D3-units.mat"]
    for path, result in zip(written, results, strict=True):
        contents = scipy.io.loadmat(path)
        units = contents["units"]
        assert (units.shape, contents["fs"].item()) == ((1, 3), FS_HZ)
        for struct, unit in zip(units[0], result.sorter.units.known, strict=True):
            train = result.spikes.of(unit)
            assert (struct["id"].item(), struct["name"].item()) == (unit, str(unit))
            assert struct["samples"].shape == (len(train), 1)
            np.testing.assert_array_equal(struct["samples"].ravel(), train.sample)
            np.testing.assert_allclose(struct["times_s"].ravel(), train.sample / FS_HZ)
            np.testing.assert_array_equal(struct["probability"].ravel(), train.joint)
            peak = struct["template"][:, 0].argmax() - (struct["template_start"].item() - 1)
            assert 0 < peak < 40  # samples after the start
        gain = result.sorter.profile.factors[0]
        own = result.sorter.units.templates.waveforms[0] * gain
        np.testing.assert_allclose(units[0, 0]["template"], own, rtol=1e-5)
    before = written[0].read_bytes()
    export_units(sorted_study, tmp_path)
    assert written[0].read_bytes() == before


def test_other_files_are_not_replaced(sorted_study: Path, tmp_path: Path) -> None:
    (tmp_path / "D3-units.mat").write_bytes(b"of a user")
    with pytest.raises(InputError, match=r"D3-units\.mat: exists and was not written by spikesorter"):
        export_units(sorted_study, tmp_path)
    assert not (tmp_path / "D2-units.mat").exists()
    with pytest.raises(InputError, match="has no results"):
        export_units(tmp_path, tmp_path)


def test_the_command_names_the_files(sorted_study: Path, tmp_path: Path) -> None:
    said = spikesorter("export", sorted_study, "--to", "mat-units", "--out", tmp_path).stderr
    assert [line.split("Written: ")[1] for line in said.splitlines() if "Written" in line] == [
        str(tmp_path / "D2-units.mat"),
        str(tmp_path / "D3-units.mat"),
    ]


def test_a_subject_that_the_structs_cannot_hold_is_refused(sorted_study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stored in NWB files only; write nwb, not mat-units"):
        export_results(sorted_study, tmp_path, to="mat-units", subject=tmp_path / "subject.toml")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_told_with_all_that_are_known(sorted_study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown format 'docx'; .*analyzer, mat-units, nex5, nex, bids"):
        export_results(sorted_study, tmp_path, to="docx")
