"""MixCL's reconstruction term."""

from __future__ import annotations

import pytest
import torch

from monai_cl.losses import reconstruction_loss


def test_a_constant_error_costs_its_square():
    clean = torch.rand(3, 1, 4, 4, 4)
    assert reconstruction_loss(clean + 0.5, clean).item() == pytest.approx(0.25, abs=1e-6)
    assert reconstruction_loss(clean, clean).item() == 0.0


def test_is_the_mean_over_the_three_views():
    prediction, clean = torch.rand(3, 1, 4, 4, 4), torch.rand(3, 1, 4, 4, 4)
    views = [reconstruction_loss(prediction[v : v + 1], clean[v : v + 1]) for v in range(3)]
    torch.testing.assert_close(reconstruction_loss(prediction, clean), sum(views) / 3)


def test_half_precision_is_averaged_in_float32():
    prediction = torch.full((1, 1, 50, 50, 50), 30.0, dtype=torch.float16, requires_grad=True)
    loss = reconstruction_loss(prediction, torch.zeros(1, 1, 50, 50, 50))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(900)
    loss.backward()
    assert torch.isfinite(prediction.grad).all()


def test_gradient_is_right():
    x = torch.rand(1, 1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reconstruction_loss, (x, torch.rand(1, 1, 2, 2, 2, dtype=torch.float64)))


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"same shape, got \(3, 1, 4, 4, 4\) and \(1, 1, 4, 4, 4\)"):
        reconstruction_loss(torch.zeros(3, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))
