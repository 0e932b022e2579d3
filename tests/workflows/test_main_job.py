"""The main job from end to end: fit, adapt, sort, score, write; slow because networks are trained."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from spikeinterface.core import NumpyRecording

from spikesorter.core.errors import InputError, ModelError
from spikesorter.core.score import score
from spikesorter.core.settings import Settings, load_settings
from spikesorter.core.spikes import Spikes
from spikesorter.io.mat import read_mat, read_mat_spikes
from spikesorter.io.model_files import model_digest
from spikesorter.signal.templates import Templates, plant
from spikesorter.sorting.model import nearest_sorter
from spikesorter.sorting.sorter import Sorter
from tests.cli.test_cli import in_new_process, spikesorter
from tests.conftest import FS_HZ, NETWORKS, QUICK

pytestmark = pytest.mark.slow
SETS = [word for assignment in QUICK for word in ("--set", assignment)]
# How well it sorts is not tested: fewer steps, on shorter rehearsals; the preset's own thresholds, but fewer
# refractory periods.
PUBLISHED = (
    *NETWORKS, "detector.base_steps=40", "detector.steps=40", "classifier.base_steps=40",
    "classifier.steps=40", "output.refractory_grid_ms=[1.0, 2.0]", "rehearsal.training_seconds=5",
    "rehearsal.forecast_seconds=5",
)  # fmt: skip
PUBLISHED_SETS = [word for assignment in PUBLISHED for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def run_and_words(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("run") / "out"
    result = in_new_process("run", study_folder, "--out", out, *SETS)
    assert "study" in result.stdout
    return out, result.stdout


@pytest.fixture(scope="module")
def run(run_and_words: tuple[Path, str]) -> Path:
    return run_and_words[0]


@pytest.fixture(scope="module")
def fitted(run: Path) -> Sorter:
    """The sorter that the run fitted to D1, as it is before it is adapted."""
    return Sorter.load(run / "model")


@pytest.fixture(scope="module")
def adapted(fitted: Sorter, study_folder: Path) -> Sorter:
    return fitted.adapt(read_mat(study_folder / "D3.mat")[0])


@pytest.fixture(scope="module")
def adapted_to_d2(fitted: Sorter, study_folder: Path) -> Sorter:
    return fitted.adapt(read_mat(study_folder / "D2.mat")[0])


def changed(sorter: Sorter, *assignments: str) -> Sorter:
    """The same sorter with other settings."""
    settings = sorter.settings.replace(assignments)
    return Sorter._of(replace(sorter.state, settings=settings))


def test_the_last_line_and_the_report_say_what_to_hand_in(
    run_and_words: tuple[Path, str], study_folder: Path
) -> None:
    out, words = run_and_words
    what = "It contains D2.mat, D3.mat, each with Index (where spikes start) and Class (their units)."
    assert (
        "".join(words.split("Results: ")[1].splitlines()[1:])
        == f"To hand in: {out / 'submission.zip'}. {what}"
    )
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f'<p class="hand-in">To hand in: submission.zip, beside this file. {what}</p>' in page
    assert study_folder.name.startswith("study")
    assert f"<h1>S{study_folder.name[1:]}</h1>" in page  # and not "Study study"


def test_run_writes_everything(run: Path, study_folder: Path) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    models = {f"model/{where}{name}" for where in ("", "targets/D2/", "targets/D3/")
              for name in ("model.json", "arrays.npz")}  # fmt: skip
    results = {"predictions/D2.mat", "predictions/D3.mat", "submission.zip", "run.json", "scores.json"}
    results |= {"forecast.json", "report.html"}
    assert names == models | results
    for name in ("D2", "D3"):
        contents = scipy.io.loadmat(run / "predictions" / f"{name}.mat")
        assert contents["Index"].dtype == np.int64
        assert len({contents[v].size for v in ("Index", "Class", "Probability")}) == 1
        assert np.all(np.diff(contents["Index"].ravel()) >= 0)
    with zipfile.ZipFile(run / "submission.zip") as archive:
        assert archive.namelist() == ["D2.mat", "D3.mat"]


def test_run_finds_and_names_the_spikes(run: Path) -> None:
    scores = json.loads((run / "scores.json").read_text())
    assert list(scores["recordings"]) == ["D2", "D3"]
    assert set(scores["recordings"]["D2"]) == {"score", "f_det", "f_cls", "precision", "recall", "strict"}
    assert scores["recordings"]["D2"]["score"] > 0.93
    assert scores["recordings"]["D3"]["score"] > 0.85
    assert scores["study"] == pytest.approx(
        0.4 * scores["recordings"]["D2"]["score"] + 0.6 * scores["recordings"]["D3"]["score"]
    )


def test_run_forecasts_its_score(run: Path) -> None:
    forecast, scores = (json.loads((run / name).read_text()) for name in ("forecast.json", "scores.json"))
    assert forecast["study"] == pytest.approx(scores["study"], abs=0.05)
    for name, expected in forecast["recordings"].items():
        assert expected["low"] <= expected["score"] <= expected["high"]
        assert expected["low"] - 0.03 < scores["recordings"][name]["score"] < expected["high"] + 0.03


@pytest.mark.parametrize("decoder", ["cnn", "combined", "botm", "trees"])
def test_every_decoder_sorts_and_comes_back_from_disk(
    decoder: str, fitted: Sorter, study_folder: Path, tmp_path: Path
) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    adapted = changed(fitted, f"decoder={decoder}").adapt(target)
    assert adapted.decoder == decoder
    spikes = adapted.sort(target)
    assert score(read_mat_spikes(study_folder / "truth" / "D3.mat"), spikes).score > 0.7
    adapted.save(tmp_path / "model")
    assert Sorter.load(tmp_path / "model").sort(target) == spikes


def test_outlier_spikes_are_marked_if_asked_for_and_written_as_class_0(
    fitted: Sorter, study_folder: Path, tmp_path: Path
) -> None:
    target, _ = read_mat(study_folder / "D2.mat")
    trace = target.get_traces()
    t = np.arange(60.0)
    shape = -7 * np.exp(-0.5 * ((t - 8) / 2.5) ** 2) + 4 * np.exp(-0.5 * ((t - 17) / 5) ** 2)
    starts = np.arange(1000, len(trace) - 1000, 4001)
    outliers = Spikes.from_arrays(starts, np.full(len(starts), 9))
    added = plant(len(trace), outliers, np.ones(len(starts), np.float32),
                  Templates((9,), shape[None, :, None].astype(np.float32), 0))  # fmt: skip
    strange = NumpyRecording([(trace + added).astype(np.float32)], FS_HZ)
    assert 0 not in fitted.adapt(strange).sort(strange).unit_ids
    marking = changed(fitted, "outliers.mark=true").adapt(strange)
    spikes = marking.sort(strange)
    near = np.abs(outliers.sample[:, None] - spikes.of(0).sample).min(axis=1) < 25
    assert near.mean() > 0.8
    marking.save(tmp_path / "model")
    assert Sorter.load(tmp_path / "model").sort(strange) == spikes


def test_a_gain_that_wanders_costs_little(fitted: Sorter, adapted_to_d2: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D2.mat")
    truth = read_mat_spikes(study_folder / "truth" / "D2.mat")
    trace = target.get_traces()
    slow = 1 + 0.15 * np.sin(2 * np.pi * np.arange(len(trace)) / len(trace) * 1.5)
    wandering = NumpyRecording([(trace * slow[:, None]).astype(np.float32)], FS_HZ)
    adapted = fitted.adapt(wandering)
    assert adapted.profile.activity.wander == pytest.approx(0.15 / np.sqrt(2), rel=0.4)
    assert adapted_to_d2.profile.activity.wander < 0.04
    found = adapted_to_d2.sort(target)
    assert score(truth, adapted.sort(wandering)).score > score(truth, found).score - 0.03


def test_run_says_what_it_did(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    assert facts["seed"] == 0
    assert facts["settings"]["detector"]["steps"] == 120
    assert {"python", "numpy", "jax", "keras", "neural-spike-sorter"} <= set(facts["versions"])
    assert {"check", "fit", "adapt D2", "sort D2", "total"} <= set(facts["seconds"])
    assert facts["recordings"]["D2"]["gain"] == pytest.approx(1, abs=0.1)


def test_the_same_run_gives_the_same_bytes(run: Path, study_folder: Path, tmp_path: Path) -> None:
    compiled_anew = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    in_new_process("run", study_folder, "--out", tmp_path, *SETS, "--quiet", "--no-report", **compiled_anew)
    for name in ("predictions/D2.mat", "predictions/D3.mat", "submission.zip", "scores.json",
                 "model/model.json", "model/arrays.npz", "model/targets/D3/arrays.npz"):  # fmt: skip
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_sort_with_the_saved_model_gives_the_same_bytes(
    run: Path, study_folder: Path, tmp_path: Path
) -> None:
    words = ("sort", study_folder / "D3.mat", study_folder / "D2.mat", "--model", run / "model")
    result = spikesorter(*words, "--out", tmp_path, "--no-report")
    assert "as adapted to D3" in result.stderr
    for name in ("D2.mat", "D3.mat"):
        assert (tmp_path / name).read_bytes() == (run / "predictions" / name).read_bytes()


def test_a_recording_like_the_labelled_one_is_sorted_as_such(
    run: Path, study_folder: Path, tmp_path: Path
) -> None:
    words = ("sort", study_folder / "D1.mat", "--model", run / "model", "--out", tmp_path, "--no-report")
    assert "as first learnt, not adapted" in spikesorter(*words).stderr
    found = read_mat_spikes(tmp_path / "D1.mat")
    assert score(read_mat_spikes(study_folder / "D1.mat"), found).score > 0.95


def test_train_makes_the_model_that_run_makes(run: Path, study_folder: Path, tmp_path: Path) -> None:
    targets = ("--targets", study_folder / "D2.mat", study_folder / "D3.mat")
    words = (*targets, "--model", tmp_path / "model", "--objective", "study", *SETS)  # as for a study
    spikesorter("train", study_folder / "D1.mat", *words)
    for name in ("arrays.npz", "targets/D2/arrays.npz", "targets/D3/model.json"):
        assert (tmp_path / "model" / name).read_bytes() == (run / "model" / name).read_bytes()


def test_a_threshold_can_be_set_when_sorting(run: Path, study_folder: Path, tmp_path: Path) -> None:
    words = ("sort", study_folder / "D3.mat", "--model", run / "model", "--out", tmp_path, "--no-report")
    spikesorter(*words, "--set", "output.threshold=0.999", "--set", "output.refractory_ms=0")
    strict = read_mat_spikes(tmp_path / "D3.mat")
    assert 0 < len(strict) < len(read_mat_spikes(run / "predictions" / "D3.mat"))


def test_a_recording_at_another_rate_is_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.mat"
    scipy.io.savemat(path, {"d": np.random.default_rng(0).standard_normal(30_000), "fs": 30_000})
    result = spikesorter("sort", path, "--model", run / "model", "--out", tmp_path / "out", rc=2)
    assert f"{path}: sampled at 30000 Hz" in result.stderr
    assert not (tmp_path / "out").exists()


def test_adapting_learns_the_noise_and_beats_not_adapting(
    fitted: Sorter, adapted: Sorter, study_folder: Path
) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    truth = read_mat_spikes(study_folder / "truth" / "D3.mat")
    assert score(truth, adapted.sort(target)).f_det > score(truth, fitted.sort(target)).f_det + 0.01
    assert adapted.profile.scale > 2 * fitted.profile.scale


def test_adapting_and_sorting_change_nothing(
    fitted: Sorter, adapted_to_d2: Sorter, study_folder: Path
) -> None:
    target, _ = read_mat(study_folder / "D2.mat")
    before = model_digest(fitted.state)
    again = fitted.adapt(target)
    first = again.sort(target)
    assert model_digest(fitted.state) == before
    assert adapted_to_d2.adapt(target).sort(target) == first  # an adapted one starts from the same


def test_a_delay_moves_every_spike_by_as_much(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    trace = target.get_traces().astype(np.float32)
    quiet = np.full((777, 1), np.median(trace), np.float32)
    delayed = NumpyRecording([np.concatenate([quiet, trace])], FS_HZ)
    plain, moved = adapted.sort(target).shifted(777), adapted.sort(delayed)
    assert score(plain, moved).strict > 0.998  # but for rounding at the threshold


def test_any_span_length_gives_the_same_spikes(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    assert adapted.sort(target, span_seconds=1.2, n_jobs=2) == adapted.sort(target, n_jobs=1)


def test_a_saved_sorter_sorts_the_same(adapted: Sorter, study_folder: Path, tmp_path: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    adapted.save(tmp_path / "model")
    loaded = Sorter.load(tmp_path / "model")
    assert loaded.sort(target) == adapted.sort(target)
    assert loaded.adapt(target).sort(target) == adapted.sort(target)
    assert repr(loaded) == repr(adapted)
    with pytest.raises(ModelError, match="is not a model folder"):
        Sorter.load(tmp_path)


def test_a_target_of_half_the_size_and_turned_polarity_is_sorted_as_well(
    fitted: Sorter, adapted: Sorter, study_folder: Path
) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    turned = NumpyRecording([3000 - 0.5 * target.get_traces()], FS_HZ)
    truth = read_mat_spikes(study_folder / "truth" / "D3.mat")
    sorter = fitted.adapt(turned)
    assert sorter.profile.activity.gain == pytest.approx(-0.5, rel=0.05)
    assert score(truth, sorter.sort(turned)).score > score(truth, adapted.sort(target)).score - 0.03


def test_the_curve_peaks_at_the_spikes_found(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    spikes = adapted.sort(target).within(50_000, 100_000)
    curve = adapted.evidence(target, start=50_000, stop=100_000)
    assert curve.shape == (50_000, 3)
    around = (spikes.sample - 50_000)[:, None] + np.arange(-8, 9)
    near = curve[np.clip(around, 0, 49_999), spikes.unit[:, None] - 1].sum(axis=1)
    assert np.mean(near > 0.3) > 0.95
    np.testing.assert_array_equal(adapted.evidence(target, start=57_000, stop=60_000), curve[7000:10_000])


def test_a_recording_that_starts_or_ends_in_a_spike_is_sorted(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    trace, truth = target.get_traces(), read_mat_spikes(study_folder / "truth" / "D3.mat")
    for start in truth.sample[10:20]:
        for cut in (start + 2, start + 5):
            adapted.sort(NumpyRecording([trace[cut : cut + 20_000]], FS_HZ))
            adapted.sort(NumpyRecording([trace[cut - 20_000 : cut]], FS_HZ)) if cut > 20_000 else None
    everything = adapted.with_working_point(threshold=0.0, refractory_ms=0).sort(
        NumpyRecording([trace[:20_000]], FS_HZ)
    )
    assert 0 <= everything.sample.min() < everything.sample.max() < 20_000


def test_a_large_offset_and_drift_cost_nothing(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    plain = adapted.sort(target)
    trace = target.get_traces().astype(float)
    far = NumpyRecording([trace + 1e8 + np.linspace(-30, 30, len(trace))[:, None]], FS_HZ)
    truth = read_mat_spikes(study_folder / "truth" / "D3.mat")
    profile = replace(adapted.profile, offset=np.array([1e8]))
    again = Sorter._of(replace(adapted.state, profile=profile))
    assert score(truth, again.sort(far)).score > score(truth, plain).score - 0.01


def test_labels_given_twice_are_used_once(
    study_folder: Path, quick_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    recording, truth = read_mat(study_folder / "D1.mat")
    assert truth is not None
    few = quick_settings.replace(["decoder=pursuit", "rehearsal.forecast_seconds=10"])
    twice = Sorter.fit(recording, Spikes.concatenate([truth, truth]), settings=few)
    again = 2 * len(truth) - len({(spike.sample, spike.unit) for spike in truth})
    assert f"{again} labels are duplicates" in caplog.text
    once = Sorter.fit(recording, truth, settings=few)
    np.testing.assert_array_equal(twice.units.rates, once.units.rates)


def test_another_unit_is_warned_of(
    fitted: Sorter, study_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, _ = read_mat(study_folder / "D2.mat")
    few = changed(fitted, "detector.steps=2", "classifier.steps=2")
    few.adapt(NumpyRecording([7 * target.get_traces()], FS_HZ))
    assert "another unit of voltage" in caplog.text


def test_samples_that_are_not_there_are_refused(adapted: Sorter, study_folder: Path) -> None:
    target, _ = read_mat(study_folder / "D3.mat")
    for start, stop in ((-50, 100), (0, 10**6), (100, 100)):
        with pytest.raises(InputError, match=f"the recording has {target.get_num_frames()}"):
            adapted.evidence(target, start=start, stop=stop)


def test_a_trace_without_noise_is_refused(shapes: Templates) -> None:
    spikes = Spikes.from_arrays([5000, 90_000, 200_000], [1, 2, 1])
    trace = plant(250_000, spikes, np.ones(3, np.float32), shapes)
    with pytest.raises(InputError, match="no noise to measure"):
        Sorter.fit(NumpyRecording([trace], FS_HZ), spikes)


def test_a_recording_without_spikes_gives_next_to_none(fitted: Sorter, rng: np.random.Generator) -> None:
    silent = NumpyRecording([rng.standard_normal((250_000, 1)).astype(np.float32)], FS_HZ)
    found = fitted.adapt(silent).sort(silent)
    assert len(found) < 25  # in 10 s


def test_the_nearest_sorter_is_the_one_adapted_to_like_noise(
    fitted: Sorter, adapted: Sorter, study_folder: Path
) -> None:
    sorters = {"quiet": fitted, "noisy": adapted}
    assert nearest_sorter(sorters, read_mat(study_folder / "D3.mat")[0])[0] == "noisy"
    assert nearest_sorter(sorters, read_mat(study_folder / "D1.mat")[0])[0] == "quiet"


def test_what_does_not_fit_is_refused(fitted: Sorter, rng: np.random.Generator) -> None:
    noise = rng.standard_normal((30_000, 2)).astype(np.float32)
    with pytest.raises(InputError, match="has 2 channels, but the sorter was fitted to 1"):
        fitted.sort(NumpyRecording([noise], FS_HZ))
    with pytest.raises(InputError, match="sampled at 20000 Hz, but the sorter was fitted at 25000 Hz"):
        fitted.adapt(NumpyRecording([noise[:, :1]], 20_000))
    with pytest.raises(InputError, match="only 100 samples long"):
        fitted.adapt(NumpyRecording([noise[:100, :1]], FS_HZ))
    with pytest.raises(InputError, match="has 2 segments"):
        fitted.sort(NumpyRecording([noise[:, :1]] * 2, FS_HZ))
    with pytest.raises(InputError, match="there are no spikes"):
        Sorter.fit(NumpyRecording([noise[:, :1]], FS_HZ), Spikes.empty())


def test_two_channels_are_sorted_by_the_same_code(quick_settings: Settings, study_folder: Path) -> None:
    labelled, truth = read_mat(study_folder / "D1.mat")
    target, _ = read_mat(study_folder / "D3.mat")
    rng = np.random.default_rng(0)

    def doubled(recording: NumpyRecording, level: float) -> NumpyRecording:
        one = recording.get_traces()
        other = -0.8 * one + level * rng.standard_normal(one.shape)
        return NumpyRecording([np.concatenate([one, other], axis=1).astype(np.float32)], FS_HZ)

    assert truth is not None
    sorter = Sorter.fit(doubled(labelled, 0.1), truth, settings=quick_settings)
    both = doubled(target, 0.5)
    found = sorter.adapt(both).sort(both)
    assert score(read_mat_spikes(study_folder / "truth" / "D3.mat"), found).score > 0.85


def test_preset_published_runs_on_the_same_study(study_folder: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    for name in ("D1.mat", "D2.mat"):
        shutil.copy(study_folder / name, study)
    spikesorter("run", study, "--out", tmp_path, "--preset", "published", *PUBLISHED_SETS)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["preset"] == "published"
    assert facts["settings"]["classifier"]["unit_variance"] is True
    tried = load_settings(preset="published").output.threshold_grid
    assert set(facts["recordings"]["D2"]["thresholds"]) <= set(tried)
    assert figures_of(tmp_path / "report.html") >= {
        "denoising", "matched-filter", "learning-curves", "detector", "classifier", "grid-search"
    }  # fmt: skip
    words = ("sort", study_folder / "D2.mat", "--model", tmp_path / "model", "--no-report")
    spikesorter(*words, "--out", tmp_path / "again")
    assert (tmp_path / "again" / "D2.mat").read_bytes() == (tmp_path / "predictions" / "D2.mat").read_bytes()


def figures_of(report: Path) -> set[str]:
    """Return the ids of the first recording's figures in a report."""
    text = report.read_text(encoding="utf-8").split('<script type="application/json" id="contents">', 1)[1]
    contents = json.loads(text.split("</script>", 1)[0])
    return {figure["id"] for figure in contents["recordings"][0]["figures"]}


def test_a_unit_of_few_spikes_is_warned_of(study_folder: Path, tmp_path: Path) -> None:
    contents = scipy.io.loadmat(study_folder / "D1.mat")
    label = contents["Class"].ravel().copy()
    rare = np.flatnonzero(label == 3)[9:]
    keep = np.setdiff1d(np.arange(len(label)), rare)
    scipy.io.savemat(
        tmp_path / "D1.mat",
        {"d": contents["d"], "Index": contents["Index"].ravel()[keep], "Class": label[keep]},
    )
    (tmp_path / "D2.mat").write_bytes((study_folder / "D2.mat").read_bytes())
    pursuit = ("--set", "decoder=pursuit", "--no-report")
    result = spikesorter("run", tmp_path, "--out", tmp_path / "out", *SETS, *pursuit)
    assert "unit 3 has only 9 labelled spikes" in " ".join(result.stderr.split())
    assert not (tmp_path / "out" / "scores.json").exists()
