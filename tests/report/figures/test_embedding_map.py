"""Pictures of embeddings: what is drawn, how it is named, and the same bytes for the same table."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from monai_cl.errors import UserError
from monai_cl.report import embedding_map, neighbours_figure, plane

VECTORS = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def paths(svg: bytes) -> int:
    return len(re.findall(rb"<use ", svg))


def test_the_plane_is_the_principal_one_or_that_of_umap():
    points, names = plane(VECTORS)
    centred = VECTORS - VECTORS.mean(0)
    expected = np.linalg.svd(centred, full_matrices=False)[1][:2] ** 2
    np.testing.assert_allclose((points**2).sum(0), expected, rtol=1e-4)
    assert names[0].startswith("first direction (")
    with pytest.raises(UserError, match="--plot: expected one of pca, umap, found tsne"):
        plane(VECTORS, "tsne")
    with pytest.raises(UserError, match="--plot: expected 2 rows or more, found 1"):
        plane(VECTORS[:1])


def test_without_its_package_umap_gives_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        UserError, match="--plot umap: expected the package umap-learn, found none; pip install umap-learn"
    ):
        plane(VECTORS, "umap")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_umap_keeps_what_is_together_together():
    pytest.importorskip("umap", reason='the extra "embed" is not installed')
    far = np.concatenate([VECTORS + 30 * np.eye(5)[0], VECTORS + 30 * np.eye(5)[1]])
    points, names = plane(far, "umap", seed=1)
    assert names == ("UMAP 1", "UMAP 2")
    first, second = points[:40], points[40:]
    between = np.linalg.norm(first.mean(0) - second.mean(0))
    assert between > 2 * np.linalg.norm(first - first.mean(0), axis=1).mean()
    np.testing.assert_array_equal(plane(far, "umap", seed=1)[0], points)


@pytest.mark.usefixtures("as_svg")
def test_classes_are_named_with_their_counts_and_numbers_get_a_scale():
    points, names = plane(VECTORS)
    # shown as paths, the letters cannot be read back: the pictures of other values differ
    classes = embedding_map(points, names, ["a", None] * 20, field="stage")
    assert classes == embedding_map(points, names, ["a", None] * 20, field="stage")
    assert classes != embedding_map(points, names, ["a", "b"] * 20, field="stage")
    scale = embedding_map(points, names, np.linspace(0, 1, 40).tolist(), field="age")
    assert b"image/png" in scale  # the bar of colours
    assert b"image/png" not in embedding_map(points, names, [0, 1] * 20, field="target")
    many = embedding_map(points, names, [f"p{n}" for n in range(40)], field="patient")
    assert paths(many) > 40
    with pytest.raises(ValueError, match="one for each of 40 points, got 1"):
        embedding_map(points, names, ["a"], field="stage")


def test_neighbours_stand_beside_the_query():
    pictures = [np.full((8, 6), value) for value in (0.0, 0.5, 1.0)]
    image = Image.open(io.BytesIO(neighbours_figure(pictures, ["a", "b", "c"])))
    assert image.width > 2 * image.height
    middle = np.array(image.convert("L"))[image.height // 2]
    assert [int(middle[int((place + 0.5) / 3 * image.width)]) for place in range(3)] == pytest.approx(
        [0, 127, 255], abs=1
    )
    with pytest.raises(ValueError, match="titles must be one for each"):
        neighbours_figure(pictures, ["a"])
