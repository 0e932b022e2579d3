"""The command line: parse, call, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikesorter.console import (
    outcome_line,
    print_batch,
    print_confusion,
    print_scores,
    print_study,
    print_verdicts,
    result_line,
    sorted_json,
    sorted_line,
    sorter_facts,
    sorter_line,
    study_json,
    working,
)
from spikesorter.errors import SettingsError, SpikeSorterError
from spikesorter.options import (
    INPUT,
    AsJson,
    Assignments,
    Channel,
    Channels,
    Config,
    Dtype,
    Format,
    Group,
    Jobs,
    Objective,
    Preset,
    Quiet,
    Rate,
    Report,
    Segment,
    StreamName,
    recording_options,
)

if TYPE_CHECKING:
    from spikesorter.config import Settings
    from spikesorter.sorter import Sorter

__all__ = ["app", "main"]

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Learn a spike sorter from one labelled recording and run it on noisier ones of the same neurons.",
)


def main() -> None:
    """Run the command line; errors that a user can mend become one line and exit code 2."""
    try:
        app()
    except SpikeSorterError as error:
        sys.stderr.write(f"spikesorter: error: {' '.join(str(error).split())}\n")
        sys.exit(USER_ERROR)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.stderr.write("spikesorter: interrupted; what was written before is whole\n")
        sys.exit(INTERRUPTED)


def _show_version(wanted: bool) -> None:
    if wanted:
        from spikesorter import __version__

        typer.echo(f"spikesorter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Folder with D1.mat (labelled), D2.mat, D3.mat, ...")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    jobs: Jobs = None,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Do everything for a study: train on D1, adapt to each target, sort it, score it if truth/ is there.

    Writes FOLDER/model/, forecast.json (how good to expect the results to be), predictions/,
    submission.zip, run.json, report.html and, with truth, scores.json.
    """
    from spikesorter.config import load_settings

    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.study import run_study

        results = run_study(
            study,
            out,
            settings,
            preset=preset,
            jobs=jobs,
            progress=progress,
            report=report,
            on_sorter=lambda name, sorter: say(sorter_line(name, sorter)),
            on_result=lambda result: say(result_line(result)),
        )
    if as_json:
        typer.echo(study_json(results, out))
    elif not quiet:
        print_study(results)
        typer.echo(f"Results: {out}" + (f"; look at {out / 'report.html'}" if report else ""))


@app.command()
def train(
    labelled: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="Labelled recording; must come first.")
    ],
    model: Annotated[Path, typer.Option("--model", metavar="FOLDER", help="Where to save the model.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Its labels: .mat, .csv, .parquet, .nwb, folder of Phy or SpikeInterface. "
            "[those in the recording's own file]",
        ),
    ] = None,
    targets: Annotated[
        list[Path] | None,
        typer.Option(
            "--targets", metavar="FILE", help="Recording to adapt to. Repeatable; several may follow."
        ),
    ] = None,
    more_targets: Annotated[
        list[Path] | None, typer.Argument(metavar="[MORE_TARGETS]...", hidden=True)
    ] = None,
    config: Config = None,
    assignments: Assignments = None,
    preset: Preset = "default",
    objective: Objective = None,
    fs: Rate = None,
    dtype: Dtype = None,
    channels: Channels = None,
    form: Format = None,
    stream: StreamName = None,
    segment: Segment = None,
    channel: Channel = None,
    group: Group = None,
    by_group: Annotated[
        bool,
        typer.Option(
            "--by-group",
            help="Learn a sorter for each group of channels (tetrode); `sort` joins their results.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a labelled recording, adapt to targets, and save the model.

    Says of each what was found out about it, and how good its result is expected to be.
    """
    from spikesorter.config import load_settings

    options = recording_options(
        fs=fs,
        dtype=dtype,
        channels=channels,
        form=form,
        stream=stream,
        segment=segment,
        channel=channel,
        group=group,
    )
    settings = load_settings(config, preset=preset, assignments=_all(assignments, objective))
    learnt: dict[str, dict[str, Any]] = {}
    with working(quiet or as_json) as (progress, say):
        from spikesorter.jobs import train_model

        def tell(name: str, sorter: Sorter) -> None:
            learnt[name] = sorter_facts(sorter)
            say(sorter_line(name, sorter))

        every = [*(targets or []), *(more_targets or [])]
        train_model(
            labelled,
            every,
            model,
            settings,
            labels=labels,
            options=options,
            by_group=by_group,
            jobs=jobs,
            progress=progress,
            on_sorter=tell,
        )
    if as_json:
        typer.echo(json.dumps({"model": str(model), "recordings": learnt}, indent=2))
    elif not quiet:
        typer.echo(f"Model: {model}")


@app.command()
def sort(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings to sort.")],
    model: Annotated[
        Path, typer.Option("--model", metavar="FOLDER", help="From `train`, or OUT/model of `run`.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="Of the results: mat, csv, parquet, nwb, phy or analyzer."),
    ] = "mat",
    fs: Rate = None,
    dtype: Dtype = None,
    channels: Channels = None,
    form: Format = None,
    stream: StreamName = None,
    segment: Segment = None,
    channel: Channel = None,
    group: Group = None,
    assignments: Assignments = None,
    jobs: Jobs = None,
    span_seconds: Annotated[
        float,
        typer.Option(metavar="S", min=0.001, max=1e6, help="Read a recording in spans of S. Same result."),
    ] = 10.0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep finished spans; go on where such a run stopped."),
    ] = False,
    report: Report = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort recordings of any format with a saved model (inference only).

    Each recording's result is named after it, FOLDER/NAME.mat, say; FOLDER/report.html shows them all.
    Each is sorted by the model's adaptation to noise and gain most like its own. Of the settings, only
    detector.threshold and detector.refractory_samples can still be changed.
    """
    from spikesorter.config import Settings

    options = recording_options(
        fs=fs,
        dtype=dtype,
        channels=channels,
        form=form,
        stream=stream,
        segment=segment,
        channel=channel,
        group=group,
    )
    point = _working_point(Settings().replace(assignments or ()))
    with working(quiet or as_json) as (progress, say):
        from spikesorter.jobs import sort_files
        from spikesorter.models import load_model

        done = sort_files(
            files,
            load_model(model).with_working_point(**point),
            out,
            to=to,
            options=options,
            jobs=jobs,
            span_seconds=span_seconds,
            resume=resume,
            report=report,
            progress=progress,
            on_result=lambda one: say(sorted_line(one)),
        )
    if as_json:
        typer.echo(sorted_json(done))
    elif not quiet:
        typer.echo(f"Results: {out}" + (f"; look at {out / 'report.html'}" if report else ""))


@app.command()
def batch(
    source: Annotated[
        Path,
        typer.Argument(metavar="MANIFEST|FOLDER", help="TOML that lists recordings, or a folder of them."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write the results.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="For recordings that the manifest names none for."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="Of the results: mat, csv, parquet, nwb, phy or analyzer."),
    ] = "mat",
    root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where a manifest's paths start. [the manifest's own folder]"),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, max=1024, help="Processes on this machine.")
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a running Dask cluster, tcp://HOST:PORT, instead."),
    ] = None,
    span_seconds: Annotated[
        float,
        typer.Option(metavar="S", min=0.001, max=1e6, help="Work that a kill may lose, of each recording."),
    ] = 60.0,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Take over a folder of other settings: sort everything again."),
    ] = False,
    fs: Rate = None,
    dtype: Dtype = None,
    channels: Channels = None,
    form: Format = None,
    stream: StreamName = None,
    segment: Segment = None,
    channel: Channel = None,
    group: Group = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Sort many recordings; go on where an earlier run was killed; one that fails does not stop the others.

    Writes FOLDER/predictions/NAME.mat and, at the end, batch.json: of each recording what became of it, how
    long it took and how good it is expected to be. The same command, started again, sorts what is missing.
    Exit code 1 if any failed.
    """
    from spikesorter.manifest import read_jobs

    options = recording_options(
        fs=fs,
        dtype=dtype,
        channels=channels,
        form=form,
        stream=stream,
        segment=segment,
        channel=channel,
        group=group,
    )
    with working(quiet or as_json) as (progress, say):
        from spikesorter.batch import run_batch
        from spikesorter.cluster import running_on

        with running_on(jobs, scheduler) as runner:
            outcomes = run_batch(
                read_jobs(source, model=model, options=options, root=root),
                out,
                to=to,
                runner=runner,
                span_seconds=span_seconds,
                restart=restart,
                progress=progress,
                on_outcome=lambda outcome: say(outcome_line(outcome)),
            )
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if as_json:
        typer.echo((out / "batch.json").read_text(encoding="utf-8"))
    elif not quiet:
        print_batch(outcomes)
        typer.echo(f"Results: {out}")
    if failed:
        raise typer.Exit(1)


@app.command("listen")
def listen_command(
    model: Annotated[
        Path, typer.Option("--model", metavar="FOLDER", help="From `train`, or OUT/model of `run`.")
    ],
    source: Annotated[
        str, typer.Argument(help="-: standard input; tcp://HOST:PORT; or lsl:NAME (Lab Streaming Layer).")
    ] = "-",
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="NAME", help="Sort as adapted to this target."),
    ] = None,
    calibrate: Annotated[
        float,
        typer.Option(metavar="S", min=0.0, max=1e5, help="Or adapt to the first S seconds."),
    ] = 0.0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Report within some milliseconds, a little less accurately.")
    ] = False,
    dtype: Annotated[
        Literal["int16", "float32"], typer.Option(help="Of raw samples (not for lsl).")
    ] = "int16",
    quiet: Quiet = False,
) -> None:
    """Sort a recording that is still going on; write each spike as a line of JSON as soon as it is sure.

    Each line says `sample`, `time_s`, `class`, `probability`, `class_probability`, and `behind_s`: how much
    later the stream was when the spike was reported. Nothing is dropped: samples that come during calibration
    are sorted after it.
    """
    from spikesorter.listen import listen
    from spikesorter.live import open_source, open_stream

    with working(quiet) as (_, say):
        stream = open_stream(model, like=like, calibration_seconds=calibrate, fast=fast, say=say)
        packets = open_source(source, dtype=dtype, fs_hz=stream.fs_hz, channels=stream.channels)
        found = 0
        for spike in listen(packets, stream):
            sys.stdout.write(json.dumps(spike) + "\n")
            sys.stdout.flush()
            found += 1
        say(f"{found} spikes in {stream.received_samples / stream.fs_hz:.1f} s of signal")


@app.command()
def view(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Results of `run` or `sort`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
) -> None:
    """Look at results in the browser, however long the recordings, and correct them; ends with Ctrl-C.

    Accept, reject or rename doubtful spikes: FOLDER/corrected/NAME.csv are labels for the next `train`. The
    page is for this machine and this user alone: its address holds a token that is new each time.
    """
    import webbrowser

    from spikesorter.viewer import run_viewer

    with working(quiet=False) as (progress, say):

        def ready(url: str) -> None:
            progress("serving", 1.0)
            say(f"Viewer: {url} (Ctrl-C ends it)")
            if browser:
                webbrowser.open(url)

        progress("reading the results", 0.0)
        written = run_viewer(out, port=port, on_ready=ready)
    for path in written:
        typer.echo(f"Labels: {path}")


@app.command()
def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Spikes found: a file or folder of any format, or a folder of them.")
    ],
    truth: Annotated[Path, typer.Argument(help="Likewise, with the true spikes.")],
    fs: Rate = None,
    pairing: Annotated[
        Literal["hungarian", "name"],
        typer.Option(help="Pair units with those they agree with most, or with their namesakes."),
    ] = "hungarian",
    as_json: AsJson = False,
) -> None:
    """Score predictions against the truth, as the study does and strictly.

    A second table gives each true unit's accuracy, precision and recall by SpikeInterface's
    compare_sorter_to_ground_truth, for which units may have any names.
    """
    from spikesorter.evaluate import study_score
    from spikesorter.scoring import judge_files, score_files, unpredicted

    with working(quiet=as_json) as (progress, _):
        scores = score_files(predictions, truth, fs_hz=fs, progress=progress)
        verdicts = judge_files(predictions, truth, fs_hz=fs, pairing=pairing, progress=progress)
    missing = unpredicted(predictions, truth)
    whole = None if missing else study_score({name: s.score for name, s in scores.items()})
    if missing:
        typer.echo(f"spikesorter: warning: no predictions for {', '.join(missing)}: no study score", err=True)
    if as_json:
        rows = {name: s.summary() | {"referee": verdicts[name].summary()} for name, s in scores.items()}
        contents: dict[str, Any] = {"recordings": rows}
        typer.echo(json.dumps(contents | ({} if missing else {"study": whole}), indent=2))
    else:
        print_scores({name: (s, []) for name, s in scores.items()}, [], whole)
        for name, s in scores.items():
            print_confusion(name, s)
        print_verdicts(verdicts)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write D1.mat, D2.mat, ... and truth/ to.")],
    neurons: Annotated[int, typer.Option(min=1, max=50, help="Number of neurons.")] = 4,
    seconds: Annotated[float, typer.Option(min=1.0, max=36000.0, help="Length of each recording.")] = 30.0,
    noise: Annotated[
        list[float] | None,
        typer.Option(help="Noise SD of a target; the smallest spike's peak is 2.5. Repeatable. [0.5, 1, 2]"),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=2000.0, help="Spikes per second of all neurons.")
    ] = 50.0,
    fs: Annotated[float, typer.Option(min=1000.0, max=1e6, help="Sampling rate, Hz.")] = 25_000.0,
    channels: Annotated[int, typer.Option(min=1, max=64, help="Contacts near each other.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same study.")] = 0,
) -> None:
    """Simulate a study to try things on: a labelled recording and noisier targets, with their truth."""
    from spikesorter.io.atomic import check_writable
    from spikesorter.io.mat import (
        check_replaceable,
        check_replaceable_recording,
        write_mat,
        write_mat_recording,
    )
    from spikesorter.simulate import NOISE_LEVELS, simulate_study

    levels = tuple(noise or NOISE_LEVELS)
    if not all(0 < level < 1e6 for level in levels):
        raise SettingsError(f"--noise must be larger than 0 and finite, not {min(levels):g}")
    check_writable(out)
    for number in range(1, len(levels) + 2):
        check_replaceable_recording(out / f"D{number}.mat")
        check_replaceable(out / "truth" / f"D{number}.mat")
    with working(quiet=False) as (progress, _):
        recordings = simulate_study(
            neurons=neurons,
            seconds=seconds,
            noise_levels=levels,
            spikes_per_s=rate,
            fs_hz=fs,
            channels=channels,
            seed=seed,
            progress=progress,
        )
        for number, recording in enumerate(recordings, start=1):
            progress("writing", (number - 1) / len(recordings))
            labels = recording.spikes if number == 1 else None
            write_mat_recording(out / f"D{number}.mat", recording.trace, fs_hz=fs, labels=labels)
            write_mat(out / "truth" / f"D{number}.mat", recording.spikes, probability=False, fs_hz=fs)
    typer.echo(f"Study: {out} (D1.mat labelled, {len(recordings) - 1} targets, truth/)")


@app.command("config")
def show_config(preset: Preset = "default", config: Config = None, assignments: Assignments = None) -> None:
    """Print all settings with their meaning, as a TOML file to edit and give to --config."""
    from spikesorter.config import describe_settings, load_settings

    typer.echo(
        describe_settings(load_settings(config, preset=preset, assignments=assignments or ())), nl=False
    )


@app.command()
def plot(
    recording: Annotated[Path, typer.Argument(help="The recording.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Picture to write (.png, .svg, .pdf).")],
    found: Annotated[Path | None, typer.Option(help="Predictions for it.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Its true spikes.")] = None,
    start: Annotated[float, typer.Option(min=0.0, max=1e9, help="Second at which the picture starts.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0.001, max=60.0, help="How much of it to show.")] = 0.2,
    fs: Rate = None,
    dtype: Dtype = None,
    channels: Channels = None,
    form: Format = None,
    stream: StreamName = None,
    segment: Segment = None,
    channel: Channel = None,
    group: Group = None,
) -> None:
    """Draw a stretch of a recording with the spikes found in it and the true ones."""
    from spikesorter.io.formats import stem_of
    from spikesorter.io.labels import own_labels, read_labels
    from spikesorter.report.figures import save_trace_figure

    options = recording_options(
        fs=fs,
        dtype=dtype,
        channels=channels,
        form=form,
        stream=stream,
        segment=segment,
        channel=channel,
        group=group,
    )
    trace = options.read(recording)
    rate = trace.get_sampling_frequency()
    own = None if truth else own_labels(recording, fs_hz=rate, stream=stream)
    save_trace_figure(
        out,
        trace,
        found=read_labels(found, fs_hz=rate) if found else None,
        truth=read_labels(truth, fs_hz=rate) if truth else own,
        start_s=start,
        seconds=seconds,
        title=stem_of(recording) if recording.is_dir() else recording.name,
    )
    typer.echo(f"Picture: {out}")


def _all(assignments: list[str] | None, objective: str | None) -> list[str]:
    return [*(assignments or []), *([f"tuning.objective='{objective}'"] if objective else [])]


def _working_point(settings: Settings) -> dict[str, Any]:
    from spikesorter.config import Settings

    point = {
        "threshold": settings.detector.threshold,
        "refractory_samples": settings.detector.refractory_samples,
    }
    plain = settings.detector.model_copy(update=dict.fromkeys(point))
    if settings.model_copy(update={"detector": plain}) != Settings():
        raise SettingsError(
            "only detector.threshold and detector.refractory_samples can be set when sorting; "
            "all else was fixed when the model was trained"
        )
    return point


if __name__ == "__main__":
    main()
