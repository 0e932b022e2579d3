"""Draw the pictures of docs/concepts.md and docs/tutorial.md: `python scripts/figures.py [NAME ...]`.

docs/images/d5.png, on the front page, is drawn from a run on the study `bath`, seed 0, by `spikesorter plot
STUDY/D5.mat --found OUT/predictions/D5.mat --truth STUDY/truth/D5.mat --start 3 --seconds 0.2 --out d5.png`;
docs/images/report.png by scripts/screenshot.py from the same run.

All is simulated from fixed seeds, so the same version draws the same pictures.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from spikeinterface.core import NumpyRecording

from spikesorter import Settings, Sorter, Spikes, score
from spikesorter.decoding.calibration import judge_events
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import conditioning_kernel
from spikesorter.estimation.rehearsal import Rehearsal, plant_rehearsal
from spikesorter.report.palette import COLOURS
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.noise import NoiseSpectrum, synthesise_noise
from spikesorter.simulate import SimulatedRecording, simulate_study

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
FS_HZ = 25_000.0
GREY = "0.35"
LEVELS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
MIDDLING = 2  # place in LEVELS of the target that the pictures show
STRETCHES = (50_000, 50_000, 150_000)  # where the pictures of rehearsal and its models begin
SETTINGS = Settings().replace(["decoder=pursuit"])

FloatArray = npt.NDArray[Any]


def main() -> None:
    """Draw the pictures named on the command line, or all."""
    for name in sys.argv[1:] or [*PICTURES, "tutorial"]:
        if name == "tutorial":
            draw_tutorial()
            continue
        figure = PICTURES[name]()
        figure.savefig(IMAGES / f"{name}.png", dpi=130, metadata={"Software": None})
        print(IMAGES / f"{name}.png", flush=True)


@cache
def study() -> list[SimulatedRecording]:
    """Return a labelled recording and its targets, a minute each, in noise that is not white."""
    quiet = simulate_study(units=4, seconds=60, noise_levels=(0.3,) * len(LEVELS), seed=7)
    rng = np.random.default_rng(7)
    noisy = [
        SimulatedRecording(recording.trace + coloured(level, len(recording.trace), rng), recording.spikes)
        for level, recording in zip(LEVELS, quiet[1:], strict=True)
    ]
    return [quiet[0], *noisy]


def coloured(level: float, n_samples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Noise of an SD that is strongest at low frequencies, as an electrode's is."""
    frequency_hz = np.fft.rfftfreq(8192, 1 / FS_HZ)
    power = 0.15 + 1 / (1 + (frequency_hz / 600) ** 2)
    power *= level**2 / power.mean()
    return synthesise_noise(NoiseSpectrum.independent(power[:, None]), n_samples, rng)


def recording_of(simulated: SimulatedRecording) -> NumpyRecording:
    """Return what a sorter takes."""
    return NumpyRecording([simulated.trace], FS_HZ)


@cache
def fitted() -> Sorter:
    """Return the sorter that has learnt from the labelled recording."""
    return Sorter.fit(recording_of(study()[0]), study()[0].spikes, settings=SETTINGS)


@cache
def adapted(place: int) -> Sorter:
    """Return the sorter adapted to a target."""
    return fitted().adapt(recording_of(study()[1 + place]))


@cache
def found(place: int) -> Spikes:
    """Return what it finds there."""
    return adapted(place).sort(recording_of(study()[1 + place]))


def rehearsal() -> Figure:
    """The labelled recording, a target, and the rehearsal for it, as they are after the first filter."""
    sorter, labelled, target = adapted(MIDDLING), study()[0], study()[1 + MIDDLING]
    made = rehearse(sorter, len(target.trace))
    kernel = conditioning_kernel(SETTINGS.conditioning, FS_HZ)
    traces = {
        name: fir_filter(trace, kernel)
        for name, trace in (("labelled", labelled.trace), ("target", target.trace), ("rehearsal", made.trace))
    }
    rows = [
        ("labelled recording", traces["labelled"], labelled.spikes, "labels are known"),
        ("target", traces["target"], None, "noisier, no labels"),
        ("rehearsal", traces["rehearsal"], made.spikes, "made by the program: as noisy, labels known"),
    ]
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(2.3, 1))
    for row, (name, trace, spikes, remark) in enumerate(rows):
        start, stop = STRETCHES[row], STRETCHES[row] + 2000
        axes = figure.add_subplot(grid[row, 0])
        axes.plot(np.arange(stop - start) / FS_HZ * 1000, trace[start:stop, 0], color=GREY, linewidth=0.7)
        axes.set(ylim=(-11, 17), xlim=(0, (stop - start) / FS_HZ * 1000))
        axes.set_title(f"{name}: {remark}", loc="left", fontsize=11)
        if spikes is not None:
            mark(axes, spikes.within(start, stop).shifted(-start), 14.5)
        plain(axes, "ms" if row == 2 else "")
    axes = figure.add_subplot(grid[:, 1])
    for name, style in (
        ("labelled", {"color": GREY, "linestyle": ":"}),
        ("target", {"color": COLOURS[0]}),
        ("rehearsal", {"color": COLOURS[1], "linestyle": "--"}),
    ):
        axes.loglog(*spectrum(traces[name][:, 0]), label=name, linewidth=1.8, **style)
    axes.set_title("their spectra", loc="left", fontsize=11)
    axes.set(xlim=(40, 5500), ylim=(1e-6, 1e-2), xlabel="Hz", ylabel="power per Hz")
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def rehearse(sorter: Sorter, n_samples: int) -> Rehearsal:
    """Make a rehearsal as `Sorter.adapt` does."""
    return plant_rehearsal(
        Context.of(sorter.units, SETTINGS, fs_hz=FS_HZ),
        sorter.profile,
        n_samples=n_samples,
        gain_jitter=SETTINGS.rehearsal.gain_jitter,
        jitter_samples=int(FS_HZ),
        rng=np.random.default_rng(1),
    )


def spectrum(trace: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return frequencies and mean power in stretches of 2048 samples."""
    stretches = trace[: len(trace) // 2048 * 2048].reshape(-1, 2048) * np.hanning(2048)
    power = np.mean(np.abs(np.fft.rfft(stretches)) ** 2, axis=0) / (FS_HZ * np.sum(np.hanning(2048) ** 2))
    return np.fft.rfftfreq(2048, 1 / FS_HZ)[1:], power[1:]


def detectability() -> Figure:
    """What whitening is for, and what d' means."""
    sorter, target = adapted(MIDDLING), study()[1 + MIDDLING]
    bank = Context.of(sorter.units, SETTINGS, fs_hz=FS_HZ).bank(sorter.profile)
    shapes = sorter.units.templates
    outputs = bank.apply(np.pad(target.trace, ((bank.margin.before, bank.margin.after), (0, 0))))
    figure = Figure(figsize=(10, 6.0), layout="constrained")
    halves: Any = figure.subfigures(2, 1)
    above, below = halves
    white = bank.whitener[:, 0, 0]
    example = lonely(target.spikes, 3, 150)
    stretch = slice(example - 150, example + 250)
    time_ms = np.arange(-150, 250) / FS_HZ * 1000
    whitened = np.convolve(target.trace[:, 0], white, "same")
    own = np.zeros_like(whitened)
    at = example - shapes.before
    own[at : at + shapes.waveforms.shape[1]] = shapes.waveforms[2, :, 0]
    for axes, name, trace, shape in zip(
        above.subplots(1, 2),
        (
            "the trace: a spike of unit 3 in noise",
            "whitened: the noise has the same power at every frequency",
        ),
        (target.trace[:, 0], whitened),
        (own, np.convolve(own, white, "same")),
        strict=True,
    ):
        axes.plot(time_ms, trace[stretch], color=GREY, linewidth=0.7)
        axes.plot(time_ms, shape[stretch], color=COLOURS[2], linewidth=2)
        axes.set_title(name, loc="left", fontsize=11)
        axes.set(xlim=(time_ms[0], time_ms[-1]))
        plain(axes, "ms from the spike's start")
    places = below.subplots(1, 4, sharey=True)
    for k, axes in enumerate(places):
        d = float(np.sqrt(bank.energies[k]))
        output = outputs[:, k] / d
        near = np.zeros(len(output), bool)
        reach = shapes.waveforms.shape[1]
        for sample in target.spikes.sample:
            near[max(sample - reach, 0) : sample + reach] = True
        alone = [s for s in target.spikes.of(k + 1).sample if is_lonely(target.spikes, s, reach)]
        edges = np.arange(-5, d + 5, 0.5)
        axes.hist(output[~near], edges, density=True, color="0.75", label="noise alone")
        axes.hist(output[alone], edges, density=True, histtype="step", linewidth=2, color=COLOURS[k])
        axes.annotate("", (0, 0.52), (d, 0.52), arrowprops={"arrowstyle": "<->", "shrinkA": 0, "shrinkB": 0})
        axes.set_title(f"unit {k + 1}: d\N{PRIME} = {d:.1f}", fontsize=11, color=COLOURS[k])
        axes.set(ylim=(0, 0.6), yticks=[])
        plain(axes, "matched filter, in SDs of noise", left=False)
        if k == 0:
            axes.text(-1.2, 0.42, "noise", ha="right", color="0.4")
            axes.text(d - 1.5, 0.34, "spikes", ha="right", color=COLOURS[0])
    return figure


def overlaps() -> Figure:
    """Two spikes at once, explained jointly."""
    place = 1
    sorter, target, spikes = adapted(place), study()[1 + place], found(place)
    first = overlapping(target.spikes, spikes)
    start, stop = first - 75, first + 175
    time_ms = (np.arange(start, stop) - first) / FS_HZ * 1000
    figure = Figure(figsize=(10, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    upper.plot(time_ms, target.trace[start:stop, 0], color=GREY, linewidth=0.9, label="trace")
    total = np.zeros(stop - start)
    shapes = sorter.units.templates
    for sample, unit in zip(*fields(spikes.within(start - 200, stop)), strict=True):
        one = np.zeros(len(target.trace))
        at = sample - shapes.before
        waveform = shapes.waveforms[shapes.unit_ids.index(unit), :, 0] * sorter.profile.activity.gain
        one[at : at + len(waveform)] = waveform[: len(one) - at]
        total += one[start:stop]
        if start <= sample < stop:
            colour = COLOURS[unit - 1]
            upper.plot(time_ms, one[start:stop], color=colour, linewidth=2, label=f"found: unit {unit}")
    upper.plot(time_ms, total, color="black", linewidth=1.6, linestyle="--", label="their sum")
    upper.set_title("two spikes overlap; the sum of two templates explains the trace", loc="left")
    upper.legend(frameon=False, loc="upper right")
    plain(upper, "")
    curves = sorter.evidence(recording_of(target), start=start, stop=stop)
    for k in range(curves.shape[1]):
        lower.plot(time_ms, curves[:, k], color=COLOURS[k], linewidth=1.8, label=f"unit {k + 1}")
    true = target.spikes.within(start, stop)
    lower.plot(
        (true.sample - first) / FS_HZ * 1000,
        np.full(len(true), 1.15),
        linestyle="none",
        marker="v",
        color="black",
        label="true starts",
    )
    lower.set_title("evidence: expected spikes of each unit that start at each sample", loc="left")
    lower.set(ylim=(0, 1.3), xlim=(time_ms[0], time_ms[-1]))
    lower.legend(frameon=False, loc="upper right", ncols=1)
    plain(lower, "ms")
    return figure


def scores() -> Figure:
    """What counts as found, loosely and strictly: an example, scored by the program."""
    true = Spikes.from_arrays([100, 220, 340, 460, 700], [1, 2, 1, 2, 1])
    guess = Spikes.from_arrays([103, 250, 342, 580, 702], [1, 2, 2, 2, 1])
    remarks = {
        100: "right",
        220: "1.2 ms off:\nnot in strict",
        340: "wrong unit",
        460: "missed",
        580: "false",
        700: "right",
    }
    result = score(true, guess, fs_hz=FS_HZ)
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    for height, spikes in ((1, true), (0, guess)):
        for sample, unit in zip(*fields(spikes), strict=True):
            axes.plot([sample / 25] * 2, [height - 0.28, height + 0.28], color=COLOURS[unit - 1], linewidth=4)
    for sample in true.sample:
        for reach, shade in ((2.0, "0.92"), (0.4, "0.8")):
            axes.axvspan(sample / 25 - reach, sample / 25 + reach, 0.12, 0.75, color=shade, linewidth=0)
    for sample, remark in remarks.items():
        axes.text(sample / 25, 1.72, remark, ha="center", va="center", fontsize=10)
    for unit in (1, 2):
        axes.plot([], [], color=COLOURS[unit - 1], linewidth=4, label=f"unit {unit}")
    axes.axvspan(-10, -9, color="0.92", label="± 2 ms")
    axes.axvspan(-10, -9, color="0.8", label="± 0.4 ms")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes.set(ylim=(-0.6, 2.0), xlim=(0.5, 31), yticks=[0, 1], yticklabels=["found", "true"])
    axes.set_title(
        f"score {result.score:.2f} = 0.3 x F_det {result.f_det:.2f} + 0.7 x F_cls {result.f_cls:.2f};   "
        f"strict {result.strict:.2f}",
        loc="left",
    )
    plain(axes, "ms", left=False)
    return figure


def forecast() -> Figure:
    """Forecast against what came true, and stated probability against the share that was right."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    stated, held = [], []
    for place, level in enumerate(LEVELS):
        target, spikes, expected = study()[1 + place], found(place), adapted(place).forecast
        true = score(target.spikes, spikes, fs_hz=FS_HZ).score
        bars = [[expected.score - expected.low], [expected.high - expected.score]]
        left.errorbar(true, expected.score, bars, fmt="o", color=COLOURS[0], capsize=3)
        left.annotate(
            f"SD {level:g}", (true, expected.low), (4, -4), textcoords="offset points", va="top", fontsize=9
        )
        there, _ = judge_events(spikes.sample, spikes.unit, target.spikes, fs_hz=FS_HZ)
        stated.append(spikes.probability)
        held.append(there)
    lowest = min(adapted(place).forecast.low for place in range(len(LEVELS))) - 0.05
    left.plot([lowest, 1], [lowest, 1], color=GREY, linewidth=1, linestyle=":")
    left.set(
        xlabel="true score", ylabel="forecast, with its interval", xlim=(lowest, 1.03), ylim=(lowest, 1.03)
    )
    left.set_title("six targets of rising noise", loc="left", fontsize=11)
    reliability(right, np.concatenate(stated), np.concatenate(held))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def reliability(axes: Any, stated: FloatArray, held: FloatArray) -> None:
    """Draw the share of spikes that were there against the probability they were given."""
    edges = np.linspace(0, 1, 11)
    bin_of = np.clip(np.digitize(stated, edges) - 1, 0, 9)
    counts = np.bincount(bin_of, minlength=10)
    kept = counts >= 20
    mean = np.bincount(bin_of, weights=stated, minlength=10)[kept] / counts[kept]
    share = np.bincount(bin_of, weights=held, minlength=10)[kept] / counts[kept]
    error = 1.96 * np.sqrt(share * (1 - share) / counts[kept])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    axes.errorbar(mean, share, error, fmt="s", color=COLOURS[1], capsize=3)
    for x, y, count in zip(mean, share, counts[kept], strict=True):
        axes.annotate(f"{count}", (x, y), (7, -9), textcoords="offset points", fontsize=8, color=GREY)
    axes.set(
        xlabel="Probability given to a found spike",
        ylabel="share that was there",
        xlim=(0, 1.05),
        ylim=(0, 1.05),
    )
    axes.set_title("spikes found in all six, by their probability (number beside)", loc="left", fontsize=11)


def lonely(spikes: Spikes, unit: int, reach: int) -> int:
    """Return the first spike of a unit that has no other near."""
    return next(int(s) for s in spikes.of(unit).sample if is_lonely(spikes, s, reach) and s > reach)


def is_lonely(spikes: Spikes, sample: int, reach: int) -> bool:
    """Whether no other spike starts within reach."""
    return len(spikes.within(sample - reach, sample + reach)) == 1


def overlapping(true: Spikes, spikes: Spikes) -> int:
    """Return the start of the first two spikes of two large units, 8 to 14 samples apart, both found."""
    for first, second in zip(true.sample[:-1], true.sample[1:], strict=True):
        near = true.within(first - 120, first + 200)
        right = spikes.within(first - 120, first + 200)
        both = len(near) == len(right) == 2 and np.array_equal(near.unit, right.unit)
        if both and 8 <= second - first <= 14 and near.unit_ids == (1, 2):
            return int(first)
    raise LookupError("no such overlap: draw another seed")


def fields(spikes: Spikes) -> tuple[list[int], list[int]]:
    """Return samples and labels."""
    return spikes.sample.tolist(), spikes.unit.tolist()


def mark(axes: Any, spikes: Spikes, height: float) -> None:
    """Draw spikes as triangles of their units' colours."""
    for sample, unit in zip(*fields(spikes), strict=True):
        axes.plot(sample / FS_HZ * 1000, height, marker="v", color=COLOURS[unit - 1], markersize=7)


def plain(axes: Any, xlabel: str, *, left: bool = True) -> None:
    """Leave out lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    if not left:
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
    axes.set_xlabel(xlabel)


def draw_tutorial() -> None:
    """Run the tutorial, and keep the picture that it draws."""
    page = (IMAGES.parent / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec("".join(blocks), {"__name__": "tutorial"})
        shutil.copy("target.png", IMAGES / "tutorial.png")


PICTURES: dict[str, Callable[[], Figure]] = {
    "rehearsal": rehearsal,
    "detectability": detectability,
    "overlaps": overlaps,
    "scores": scores,
    "forecast": forecast,
}

if __name__ == "__main__":
    main()
