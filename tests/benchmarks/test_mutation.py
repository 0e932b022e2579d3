"""The mutation tester: what it changes, what it draws, and what it finds on a small package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from benchmarks.mutation import mutants, sampled

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
COUNTING = """
    def countdown(start: int) -> int:
        while start > 0:
            start -= 1
        return start
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one module, whose test cannot see that nought is added, nor what happens to equals."""
    files = {"src/spikesorter/core/sums.py": SUMS, "tests/core/test_sums.py": TESTS}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(textwrap.dedent(text).lstrip())
    for package in ("", "core"):
        (tmp_path / "src" / "spikesorter" / package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--doctest-modules"\n')
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "mutation.py", tmp_path / "benchmarks")
    return tmp_path


def mutated(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "benchmarks/mutation.py", *options]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_no_test_sees_is_said_and_kept(project: Path) -> None:
    untouched = (project / "src/spikesorter/core/sums.py").read_bytes()
    first = mutated(project, "core", "--check")
    assert first.returncode == 1, first.stderr
    assert "| core.sums | 7 | 5 | 0 | 0 | 2 | 71% |" in first.stdout
    assert "core/sums.py:2 total\n- return sum(numbers) + 0\n+ return sum(numbers) - 0\n" in first.stdout
    assert "core/sums.py:6 larger\n- return a if a > b else b\n+ return a if a >= b else b\n" in first.stdout
    assert (project / "src/spikesorter/core/sums.py").read_bytes() == untouched
    kept = [json.loads(line) for line in (project / "build/mutation.jsonl").read_text().splitlines()]
    assert [entry["outcome"] for entry in kept].count("killed") == 5
    assert {entry["by"] for entry in kept if entry["outcome"] == "killed"} == {
        "tests/core/test_sums.py::test_sums"
    }

    # Known results are not tried again; equivalent ones count no longer.
    listed = [
        {"module": "core.sums", "before": e["before"], "after": e["after"]} for e in kept if not e["by"]
    ]
    toml = "".join(
        "[[mutant]]\nreason = 'same'\n" + "".join(f"{k} = '{v}'\n" for k, v in each.items())
        for each in listed
    )
    (project / "benchmarks/equivalent_mutants.toml").write_text(toml)
    again = mutated(project, "core.sums", "--check")
    assert again.returncode == 0
    assert "killed" not in again.stdout.partition("| module")[0]
    assert "| core.sums | 7 | 5 | 0 | 2 | 0 | 100% |" in again.stdout


@pytest.mark.slow
def test_what_was_alive_is_tried_again_when_tests_have_changed(project: Path) -> None:
    mutated(project, "core", "--sample", "1000")
    tests = project / "tests/core/test_sums.py"
    tests.write_text(tests.read_text() + "    assert total(['a']) == 'a0'\n")
    assert (
        "its tests fail without any change: tests/core/test_sums.py::test_sums"
        in mutated(project, "core").stderr
    )
    tests.write_text(textwrap.dedent(TESTS) + "    assert larger(True, 1) is 1\n")
    lines = mutated(project, "core").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("core.sums:")] == ["alive", "killed"]


@pytest.mark.slow
def test_a_mutant_that_hangs_is_ended(project: Path) -> None:
    (project / "src/spikesorter/core/sums.py").write_text(textwrap.dedent(COUNTING))
    (project / "tests/core/test_sums.py").write_text(
        "from spikesorter.core.sums import countdown\n\n\ndef test_end():\n    assert countdown(3) == 0\n"
    )
    found = mutated(project, "core", "--seconds", "2")
    assert "start += 1" not in found.stdout  # alive it is not
    assert "core.sums:4 timeout" in found.stdout


def test_a_module_that_is_not_there_is_an_error(project: Path) -> None:
    assert "no module or folder core.absent" in mutated(project, "core.absent").stderr
