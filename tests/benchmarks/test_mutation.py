"""The mutation tester: what it changes, what it draws, and what it finds on a small package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from benchmarks.mutation import Laboratory, mutants, parsed, sampled

ROOT = Path(__file__).resolve().parents[2]
SUMS = """
    def total(numbers: list[int]) -> int:
        return sum(numbers) + 0


    def larger(a: int, b: int) -> int:
        return a if a > b else b
"""
TESTS = """
    from spikesorter.core.sums import larger, total


    def test_sums():
        assert total([1, 2]) == 3
        assert larger(2, 1) == larger(1, 2) == 2
"""
SPINNING = """
    def spin() -> None:
        while False:
            pass
"""


def lines_after(text: str) -> list[str]:
    return [mutant.after for mutant in mutants("m", textwrap.dedent(text))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a + b", ["x = a - b"]),
        ("x = (a) @ (b)", ["x = (a) * (b)"]),
        ("x //= y", ["x /= y"]),
        ("x = a and b or c", ["x = a or b or c", "x = a and b and c"]),
        ("x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
        ("x = a is not b", ["x = a is b"]),
        ("x = not a", ["x =  a"]),
        ("x = -a", ["x = a"]),
        ("x = True", ["x = False"]),
        ("x = 3", ["x = (2)", "x = 4"]),
        ("x = 2.5", ["x = 3.5"]),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("x = [a for a in b if c]", ["x = [a for a in b if not (c)]"]),
        ("act(a)", ["pass"]),
        ("x = 'é' + b", ["x = 'é' - b"]),
    ],
)
def test_each_kind_of_change(line: str, expected: list[str]) -> None:
    assert sorted(lines_after(line)) == sorted(expected)


def test_loops_and_results_are_changed() -> None:
    text = """
        def f(a):
            while a:
                break
            for b in a:
                continue
            return b
    """
    assert lines_after(text) == ["while not (a):", "continue", "break", "return None"]


def test_words_types_imports_and_decorators_are_left() -> None:
    text = '''
        """Words."""

        import os
        from typing import TYPE_CHECKING, Literal

        if TYPE_CHECKING:
            x = 1 + 1
        __all__ = ["a" + "b"]


        @decorated(times=3)
        def f(a: Literal[1], b: "str | None") -> Literal[-1]:
            """Words."""
            c: Literal[2]
            d = zip(a, b, strict=True)
            raise ValueError(f"{a + 1} too many")
    '''
    assert lines_after(text) == []


def test_an_operator_in_a_comment_is_not_taken_for_the_one_between() -> None:
    assert lines_after("x = (a  # + one\n     + b)") == ["- b)"]


def test_mutants_say_where_they_are() -> None:
    (found,) = mutants("core.m", "class A:\n    def f(self):\n        g(self)\n")
    assert (found.module, found.function, found.line) == ("core.m", "A.f", 3)
    assert (found.before, found.after) == ("g(self)", "pass")


def test_a_sample_stays_when_lines_come_and_go() -> None:
    body = "".join(f"a{k} = b{k} + c{k}\n" for k in range(40))
    chosen = sampled(mutants("m", body), 10, seed=1)
    assert len(chosen) == 10
    moved = sampled(mutants("m", "'''Words.'''\n" + body), 10, seed=1)
    assert [m.after for m in moved] == [m.after for m in chosen]
    assert [m.after for m in sampled(mutants("m", body), 10, seed=2)] != [m.after for m in chosen]


def test_the_same_change_twice_on_a_line_is_two_mutants() -> None:
    found = mutants("m", "x = [1, 1]")
    assert len({mutant.identity for mutant in found}) == len(found) == 4


def made(folder: Path, source: str, tests: str) -> Path:
    """Make a project of one module and its tests."""
    files = {
        "src/spikesorter/__init__.py": "",
        "src/spikesorter/core/__init__.py": "",
        "src/spikesorter/core/sums.py": source,
        "tests/core/test_sums.py": tests,
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--doctest-modules"\n',
        "benchmarks/mutation.py": (ROOT / "benchmarks" / "mutation.py").read_text(encoding="utf-8"),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


def test_the_tests_of_a_nested_module_are_those_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(tmp_path / "project", "", "")
    for name in (
        "src/spikesorter/core/deep/sums.py",
        "tests/core/deep/test_sums.py",
        "tests/io/test_other.py",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    monkeypatch.setattr("benchmarks.mutation.ROOT", project)
    copy = tmp_path / "copy"
    deep = [f"{copy}/tests/core/deep/test_sums.py", f"{copy}/src/spikesorter/core/deep/sums.py"]
    laboratory = Laboratory(copy)
    assert laboratory.arguments("core.deep.sums") == [deep, [f"{copy}/tests/core/test_sums.py"]]
    assert laboratory.tests("core") == [deep[0], f"{copy}/tests/core/test_sums.py"]


def mutated(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "benchmarks/mutation.py", *options]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)


def kept(project: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (project / "build/mutation.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project whose test sees neither that nought is added nor what happens to equals, and what is said."""
    project = made(tmp_path_factory.mktemp("tried"), SUMS, TESTS)
    ran = mutated(project, "core", "--check")
    assert ran.returncode == 1, ran.stderr
    return project, ran.stdout


@pytest.fixture
def project(tried: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tried[0], tmp_path / "project"))


@pytest.mark.slow
def test_what_no_test_sees_is_said_and_kept(tried: tuple[Path, str]) -> None:
    project, said = tried
    assert "| core.sums | 7 | 5 | 0 | 0 | 2 | 71% |" in said
    assert "core/sums.py:2 total\n- return sum(numbers) + 0\n+ return sum(numbers) - 0\n" in said
    assert "core/sums.py:6 larger\n- return a if a > b else b\n+ return a if a >= b else b\n" in said
    killed_by = [entry["by"] for entry in kept(project) if entry["outcome"] == "killed"]
    assert killed_by == ["tests/core/test_sums.py::test_sums"] * 5
    assert (project / "src/spikesorter/core/sums.py").read_text() == textwrap.dedent(SUMS).lstrip()


@pytest.mark.slow
def test_known_results_are_not_tried_again_and_equivalent_ones_count_no_longer(project: Path) -> None:
    listed = [entry for entry in kept(project) if entry["outcome"] == "alive"]
    lines = [f"{key} = '{entry[key]}'" for entry in listed for key in ("module", "before", "after")]
    tables = ["\n".join(["[[mutant]]", "reason = 'same'", *lines[k : k + 3]]) for k in (0, 3)]
    (project / "benchmarks/equivalent_mutants.toml").write_text("\n".join(tables))
    again = mutated(project, "core.sums", "--check")
    assert again.returncode == 0
    assert again.stdout.splitlines()[2:] == [
        "| core.sums | 7 | 5 | 0 | 2 | 0 | 100% |",
        "| all | 7 | 5 | 0 | 2 | 0 | 100% |",
        "",
    ]


@pytest.mark.slow
def test_what_was_alive_is_tried_again_when_tests_have_changed(project: Path) -> None:
    tests = project / "tests/core/test_sums.py"
    before = tests.read_text()
    tests.write_text(before + "    assert total([1]) == 0\n")
    failing = mutated(project, "core")
    assert "its tests fail without any change: tests/core/test_sums.py::test_sums" in failing.stderr
    tests.write_text(before + "    assert larger(True, 1) is 1\n")
    lines = mutated(project, "core").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("core.sums:")] == ["alive", "killed"]


@pytest.mark.slow
def test_mutants_that_hang_are_ended(tmp_path: Path) -> None:
    tests = "from spikesorter.core.sums import spin\n\n\ndef test_end():\n    assert spin() is None\n"
    found = mutated(made(tmp_path, SPINNING, tests), "core", "--seconds", "2")
    assert "| core.sums | 2 | 0 | 2 | 0 | 0 | 100% |" in found.stdout


def test_a_module_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "no module or folder core.absent" in mutated(made(tmp_path, "", ""), "core.absent").stderr


def test_its_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["--help"])
    assert "below 90% killed" in capsys.readouterr().out
