"""A moved patch: exact on linear images, in mm, and there and back again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_cl.transforms import draw_movement, move, movements

SIZE, SPACING = (12, 10, 8), (1.0, 1.5, 3.0)


def drawn(seed: int = 0, *, probability: float = 1.0, **options: float) -> np.ndarray:
    return draw_movement(np.random.default_rng(seed), size=SIZE, spacing=SPACING, probability=probability, **options)


def in_mm(size=SIZE, spacing=SPACING) -> torch.Tensor:
    """(H, W, D, 3) mm of every voxel from the centre of the patch, along H, W, D."""
    axes = [(torch.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, spacing)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def interior(moved: torch.Tensor) -> torch.Tensor:
    """Where a moved image of ones needs no voxel from beyond the patch."""
    return moved > 1 - 1e-5


@pytest.mark.parametrize("seed", range(4))
def test_a_linear_image_moves_as_tissue_of_anisotropic_voxels_does(seed):
    matrix = drawn(seed, rotation=30.0, scale=0.3, shift=0.2)
    there = movements([matrix]).there
    shown = interior(move(torch.ones(1, 1, *SIZE), there))[0, 0]
    moved = torch.stack([move(in_mm()[None, None, ..., axis], there)[0, 0] for axis in range(3)], dim=-1)
    # where each moved voxel comes from, in mm, is a rotation and a factor of where it is, and an offset
    here, offset = in_mm()[shown].double(), moved[shown].double()
    design = torch.cat([here, torch.ones(len(here), 1)], dim=1)
    fitted = torch.linalg.lstsq(design, offset).solution
    assert torch.allclose(design @ fitted, offset, atol=1e-3)
    squared = fitted[:3] @ fitted[:3].T
    factor = squared.diagonal().mean().sqrt()
    assert torch.allclose(squared / factor**2, torch.eye(3, dtype=torch.double), atol=1e-4)
    assert 1 / 1.3 <= factor <= 1 / 0.7
    assert torch.linalg.det(fitted[:3]) > 0  # never a mirror image


def test_tissue_grows_by_the_factor_and_shifts_by_a_share_of_the_edge():
    rng = np.random.default_rng(5)
    rng.random(), rng.uniform(-1, 1, 3)
    grows = 1 + rng.uniform(-0.2, 0.2)
    scaled = drawn(5, rotation=0.0, scale=0.2, shift=0.0)
    assert np.allclose(scaled, np.diag([1 / grows] * 3 + [1]))
    shifted = drawn(5, rotation=0.0, scale=0.0, shift=0.25)
    assert np.allclose(shifted[:3, :3], np.eye(3))
    assert np.abs(shifted[:3, 3]).max() <= 0.5  # a quarter of an edge of length 2
    assert np.abs(shifted[:3, 3]).min() > 0


def test_there_and_back_is_where_one_was():
    both = movements([drawn(seed, rotation=40.0) for seed in range(3)])
    last = torch.tensor([[[0.0, 0, 0, 1]]]).expand(3, 1, 4)
    there, back = (torch.cat([m, last], dim=1) for m in both)
    assert torch.allclose(there @ back, torch.eye(4).expand(3, 4, 4), atol=1e-6)


def test_a_sample_is_moved_with_the_probability_and_as_it_would_be_with_another():
    always = [drawn(seed) for seed in range(200)]
    sometimes = [drawn(seed, probability=0.3) for seed in range(200)]
    moved = [not np.array_equal(one, np.eye(4)) for one in sometimes]
    assert 40 <= sum(moved) <= 80
    assert all(np.array_equal(a, b) for a, b, moves in zip(always, sometimes, moved) if moves)
    assert all(np.array_equal(drawn(seed, probability=0.0), np.eye(4)) for seed in range(20))


def test_unmoved_images_stay_and_beyond_the_patch_is_air():
    image = torch.rand(2, 1, *SIZE)
    assert torch.allclose(move(image, movements([np.eye(4)] * 2).there), image, atol=1e-6)
    away = np.eye(4)
    away[2, 3] = 2.0  # of the first axis, H: a whole edge
    assert move(image, movements([away] * 2).there).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("probability", 1.5, r"probability must be in \[0, 1\], got 1.5"),
        ("rotation", -1.0, r"rotation must be in \[0, 180\] degrees, got -1.0"),
        ("scale", 1.0, r"scale must be in \[0, 1\), got 1.0"),
        ("shift", math.inf, r"shift must be in \[0, 1\), a share of the patch's edge, got inf"),
    ],
)
def test_bad_options_are_refused(option, value, match):
    with pytest.raises(ValueError, match=match):
        drawn(**{option: value})
