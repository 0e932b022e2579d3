"""The command line as a user meets it: quick checks here, whole runs in test_main_job.py."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.io

from spikesorter.cli import main
from spikesorter.core.spikes import Spikes
from spikesorter.io.export import write_spikes
from spikesorter.io.mat_writing import write_mat
from tests.conftest import PURSUIT

ENVIRONMENT = {**os.environ, "COLUMNS": "200"}
PROGRAM = Path(sys.executable).parent / ("spikesorter.exe" if os.name == "nt" else "spikesorter")
COMMANDS = (
    "run",
    "train",
    "discover",
    "sort",
    "batch",
    "listen",
    "view",
    "export",
    "evaluate",
    "simulate",
    "config",
    "plot",
    "export",
    "model",
)


class Outcome(NamedTuple):
    stdout: str
    stderr: str


def in_new_process(*words: object, rc: int = 0, **environment: str) -> Outcome:
    """Run the installed program, as a user does."""
    result = subprocess.run(
        [str(PROGRAM), *map(str, words)], capture_output=True, text=True, env=ENVIRONMENT | environment
    )
    assert result.returncode == rc, result.stderr
    return Outcome(result.stdout, result.stderr)


def spikesorter(*words: object, rc: int = 0) -> Outcome:
    """Run the command line here: the same code, without seconds of imports each time."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["spikesorter", *map(str, words)])
        patch.setenv("COLUMNS", ENVIRONMENT["COLUMNS"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == rc, err.getvalue()
    return Outcome(out.getvalue(), err.getvalue())


def save(path: Path, **variables: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables)
    return path


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(30_000)


@pytest.fixture
def labels() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {"Index": rng.integers(100, 29_000, 60), "Class": rng.integers(1, 3, 60)}


def test_python_m_is_the_program_too() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "spikesorter", "--version"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    assert said.stdout == in_new_process("--version").stdout


def test_help_names_every_command() -> None:
    text = in_new_process("--help").stdout
    for command in COMMANDS:
        assert command in text
        assert "--help" in spikesorter(command, "--help").stdout
    assert spikesorter("--version").stdout.startswith("spikesorter 0.")


def test_config_prints_settings_that_can_be_read_back(tmp_path: Path) -> None:
    text = spikesorter("config", "--preset", "published", "--set", "seed=5").stdout
    (tmp_path / "my.toml").write_text(text)
    assert spikesorter("config", "--config", tmp_path / "my.toml").stdout == text
    assert "did you mean" in spikesorter("config", "--set", "sed=5", rc=2).stderr


def study(folder: Path, noise: np.ndarray, labels: dict[str, Any], **changes: Any) -> Path:
    """A study of D1 and D2; a change replaces a variable of D1, `d2` those of D2."""
    target = changes.pop("d2", {"d": noise})
    d1 = {"d": noise, **labels, **changes}
    save(folder / "D1.mat", **{name: value for name, value in d1.items() if value is not None})
    save(folder / "D2.mat", **target)
    return folder


@pytest.mark.parametrize(
    ("changes", "file", "cause"),
    [
        ({"Index": None, "Class": None}, "D1.mat", "has no labels"),
        ({"d": None}, "D1.mat", "has no variable d"),
        ({"d": np.ones(30_000)}, "D1.mat", "constant"),
        ({"Index": np.full(60, 30_000)}, "D1.mat", "has only 30000 samples"),
        ({"Index": np.full(60, -4)}, "D1.mat", "found -4"),
        ({"Index": np.full(60, 4.5)}, "D1.mat", "fractional"),
        ({"Class": np.ones(59)}, "D1.mat", "60 entries, but Class has 59"),
        ({"d2": {"x": 1}}, "D2.mat", "has no variable d"),
        ({"d2": {"d": np.full(30_000, np.nan)}}, "D2.mat", "NaN"),
        ({"d2": {"d": np.sin(np.arange(90.0))}}, "D2.mat", "only 90 samples long"),
        ({"d2": {"d": np.sin(np.arange(9e4)), "fs": 30_000}}, "D2.mat", "sampled at 30000 Hz"),
    ],
)
def test_bad_input_gets_one_clear_line_and_nothing_is_written(
    changes: dict[str, Any],
    file: str,
    cause: str,
    noise: np.ndarray,
    labels: dict[str, Any],
    tmp_path: Path,
) -> None:
    folder = study(tmp_path / "study", noise, labels, **changes)
    result = spikesorter("run", folder, "--out", tmp_path / "out", rc=2)
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"spikesorter: error: {folder / file}")
    assert cause in lines[0]
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_the_program_ends_with_the_same_code_and_line(tmp_path: Path) -> None:
    result = in_new_process("run", tmp_path / "nowhere", "--out", tmp_path / "out", rc=2)
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("spikesorter: error: ")


def test_another_keras_backend_is_refused(tmp_path: Path) -> None:
    words = ("run", tmp_path, "--out", tmp_path / "out")
    result = in_new_process(*words, rc=2, KERAS_BACKEND="torch")
    assert "KERAS_BACKEND is 'torch'; unset it" in result.stderr


def test_studies_that_are_none_are_refused(tmp_path: Path, noise: np.ndarray) -> None:
    out = tmp_path / "out"
    assert "no such folder" in spikesorter("run", tmp_path / "nowhere", "--out", out, rc=2).stderr
    assert "D1.mat: no such file" in spikesorter("run", tmp_path, "--out", out, rc=2).stderr
    save(tmp_path / "D1.mat", d=noise, Index=[5], Class=[1])
    assert "has no targets" in spikesorter("run", tmp_path, "--out", out, rc=2).stderr
    assert not out.exists()


def test_sorting_without_a_model_or_with_settings_that_are_fixed_is_refused(tmp_path: Path) -> None:
    words = ("sort", tmp_path / "a.mat", "--model", tmp_path / "no", "--out", tmp_path / "out")
    assert "no such model folder" in spikesorter(*words, rc=2).stderr
    assert "fixed by training" in spikesorter(*words, "--set", "seed=1", rc=2).stderr
    (tmp_path / "no").mkdir()
    assert "is not a model folder" in spikesorter(*words, rc=2).stderr
    told = spikesorter("sort", tmp_path / "a.mat", "--out", tmp_path / "out", rc=2).stderr
    assert "--model FOLDER is missing" in told
    assert "spikesorter discover" in told
    assert not (tmp_path / "out").exists()


def test_evaluate_scores_files_and_folders(tmp_path: Path) -> None:
    true = Spikes.from_arrays([100, 900, 2000], [1, 2, 1])
    for name in ("D2", "D10"):
        write_mat(tmp_path / "found" / f"{name}.mat", true.shifted(20))
        write_mat(tmp_path / "truth" / f"{name}.mat", true)
    report = json.loads(spikesorter("evaluate", tmp_path / "found", tmp_path / "truth", "--json").stdout)
    assert list(report["recordings"]) == ["D2", "D10"]
    assert report["study"] == 1.0
    assert report["recordings"]["D2"]["strict"] == 0.0
    files = (tmp_path / "found" / "D2.mat", tmp_path / "truth" / "D2.mat")
    table = spikesorter("evaluate", *files).stdout
    assert "1.000" in table
    assert "missed" in table
    assert "two files or two folders" in spikesorter("evaluate", files[0], tmp_path, rc=2).stderr
    (tmp_path / "found" / "D10.mat").rename(tmp_path / "D10.mat")
    result = spikesorter("evaluate", tmp_path / "found", tmp_path / "truth", "--json")
    assert "no predictions for D10" in result.stderr
    assert "study" not in json.loads(result.stdout)
    (tmp_path / "D10.mat").rename(tmp_path / "found" / "D10.mat")
    (tmp_path / "truth" / "D10.mat").unlink()
    result = spikesorter("evaluate", tmp_path / "found", tmp_path / "truth", rc=2)
    assert "D10.mat: no such file" in result.stderr


def test_evaluate_also_judges_each_unit_as_spikeinterface_does(tmp_path: Path) -> None:
    true = Spikes.from_arrays([100, 900, 2000, 3000], [1, 2, 1, 1])
    write_mat(tmp_path / "truth.mat", true)
    other = Spikes.from_arrays([105, 900, 2000, 5000], [7, 1, 7, 7])  # other names, one missed, one false
    write_mat(tmp_path / "found.mat", other)
    words = ("evaluate", tmp_path / "found.mat", tmp_path / "truth.mat")
    verdict = json.loads(spikesorter(*words, "--json").stdout)["recordings"]["found"]["comparison"]
    assert [unit["found_as"] for unit in verdict["units"]] == ["7", "1"]
    assert [unit["accuracy"] for unit in verdict["units"]] == [0.5, 1.0]
    assert verdict["accuracy"] == 0.75
    assert "0.667" in spikesorter(*words).stdout
    by_name = spikesorter(*words, "--pairing", "name").stdout
    assert "no true unit for 7" in by_name
    write_mat(tmp_path / "found.mat", Spikes.empty())
    nothing = json.loads(spikesorter(*words, "--json").stdout)["recordings"]["found"]["comparison"]
    assert [unit["accuracy"] for unit in nothing["units"]] == [0, 0]


def test_evaluate_calls_units_by_their_names_and_says_when_none_is_shared(tmp_path: Path) -> None:
    true = Spikes.from_arrays([100, 900, 2000], [1, 2, 1], fs_hz=25_000.0, names={1: "basket", 2: "[b]x[/b]"})
    write_spikes(tmp_path / "truth.csv", true)
    write_spikes(tmp_path / "found.csv", true)
    alike = spikesorter("evaluate", tmp_path / "found.csv", tmp_path / "truth.csv").stdout
    confusion = alike[alike.index("true units (rows)") : alike.index("SpikeInterface's comparison")]
    assert "basket" in confusion
    assert "[b]x[/b]" in confusion
    assert "no found unit has the name" not in alike
    write_spikes(tmp_path / "found.csv", true.described(fs_hz=25_000.0, names={1: "unit a", 2: "unit b"}))
    other = spikesorter("evaluate", tmp_path / "found.csv", tmp_path / "truth.csv").stdout
    said = "found: no found unit has the name of a true unit. Scores pair units by name, SpikeInterface's"
    assert sum(line.startswith(said) for line in other.splitlines()) == 1


def test_evaluate_reads_the_rate_from_the_truth_or_the_command_line(tmp_path: Path) -> None:
    write_mat(tmp_path / "found.mat", Spikes.from_arrays([112], [1]))
    save(tmp_path / "truth.mat", Index=[100], Class=[1])
    words = ("evaluate", tmp_path / "found.mat", tmp_path / "truth.mat", "--json")
    strict = [
        json.loads(spikesorter(*words, *extra).stdout)["recordings"]["found"]["strict"]
        for extra in ((), ("--fs", "30000"))
    ]
    assert strict == [0.0, 1.0]


def test_simulate_writes_a_study(tmp_path: Path) -> None:
    spikesorter("simulate", tmp_path, "--seconds", 2, "--noise", 0.5, "--noise", 2, "--units", 3, "--seed", 4)
    assert {path.name for path in tmp_path.glob("*.mat")} == {"D1.mat", "D2.mat", "D3.mat"}
    assert {path.name for path in (tmp_path / "truth").glob("*.mat")} == {"D1.mat", "D2.mat", "D3.mat"}
    assert "Index" in scipy.io.loadmat(tmp_path / "D1.mat")
    assert "Index" not in scipy.io.loadmat(tmp_path / "D2.mat")


def test_simulate_leaves_no_targets_of_another_study_beside_its_own(tmp_path: Path) -> None:
    words = ("simulate", tmp_path, "--seconds", 1, "--units", 1, "--noise", 1)
    spikesorter(*words, "--noise", 2)
    spikesorter(*words, "--noise", 3)  # replaces all of it
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.mat")}
    said = spikesorter(*words, rc=2).stderr
    assert "holds D3.mat of another study" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.mat")} == before


def test_plot_draws_what_was_found(study_folder: Path, tmp_path: Path) -> None:
    truth = study_folder / "truth" / "D2.mat"
    picture = tmp_path / "d2.png"
    spikesorter("plot", study_folder / "D2.mat", "--out", picture, "--found", truth, "--truth", truth)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_recordings_are_not_overwritten(tmp_path: Path, noise: np.ndarray, labels: dict[str, Any]) -> None:
    folder = study(tmp_path / "study", noise, labels)
    before = {path: path.read_bytes() for path in folder.rglob("*.mat")}
    assert "not written by spikesorter" in spikesorter("simulate", folder, rc=2).stderr
    words = ("train", folder / "D1.mat", "--model")
    assert "exists and is not a model" in spikesorter(*words, folder, rc=2).stderr
    assert "exists and is not a model" in spikesorter(*words, folder / "D1.mat", rc=2).stderr
    assert "is a file, but a folder" in spikesorter(*words, folder / "D1.mat" / "x", rc=2).stderr
    assert "is a file" in spikesorter("run", folder, "--out", folder / "D2.mat", rc=2).stderr
    assert before == {path: path.read_bytes() for path in folder.rglob("*.mat")}


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "a.mat", "b.mat", "--fs", "0"),
        ("evaluate", "a.mat", "b.mat", "--fs", "-5"),
        ("simulate", "out", "--noise", "nan"),
        ("simulate", "out", "--noise", "-1"),
        ("plot", "a.mat", "--out", "a.png", "--start", "inf"),
        ("plot", "a.mat", "--out", "a.png", "--fs", "nan"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: np.ndarray
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.mat", d=noise, Index=[1], Class=[1])
    save(tmp_path / "b.mat", Index=[1], Class=[1])
    spikesorter(*words, rc=2)
    assert {path.name for path in tmp_path.iterdir()} <= {"a.mat", "b.mat"}


@pytest.mark.slow
def test_sort_says_what_it_found_in_words_or_in_json(
    sorted_study: Path, study_folder: Path, tmp_path: Path
) -> None:
    words = ("sort", study_folder / "D3.mat", "--model", sorted_study / "model", "--out", tmp_path)
    told = spikesorter(*words)
    assert re.search(
        r"D3\.mat: \d+ spikes \(as adapted to D3\), forecast [01]\.\d{3} ± 0\.\d{3}\n", told.stderr
    )
    assert "; see " in told.stdout
    assert "report.html" in told.stdout
    assert "\x1b" not in told.stdout + told.stderr
    exact = spikesorter(*words, "--json", "--no-report")
    (one,) = json.loads(exact.stdout)["recordings"]
    assert (one["adapted_to"], one["result"]) == ("D3", str(tmp_path / "D3.mat"))
    assert f"{one['spikes']} spikes" in told.stderr
    assert 0 < one["sorters"][""]["forecast"]["score"] <= 1
    assert exact.stderr == ""
    assert not (tmp_path / "report.html").exists()
    quiet = in_new_process(*words, "--quiet", "--no-report")
    assert (quiet.stdout, quiet.stderr) == ("", "")


@pytest.mark.slow
def test_train_says_a_line_for_each_recording_or_json(study_folder: Path, tmp_path: Path) -> None:
    sets = [word for assignment in PURSUIT for word in ("--set", assignment)]
    words = ("train", study_folder / "D1.mat", "--targets", study_folder / "D3.mat")
    told = spikesorter(*words, "--model", tmp_path / "a", *sets)
    number = r"[\d.]+"
    for name in ("D1", "D3"):
        found = rf"{name}: noise {number}, gain {number}, {number} spikes/s, pursuit"
        assert re.search(rf"{found}, forecast {number} ± {number}", told.stderr)
    exact = json.loads(spikesorter(*words, "--model", tmp_path / "b", *sets, "--json").stdout)
    assert list(exact["recordings"]) == ["D1", "D3"]
    assert exact["recordings"]["D3"]["decoder"] == "pursuit"


def test_an_interruption_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    at_end: list[object] = []
    monkeypatch.setattr("spikesorter.cli.atexit.register", at_end.append)
    monkeypatch.setattr("spikesorter.estimation.simulate.simulate_study", interrupted)
    said = spikesorter("simulate", tmp_path / "study", rc=130).stderr
    assert said.strip() == "spikesorter: interrupted; the files written so far are complete"
    assert gc.freeze in at_end  # or Python looks for cycles in all modules


def test_shells_can_complete_commands() -> None:
    script = in_new_process(_SPIKESORTER_COMPLETE="source_bash").stdout
    assert "complete -o default -F" in script
    asked = {"_SPIKESORTER_COMPLETE": "complete_bash", "COMP_WORDS": "spikesorter so", "COMP_CWORD": "1"}
    assert in_new_process(**asked).stdout.split() == ["sort"]


@pytest.mark.skipif(os.name == "nt", reason="no such names")
def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b]0;title\x07\u202eb\n"
    said = spikesorter("simulate", folder / "study", "--seconds", "1", "--units", "1")
    assert r"a\x1b]0;title\x07\u202eb\x0a/study" in said.stdout
    refused = spikesorter("plot", folder / "none.mat", "--out", tmp_path / "a.png", rc=2)
    assert r"a\x1b]0;title\x07\u202eb" in refused.stderr
    assert not {"\x1b", "\u202e", "\x07"} & {*said.stdout, *said.stderr, *refused.stderr}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [str(PROGRAM), "config"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
    assert ended.returncode == 2
    assert ended.stderr == "spikesorter: error: the output cannot be written: No space left on device\n"


def test_python_without_docstrings_is_said(tmp_path: Path) -> None:
    """SpikeInterface cannot be imported then, which looked like a damaged recording."""
    said = in_new_process("config", rc=2, PYTHONOPTIMIZE="2").stderr
    assert said.startswith("spikesorter: error: Python runs without docstrings (-OO")
    assert len(said.splitlines()) == 1
    assert in_new_process("config", PYTHONOPTIMIZE="1").stderr == ""


def test_terminals_without_unicode_get_escapes(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    refused = in_new_process("plot", tmp_path / "höhle.mat", "--out", tmp_path / "a.png", rc=2, **plain)
    assert refused.stderr.isascii()
    assert refused.stderr.endswith("hle.mat: no such file\n")
    assert len(refused.stderr.splitlines()) == 1
