"""Small figures and packed arrays: what a page shows is what it was given."""

from __future__ import annotations

import base64
import gzip
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jinja2 import UndefinedError

from spikesorter.core.spikes import Spikes
from spikesorter.report import drawing
from spikesorter.report.html import read_asset, render
from spikesorter.report.packing import CODES, pack, pack_spikes
from spikesorter.report.palette import COLOURS, SYMBOLS, colour, symbol
from tests.properties.strategies import spikes_values

FEW = settings(max_examples=20)
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
TEXTS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text.strip() == text)
HARMFUL = "<script>alert('1')</script>&\""


def tree(html: str) -> ET.Element:
    """A page of several parts as one tree; fails where a tag is left open or a name is not escaped."""
    return ET.fromstring(f"<all>{html}</all>")


def texts(html: str) -> list[str]:
    return [text for text in tree(html).itertext() if text.strip()]


def parts(html: str, tag: str) -> list[ET.Element]:
    return [part for part in tree(html).iter() if part.tag.rpartition("}")[2] == tag]


def unpacked(packed: dict[str, object]) -> np.ndarray:
    """As `assets/data.js` does it."""
    raw = gzip.decompress(base64.b64decode(str(packed["gz"])))
    return np.frombuffer(raw, f"<{packed['dtype']}").reshape(packed["shape"])  # type: ignore[call-overload,no-any-return]


@FEW
@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=8), elements=st.integers(0, 255)),
    st.sampled_from(["u1", "i4", "f4"]),
)
def test_packed_arrays_come_back_and_the_same_give_the_same_text(values: np.ndarray, dtype: str) -> None:
    packed = pack(values, dtype)
    np.testing.assert_array_equal(unpacked(packed), values)
    assert (packed["dtype"], packed["shape"]) == (dtype, list(values.shape))
    assert pack(np.asfortranarray(values), dtype) == pack(values.astype(">i8"), dtype) == packed
    assert str(packed["gz"]).isascii()


@FEW
@given(spikes_values(least_unit=0))
def test_packed_spikes_come_back_with_their_probability_to_a_255th(spikes: Spikes) -> None:
    packed = pack_spikes(spikes)
    np.testing.assert_array_equal(unpacked(packed["sample"]), spikes.sample)
    np.testing.assert_array_equal(unpacked(packed["unit"]), spikes.unit)
    np.testing.assert_allclose(unpacked(packed["probability"]) / CODES, spikes.joint, atol=0.51 / CODES)


@FEW
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 4))
def test_a_table_shows_every_cell_as_text(head: list[str], rows: int) -> None:
    cells = [[f"{name}{row}" for name in head] for row in range(rows)]
    html = drawing.table(head, cells)
    assert [part.text for part in parts(html, "th")] == head
    assert [part.text for part in parts(html, "td")] == [cell for row in cells for cell in row]
    assert len(parts(html, "tr")) == 1 + rows


def test_names_are_escaped_in_every_figure() -> None:
    for html in (
        drawing.page(HARMFUL, drawing.table([HARMFUL], [[HARMFUL]])),
        drawing.lines(np.zeros((1, 5)), [HARMFUL]),
        drawing.raster([np.array([0.5])], [HARMFUL]),
        drawing.heat_map(np.array([[1]]), [HARMFUL], [HARMFUL]),
        drawing.page("title", HARMFUL),
    ):
        assert "<script" not in html
        assert any(HARMFUL in text for text in texts(html))


def points_of(part: ET.Element) -> np.ndarray:
    return np.array([point.split(",") for point in (part.get("points") or "").split()], float)


@FEW
@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 4), st.integers(2, 60)), elements=st.floats(-1e6, 1e6, width=32)
    ).filter(lambda curves: np.ptp(np.append(curves, 0)) > 1e-3)
)
def test_curves_fill_their_picture_and_keep_their_order(curves: np.ndarray) -> None:
    names = [f"curve {k}" for k in range(len(curves))]
    html = drawing.lines(curves, names)
    drawn = [points_of(part) for part in parts(html, "polyline")]
    assert [text for text in texts(html) if text.startswith("curve")] == names
    every = np.concatenate(drawn)
    assert every.min() >= -0.06
    assert every[:, 0].max() <= drawing.WIDTH + 0.06
    assert every[:, 1].max() <= drawing.HEIGHT + 0.06
    top, bottom = max(curves.max(), 0), min(curves.min(), 0)
    for curve, points in zip(curves, drawn, strict=True):
        assert len(points) == len(curve)
        heights = (top - curve) / (top - bottom) * drawing.HEIGHT  # upwards, zero in sight
        np.testing.assert_allclose(points[:, 1], heights, atol=0.06)
        np.testing.assert_allclose(points[:, 0], np.linspace(0, drawing.WIDTH, len(curve)), atol=0.06)


@pytest.mark.parametrize("samples", [1, 399, 400, 5000, 100_001])
def test_long_curves_are_thinned_from_end_to_end(samples: int) -> None:
    (line,) = parts(drawing.lines(np.arange(samples, dtype=float)[None], ["a"]), "polyline")
    points = points_of(line)
    assert len(points) == samples if samples < 400 else 199 < len(points) <= 400
    if samples > 1:
        assert points[-1, 0] > 0.98 * drawing.WIDTH


def test_a_silent_curve_is_drawn_too() -> None:
    (line,) = parts(drawing.lines(np.zeros((1, 3)), ["a"]), "polyline")
    np.testing.assert_array_equal(points_of(line), [[0, 0], [210, 0], [420, 0]])


@FEW
@given(st.lists(st.lists(st.floats(0, 1), max_size=20), min_size=1, max_size=5))
def test_each_spike_of_a_raster_has_its_mark_in_its_row(trains: list[list[float]]) -> None:
    names = [f"unit {k}" for k in range(len(trains))]
    html = drawing.raster([np.array(train) for train in trains], names)
    paths = parts(html, "path")
    assert len(paths) == len(trains)
    for k, (path, train) in enumerate(zip(paths, trains, strict=True)):
        marks = re.findall(r"M([\d.]+) (\d+)v(\d+)", path.get("d") or "")
        places = [(float(x) - drawing.NAME_WIDTH) / drawing.WIDTH for x, _, _ in marks]
        np.testing.assert_allclose(places, train, atol=2e-4)
        assert {(int(y), int(height)) for _, y, height in marks} <= {(12 * k + 2, 8)}
    assert [text for text in texts(html) if text.startswith("unit")] == names


def test_a_dense_raster_is_thinned() -> None:
    (path,) = parts(drawing.raster([np.linspace(0, 1, 10_000)], ["a"]), "path")
    assert 400 <= (path.get("d") or "").count("M") < 800


@FEW
@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.integers(0, 99)))
def test_a_heat_map_says_each_count_and_its_share_of_the_row(counts: np.ndarray) -> None:
    rows, columns = ([f"{name}{k}" for k in range(n)] for name, n in zip("rc", counts.shape, strict=True))
    html = drawing.heat_map(counts, rows, columns)
    said = [text.strip() for text in texts(html) if "found as" in text]
    assert said == [
        f"{row}, found as {column}: {counts[i, j]}"
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for share in shares.ravel():
        assert f"{share:.2f}" in html


def test_neighbours_differ_in_colour_and_symbol_and_both_come_again() -> None:
    assert colour(0) == colour(len(COLOURS)) == COLOURS[0]
    assert symbol(1) == symbol(len(SYMBOLS) + 1) == SYMBOLS[1]
    marks = [(colour(k), symbol(k)) for k in range(len(COLOURS) * len(SYMBOLS))]
    assert len(set(marks)) == len(marks)  # 63 units can be told apart
    for field in ("plotly", "matplotlib", "text"):
        assert len({getattr(one, field) for one in SYMBOLS}) == len(SYMBOLS)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", one) for one in COLOURS)


def test_what_a_template_lacks_is_an_error_rather_than_nothing() -> None:
    with pytest.raises(UndefinedError):
        render("page.html")


def test_assets_are_read_once() -> None:
    assert read_asset("page.css") is read_asset("page.css")
    with pytest.raises(FileNotFoundError):
        read_asset("none.css")
