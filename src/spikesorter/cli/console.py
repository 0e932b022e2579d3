"""Print lines and tables on standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spikesorter.core.text import visible

if TYPE_CHECKING:
    from spikesorter.core.comparison import Comparison
    from spikesorter.core.score import Score
    from spikesorter.sorting.model import Model
    from spikesorter.sorting.sorter import Sorter
    from spikesorter.workflows.one_recording import SortedFile
    from spikesorter.workflows.study import TargetResult
    from spikesorter.workflows.tasks import Outcome

__all__ = [
    "bad_line",
    "echo",
    "model_json",
    "outcome_line",
    "print_batch",
    "print_comparisons",
    "print_confusion",
    "print_left_out",
    "print_model",
    "print_scores",
    "print_study",
    "result_line",
    "sorted_json",
    "sorted_line",
    "sorter_line",
    "study_json",
]
OF_DETECTION = "precision, recall: of spikes of any unit; those in the report ask for the right unit too"


def echo(line: str, *, err: bool = False) -> None:
    """Print a line on standard output, or on standard error; control characters are shown as escapes."""
    typer.echo(visible(line), err=err)


def _cell(text: str) -> str:
    """Return a text for a cell of a table, with neither markup nor control characters."""
    from rich.markup import escape

    return escape(visible(text))


def sorter_line(name: str, sorter: Sorter) -> str:
    """Return a line on the recording that a sorter is adapted to: noise, gain, rate, forecast."""
    profile = sorter.profile
    noise = ", ".join(f"{float(value):.3g}" for value in profile.scale)
    rate = sum(profile.activity.rates) * sorter.fs_hz
    return (
        f"{name}: {_channels(sorter)}noise {noise}, gain {profile.activity.gain:.2f}, {rate:.1f} spikes/s, "
        f"{sorter.decoder}, forecast {_forecast(sorter)}"
    )


def _channels(sorter: Sorter) -> str:
    """Return which channels a sorter goes by, if it does not go by all."""
    used = sorter.used_channels
    return f"channels {', '.join(used)} of {sorter.channels}, " if len(used) < sorter.channels else ""


def result_line(result: TargetResult) -> str:
    """Return a line on the result of a target."""
    line = f"{result.name}: {len(result.spikes)} spikes"
    line += f", score {result.score.score:.3f}" if result.score else ""
    lost = result.spikes.bad.samples / (result.spikes.fs_hz or 1.0)
    return line + (f"; {lost:.3g} s are bad" if lost else "")


def bad_line(one: SortedFile) -> str | None:
    """Return a line on the bad stretches of a sorted recording; None if it has none."""
    from spikesorter.sorting.screening import described

    bad, fs_hz = one.spikes.bad, one.spikes.fs_hz
    return f"{one.title}: {described(bad, one.n_samples, fs_hz=fs_hz)}" if len(bad) and fs_hz else None


def sorted_line(one: SortedFile, *, discovered: bool = False) -> str:
    """Return a line on a sorted recording, with its expected score."""
    from spikesorter.sorting.each_group import doubts_about
    from spikesorter.sorting.model import LABELLED

    learnt = "of the units found" if discovered else "as first learnt, not adapted"
    how = learnt if one.adapted_to == LABELLED else f"as adapted to {one.adapted_to}"
    held = [_forecast(sorter) for group, sorter in one.sorters.items() if not doubts_about(one.doubts, group)]
    forecasts = f"forecast {', '.join(held)}" if held else "no forecast"
    if one.doubts:
        forecasts += "; see the warnings"
    lacking = ", ".join(channel for ids in one.left_out.values() for channel in ids)
    forecasts = f"without channel {lacking}, {forecasts}" if lacking else forecasts
    return f"{one.title}: {len(one.spikes)} spikes ({how}), {forecasts}"


def outcome_line(outcome: Outcome) -> str:
    """Return a line on the outcome of a recording of a batch."""
    if outcome.state == "failed":
        return f"{outcome.name}: failed: {outcome.reason}"
    again = "" if outcome.state == "done" else "; sorted before"
    bad = f"; bad and left out: {_listed(outcome.bad_s)}" if outcome.bad_s else ""
    forecast = f"forecast {_expected(outcome)}" if outcome.forecast else "no forecast"
    doubts = "".join(f"; {doubt}" for doubt in outcome.doubts)
    lacking = ", ".join(channel for ids in outcome.left_out.values() for channel in ids)
    without = f"; without channel {lacking}" if lacking else ""
    return f"{outcome.name}: {outcome.spikes} spikes, {forecast}{without}{doubts}{bad}{again}"


def print_batch(outcomes: list[Outcome]) -> None:
    """Print the outcome of each recording, failures last."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("recording", overflow="fold")
    lost = any(one.bad_s for one in outcomes)
    for column in ("spikes", "forecast", *(("bad (s)",) if lost else ()), "seconds", "MB"):
        table.add_column(column, justify="right")
    table.add_column("", overflow="fold")
    for one in sorted(outcomes, key=lambda outcome: outcome.state == "failed"):
        if one.state == "failed":
            cells = ["", "", *([""] if lost else []), f"{one.seconds:.1f}", ""]
            table.add_row(_cell(one.name), *cells, _cell(f"failed: {one.reason}"))
        else:
            bad = [f"{sum(one.bad_s.values()):.3g}" if one.bad_s else ""] if lost else []
            cells = [str(one.spikes), _expected(one), *bad, f"{one.seconds:.1f}", f"{one.peak_mb:.0f}"]
            table.add_row(_cell(one.name), *cells, "" if one.state == "done" else "sorted before")
    Console().print(table)
    counts = {state: sum(one.state == state for one in outcomes) for state in ("done", "kept", "failed")}
    words = f"{counts['done']} sorted, {counts['kept']} sorted before, {counts['failed']} failed"
    Console(highlight=False).print(words)


def _listed(bad_s: Mapping[str, float]) -> str:
    return ", ".join(f"{kind} {seconds:.3g} s" for kind, seconds in bad_s.items())


def _expected(outcome: Outcome) -> str:
    return ", ".join(f"{one['score']:.3f}" for one in outcome.forecast.values())


def study_json(results: list[TargetResult], out: Path) -> str:
    """Return the results of a run as JSON."""
    from spikesorter.report.summary import sorter_facts
    from spikesorter.workflows.one_recording import bad_seconds
    from spikesorter.workflows.study import whole_score

    recordings = {
        r.name: sorter_facts(r.sorter)
        | {
            "spikes": len(r.spikes),
            "bad_s": bad_seconds(r.spikes),
            "score": r.score.summary() if r.score else None,
        }
        for r in results
    }
    return json.dumps(
        {"results": str(out), "recordings": recordings, "study": whole_score(results)}, indent=2
    )


def sorted_json(done: list[SortedFile]) -> str:
    """Return the results of `sort` as JSON."""
    from spikesorter.report.summary import sorter_facts
    from spikesorter.sorting.each_group import doubts_about

    recordings = [
        {
            "recording": str(one.path),
            "result": str(one.place),
            "spikes": len(one.spikes),
            "bad_s": one.bad_s,
            "adapted_to": one.adapted_to,
            "doubts": list(one.doubts),
            "sorters": {
                group: sorter_facts(sorter) | ({"forecast": None} if doubts_about(one.doubts, group) else {})
                for group, sorter in one.sorters.items()
            },
        }
        for one in done
    ]
    return json.dumps({"recordings": recordings}, indent=2)


def model_json(model: Model) -> str:
    """Return the contents of a model as JSON."""
    from spikesorter.report.summary import model_facts

    return json.dumps(model_facts(model), indent=2)


def print_model(model: Model) -> None:
    """Print the contents of a model: version, units, and the targets that it was adapted to."""
    from rich.console import Console
    from rich.table import Table

    from spikesorter.report.summary import model_facts
    from spikesorter.sorting.model_places import unfinished_words

    facts, console = model_facts(model), Console(highlight=False, soft_wrap=True)
    for group, inside in facts["groups"].items():
        fitted = next(iter(inside["recordings"].values()))
        title = visible(f"{model.folder}" + (f", group {group}" if group else ""))
        console.print(
            f"{title}: format {fitted['format_version']}, by spikesorter {fitted['made_by']}; undamaged "
            f"(digest {facts['digest'][:12]}...); {facts['fs_hz']:g} Hz, {inside['channels']} channel(s)",
            markup=False,
        )
        units = Table("unit", "name", title="Labelled units")
        for column in ("spikes", "per second", "peak"):
            units.add_column(column, justify="right")
        for one in inside["units"]:
            cells = (str(one["labelled_spikes"]), f"{one['spikes_per_s']:.2f}", f"{one['peak']:.3g}")
            units.add_row(str(one["unit"]), _cell(one["name"]), *cells)
        console.print(units)
        table = Table("adapted to", "decoder", title="Recordings")
        for column in ("noise", "gain", "spikes/s", "forecast", "MB"):
            table.add_column(column, justify="right")
        for name, one in inside["recordings"].items():
            table.add_row(
                _cell(name),
                one["decoder"] + (" and low_latency" if one["low_latency"] else ""),
                ", ".join(f"{value:.3g}" for value in one["noise"]),
                f"{one['gain']:.2f}",
                f"{one['spikes_per_s']:.1f}",
                _span(one["forecast"]["score"], one["forecast"]["low"], one["forecast"]["high"]),
                f"{one['file_bytes'] / 1e6:.1f}",
            )
        console.print(table)
    if lacking := unfinished_words(model.folder):
        console.print(visible(lacking), markup=False)
    settings = ", ".join(f"{key} = {value}" for key, value in facts["settings"].items())
    console.print(visible(f"Settings: {settings or 'all have their defaults'}"), markup=False)


def _forecast(sorter: Sorter) -> str:
    return _span(sorter.forecast.score, sorter.forecast.low, sorter.forecast.high)


def _span(score: float, low: float, high: float) -> str:
    return f"{score:.3f} ± {max(high - score, score - low):.3f}"


def print_study(results: list[TargetResult]) -> None:
    """Print the scores of a run, if true spikes are known."""
    from spikesorter.workflows.study import whole_score

    rows = {r.name: (r.score, [str(len(r.spikes))]) for r in results if r.score}
    if rows:
        print_scores(rows, ["spikes"], whole_score(results))


def print_scores(rows: dict[str, tuple[Score, list[str]]], extra: list[str], whole: float | None) -> None:
    """Print a table of scores, with further columns first and the study's score last."""
    from rich.console import Console
    from rich.table import Table

    names = ("score", "f_det", "f_cls", "precision", "recall", "strict")
    table = Table(caption=OF_DETECTION, caption_justify="left")
    table.add_column("recording")
    for name in (*extra, *names):
        table.add_column(name, justify="right")
    for recording, (result, cells) in rows.items():
        summary = result.summary()
        table.add_row(_cell(recording), *cells, *(f"{summary[name]:.3f}" for name in names))
    if whole is not None:
        table.add_section()
        table.add_row("study", *("" for _ in extra), f"{whole:.3f}", *("" for _ in names[1:]))
    Console().print(table)


def print_left_out(scores: Mapping[str, Score]) -> None:
    """Print for each recording how many seconds were not scored, if any."""
    for name, result in scores.items():
        if result.left_out_s:
            echo(f"{name}: {result.left_out_s:.3g} s are bad; spikes in them were left out on both sides")


def print_confusion(recording: str, result: Score) -> None:
    """Print the confusion matrix."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{_cell(recording)}: true units (rows) and found units (columns)")
    table.add_column("")
    names = [_cell(result.name_of(unit)) for unit in result.unit_ids]
    for name in (*names, "missed"):
        table.add_column(name, justify="right")
    for name, row in zip((*names, "false"), result.confusion.tolist(), strict=True):
        table.add_row(name, *(str(count) for count in row))
    Console().print(table)


def print_comparisons(comparisons: dict[str, Comparison]) -> None:
    """Print the accuracy, precision and recall of each true unit, by SpikeInterface's comparison."""
    from rich.console import Console
    from rich.table import Table

    figures = ("accuracy", "precision", "recall")
    table = Table(title="Units, by SpikeInterface's comparison")
    for column in ("recording", "unit", "found as"):
        table.add_column(column)
    for column in ("spikes", "found", *figures):
        table.add_column(column, justify="right")
    for recording, comparison in comparisons.items():
        for unit in comparison.units:
            counts = (str(unit.true_spikes), str(unit.found_spikes))
            cells = [*counts, *_thousandths(unit, figures)]
            table.add_row(_cell(recording), _cell(unit.unit), _cell(unit.found_as or "-"), *cells)
        table.add_row(
            _cell(recording), "mean", "", "", "", *_thousandths(comparison, figures), end_section=True
        )
    console = Console()
    console.print(table)
    for recording, comparison in comparisons.items():
        if not comparison.has_namesakes:
            console.print(
                f"{visible(recording)}: no found unit has the name of a true unit. Scores pair units by "
                "name, SpikeInterface's comparison by agreement (unless --pairing name).",
                markup=False,
                soft_wrap=True,
            )
        if comparison.unpaired:
            line = f"{recording}: no true unit for {', '.join(comparison.unpaired)}"
            console.print(visible(line), markup=False)


def _thousandths(value: Any, figures: tuple[str, ...]) -> list[str]:
    return [f"{getattr(value, figure):.3f}" for figure in figures]
