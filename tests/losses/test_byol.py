"""BYOL's loss: closed forms, loops, invariances, gradient, numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_cl.losses import BYOLLoss, byol_loss
from tests.oracles import cosine

N, V, F = 5, 2, 4


def draw(seed: int, *, views: int = V, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(N, views, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def byol_by_loops(p: np.ndarray, z: np.ndarray) -> float:
    """Grill et al., Eq. 2 and the line below it, for two views: ‖p̂ − ẑ‖² = 2 − 2 cos, view 1 on 2 and 2 on 1."""
    total = 0.0
    for n in range(len(p)):
        for predicted, target in ((0, 1), (1, 0)):
            a = p[n, predicted] / np.sqrt(sum(x * x for x in p[n, predicted]))
            b = z[n, target] / np.sqrt(sum(x * x for x in z[n, target]))
            total += sum((x - y) ** 2 for x, y in zip(a, b))
    return total / len(p)


@pytest.mark.parametrize("views", [2, 3])
def test_agreement_right_angles_and_opposition_are_zero_four_and_eight(views):
    p = torch.zeros(N, views, F, dtype=torch.float64)
    p[..., 0] = 3
    across = torch.zeros_like(p)
    across[..., 1] = 0.2
    assert byol_loss(p, 7 * p).item() == 0
    assert byol_loss(p, across).item() == pytest.approx(4, abs=1e-12)
    assert byol_loss(p, -p).item() == pytest.approx(8, abs=1e-12)


def test_agrees_with_loops():
    p, z = draw(0), draw(1)
    assert byol_loss(p, z).item() == pytest.approx(byol_by_loops(p.numpy(), z.numpy()), abs=1e-12)


def test_is_four_minus_twice_the_cosines_of_both_directions():
    p, z = draw(0).numpy(), draw(1).numpy()
    expected = np.mean([4 - 2 * cosine(p[n, 0], z[n, 1]) - 2 * cosine(p[n, 1], z[n, 0]) for n in range(N)])
    assert byol_loss(torch.from_numpy(p), torch.from_numpy(z)).item() == pytest.approx(expected, abs=1e-12)


def test_more_views_are_the_mean_over_their_pairs():
    p, z = draw(0, views=3), draw(1, views=3)
    pairs = [byol_loss(p[:, list(pair)], z[:, list(pair)]) for pair in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(byol_loss(p, z), torch.stack(pairs).mean())


def test_a_views_own_target_does_not_matter():
    p, z = draw(0), draw(1)
    other = z.clone()
    other[:, 1] = draw(2)[:, 1]
    only_second = byol_loss(p, z) - byol_loss(p, other)
    p_second = p.clone()
    p_second[:, 1] = draw(3)[:, 1]  # predicts the first target, which is the same in both
    torch.testing.assert_close(byol_loss(p_second, z) - byol_loss(p_second, other), only_second)


def test_views_may_be_swapped_slices_reordered_and_vectors_scaled():
    p, z, order = draw(0), draw(1), torch.randperm(N, generator=torch.Generator().manual_seed(0))
    expected = byol_loss(p, z)
    torch.testing.assert_close(byol_loss(p.flip(1), z.flip(1)), expected)
    torch.testing.assert_close(byol_loss(p[order], z[order]), expected)
    torch.testing.assert_close(byol_loss(1e-6 * p, 1e6 * z), expected)


def test_gradient_is_right_and_the_target_has_none():
    p, z = draw(0).requires_grad_(), draw(1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: byol_loss(x, z.detach()), (p,))
    byol_loss(p, z).backward()
    assert z.grad is None
    assert p.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_finite_in_half_precision_and_for_a_zero_vector(dtype):
    p, z = draw(0, dtype=dtype), draw(1, dtype=dtype)
    p[0, 0] = 0
    p.requires_grad_()
    loss = byol_loss(p, z)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(p.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    p, z = draw(0, dtype=torch.float32), draw(1, dtype=torch.float32)
    expected = byol_loss(p, z)
    with torch.autocast("cpu", dtype=dtype):
        assert byol_loss(p, z).item() == expected.item()


def test_the_module_is_its_function():
    assert BYOLLoss()(draw(0), draw(1)) == byol_loss(draw(0), draw(1))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"predictions must be \(N, V, F\) with V >= 2 views, got \(5, 1, 4\)"):
        byol_loss(draw(0, views=1), draw(1, views=1))
    with pytest.raises(ValueError, match=r"targets must be \(5, 2, 4\) as the predictions, got \(5, 3, 4\)"):
        byol_loss(draw(0), draw(1, views=3))
