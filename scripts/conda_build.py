"""Build and test the conda recipe where no conda channel can be reached; `make release-check` calls this.

    python scripts/conda_build.py SDIST --deps PYTHON --tools PYTHON     (needs py-rattler-build)

rattler-build builds the recipe from the source archive SDIST, solves its requirements and runs its tests. The
channel for that is made here. It has a package of each name that the recipe asks for, of the version that pip
installed, which holds nothing but a file that leads to where pip installed it: `--deps` is the Python of a
virtual environment with what the package needs, `--tools` of one with what it is built with. So the recipe's
names, bounds, build script, command and tests are tried; whether conda-forge has these versions is not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).resolve().parent.parent / "packaging" / "conda" / "recipe.yaml"
ARCHIVE = re.compile(r"neural_spike_sorter-(.+)\.tar\.gz")
PLATFORM = "linux-64"
ASKED = """
import importlib.metadata, json, sys, sysconfig
installed = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions()}
print(json.dumps({
    "home": sys.base_prefix + "/bin",
    "version": sys.version.split()[0],
    "site": sysconfig.get_path("purelib"),
    "installed": installed,
}))
"""


def main() -> None:
    """Make the channel, build the recipe, run its tests, tell what was made."""
    from rattler_build import RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig

    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="conda-build-") as folder:
        place = Path(folder)
        recipe = Stage0Recipe.from_file(write_recipe(arguments.sdist.resolve(), place))
        (variant,) = recipe.render(VariantConfig(), RenderConfig())
        asked = variant.recipe.requirements
        make_channel(place, {arguments.tools: names_of(asked.host), arguments.deps: names_of(asked.run)})
        made = variant.run_build(
            tool_config=ToolConfiguration(test_strategy="native"),
            output_dir=place / "made",
            channels=[(place / "channel").as_uri()],
        )
        print(", ".join(path.name for path in made.packages))


def write_recipe(sdist: Path, place: Path) -> Path:
    """Write the recipe for an archive on this machine instead of the one on PyPI; return its path."""
    named = ARCHIVE.fullmatch(sdist.name)
    if named is None:
        sys.exit(f"{sdist}: is no source archive of this project")
    text = RECIPE.read_text(encoding="utf-8")
    changes = (
        (r'(?m)^  version: ".*"$', f'  version: "{named[1]}"'),
        (r"(?m)^  url: .*$", f"  url: {sdist.as_uri()}"),
        (r'(?m)^  sha256: ".*$', f'  sha256: "{hashlib.sha256(sdist.read_bytes()).hexdigest()}"'),
    )
    for old, new in changes:
        text, count = re.subn(old, new, text)
        if count != 1:
            sys.exit(f"{RECIPE}: has {count} lines like {old}, expected one")
    path = place / "recipe" / "recipe.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


def names_of(requirements: list[Any]) -> list[str]:
    """Return the names of requirements."""
    return [str(one).split()[0] for one in requirements]


def make_channel(place: Path, wanted: dict[Path, list[str]]) -> None:
    """Make a channel of the packages wanted, by the Python of the environment that has them."""
    packages: dict[str, dict[str, Any]] = {}
    for python, names in wanted.items():
        facts = json.loads(subprocess.check_output([python, "-c", ASKED], text=True))
        for name in names:
            version = facts["version"] if name == "python" else facts["installed"].get(name)
            if version is None:
                sys.exit(f"{python}: the recipe asks for {name}, which is not installed there")
            path = pack(place, name, version, facts)
            packages[path.name] = described(path)
    for subdirectory, held in ((PLATFORM, packages), ("noarch", {})):
        index = place / "channel" / subdirectory / "repodata.json"
        index.parent.mkdir(parents=True, exist_ok=True)
        content = {"info": {"subdir": subdirectory}, "packages": held, "packages.conda": {}}
        index.write_text(json.dumps(content), encoding="utf-8")


def pack(place: Path, name: str, version: str, facts: dict[str, Any]) -> Path:
    """Write a package that stands for what is installed; return its path."""
    from rattler_build import ArchiveType, assemble_package

    files = place / "files" / name
    short = ".".join(facts["version"].split(".")[:2])
    site = files / "lib" / f"python{short}" / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    if name == "python":
        (files / "bin").mkdir(exist_ok=True)
        for program in ("python", "python3", f"python{short}"):
            link = files / "bin" / program
            link.unlink(missing_ok=True)
            link.symlink_to(f"{facts['home']}/python{short}")
        (files / "pyvenv.cfg").write_text(f"home = {facts['home']}\ninclude-system-site-packages = false\n")
    else:
        (site / f"{name}-stands-for.pth").write_text(facts["site"] + "\n")
    made = assemble_package(
        name=name,
        version=version,
        target_platform=PLATFORM,
        build_string="0",
        output_dir=place / "channel" / PLATFORM,
        files_dir=files,
        depends=[] if name == "python" else [f"python {short}.*"],
        archive_type=ArchiveType.TarBz2,
        detect_prefix=False,
    )
    return Path(made.path)


def described(path: Path) -> dict[str, Any]:
    """Return what a channel's index says of a package."""
    with tarfile.open(path) as archive:
        opened = archive.extractfile("info/index.json")
        assert opened is not None
        facts: dict[str, Any] = json.loads(opened.read())
    content = path.read_bytes()
    return facts | {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--deps", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--tools", type=Path, required=True, metavar="PYTHON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
