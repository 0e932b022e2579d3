"""Templates for MEArec's recordings, from the cell models that come with MEArec.

    python benchmarks/mearec_templates.py --out TEMPLATES.h5

MEArec's own templates have to be fetched. Its package also holds thirteen models of cortical cells (layer 5,
Blue Brain Project). This program compiles their mechanisms, lets each fire for a second with NEURON, and
computes what a tetrode records of it from a few places, all by MEArec's own functions. It needs
`pip install MEArec "neuron<9" LFPy` (NEURON 9 does not compile these mechanisms) and a C compiler, and takes
a quarter of an hour on one core. `benchmarks/spikeinterface_gt.py mearec --templates TEMPLATES.h5` uses them.
What it computes on the way is left in a folder beside the file, and not computed again.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from pathlib import Path
from typing import Any

CHANGED: dict[str, Any] = {  # of MEArec's default settings for templates
    "probe": "tetrode",
    "n": 4,  # templates of each cell model
    "ncontacts": 1,
    "xlim": [10, 40],  # micrometres from the tetrode; most that are farther are not seen
    "seed": 0,
}


def make_templates(file: Path) -> None:
    """Compute templates and write them to a file."""
    import MEArec

    beside = file.with_suffix("")
    cells = beside / "cells"
    if not cells.is_dir():
        shutil.copytree(MEArec.get_default_cell_models_folder(), cells)
    with contextlib.chdir(beside):  # where MEArec leaves a file of settings
        templates = MEArec.gen_templates(
            cells,
            params=MEArec.get_default_templates_params() | CHANGED,
            templates_tmp_folder=beside / "simulated",
            parallel=True,  # each cell in a process of its own: two cannot be loaded into one
            n_jobs=1,
            delete_tmp=False,
        )
    MEArec.save_template_generator(templates, file)


def main() -> None:
    """Make the templates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    make_templates(parser.parse_args().out.resolve())


if __name__ == "__main__":
    main()
