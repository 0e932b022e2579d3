"""Build the container and try what is in it; `make release-check` calls this.

With a Docker daemon, or with `buildah` as root (Debian: `apt-get install buildah`). Where the registry of the
base image cannot be reached, its place is taken by Debian with Python and pip, of the same release, made with
`mmdebstrap`: so every line of the Dockerfile is carried out, though not on the base that users get.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

STAND_IN = "localhost/python-stand-in"
IMAGE = "localhost/neural-spike-sorter:check"
BASE = re.compile(r"^ARG PYTHON_IMAGE=(\S+-slim-(\w+))$", re.MULTILINE)
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
BRIEF = "--set decoder=pursuit --set rehearsal.tuning_seconds=30"
TRIED = (
    "cd /tmp && spikesorter simulate STUDY --seconds 20 --noise 1 "
    f"&& spikesorter run STUDY --out OUT --quiet {BRIEF} "
    "&& test -f OUT/submission.zip && test $(id -u) = 1000"
)


class NoBuilderError(Exception):
    """There is nothing here that builds containers, and why."""


def build_and_try(source: Path, place: Path) -> str:
    """Build the image of a checkout, simulate and sort in it.

    Returns
    -------
    str
        What built it, on which base, and how large it is.

    Raises
    ------
    NoBuilderError
    subprocess.CalledProcessError
        If a command failed; with what it printed.
    """
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "info"], capture_output=True).returncode:
        ran(docker, "build", "--quiet", "--tag", IMAGE, source)
        ran(docker, "run", "--rm", "--entrypoint", "sh", IMAGE, "-c", TRIED)
        size = ran(docker, "images", "--format", "{{.Size}}", IMAGE).strip()
        return f"by Docker; {size}"
    buildah = shutil.which("buildah")
    if buildah is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NoBuilderError("neither a Docker daemon nor buildah as root")
    return with_buildah([buildah, "--root", place / "images", "--runroot", place / "run"], source, place)


def with_buildah(buildah: list[str | Path], source: Path, place: Path) -> str:
    """Build and try with buildah; on a stand-in where the base cannot be had."""
    found = BASE.search((source / "Dockerfile").read_text("utf-8"))
    if found is None:
        raise NoBuilderError("the Dockerfile names no base of the form NAME-slim-RELEASE")
    base, release = found[1], found[2]
    pulled = subprocess.run([*buildah, "pull", "--quiet", f"docker.io/library/{base}"], capture_output=True)
    chosen: list[str] = []
    if pulled.returncode:
        make_stand_in(buildah, release, place / "debian")
        chosen = ["--build-arg", f"PYTHON_IMAGE={STAND_IN}"]
    ran(*buildah, "build", "--isolation", "chroot", "--quiet", *chosen, "--tag", IMAGE, source)
    container = ran(*buildah, "from", IMAGE).splitlines()[-1]
    ran(*buildah, "run", "--isolation", "chroot", container, "--", "sh", "-c", TRIED)
    ran(*buildah, "rm", container)
    size = ran(*buildah, "images", "--format", "{{.Size}}", IMAGE).splitlines()[-1]
    where = f"Debian's {release} with its Python, as {base} cannot be had" if chosen else base
    return f"by buildah, on {where}; {size}"


def make_stand_in(buildah: list[str | Path], release: str, root: Path) -> None:
    """Make an image of Debian that pip may install into, as it may in Python's own images."""
    mmdebstrap = shutil.which("mmdebstrap")
    if mmdebstrap is None:
        raise NoBuilderError("the base image cannot be pulled, and there is no mmdebstrap to make another")
    ran(mmdebstrap, "--quiet", "--variant=minbase", f"--include={PACKAGES}", release, root)
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (root / "usr" / "bin" / "python").symlink_to("python3")
    shutil.copy(CERTIFICATES, root / CERTIFICATES.lstrip("/"))  # a network may have certificates of its own
    container = ran(*buildah, "from", "scratch").splitlines()[-1]
    ran(*buildah, "add", "--quiet", container, root, "/")
    settings = [f"--env={name}={CERTIFICATES}" for name in ("PIP_CERT", "SSL_CERT_FILE")]
    ran(*buildah, "config", *settings, container)
    ran(*buildah, "commit", "--quiet", container, STAND_IN)
    ran(*buildah, "rm", container)


def ran(*command: str | Path) -> str:
    """Run a command and return what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout)
    return done.stdout
