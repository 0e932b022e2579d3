"""Commands to begin with: `simulate` and `config`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikesorter.cli.console import (
    working,
)
from spikesorter.cli.options import (
    Assignments,
    Config,
    Preset,
)
from spikesorter.core.errors import SettingsError

if TYPE_CHECKING:
    pass

__all__ = ["show_config", "simulate"]


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write D1.mat, D2.mat, ... and truth/ to.")],
    units: Annotated[int, typer.Option(min=1, max=50, help="Number of neurons.")] = 4,
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
    from spikesorter.estimation.simulate import NOISE_LEVELS, simulate_study
    from spikesorter.io.atomic import check_writable
    from spikesorter.io.mat import (
        check_replaceable,
        check_replaceable_recording,
        write_mat,
        write_mat_recording,
    )

    levels = tuple(noise or NOISE_LEVELS)
    if not all(0 < level < 1e6 for level in levels):
        raise SettingsError(f"--noise must be larger than 0 and finite, not {min(levels):g}")
    check_writable(out)
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
    typer.echo(f"Study: {out} (D1.mat labelled, {len(recordings) - 1} targets, truth/)")


def show_config(preset: Preset = "default", config: Config = None, assignments: Assignments = None) -> None:
    """Print all settings with their meaning, as a TOML file to edit and give to --config."""
    from spikesorter.core.settings import describe_settings, load_settings

    typer.echo(
        describe_settings(load_settings(config, preset=preset, assignments=assignments or ())), nl=False
    )
