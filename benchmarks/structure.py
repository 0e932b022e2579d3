"""How a Python package is built: sizes, types, docstrings, examples, tests, duplicates, cycles.

`python benchmarks/structure.py` measures this project; `python benchmarks/structure.py PATH ...` measures
other checkouts by the same rules, a column each. `--check` exits with 1 where a goal is missed, `--json FILE`
keeps the figures and their places. It reads source text alone: nothing is imported or need be installed.

What is counted:

- Names at the top: files and folders in the package's folder beside `py.typed` and what Python asks for.
- Lengths: all lines of a file; those of a function without its decorators and its docstring.
- Typed: annotated parameters and results among all. `self`, `cls` and the result of `__init__` need none.
- Docstrings: of modules, classes, functions and methods without an underscore anywhere in their path.
- Public names: functions and classes in any `__all__`; where a package has no `__all__`, those without an
  underscore in modules without one. A running example is a `>>>` that is not skipped, in the docstring of the
  name or, for a class, of a public method.
- Lines of tests and source: those of code, so without blank lines, comments and docstrings.
- Duplicates: six or more lines of code that are the same at two places, imports left out.
- Cycles: groups of modules that import each other when loaded; or at any time, with imports in functions.
- Complexity: McCabe's, which Ruff's C901 limits: one, and one more for each `if`, `for`, `while`, `except`
  and `case`; with expressions, also for each `and`, `or`, conditional expression, and loop or condition of a
  comprehension.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import io
import json
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BLOCK = 6  # lines that must be the same to be a duplicate
COMPLEX = 10
TESTS = ("tests", "test")
BESIDE = {*TESTS, "docs", "doc", "examples", "benchmarks", "scripts", "build", "dist", "tools"}
# Numba keeps compiled code as long as its file is unchanged, and sees no other: such code has to be one file.
COMPILERS = {"njit", "jit", "vectorize", "guvectorize"}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


class Place(NamedTuple):
    """How much, and where."""

    size: int
    where: str


@dataclass(frozen=True)
class Spread:
    """Sizes: their median, the one that 95 % do not exceed, and the largest."""

    median: float
    most: float
    largest: Place


@dataclass(frozen=True)
class Share:
    """How many have something, and where it is missing."""

    of_all: float
    missing: list[str]


@dataclass(frozen=True)
class Structure:
    """The figures of one package."""

    package: str
    names_at_the_top: list[str]
    modules: int
    file_lines: Spread
    plain_file_lines: Spread  # compiled code set aside
    function_lines: Spread
    typed: Share
    documented: Share
    with_example: Share
    source_lines: int
    test_lines: int
    duplicates: list[str]
    cycles: list[list[str]]
    late_cycles: list[list[str]]
    complexity: Spread
    complex_functions: int
    complex_with_expressions: int
    unread: list[str]

    @property
    def tests_per_line(self) -> float:
        return self.test_lines / max(self.source_lines, 1)


class Goal(NamedTuple):
    """What a figure should be."""

    name: str
    wanted: str
    met: Callable[[Structure], bool]


GOALS = (
    Goal("names at the top", "at most 12", lambda found: len(found.names_at_the_top) <= 12),
    Goal(
        "the longest file but compiled code",
        "at most 450 lines",
        lambda found: found.plain_file_lines.largest.size <= 450,
    ),
    Goal("typed", "100 %", lambda found: found.typed.of_all == 1),
    Goal("public names with a running example", "at least 35 %", lambda s: s.with_example.of_all >= 0.35),
    Goal("test lines per source line", "at least 1.0", lambda found: found.tests_per_line >= 1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the goals that are missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT], metavar="PATH", help="checkouts")
    parser.add_argument("--package", metavar="NAME", help="which package, where a checkout holds several")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures, with all places")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    given = parser.parse_args(arguments)
    try:
        found = [measure(path, package=given.package) for path in given.paths]
    except FileNotFoundError as error:
        parser.error(str(error))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n", encoding="utf-8")
    print(table(found))
    for each in found:
        if each.unread:
            print(f"\n{each.package}: {len(each.unread)} files are in a newer Python than this and left out")
    missed = [f"{s.package}: {goal.name}: {goal.wanted}" for s in found for goal in GOALS if not goal.met(s)]
    print("\n".join(["", *(f"missed: {goal}" for goal in missed)]))
    return int(given.check and bool(missed))


def measure(checkout: Path, *, package: str | None = None) -> Structure:
    """Return the figures of the package of a checkout, the largest where it holds several."""
    folder = find_package(checkout, package)
    files = [path for path in python_files(folder) if not is_test(path, folder)]
    modules = [module for path in files if (module := read_module(path, folder.parent))]
    tests = [module for path in test_files(checkout, folder) if (module := read_module(path, checkout))]
    functions = [(module, function) for module in modules for function in module.functions]
    return Structure(
        package=folder.name,
        names_at_the_top=names_at_the_top(folder),
        modules=len(files),
        file_lines=spread([Place(len(module.text.splitlines()), module.file) for module in modules]),
        plain_file_lines=spread(
            [
                Place(len(module.text.splitlines()), module.file)
                for module in modules
                if not module.is_compiled
            ]
        ),
        function_lines=spread([Place(function_lines(f), module.at(f)) for module, f in functions]),
        typed=share(slot for module, function in functions for slot in typed_slots(module, function)),
        documented=share(entry for module in modules for entry in public_docstrings(module)),
        with_example=share(public_examples(modules)),
        source_lines=sum(len(code_lines(module)) for module in modules),
        test_lines=sum(len(code_lines(module)) for module in tests),
        duplicates=duplicates(modules),
        cycles=cycles(imports(modules, late=False)),
        late_cycles=cycles(imports(modules, late=True)),
        complexity=spread([Place(complexity(f), module.at(f)) for module, f in functions]),
        complex_functions=sum(complexity(f) > COMPLEX for _, f in functions),
        complex_with_expressions=sum(complexity(f, expressions=True) > COMPLEX for _, f in functions),
        unread=sorted(
            {path.relative_to(folder.parent).as_posix() for path in files} - {m.file for m in modules}
        ),
    )


def table(found: Sequence[Structure]) -> str:
    """Return the figures as a table in Markdown, a column a package."""
    rows: list[tuple[str, Callable[[Structure], str]]] = [
        ("names at the top", lambda s: str(len(s.names_at_the_top))),
        ("modules", lambda s: str(s.modules)),
        ("lines of a file: median, 95 %, longest", lambda s: spread_text(s.file_lines)),
        ("longest file but compiled code", lambda s: place_text(s.plain_file_lines.largest)),
        ("lines of a function: median, 95 %, longest", lambda s: spread_text(s.function_lines)),
        ("typed", lambda s: f"{s.typed.of_all:.1%}"),
        ("public docstrings", lambda s: f"{s.documented.of_all:.1%}"),
        ("public names with a running example", lambda s: f"{s.with_example.of_all:.1%}"),
        ("lines of source; of tests", lambda s: f"{s.source_lines}; {s.test_lines}"),
        ("test lines per source line", lambda s: f"{s.tests_per_line:.2f}"),
        ("duplicates", lambda s: str(len(s.duplicates))),
        ("import cycles; with late imports", lambda s: f"{len(s.cycles)}; {len(s.late_cycles)}"),
        ("complexity: median, 95 %, highest", lambda s: spread_text(s.complexity)),
        (
            f"functions of complexity over {COMPLEX}; with expressions",
            lambda s: f"{s.complex_functions}; {s.complex_with_expressions}",
        ),
    ]
    names = " | ".join(each.package for each in found)
    head = [f"| figure | {names} |", "|---" * (len(found) + 1) + "|"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(map(text, found))} |" for name, text in rows)])


def place_text(place: Place) -> str:
    return f"{place.size} ({place.where})"


def spread_text(lengths: Spread) -> str:
    return f"{lengths.median:g}, {lengths.most:g}, {place_text(lengths.largest)}"


# Files


@dataclass(frozen=True)
class Module:
    """A source file, parsed."""

    name: str
    file: str
    text: str
    tree: ast.Module
    is_package: bool

    @property
    def is_compiled(self) -> bool:
        """Whether most of its functions are compiled, be it by a decorator of its own."""
        makers = {f.name for f in self.functions if COMPILERS & names_in(f)}
        marks = [{name for mark in f.decorator_list for name in names_in(mark)} for f in self.functions]
        return sum(bool((COMPILERS | makers) & each) for each in marks) > len(marks) / 2

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        return {node.name: node for node in own_statements(self.tree) if isinstance(node, Definition)}

    @cached_property
    def exported(self) -> set[str] | None:
        """The names of `__all__`, as far as they are written out; none without one."""
        values = [value for node in own_statements(self.tree) if (value := value_of_all(node))]
        return {text for value in values for text in strings_in(value)} if values else None

    def at(self, node: Definition) -> str:
        return f"{self.file}:{node.lineno} {node.name}"


def find_package(checkout: Path, name: str | None) -> Path:
    """Return the folder of a package: the one named, or else the largest of the checkout."""
    there = [
        path.parent
        for place in (checkout / "src", checkout)
        for path in place.glob("*/__init__.py")
        if path.parent.name not in BESIDE and name in (None, path.parent.name)
    ]
    if not there:
        named = f" {name}" if name else ""
        raise FileNotFoundError(f"{checkout} holds no package{named}: no folder with __init__.py")
    return max(there, key=lambda folder: sum(path.stat().st_size for path in python_files(folder)))


def python_files(folder: Path) -> list[Path]:
    """Return the source files below a folder, those in hidden folders left out."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def is_test(path: Path, folder: Path) -> bool:
    return any(part in TESTS for part in path.relative_to(folder).parts[:-1])


def test_files(checkout: Path, folder: Path) -> list[Path]:
    """Return the tests beside a package and inside it."""
    beside = [path for name in TESTS if (checkout / name).is_dir() for path in python_files(checkout / name)]
    return beside + [path for path in python_files(folder) if is_test(path, folder)]


def read_module(path: Path, folder: Path) -> Module | None:
    """Parse a source file; None where it is in the Python of another version."""
    place, text = path.relative_to(folder), path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    name = ".".join(place.with_suffix("").parts).removesuffix(".__init__")
    return Module(name, place.as_posix(), text, tree, is_package=place.stem == "__init__")


def names_at_the_top(folder: Path) -> list[str]:
    """Return what a reader sees first: files and folders that hold any."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
        and not path.name.startswith(".")
        and (path.is_file() or any(inner.suffix not in {"", ".pyc"} for inner in path.rglob("*")))
    )


# Figures


def spread(places: Sequence[Place]) -> Spread:
    """Return the median, the value that 95 % do not exceed, and the longest."""
    sizes = sorted(place.size for place in places)
    if not sizes:
        return Spread(0, 0, Place(0, "-"))
    return Spread(statistics.median(sizes), sizes[-(-95 * len(sizes) // 100) - 1], max(places))


def share(entries: Iterable[tuple[str, bool]]) -> Share:
    """Return the share of places that are good, and the others; of no place, all are good."""
    entries = list(entries)
    missing = [where for where, good in entries if not good]
    return Share(1 - len(missing) / max(len(entries), 1), missing)


def function_lines(function: Function) -> int:
    """Return the lines of a function from `def` on, without its docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def complexity(function: Function, *, expressions: bool = False) -> int:
    """Return the number of ways through a function, functions in it left out."""
    return 1 + sum(branches(node, expressions=expressions) for node in nodes_of(function))


def branches(node: ast.AST, *, expressions: bool) -> int:
    """Return how many ways a node adds."""
    if isinstance(node, BRANCHES):
        return 1
    if not expressions:
        return 0
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, ast.IfExp))


def nodes_of(function: Function) -> Iterator[ast.AST]:
    """Yield what a function runs, without what is defined in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Definition):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def typed_slots(module: Module, function: Function) -> Iterator[tuple[str, bool]]:
    """Yield each parameter and result that wants a type, and whether it has one."""
    given = function.args
    named = [*given.posonlyargs, *given.args]
    if named and named[0].arg in {"self", "cls", "mcs"}:
        named = named[1:]
    for argument in [*named, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]:
        yield f"{module.at(function)} {argument.arg}", argument.annotation is not None
    if function.name != "__init__":
        yield f"{module.at(function)} ->", function.returns is not None


def public_docstrings(module: Module) -> Iterator[tuple[str, bool]]:
    """Yield each public thing of a module, itself first, and whether it has a docstring."""
    if not is_public(module.name):
        return
    yield module.file, ast.get_docstring(module.tree) is not None
    for definition in module.definitions.values():
        if is_public(definition.name):
            yield module.at(definition), ast.get_docstring(definition) is not None
            for method in public_methods(definition):
                yield f"{module.at(method)}", ast.get_docstring(method) is not None


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def public_methods(definition: Definition) -> Iterator[Function]:
    """Yield the methods of a class that a user calls, setters and overloads left out."""
    if not isinstance(definition, ast.ClassDef):
        return
    for node in definition.body:
        if isinstance(node, Function) and is_public(node.name):
            marks = {name for mark in node.decorator_list for name in names_in(mark)}
            if not marks & {"setter", "deleter", "overload"}:
                yield node


def public_examples(modules: Sequence[Module]) -> Iterator[tuple[str, bool]]:
    """Yield each public function and class once, and whether it has an example that runs."""
    by_name = {module.name: module for module in modules}
    if any(module.exported is not None for module in modules):
        asked = [(module, name) for module in modules for name in module.exported or ()]
    else:
        public = [module for module in modules if is_public(module.name)]
        asked = [(module, name) for module in public for name in module.definitions if is_public(name)]
    found = {defined for module, name in asked if (defined := resolve(by_name, module, name, set()))}
    for module_name, name in sorted(found):
        yield f"{module_name}.{name}", has_example(by_name[module_name].definitions[name])


def resolve(
    modules: Mapping[str, Module], module: Module, name: str, seen: set[tuple[str, str]]
) -> tuple[str, str] | None:
    """Return where a name is defined, following imports; None for constants and modules."""
    if name in module.definitions:
        return module.name, name
    if (module.name, name) in seen:
        return None
    seen.add((module.name, name))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (source := modules.get(base_of(module, node))):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return resolve(modules, source, alias.name, seen)
    return None


def has_example(definition: Definition) -> bool:
    """Return whether a docstring holds an example that a doctest runs."""
    texts = [ast.get_docstring(node) or "" for node in (definition, *public_methods(definition))]
    return any(
        not example.options.get(doctest.OPTIONFLAGS_BY_NAME["SKIP"], False)
        for text in texts
        for example in examples_of(text)
    )


def examples_of(text: str) -> list[doctest.Example]:
    try:
        return doctest.DocTestParser().get_examples(text)
    except ValueError:  # not a doctest, though it looks like one
        return []


# Imports


def imports(modules: Sequence[Module], *, late: bool) -> dict[str, set[str]]:
    """Return what each module imports of the package: when loaded, or `late`, in functions, too."""
    known = {module.name for module in modules}
    return {module.name: set(imported(module, known, late=late)) - {module.name} for module in modules}


def imported(module: Module, known: set[str], *, late: bool) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for node in running_nodes(module.tree, late=late):
        if isinstance(node, ast.Import):
            yield from known.intersection(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = base_of(module, node)
            inner = {f"{base}.{alias.name}" for alias in node.names}
            yield from inner & known
            if inner - known and base in known:
                yield base


def base_of(module: Module, node: ast.ImportFrom) -> str:
    """Return the full name of the module that `from ... import` names, dots resolved."""
    if not node.level:
        return node.module or ""
    drop = node.level - (1 if module.is_package else 0)
    parts = module.name.split(".")
    return ".".join([*parts[: len(parts) - drop], *filter(None, [node.module])])


def running_nodes(tree: ast.Module, *, late: bool) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is loaded, or `late`, at any time; none under TYPE_CHECKING."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in names_in(node.test):
            waiting.extend(node.orelse)
        elif late or not isinstance(node, Function):
            waiting.extend(ast.iter_child_nodes(node))


def cycles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that reach each other."""
    reached = {name: reachable(arrows, name) for name in arrows}
    groups = {
        tuple(sorted(other for other in ends if name in reached[other]))
        for name, ends in reached.items()
        if name in ends
    }
    return sorted(map(list, groups))


def reachable(arrows: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows[waiting.pop()] - seen
        seen |= new
        waiting.extend(new)
    return seen


# Duplicates


def duplicates(modules: Iterable[Module]) -> list[str]:
    """Return where blocks of lines are the same, each block as long as it goes, with its first place."""
    lines = [(line, module, number) for module in modules for line, number in plain_lines(module)]
    windows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for k in range(len(lines) - BLOCK + 1):
        if lines[k][1] is lines[k + BLOCK - 1][1]:
            windows[tuple(line for line, _, _ in lines[k : k + BLOCK])].append(k)
    same = {(first, k) for first, *others in windows.values() for k in others if k >= first + BLOCK}
    starts = sorted(pair for pair in same if (pair[0] - 1, pair[1] - 1) not in same)
    return [f"{where(lines[a])} = {where(lines[b])}, {block_length(same, a, b)} lines" for a, b in starts]


def block_length(same: set[tuple[int, int]], a: int, b: int) -> int:
    further = 0
    while (a + further, b + further) in same:
        further += 1
    return further + BLOCK - 1


def where(line: tuple[str, Module, int]) -> str:
    return f"{line[1].file}:{line[2]}"


def plain_lines(module: Module) -> list[tuple[str, int]]:
    """Return the lines of code, without indentation and imports, with their numbers."""
    imported = {
        number
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in lines_of(node)
    }
    return [(text, number) for number, text in code_lines(module).items() if number not in imported]


def code_lines(module: Module) -> dict[int, str]:
    """Return the lines of code by number, in one spacing: no blank lines, no comments, no docstrings."""
    dropped = {
        number
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in lines_of(node)
    }
    words: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in SPACES and token.start[0] not in dropped:
            for number in range(token.start[0], token.end[0] + 1):  # a string may go over lines
                words[number].append(token.string)
    return {number: " ".join(words[number]) for number in sorted(words)}


SPACES = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


# Syntax


def own_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under `if` and `try` too, functions and classes not entered."""
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            waiting.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def lines_of(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def value_of_all(node: ast.stmt) -> ast.expr | None:
    """Return what a statement puts into `__all__`, if it is such a statement."""
    if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return node.value if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets) else None


def names_in(node: ast.AST) -> set[str]:
    """Return the identifiers of an expression."""
    return {
        inner.id if isinstance(inner, ast.Name) else inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute)
    }


def strings_in(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


if __name__ == "__main__":
    sys.exit(main())
