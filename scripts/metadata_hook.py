"""Fill in what a package's page on an index shows: addresses, and a README whose links work there.

The build calls this (hatchling, `[tool.hatch.metadata.hooks.custom]`). Where the project is kept is taken
from the environment: `SPIKESORTER_REPOSITORY`, or what GitHub's workflows state. If neither is there, as in
most checkouts, links stay relative and no address is claimed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^][]*)\]\((?!https?://|#)([^)\s]+)\)")


class AddressHook(MetadataHookInterface):  # type: ignore[misc]  # the base class has no types here
    """Sets `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Change the metadata in place, as hatchling asks."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = repository_of(os.environ)
        if repository:
            tag = "main" if "dev" in metadata["version"] else f"v{metadata['version']}"
            text = absolute(text, repository, tag)
            metadata["urls"] = addresses(repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def repository_of(environment: Any) -> str | None:
    """Return the address of the repository, without a slash at its end.

    Examples
    --------
    >>> repository_of({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "lab/sorter"})
    'https://github.com/lab/sorter'
    >>> repository_of({}) is None
    True
    """
    own: str = environment.get("SPIKESORTER_REPOSITORY", "")
    if own:
        return own.rstrip("/")
    server, name = (environment.get(f"GITHUB_{one}", "") for one in ("SERVER_URL", "REPOSITORY"))
    return f"{server}/{name}" if server and name else None


def addresses(repository: str) -> dict[str, str]:
    """Return the addresses that an index shows beside the package."""
    return {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
    }


def absolute(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links lead into the repository at a tag.

    Examples
    --------
    >>> absolute("![a](docs/a.png) [b](LICENSE) [c](https://c.org)", "https://h.org/o/r", "v1.0.0")
    '![a](https://h.org/o/r/raw/v1.0.0/docs/a.png) [b](https://h.org/o/r/blob/v1.0.0/LICENSE) [c](https://c.org)'
    """

    def led(found: re.Match[str]) -> str:
        picture, words, place = found.groups()
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/{tag}/{place})"

    return LINK.sub(led, text)
