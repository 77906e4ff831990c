"""Self-paced contrast: loops, limits against SupCon and SimCLR, the role of the weights, precision."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cl.losses import self_paced_loss, self_paced_minimum, self_paced_weight, simclr_loss, supcon_loss
from tests.oracles import self_paced_by_loops

N, V, F = 6, 2, 5
LABELS = torch.tensor([0, 0, 1, 1, 2, 0])
every_mode = pytest.mark.parametrize("mode", ["linear", "hard"])


def embed(n: int = N, v: int = V, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, v, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@every_mode
@pytest.mark.parametrize("gamma", [1.0, 3.0, 8.0, 60.0])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 0], [3, 3, 3, 3, 3, 3], [0, -1, -1, 1, 1, 0]])
@pytest.mark.parametrize("views", [2, 3])
def test_agrees_with_loops(mode, gamma, labels, views):
    z = embed(v=views)
    loss, weight = self_paced_loss(z, torch.tensor(labels), gamma=gamma, mode=mode, temperature=0.1)
    expected = self_paced_by_loops(z.numpy(), labels, gamma=gamma, mode=mode, temperature=0.1)
    assert (loss.item(), weight.item()) == pytest.approx(expected, abs=1e-10)
    rescaled, _ = self_paced_loss(z, torch.tensor(labels), gamma=gamma, mode=mode, temperature=0.1, rescale=True)
    assert rescaled.item() == pytest.approx(expected[0] / expected[1] if expected[1] else 0, abs=1e-10)


@every_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_infinite_pace_is_supcon_bit_for_bit(mode, dtype):
    z, other = embed(dtype=dtype).requires_grad_(), embed(dtype=dtype).requires_grad_()
    loss, weight = self_paced_loss(z, LABELS, gamma=math.inf, mode=mode, temperature=0.07)
    expected = supcon_loss(other, LABELS, temperature=0.07)
    assert loss == expected
    assert weight == 1
    loss.backward()
    expected.backward()
    assert torch.equal(z.grad, other.grad)


@every_mode
def test_a_pace_near_zero_teaches_nothing(mode):
    z = embed().requires_grad_()
    loss, weight = self_paced_loss(z, LABELS, gamma=1e-6, mode=mode)
    loss.backward()
    assert (loss.item(), weight.item(), z.grad.abs().max().item()) == (0, 0, 0)
    again, _ = self_paced_loss(embed(), LABELS, gamma=1e-6, mode=mode, rescale=True)
    assert again == 0


def test_a_label_of_its_own_for_every_slice_is_simclr():
    z = embed()
    for labels in (torch.arange(N), torch.full((N,), -1)):
        loss, _ = self_paced_loss(z, labels, gamma=math.inf, temperature=0.1)
        torch.testing.assert_close(loss, simclr_loss(z, temperature=0.1), rtol=0, atol=1e-12)


@every_mode
def test_equal_embeddings_give_the_weighted_logarithm_of_the_number_of_others(mode):
    ceiling = math.log(N * V - 1)
    for gamma in (ceiling / 2, 2 * ceiling, 50.0):
        weight = float(ceiling <= gamma) if mode == "hard" else max(0.0, 1 - ceiling / gamma)
        found = self_paced_loss(torch.ones(N, V, F, dtype=torch.float64), LABELS, gamma=gamma, mode=mode)
        assert found[0].item() == pytest.approx(weight * ceiling, abs=1e-12)
        assert found[1].item() == pytest.approx(weight, abs=1e-12)


@every_mode
def test_weights_are_the_minimiser_and_the_slope_of_the_minimum(mode):
    gamma, losses = 3.0, torch.linspace(0.05, 7, 41, dtype=torch.float64).requires_grad_()
    weight, minimum = self_paced_weight(losses, gamma, mode), self_paced_minimum(losses, gamma, mode)
    assert not weight.requires_grad
    (slope,) = torch.autograd.grad(minimum.sum(), losses)
    torch.testing.assert_close(slope, weight, rtol=0, atol=1e-12)
    w = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    regulariser = -gamma * w if mode == "hard" else gamma * (w.square() / 2 - w)
    best = (w * losses.detach() + regulariser).min(dim=0).values
    torch.testing.assert_close(best, minimum.detach(), rtol=0, atol=1e-5)


@every_mode
def test_the_gradient_is_that_of_the_minimum_so_that_weights_carry_none(mode):
    z = embed().requires_grad_()
    (found,) = torch.autograd.grad(self_paced_loss(z, LABELS, gamma=6.0, mode=mode, temperature=0.1)[0], z)
    flat = torch.nn.functional.normalize(z.reshape(N * V, F), dim=1)
    own = torch.eye(N * V, dtype=torch.bool)
    losses = -torch.log_softmax((flat @ flat.T / 0.1).masked_fill(own, -math.inf), dim=1)
    y = LABELS.repeat_interleave(V)
    positive = (y[:, None] == y) & ~own
    per_anchor = [self_paced_minimum(row[p], 6.0, mode).mean() for row, p in zip(losses, positive)]
    (expected,) = torch.autograd.grad(torch.stack(per_anchor).mean(), z)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@every_mode
def test_weights_grow_with_the_pace(mode):
    weights = [self_paced_loss(embed(), LABELS, gamma=gamma, mode=mode)[1].item() for gamma in (2, 5, 10, 30, 100)]
    assert weights == sorted(weights)
    assert weights[0] < weights[-1]


def test_a_cluster_that_is_perfect_costs_the_logarithm_of_its_positives():
    z = torch.eye(F, dtype=torch.float64)[[0, 0, 0, 1, 1, 1]][:, None].expand(6, V, F)
    loss, _ = self_paced_loss(z, torch.tensor([0, 0, 0, 1, 1, 1]), gamma=math.inf, temperature=0.01)
    assert loss.item() == pytest.approx(math.log(3 * V - 1), abs=1e-12)


@every_mode
def test_views_slices_and_names_of_classes_have_no_order(mode):
    z = embed()
    expected = self_paced_loss(z, LABELS, gamma=5.0, mode=mode)[0]
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for other, labels in ((z.flip(1), LABELS), (z[order], LABELS[order]), (3 * z, LABELS), (z, 7 - LABELS)):
        torch.testing.assert_close(self_paced_loss(other, labels, gamma=5.0, mode=mode)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.01, 0.07])
def test_half_precision_is_finite_and_computed_in_float32(dtype, temperature):
    z = embed(dtype=dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = self_paced_loss(z, LABELS, gamma=10.0, temperature=temperature)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()
    expected, _ = self_paced_loss(z.detach().double(), LABELS, gamma=10.0, temperature=temperature)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-4)


def test_wrong_arguments_are_named():
    for options, message in [
        ({"gamma": 0}, "gamma must be > 0, got 0"),
        ({"gamma": math.nan}, "gamma must be > 0, got nan"),
        ({"gamma": 1, "mode": "soft"}, "mode must be one of linear, hard, got 'soft'"),
        ({"gamma": 1, "temperature": 0}, "temperature must be > 0, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            self_paced_loss(embed(), LABELS, **options)
    with pytest.raises(ValueError, match=r"labels must be \(6,\), one per slice, got \(5,\)"):
        self_paced_loss(embed(), LABELS[:5], gamma=1)
