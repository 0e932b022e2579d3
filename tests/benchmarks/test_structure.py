"""The measuring of packages, on small ones whose figures are known."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from benchmarks.structure import Place, Spread, Structure, main, measure

GOOD = '''
    """A package."""

    __all__ = ["double"]


    def double(number: int) -> int:
        """Return twice a number.

        >>> double(2)
        4
        """
        return 2 * number
'''
TEST = """
    from good import double


    def test_double():
        assert double(3) == 6
"""


def made(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


def measured(folder: Path, **modules: str) -> Structure:
    """Measure a package of the modules given."""
    files = {f"pack/{name}.py": text for name, text in modules.items()}
    return measure(made(folder, {"pack/__init__.py": "", **files}))


def test_a_package_that_meets_all_goals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, {"src/good/__init__.py": GOOD, "tests/test_good.py": TEST})
    assert main([str(tmp_path), "--check", "--json", str(tmp_path / "figures.json")]) == 0
    assert "missed" not in capsys.readouterr().out
    (figures,) = json.loads((tmp_path / "figures.json").read_text())
    assert figures["package"] == "good"
    assert figures["source_lines"] == figures["test_lines"] == 3
    assert figures["with_example"] == {"of_all": 1.0, "missing": []}


def test_goals_that_are_missed_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"bad/m{k}.py": "" for k in range(13)}
    made(tmp_path, {"bad/__init__.py": "", **many, "bad/m0.py": "def f(x):\n    pass\n" + "x = 1\n" * 450})
    assert main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out.partition("\n\n")[2].splitlines() == [
        "missed: bad: names at the top: at most 12",
        "missed: bad: the longest file but compiled code: at most 450 lines",
        "missed: bad: typed: 100 %",
        "missed: bad: public names with a running example: at least 35 %",
        "missed: bad: test lines per source line: at least 1.0",
    ]
    assert main([str(tmp_path)]) == 0  # without --check they are said and no more


def test_the_top_is_what_a_reader_sees_in_the_folder(tmp_path: Path) -> None:
    seen = {"pack/a.py": "", "pack/inner/__init__.py": "", "pack/assets/page.css": ""}
    unseen = {
        "pack/__init__.py": "",
        "pack/py.typed": "",
        "pack/.hidden": "",
        "pack/left/__pycache__/a.pyc": "",
    }
    assert measure(made(tmp_path, {**seen, **unseen})).names_at_the_top == ["a.py", "assets", "inner"]


def test_lengths_of_files(tmp_path: Path) -> None:
    sizes = {f"m{k:02d}": "x = 1\n" * k for k in range(1, 41)}
    assert measured(tmp_path, **sizes).file_lines == Spread(20, 38, Place(40, "pack/m40.py"))


def test_a_function_is_as_long_as_its_lines_without_decorators_and_docstring(tmp_path: Path) -> None:
    text = '''
        @decorated
        def first():
            """Words.

            More words.
            """
            one = 1

            return one


        def second(): ...
    '''
    assert measured(tmp_path, m=text).function_lines == Spread(2.5, 4, Place(4, "pack/m.py:2 first"))


def test_compiled_code_may_be_long(tmp_path: Path) -> None:
    compiled = """
        from numba import njit

        def own(function):
            return njit(cache=True)(function)

        @own
        def a(): ...

        @njit
        def b(): ...
    """
    figures = measured(tmp_path, compiled=compiled, plain="def a(): ...\n")
    assert figures.file_lines.largest == Place(10, "pack/compiled.py")
    assert figures.plain_file_lines.largest == Place(1, "pack/plain.py")


def test_each_parameter_and_result_wants_a_type(tmp_path: Path) -> None:
    text = """
        class Thing:
            def __init__(self, a: int, b):
                self.b = b

            @classmethod
            def make(cls, *many: int, key, **others: int) -> "Thing":
                return lambda x: x

        def free(a, /): ...
    """
    typed = measured(tmp_path, m=text).typed
    assert typed.missing == [
        "pack/m.py:9 free a", "pack/m.py:9 free ->", "pack/m.py:2 __init__ b", "pack/m.py:6 make key",
    ]  # fmt: skip
    assert typed.of_all == pytest.approx(1 - 4 / 8)


def test_public_things_want_a_docstring(tmp_path: Path) -> None:
    text = '''
        """Words."""

        class Public:
            def told(self):
                """Words."""

            def untold(self):
                def inner(): ...

            @told.setter
            def told(self, value): ...

            def __len__(self): ...

        class _Private:
            def method(self): ...

        def _private(): ...
    '''
    documented = measured(tmp_path, m=text, _hidden="def f(): ...").documented
    assert documented.missing == ["pack/__init__.py", "pack/m.py:3 Public", "pack/m.py:7 untold"]
    assert documented.of_all == pytest.approx(2 / 5)


def test_a_public_name_has_an_example_that_runs(tmp_path: Path) -> None:
    top = """
        from pack.inner import Thing, skipped
        from pack.inner import plain as renamed

        if True:
            __all__ = ["Thing", "renamed"]
        __all__ += ["CONSTANT", "skipped"]
        CONSTANT = 1
    """
    inner = '''
        __all__ = ["Thing", "example"]

        class Thing:
            def method(self):
                """Words.

                >>> 1 + 1
                2
                """

        def skipped():
            """Words.

            >>> download()  # doctest: +SKIP
            """

        def plain():
            """Words, and >>> no example."""

        def example():
            """>>> 1"""

        def unlisted(): ...
    '''
    shown = measure(made(tmp_path, {"pack/__init__.py": top, "pack/inner.py": inner})).with_example
    assert shown.missing == ["pack.inner.plain", "pack.inner.skipped"]
    assert shown.of_all == 0.5


def test_without_all_the_names_without_an_underscore_are_public(tmp_path: Path) -> None:
    shown = measured(tmp_path, a="def f(): ...\ndef _g(): ...", _b="def h(): ...").with_example
    assert (shown.of_all, shown.missing) == (0, ["pack.a.f"])


def test_lines_are_those_of_code(tmp_path: Path) -> None:
    source = '''
        """Words
        over lines."""

        # A comment.
        x = 1  # one

        text = """
        is code
        """
    '''
    beside, inside = "def test():\n    # why\n    assert True\n", "import pack\n"
    files = {"pack/__init__.py": source, "tests/test_a.py": beside, "pack/tests/test_b.py": inside}
    figures = measure(made(tmp_path, files))
    assert (figures.source_lines, figures.test_lines, figures.modules) == (4, 3, 1)
    assert figures.tests_per_line == 0.75


def test_six_lines_that_are_the_same_are_a_duplicate(tmp_path: Path) -> None:
    block = [f"value_{k} = {k}" for k in range(7)]
    spaced = "\n\n".join(f"    {line}  # told otherwise" for line in block)
    apart = "\n".join([*block[:5], "other = 1", *block[5:]])
    found = measured(tmp_path, a="\n".join(block), b=f"def f():\n{spaced}\n", c=apart).duplicates
    assert found == ["pack/a.py:1 = pack/b.py:2, 7 lines"]


def test_lines_do_not_go_on_from_one_file_into_the_next(tmp_path: Path) -> None:
    lines = [f"value_{k} = {k}" for k in range(6)]
    assert (
        measured(tmp_path, a="\n".join(lines[:3]), b="\n".join(lines[3:]), c="\n".join(lines)).duplicates
        == []
    )


def test_imports_are_no_duplicates(tmp_path: Path) -> None:
    names = "\n".join(f"import name_{k}" for k in range(8))
    assert measured(tmp_path, a=names, b=names).duplicates == []


def test_modules_that_import_each_other_are_a_cycle(tmp_path: Path) -> None:
    files = {
        "pack/__init__.py": "",
        "pack/a.py": "import pack.b",
        "pack/b.py": "from .inner import c\nfrom typing import TYPE_CHECKING\n",
        "pack/inner/__init__.py": "",
        "pack/inner/c.py": "from ..a import name",
        "pack/d.py": "from pack import e",
        "pack/e.py": "def f():\n    from pack import d\n",
        "pack/f.py": "if TYPE_CHECKING:\n    from pack import g\n",
        "pack/g.py": "from pack import f",
    }
    figures = measure(made(tmp_path, files))
    assert figures.cycles == [["pack.a", "pack.b", "pack.inner.c"]]
    assert figures.late_cycles == [["pack.a", "pack.b", "pack.inner.c"], ["pack.d", "pack.e"]]


def test_complexity_counts_branches(tmp_path: Path) -> None:
    text = """
        def plain(): ...

        def branched(x):
            for y in x:
                if y and x or y:
                    pass
                elif y:
                    while y:
                        pass
            try:
                pass
            except ValueError:
                match x:
                    case 1: ...
                    case 2: ...

            def inner():
                if x: ...
            return [z for z in x if z] if x else y
    """
    figures = measured(tmp_path, m=text)
    assert figures.complexity == Spread(2, 8, Place(8, "pack/m.py:3 branched"))
    assert (figures.complex_functions, figures.complex_with_expressions) == (0, 1)


def test_the_largest_package_is_measured_or_the_one_named(tmp_path: Path) -> None:
    made(
        tmp_path,
        {"small/__init__.py": "", "large/__init__.py": "x = 1\n", "tests/__init__.py": "x = 1\n" * 9},
    )
    assert measure(tmp_path).package == "large"
    assert measure(tmp_path, package="small").package == "small"
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--package", "absent"])


def test_files_of_a_newer_python_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = measured(tmp_path, new="def f(: ...", old="x = 1")
    assert figures.unread == ["pack/new.py"]
    main([str(tmp_path)])
    assert "pack: 1 files are in a newer Python" in capsys.readouterr().out
