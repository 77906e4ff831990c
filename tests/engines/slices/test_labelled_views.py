"""The view of a labelled slice: shades change the image by its position alone, and never the mask."""

from __future__ import annotations

import pytest
import torch

from monai_cl.engines import SemiSupervisedBatch

VIEWS = {"probability": 0.5, "crop_area": 1.0, "shift": 0.0, "angle": 30.0}


def view(**shades: float) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = {"image": image, "mask": (image[:, 0] > 0.5).long(), "position": torch.tensor([4, 5, 6])}
    options = {"unlabelled": "none", "targets": ("mask",), "seed": 1, "labelled_views": {**VIEWS, **shades}}
    inputs, targets = SemiSupervisedBatch(count=3, **options)(batch, torch.device("cpu"))
    return inputs["labelled"], targets["mask"]


def test_a_shade_is_a_brightness_and_a_contrast_of_each_slice_and_leaves_the_mask():
    (plain, mask), (dimmed, same) = view(), view(brightness=0.2)
    assert torch.equal(mask, same)
    factors = dimmed.flatten(1) / plain.flatten(1).clamp(min=1e-6)
    inside = (plain.flatten(1) > 0.1) & (dimmed.flatten(1) < 1)
    found = [row[kept] for row, kept in zip(factors, inside)]
    assert all(float(row.std()) < 1e-5 for row in found)
    assert len({round(float(row.mean()), 3) for row in found}) == 3
    assert all(0.8 <= float(row.mean()) <= 1.2 for row in found)
    assert torch.equal(view(brightness=0.2, contrast=0.3)[0], view(brightness=0.2, contrast=0.3)[0])
    assert torch.equal(view(brightness=0.0, contrast=0.0)[0], plain)


def test_a_shade_that_turns_a_slice_black_is_refused():
    with pytest.raises(ValueError, match=r"contrast must be in \[0, 1\), got 1.0"):
        view(contrast=1.0)


def test_unlabelled_views_without_what_makes_them_are_refused_at_once():
    with pytest.raises(ValueError, match="views must be given where unlabelled slices are used in views"):
        SemiSupervisedBatch(count=3, unlabelled="views", targets=("mask",), seed=1, labelled_views=VIEWS)
