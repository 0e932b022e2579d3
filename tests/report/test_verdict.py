from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spikesorter.core.spikes import Spikes
from spikesorter.report.cards import unit_cards
from spikesorter.report.results import Result
from spikesorter.report.tables import unit_table
from spikesorter.report.verdict import Shares, measured_score, overall_verdict, quality_of, verdict_of


@pytest.mark.parametrize(
    ("precision", "recall", "level", "words"),
    [
        (0.99, 0.99, "good", ""),
        (0.93, 0.40, "poor", "most are missed"),
        (0.19, 0.95, "poor", "most are false"),
        (0.85, 0.65, "poor", "many are missed, some are false"),
        (0.95, 0.80, "fair", "some are missed"),
    ],
)
def test_the_lower_share_decides_and_what_is_wrong_is_said(
    precision: float, recall: float, level: str, words: str
) -> None:
    shares = Shares(100, 100 * precision, 100 * precision / recall)
    assert (shares.level, shares.words) == (level, words)


def test_what_is_not_known_is_not_said() -> None:
    assert (Shares(0, 0, math.nan).level, Shares(0, 0, math.nan).sentence) == ("unknown", "")
    assert Shares(10, 8, math.nan).sentence == "80 of 100 reported spikes are right"
    assert Shares(0, 0, 10).sentence == "0 of 100 true spikes are found"
    assert Shares(1000, 999, 999).sentence.startswith("more than 99 of 100 reported spikes")


def test_a_result_that_misses_most_spikes_is_poor_whatever_its_score(results: list[Result]) -> None:
    spikes, truth = results[0].spikes, results[0].truth
    assert truth is not None
    few = replace(results[0], spikes=spikes.select(np.arange(len(spikes)) % 5 < 2))
    verdict = verdict_of(few, measured_score(few))
    assert verdict["level"] == "poor"
    assert verdict["text"].startswith("Most spikes are missed: ")
    assert "of 100 true spikes are found. Score 0.8" in verdict["text"]


def test_a_unit_whose_spikes_are_improbable_is_poor_without_true_spikes(results: list[Result]) -> None:
    result = replace(results[0], truth=None)
    spikes = result.spikes
    weak = int(spikes.unit_ids[0])
    doubted = Spikes(
        spikes.sample,
        spikes.unit,
        np.where(spikes.unit == weak, 0.19, spikes.probability),
        spikes.unit_probability,
    )
    table = unit_table(replace(result, spikes=doubted), None)
    row = dict(zip(table["head"], table["rows"][0], strict=True))
    assert row["quality"] == {"level": "poor", "text": "most are false"}
    assert 0.15 < float(row["precision"].split()[1]) <= 0.19
    quality = quality_of(result, None)
    assert quality is not None
    assert quality.units[weak].level == "good"


def test_what_discovery_said_is_in_the_table_and_on_the_cards(results: list[Result]) -> None:
    first, second, *_ = results[0].sorter.units.known
    said = {first: "single", second: "doubtful (near another)"}
    result = replace(results[0], discovered=said)
    table = unit_table(result, None)
    assert table["head"][-1] == "discovered as"
    assert [row[-1] for row in table["rows"]][:3] == ["single", "doubtful (near another)", ""]
    cards = unit_cards(result, None, ())
    assert [card["discovered"] for card in cards][:3] == ["single", "doubtful (near another)", ""]
    assert "discovered as" not in unit_table(results[0], None)["head"]


def test_poor_units_are_named_where_all_together_are_not_poor(results: list[Result]) -> None:
    result = replace(results[0], truth=None)
    spikes = result.spikes
    weak = min(spikes.unit_ids, key=lambda unit: len(spikes.of(unit)))
    doubted = replace(spikes, probability=np.where(spikes.unit == weak, 0.6, spikes.probability))
    one = replace(result, spikes=doubted)
    name = result.sorter.names[weak]
    assert f"Poor unit: {name}." in verdict_of(one, None)["text"]
    assert f"Poor unit: {name}." in overall_verdict([one], [None], None)["text"]
    assert (
        f"Poor unit: {name} (faint)."
        in overall_verdict([result, replace(one, name="faint")], [None] * 2, None)["text"]
    )
    assert "Poor unit" not in verdict_of(result, None)["text"]


def test_the_verdict_on_all_names_the_worst_and_those_without_a_forecast(results: list[Result]) -> None:
    good, other = (replace(one, truth=None) for one in results)
    poor = replace(good, name="faint", spikes=replace(good.spikes, probability=good.spikes.probability * 0.4))
    unlike = replace(
        other, name="odd", spikes=replace(other.spikes, doubts=("its noise is 9 times that of D1",))
    )
    verdict = overall_verdict([good, poor, unlike], [None] * 3, None)
    assert "In faint, most spikes are false." in verdict["text"]
    assert "Nothing can be forecast for 1 of 3 recordings." in verdict["text"]
    assert "score" not in verdict["text"]
    assert overall_verdict([unlike], [None], None) == {
        "level": "unknown", "text": "Nothing can be forecast for 1 of 1 recordings.",
    }  # fmt: skip
