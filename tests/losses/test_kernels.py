"""The logarithms of the contrastive weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_cl.losses import log_gaussian_kernel, log_near_position, log_same_label, log_same_slice
from tests.oracles import contrastive_weights_by_loops

LABELS = torch.tensor([0, 1, 1, 2])
POSITIONS = torch.tensor([0.0, 0.2, 0.25, 1.0], dtype=torch.float64)


def test_gaussian_is_one_at_zero_and_known_at_sigma():
    x = torch.tensor([0.0, 0.1, -0.1, 0.2], dtype=torch.float64)
    expected = [1, math.exp(-0.5), math.exp(-0.5), math.exp(-2)]
    np.testing.assert_allclose(log_gaussian_kernel(x, sigma=0.1).exp(), expected, atol=1e-12)


def test_logarithm_outlives_the_kernel():
    x = torch.tensor([1.0])
    assert log_gaussian_kernel(x, sigma=0.01).exp().item() == 0
    assert log_gaussian_kernel(x, sigma=0.01).item() == pytest.approx(-5000)


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan])
def test_sigma_must_be_positive(sigma):
    with pytest.raises(ValueError, match=f"sigma must be > 0, got {sigma}"):
        log_gaussian_kernel(torch.zeros(1), sigma=sigma)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_matrices_agree_with_loops(views):
    options = {"views": views, "slices": 4, "labels": LABELS.tolist(), "positions": POSITIONS.tolist()}
    same_slice, same_label = log_same_slice(4, views), log_same_label(LABELS, views=views)
    near = log_near_position(POSITIONS, views=views, sigma=0.1)
    np.testing.assert_array_equal(same_slice.exp(), contrastive_weights_by_loops("simclr", **options))
    np.testing.assert_array_equal(same_label.exp(), contrastive_weights_by_loops("supcon", **options))
    np.testing.assert_allclose(near.exp(), contrastive_weights_by_loops("depth", sigma=0.1, **options))
    np.testing.assert_allclose((same_label + near).exp(), contrastive_weights_by_loops("wsp", sigma=0.1, **options))
