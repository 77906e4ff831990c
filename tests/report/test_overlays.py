from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cl.report import overlay_figure
from monai_cl.report.overlays import MISSED, PALETTE, WRONG
from monai_cl.report.slices import busiest_slice, radiological_slice
from tests.report.examples import LABELS, volumes


def picture(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def panels(png: bytes) -> tuple[list[slice], list[slice]]:
    """Rows and columns of the panels, found as what is not the white page (image panels are filled with grey)."""

    def stretches(dark: np.ndarray, least: int) -> list[slice]:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], dark, [False]]).astype(int)))
        return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2]) if stop - start >= least]

    dark = (picture(png).min(axis=2) < 250).astype(float)
    return stretches(dark.mean(axis=1) > 0.8, 40), stretches(dark.mean(axis=0) > 0.5, 100)


def near(pixels: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    target = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return (np.abs(pixels - target) < tolerance).all(axis=-1)


@pytest.mark.parametrize(
    ("with_truth", "with_prediction", "columns"),
    [(True, True, 4), (True, False, 2), (False, True, 2), (False, False, 1)],
)
def test_there_is_a_panel_for_image_truth_prediction_and_difference_in_each_plane(with_truth, with_prediction, columns):
    image, truth = volumes()
    png = overlay_figure(image, truth if with_truth else None, truth if with_prediction else None, labels=LABELS)
    rows, found = panels(png)
    assert (len(rows), len(found)) == (2, columns)


def test_panels_have_the_patients_proportions():
    image, truth = volumes((24, 20, 12))
    rows, columns = panels(overlay_figure(image, truth, truth, spacing=(1.0, 1.5, 4.0), labels=LABELS))
    width = columns[0].stop - columns[0].start
    assert [(row.stop - row.start) / width for row in rows] == pytest.approx([20 * 1.5 / 24, 12 * 4 / 24], rel=0.03)


def test_patient_right_is_on_the_left_and_anterior_and_head_are_up():
    volume = np.zeros((4, 3, 2))
    volume[3, 2, 1] = 1  # the corner that is most right, anterior, head
    assert radiological_slice(volume, "axial", 1)[0, 0] == 1
    assert radiological_slice(volume, "axial", 1).shape == (3, 4)
    assert radiological_slice(volume, "coronal", 2)[0, 0] == 1
    assert radiological_slice(volume, "coronal", 2).shape == (2, 4)


def test_the_organ_on_the_patients_right_is_painted_left_in_its_colour():
    image, truth = volumes()
    image[:] = 50
    png = overlay_figure(image, truth, None, labels=LABELS)
    rows, columns = panels(png)
    panel = picture(png)[rows[0], columns[1]]
    small, large = (np.argwhere(near(panel, PALETTE[k])).mean(axis=0) for k in (0, 1))
    assert large[1] < panel.shape[1] / 2 < small[1]  # label 2 lies at high x, the patient's right
    untouched = picture(png)[rows[0], columns[0]]
    assert not near(untouched, PALETTE[1]).any()


def test_the_difference_is_blue_where_the_prediction_misses_and_red_where_it_is_wrong():
    image, truth = volumes()
    image[:] = 50
    missed, wrong = truth.copy(), truth.copy()
    missed[truth == 2] = 0
    wrong[:, 15:18] = 1
    for prediction, shown, absent in ((missed, MISSED, WRONG), (wrong, WRONG, MISSED)):
        png = overlay_figure(image, truth, prediction, labels=LABELS)
        rows, columns = panels(png)
        panel = picture(png)[rows[0], columns[3]]
        assert near(panel, shown, 60).any()
        assert not near(panel, absent, 60).any()


def test_an_organ_keeps_its_colour_when_another_is_missing():
    image, truth = volumes()
    image[:] = 50
    png = overlay_figure(image, np.where(truth == 2, 2, 0), None, labels=LABELS)
    rows, columns = panels(png)
    panel = picture(png)[rows[0], columns[1]]
    assert near(panel, PALETTE[1]).any()
    assert not near(panel, PALETTE[0]).any()


def test_the_slice_shows_every_organ_rather_than_the_largest():
    segmentation = np.zeros((30, 30, 10), np.uint8)
    segmentation[:20, :20, 2] = 1  # a large organ's largest slice
    segmentation[:18, :18, 7] = 1
    segmentation[25:27, 25:27, 7] = 2  # a small one lies here
    assert busiest_slice(segmentation, axis=2, size=10) == 7
    assert busiest_slice(np.where(segmentation == 1, 1, 0), axis=2, size=10) == 2


def test_without_foreground_the_middle_is_shown():
    assert busiest_slice(np.zeros((4, 5, 6)), axis=1, size=5) == 2
    assert busiest_slice(None, axis=2, size=6) == 3
    image, truth = volumes()
    assert picture(overlay_figure(image, 0 * truth, 0 * truth, labels=LABELS)).size


def test_an_empty_truth_leaves_the_choice_to_the_prediction():
    image, truth = volumes()
    assert overlay_figure(image, 0 * truth, truth) != overlay_figure(image, 0 * truth, 0 * truth)


def test_a_full_slice_and_names_with_markup_are_drawn():
    image, truth = volumes((6, 5, 4))
    png = overlay_figure(
        image, np.ones_like(truth), truth, labels={1: "_a $b$ <c> " + "long " * 40, 9: "absent"}, title="$x <y>"
    )
    assert picture(png).shape[1] > 900


def test_forty_organs_and_an_unnamed_one_fit():
    image, truth = volumes((40, 20, 5))
    truth[:] = 0
    for label in range(1, 41):
        truth[label - 1, 2:15, 1:4] = label
    png = overlay_figure(
        image, truth, truth, labels={label: f"a structure with number {label}" for label in range(1, 40)}
    )
    pixels = picture(png)
    assert (pixels[:, :3] > 250).all()  # nothing runs over the page's edge
    assert (pixels[:, -3:] > 250).all()


def test_an_extreme_stack_stays_a_picture_of_moderate_size():
    image = np.zeros((20, 20, 400))
    png = overlay_figure(image, None, None, spacing=(1, 1, 5))
    assert max(picture(png).shape) < 1500
    png = overlay_figure(np.zeros((200, 20, 1)), None, None, spacing=(1, 1, 1))
    assert min(picture(png).shape[:2]) > 100


def test_tensors_channels_and_float_labels_are_taken():
    image, truth = volumes()
    expected = overlay_figure(image.astype(np.float32), truth, truth, labels=LABELS)
    tensor = torch.tensor(image, dtype=torch.float32, requires_grad=True)[None]
    labels = torch.tensor(truth)[None]
    assert overlay_figure(tensor, labels.float(), labels.bfloat16(), labels=LABELS) == expected


def test_the_window_scales_the_grey():
    image = np.full((8, 8, 8), 50.0)
    assert picture(overlay_figure(image, None, None, window=(0, 100)))[150, 150] == pytest.approx(127, abs=3)
    assert picture(overlay_figure(image / 100, None, None, window=None))[150, 150] == pytest.approx(127, abs=3)


def test_equal_input_gives_equal_bytes():
    image, truth = volumes()
    assert overlay_figure(image, truth, truth) == overlay_figure(image, truth, truth)


def test_nothing_of_pyplot_is_touched():
    import sys

    image, truth = volumes()
    before = "matplotlib.pyplot" in sys.modules
    overlay_figure(image, truth, truth)
    if before:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()
    else:
        assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((4, 4))}, r"image must be \(X, Y, Z\) and not empty, got shape \(4, 4\)"),
        ({"image": np.zeros((0, 4, 4))}, "not empty"),
        ({"truth": np.zeros((24, 20, 11))}, r"all volumes must have shape \(24, 20, 12\), got \(24, 20, 11\)"),
        ({"prediction": np.full((24, 20, 12), 0.3)}, "prediction must hold integer labels"),
        ({"truth": np.full((24, 20, 12), np.nan)}, "truth must hold integer labels"),
        ({"spacing": (1, 1)}, "spacing must be three lengths > 0"),
        ({"spacing": (1, 0, 1)}, "spacing must be three lengths > 0"),
        ({"window": (5, 5)}, "low < high"),
    ],
)
def test_impossible_input_is_refused(change: dict, message: str):
    image, truth = volumes()
    arguments = {"image": image, "truth": truth, "prediction": truth, **change}
    with pytest.raises(ValueError, match=message):
        overlay_figure(**arguments)
