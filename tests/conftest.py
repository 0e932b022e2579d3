from __future__ import annotations

import gc
import logging
import os
import shutil
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from spikesorter.core.settings import Settings, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.context import Context
from spikesorter.estimation.estimate import estimate_initially, estimate_profile
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.units import Units
from spikesorter.io.mat_writing import write_mat, write_mat_recording
from spikesorter.report.results import Result, open_results
from spikesorter.signal.spans import Margin, iterate_spans, read_span
from spikesorter.signal.templates import Templates
from spikesorter.simulate import simulate_study
from spikesorter.workflows.study import run_study

FS_HZ = 25_000.0
NO_ZARR = "Writing to zarr is not supported yet"  # what SpikeInterface says where zarr 3 is installed
# The first call may compile, so nothing is timed. Each run tries the same, so that no chance decides whether
# work lands; HYPOTHESIS_PROFILE=search looks for what nobody has thought of.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
# To try 21 thresholds for each unit takes longer than to sort what they are tried on.
FEW_THRESHOLDS = "output.threshold_grid=[0.1, 0.3, 0.5, 0.7, 0.9]"
# As many steps for a target as for the base network: JAX compiles training for each number of steps.
NETWORKS = (
    "rehearsal.training_seconds=20",
    "rehearsal.tuning_seconds=10",
    "rehearsal.forecast_seconds=30",
    "detector.filters=12",
    "detector.base_steps=120",
    "detector.steps=120",
    "detector.batch_windows=32",
    "classifier.filters=12",
    "classifier.base_steps=60",
    "classifier.steps=60",
)
QUICK = (*NETWORKS, FEW_THRESHOLDS)
# While one process compiles what Numba keeps, on a new checkout, in the first of these files that is run,
COMPILING = ("tests/workflows/test_main_job.py", "tests/decoding/test_pursuit.py")
# another has half a minute of tests that need none of it; otherwise both would compile the same.
MEANWHILE = (
    "tests/decoding/test_networks.py",
    "tests/decoding/test_nets.py",
    "tests/benchmarks/test_mutation.py",
    "tests/io/test_lies.py",
    "tests/io/test_foreign_objects.py",
    "tests/io/test_atomic.py",
    "tests/io/test_recording.py",
)
# Then what takes longest.
LONG = (
    "tests/sorting/test_dead_groups.py",
    "tests/sorting/test_broken_channels.py",
    "tests/browser/test_report.py",
    "tests/faults/test_killed.py",
    "tests/workflows/test_targets.py",
    "tests/workflows/test_batch.py",
    "tests/properties",
    "tests/integrations",
    "tests/sorting/test_groups.py",
    "tests/workflows/test_exporting.py",
    "tests/estimation/test_passband.py",
    "tests/decoding/test_gibbs.py",
    "tests/test_docs.py",
    "tests/faults/test_lost.py",
    "tests/sorting/test_unlabelled_units.py",
    "tests/cli/test_cli.py",
    "tests/cli/test_formats.py",
    "tests/sorting/test_discovery.py",
    "tests/workflows/test_processes.py",
    "tests/sorting/test_sorter.py",
    "tests/browser/test_viewer.py",
    "tests/test_exactness.py",
    "tests/sorting/test_changes.py",
)
# Little to rehearse, and few thresholds to try: enough wherever not how well it sorts is tested.
BRIEF = (
    "rehearsal.tuning_seconds=5",
    "rehearsal.forecast_seconds=5",
    FEW_THRESHOLDS,
)
# Tests of a file share what takes long to make; so do those of these folders,
TOGETHER = ("tests/integrations", "tests/properties")
# and in these files only those with the same first parameter.
SPLIT = ("tests/test_exactness.py",)
PURSUIT = ("decoder=pursuit", *BRIEF)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def nothing_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """SpikeInterface compares templates by code that it compiles anew in each process, for ten seconds."""
    from spikeinterface.postprocessing import template_similarity as module

    monkeypatch.setattr(module, "_compute_similarity_matrix", module._compute_similarity_matrix_numpy)


@pytest.fixture(scope="session")
def quick_settings() -> Settings:
    """Small networks and short rehearsals: seconds rather than minutes, and worse."""
    return load_settings(assignments=QUICK)


@pytest.fixture(scope="session")
def shapes() -> Templates:
    """Two known shapes of 40 samples, starting at sample 10 of the window."""
    t = np.arange(40) - 10
    rise = np.where(t > 0, t / 5 * np.exp(1 - t / 5), 0.0)
    slow = np.where(t > 0, t / 9 * np.exp(1 - t / 9) - 0.3 * (t / 20), 0.0)
    return Templates((1, 2), np.stack([6 * rise, 4 * slow]).astype(np.float32)[:, :, None], before=10)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first test process to ask for it makes; the others wait until it is made."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = factory.mktemp(name)
        make(folder)
        return folder
    folder = factory.getbasetemp().parent / name
    made = folder.with_name(f"{name}-made")
    try:
        folder.mkdir()
    except FileExistsError:
        while not made.exists():
            time.sleep(0.05)
        return folder
    try:
        make(folder)
    finally:  # the others fail, rather than wait for ever
        made.touch()
    return folder


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one labelled recording and two targets, 8 s each, three neurons."""
    return made_once(tmp_path_factory, "study", write_study)


def write_study(folder: Path) -> None:
    recordings = simulate_study(units=3, seconds=8, noise_levels=(0.5, 1.0), seed=3)
    for number, recording in enumerate(recordings, start=1):
        labels = recording.spikes if number == 1 else None
        write_mat_recording(folder / f"D{number}.mat", recording.trace, fs_hz=FS_HZ, labels=labels)
        write_mat(folder / "truth" / f"D{number}.mat", recording.spikes, probability=False)


@pytest.fixture(scope="session")
def sorted_study(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of the study by the pursuit alone leaves; for tests that only look at it."""
    settings = load_settings(assignments=PURSUIT)

    def make(folder: Path) -> None:
        run_study(study_folder, folder / "out", settings, n_jobs=1, report=False)

    return made_once(tmp_path_factory, "sorted", make) / "out"


@pytest.fixture(scope="session")
def labelled_model(sorted_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of that run without what was adapted to its targets: one sorter, loaded in a moment."""
    folder = tmp_path_factory.mktemp("labelled") / "model"
    return Path(shutil.copytree(sorted_study / "model", folder, ignore=shutil.ignore_patterns("targets")))


@pytest.fixture(scope="session")
def results(sorted_study: Path) -> list[Result]:
    return open_results(sorted_study)


@contextmanager
def warnings_kept() -> Iterator[list[str]]:
    """Keep what the program warns of in a block, for fixtures of a module: `caplog` is for single tests."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    said: list[str] = []
    handler, logger = Kept(logging.WARNING), logging.getLogger("spikesorter")
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def run_in_spans(
    operator: Callable[[np.ndarray], np.ndarray], trace: np.ndarray, *, margin: Margin, span_samples: int
) -> np.ndarray:
    """Run a local operator span by span, as a sorter runs it over a long recording."""
    outputs = []
    for start, stop in iterate_spans(len(trace), span_samples):
        first, last = start - margin.before, stop + margin.after
        output = operator(read_span(lambda a, b: trace[a:b], len(trace), first, last))
        outputs.append(output[margin.before : margin.before + stop - start])
    return np.concatenate(outputs)


def memory_of(work: Callable[[], object]) -> int:
    """Bytes that Python and NumPy hold at most while something is done, beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def poisson_spikes(
    rng: np.random.Generator, *, n_samples: int, count: int, unit_ids: tuple[int, ...] = (1, 2)
) -> Spikes:
    """Spikes at independent times, away from the ends."""
    return Spikes.from_arrays(rng.integers(100, n_samples - 200, count), rng.choice(unit_ids, count))


def profile_of(trace: np.ndarray, units: Units, settings: Settings, *, fs_hz: float) -> Profile:
    context = Context.of(units, settings, fs_hz=fs_hz)
    return estimate_profile(estimate_initially(trace, context), context)


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled networks for all test processes, and give each of these a core of its own.

    Otherwise each process compiles them anew, which takes longer than to train them, and the threads of
    libraries wait for each other.
    """
    if cache := getattr(config, "cache", None):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    if config.getoption("numprocesses", None):  # a process of one core would wait for its own threads
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def group_of(nodeid: str) -> str:
    """Return the name of the tests that share what is made for them, of which the given one is a member."""
    file = nodeid.partition("::")[0]
    if folder := next((name for name in TOGETHER if file.startswith(f"{name}/")), None):
        return folder
    parameter = nodeid.rpartition("[")[2].partition("-")[0].rstrip("]") if file in SPLIT else ""
    return f"{file} {parameter}".strip()


class InGroups(LoadScopeScheduling):
    """Give the tests of a group to one process, which makes once what they share."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> InGroups:
    return InGroups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Skip what has to write zarr where SpikeInterface cannot, as on Python 3.14; reading works there."""
    try:
        return (yield)
    except NotImplementedError as error:
        if NO_ZARR in str(error):
            pytest.skip(str(error))
        raise


@pytest.hookimpl(trylast=True)  # when those that are not wanted are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest, otherwise one process would still run it when all others are done."""
    groups = [group_of(item.nodeid).partition(" ")[0] for item in items]
    compiling = [name for name in COMPILING if name in groups][:1]
    ranks = {name: rank for rank, name in enumerate([*compiling, *MEANWHILE, *LONG])}
    items.sort(key=lambda item: ranks.get(group_of(item.nodeid).partition(" ")[0], len(ranks)))


def pytest_collection_finish() -> None:
    """Have the garbage collector leave out what is there already, which it would search again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _files_left_open_are_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what the last test of a file left open, in a file that allows it; a later one may not."""
    yield
    marks = request.node.own_markers
    if any("ResourceWarning" in str(mark.args) for mark in marks if mark.name == "filterwarnings"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
