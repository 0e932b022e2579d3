"""Commands to get started: `simulate` and `config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import echo
from spikesorter.cli.options import Assignments, Config, Preset, between
from spikesorter.cli.progress import working
from spikesorter.core.errors import InputError, SettingsError

__all__ = ["CONFIG_EXAMPLES", "SIMULATE_EXAMPLES", "show_config", "simulate"]

SIMULATE_EXAMPLES = examples(
    "simulate STUDY",
    "simulate TETRODE --units 6 --channels 4 --seconds 120 --noise 0.5 --noise 1",
)
CONFIG_EXAMPLES = examples(
    "config > my.toml",
    "config --preset published --set seed=7",
)


def simulate(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for D1.mat, D2.mat, ... and truth/.")],
    units: Annotated[int, typer.Option(metavar="N", help="Number of units.", callback=between(1, 50))] = 4,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of each recording.", callback=between(1, 36_000))
    ] = 30.0,
    noise: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SD",
            help="SD of a target's noise; the smallest unit's peak is 2.5. Repeatable. [0.5, 1, 2]",
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(metavar="R", help="Spikes per second, all units together.", callback=between(0.1, 2000)),
    ] = 50.0,
    fs: Annotated[
        float, typer.Option(metavar="HZ", help="Sampling rate.", callback=between(1000, 1e6))
    ] = 25_000.0,
    channels: Annotated[
        int,
        typer.Option(metavar="N", help="Number of neighbouring channels.", callback=between(1, 64)),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="The same seed gives the same study.", callback=between(0, 2**32 - 1)),
    ] = 0,
) -> None:
    """Simulate a study to try the other commands.

    It has a labelled recording (D1.mat), noisier targets (D2.mat, ...), and their true spikes (truth/).
    """
    from spikesorter.estimation.simulate import NOISE_LEVELS, simulate_study
    from spikesorter.io.atomic import check_writable
    from spikesorter.io.mat_writing import (
        check_replaceable,
        check_replaceable_recording,
        write_mat,
        write_mat_recording,
    )

    levels = tuple(noise or NOISE_LEVELS)
    if not all(0 < level < 1e6 for level in levels):
        raise SettingsError(f"--noise must be more than 0 and less than 1e6, not {min(levels):g}")
    check_writable(out)
    _refuse_other_targets(out, len(levels) + 1)
    for number in range(1, len(levels) + 2):
        check_replaceable_recording(out / f"D{number}.mat")
        check_replaceable(out / "truth" / f"D{number}.mat")
    with working(quiet=False) as (progress, _):
        recordings = simulate_study(
            units=units,
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
    echo(f"Study: {out} (D1.mat labelled, {len(recordings) - 1} targets, truth/)")


def _refuse_other_targets(folder: Path, count: int) -> None:
    """Refuse a folder with recordings that the new study does not replace, as `run` would sort them too."""
    ours = {f"D{number}.mat" for number in range(1, count + 1)}
    others = sorted(path.name for path in folder.glob("D*.mat") if path.name not in ours)
    if others:
        raise InputError(
            f"{folder}: holds {', '.join(others)} of another study, which run would take for targets of this "
            "one; remove them, or choose another folder"
        )


def show_config(preset: Preset = "default", config: Config = None, assignments: Assignments = None) -> None:
    """Print all settings with their meanings, as TOML to edit and pass to --config."""
    from spikesorter.core.settings import describe_settings, load_settings

    typer.echo(
        describe_settings(load_settings(config, preset=preset, assignments=assignments or ())), nl=False
    )
