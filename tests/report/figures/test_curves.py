from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from monai_cl.report import Run, curve_figure, curve_names
from monai_cl.report.figures.curves import COLOURS, line_labels, running_mean
from tests.report.examples import pretraining, segmentation

CASE = {"a": {"spleen": 0.5}}


def runs(*records: dict) -> list[Run]:
    return [Run(path=Path(f"runs/{number}/results.json"), results=record) for number, record in enumerate(records)]


def drawn(svg: bytes) -> str:
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    return svg.decode()


def test_every_curve_with_a_value_gets_a_figure_and_kinds_are_kept_apart():
    found = runs(segmentation(CASE, curves={"loss": [[1, 2.0]], "empty": [], "lost": [[1, None]]}), pretraining())
    assert curve_names(found) == [("segmentation", "loss"), ("pretraining", "loss"), ("pretraining", "loss/label")]


@pytest.mark.usefixtures("as_svg")
def test_scratch_and_pretrained_share_an_axis_in_two_colours():
    found = runs(segmentation(CASE), segmentation(CASE, initialisation="e.pt"), segmentation(CASE, seed=1))
    svg = drawn(curve_figure(found, kind="segmentation", name="loss")).lower()
    assert svg.count(f"stroke: {COLOURS[0].lower()}") == 3  # two seeds from scratch and one legend entry
    assert svg.count(f"stroke: {COLOURS[1].lower()}") == 2


def test_lines_are_named_by_what_differs_between_the_runs():
    same = runs(pretraining(), segmentation(CASE), segmentation(CASE, initialisation="e.pt"))
    assert line_labels(same) == ["pretraining", "scratch", "pre-trained"]
    other = runs(segmentation(CASE), segmentation(CASE, fraction=0.5, data={"name": "spleens"}))
    assert line_labels(other) == ["scratch, organs", "scratch, spleens"]
    shares = runs(*(segmentation(CASE, fraction=share, data={"available_labels": 40}) for share in (0.05, 0.5)))
    shares[1].data_list["training_cases"] = [str(number) for number in range(20)]
    assert line_labels(shares) == ["scratch, 2 of 40 labelled scans", "scratch, 20 of 40 labelled scans"]


@pytest.mark.usefixtures("as_svg")
@pytest.mark.parametrize(
    "points",
    [
        [[1, 2.0]],
        [[1, None], [2, 3.0]],
        [[1, None], [2, 3.0], [3, None], [4, 5.0]],
        [[i, None if i % 7 == 0 else 1 / i] for i in range(1, 500)],
        [[1, 1e-12], [2, 1e12]],
        [[1, -1e300 / 2], [2, 1e300 / 2]],
        [[1, 0.5], [2, 0.5]],
    ],
)
def test_gaps_single_points_and_wide_ranges_are_drawn(points: list):
    assert drawn(curve_figure(runs(pretraining(curves={"x": points})), kind="pretraining", name="x"))


@pytest.mark.usefixtures("as_svg")
@pytest.mark.parametrize("name", ["_hidden", "a$b$", "<script>", "x" * 300, "表"])
def test_odd_names_are_drawn_as_they_are(name: str):
    found = runs(*(pretraining(curves={name: [[1, 1.0], [2, 2.0]]}, name=other) for other in (name, "b")))
    if name == "表":
        with pytest.warns(UserWarning, match="Glyph"):  # matplotlib's own font lacks it: a box, and it says so
            curve_figure(found, kind="pretraining", name=name)
    else:
        assert "<script>" not in drawn(curve_figure(found, kind="pretraining", name=name))


def test_the_same_runs_give_the_same_bytes():
    found = runs(pretraining(), pretraining(name="other"))
    assert curve_figure(found, kind="pretraining", name="loss") == curve_figure(found, kind="pretraining", name="loss")


def test_a_curve_nobody_recorded_is_refused():
    with pytest.raises(ValueError, match="name must be a curve of the pretraining runs, got 'x'"):
        curve_figure(runs(pretraining()), kind="pretraining", name="x")


def test_the_running_mean_is_over_the_finite_values_around_a_point():
    values = np.array([0.0, 3.0, np.nan, 6.0, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(running_mean(values, half=1), [1.5, 1.5, 4.5, 3.0, 2.0, 0.0, 0.0, 0.0])
    assert np.isnan(running_mean(np.full(5, np.nan), half=1)).all()
    np.testing.assert_allclose(running_mean(np.full(9, 2.0), half=3), 2.0)


@pytest.mark.usefixtures("as_svg")
def test_a_point_between_missing_values_is_seen():
    broken = [[1, 9.0], [2, None], [3, 4.0], [4, None]]
    whole = [[1, 9.0], [2, 6.0], [3, 4.0]]
    markers = [
        drawn(curve_figure(runs(pretraining(curves={"x": points})), kind="pretraining", name="x")).count("<use")
        for points in (broken, whole)
    ]
    assert markers[0] == markers[1] + 2


def test_a_curve_is_a_picture():
    assert curve_figure(runs(pretraining()), kind="pretraining", name="loss").startswith(b"\x89PNG")
