"""Norms whose gradient is that of `torch.linalg.vector_norm`, finite at zero vectors and below a floor."""

from __future__ import annotations

import torch

from monai_cl.losses.unit_vectors import l2_normalize, safe_norm


def rows() -> torch.Tensor:
    x = torch.randn(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[2] = 0
    return x.requires_grad_()


def test_the_gradient_is_that_of_torchs_own_norm():
    x, weights = rows(), torch.tensor([[1.0], [-2.0], [3.0], [0.5]], dtype=torch.float64)
    (found,) = torch.autograd.grad((weights * safe_norm(x)).sum(), x)
    (expected,) = torch.autograd.grad((weights * torch.linalg.vector_norm(x, dim=-1, keepdim=True)).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


def test_a_zero_vector_stays_zero_and_its_gradient_is_finite():
    x = rows()
    vectors = l2_normalize(x)
    assert not vectors[2].any()
    (gradient,) = torch.autograd.grad(vectors.sum(), x)
    assert torch.equal(gradient[2], torch.ones(7, dtype=torch.float64))


def test_a_norm_at_its_floor_is_one_without_gradient():
    x = rows()
    norms = safe_norm(x, floor=safe_norm(x.detach()))
    assert torch.equal(norms, torch.ones(4, 1, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(norms.sum(), x)
    assert not gradient.any()


def test_first_and_second_derivatives_agree_with_differences():
    x = rows().detach()[[0, 1, 3]].requires_grad_()
    assert torch.autograd.gradcheck(l2_normalize, x)
    assert torch.autograd.gradgradcheck(l2_normalize, x)
