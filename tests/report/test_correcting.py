"""Any corrections, in any order, taken back and made again: what comes of them, told by simpler code."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spikesorter.core.spikes import Spikes
from spikesorter.report.correcting import DECISIONS, correct, corrected, in_force
from spikesorter.report.corrections import Change, Correction, Edit, changed_spikes
from spikesorter.report.journal import summary

FOUND = Spikes.from_arrays(
    [100, 200, 300, 400, 400], [1, 2, 1, 1, 2], [0.9, 0.6, 1.0, 0.5, 0.4], [1.0, 0.5, 1.0, 0.9, 0.9]
)
SPIKES = [(100, 1), (200, 2), (300, 1), (400, 1), (400, 2)]
OTHERS = [(250, 1), (250, 3), (7, 2)]  # that can be added
units = st.integers(1, 3)
named = st.sampled_from(SPIKES + OTHERS)
some = st.lists(named, min_size=1, max_size=4, unique=True).map(tuple)
single = st.one_of(
    st.builds(
        lambda spike, action: Correction(*spike, action), named, st.sampled_from(["accept", "reject", "undo"])
    ),
    st.builds(lambda spike, to: Correction(*spike, "rename", to), named, units),
    st.builds(lambda spike, to: Correction(*spike, "accept", to), named, units),
    st.builds(lambda spike, to: Correction(*spike, "move", to), named, st.integers(0, 500)),
    st.builds(lambda spike: Correction(*spike, "add"), st.sampled_from(OTHERS)),
)
many = st.one_of(
    st.builds(lambda spikes, action: Edit(action, spikes), some, st.sampled_from(["accept", "reject"])),
    st.builds(lambda spikes, to: Edit("rename", spikes, to=to), some, units),
    st.builds(lambda unit, by: Edit("merge", unit=unit, to=(unit + by) % 3 + 1), units, st.integers(0, 1)),
)
steps = st.sampled_from([Edit("undo"), Edit("redo")])
changes = st.lists(st.one_of(single, many, steps), min_size=3, max_size=14)


@dataclass
class One:
    """A spike as simpler code has it."""

    sample: int
    unit: int
    probability: float
    of: float
    there: bool
    decision: str = ""
    home: int = 0  # its unit, if nothing had been decided of it but merges
    alone: bool = False  # whether it was decided on by itself, last


def decided(one: One, first: One, change: Change) -> One:
    if change.action == "undo":
        return replace(first, unit=one.home, home=one.home)
    if change.action == "rename" and isinstance(change, Edit) and not one.there:
        return one
    back = first if change.action == "add" and not one.there else one
    of = change.to if change.to is not None and change.action != "move" else back.unit
    at = change.to if change.to is not None and change.action == "move" else back.sample
    sure = one.probability if isinstance(change, Edit) and change.action == "rename" else 1.0
    word = next(word for word in DECISIONS if word.startswith(change.action[:3]))
    alone = isinstance(change, Correction)
    return One(at, of, sure, 1.0, change.action != "reject", word, home=one.home, alone=alone)


def simply(made: list[Change]) -> dict[tuple[int, int], One]:
    """All spikes after changes, by their names; undo and redo go back and forth in a list."""
    held: list[Change] = []
    upto = 0
    for change in made:
        if isinstance(change, Edit) and change.action in ("undo", "redo"):
            upto = max(upto - 1, 0) if change.action == "undo" else min(upto + 1, len(held))
        else:
            held, upto = [*held[:upto], change], upto + 1
    values = zip(SPIKES, FOUND.probability.tolist(), FOUND.unit_probability.tolist(), strict=True)
    first = {spike: One(*spike, sure, of, there=True, home=spike[1]) for spike, sure, of in values}
    added = [change for change in held[:upto] if change.action == "add"]
    first |= {
        spike: One(*spike, 1.0, 1.0, there=False, home=spike[1])
        for change in added
        for spike in changed_spikes(change)
    }
    now = {spike: replace(one) for spike, one in first.items()}
    for change in held[:upto]:
        if isinstance(change, Edit) and change.action == "merge":
            to = {change.unit: change.to}
            now = {
                k: replace(o, unit=to.get(o.unit, o.unit), home=to.get(o.home, o.home))
                for k, o in now.items()
            }
        for spike in changed_spikes(change):
            if spike in now:
                now[spike] = decided(now[spike], first[spike], change)
    return now


@given(changes)
@example([Edit("merge", unit=3, to=1), Correction(250, 3, "add")])
@example([Correction(250, 3, "add"), Correction(250, 3, "undo")])
@example([Correction(200, 2, "reject"), Edit("merge", unit=2, to=3), Correction(200, 2, "undo")])
@example([Correction(100, 1, "reject"), Edit("rename", ((100, 1), (300, 1)), to=3)])
@example([Correction(100, 1, "reject"), Edit("undo"), Correction(200, 2, "reject"), Edit("redo")])
@example([Correction(250, 3, "add"), Correction(250, 3, "reject"), Edit("undo"), Edit("undo"), Edit("redo")])
def test_what_comes_of_corrections_is_what_simpler_code_says(made: list[Change]) -> None:
    now, expected = correct(FOUND, made), simply(made)
    names = zip(now.found_sample.tolist(), now.found_unit.tolist(), strict=True)
    seen = {
        spike: One(int(now.sample[k]), int(now.unit[k]), float(now.probability[k]), 0.0, bool(now.there[k]))
        for k, spike in enumerate(names)
    }
    assert {spike: (one.sample, one.unit, one.there) for spike, one in seen.items()} == {
        spike: (one.sample, one.unit, one.there) for spike, one in expected.items()
    }
    assert now.home.tolist() == [expected[spike].home for spike in seen]
    assert now.alone.tolist() == [expected[spike].alone for spike in seen]
    assert [DECISIONS[code] for code in now.decision] == [expected[spike].decision for spike in seen]
    assert now.probability == pytest.approx([expected[spike].probability for spike in seen])
    assert now.unit_probability == pytest.approx([expected[spike].of for spike in seen])
    most: dict[tuple[int, int], float] = {}
    for one in (one for one in expected.values() if one.there):
        place = one.sample, one.unit
        most[place] = max(most.get(place, 0.0), one.probability * one.of)
    left = now.spikes
    assert list(zip(left.sample.tolist(), left.unit.tolist(), strict=True)) == sorted(most)
    assert left.joint == pytest.approx([most[place] for place in sorted(most)])


@given(changes, changes)
def test_what_was_taken_back_leaves_no_trace(made: list[Change], more: list[Change]) -> None:
    held, undone = in_force(made)
    assert corrected(FOUND, made) == corrected(FOUND, held)
    assert summary(made) == summary(held)
    assert in_force([*held, *reversed(undone), *[Edit("undo")] * len(undone)]) == (held, undone)
    assert in_force([*made, Edit("undo"), Edit("redo")])[0] == held
    assert in_force([*made, Edit("redo")])[0] == [*held, *undone[-1:]]
    forward = [*made, *more]
    assert len(in_force(forward)[0]) + len(in_force(forward)[1]) <= len(forward)


@given(st.permutations(SPIKES), st.lists(single, min_size=5, max_size=5))
def test_the_order_of_corrections_of_different_spikes_does_not_matter(
    order: list[tuple[int, int]], said: list[Correction]
) -> None:
    by_spike = {
        spike: replace(one, sample=spike[0], unit=spike[1]) for spike, one in zip(SPIKES, said, strict=True)
    }
    expected = correct(FOUND, by_spike.values())
    other = correct(FOUND, [by_spike[spike] for spike in order])
    for name in ("sample", "unit", "probability", "unit_probability", "decision", "there"):
        assert np.array_equal(getattr(other, name), getattr(expected, name)), name


def test_merges_of_units_without_spikes_do_nothing_and_others_are_one_after_the_other() -> None:
    assert corrected(FOUND, [Edit("merge", unit=9, to=1)]) == FOUND
    assert (
        corrected(Spikes.empty(), [Edit("merge", unit=1, to=2), Correction(3, 1, "reject")]) == Spikes.empty()
    )
    there_and_back = [Edit("merge", unit=1, to=2), Edit("merge", unit=2, to=1)]
    assert corrected(FOUND, there_and_back).unit_ids == (1,)  # not exchanged
    emptied = [Edit("merge", unit=1, to=2), Edit("merge", unit=1, to=5)]
    assert corrected(FOUND, emptied).unit_ids == (2,)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), max_size=8))
def test_spikes_are_found_by_their_names_and_no_others(asked: list[tuple[int, int]]) -> None:
    asked = [
        *asked,
        SPIKES[3],
        (10**15, 1),
        (99, 4),
    ]  # (99, 4) and (100, 1) would be one number, if units were 3
    places = correct(FOUND, [Edit("merge", unit=1, to=2)]).places(asked)
    assert [SPIKES[k] for k in places] == [spike for spike in asked if spike in SPIKES]


def test_what_was_found_is_never_changed_itself() -> None:
    found = FOUND.described(fs_hz=100.0, names={1: "9", 2: "b"})
    before = [getattr(found, name).copy() for name in ("sample", "unit", "probability", "unit_probability")]
    now = correct(
        found, [Correction(100, 1, "rename", 9), Correction(200, 2, "move", 1), Edit("merge", unit=1, to=9)]
    )
    assert now.names[9] == "9 (new)"
    assert found.names == {1: "9", 2: "b"}
    after = [getattr(found, name) for name in ("sample", "unit", "probability", "unit_probability")]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_spikes_are_added_to_known_units_alone() -> None:
    added = [Correction(10, 1, "add"), Correction(20, 7, "add"), Correction(30, 8, "add")]
    assert correct(FOUND, added, known=[7]).spikes.sample[:3].tolist() == [10, 20, 100]
    assert len(correct(FOUND, [*added, *added]).spikes) == len(FOUND) + 3
