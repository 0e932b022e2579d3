"""Draw the pictures of docs/pipeline.md: `python scripts/pipeline_figures.py [NAME ...]`.

Each shows one part of the published pipeline at work (preset `published`) on a simulated study. The seed is
fixed, so the same version draws the same pictures. To save time, the networks train for fewer steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures import FS_HZ, GREY, fields, plain, recording_of, spectrum
from spikesorter import Sorter, Spikes, load_settings, score
from spikesorter.decoding.candidates import Candidates, WorkingPoint
from spikesorter.decoding.cnn import CnnDecoder
from spikesorter.decoding.nets.classifier import cut_waveforms
from spikesorter.decoding.nets.detector import widened_labels
from spikesorter.decoding.run import find_evidence
from spikesorter.estimation.rehearsal import Rehearsal, graft_rehearsal
from spikesorter.report.palette import COLOURS
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.spans import to_samples
from spikesorter.signal.wavelet import denoise
from spikesorter.simulate import SimulatedRecording, simulate_study

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images" / "pipeline"
UNITS = 4
NOISE_SD = 1.0
SPAN_SAMPLES = 3000  # length of the traces in the pictures
LEAST_SPIKES = 8  # in them
STEPS = ["detector.steps=600", "detector.base_steps=900", "classifier.steps=500", "classifier.base_steps=500"]
SETTINGS = load_settings(preset="published", assignments=STEPS)

FloatArray = npt.NDArray[Any]


def main() -> None:
    """Draw the pictures named on the command line, or all."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        figure = PICTURES[name]()
        figure.savefig(IMAGES / f"{name}.png", dpi=110, metadata={"Software": None})
        print(IMAGES / f"{name}.png", flush=True)


@cache
def study() -> list[SimulatedRecording]:
    """Return a labelled recording and one target."""
    return simulate_study(units=UNITS, seconds=60, noise_levels=(NOISE_SD,), seed=11)


@cache
def span() -> slice:
    """Return the first part of the target that holds enough spikes, of all units."""
    true = study()[1].spikes
    for start in range(SPAN_SAMPLES, len(study()[1].trace) - SPAN_SAMPLES, 100):
        inside = true.within(start + 100, start + SPAN_SAMPLES - 300)
        if len(inside) >= LEAST_SPIKES and len(inside.unit_ids) == UNITS:
            return slice(start, start + SPAN_SAMPLES)
    raise LookupError("no such part: draw another seed")


@cache
def adapted() -> Sorter:
    """Return the published pipeline, trained for the target."""
    labelled, target = study()
    fitted = Sorter.fit(recording_of(labelled), labelled.spikes, settings=SETTINGS)
    return fitted.adapt(recording_of(target))


def decoder() -> CnnDecoder:
    """Return its detector and classifier."""
    made = adapted().state.tuned.decoder
    assert isinstance(made, CnnDecoder)
    return made


@cache
def grafted() -> Rehearsal:
    """Return the synthetic training recording: the labelled one with the target's noise."""
    lessons = adapted().state.lessons
    assert lessons.labelled is not None
    return graft_rehearsal(
        lessons.labelled,
        lessons.context,
        adapted().profile,
        n_samples=len(lessons.labelled.trace),
        rng=np.random.default_rng(0),
    )


def raw_target() -> FloatArray:
    """Return the target's trace."""
    return study()[1].trace


@cache
def conditioned_target() -> FloatArray:
    """Return the target without drift, band-passed and scaled by the MAD."""
    front_end = decoder().front_end
    return np.asarray(fir_filter(raw_target(), front_end.kernel) / front_end.scale)


@cache
def denoised_target() -> FloatArray:
    """Return the target after wavelet denoising."""
    front_end = decoder().front_end
    return denoise(
        conditioned_target(),
        noise_sd=front_end.level_sd,
        strength=front_end.strength,
        wavelet=front_end.wavelet,
    )


def loading() -> Figure:
    """The trace as it is in the file, and conditioned."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    time_ms = np.arange(20_000) / FS_HZ * 1000
    upper.plot(time_ms, raw_target()[:20_000, 0], color=GREY, linewidth=0.5)
    upper.set_title("variable d of the file: slow drift, no common unit", loc="left", fontsize=11)
    lower.plot(time_ms, conditioned_target()[:20_000, 0], color=COLOURS[0], linewidth=0.5)
    lower.axhspan(-1, 1, color="0.85", linewidth=0, label="± 1: the noise's SD, from the MAD")
    lower.set_title("drift removed, band-passed, divided by the MAD", loc="left", fontsize=11)
    lower.legend(frameon=False, loc="upper right")
    lower.set(xlim=(0, time_ms[-1]))
    plain(upper, "")
    plain(lower, "ms")
    return figure


def denoising() -> Figure:
    """The trace before and after wavelet denoising, and how far each level is shrunk."""
    front_end = decoder().front_end
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(2.6, 1))
    for row, (name, trace, colour) in enumerate(
        (
            ("conditioned", conditioned_target(), GREY),
            (
                f"denoised ({front_end.wavelet}, strength {front_end.strength:g})",
                denoised_target(),
                COLOURS[0],
            ),
        )
    ):
        axes = figure.add_subplot(grid[row, 0])
        draw_trace(axes, trace[span(), 0], colour)
        axes.set_title(name, loc="left", fontsize=11)
        axes.set(ylim=(-6, 21))
        draw_true(axes, 19)
        plain(axes, "ms" if row else "")
    axes = figure.add_subplot(grid[:, 1])
    levels = np.arange(len(front_end.level_sd), 0, -1)
    thresholds = front_end.strength * np.sqrt(2 * np.log(1000)) * front_end.level_sd[:, 0]
    axes.bar(levels - 0.2, front_end.level_sd[:, 0], 0.4, color="0.7", label="noise SD (MAD)")
    axes.bar(levels + 0.2, thresholds, 0.4, color=COLOURS[0], label="soft threshold")
    axes.set(xticks=levels, xlabel="level (1: fastest)", ylim=(0, 1.3 * thresholds.max()))
    axes.set_title("detail coefficients", loc="left", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def matched_filter() -> Figure:
    """The average waveform and what correlating the trace with it gives."""
    filters = decoder().front_end.filters
    assert filters is not None
    output = filters.apply(fir_filter(raw_target(), decoder().front_end.kernel))
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 2.6))
    axes = figure.add_subplot(grid[:, 0])
    kernel = filters.kernels[0, :, 0]
    axes.plot((np.arange(len(kernel)) - filters.before) / FS_HZ * 1000, kernel, color=COLOURS[1], linewidth=2)
    axes.axvline(0, color=GREY, linestyle=":", linewidth=1)
    axes.set_title("template: the average\nof all labelled spikes", loc="left", fontsize=11)
    plain(axes, "ms from the spike's start")
    for row, (name, trace, colour) in enumerate(
        (
            ("conditioned", conditioned_target(), GREY),
            ("correlated with the template, in SDs of the noise", output, COLOURS[1]),
        )
    ):
        axes = figure.add_subplot(grid[row, 1])
        draw_trace(axes, trace[span(), 0], colour)
        axes.set_title(name, loc="left", fontsize=11)
        top = float(trace[span(), 0].max())
        draw_true(axes, 1.15 * top)
        axes.set(ylim=(None, 1.3 * top))
        plain(axes, "ms" if row else "")
    return figure


def noise_matching() -> Figure:
    """The labelled recording, the target, and the labelled recording with the target's noise."""
    kernel = decoder().front_end.kernel
    labelled, target = study()
    rows = [
        ("labelled recording", fir_filter(labelled.trace, kernel), labelled.spikes),
        ("target", fir_filter(target.trace, kernel), None),
        ("synthetic training recording", fir_filter(grafted().trace, kernel), labelled.spikes),
    ]
    figure = Figure(figsize=(10, 6), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(2.2, 1))
    spectra = figure.add_subplot(grid[:, 1])
    for row, ((name, trace, spikes), style) in enumerate(
        zip(
            rows,
            (
                {"color": GREY, "linestyle": ":"},
                {"color": COLOURS[0]},
                {"color": COLOURS[1], "linestyle": "--"},
            ),
            strict=True,
        )
    ):
        axes = figure.add_subplot(grid[row, 0])
        draw_trace(axes, trace[span(), 0], GREY)
        axes.set(ylim=(-5, 12))
        axes.set_title(name, loc="left", fontsize=11)
        if spikes is not None:
            draw_spikes(axes, spikes.within(span().start, span().stop).shifted(-span().start), 10.5)
        plain(axes, "ms" if row == 2 else "")
        spectra.loglog(*spectrum(trace[:, 0]), label=name, linewidth=1.8, **style)
    spectra.set(xlim=(40, 4000), ylim=(1e-6, 1e-2), xlabel="Hz", ylabel="power per Hz")
    spectra.set_title("their spectra", loc="left", fontsize=11)
    spectra.legend(frameon=False, loc="lower left")
    spectra.spines[["top", "right"]].set_visible(False)
    return figure


def detector() -> Figure:
    """The probability of a spike's start at each sample, with the labels it was trained for."""
    trace = np.pad(raw_target()[span()], ((decoder().margin.before, decoder().margin.after), (0, 0)), "edge")
    curve = decoder().curves(decoder().evidence(trace))[:SPAN_SAMPLES, 0]
    true = study()[1].spikes.within(span().start, span().stop).shifted(-span().start)
    wanted = widened_labels(true, SPAN_SAMPLES, label_samples=SETTINGS.detector.label_samples)
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=(2, 0.7, 1.5))
    draw_trace(upper, conditioned_target()[span(), 0], GREY)
    draw_true(upper, 19)
    upper.set_title("trace; true spikes above", loc="left", fontsize=11)
    upper.set(ylim=(-6, 21))
    draw_trace(middle, wanted, "black")
    middle.set_title("labels for training: 1 on three samples of each spike", loc="left", fontsize=11)
    draw_trace(lower, curve, COLOURS[0])
    lower.axhline(threshold(), color=COLOURS[1], linestyle="--", linewidth=1, label="tuned threshold")
    lower.set_title("output: probability that a spike starts here", loc="left", fontsize=11)
    lower.set(ylim=(0, 1.05), xlim=(0, (SPAN_SAMPLES) / FS_HZ * 1000))
    lower.legend(frameon=False, loc="upper right")
    for axes, label in ((upper, ""), (middle, ""), (lower, "ms")):
        plain(axes, label)
    return figure


def learning_curves() -> Figure:
    """Loss and accuracy of detector and classifier while they are trained for the target."""
    training = adapted().state.training
    assert training is not None
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    rows = figure.subplots(len(training.curves), 2, squeeze=False)
    accuracy = {"detector": "F1 of samples", "classifier": "share of spikes rightly named"}
    for row, curve in zip(rows, training.curves, strict=True):
        named = (("loss", curve.loss), (accuracy[curve.network], curve.accuracy))
        for axes, (what, values) in zip(row, named, strict=True):
            axes.plot(curve.epoch, values[:, 0], color=GREY, linestyle="--", label="trained on")
            axes.plot(curve.epoch, values[:, 1], color=COLOURS[0], marker="o", markersize=3, label="held out")
            axes.set_title(f"{curve.network}: {what}", loc="left", fontsize=11)
            axes.set(ylim=(0, None if what == "loss" else 1.02), xlim=(0, curve.epoch[-1]))
            axes.spines[["top", "right"]].set_visible(False)
    for axes in rows[-1]:
        axes.set_xlabel("epochs")
    rows[0][0].legend(frameon=False)
    return figure


def classifier() -> Figure:
    """Waveforms as the classifier gets them, and its confusions on the target."""
    architecture = decoder().networks.classifier
    assert architecture is not None
    labelled = study()[0]
    features = decoder().front_end.features(grafted().trace)
    around = (np.arange(architecture.before + architecture.after) - architecture.before) / FS_HZ * 1000
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.5))
    inner = labelled.spikes.within(1000, len(features) - 1000)
    for k in range(UNITS):
        samples = inner.of(k + 1).sample[:150]
        waveforms = cut_waveforms(features, samples, architecture)[..., 0]
        axes = figure.add_subplot(grid[k // 2, k % 2])
        axes.plot(around, waveforms.T, color=COLOURS[k], linewidth=0.3, alpha=0.25)
        axes.plot(around, waveforms.mean(axis=0), color="black", linewidth=1.5)
        axes.set_title(f"unit {k + 1}", loc="left", fontsize=11)
        axes.set(ylim=(-4, 5))
        plain(axes, "ms" if k > 1 else "")
    axes = figure.add_subplot(grid[:, 2])
    target = study()[1]
    confusion = score(target.spikes, adapted().sort(recording_of(target)), fs_hz=FS_HZ).confusion
    names = [f"unit {k + 1}" for k in range(UNITS)]
    draw_matrix(axes, confusion, [*names, "false"], [*names, "missed"])
    axes.set(xlabel="classified as", ylabel="true")
    axes.set_title("on the target", loc="left", fontsize=11)
    return figure


def grid_search() -> Figure:
    """F1 on the labelled recording over threshold and refractory period."""
    labelled = adapted().state.labelled
    assert labelled is not None
    evidence = find_evidence(decoder(), labelled.trace, n_jobs=1)
    reach = decoder().pick_reach
    candidates = decoder().pick(np.pad(evidence, ((reach, reach), (0, 0))))
    thresholds, periods = SETTINGS.output.threshold_grid, SETTINGS.output.refractory_grid_ms
    values = np.array(
        [[detection_f1(candidates, labelled.spikes, t, r) for r in periods] for t in thresholds]
    )
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, aspect="auto", cmap="viridis", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{value:.3f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value < np.median(values) else "black",
        )
    point = adapted().state.tuned.point
    place = (
        [to_samples(ms, FS_HZ) for ms in periods].index(point.refractory_samples),
        thresholds.index(threshold()),
    )
    axes.plot(
        *place,
        marker="s",
        markersize=34,
        markerfacecolor="none",
        markeredgecolor=COLOURS[1],
        markeredgewidth=2.5,
    )
    axes.set(
        xticks=range(len(periods)),
        xticklabels=periods,
        yticks=range(len(thresholds)),
        yticklabels=thresholds,
        xlabel="refractory period (ms)",
        ylabel="threshold",
    )
    axes.set_title(
        "F1 of detection on the labelled recording; the frame marks the pair that is kept",
        loc="left",
        fontsize=11,
    )
    figure.colorbar(image, label="F1")
    return figure


def detection_f1(candidates: Candidates, true: Spikes, least: float, period_ms: float) -> float:
    """Return the F1 of detection at one point of the grid."""
    units = decoder().unit_ids
    period = to_samples(period_ms, FS_HZ)
    point = replace(adapted().state.tuned.point, thresholds=(least,) * len(units), refractory_samples=period)
    return score(true, point.to_spikes(candidates), fs_hz=FS_HZ).f_det


def threshold() -> float:
    """Return the tuned threshold, which is one for all units."""
    point: WorkingPoint = adapted().state.tuned.point
    return point.thresholds[0]


def inference() -> Figure:
    """A stretch of the target with the spikes that were found."""
    target = study()[1]
    found = adapted().sort(recording_of(target))
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    draw_trace(axes, conditioned_target()[span(), 0], GREY)
    for height, name, spikes in ((22, "true", target.spikes), (19, "found", found)):
        draw_spikes(axes, spikes.within(span().start, span().stop).shifted(-span().start), height)
        axes.annotate(name, (1.01, height), xycoords=("axes fraction", "data"), va="center")
    for k in range(UNITS):
        axes.plot([], [], linestyle="none", marker="v", color=COLOURS[k], label=f"unit {k + 1}")
    axes.legend(frameon=False, ncols=UNITS, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    axes.set(ylim=(-6, 24))
    axes.set_title("Index and Class of each spike go into predictions/D2.mat", loc="left", fontsize=11)
    plain(axes, "ms")
    return figure


def scoring() -> Figure:
    """The score of the target, and the confusion matrix that it comes from."""
    target = study()[1]
    result = score(target.spikes, adapted().sort(recording_of(target)), fs_hz=FS_HZ)
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    bars = [
        ("precision", result.precision),
        ("recall", result.recall),
        ("F1 of detection", result.f_det),
        ("F1 of classification", result.f_cls),
        ("score", result.score),
        ("strict", result.strict),
    ]
    colours = ["0.7", "0.7", COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[2]]
    left.barh([name for name, _ in bars][::-1], [value for _, value in bars][::-1], color=colours[::-1])
    for place, (_, value) in enumerate(bars[::-1]):
        left.text(
            value - 0.01, place, f"{value:.3f}", va="center", ha="right", color="white", fontweight="bold"
        )
    left.set(xlim=(0, 1))
    left.spines[["top", "right"]].set_visible(False)
    names = [f"unit {k + 1}" for k in range(UNITS)]
    draw_matrix(right, result.confusion, [*names, "false"], [*names, "missed"])
    right.set(xlabel="found", ylabel="true")
    return figure


def two_ways() -> Figure:
    """Everything, or inference with a saved model."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 10.2), ylim=(0, 3.2))
    axes.axis("off")
    everything = [
        "D1.mat\nD2.mat ...",
        "make training\ndata",
        "train",
        "tune",
        "sort",
        "predictions/\nsubmission.zip",
    ]
    for k, text in enumerate(everything):
        draw_box(axes, 0.2 + 1.7 * k, 2.0, text, COLOURS[0] if 0 < k < 5 else "0.6")
    for first, second in pairwise(range(len(everything))):
        draw_arrow(axes, (0.2 + 1.7 * first + 1.35, 2.35), (0.2 + 1.7 * second, 2.35))
    axes.text(0.2, 2.95, "spikesorter run STUDY --out OUT", family="monospace", fontsize=11)
    draw_box(axes, 0.2 + 1.7 * 3, 0.3, "model/", "0.6")
    draw_box(axes, 0.2 + 1.7 * 4, 0.3, "sort", COLOURS[1])
    draw_box(axes, 0.2 + 1.7 * 5, 0.3, "NAME.mat", "0.6")
    for first, second in ((3, 4), (4, 5)):
        draw_arrow(axes, (0.2 + 1.7 * first + 1.35, 0.65), (0.2 + 1.7 * second, 0.65))
    draw_arrow(axes, (0.2 + 1.7 * 3 + 0.67, 2.0), (0.2 + 1.7 * 3 + 0.67, 1.0))
    axes.text(
        0.2,
        0.58,
        "spikesorter sort FILE\n    --model OUT/model --out SORTED",
        family="monospace",
        fontsize=11,
    )
    return figure


def draw_box(axes: Any, x: float, y: float, text: str, colour: str) -> None:
    """Draw a step or a file."""
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch((x, y), 1.35, 0.7, boxstyle=style, facecolor="white", edgecolor=colour, linewidth=2)
    )
    axes.text(x + 0.675, y + 0.35, text, ha="center", va="center", fontsize=10)


def draw_arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw what leads from one step to the next."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 1.5})


def draw_trace(axes: Any, values: FloatArray, colour: str) -> None:
    """Draw values over milliseconds."""
    time_ms = np.arange(len(values)) / FS_HZ * 1000
    axes.plot(time_ms, values, color=colour, linewidth=0.8)
    axes.set(xlim=(0, time_ms[-1]))


def draw_true(axes: Any, height: float) -> None:
    """Draw the target's true spikes."""
    draw_spikes(axes, study()[1].spikes.within(span().start, span().stop).shifted(-span().start), height)


def draw_spikes(axes: Any, spikes: Spikes, height: float) -> None:
    """Draw spikes as triangles of their units' colours."""
    for sample, unit in zip(*fields(spikes), strict=True):
        axes.plot(sample / FS_HZ * 1000, height, marker="v", color=COLOURS[unit - 1], markersize=6)


def draw_matrix(axes: Any, counts: FloatArray, rows: list[str], columns: list[str]) -> None:
    """Draw a confusion matrix with its counts."""
    share = counts / counts.max()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.2)
    for (row, column), count in np.ndenumerate(counts):
        if count or (row, column) != (len(rows) - 1, len(columns) - 1):
            colour = "white" if share[row, column] > 0.6 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)


PICTURES: dict[str, Callable[[], Figure]] = {
    "loading": loading,
    "denoising": denoising,
    "matched-filter": matched_filter,
    "noise-matching": noise_matching,
    "detector": detector,
    "learning-curves": learning_curves,
    "classifier": classifier,
    "grid-search": grid_search,
    "inference": inference,
    "scoring": scoring,
    "two-ways": two_ways,
}

if __name__ == "__main__":
    main()
