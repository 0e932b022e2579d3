from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spikesorter import write_spikes
from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError
from spikesorter.core.spikes import Spikes
from spikesorter.io.events import Events
from spikesorter.io.mat_writing import write_mat
from spikesorter.report.peri_events import write_peri_events
from spikesorter.report.scoring import compare_files, mismatches_of_files, score_files, unpredicted

TRUE = Spikes.from_arrays([100, 900, 2000, 3000], [1, 2, 1, 3], fs_hz=25_000.0)


@pytest.mark.parametrize("name", ["mat", "csv", "parquet", "nwb"])
def test_sortings_of_any_format_are_scored(name: str, tmp_path: Path) -> None:
    write_mat(tmp_path / "truth.mat", TRUE)
    write_spikes(tmp_path / f"found.{name}", TRUE)
    scores = score_files(tmp_path / "truth.mat", tmp_path / f"found.{name}")
    assert scores["found"].strict == 1.0


@pytest.mark.parametrize("name", ["mat", "csv"])
def test_files_are_scored_at_the_rate_that_they_state(name: str, tmp_path: Path) -> None:
    """Twelve samples are 0.4 ms at 30 kHz, and would be 0.48 ms at 25 kHz."""
    truth = TRUE.described(fs_hz=30_000.0, names={})
    write_spikes(tmp_path / f"truth.{name}", truth)
    write_spikes(tmp_path / f"found.{name}", truth.shifted(12))
    paths = (tmp_path / f"truth.{name}", tmp_path / f"found.{name}")
    assert score_files(*paths)["found"].strict == 1.0
    assert compare_files(*paths)["found"].accuracy == 1.0


def test_the_truth_comes_first(tmp_path: Path) -> None:
    write_mat(tmp_path / "truth.mat", TRUE)
    write_mat(tmp_path / "found.mat", TRUE[:3])
    paths = (tmp_path / "truth.mat", tmp_path / "found.mat")
    (scored,), (compared,) = score_files(*paths).values(), compare_files(*paths).values()
    assert (scored.precision, scored.recall) == (1.0, 0.75)
    assert [unit.found_as for unit in compared.units] == ["1", "2", None]


@pytest.mark.filterwarnings("ignore:The extractor is not serializable")
def test_a_folder_that_is_one_sorting_is_no_folder_of_sortings(tmp_path: Path) -> None:
    sorting = TRUE.to_spikeinterface()
    for name in ("probability", "unit_probability"):
        sorting.delete_property(name)
    sorting.save(folder=tmp_path / "found")
    write_mat(tmp_path / "truth.mat", TRUE)
    assert score_files(tmp_path / "truth.mat", tmp_path / "found")["found"].score == 1.0


def test_folders_may_hold_different_formats(tmp_path: Path) -> None:
    for name in ("D2", "D3"):
        write_spikes(tmp_path / "found" / f"{name}.csv", TRUE)
        write_mat(tmp_path / "truth" / f"{name}.mat", TRUE)
    assert set(score_files(tmp_path / "truth", tmp_path / "found")) == {"D2", "D3"}
    (tmp_path / "found" / "D3.csv").unlink()
    assert unpredicted(tmp_path / "truth", tmp_path / "found") == ["D3"]
    write_mat(tmp_path / "found" / "D2.mat", TRUE)
    with pytest.raises(InputError, match="has the same name as"):
        score_files(tmp_path / "truth", tmp_path / "found")


def test_units_are_matched_by_their_names(tmp_path: Path) -> None:
    named = TRUE.described(fs_hz=25_000.0, names={1: "a", 2: "b", 3: "c"})
    write_spikes(tmp_path / "truth.csv", named)
    write_spikes(tmp_path / "found.csv", named.select(named.unit != 1))  # b and c are read as 1 and 2
    score = score_files(tmp_path / "truth.csv", tmp_path / "found.csv")["found"]
    assert score.strict_of == {1: 0.0, 2: 1.0, 3: 1.0}
    assert [score.name_of(unit) for unit in score.unit_ids] == ["a", "b", "c"]


@pytest.mark.parametrize("names", [("truth.tsv", "found.csv"), ("found.csv", "truth.tsv")])
def test_times_are_of_the_rate_that_the_other_side_states(names: tuple[str, str], tmp_path: Path) -> None:
    write_spikes(tmp_path / "found.csv", TRUE)
    times = "".join(
        f"{sample / 25_000}\t{unit}\n" for sample, unit in zip(TRUE.sample, TRUE.unit, strict=True)
    )
    (tmp_path / "truth.tsv").write_text(f"time_s\tunit\n{times}")
    (scored,) = score_files(*(tmp_path / name for name in names)).values()
    assert scored.strict == 1.0
    with pytest.raises(
        InputError, match="truth.tsv: holds times in seconds; give the recording's sampling rate"
    ):
        score_files(tmp_path / "truth.tsv", tmp_path / "truth.tsv")


def test_sortings_that_count_differently_are_not_compared(tmp_path: Path) -> None:
    write_spikes(tmp_path / "found.csv", TRUE.described(fs_hz=30_000.0, names={}))
    write_spikes(tmp_path / "truth.csv", TRUE)
    with pytest.raises(InputError, match="is sampled at 30000 Hz, but .* at 25000 Hz"):
        score_files(tmp_path / "truth.csv", tmp_path / "found.csv")


def test_a_folder_without_sortings_is_refused(tmp_path: Path) -> None:
    for name in ("found", "truth"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="contains no .mat files or other sortings"):
        score_files(tmp_path / "truth", tmp_path / "found")


def test_tables_of_spikes_around_events_are_no_sortings(tmp_path: Path) -> None:
    write_mat(tmp_path / "truth" / "D6.mat", TRUE)
    write_mat(tmp_path / "found" / "D6.mat", TRUE)
    events = Events(TRUE.sample[:2] / 25_000.0, ("", ""))
    write_peri_events(tmp_path / "found" / "D6-events.csv", TRUE, events, fs_hz=25_000.0)
    scores = score_files(tmp_path / "truth", tmp_path / "found", fs_hz=25_000.0)
    assert {name: one.score for name, one in scores.items()} == {"D6": 1.0}


def test_tables_of_bad_stretches_are_no_sortings_but_count(tmp_path: Path) -> None:
    """The truth of a study lists bad stretches itself, in samples; a result in CSV has a table beside it."""
    bad = BadStretches.of([(850, 950, "artefact")])
    write_mat(tmp_path / "truth" / "D6.mat", replace(TRUE, bad=BadStretches.of([(1990, 2010, "given")])))
    write_spikes(tmp_path / "found" / "D6.csv", replace(TRUE.select(TRUE.unit == 3), bad=bad))
    scores = score_files(tmp_path / "truth", tmp_path / "found")
    assert list(scores) == ["D6"]
    assert (scores["D6"].recall, scores["D6"].left_out_s) == (0.5, pytest.approx(120 / 25_000))
    assert compare_files(tmp_path / "truth", tmp_path / "found")["D6"].recall == 0.5


def test_results_that_mark_another_point_are_told_with_their_file(tmp_path: Path) -> None:
    truth = Spikes.from_arrays(range(1000, 901_000, 9000), [1] * 100, fs_hz=30_000.0)
    write_mat(tmp_path / "truth.mat", truth)
    write_mat(tmp_path / "found.mat", truth.shifted(30))
    (said,) = mismatches_of_files(tmp_path / "truth.mat", tmp_path / "found.mat")
    assert said.startswith("found: found spikes are 1 ms later than true ones")
    assert mismatches_of_files(tmp_path / "truth.mat", tmp_path / "truth.mat") == []
