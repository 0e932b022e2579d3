"""Which decoders are tried, and which is chosen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.core.settings import Settings
from spikesorter.decoding.bench import Trial
from spikesorter.estimation.course import STEADY, Course
from spikesorter.signal.gain import SILENT, Background
from spikesorter.sorting import choosing

SOME = Background(0.01, 0.2)


@pytest.mark.parametrize(
    ("decoder", "vary", "course", "value", "background", "expected"),
    [
        ("auto", True, STEADY, 0.5, SOME, ["pursuit", "botm", "trees", "cnn"]),
        ("auto", True, STEADY, 0.999, SOME, ["pursuit", "botm", "trees", "cnn"]),
        ("auto", False, STEADY, 0.5, SOME, ["pursuit", "botm", "cnn", "combined"]),
        ("auto", False, STEADY, 0.5, SILENT, ["pursuit", "botm"]),
        ("auto", False, STEADY, 0.81, SOME, ["pursuit", "botm"]),
        ("auto", False, STEADY, 0.996, SOME, ["pursuit"]),
        ("auto", False, Course(levels=np.array([1.0, 2.0])), 0.5, SOME, ["pursuit", "botm", "cnn"]),
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
