"""A yardstick for the sorter: a decoder that is given the truth about a `bath` study.

    python benchmarks/reference.py STUDY [--maker make_study.py] [--out FILE.json]

It is told each neuron's exact waveform, the noise's spectrum and the firing rates, all taken from the
study's maker, and shares no decoding with `spikesorter`: only its reading of .mat files and its score.
Whitened matched filters give the log-likelihood ratio of any set of spikes; the set with the highest
posterior is sought by a greedy start and then by explaining small groups of spikes afresh, the rest being
held: all pairs of spikes in a window, then a beam of up to five. A spike is then kept if leaving it out
would cost more than a threshold. Threshold and acceptance cost are those that score best on the
recording's own truth, so the figures are what a sorter of this kind could reach, not what one did. They
are no strict bound.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from raw_results import write_results
from spikesorter.core.score import Score, score, study_score
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT.parent / "shared" / "studies" / "make_study.py"
FIGURES = {"score": "score", "detection F1": "f_det", "strict": "strict"}

SHAPE_SAMPLES = 200  # the maker's own cut of each waveform
DRIFT_CORNER_HZ = 2.0
REACH = 1000  # samples over which one whitened spike changes the filters' outputs
DISCOUNTS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)  # taken off the prior's cost of a spike
ALWAYS_TRIED = 4.0  # discounts beyond this only while each scores better than all before
THRESHOLDS = 48  # quantiles of the margins that are tried

APART = 250  # changes made at once are farther apart than this
LONE_WINDOW = 81  # samples searched around one spike
GROUP_WINDOW = 161  # and around a group of several
GROUP_SPAN = 80  # from a group's first start to its last
MOST_TOGETHER = 8  # spikes of a group
BEAM = 48  # explanations of a window that are followed
DEPTH = 5  # spikes of the largest
KEY = 2**12  # more than the classes times the samples of any window
NEARLY = 3.0  # how far below the best an explanation is still worth extending
LEAST_GAIN = 0.01  # in log posterior
MOST_ROUNDS = 200

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Model:
    """What the decoder is told of one recording, in the form it needs.

    Parameters
    ----------
    filters : ndarray of complex128, shape (classes, frequencies)
        Transforms of the whitened matched filters, for a transform of the whole recording.
    overlap : ndarray of float64, shape (classes, classes, 2 REACH + 1)
        ``overlap[k, c, REACH + lag]``: what a spike of class k adds to the output of filter c `lag`
        samples after its start. ``overlap[k, k, REACH]`` is the squared detectability of k.
    cost : ndarray of float64, shape (classes,)
        Minus the log of each class's rate per sample.
    """

    filters: npt.NDArray[np.complex128]
    overlap: FloatArray
    cost: FloatArray

    @property
    def energy(self) -> FloatArray:
        """Squared detectability of each class."""
        return np.asarray(np.diagonal(self.overlap[:, :, REACH]))


@dataclass(eq=False)
class Explanation:
    """A set of spikes, with what the filters put out once these are subtracted.

    Parameters
    ----------
    model : Model
    output : ndarray of float64, shape (classes, samples + 2 REACH)
        Of the matched filters, for the residual; REACH samples of padding at either end.
    discount : float
        Taken off the model's cost of a spike.
    start, unit : ndarray of int64, shape (spikes,)
        In order of start; labels from 0.
    """

    model: Model
    output: FloatArray
    discount: float
    start: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    unit: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def charge(self) -> FloatArray:
        """What a spike of each class must bring in filter output before it is worth having."""
        return self.model.energy / 2 + self.model.cost - self.discount

    def margins(self) -> FloatArray:
        """Return the log-likelihood ratio that leaving out each spike, alone, would lose."""
        return self.output[self.unit, self.start + REACH] + self.model.energy[self.unit] / 2

    def change(self, moves: list[Move]) -> None:
        """Take out and put in the spikes of some moves."""
        gone = np.zeros(len(self.start), bool)
        for move in moves:
            gone[list(move.removed)] = True
        born = [spike for move in moves for spike in move.added]
        for start, unit in zip(self.start[gone].tolist(), self.unit[gone].tolist(), strict=True):
            self.output[:, start : start + 2 * REACH + 1] += self.model.overlap[unit]
        for start, unit in born:
            self.output[:, start : start + 2 * REACH + 1] -= self.model.overlap[unit]
        starts = np.concatenate([self.start[~gone], np.array([s for s, _ in born], np.int64)])
        unit_ids = np.concatenate([self.unit[~gone], np.array([k for _, k in born], np.int64)])
        order = np.lexsort((unit_ids, starts))
        self.start, self.unit = starts[order], unit_ids[order]


@dataclass(frozen=True)
class Move:
    """One change of an explanation: spikes removed (their positions) and added (start and label)."""

    gain: float
    centre: int
    removed: tuple[int, ...]
    added: tuple[tuple[int, int], ...]


# What the decoder is told


def load_maker(path: Path) -> ModuleType:
    """Load the studies' maker as a module."""
    spec = importlib.util.spec_from_file_location("study_maker", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"{path}: no such study maker; give --maker")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_facts(study: Path, *, family: str = "bath") -> dict[str, Any]:
    """Read what the maker wrote about a study.

    Raises
    ------
    SystemExit
        If there is nothing, or the study is of another family.
    """
    path = study / "study.json"
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; STUDY must be a folder written by make_study.py")
    facts: dict[str, Any] = json.loads(path.read_text())
    if facts["family"] != family:
        raise SystemExit(f"{study}: family {facts['family']}; this needs a study of family {family}")
    return facts


def true_shapes(maker: ModuleType, seed: int) -> FloatArray:
    """Return the waveforms of a seed's neurons, shape (classes, SHAPE_SAMPLES)."""
    shapes = maker.BATH_SHAPES.copy()
    if seed:
        shapes *= np.random.default_rng([seed, 77]).uniform(0.85, 1.15, shapes.shape)
    t = np.arange(SHAPE_SAMPLES, dtype=float)
    return np.array([waveform(t) for waveform in maker.bath_waveforms(shapes)])


def noise_power(n: int, fs_hz: float, white: float, drift: float) -> FloatArray:
    """Return the noise's power at the frequencies of `rfft`, per sample.

    It is infinite at frequency 0: the recording's mean is ignored, so that filters stay local.
    """
    f = np.fft.rfftfreq(n, 1 / fs_hz)
    slow = 1 / (1 + (f / DRIFT_CORNER_HZ) ** 2)
    slow[0] = 0
    sides = np.full(len(f), 2.0)
    sides[-1] = 1 if n % 2 == 0 else 2
    power = white**2 + drift**2 * slow * n / np.dot(sides, slow)
    power[0] = np.inf
    return np.asarray(power)


def true_model(study: Path, name: str, maker: ModuleType, n: int) -> Model:
    """Return what the decoder is told of one recording of `n` samples."""
    facts = read_facts(study)
    power = noise_power(n, facts["fs"], maker.BATH_WHITE[name], maker.BATH_DRIFT[name])
    transforms = np.fft.rfft(true_shapes(maker, facts["seed"]), n=n, axis=1)
    filters = transforms.conj() / power
    lags = np.arange(-REACH, REACH + 1)
    overlap = np.array([[np.fft.irfft(s * f, n=n)[lags] for f in filters] for s in transforms])
    rate = maker.BATH_SPIKES_PER_S[name] / len(transforms) / facts["fs"]
    return Model(filters, overlap, np.full(len(transforms), -np.log(rate)))


def filter_outputs(model: Model, trace: FloatArray) -> FloatArray:
    """Return the matched filters' outputs, padded by REACH zeros at either end."""
    transform = np.fft.rfft(trace)
    outputs = np.array([np.fft.irfft(transform * f, n=len(trace)) for f in model.filters])
    return np.pad(outputs, ((0, 0), (REACH, REACH)))


# The search for the most probable explanation


def explain(explanation: Explanation) -> Explanation:
    """Change an explanation until no move found here raises its posterior; return it."""
    while moves := apart(single_additions(explanation)):
        explanation.change(moves)
    changed: IntArray | None = None
    for _ in range(MOST_ROUNDS):
        everything = changed is None
        moves = apart([*single_additions(explanation), *reexplanations(explanation, changed)])
        explanation.change(moves)
        if not moves and everything:
            break
        changed = np.sort([move.centre for move in moves]) if moves else None
    return explanation


def apart(moves: list[Move]) -> list[Move]:
    """Return the moves of largest gain that are far enough apart to be made at once."""
    chosen: dict[int, list[Move]] = {}
    kept = []
    for move in sorted(moves, key=lambda m: (-m.gain, m.centre)):
        bin_ = move.centre // APART
        near = [m for b in (bin_ - 1, bin_, bin_ + 1) for m in chosen.get(b, [])]
        if all(abs(m.centre - move.centre) >= APART for m in near):
            chosen.setdefault(bin_, []).append(move)
            kept.append(move)
    return kept


def single_additions(explanation: Explanation) -> list[Move]:
    """Return the additions of one spike that raise the posterior most, each the best around it."""
    best, starts = peaks(explanation, LEAST_GAIN, np.inf)
    unit_ids = np.argmax(explanation.output[:, starts + REACH] - explanation.charge[:, None], axis=0)
    return [
        Move(gain, start, (), ((start, unit),))
        for gain, start, unit in zip(best.tolist(), starts.tolist(), unit_ids.tolist(), strict=True)
    ]


def peaks(explanation: Explanation, low: float, high: float) -> tuple[FloatArray, IntArray]:
    """Return gains and starts where the best single addition peaks at a gain from `low` to `high`."""
    inner = explanation.output[:, REACH:-REACH]
    best = inner[0] - explanation.charge[0]
    for row, charge in zip(inner[1:], explanation.charge[1:], strict=True):
        np.maximum(best, row - charge, out=best)
    is_peak = (best > low) & (best <= high)
    is_peak &= best == maximum_filter1d(best, LONE_WINDOW)
    starts = np.flatnonzero(is_peak)
    return best[starts], starts


def reexplanations(explanation: Explanation, changed: IntArray | None) -> Iterator[Move]:
    """Yield better explanations of small groups of spikes, the rest being held.

    Parameters
    ----------
    explanation : Explanation
    changed : ndarray of int64, sorted, optional
        Only groups near these samples; all groups, and also gaps, if not given.
    """
    if changed is None:
        gaps = peaks(explanation, -NEARLY, LEAST_GAIN)[1]
        yield from search(explanation, np.zeros((len(gaps), 0), np.int64), gaps, LONE_WINDOW)
    for group in groups(explanation.start):
        centre = (explanation.start[group[:, 0]] + explanation.start[group[:, -1]]) // 2
        fresh = np.ones(len(group), bool) if changed is None else near(centre, changed)
        window = LONE_WINDOW if group.shape[1] == 1 else GROUP_WINDOW
        yield from search(explanation, group[fresh], centre[fresh], window)


def groups(start: IntArray) -> Iterator[IntArray]:
    """Yield each spike, each pair, ... of consecutive spikes close together; shapes (groups, members)."""
    i = np.arange(len(start))
    for members in range(1, min(MOST_TOGETHER, len(start)) + 1):
        group = i[: len(i) - members + 1, None] + np.arange(members)
        yield group[start[group[:, -1]] - start[group[:, 0]] <= GROUP_SPAN]


def near(samples: IntArray, changed: IntArray) -> npt.NDArray[np.bool_]:
    """Say which samples are within twice APART of a change."""
    reach = 2 * APART
    return np.searchsorted(changed, samples + reach, "right") > np.searchsorted(changed, samples - reach)


def search(explanation: Explanation, group: IntArray, centre: IntArray, window: int) -> Iterator[Move]:
    """Yield, for each group of spikes that can be explained better within a window, the best explanation.

    Parameters
    ----------
    explanation : Explanation
    group : ndarray of int64, shape (groups, members)
        Positions of spikes.
    centre : ndarray of int64, shape (groups,)
        Middle samples of the windows.
    window : int
        Samples in which spikes may start.
    """
    joint = joint_overlap(explanation.model, window)
    first = np.clip(centre - window // 2, 0, explanation.output.shape[1] - 2 * REACH - window)
    for b, value in enumerate(without(explanation, group, first, window)):
        members = explanation.unit[group[b]] * window + explanation.start[group[b]] - first[b]
        found = best_spikes(value, joint)
        gain = worth(found, value, joint) - worth(members.tolist(), value, joint)
        if gain > LEAST_GAIN and sorted(found) != sorted(members.tolist()):
            added = tuple((int(first[b]) + j % window, j // window) for j in found)
            yield Move(gain, int(centre[b]), tuple(group[b].tolist()), added)


def joint_overlap(model: Model, window: int) -> Float32Array:
    """Return what any spike in a window takes from the worth of any other: shape (classes * window,) * 2."""
    lag = np.arange(window)[None, :] - np.arange(window)[:, None]
    classes = len(model.cost)
    table = model.overlap[:, :, REACH + lag].transpose(0, 2, 1, 3)
    return np.ascontiguousarray(table.reshape(classes * window, classes * window), np.float32)


def without(explanation: Explanation, group: IntArray, first: IntArray, window: int) -> Float32Array:
    """Return what each spike in each window would be worth if the group were not there.

    Returns
    -------
    ndarray of float32, shape (groups, classes * window)
    """
    view = np.lib.stride_tricks.sliding_window_view
    value = view(explanation.output, window, axis=1)[:, first + REACH].transpose(1, 0, 2).copy()
    overlaps = view(explanation.model.overlap, window, axis=2)
    for member in group.T:
        value += overlaps[explanation.unit[member], :, first - explanation.start[member] + REACH]
    value -= explanation.charge[:, None]
    return value.reshape(len(group), len(explanation.charge) * window).astype(np.float32)


def worth(spikes: list[int], value: Float32Array, joint: Float32Array) -> float:
    """Return what some spikes of a window add to the log posterior together."""
    pairs = sum(float(joint[a, b]) for i, a in enumerate(spikes) for b in spikes[:i])
    return float(value[spikes].sum()) - pairs


def best_spikes(value: Float32Array, joint: Float32Array) -> list[int]:
    """Return the best spikes of a window: all single ones and pairs are tried, then a beam of more."""
    one = int(value.argmax())
    best, total = ([one], float(value[one])) if value[one] > 0 else ([], 0.0)
    pairs = value - joint
    pairs += value[:, None]
    spikes = np.stack([np.arange(len(value)), pairs.argmax(axis=1)], axis=1)
    totals = pairs[spikes[:, 0], spikes[:, 1]]
    while True:
        top = distinct(spikes, totals)
        spikes, totals = spikes[top], totals[top]
        if spikes.shape[1] == DEPTH or totals[0] < total - NEARLY:
            return best if totals[0] <= total else spikes[0].tolist()
        if totals[0] > total:
            best, total = spikes[0].tolist(), float(totals[0])
        more = value - joint[spikes].sum(axis=1)
        next_ = more.argmax(axis=1)
        totals = totals + more[np.arange(len(next_)), next_]
        spikes = np.concatenate([spikes, next_[:, None]], axis=1)


def distinct(spikes: IntArray, totals: Float32Array) -> IntArray:
    """Return the positions of the best BEAM of some sets of spikes, best first, each set once."""
    top = np.argpartition(-totals, 2 * BEAM)[: 2 * BEAM] if len(totals) > 2 * BEAM else np.arange(len(totals))
    key = np.sort(spikes[top], axis=1) @ KEY ** np.arange(spikes.shape[1])
    top = top[np.unique(key, return_index=True)[1]]
    return np.asarray(top[np.argsort(-totals[top], kind="stable")][:BEAM])


# What is reported


def candidates(explanation: Explanation, n_thresholds: int = THRESHOLDS) -> Iterator[Spikes]:
    """Yield the spikes whose margins exceed each of some thresholds."""
    margins = explanation.margins()
    surplus = np.clip(margins - explanation.model.cost[explanation.unit], -50, 50)
    everything = Spikes.from_arrays(explanation.start, explanation.unit + 1, 1 / (1 + np.exp(-surplus)))
    thresholds = np.quantile(margins, np.linspace(0, 0.7, n_thresholds)) if len(margins) else [0.0]
    for threshold in thresholds:
        yield everything.select(margins >= threshold)


def explanations(study: Path, name: str, maker: ModuleType) -> Iterator[Explanation]:
    """Yield the most probable explanation found for each discount of the prior; the same object, changed."""
    recording, _ = read_mat(study / f"{name}.mat")
    trace = recording.get_traces()[:, 0].astype(float)
    model = true_model(study, name, maker, len(trace))
    explanation = Explanation(model, filter_outputs(model, trace), 0.0)
    for discount in DISCOUNTS:
        explanation.discount = discount
        yield explain(explanation)


def decode_and_score(study: Path, name: str, maker: ModuleType) -> tuple[Spikes, Score]:
    """Return the spikes that score best on the truth, and their score."""
    fs_hz = float(read_facts(study)["fs"])
    truth = read_mat_spikes(study / "truth" / f"{name}.mat")
    best: tuple[Spikes, Score] | None = None
    for explanation in explanations(study, name, maker):
        before = best
        for spikes in candidates(explanation):
            scored = score(truth, spikes, fs_hz=fs_hz)
            if best is None or scored.score > best[1].score:
                best = spikes, scored
        if best is before and explanation.discount >= ALWAYS_TRIED:
            break
    assert best is not None
    return best


def decode_with_truth(study: Path, name: str, maker: ModuleType) -> Spikes:
    """Return the spikes that a decoder given the truth reports of one recording.

    Parameters
    ----------
    study : Path
        A `bath` study with its truth.
    name : str
        Of the recording, such as ``"D2"``.
    maker : module
        The one that wrote the study.

    Returns
    -------
    Spikes
    """
    return decode_and_score(study, name, maker)[0]


def targets(study: Path) -> list[str]:
    """Names of the targets."""
    return sorted(path.stem for path in study.glob("D*.mat") if path.stem != "D1")


def table(recordings: dict[str, dict[str, float]], study: dict[str, float]) -> str:
    """Return the figures as a markdown table."""
    lines = ["| | " + " | ".join(recordings) + " | study |", "|---|" + "---|" * (len(recordings) + 1)]
    for title, figure in FIGURES.items():
        cells = [f"{figures[figure]:.3f}" for figures in recordings.values()]
        cells.append(f"{study[figure]:.3f}" if figure in study else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Decode every target of a study and print the figures."""
    arguments = parse()
    maker = load_maker(arguments.maker)
    read_facts(arguments.study)  # says what is wrong with it, if anything
    recordings = {}
    for name in targets(arguments.study):
        began = time.perf_counter()
        scored = decode_and_score(arguments.study, name, maker)[1].summary()
        recordings[name] = {figure: scored[figure] for figure in FIGURES.values()}
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    means = {
        "score": study_score({name: figures["score"] for name, figures in recordings.items()}),
        "strict": float(np.mean([figures["strict"] for figures in recordings.values()])),
    }
    print(table(recordings, means))
    if arguments.out:
        results = {"recordings": recordings, "study": means["score"], "strict": means["strict"]}
        write_results(arguments.out, results)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="a bath study with truth/, written by the maker")
    parser.add_argument("--maker", type=Path, default=MAKER)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
