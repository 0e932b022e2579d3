"""Which gain a target has: what decides between estimates that are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikesorter.estimation.course import Course
from spikesorter.estimation.gain_evidence import GainChoice
from spikesorter.estimation.profile import Profile
from spikesorter.estimation.size_evidence import WORTH_BELIEVING
from spikesorter.signal.gain import SILENT, Activity, Background
from spikesorter.sorting import target_profile
from spikesorter.sorting.changes import Tracked
from spikesorter.sorting.target_profile import estimate_target

SOME = Background(rate=0.01, amplitude=0.3)
NOBODY: Any = None


def profile_of(gain: float, background: Background = SILENT) -> Profile:
    return Profile(np.zeros(1), np.ones(1, np.float32), NOBODY, Activity(gain, (0.001,) * 3), background)


def as_it_is(raw: Any, profile: Profile, context: Any) -> Profile:
    del raw, context
    return profile


@dataclass
class World:
    """Estimates of a target as they are to be: the profile at each gain, the choices of a gain, and sizes."""

    choices: list[GainChoice]
    sizes: Any = ((1.0,),)
    misfits: tuple[float, float] = (100.0, 100.0)
    backgrounds: dict[float, Background] = field(default_factory=dict)
    better: dict[float, float] = field(default_factory=dict)
    alike: tuple[tuple[float, float], ...] = ()
    labelled: object = field(
        default_factory=lambda: SimpleNamespace(
            units_vary=lambda profile: False,
            profile=None,
            between_spikes=lambda left, gain: ("between", gain),
        )
    )
    estimated: list[tuple[float, bool]] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)

    def compare_gains(self, *_: Any, n_jobs: int) -> Any:
        return self

    def as_good(self, gain: float, other: float) -> bool:
        return (gain, other) in self.alike

    def choose_gain(self, _: Any) -> GainChoice:
        return self.choices.pop(0)

    def estimate_profile(self, gain: float, _: Any, *, gain_known: bool = False) -> Profile:
        self.estimated.append((gain, gain_known))
        return profile_of(self.better.get(gain, gain), self.backgrounds.get(gain, SILENT))

    def refine_profile(
        self, _: Any, profile: Profile, *__: Any, may_be_gain: Any = None, n_jobs: int
    ) -> Profile:
        self.accepted.append(may_be_gain)
        return profile

    def track_changes(self, _: Any, profile: Profile, *__: Any, n_jobs: int) -> Tracked:
        at_one = profile.activity.gain == 1
        course = Course(np.array(self.sizes)) if at_one else Course()
        return Tracked(replace(profile, course=course), self.misfits[at_one])

    def estimate(self, monkeypatch: pytest.MonkeyPatch, levels: Any = as_it_is) -> Profile:
        for name in ("compare_gains", "choose_gain", "estimate_profile", "refine_profile", "track_changes"):
            monkeypatch.setattr(target_profile, name, getattr(self, name))
        monkeypatch.setattr(target_profile, "with_gain", lambda initial, gain, _: gain)
        monkeypatch.setattr(target_profile, "with_noise_levels", levels)
        context = SimpleNamespace(units=SimpleNamespace(unit_ids=(1, 2, 9), known=(1, 2)))
        lessons: Any = SimpleNamespace(context=context, labelled=self.labelled)
        initial: Any = 0.5
        return estimate_target(np.zeros((9, 1)), initial, lessons, n_jobs=1)


def chosen(*gains: float, sharp: bool = False) -> list[GainChoice]:
    return [GainChoice(gain, sharp, "") for gain in gains]


@pytest.mark.parametrize("gain", [1.05, 1.24, 1 / 1.05, 1 / 1.24])
def test_a_gain_near_one_gives_way_to_units_of_other_sizes(
    monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    """The unit without labels, the last one, may have any size."""
    world = World(chosen(gain), sizes=[[1.2, 0.85, 3.0], [1.0, 1.0, 3.0]])
    found = world.estimate(monkeypatch)
    assert found.activity.gain == 1
    assert found.course.sizes.tolist() == world.sizes
    assert world.estimated == [(gain, False), (1.0, True)]
    assert not world.accepted[1](1.0)


@pytest.mark.parametrize("gain", [1.0, 1.04, 1 / 1.04, 1.26, 1 / 1.26, 2.0, -1.1, 0.0])
def test_one_is_not_tried_for_gains_equal_to_it_or_far_from_it(
    monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    world = World(chosen(gain), sizes=[[1.2, 0.85, 3.0]])
    assert world.estimate(monkeypatch).activity.gain == gain
    assert world.estimated == [(gain, False)]


@pytest.mark.parametrize(
    ("sizes", "gain"),
    [([[1.06, 1.06, 1.0]], 1.1), ([[1.04, 1.04, 9.0]], 1.0), ([[1.0]], 1.0), ([[0.7, 1.1, 1.0]], 1.0)],
)
def test_sizes_that_all_change_alike_are_a_gain(
    monkeypatch: pytest.MonkeyPatch, sizes: list[list[float]], gain: float
) -> None:
    """Half the gain's logarithm is 4.9 %. Units that fade are no gain above 1, however much they do."""
    assert World(chosen(1.1), sizes=sizes).estimate(monkeypatch).activity.gain == gain


@pytest.mark.parametrize(("worse", "gain"), [(-50.0, 1.0), (0.0, 1.0), (0.1, 1.1)])
def test_sizes_that_explain_the_target_worse_are_not_believed(
    monkeypatch: pytest.MonkeyPatch, worse: float, gain: float
) -> None:
    misfits = (100.0, 100 + WORTH_BELIEVING + worse)
    assert World(chosen(1.1), misfits=misfits).estimate(monkeypatch).activity.gain == gain


@pytest.mark.parametrize(
    ("background", "noise"), [(SILENT, ("between", 2.0)), (Background(0.01, 0.3), NOBODY)]
)
def test_the_noise_is_that_between_spikes_but_beside_background_spikes_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, background: Background, noise: Any
) -> None:
    world = World(chosen(2.0), backgrounds={2.0: background})
    assert world.estimate(monkeypatch).noise == noise


def test_without_the_labelled_trace_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([], labelled=None)
    assert world.estimate(monkeypatch).activity.gain == 0.5
    assert world.estimated == [(0.5, False)]


@pytest.mark.parametrize("sharp", [True, False])
def test_only_a_sharp_gain_is_refined_and_only_by_one_that_fits_as_well(
    monkeypatch: pytest.MonkeyPatch, sharp: bool
) -> None:
    world = World(chosen(2.0, sharp=sharp), alike=((2.1, 2.0),))
    world.estimate(monkeypatch)
    assert world.accepted[0](2.1) is sharp
    assert not world.accepted[0](2.2)


def test_beside_a_background_the_gain_of_clear_spikes_is_not_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest background spikes are taken for small ones of units."""
    world = World(chosen(2.0, sharp=True), backgrounds={2.0: SOME}, alike=((2.1, 2.0),))
    assert world.estimate(monkeypatch).background == SOME
    assert not world.accepted[0](2.1)


def test_a_gain_that_explains_the_target_beside_a_background_does_not_give_way_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(chosen(0.9), backgrounds={0.9: SOME}, better={0.9: 0.85}, sizes=[[1.2, 0.85, 3.0]])
    assert world.estimate(monkeypatch).activity.gain == 0.85
    assert world.estimated == [(0.9, False)]


def test_where_units_vary_the_noise_is_refined_as_if_it_were_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation by fixed templates leaves more than noise there."""
    seen: list[int] = []

    def levelled(raw: Any, profile: Profile, context: Any) -> Profile:
        return replace(profile, course=Course(levels=np.array([0.5, 1.3])))

    def refined(_: Any, profile: Profile, *__: Any, **___: Any) -> Profile:
        seen.append(len(profile.course.levels))
        return profile

    for vary in (True, False):
        labelled = SimpleNamespace(
            units_vary=lambda profile, vary=vary: vary, profile=None, between_spikes=lambda left, gain: left
        )
        world = World(chosen(1.0), labelled=labelled)
        monkeypatch.setattr(world, "refine_profile", refined)
        world.estimate(monkeypatch, levels=levelled)
        assert world.estimated == [(1.0, vary)]  # nor does the distribution of outputs tell their gain
    assert seen == [1, 2]
