"""Slices under what a classifier looked at."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from monai_cl.report import class_activation_figure


def test_a_column_a_slice_and_the_same_bytes_again():
    rng = np.random.default_rng(0)
    images, maps = rng.random((3, 40, 40)), np.zeros((3, 40, 40))
    maps[:, 10:20, 10:20] = 1
    first = class_activation_figure(images, maps, titles=["a", "b", "c"], title="t")
    assert first == class_activation_figure(images, maps, titles=["a", "b", "c"], title="t")
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.width > picture.height
        colours = np.asarray(picture.convert("RGB")).astype(int)
    coloured = np.ptp(colours, axis=-1) > 30
    # the upper row is grey
    assert not coloured[: len(colours) // 2].any()
    assert coloured[len(colours) // 2 :].any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="images and maps must be"):
        class_activation_figure(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="titles must be one for each of 1 slices, got 2"):
        class_activation_figure(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), titles=["a", "b"])


def test_names_with_dollar_signs_are_not_formulas():
    image = np.zeros((1, 8, 8))
    assert class_activation_figure(image, image, titles=[r"$\frac{$"], title=r"patient $x^{$")[:4] == b"\x89PNG"
