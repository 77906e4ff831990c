"""MixCL's identity consistency against closed forms, a loop and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from einops import repeat

from monai_cl.losses import identity_consistency_loss, identity_correlation, identity_penalty, identity_terms
from tests.oracles import correlation_by_loops, identity_by_loops


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def orthogonal(channels: int = 4) -> torch.Tensor:
    """(1, C, C, 1, 1): channel i is alive at voxel i only."""
    return torch.diag(torch.arange(1.0, channels + 1, dtype=torch.float64)).reshape(1, channels, channels, 1, 1)


def test_same_view_with_orthogonal_channels_costs_exactly_nothing():
    z = orthogonal()
    assert identity_consistency_loss(z, z).item() == 0.0


def test_opposite_view_costs_four_a_channel():
    z = orthogonal(5)
    assert identity_consistency_loss(z, -z).item() == pytest.approx(20, abs=1e-12)


def test_equal_channels_cost_lambda_an_off_diagonal_element():
    z = repeat(features(2, 3, 3, 3), "b h w d -> b c h w d", c=6)
    assert identity_consistency_loss(z, z, offdiag_weight=0.3).item() == pytest.approx(0.3 * 6 * 5, abs=1e-12)


@pytest.mark.parametrize("center", [False, True])
def test_agrees_with_loops(center):
    z1, z2 = features(2, 5, 3, 2, 4), features(2, 5, 3, 2, 4, seed=1)
    np.testing.assert_allclose(
        identity_correlation(z1, z2, center=center), correlation_by_loops(z1.numpy(), z2.numpy(), center=center)
    )
    assert identity_consistency_loss(z1, z2, offdiag_weight=0.1, center=center).item() == pytest.approx(
        identity_by_loops(z1.numpy(), z2.numpy(), offdiag_weight=0.1, center=center), abs=1e-12
    )


def test_centred_correlation_is_pearsons():
    z1, z2 = features(1, 3, 4, 4, 4) + 7, features(1, 3, 4, 4, 4, seed=1) - 2
    expected = np.corrcoef(z1[0].reshape(3, -1), z2[0].reshape(3, -1))[:3, 3:]
    np.testing.assert_allclose(identity_correlation(z1, z2, center=True), expected, atol=1e-12)


def test_levels_are_summed():
    levels1 = [features(2, 4, 4, 4, 4), features(2, 8, 2, 2, 2)]
    levels2 = [features(2, 4, 4, 4, 4, seed=1), features(2, 8, 2, 2, 2, seed=1)]
    alone = [identity_consistency_loss(a, b) for a, b in zip(levels1, levels2)]
    torch.testing.assert_close(identity_consistency_loss(levels1, levels2), alone[0] + alone[1])


def test_views_may_be_swapped_and_channels_scaled():
    z1, z2 = features(2, 4, 3, 3, 3), features(2, 4, 3, 3, 3, seed=1)
    scale = torch.tensor([1e-3, 1, 5, 1e4], dtype=torch.float64).reshape(1, 4, 1, 1, 1)
    loss = identity_consistency_loss(z1, z2)
    torch.testing.assert_close(identity_consistency_loss(z2, z1), loss)
    torch.testing.assert_close(identity_consistency_loss(scale * z1, z2 / scale), loss)


def test_order_of_samples_and_voxels_does_not_matter():
    z1, z2 = features(3, 4, 3, 3, 3), features(3, 4, 3, 3, 3, seed=1)
    loss = identity_consistency_loss(z1, z2)
    torch.testing.assert_close(identity_consistency_loss(z1[[2, 0, 1]], z2[[2, 0, 1]]), loss)
    torch.testing.assert_close(identity_consistency_loss(z1.flip(2, 4), z2.flip(2, 4)), loss)


@pytest.mark.parametrize("center", [False, True])
def test_gradient_is_right(center):
    z1, z2 = features(1, 3, 2, 2, 3).requires_grad_(), features(1, 3, 2, 2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: identity_consistency_loss(a, b, center=center), (z1, z2))


@pytest.mark.parametrize("center", [False, True])
def test_a_dead_channel_correlates_with_nothing_and_has_a_finite_gradient(center):
    z1, z2 = features(2, 4, 3, 3, 3, dtype=torch.float32), features(2, 4, 3, 3, 3, seed=1, dtype=torch.float32)
    z1[:, 2], z2[:, 2] = 0, 0
    z1.requires_grad_()
    c = identity_correlation(z1, z2, center=center)
    assert c[2].abs().max() == 0
    assert c[:, 2].abs().max() == 0
    identity_consistency_loss(z1, z2, center=center).backward()
    assert torch.isfinite(z1.grad).all()
    assert z1.grad.abs().max() < 10


def test_a_constant_channel_leaves_no_noise_when_centred():
    z = torch.full((1, 2, 37, 11, 5), 0.3)
    assert identity_correlation(z, z, center=True).abs().max() < 1e-8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accumulated_in_float32(dtype):
    z = features(1, 4, 40, 40, 40, dtype=dtype) * 100  # 64,000 voxels: their squares overflow float16
    z.requires_grad_()
    loss = identity_consistency_loss(z, z)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), identity_consistency_loss(z.double(), z.double()), rtol=1e-5, atol=1e-7)
    loss.backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    z1, z2 = features(2, 4, 8, 8, 8, dtype=torch.float32), features(2, 4, 8, 8, 8, seed=1, dtype=torch.float32)
    expected = identity_consistency_loss(z1, z2, center=True)
    with torch.autocast("cpu", dtype=dtype):
        assert identity_consistency_loss(z1, z2, center=True).item() == expected.item()


def test_per_channel_divides_each_level_by_its_width():
    z1, z2 = [features(1, 4, 4, 4, 4)], [features(1, 4, 4, 4, 4, seed=1)]
    term = identity_terms(z1, z2, per_channel=True)[0].term
    torch.testing.assert_close(term, identity_consistency_loss(z1, z2) / 4)


def test_per_channel_leaves_out_levels_with_fewer_voxels_than_channels():
    z = [features(1, 8, 2, 2, 2), features(1, 9, 2, 2, 2), features(2, 9, 2, 2, 2)]
    terms = identity_terms(z, z, per_channel=True)
    assert [level.term is None for level in terms] == [False, True, False]
    assert terms[1].correlation is None
    assert all(level.term is not None for level in identity_terms(z, z))


def test_a_level_with_fewer_voxels_than_channels_cannot_fall_below_its_floor():
    channels, voxels, weight = 24, 6, 0.005
    # Unit rows of rank n: the best spread that so few voxels allow.
    frame = torch.linalg.qr(features(channels, channels)).Q[:, :voxels]
    frame = frame / frame.norm(dim=1, keepdim=True)
    floor = weight * (channels**2 / voxels - channels)
    assert identity_penalty(frame @ frame.T, offdiag_weight=weight).item() >= floor - 1e-12


def test_wrong_arguments_are_named():
    z = features(1, 4, 2, 2, 2)
    with pytest.raises(ValueError, match=r"same shape, got \(1, 4, 2, 2, 2\) and \(1, 3, 2, 2, 2\)"):
        identity_correlation(z, z[:, :3])
    with pytest.raises(ValueError, match=r"must be \(B, C, H, W, D\) and not empty, got \(0, 4, 2, 2, 2\)"):
        identity_correlation(z[:0], z[:0])
    with pytest.raises(ValueError, match="same number of levels, at least 1, got 2 and 1"):
        identity_consistency_loss([z, z], [z])
    with pytest.raises(ValueError, match="at least 1, got 0 and 0"):
        identity_consistency_loss([], [])
    with pytest.raises(ValueError, match=r"offdiag_weight must be >= 0 and finite, got -1\.0"):
        identity_consistency_loss(z, z, offdiag_weight=-1.0)
