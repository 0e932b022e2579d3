"""Where a user points, and where a spike is looked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.report import placing
from spikesorter.report.placing import best_place
from spikesorter.sorting.placing import Placement

PLACED = Placement(1, 2, 3.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int | None]]:
    """Ranges and units that a placer was asked for; it knows units 1 and 2."""
    seen: list[tuple[int, int, int | None]] = []

    def best(recording: Any, others: Spikes, start: int, stop: int, *, unit: int | None) -> Placement:
        seen.append((start, stop, unit))
        return PLACED

    monkeypatch.setattr(placing, "_placer", lambda sorter: SimpleNamespace(units=(1, 2), best=best))
    return seen


@pytest.mark.parametrize(
    ("sample", "expected"),
    [(5000, (4980, 5009)), (7, (0, 16)), (0, (0, 9)), (9995, (9975, 10_000)), (9999, (9979, 10_000))],
)
def test_it_is_looked_for_from_1_ms_before_to_04_ms_after_inside_the_recording(
    asked: list[tuple[int, int, int | None]], sample: int, expected: tuple[int, int]
) -> None:
    result: Any = SimpleNamespace(sorter=SimpleNamespace(fs_hz=20_000.0), recording=None, n_samples=10_000)
    for unit in (None, 2):
        assert best_place(result, Spikes.empty(), sample, unit) is PLACED
    assert best_place(result, Spikes.empty(), sample, 3) is None  # has no template
    assert asked == [(*expected, None), (*expected, 2)]
