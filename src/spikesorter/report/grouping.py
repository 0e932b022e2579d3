"""Contents of the viewer's view of features, and of its proposals to merge and split units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikesorter.report.correcting import Corrected
from spikesorter.report.features import Features, amplitudes_of
from spikesorter.report.packing import CODES, pack
from spikesorter.report.proposals import Merge, Split, propose_merges, propose_splits

__all__ = ["feature_contents", "proposal_contents"]

Contents = dict[str, Any]


def feature_contents(features: Features, now: Corrected) -> Contents:
    """Return the features of the measured spikes that are left after corrections.

    Returns
    -------
    dict
        Packed, one value for each spike: `sample` and `was` (its unit) as found, `unit`, `probability`,
        `amplitude`, and `components` with several. `total`: spikes that are left, measured or not.
    """
    left = now.there[features.place]
    shown = Features(features.place[left], features.white[left], features.components[left])
    place = shown.place
    return {
        "sample": pack(now.found_sample[place], "i4"),
        "was": pack(now.found_unit[place], "i4"),
        "unit": pack(now.unit[place], "i4"),
        "probability": pack(np.round(now.probability[place] * now.unit_probability[place] * CODES), "u1"),
        "amplitude": pack(amplitudes_of(shown, now.unit[place]), "f4"),
        "components": pack(shown.components, "f4"),
        "total": int(now.there.sum()),
    }


def proposal_contents(
    features: Features, now: Corrected, *, fs_hz: float, names: Mapping[int, str]
) -> Contents:
    """Return units that could be merged or split, each with its evidence in words.

    Returns
    -------
    dict
        `merges`: `unit`, `to`, `words`, `proposed` of each pair of neighbours; `splits`: `unit`, `words`,
        `proposed`, and `spikes` ([sample, unit] as found) of the smaller mode.
    """
    left = now.there[features.place]
    place = features.place[left]
    shown, unit = Features(place, features.white[left], features.components[left]), now.unit[place]
    merges = propose_merges(shown, unit, now.spikes, fs_hz=fs_hz)
    splits = propose_splits(shown, unit)

    def name(one: int) -> str:
        return names.get(one, str(one))

    def listed(split: Split) -> list[list[int]]:
        chosen = place[split.smaller]
        pairs = zip(now.found_sample[chosen].tolist(), now.found_unit[chosen].tolist(), strict=True)
        return [list(pair) for pair in pairs]

    return {
        "merges": [
            {
                "unit": one.unit,
                "to": one.to,
                "proposed": one.proposed,
                "names": [name(one.unit), name(one.to)],
            }
            | {"words": _merge_words(one)}
            for one in merges
        ],
        "splits": [
            {
                "unit": one.unit,
                "proposed": one.proposed,
                "names": [name(one.unit)],
                "words": _split_words(one),
            }
            | {"spikes": listed(one) if one.proposed else []}
            for one in splits
        ],
    }


def _merge_words(one: Merge) -> str:
    seen = f"{one.coincidences} pairs of spikes within 2 ms, {one.expected:g} expected if independent"
    return f"d\u2032 {one.d_prime:.1f} between their mean waveforms; {seen}"


def _split_words(one: Split) -> str:
    if not one.proposed:
        return (
            f"one mode (d\u2032 {one.d_prime:.1f} between its parts, density between them {one.valley:.2f})"
        )
    return (
        f"two modes, d\u2032 {one.d_prime:.1f} apart, {100 * one.share:.0f} % in the smaller; density "
        f"between them {one.valley:.2f} of the lower one's"
    )
