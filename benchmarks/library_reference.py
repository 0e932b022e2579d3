"""A yardstick for the sorter: matched filters that are given the truth about a `library` study.

    python benchmarks/library_reference.py STUDY [--maker make_study.py] [--out FILE.json]

The decoder is told each neuron's exact waveform (at four shifts within a sample, as the maker's spikes start
between samples), the firing rates, and the spectrum of the background, which is measured on the background
alone, as the maker makes it without the neurons. Whitened matched filters are searched for spikes in rounds,
the clearest first; what is found is subtracted, and a spike is taken back if leaving it out no longer costs.
How much a spike must bring, and the least that is reported, are those with the fewest errors on the
recording's own truth. Only the reading of .mat files and the score are those of `spikesorter`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d
from scipy.signal import welch

from raw_results import write_results
from reference import MAKER, load_maker, read_facts, targets
from spikesorter.core.score import Score, score, study_score
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes

SHIFTS = 4  # of a waveform within one sample
SHAPE_SAMPLES = 65  # the maker's 64, and one for the shift
RATE_HZ = 20.0  # of each neuron, as the maker has it
SEGMENT = 1024  # samples; of the spectrum's estimate
REACH = 400  # samples over which one whitened spike changes the filters' outputs
APART = 40  # samples between spikes that are found in one round
DISCOUNTS = (-15.0, -6.0, -2.0, 0.0, 2.0)  # taken off the prior's cost of a spike, in turn
THRESHOLDS = 60  # quantiles of the margins that are tried
LARGEST_SHARE = 0.5  # of the spikes that a threshold may leave out
MOST_ROUNDS = 12
FIGURES = ("score", "strict")

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Filters:
    """Matched filters for each shift of each neuron's waveform, neurons in the outer order.

    Parameters
    ----------
    transforms : ndarray of complex128, shape (filters, frequencies)
        For a transform of the whole recording.
    overlap : ndarray of float32, shape (filters, filters, 2 REACH + 1)
        ``overlap[a, b, REACH + lag]``: what spike a adds to the output of filter b `lag` samples later.
    cost : float
        Minus the log of the probability that a spike of a given waveform and shift starts at a sample.
    """

    transforms: npt.NDArray[np.complex128]
    overlap: npt.NDArray[np.float32]
    cost: float

    @property
    def energy(self) -> npt.NDArray[np.float32]:
        """Squared detectability of each waveform."""
        return np.asarray(np.diagonal(self.overlap[:, :, REACH]))


@dataclass(eq=False)
class Explanation:
    """Spikes found so far, and the filters' outputs for what is left of the trace.

    Parameters
    ----------
    filters : Filters
    output : ndarray of float32, shape (filters, samples + 2 REACH)
        Padded by REACH at either end.
    start, filter : ndarray of int64, shape (spikes,)
        In the order of finding.
    """

    filters: Filters
    output: npt.NDArray[np.float32]
    start: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    filter: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def margins(self) -> FloatArray:
        """Return the log-likelihood ratio that leaving out each spike, alone, would lose."""
        outputs = self.output[self.filter, self.start + REACH]
        return np.asarray(outputs + self.filters.energy[self.filter] / 2, np.float64)

    def spikes(self) -> Spikes:
        """Return all spikes."""
        unit = self.filter // SHIFTS + 1
        order = np.lexsort((unit, self.start))
        return Spikes(self.start[order], unit[order])

    def add(self, start: IntArray, filter_: IntArray) -> None:
        """Subtract spikes from the outputs and keep them."""
        for s, a in zip(start.tolist(), filter_.tolist(), strict=True):
            self.output[:, s : s + 2 * REACH + 1] -= self.filters.overlap[a]
        self.start, self.filter = np.append(self.start, start), np.append(self.filter, filter_)

    def take_back(self, gone: npt.NDArray[np.bool_]) -> None:
        """Add spikes to the outputs again."""
        for s, a in zip(self.start[gone].tolist(), self.filter[gone].tolist(), strict=True):
            self.output[:, s : s + 2 * REACH + 1] += self.filters.overlap[a]
        self.start, self.filter = self.start[~gone], self.filter[~gone]


def true_waveforms(maker: ModuleType, seed: int) -> FloatArray:
    """Return the waveforms at each shift, shape (neurons * SHIFTS, SHAPE_SAMPLES)."""
    t = np.arange(SHAPE_SAMPLES)[None, :] - np.arange(SHIFTS)[:, None] / SHIFTS
    return np.concatenate([maker.library_waveform(shape)(t) for shape in true_shapes(maker, seed)])


def true_shapes(maker: ModuleType, seed: int) -> FloatArray:
    """Return the shape parameters of a seed's neurons, as the maker draws them."""
    shapes = np.array(maker.LIBRARY_SHAPES)
    if seed:
        shapes *= np.random.default_rng([seed, 77]).uniform(0.85, 1.15, shapes.shape)
    return shapes


def background(path: Path, name: str, facts: dict[str, Any]) -> FloatArray:
    """Return the background of a recording: what the maker writes if it plants no neurons."""
    maker = load_maker(path)
    maker.plant = lambda *_: None  # type: ignore[attr-defined]  # this copy of the module is used nowhere else
    number = list(maker.LIBRARY_NOISE).index(name)
    shapes = true_shapes(maker, facts["seed"])
    rng = np.random.default_rng([facts["seed"], number])
    trace, _, _ = maker.library_recording(rng, name, facts["seconds"], shapes)
    return np.asarray(trace, np.float64)


def make_filters(waveforms: FloatArray, noise: FloatArray, fs_hz: float) -> Filters:
    """Return the matched filters for waveforms in a given noise."""
    frequency, power = welch(noise, fs=1.0, nperseg=SEGMENT, scaling="density")
    n = len(noise)
    power = np.interp(np.fft.rfftfreq(n), frequency, power / 2)  # two-sided, per sample
    power[0] = np.inf  # the mean is ignored
    shapes = np.fft.rfft(waveforms, n=n, axis=1)
    transforms = shapes.conj() / power
    lags = np.arange(-REACH, REACH + 1)
    overlap = np.empty((len(shapes), len(shapes), len(lags)), np.float32)
    for a, shape in enumerate(shapes):
        for b, transform in enumerate(transforms):
            overlap[a, b] = np.fft.irfft(shape * transform, n=n)[lags]
    return Filters(transforms, overlap, float(-np.log(RATE_HZ / fs_hz / SHIFTS)))


def outputs_of(filters: Filters, trace: FloatArray) -> npt.NDArray[np.float32]:
    """Return the filters' outputs, padded by REACH zeros at either end."""
    transform = np.fft.rfft(trace)
    outputs = np.zeros((len(filters.transforms), len(trace) + 2 * REACH), np.float32)
    for output, filter_ in zip(outputs, filters.transforms, strict=True):
        output[REACH:-REACH] = np.fft.irfft(transform * filter_, n=len(trace))
    return outputs


def explain(explanation: Explanation, discount: float) -> None:
    """Add the clearest spikes and take back what no longer costs, in rounds, until nothing changes."""
    filters = explanation.filters
    charge = (filters.energy / 2 + filters.cost - discount).astype(np.float32)
    for _ in range(MOST_ROUNDS):
        start, filter_ = clearest(explanation.output[:, REACH:-REACH], charge)
        explanation.add(start, filter_)
        gone = needless(explanation, filters.cost - discount)
        explanation.take_back(gone)
        if len(start) == gone.sum():
            break


def needless(explanation: Explanation, cost: float) -> npt.NDArray[np.bool_]:
    """Return which spikes bring less than they cost; of several close together, the one that brings least."""
    margins, start = explanation.margins(), explanation.start
    gone = np.zeros(len(start), bool)
    for i in np.argsort(margins, kind="stable")[: int((margins < cost).sum())]:
        gone[i] = not np.any(np.abs(start[gone] - start[i]) <= APART)
    return gone


def clearest(output: npt.NDArray[np.float32], charge: npt.NDArray[np.float32]) -> tuple[IntArray, IntArray]:
    """Return starts and filters of spikes that bring more than they cost, the best one around each."""
    best = output[0] - charge[0]
    for row, own in zip(output[1:], charge[1:], strict=True):
        np.maximum(best, row - own, out=best)
    start = np.flatnonzero((best > 0) & (best == maximum_filter1d(best, 2 * APART + 1)))
    return start, np.argmax(output[:, start] - charge[:, None], axis=0)


def errors(result: Score) -> dict[str, int]:
    """Return the numbers of missed spikes, false ones, wrong names, and all three together.

    A found spike that is paired with a true one of another unit has a wrong name. It is one error.
    """
    paired = result.confusion[:-1, :-1]
    missed, false = int(result.confusion[:-1, -1].sum()), int(result.confusion[-1, :-1].sum())
    wrong = int(paired.sum() - np.trace(paired))
    return {"missed": missed, "false": false, "wrong": wrong, "errors": missed + false + wrong}


def decode(filters: Filters, trace: FloatArray, truth: Spikes, fs_hz: float) -> tuple[Spikes, Score]:
    """Return the spikes with the fewest errors over all discounts and thresholds, and their score."""
    explanation = Explanation(filters, outputs_of(filters, trace))
    best: tuple[Spikes, Score] | None = None
    for discount in DISCOUNTS:
        explain(explanation, discount)
        spikes, margins = explanation.spikes(), explanation.margins()
        order = np.lexsort((explanation.filter // SHIFTS, explanation.start))
        for least in np.quantile(margins, np.linspace(0, LARGEST_SHARE, THRESHOLDS)) if len(margins) else [0]:
            found = spikes.select(margins[order] >= least)
            scored = score(truth, found, fs_hz=fs_hz)
            if best is None or errors(scored)["errors"] < errors(best[1])["errors"]:
                best = found, scored
    assert best is not None
    return best


def decode_recording(study: Path, name: str, maker_path: Path) -> tuple[Spikes, Score]:
    """Decode one target of a study with its truth given; return the spikes and their score."""
    facts = read_facts(study, family="library")
    noise = background(maker_path, name, facts)
    waveforms = true_waveforms(load_maker(maker_path), facts["seed"])
    trace = read_mat(study / f"{name}.mat")[0].get_traces()[:, 0].astype(np.float64)
    truth = read_mat_spikes(study / "truth" / f"{name}.mat")
    return decode(make_filters(waveforms, noise, facts["fs"]), trace, truth, facts["fs"])


def main() -> None:
    """Decode every target of a study and print the errors."""
    arguments = parse()
    recordings = {}
    print("| | missed | false | wrong name | errors | strict |\n|---|---|---|---|---|---|")
    for name in targets(arguments.study):
        result = decode_recording(arguments.study, name, arguments.maker)[1]
        kinds, summary = errors(result), result.summary()
        recordings[name] = {**{figure: summary[figure] for figure in FIGURES}, **kinds}
        print(f"| {name} | " + " | ".join(map(str, kinds.values())) + f" | {result.strict:.3f} |", flush=True)
    if arguments.out:
        study = study_score({name: figures["score"] for name, figures in recordings.items()})
        write_results(arguments.out, {"recordings": recordings, "study": study})


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="a library study with truth/, written by the maker")
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
