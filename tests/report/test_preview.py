"""The page of a preview: what it warns of and what not, what it draws and where, what it hides."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from monai_cl.data.records.previewed import SLICE, STACK, View
from monai_cl.report.preview.drawing import organ_colour, view_panels
from monai_cl.report.preview.faults import preview_faults
from monai_cl.report.preview.page import render_preview, write_preview
from tests.report.preview_records import SCAN, preview, sample, view
from tests.report.test_html import Page


def classed(*classes: int, key: str = "label") -> list:
    return [sample(seed=seed, fields={key: value}) for seed, value in enumerate(classes)]


def constant(value: float) -> View:
    return view(image=np.full((1, 16, 16, 16), value, np.float32))


FAULTS = {
    "clipped": (preview(sample(scan=replace(SCAN, clipped=(0.97, 0.01)))), "98% of its voxels are clipped"),
    "outside": (preview(sample(scan=replace(SCAN, inside=0.2))), "80% of it lies outside the scan"),
    "constant": (preview(sample(views=(constant(0.25),))), "patch is 0.25 in every voxel"),
    "not finite": (preview(sample(views=(constant(np.nan),))), "values that are not finite"),
    "no organ": (preview(*(sample(organ=False, seed=n) for n in range(4))), "None of 4 label maps shows an organ"),
    "one class": (preview(*classed(1, 1, 1, 1), targets=("label",)), "All 4 samples of known class are of class cirr"),
    "no class": (preview(*classed(-1, -1, -1, -1, key="target"), targets=("target",)), "No class is known of any of 4"),
    "equal views": (preview(*(sample(views=(view(), view())) for _ in range(4))), "views of every sample are equal"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_likely_wrong_is_said_once(name):
    made, expected = FAULTS[name]
    (found,) = preview_faults(made)
    assert expected in found


@pytest.mark.parametrize(
    "made",
    [
        preview(),
        preview(sample(organ=False)),  # one patch without an organ is chance
        preview(*(sample(organ=n == 3, seed=n) for n in range(4))),
        preview(sample(scan=replace(SCAN, clipped=(0.9, 0.02), inside=0.4))),  # air around a body
        preview(*classed(1, 1, 1, 1)),  # the loss takes no classes
        preview(*classed(1, 1, 1, 0), targets=("label",)),
        preview(*classed(1, 1, -1, -1), targets=("label",)),
        preview(*(sample(views=(view(), view(seed=1))) for _ in range(4))),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(made):
    assert preview_faults(made) == []


def pixels(panel) -> np.ndarray:
    with Image.open(io.BytesIO(panel.content)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_patch_is_drawn_where_its_organ_is_with_pixels_of_their_true_shape():
    dark = view(image=np.zeros((1, 16, 16, 16), np.float32))
    axial, coronal = view_panels(dark, (1.0, 1.0, 0.5), dark.label, apart=True)
    assert (axial.width, axial.height) == (192, 192)
    assert (coronal.width, coronal.height) == (192, 96)
    painted = pixels(axial).sum(axis=2) > 60
    rows, columns = np.nonzero(painted)
    # voxels 4 to 8 of 16 in RAS are, seen from the feet with the front up, 8 to 12 from the left and from above
    assert abs(rows.min() - 96) <= 2
    assert abs(rows.max() - 143) <= 2
    assert abs(columns.min() - 96) <= 2
    assert abs(columns.max() - 143) <= 2
    inner = pixels(axial)[120, 120]
    expected = [int(organ_colour(1)[place : place + 2], 16) * 0.35 for place in (1, 3, 5)]
    np.testing.assert_allclose(inner, expected, atol=12)


def test_views_of_one_patch_show_the_same_slices():
    first = view()
    other = view("V1", seed=0, label=None)
    (labelled,), (plain,) = (view_panels(one, (1.0, 1.0, 1.0), first.label) for one in (first, other))
    bare = pixels(view_panels(replace(first, label=None), (1.0, 1.0, 1.0), first.label)[0])
    np.testing.assert_array_equal(pixels(plain), bare)
    assert (pixels(labelled) != bare).any()


def test_weights_are_a_picture_beside_and_sampled_voxels_dots():
    points = np.array([[2, 3, 11], [2, 3, 0]])  # the second is far from the slice of the organ
    made = view(image=np.zeros((1, 16, 16, 16), np.float32), weights=np.ones((16, 16, 16), np.float32), points=points)
    picture, weights = view_panels(made, (1.0, 1.0, 1.0), made.label)
    assert weights.name == "weights of patch"
    white = pixels(picture)[:192].min(axis=2) > 150
    assert white.any()
    rows, columns = np.nonzero(white)
    assert (abs(rows - (15 - 3 + 0.5) * 12) < 4).all()
    assert (abs(columns - (15 - 2 + 0.5) * 12) < 4).all()


@pytest.mark.parametrize(
    ("axes", "shape", "size"), [(SLICE, (1, 16, 32), (192, 96)), (STACK, (1, 8, 16, 16), (192, 64))]
)
def test_slices_and_stacks_are_drawn_as_they_are(axes, shape, size):
    (panel,) = view_panels(View("slice", np.zeros(shape, np.float32), axes), (1.0, 1.0, 1.0))
    assert (panel.width, panel.height) == size


def test_the_page_says_values_in_the_unit_of_the_scan_and_is_self_contained():
    made = sample(views=(view(image=np.linspace(0, 1, 4096, dtype=np.float32).reshape(1, 16, 16, 16)),))
    text = render_preview(preview(made))
    found = Page(text)
    assert "patch, axial: -150 to 250 HU" in found.text
    assert "10 ms the first" in found.text
    assert "Nothing conspicuous" in found.text
    assert "liver" in found.text
    assert "one scan has no label" in found.text
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object"}
        assert all(
            value.startswith(("data:image/", "#")) for name, value in attributes.items() if name in ("src", "href")
        )
    assert all(attributes["alt"] for attributes in found.all("img"))
    assert "url(" not in re.search("<style>(.*?)</style>", text, re.DOTALL)[1]


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_can_be_drawn(name):
    made, expected = FAULTS[name]
    assert expected.replace("'", "&#x27;") in render_preview(made)


def test_a_warning_is_at_the_top_and_a_number_is_the_same_everywhere():
    odd = replace(SCAN, id="case_9", clipped=(0.99, 0.0))
    text = render_preview(preview(sample(views=()), sample(scan=odd)))
    assert re.search(r'class="banner">Sample 2 \(case_9\): 99% of its voxels', text)
    assert "<h3>Sample 2: case_9" in text
    assert "<h3>Sample 1" not in text


def test_hidden_ids_and_paths_are_nowhere(tmp_path):
    made = preview(sample(scan=replace(SCAN, clipped=(0.99, 0.0))))
    text = write_preview(made, tmp_path / "p.html", hash_patients="key").read_text(encoding="utf-8")
    for name in ("case_1", "patient_1", "/data", "ward", "someone"):
        assert name not in text
    assert text.count("case ") >= 3
    assert "case_1" in render_preview(made)
