"""Every kept input of the fuzzer, and variants of each, is read or refused; see run.py."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.targets import TARGETS

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # SpikeInterface leaves what it wrote open
    pytest.mark.filterwarnings("ignore:The extractor is not serializable"),
]
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))
MOST_MEMORY = 100 << 20
FLIPPED, TRUNCATED = 12, 4


def variants(contents: bytes) -> Iterator[bytes]:
    rng = np.random.default_rng(len(contents))
    yield contents
    if not contents:
        return
    for length in rng.integers(0, len(contents), TRUNCATED):
        yield contents[:length]
    for _ in range(FLIPPED):
        changed = bytearray(contents)
        for place in rng.integers(0, len(contents), rng.integers(1, 4)):
            changed[place] ^= 1 << rng.integers(8)
        yield bytes(changed)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_kept_inputs(target: str) -> None:
    assert any(path.parent.name == target for path in CORPUS)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_kept_inputs_and_their_variants_are_read_or_refused_within_memory(path: Path) -> None:
    target = TARGETS[path.parent.name]
    target(path.read_bytes())  # loads libraries
    tracemalloc.start()
    try:
        for contents in variants(path.read_bytes()):
            target(contents)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
