"""Figures: well-formed, deterministic SVG; positions of elements as pymatgen has them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from aldesign.chemistry.elements import SYMBOLS
from aldesign.report import figures
from aldesign.report.calibration import Calibration
from aldesign.report.periodic import periodic_table, position
from aldesign.report.svg import to_svg

GAPS = np.array([2.0, np.nan, 3.5, 3.0])
SOURCES = np.array(["generator", "generator", "latent search", "user"])
BEST = np.array([2.5, 2.5, 3.5, 3.5])


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


def test_every_element_stands_where_pymatgen_has_it() -> None:
    from pymatgen.core import Element

    seen = {}
    for symbol in SYMBOLS[1:]:
        element, (row, column) = Element(symbol), position(symbol)
        if element.is_lanthanoid or element.is_actinoid:
            assert row == element.row + 3
            assert column == 3 + element.Z - (57 if element.is_lanthanoid else 89)
        else:
            assert (row, column) == (element.row, element.group)
        assert seen.setdefault((row, column), symbol) == symbol
    assert len(seen) == 118


def test_the_periodic_table_counts_and_names_every_element() -> None:
    svg = to_svg(periodic_table({"O": 31, "Na": 7}, {"O": "5.25"}), "t", "a table", {"element-O": ["O: 31 of them"]})
    found = texts(svg)
    assert set(SYMBOLS[1:]) <= set(found)
    assert [found.count(text) for text in ("31", "7", "5.25")] == [1, 1, 1]
    assert "<title>O: 31 of them</title>" in svg


@pytest.mark.parametrize("wanted", [None, (3.0, np.inf), (-np.inf, 3.0), (2.0, 3.0)])
def test_best_so_far_draws_each_answer_once(wanted: tuple[float, float] | None) -> None:
    svg = to_svg(figures.best_so_far(GAPS, SOURCES, BEST, 2.5, wanted), "b", "best", {"answers-generator": ["tip <1>"]})
    assert "<title>tip &lt;1&gt;</title>" in svg
    assert "best seed 2.50" in texts(svg)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [0, 1])
def test_figures_of_almost_nothing(n: int) -> None:
    values = np.full(n, 2.0)
    sources = np.full(n, "user", dtype="<U4")
    few = Calibration((), values, values, values)
    for figure in (
        figures.best_so_far(values, sources, values),
        figures.gap_distribution({"user": values}),
        figures.calibration_curve(few),
    ):
        ElementTree.fromstring(to_svg(figure, "x", "little"))


def test_shares_of_the_distribution_add_up() -> None:
    values = np.random.default_rng(0).gamma(2, 2, 500)
    figure = figures.gap_distribution({"seed": values, "generator": values[:3]})
    for patch in figure.axes[0].patches:
        data = patch.get_data()
        assert data.values.sum() == pytest.approx(100)
        assert data.edges[0] <= values.min()
        assert values.max() <= data.edges[-1]


def test_svg_is_deterministic_and_holds_nothing_that_loads() -> None:
    first, second = (to_svg(figures.best_so_far(GAPS, SOURCES, BEST), "b", "best") for _ in range(2))
    assert first == second
    assert re.findall(r"https?://[^\"' ]+", first) == ["http://www.w3.org/2000/svg"]
    assert "<style" not in first
    assert "<metadata" not in first


def test_ids_carry_the_name_and_every_reference_has_its_target() -> None:
    svg = to_svg(figures.best_so_far(GAPS, SOURCES, BEST), "one", "best")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("one-") for name in ids)
    references = re.findall(r'(?:href="|url\()#([\w-]+)', svg)
    assert references
    assert set(references) <= set(ids)


def test_many_marks_become_pixels() -> None:
    n = figures.MANY + 1
    gaps = np.random.default_rng(1).random(n)
    svg = to_svg(figures.best_so_far(gaps, np.full(n, "generator"), np.maximum.accumulate(gaps)), "m", "many")
    assert "data:image/png" in svg
    assert len(svg) < 400_000


def test_colours_are_variables_with_the_colour_to_fall_back_on() -> None:
    svg = to_svg(figures.best_so_far(GAPS, SOURCES, BEST), "b", "best")
    assert "var(--accent, #0f6b78)" in svg
    assert not re.search(r"(?<!, )#0f6b78", svg)
