from __future__ import annotations

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.sorting.finding import splitting
from spikesorter.sorting.finding.splitting import LEAST_SPIKES, MIXED, NO_VALLEY, is_mixed, parts_of
from tests.sorting.finding.planted import planted

COUNT = 4 * LEAST_SPIKES


def unit_of(count: int, *, spread: float = 0.0) -> splitting.Explained:
    """Return a unit of d' 10 with spikes at every hundredth sample, of two sizes."""
    spikes = Spikes(200 + 100 * np.arange(count), np.full(count, 3))
    sizes = 1 + np.where(np.arange(count) % 2, spread, -spread)
    return planted(spikes, sizes, {3: 10.0}, n_samples=100 * count + 500)


@pytest.mark.parametrize(
    ("count", "as_one", "gap", "parts"),
    [
        (COUNT, None, 0.5, 2),
        (COUNT, None, NO_VALLEY, 1),  # without a valley, the trains must tell
        (COUNT, False, NO_VALLEY, 2),
        (COUNT, True, NO_VALLEY, 1),
        (COUNT, True, 0.5, 1),
        (COUNT - 1, False, 0.5, 1),
    ],
)
def test_parts_that_fire_as_one_stay_one(
    monkeypatch: pytest.MonkeyPatch, count: int, as_one: bool | None, gap: float, parts: int
) -> None:
    def by_turns(features: np.ndarray, *, seed: int, gap: float, forms: tuple[str, ...]) -> np.ndarray:
        assert forms == (("full",) if gap == NO_VALLEY else ("diag",))
        return np.arange(len(features)) % 2

    monkeypatch.setattr(splitting, "group_waveforms", by_turns)
    monkeypatch.setattr(splitting, "fires_as_one", lambda *_, fs_hz: as_one)
    one = unit_of(count)
    found = parts_of(one, 0, 0, gap=gap)
    assert len(found) == parts
    assert np.array_equal(np.sort(np.concatenate(found)), one.spikes.sample)


@pytest.mark.parametrize(
    ("spread", "several", "mixed"), [(0.151, True, True), (0.149, True, False), (0.2, False, False)]
)
def test_a_mixed_unit_varies_and_has_the_intervals_of_several(
    monkeypatch: pytest.MonkeyPatch, spread: float, several: bool, mixed: bool
) -> None:
    monkeypatch.setattr(splitting, "is_of_several", lambda *_: several)
    assert MIXED == 1.5  # the sizes' SD is `spread`, times a d' of 10
    assert is_mixed(unit_of(COUNT, spread=spread), 0) is mixed
