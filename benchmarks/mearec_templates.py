"""Templates for MEArec's recordings, from the cell models that come with MEArec.

    python benchmarks/mearec_templates.py --out FOLDER [--probes monotrode tetrode]

MEArec's own templates have to be fetched. Its package also holds thirteen models of cortical cells (layer 5,
Blue Brain Project). This program compiles their mechanisms, lets each fire for a second with NEURON, and
computes what an electrode records of it from fifty places, all by MEArec's own functions. It needs
`pip install MEArec "neuron<9" LFPy` (NEURON 9 does not compile these mechanisms) and a C compiler, takes a
quarter of an hour on one core, and writes a file `PROBE.h5` for each probe, which
`benchmarks/spikeinterface_gt.py --templates FOLDER` reads. What each cell does inside is computed once.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

PROBES = ("monotrode", "tetrode")
EACH = 50  # templates of each cell model: MEArec's default
SEED = 0


def make_templates(probe: str, folder: Path) -> Path:
    """Compute the templates of a probe, unless that is done.

    Parameters
    ----------
    probe : str
        Name of a probe of MEAutility.
    folder : Path
        Where the file goes, and what is computed on the way.

    Returns
    -------
    Path
        The file with the templates.
    """
    import MEArec

    file = folder / f"{probe}.h5"
    if file.is_file():
        return file
    cells = folder / "cells"
    if not cells.is_dir():
        shutil.copytree(MEArec.get_default_cell_models_folder(), cells)
    settings: dict[str, Any] = {
        **MEArec.get_default_templates_params(),
        "probe": probe,
        "n": EACH,
        "seed": SEED,
        "ncontacts": 1,
    }
    templates = MEArec.gen_templates(
        cells,
        params=settings,
        templates_tmp_folder=folder / "simulated",
        parallel=True,  # each cell in a process of its own: two cannot be loaded into one
        n_jobs=1,
        delete_tmp=False,
    )
    MEArec.save_template_generator(templates, file)
    return file


def main() -> None:
    """Make the templates of all probes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--probes", nargs="+", default=PROBES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for probe in arguments.probes:
        print(make_templates(probe, arguments.out.resolve()))


if __name__ == "__main__":
    main()
