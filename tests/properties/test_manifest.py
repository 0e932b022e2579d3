from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesorter.core.errors import InputError
from spikesorter.workflows.manifest import read_batch

PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "~", "C:", "\\\\server", "a.mat", "b.ns5", "con", "%2e%2e"]),
    st.text(max_size=6),
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.lists(PARTS, min_size=1, max_size=3).map(
    "\\".join
)
ENTRIES = st.one_of(
    PATHS,
    st.fixed_dictionaries({"path": PATHS}, optional={"name": st.text(max_size=8), "model": PATHS}),
)


def written(folder: str, contents: dict[str, Any]) -> Path:
    path = Path(folder) / "night.toml"
    path.write_text(tomlkit.dumps(contents), encoding="utf-8", newline="")
    return path


@settings(max_examples=300)
@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_whatever_a_manifest_says_nothing_leaves_its_folder_and_no_two_results_are_one(
    entries: list[Any],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, {"model": "model", "recordings": entries})
        try:
            items = read_batch(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            return
        root = Path(folder).resolve()
        for item in items:
            assert item.recording.resolve().is_relative_to(root)
            assert item.model.resolve().is_relative_to(root)
            assert (root / f"{item.name}.mat").resolve().parent == root
        assert len({item.name.casefold() for item in items}) == len(items) == len(entries)


@given(st.text(max_size=80))
def test_any_text_is_a_manifest_or_refused_in_words(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "night.toml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        try:
            read_batch(path, model=Path("model"))
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
