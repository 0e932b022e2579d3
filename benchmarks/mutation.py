"""Do the tests bite? Change the source a little, many times, and see whether a test fails.

`python benchmarks/mutation.py [MODULE ...]` takes a random sample of each module's mutants (`--sample`): an
operator, comparison, number, condition or result changed, a call left out. A module is named as `core.score`,
all of a folder as `core`; without a name, those of core, signal, io and estimation are taken. Each mutant
meets the module's own test file, its doctests, and the other quick tests of its folder, until one fails. What
is left alive is printed with its place, as a line before and after.

Results are kept in `--out` (JSON, a line a mutant) as they come. A run that was stopped goes on where it was;
a later run tries again only what was alive, where tests have changed, and what is new, where a module has
changed. Mutants that no test can tell from the original are listed, each with the reason, in
`benchmarks/equivalent_mutants.toml`; they are not tried, and count neither as killed nor as alive. `--check`
exits with 1 where fewer than 90 % of the others are killed.

The working tree is not touched: a copy in a temporary folder is changed. Libraries are loaded once, and each
mutant runs in a process forked from there (so not on Windows), at low priority, under limits of time and
memory. Numba compiles a mutant's code into a folder of its own, since it may not see what has changed.

Of the libraries for this, mutmut changes neither decorated functions (all that Numba compiles) nor constants
of modules; cosmic-ray changes the working tree and starts Python with all imports anew for each mutant;
neither takes a sample.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "spikesorter"
FOLDERS = ("core", "signal", "io", "estimation")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
GOAL = 0.9
MEMORY_BYTES = 12 << 30
UNSAFE = {"jax", "jaxlib", "keras", "tensorflow"}  # to fork with

ARITHMETIC = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"), ast.Mod: ("%", "*"), ast.Pow: ("**", "*"), ast.MatMult: ("@", "*"),
    ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}  # fmt: skip
COMPARISON = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
BOOLEAN = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
UNARY = {ast.USub: "-", ast.Not: "not", ast.Invert: "~"}


@dataclass(frozen=True)
class Mutant:
    """One change of a source file: bytes `start` to `stop` become `new`."""

    module: str
    function: str
    line: int
    start: int
    stop: int
    new: str
    before: str
    after: str
    nth: int  # among changes of the same line to the same line

    @property
    def identity(self) -> str:
        """What stays the same when lines move."""
        return "\n".join((self.module, self.function, self.before, self.after, str(self.nth)))


class Result(NamedTuple):
    """What became of a mutant."""

    outcome: str  # killed, timeout or alive
    by: str  # the test that failed
    seconds: float


# Mutants


class Change(NamedTuple):
    """A change of a node: where, in bytes, and to what."""

    start: int
    stop: int
    new: str


class Source:
    """A module's text, and where the nodes of its syntax tree are in it, in bytes."""

    def __init__(self, text: str) -> None:
        self.bytes = text.encode()
        self.tree = ast.parse(text)
        self._starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: Any) -> tuple[int, int]:
        """Return the first byte of an expression or statement, and the one after its last."""
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: Any) -> str:
        start, stop = self.span(node)
        return self.bytes[start:stop].decode()

    def between(self, left: Any, right: Any, old: str, new: str) -> Iterator[Change]:
        """Yield the change of an operator that stands between two expressions."""
        start, stop = self.span(left)[1], self.span(right)[0]
        gap = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self.bytes[start:stop])
        pattern = rb"\s+".join(re.escape(word.encode()) for word in old.split())
        if found := re.search(pattern, gap):
            yield Change(start + found.start(), start + found.end(), new)

    def changed(self, change: Change) -> bytes:
        return self.bytes[: change.start] + change.new.encode() + self.bytes[change.stop :]

    def line_of(self, offset: int) -> int:
        return self.bytes.count(b"\n", 0, offset) + 1


def mutants(module: str, text: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of the text."""
    source = Source(text)
    found: dict[tuple[str, str, str], int] = {}
    made = []
    for function, node in running(source.tree, ""):
        for change in changes(source, node):
            before, after = (
                shown(text, source.line_of(change.start)) for text in (source.bytes, source.changed(change))
            )
            nth = found[function, before, after] = found.get((function, before, after), -1) + 1
            made.append(Mutant(module, function, source.line_of(change.start), *change, before, after, nth))
    return sorted(made, key=lambda mutant: (mutant.start, mutant.stop, mutant.new))


def shown(text: bytes, line: int) -> str:
    return text.decode().split("\n")[line - 1].strip()


def running(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield what runs, with the function it is in: no types, docstrings, decorators, imports, messages."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not says_nothing(child):
                inner = getattr(child, "name", "") if is_definition(child) else ""
                within = ".".join(filter(None, [function, inner]))
                yield within, child
                yield from running(child, within)


def is_definition(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def says_nothing(node: ast.AST) -> bool:
    """Return whether changing a node changes no behaviour, or words alone."""
    is_words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    is_import = isinstance(node, ast.Import | ast.ImportFrom)
    is_all = isinstance(node, ast.Assign) and "__all__" in ast.dump(node.targets[0])
    is_check = isinstance(node, ast.keyword) and node.arg == "strict"  # of `zip`
    return is_words or is_types or is_import or is_all or is_check or isinstance(node, ast.JoinedStr)


def changes(source: Source, node: ast.AST) -> Iterator[Change]:
    """Yield the changes of a node itself, those of what is in it left out."""
    match node:
        case ast.BinOp():
            yield from source.between(node.left, node.right, *ARITHMETIC[type(node.op)])
        case ast.AugAssign():
            old, new = ARITHMETIC[type(node.op)]
            yield from source.between(node.target, node.value, f"{old}=", f"{new}=")
        case ast.BoolOp():
            for left, right in pairwise(node.values):
                yield from source.between(left, right, *BOOLEAN[type(node.op)])
        case ast.Compare():
            operands = [node.left, *node.comparators]
            for (left, right), operator in zip(pairwise(operands), node.ops, strict=True):
                yield from source.between(left, right, *COMPARISON[type(operator)])
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            start, _ = source.span(node)
            yield Change(start, start + len(UNARY[type(node.op)]), "")
        case ast.Constant():
            yield from (Change(*source.span(node), new) for new in other_values(node.value))
        case ast.If() | ast.While() | ast.IfExp():
            yield negated(source, node.test)
        case ast.comprehension():
            yield from (negated(source, test) for test in node.ifs)
        case ast.Return(value=ast.expr()) if source.text(node.value) != "None":
            yield Change(*source.span(node.value), "None")
        case ast.Expr(value=ast.Call()):
            yield Change(*source.span(node), "pass")
        case ast.Break():
            yield Change(*source.span(node), "continue")
        case ast.Continue():
            yield Change(*source.span(node), "break")


def negated(source: Source, test: ast.expr) -> Change:
    return Change(*source.span(test), f"not ({source.text(test)})")


def other_values(value: object) -> list[str]:
    """Return what a constant may become; words stay."""
    if isinstance(value, bool):
        return [str(not value)]
    if isinstance(value, int):
        return [str(value + 1), f"({value - 1})"]
    return [repr(value + 1)] if isinstance(value, float) else []


def sampled(every: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return a random sample, the same for the mutants that stay when others come or go."""

    def lot(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed}\n{mutant.identity}".encode()).hexdigest()

    chosen = sorted(every, key=lot)[:count]
    return sorted(chosen, key=lambda mutant: mutant.start)


# Trying them


class Laboratory:
    """A copy of the package and its tests in which modules are changed."""

    def __init__(self, folder: Path, *, deselected: Sequence[str] = ()) -> None:
        self.folder, self.deselected = folder, deselected
        self.usual: dict[str, float] = {}  # seconds that the tests of a folder take without a change
        self._writes = 0
        for name in ("src", "tests", "benchmarks", "scripts"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def path(self, module: str) -> Path:
        return self.folder / "src" / PACKAGE / Path(*module.split(".")).with_suffix(".py")

    def own_tests(self, module: str) -> list[str]:
        """Return where the tests of a module are: its own file of tests, and its examples."""
        *inside, name = module.split(".")
        own = self.folder.joinpath("tests", *inside, f"test_{name}.py")
        return [str(path) for path in (own, self.path(module)) if path.is_file()]

    def tests(self, folder: str) -> list[str]:
        """Return the files of tests of a folder, and of those inside it."""
        return [str(path) for path in sorted((self.folder / "tests" / folder).rglob("test_*.py"))]

    def arguments(self, module: str) -> list[list[str]]:
        """Return what pytest is to run for a module: its own tests, and if they pass, its folder's."""
        own = self.own_tests(module)
        return [own, [path for path in self.tests(module.split(".")[0]) if path not in own]]

    def all_arguments(self, folder: str) -> list[list[str]]:
        """Return what pytest is to run for all modules of a folder."""
        modules = sorted((self.folder / "src" / PACKAGE / folder).rglob("*.py"))
        return [[str(path) for path in modules], self.tests(folder)]

    def options(self) -> list[str]:
        """Return how pytest is to run them."""
        plain = [
            "-x",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            f"--basetemp={self.folder / 'scratch'}",
        ]
        return plain + [f"--deselect={test}" for test in self.deselected]

    def run(
        self, arguments: Sequence[Sequence[str]], *, limit_seconds: float, compiles: bool = False
    ) -> tuple[Result, list[str]]:
        """Run tests with the copy as it is now, in a process of its own; also return what it has loaded."""
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            runs = [[*self.options(), *some] for some in arguments if some]
            run_tests(self.folder, runs, answer, compiles=compiles)
        in_time = ends_within(child, limit_seconds)
        seconds = round(time.monotonic() - started, 2)
        if not in_time:
            return Result("timeout", "", seconds), []
        if not answer.is_file():
            return Result("killed", "the process died", seconds), []
        said = json.loads(answer.read_text(encoding="utf-8"))
        return Result("killed" if said["code"] else "alive", said["by"], seconds), said["loaded"]

    def try_mutant(self, mutant: Mutant, *, limit_seconds: float) -> Result:
        """Run the tests with a mutant in place of the original."""
        path = self.path(mutant.module)
        original = path.read_bytes()
        self.write(path, original[: mutant.start] + mutant.new.encode() + original[mutant.stop :])
        try:
            compiles = b"numba" in original
            arguments = self.arguments(mutant.module)
            return self.run(arguments, limit_seconds=limit_seconds, compiles=compiles)[0]
        finally:
            self.write(path, original)

    def write(self, path: Path, text: bytes) -> None:
        """Change a file, at a time of its own, by which Python sees that what it has compiled is old."""
        self._writes += 1
        path.write_bytes(text)
        os.utime(path, (self._writes, self._writes))


def ends_within(child: int, limit_seconds: float) -> bool:
    """Wait for a process, and end it with all that it has started when its time is over."""
    until = time.monotonic() + limit_seconds
    ended = False
    while not ended and time.monotonic() < until:
        time.sleep(0.02)
        ended = os.waitpid(child, os.WNOHANG)[0] == child
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    return ended


def run_tests(folder: Path, runs: Sequence[list[str]], answer: Path, *, compiles: bool) -> None:
    """Run pytest in this forked process until a test fails, say what came of it, and end."""
    code, first = 1, FirstFailure()
    try:
        set_apart(folder, compiles=compiles)
        import pytest

        codes = (pytest.main(arguments, plugins=[first]) for arguments in runs)
        passing = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        code = int(next((code for code in codes if code not in passing), pytest.ExitCode.OK))
    except BaseException as error:  # whatever a mutant does, this process ends here
        first.name = first.name or repr(error)
    finally:
        said = {"code": code, "by": first.name, "loaded": sorted(sys.modules)}
        answer.write_text(json.dumps(said), encoding="utf-8")
        os._exit(0)


def set_apart(folder: Path, *, compiles: bool) -> None:
    """Have this process use the copy, write nowhere else, and stay within limits."""
    import resource

    os.setsid()
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    here = [str(folder / "src"), str(folder)]
    ours = {str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")}
    sys.path[:] = here + [place for place in sys.path if place not in ours]
    compiled = Path(tempfile.mkdtemp(dir=folder)) if compiles else folder / "compiled"
    os.environ.update(PYTHONPATH=os.pathsep.join(here), NUMBA_CACHE_DIR=str(compiled))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = (
        "1"  # it would load Hypothesis anew each time, for a second
    )
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()


class FirstFailure:
    """A plugin of pytest that remembers which test failed first."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.remember(report)

    def pytest_collectreport(self, report: Any) -> None:
        self.remember(report)

    def remember(self, report: Any) -> None:
        if report.failed and not self.name:
            self.name = str(report.nodeid)


def load_libraries(loaded: Sequence[str]) -> None:
    """Load what tests have loaded, so that mutants need not, but this package and what cannot be forked."""
    left_out = UNSAFE | {PACKAGE, "tests", "benchmarks", "conftest", "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in loaded:
            if name.split(".")[0] not in left_out:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


# The command


class Kept:
    """The results so far, in a file that is added to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.entries = {(entry["identity"], entry["source"]): entry for entry in map(json.loads, lines)}

    def get(self, mutant: Mutant, source: str, tests: str) -> dict[str, Any] | None:
        """Return a result that holds still: of the same source, and if it was alive, of the same tests."""
        entry = self.entries.get((mutant.identity, source))
        return entry if entry and (entry["outcome"] != "alive" or entry["tests"] == tests) else None

    def add(self, mutant: Mutant, result: Result, source: str, tests: str) -> dict[str, Any]:
        about = {"identity": mutant.identity, "source": source, "tests": tests}
        entry = {**about, **asdict(mutant), **result._asdict()}
        self.entries[mutant.identity, source] = entry
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return entry


def main(arguments: Sequence[str] | None = None) -> int:
    """Try a sample of mutants of each module, and print which are alive."""
    given = parsed(arguments)
    kept, equivalent = Kept(given.out), equivalents()
    table = ["| module | mutants | killed | in time only | equivalent | alive | share |", "|---" * 7 + "|"]
    entries = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        laboratory = Laboratory(Path(folder), deselected=given.deselect)
        for module in modules_of(given.modules):
            chosen = sampled(
                mutants(module, laboratory.path(module).read_text("utf-8")), given.sample, given.seed
            )
            same = [mutant for mutant in chosen if key_of(asdict(mutant)) in equivalent]
            others = [mutant for mutant in chosen if mutant not in same]
            found = examine(laboratory, module, others, kept, least_seconds=given.seconds)
            found += [{**asdict(mutant), "outcome": "equivalent"} for mutant in same]
            table.append(row(module, found))
            entries += found
    print(
        "\n".join(
            [*table, row("all", entries), "", *(described(e) for e in entries if e["outcome"] == "alive")]
        )
    )
    return int(given.check and share_killed(entries) < GOAL)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=FOLDERS)
    parser.add_argument("--sample", type=int, default=25, metavar="N", help="mutants of a module (25)")
    parser.add_argument("--seed", type=int, default=0, help="which sample (0)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutation.jsonl", metavar="FILE")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        metavar="S",
        help="what takes so long, and 5 times its time, hangs",
    )
    parser.add_argument(
        "--deselect", action="append", default=[], metavar="TEST", help="leave out a test that fails anyway"
    )
    parser.add_argument("--check", action="store_true", help=f"exit with 1 below {GOAL:.0%}% killed")
    return parser.parse_args(arguments)


def modules_of(names: Sequence[str]) -> list[str]:
    """Return the modules named, folders unfolded."""
    top = ROOT / "src" / PACKAGE
    found = []
    for name in names:
        place = top.joinpath(*name.split("."))
        inner = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        if not all(path.is_file() for path in inner):
            sys.exit(f"no module or folder {name} in {top}")
        found += [".".join(path.relative_to(top).with_suffix("").parts) for path in inner]
    return [name for name in found if not name.endswith("__init__")]


def examine(
    laboratory: Laboratory, module: str, chosen: Sequence[Mutant], kept: Kept, *, least_seconds: float
) -> list[dict[str, Any]]:
    """Return what becomes of each mutant of a module: known, or tried now."""
    source = digest([laboratory.path(module)])
    tests = digest([Path(argument) for some in laboratory.arguments(module) for argument in some])
    known = [kept.get(mutant, source, tests) for mutant in chosen]
    if all(known):
        return [dict(entry) for entry in known if entry]
    limit = max(least_seconds, 5 * usual_seconds(laboratory, module.split(".")[0]))
    entries = []
    for mutant, entry in zip(chosen, known, strict=True):
        if entry is None:
            entry = kept.add(mutant, laboratory.try_mutant(mutant, limit_seconds=limit), source, tests)
            print(f"{module}:{mutant.line} {entry['outcome']} {entry['seconds']} s {entry['by']}", flush=True)
        entries.append(dict(entry))
    return entries


def usual_seconds(laboratory: Laboratory, folder: str) -> float:
    """Load the libraries of a folder's tests, and return how long these take without a change."""
    if folder in laboratory.usual:
        return laboratory.usual[folder]
    for _ in range(2):  # with libraries and compiled code in place from the second time on
        result, loaded = laboratory.run(laboratory.all_arguments(folder), limit_seconds=600)
        if result.outcome != "alive":
            sys.exit(
                f"{folder}: its tests fail without any change: {result.by or 'they take over 10 minutes'}"
            )
        load_libraries(loaded)
    laboratory.usual[folder] = result.seconds
    return result.seconds


def digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def equivalents() -> set[tuple[str, str, str]]:
    """Return the mutants that are known to behave as the original."""
    if not EQUIVALENT.is_file():
        return set()
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return {key_of(each) for each in listed if each["reason"]}


def key_of(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["module"], entry["before"], entry["after"]


def row(name: str, entries: Sequence[dict[str, Any]]) -> str:
    """Return a line of the table."""
    outcomes = [entry["outcome"] for entry in entries]
    counts = [len(outcomes), *(outcomes.count(word) for word in ("killed", "timeout", "equivalent", "alive"))]
    return f"| {name} | {' | '.join(map(str, counts))} | {share_killed(entries):.0%} |"


def share_killed(entries: Sequence[dict[str, Any]]) -> float:
    """Return the share that is killed of all that can be; of none, all."""
    counted = [entry["outcome"] != "alive" for entry in entries if entry["outcome"] != "equivalent"]
    return sum(counted) / len(counted) if counted else 1.0


def described(entry: dict[str, Any]) -> str:
    place = f"{PACKAGE}/{entry['module'].replace('.', '/')}.py:{entry['line']} {entry['function']}"
    return f"{place}\n- {entry['before']}\n+ {entry['after']}\n"


if __name__ == "__main__":
    sys.exit(main())
