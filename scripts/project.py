"""Set-up, demo and tests on any system: `python scripts/project.py TASK`.

`make` and `make.cmd` both call this. It needs nothing but Python 3.11 or later; all else goes into `.venv`,
installed once, and again only when pyproject.toml changes. Without a task it lists all tasks.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
USER_VENV = ROOT / ".venv-user"  # what a user needs, without the tools
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = "installed.txt"
DEMO = Path("demo")  # in the project's folder, where all commands run
SITE = Path("build") / "site"
JAVASCRIPT = ("src/spikesorter/report/assets", "docs/_static")
OLDEST = ROOT / ".venv-oldest"
LOCK = "requirements.lock"
EXTRAS = (
    "cluster",
    "edf",
    "live",
    "nex",
    "nwb",
    "parquet",
    "phy",
    "plot",
    "pynapple",
)  # what users may want beside the core


def main() -> int:
    """Run the task named on the command line."""
    every = (setup, demo, test, quick, lint, coverage, oldest, docs, lock, release_check)
    tasks = {task.__name__.replace("_", "-"): task for task in every}
    if len(sys.argv) != 2 or sys.argv[1] not in tasks:
        listed = "".join(f"  {name:<13} {inspect.getdoc(task)}\n" for name, task in tasks.items())
        sys.stderr.write(f"usage: python scripts/project.py TASK\n\n{listed}")
        return 2
    try:
        tasks[sys.argv[1]]()
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    return 0


def setup() -> None:
    """Install the package and its tools into .venv, unless that is done."""
    install(VENV, "dev,docs", "about 1.9 GB on disk")


def install(venv: Path, extras: str, size: str) -> None:
    """Install the package with extras into an environment, unless that is done."""
    if sys.version_info < (3, 11):  # noqa: UP036 (whoever calls this may have an older one)
        sys.exit(f"Python 3.11 or later is needed; this is {sys.version.split()[0]}")
    if installed(venv):
        return
    print(f"Installing into {venv.name} ({size}, once; a minute or two) ...", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    run(sys.executable, "-m", "venv", str(venv))
    its_python = str(venv / BIN.name / executable("python"))
    quiet = ("-qq", "--disable-pip-version-check")
    run(its_python, "-m", "pip", "install", *quiet, "--editable", f"{ROOT}[{extras}]")
    (venv / STAMP).write_text(made_from())


def installed(venv: Path) -> bool:
    """Whether an environment holds what pyproject.toml asks for now."""
    stamp = venv / STAMP
    current = stamp.is_file() and stamp.read_text() == made_from()
    return current and (venv / BIN.name / executable("spikesorter")).exists()


def made_from() -> str:
    """Return a digest of what decides what is installed."""
    return hashlib.sha256(((ROOT / "pyproject.toml").read_text("utf-8") + sys.version).encode()).hexdigest()


def demo() -> None:
    """Simulate a small study, run everything on it, and draw a picture; installs what a user needs."""
    venv = VENV if installed(VENV) else USER_VENV
    install(venv, "plot", "about 1.2 GB on disk")
    program = venv / BIN.name / executable("spikesorter")

    def spikesorter(*arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        print("$ spikesorter", " ".join(words), flush=True)
        run(str(program), *words)

    shutil.rmtree(ROOT / DEMO, ignore_errors=True)
    study, out = DEMO / "study", DEMO / "out"
    spikesorter("simulate", study)
    small = {
        "rehearsal.training_seconds": 100,
        "detector.steps": 600,
        "detector.base_steps": 1200,
        "classifier.steps": 600,
    }
    quicker = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    spikesorter("run", study, "--out", out, *quicker)
    name = "D3"
    spikesorter(
        *("plot", study / f"{name}.mat", "--out", DEMO / f"{name}.png", "--start", 1, "--seconds", 0.25),
        *("--found", out / "predictions" / f"{name}.mat", "--truth", study / "truth" / f"{name}.mat"),
    )


def test() -> None:
    """Run everything that CI runs."""
    check()
    pytest()


def quick() -> None:
    """Run style, types, the quick tests, and build what has changed of the documentation."""
    check(anew=False)
    pytest("-m", "not slow")


def lint() -> None:
    """Check style and types of the Python code, and the JavaScript."""
    setup()
    style()
    types()


def check(*, anew: bool = True) -> None:
    """Check style and types and build the documentation, the last two side by side: each uses one core."""
    setup()
    style()
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(types), pool.submit(docs, anew=anew)]:
            done.result()


def style() -> None:
    """Check the style of the Python code, and the JavaScript."""
    run(python(), "-m", "ruff", "format", "--check", ".")
    run(python(), "-m", "ruff", "check", ".")
    run(str(BIN / executable("oxlint")), "--deny-warnings", *JAVASCRIPT)


def types() -> None:
    """Check the types of the Python code."""
    run(python(), "-m", "mypy")


def coverage() -> None:
    """Measure which lines and branches the quick tests run; build/coverage/html shows them."""
    setup()
    pytest("-m", "not slow", "--cov", "--cov-report=term", "--cov-report=html")


def oldest() -> None:
    """Run the quick tests with the oldest version of each dependency that pyproject.toml allows."""
    setup()
    pins = ROOT / "build" / "oldest.txt"
    pins.parent.mkdir(exist_ok=True)
    resolve("--resolution", "lowest-direct", "--python", python(), "--output-file", str(pins))
    run(uv(), "venv", "-q", "--clear", "--python", python(), str(OLDEST))
    there = str(OLDEST / BIN.name / executable("python"))
    run(uv(), "pip", "install", "-q", "--python", there, "-c", str(pins), "--editable", f"{ROOT}[dev]")
    # Old libraries with newer ones beside them are deprecated in places that are not ours.
    old = ("-W", "default", "-o", "filterwarnings=default")
    pytest("-m", "not slow", *old, interpreter=there)


def lock() -> None:
    """Write down the newest versions that are allowed, of everything, so that a run can be repeated."""
    setup()
    resolve("--universal", "--upgrade", "--no-header", "--no-annotate", "--output-file", LOCK)


def release_check() -> None:
    """Check all that a release needs and that can be checked here; print what cannot."""
    setup()
    run(python(), str(ROOT / "scripts" / "release_check.py"))


def docs(*, anew: bool = True) -> None:
    """Build the documentation into build/site; a warning is an error."""
    setup()
    if anew:
        shutil.rmtree(ROOT / SITE, ignore_errors=True)
    fresh = ["-E"] if anew else []
    run(
        python(),
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        *fresh,
        "-d",
        "build/doctrees",
        "docs",
        str(SITE),
    )
    os.environ["SPIKESORTER_SITE"] = str(ROOT / SITE)  # its tests need not build it again
    print(f"Documentation: {SITE / 'index.html'}", flush=True)


def pytest(*options: str, interpreter: str | None = None) -> None:
    """Run the tests in two processes, as most of them use one core; tests/conftest.py says in which order."""
    shared = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=20")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles all tests anew, for seconds
    run(interpreter or python(), "-m", "pytest", "-q", *shared, *options)


def resolve(*options: str) -> None:
    """Choose a version of each dependency, of the core and of `EXTRAS`."""
    extras = [word for name in EXTRAS for word in ("--extra", name)]
    run(uv(), "pip", "compile", "-q", *extras, *options, "pyproject.toml")


def run(*command: str) -> None:
    """Run a command in the project's folder; its failure is ours."""
    subprocess.run(command, check=True, cwd=ROOT)


def python() -> str:
    """Return the path of the project's own Python."""
    return str(BIN / executable("python"))


def uv() -> str:
    """Return the path of the resolver, which .venv holds."""
    return str(BIN / executable("uv"))


def executable(name: str) -> str:
    """Return a program's file name on this system."""
    return f"{name}.exe" if os.name == "nt" else name


if __name__ == "__main__":
    sys.exit(main())
