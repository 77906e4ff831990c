"""Box plots of relative deviations."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from monai_cl.report import deviation_figure


def test_equal_numbers_are_equal_bytes_and_others_are_not():
    rng = np.random.default_rng(0)
    p, varied = rng.uniform(size=6), {"gamma": rng.uniform(size=(6, 5)), "scale": rng.uniform(size=(6, 5))}
    drawn = deviation_figure(p, varied)
    assert drawn == deviation_figure(p, varied)
    assert drawn != deviation_figure(p, {**varied, "scale": varied["gamma"]})
    assert min(Image.open(io.BytesIO(drawn)).size) > 300


def test_variants_that_change_nothing_are_drawn_as_well():
    p = np.array([0.2, 0.7])
    assert deviation_figure(p, {"gamma": np.repeat(p[:, None], 3, axis=1)})
