"""stub"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spikesorter.io.atomic import atomic_file

__all__ = ["write_page"]


def write_page(path: Path, contents: dict[str, Any]) -> None:
    """Stub."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(contents), encoding="utf-8")
