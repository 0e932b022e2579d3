"""Command to write results in another format: `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikesorter.cli.commands import examples
from spikesorter.cli.console import echo
from spikesorter.cli.options import Out, Quiet, SubjectFile
from spikesorter.cli.progress import working

__all__ = ["EXPORT_EXAMPLES", "export"]

EXPORT_EXAMPLES = examples(
    "export SORTED --to phy --out PHY",
    "export SORTED --corrected --to nwb --out CORRECTED",
    "export SORTED --to mat-units --out UNITS",
    "export SORTED --to bids --subject subject.toml --out DATASET",
)


def export(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="Folder of results of `run`, `sort`, `discover` or `batch`."),
    ],
    out: Out,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="mat, csv, parquet, nwb, phy or analyzer; mat-units: a MATLAB struct for each unit; nex5, "
            "nex: for NeuroExplorer; bids: a dataset of NWB files and tables after BIDS's draft for "
            "microelectrode recordings.",
        ),
    ],
    corrected: Annotated[
        bool,
        typer.Option("--corrected", help="Write the spikes as corrected in `view` (RESULTS/corrected)."),
    ] = False,
    subject: SubjectFile = None,
    quiet: Quiet = False,
) -> None:
    """Write results in another format, without sorting again.

    Spikes are written as they were found or, with --corrected, as they were corrected in `view`. A BIDS
    dataset needs --subject, and further recordings are added to one that was written before.
    """
    with working(quiet) as (progress, say):
        from spikesorter.workflows.exporting import export_results

        export_results(
            results,
            out,
            to=to,
            subject=subject,
            with_corrections=corrected,
            progress=progress,
            on_written=lambda path: say(f"Written: {path}"),
        )
    if not quiet:
        echo(f"Results: {out}")
