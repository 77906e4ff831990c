"""Eq. 5 of views that show the same tissue at other voxels: features are brought back, and only common voxels count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_cl.losses import MixCLLoss, aligned_features, identity_correlation, mixcl_terms
from monai_cl.transforms import draw_movement, move, movements

SIZE = (12, 10, 8)
UNMOVED = torch.eye(4, dtype=torch.float64)[:3].expand(2, 3, 4)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(channels: int, seed: int = 0) -> torch.Tensor:
    """(2, C, H, W, D) of a constant and a slope along each axis, which linear interpolation leaves as they are."""
    axes = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in SIZE), indexing="ij"))
    slopes, constants = noise(2, channels, 3, seed=seed), noise(2, channels, 1, 1, 1, seed=seed + 1)
    return torch.einsum("b c k, k h w d -> b c h w d", slopes, axes) + constants


def moved_by(seed: int, **options: float):
    rng = np.random.default_rng(seed)
    return movements(
        [draw_movement(rng, size=SIZE, spacing=(1.0, 1.0, 2.0), probability=1.0, **options) for _ in range(2)]
    )


def test_a_movement_of_nothing_changes_nothing():
    z = noise(2, 3, *SIZE)
    found, inside = aligned_features(z, UNMOVED)
    assert torch.allclose(found, z, atol=1e-12)
    assert inside.all()
    assert inside.shape == (2, 1, *SIZE)


@pytest.mark.parametrize("seed", range(3))
def test_features_of_a_moved_view_come_back_to_the_voxels_they_are_of(seed):
    z, moved = linear(4), moved_by(seed, rotation=20.0, scale=0.1, shift=0.1)
    found, inside = aligned_features(move(z, moved.there), moved.back)
    # where the moved view shows air beyond the patch its features are air's: those voxels are not the patch's
    whole = aligned_features(move(torch.ones_like(z[:, :1]), moved.there), moved.back)[0] > 1 - 1e-6
    both = (inside & whole).expand_as(z)
    assert both.float().mean() > 0.3
    assert (found - z)[both].abs().max() < 1e-5
    assert (move(z, moved.there) - z)[both].abs().mean() > 0.1


def test_voxels_that_the_moved_view_does_not_show_are_left_out():
    shift = UNMOVED.clone()
    shift[:, 2, 3] = 2 * 3 / SIZE[0]  # the patch's voxel i is the moved view's i + 3, along H
    z = noise(2, 3, *SIZE)
    found, inside = aligned_features(z, shift)
    assert inside[:, 0, :, 0, 0].tolist() == [[True] * 9 + [False] * 3] * 2
    assert torch.allclose(found[:, :, :9], z[:, :, 3:], atol=1e-12)


@pytest.mark.parametrize("center", [False, True])
def test_a_mask_is_a_choice_of_voxels(center):
    z1, z2 = noise(2, 5, *SIZE) + 0.3, noise(2, 5, *SIZE, seed=1) - 0.5
    where = noise(2, 1, *SIZE, seed=2) > 0.4

    def chosen(z):
        return z.movedim(1, -1)[where[:, 0]].T[None]  # (1, C, n)

    found = identity_correlation(z1, z2, center=center, where=where)
    expected = identity_correlation(chosen(z1), chosen(z2), center=center)
    assert torch.allclose(found, expected, atol=1e-12)
    none = identity_correlation(z1, z2, center=center, where=torch.zeros_like(where))
    assert torch.equal(none, torch.zeros(5, 5, dtype=torch.float64))


def test_gradients_are_those_of_finite_differences():
    moved = moved_by(1, rotation=20.0)
    z = noise(2, 2, 3, 2, 3).requires_grad_()
    torch.autograd.gradcheck(lambda x: aligned_features(x, moved.back.double())[0], z)


def test_the_identity_term_of_a_moved_view_compares_the_same_tissue():
    z, moved = linear(4), moved_by(2, rotation=20.0, scale=0.05, shift=0.05)
    outputs = {"levels": [torch.cat([z, move(z, moved.there)])]}
    log: dict[str, torch.Tensor] = {}
    shares = {}
    for name, targets in (("aligned", {"back": moved.back}), ("as it is", {})):
        targets["dataset"] = torch.zeros(2)
        found = mixcl_terms(outputs, targets, terms=["identity"], diagnostics=log, label_level=0)
        shares[name] = log["identity_diagonal/0"].item()
        assert torch.isfinite(found["identity"])
    assert shares["aligned"] > 0.95
    assert shares["as it is"] < shares["aligned"] - 0.1
    assert 0.3 < log["common_voxels"].item() < 1


def test_half_precision_features_of_a_moved_view_give_a_float32_loss_and_finite_gradients():
    moved = moved_by(3)
    level = noise(4, 4, *SIZE).bfloat16().requires_grad_()
    loss = MixCLLoss(identity_weight=1.0, label_weight=0.0, reconstruction_weight=0.0, label_level=0)
    total = loss({"levels": [level]}, {"back": moved.back, "dataset": torch.zeros(2)})
    total.backward()
    assert total.dtype == torch.float32
    assert torch.isfinite(level.grad).all()


def test_shapes_that_do_not_fit_are_named():
    z = noise(2, 3, *SIZE)
    with pytest.raises(ValueError, match=r"back must be \(2, 3, 4\), a row for each patch, got \(1, 3, 4\)"):
        aligned_features(z, UNMOVED[:1])
    with pytest.raises(ValueError, match=r"where must be \(B, 1, H, W, D\)"):
        identity_correlation(z, z, where=torch.ones(2, 3, *SIZE, dtype=torch.bool))
