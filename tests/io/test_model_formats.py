"""What older models are made of is given its present names, sections and units."""

from __future__ import annotations

from typing import Any

import pytest

from spikesorter.io.model_formats import FORMAT_VERSION, READABLE, to_current


def sorter_of_6(period: int | None) -> dict[str, Any]:
    settings = {
        "seed": 3,
        "fs_hz": 25_000.0,
        "decoder": "both",
        "matched_filter": {"kind": "per_class"},
        "detector": {"steps": 7, "threshold": 0.5, "refractory_samples": period, "refractory_scope": "class"},
        "tuning": {
            "on": "labelled",
            "objective": "spike_and_class",
            "per_class": True,
            "thresholds": [0.2, 0.4],
            "refractory_samples": [0, 25],
        },
        "unknown": {"learn": True, "share": 0.1},
    }
    units = {"is": "Repertoire", "sizes": [1.0], "strangers": [], "names": ["class"]}
    prepared = [{"is": "Prepared", "name": "early"}]
    return {
        "is": "Sorter", "fs_hz": 25_000.0, "repertoire": units, "prepared": prepared, "settings": settings
    }  # fmt: skip


@pytest.mark.parametrize(("period", "refractory_ms"), [(50, 2.0), (None, None)])
def test_a_sorter_of_format_6_has_its_present_names(period: int | None, refractory_ms: float | None) -> None:
    assert to_current(sorter_of_6(period), 6) == {
        "is": "Sorter",
        "fs_hz": 25_000.0,
        "units": {"is": "Units", "amplitudes": [1.0], "unlabelled_ids": [], "names": ["class"]},
        "tuned": [{"is": "TunedDecoder", "name": "low_latency"}],
        "settings": {
            "seed": 3,
            "decoder": "combined",
            "recording": {"fs_hz": 25_000.0},
            "matched_filter": {"kind": "per_unit"},
            "detector": {"steps": 7},
            "tuning": {"on": "labelled", "objective": "spike_and_unit", "least_precision": 0.0},
            "unlabelled": {"learn": True},
            "output": {
                "threshold": 0.5,
                "threshold_grid": [0.2, 0.4],
                "per_unit": True,
                "refractory_ms": refractory_ms,
                "refractory_grid_ms": [0.0, 1.0],
                "refractory_scope": "unit",
            },
            "outliers": {"share": 0.1},
        },
    }


def test_a_model_of_the_present_format_stays_as_it_is() -> None:
    assert READABLE == (6, FORMAT_VERSION)
    model = sorter_of_6(50)
    assert to_current(model, FORMAT_VERSION) is model
