"""Which decoders are tried, and which is chosen."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from spikesorter.core.progress import silent
from spikesorter.core.settings import Settings, load_settings
from spikesorter.decoding import cnn, tuning
from spikesorter.decoding.bench import Bench, Trial
from spikesorter.decoding.registry import decoder_kinds
from spikesorter.decoding.undecided import after_hiding
from spikesorter.estimation.course import STEADY, Course
from spikesorter.estimation.rehearser import Rehearser
from spikesorter.signal.gain import SILENT, Background
from spikesorter.simulate import simulate_study
from spikesorter.sorting import choosing
from spikesorter.sorting.sorter import Sorter
from tests.conftest import BRIEF, FS_HZ

SOME = Background(0.01, 0.2)


@pytest.mark.parametrize(
    ("decoder", "vary", "course", "value", "background", "expected"),
    [
        ("auto", True, STEADY, 0.5, SOME, ["trees", "pursuit", "botm"]),
        ("auto", True, STEADY, 0.999, SOME, ["trees", "pursuit", "botm"]),
        ("auto", False, STEADY, 0.5, SOME, ["pursuit", "botm", "cnn", "combined"]),
        ("auto", False, STEADY, 0.5, SILENT, ["pursuit", "botm"]),
        ("auto", False, STEADY, 0.81, SOME, ["pursuit", "botm"]),
        ("auto", False, STEADY, 0.996, SOME, ["pursuit"]),
        ("auto", False, Course(levels=np.array([1.0, 2.0])), 0.5, SOME, ["pursuit", "botm"]),
        ("combined", True, STEADY, 0.999, SILENT, ["pursuit", "botm", "trees", "cnn", "combined"]),
    ],
)
def test_auto_tries_what_could_be_best(
    monkeypatch: pytest.MonkeyPatch,
    decoder: str,
    vary: bool,
    course: Course,
    value: float,
    background: Background,
    expected: list[str],
) -> None:
    made: list[str] = []

    def kind(name: str, needs: tuple[str, ...] = ()) -> Any:
        def make(_bench: Any, _tried: Any) -> Trial:
            made.append(name)
            return Trial(SimpleNamespace(), np.zeros((1, 1), np.float32))  # type: ignore[arg-type]

        return SimpleNamespace(
            name=name,
            needs=needs,
            make=make,
            uses_networks=name in ("cnn", "combined"),
            preferred=name == "pursuit",
            if_units_vary=name == "trees",
            quickly_judged=False,
        )

    kinds = (kind("pursuit"), kind("botm"), kind("trees"), kind("cnn"), kind("combined", ("pursuit", "cnn")))
    monkeypatch.setattr(choosing, "wanted_kinds", lambda settings, units_vary: kinds)
    tuned = SimpleNamespace(decoder=SimpleNamespace(), value=value, name="any")
    monkeypatch.setattr(choosing, "tune_decoder", lambda *_: SimpleNamespace(tuned=tuned))
    bench = SimpleNamespace(
        context=SimpleNamespace(settings=Settings().replace(decoder=decoder)),
        rehearser=SimpleNamespace(
            labelled_units_vary=vary,
            units_vary=vary,
            cross_fits=True,
            profile=SimpleNamespace(course=course, background=background),
        ),
        progress=lambda *_: None,
    )
    choosing.best_outcome(bench)  # type: ignore[arg-type]
    assert made == expected


@pytest.mark.parametrize(
    ("values", "vary", "expected"),
    [
        ({"botm": 0.81, "pursuit": 0.80}, False, "botm"),
        ({"botm": 0.804, "pursuit": 0.80}, True, "pursuit"),
        ({"botm": 0.81, "pursuit": 0.81, "trees": 0.806}, True, "trees"),
        ({"botm": 0.81, "pursuit": 0.806, "trees": 0.81}, False, "pursuit"),
        ({"botm": 0.80, "pursuit": 0.81, "trees": 0.804}, True, "pursuit"),
    ],
)
def test_of_decoders_that_are_nearly_as_good_the_preferred_one_is_chosen(
    values: dict[str, float], vary: bool, expected: str
) -> None:
    outcomes: Any = [
        (
            SimpleNamespace(preferred=name == "pursuit", if_units_vary=name == "trees"),
            SimpleNamespace(tuned=SimpleNamespace(name=name, value=value)),
        )
        for name, value in values.items()
    ]
    assert choosing._chosen(outcomes, units_vary=vary).tuned.name == expected


def bench_of(sorter: Sorter) -> Bench:
    state, lessons = sorter.state, sorter.state.lessons
    rehearser = Rehearser(lessons.context, state.profile, lessons.labelled)
    return Bench(
        rehearser,
        rehearser.for_tuning(),
        lessons.average,
        lessons.base,
        train=False,
        n_jobs=1,
        progress=silent,
    )


@pytest.fixture(scope="module")
def simulated() -> Any:
    (labelled,) = simulate_study(units=2, seconds=12, noise_levels=())
    return NumpyRecording([labelled.trace], FS_HZ), labelled.spikes


def fitted(simulated: Any, *assignments: str) -> Sorter:
    return Sorter.fit(*simulated, settings=load_settings(assignments=[*BRIEF, *assignments]))


@pytest.mark.slow
def test_base_networks_trained_when_they_are_needed_are_those_of_training(simulated: Any) -> None:
    small = ("detector.filters=4", "detector.base_steps=3", "rehearsal.training_seconds=8")
    at_once, later = (fitted(simulated, f"decoder={name}", *small) for name in ("cnn", "auto"))
    assert at_once.state.base is not None
    assert later.state.base is None
    made = cnn._base_networks(bench_of(later))
    for one, other in zip(at_once.state.base.detector_weights, made.detector_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_linear_discriminants_are_left_out_only_if_they_are_far_behind(
    simulated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(fitted(simulated, "decoder=pursuit"))
    kinds = {kind.name: kind for kind in decoder_kinds()}
    best = choosing.tune_decoder(kinds["pursuit"], kinds["pursuit"].make(bench, {}), bench)
    others = [(kinds["pursuit"], best)]
    assert not choosing._far_behind(kinds["pursuit"], bench, others)  # it is not behind itself
    assert not choosing._far_behind(kinds["botm"], bench, [])
    worse = replace(best, found=best.found[::3])
    assert not choosing._far_behind(kinds["botm"], bench, [(kinds["pursuit"], worse)])
    monkeypatch.setattr(choosing, "FAR_BEHIND", -1.0)
    assert choosing._far_behind(kinds["botm"], bench, others)


def test_what_a_dead_time_may_have_hidden_after_events_without_a_label_is_not_judged(
    simulated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(fitted(simulated, "decoder=pursuit"))
    kinds = {kind.name: kind for kind in decoder_kinds()}
    trial, dead = kinds["pursuit"].make(bench, {}), 60
    monkeypatch.setattr(tuning, "dead_time", lambda *_, **__: dead)
    hiding = bench.rehearsal.spikes.sample[::5] - 30  # before every fifth spike
    told = replace(bench, rehearsal=replace(bench.rehearsal, hiding=hiding))
    plain, seen = (tuning.tune_decoder(kinds["pursuit"], trial, one) for one in (bench, told))
    for before, after in (
        (plain.rehearsal.spikes, seen.rehearsal.spikes),
        (plain.candidates, seen.candidates),
    ):
        assert after_hiding(before.sample, hiding, dead, fs_hz=FS_HZ).any()
        assert not after_hiding(after.sample, hiding, dead, fs_hz=FS_HZ).any()
    assert not after_hiding(seen.found.sample, hiding, dead, fs_hz=FS_HZ).any()
