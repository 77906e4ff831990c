"""Views with brightness and contrast: the formula, by address, and the range."""

from __future__ import annotations

import pytest
import torch

from monai_cl.addressing import Stream, address_rng
from monai_cl.transforms import ShadedSliceViews, SliceViews

IMAGES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
STILL = {"seed": 7, "views": 2, "probability": 0.0}


def test_a_view_is_brighter_and_steeper_by_its_address():
    found = ShadedSliceViews(**STILL, brightness=0.2, contrast=0.4)(IMAGES, [5, 6, 7])
    for n, position in enumerate((5, 6, 7)):
        for view in (0, 1):
            b, c = address_rng(7, Stream.VIEWS, position, view, 1).uniform(-1, 1, 2)
            mean = IMAGES[n].mean()
            expected = ((1 + 0.2 * b) * (mean + (1 + 0.4 * c) * (IMAGES[n] - mean))).clamp(0, 1)
            torch.testing.assert_close(found[n, view], expected.float())
    assert torch.equal(ShadedSliceViews(**STILL)(IMAGES[1:2], [6])[0], ShadedSliceViews(**STILL)(IMAGES, [5, 6, 7])[1])


def test_without_strength_and_at_inference_they_are_slice_views():
    options = {"seed": 1, "views": 2, "angle": 45.0}
    plain = SliceViews(**options)(IMAGES, [0, 1, 2])
    torch.testing.assert_close(ShadedSliceViews(**options, brightness=0, contrast=0)(IMAGES, [0, 1, 2]), plain)
    assert torch.equal(ShadedSliceViews(**options).eval()(IMAGES), IMAGES[:, None])


def test_values_stay_in_their_range_and_wrong_options_are_named():
    found = ShadedSliceViews(**STILL, brightness=0.9, contrast=0.9)(IMAGES, [0, 1, 2])
    assert found.min() >= 0
    assert found.max() <= 1
    for name in ("brightness", "contrast"):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\), got 1"):
            ShadedSliceViews(**STILL, **{name: 1})
