from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from monai_cl.report import pca_figure, principal_plane
from monai_cl.report.figures import pca
from monai_cl.report.figures.curves import COLOURS
from monai_cl.report.privacy import is_untitled_png


def test_the_plane_is_that_of_the_largest_variance_by_hand():
    angle = np.arange(8) * np.pi / 4
    circle = np.stack([3 * np.cos(angle), np.sin(angle)], 1)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0][:, :2]
    points, share = principal_plane(circle @ rotation.T + 7)
    np.testing.assert_allclose(np.abs(points), np.abs(circle), atol=1e-9)
    np.testing.assert_allclose(share, [0.9, 0.1])


@pytest.mark.parametrize("features", [np.ones((4, 3)), np.arange(4.0)[:, None], np.array([[0.0, 1], [1, 0]])])
def test_directions_that_do_not_exist_are_zero(features):
    points, share = principal_plane(features)
    assert points.shape == (4, 2) if len(features) == 4 else (2, 2)
    assert np.isfinite(points).all()
    assert share[1] == pytest.approx(0)


def test_panels_are_those_there_are_values_for():
    features = np.random.default_rng(0).normal(size=(40, 5))
    labels, depths = np.arange(40) % 3 - 1, np.linspace(0, 1, 40)
    heights = {}
    for name, given in {"both": (labels, depths), "class": (labels, None), "depth": (None, depths)}.items():
        with Image.open(io.BytesIO(pca_figure(features, *given))) as image:
            heights[name] = image.height
    assert heights["both"] == pytest.approx(2 * heights["class"], abs=2)
    assert heights["class"] == heights["depth"]
    nothing = pca_figure(features, labels, np.full(40, np.nan))
    assert nothing == pca_figure(features, labels, None)


@pytest.mark.usefixtures("as_svg")
def test_classes_have_names_and_colours_and_unknown_ones_are_grey():
    features = np.random.default_rng(0).normal(size=(40, 5))
    svg = pca_figure(features, np.arange(40) % 3 - 1, None, classes={1: "F3-F4"})
    ElementTree.fromstring(svg)
    text = svg.decode().lower()
    assert COLOURS[0].lower() in text
    assert COLOURS[1].lower() in text
    assert "#bbbbbb" in text
    assert "<!-- f3-f4 -->" in text
    assert COLOURS[2].lower() not in text


@pytest.mark.usefixtures("as_svg")
def test_many_points_are_thinned_by_seed_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch):
    features = np.random.default_rng(0).normal(size=(300, 5))
    labels = np.arange(300) % 2
    every = pca_figure(features, labels, None)
    monkeypatch.setattr(pca, "_MOST_POINTS", 50)
    few = [pca_figure(features, labels, None, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    assert len(few[0]) < 0.7 * len(every)


def test_only_a_title_is_written_into_the_picture():
    features = np.random.default_rng(0).normal(size=(10, 3))
    assert is_untitled_png(pca_figure(features, np.arange(10) % 2, None))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="labels or depths must be given"):
        pca_figure(np.eye(3), None, None)
    with pytest.raises(ValueError, match=r"labels must be \(3,\), one per point, got \(2,\)"):
        pca_figure(np.eye(3), [0, 1], None)
    with pytest.raises(ValueError, match=r"features must be \(n, F\) with n >= 2"):
        pca_figure(np.eye(1), [0], None)
