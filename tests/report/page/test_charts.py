"""Line charts in the page: every point inside the axes, points alone as dots, names whole."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from monai_cl.report.figures.quantities import quantity_title, quantity_unit
from monai_cl.report.page.charts import chart_legend, line_chart


def chart(*points: list, **options) -> str:
    lines = {f"line {number}": [np.array(curve, dtype=float)] for number, curve in enumerate(points)}
    return line_chart(lines, **{"title": "Loss", "x_label": "iteration", **options})


def paths(figure: str, kind: str = "s0 d0") -> list[str]:
    return re.findall(rf'<path class="{kind}" d="([^"]+)"/>', figure.partition('role="img"')[2])


def test_a_curve_is_drawn_from_its_first_to_its_last_point():
    (path,) = paths(chart([[0, 1.0], [10, 3.0], [20, 2.0]]))
    assert re.fullmatch(r"M(\d+) [\d.]+L\d+ [\d.]+ (\d+) [\d.]+", path)
    numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
    assert numbers[0] < numbers[2] < numbers[4]
    assert numbers[3] < numbers[5] < numbers[1]  # up is a smaller y


@pytest.mark.parametrize(
    "points", [[[5, 2.0]], [[1, np.nan], [2, 3.0]], [[1, 1.0], [2, np.nan], [3, 2.0], [4, np.nan]]]
)
def test_points_alone_are_dots(points: list):
    finite = sum(np.isfinite(value) for _, value in points)
    assert chart(points).count("<circle") == finite


def test_missing_values_break_a_long_curve():
    points = [[i, np.nan if i == 30 else 1.0 / (i + 1)] for i in range(50)]
    (path,) = paths(chart(points))
    assert path.count("M") == 2


def test_many_points_are_smoothed_and_thinned():
    figure = chart([[i, np.sin(i)] for i in range(5000)])
    assert "faint" in figure
    assert all(path.count(" ") < 200 for path in paths(figure) + paths(figure, "s0 d0 faint"))


def test_names_are_whole_and_escaped_and_colours_are_those_of_the_group():
    name = "a very long name " * 9 + "<b>"
    figure = line_chart({name: [np.array([[0, 1.0], [1, 2.0]])]}, title="x", x_label="i")
    assert name.replace("<b>", "&lt;b&gt;") in figure
    shared = chart([[0, 1.0], [1, 2.0]], labels=["other", "line 0"])
    assert paths(shared, "s1 d1")
    assert "legend" not in shared


def test_each_of_thirty_lines_has_its_own_colour_or_dashes():
    assert len(set(re.findall('path class="([^"]+)"', chart_legend([str(number) for number in range(30)])))) == 30


@pytest.mark.parametrize("points", [[[0, 1e-12], [9, 1e12]], [[0, -1e200], [9, 1e200]], [[3, 5.0], [3, 5.0]]])
@pytest.mark.parametrize("square", [False, True])
def test_extreme_values_stay_inside(points: list, square: bool):
    if square:
        points = [[0, 0], [1, 1]]
    figure = chart(points, logarithmic=points[0][1] == 1e-12, unit_square=square)
    svg = re.search(r"<svg viewBox.*?</svg>", figure, re.DOTALL)[0]
    assert ElementTree.fromstring(svg).tag == "svg"
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    for path in paths(figure):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
        assert all(0 <= x <= width for x in numbers[::2])
        assert all(0 <= y <= height for y in numbers[1::2])
    assert svg.count("<text") >= 3


@pytest.mark.parametrize(
    ("name", "title", "unit"),
    [
        ("mean_dice", "Mean Dice of the validation", "Dice, 0 to 1"),
        ("dice/left kidney", "Dice, left kidney", "Dice, 0 to 1"),
        ("effective_rank/level2", "Effective rank of the features, level 2", "dimensions"),
        ("identity_diagonal/1", "Identity: mean of the diagonal, level 1", ""),
        ("something_new/of_mine", "Something new, of mine", ""),
    ],
)
def test_quantities_have_names_and_units(name: str, title: str, unit: str):
    assert (quantity_title(name), quantity_unit(name)) == (title, unit)
