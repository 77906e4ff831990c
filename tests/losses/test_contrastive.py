"""One weighted contrastive loss and its four children: closed forms, loops, limits against each other, numbers."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import ContrastiveLoss

from monai_cl.losses import (
    DepthAwareLoss,
    SimCLRLoss,
    SupConLoss,
    WSPLoss,
    depth_aware_loss,
    log_weighted_contrastive_loss,
    simclr_loss,
    supcon_loss,
    weighted_contrastive_loss,
    wsp_loss,
)
from tests.oracles import contrastive_weights_by_loops, weighted_contrastive_by_loops

N, V, F = 7, 2, 5
LABELS = torch.tensor([0, 1, 1, 2, 0, 1, 3])
POSITIONS = torch.tensor([0.1, 0.25, 0.3, 0.55, 0.62, 0.8, 0.97], dtype=torch.float64)


def embed(n: int = N, v: int = V, f: int = F, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, v, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


CHILDREN = {
    "simclr": lambda z, **options: simclr_loss(z, **options),
    "supcon": lambda z, **options: supcon_loss(z, LABELS, **options),
    "depth": lambda z, **options: depth_aware_loss(z, POSITIONS, sigma=0.1, **options),
    "wsp": lambda z, **options: wsp_loss(z, LABELS, POSITIONS, sigma=0.1, **options),
}
every_child = pytest.mark.parametrize("name", list(CHILDREN))


@every_child
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_equal_embeddings_give_the_logarithm_of_the_number_of_others(name, temperature):
    loss = CHILDREN[name](torch.ones(N, V, F, dtype=torch.float64), temperature=temperature)
    assert loss.item() == pytest.approx(math.log(N * V - 1), abs=1e-12)


@pytest.mark.parametrize("name", ["depth", "wsp"])
def test_a_depth_that_is_not_a_number_shows_in_the_loss(name):
    positions = POSITIONS.clone()
    positions[3] = torch.nan
    found = {"depth": depth_aware_loss(embed(), positions), "wsp": wsp_loss(embed(), LABELS, positions)}[name]
    assert torch.isnan(found)


def test_two_slices_at_right_angles():
    z = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]], dtype=torch.float64)
    # One other at cosine 1, two at cosine 0.
    assert simclr_loss(z, temperature=0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), abs=1e-12)


@every_child
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("views", [2, 3])
def test_agrees_with_loops(name, reduction, views):
    z = embed(v=views)
    sigma = 0.1 if name in ("depth", "wsp") else None
    weights = contrastive_weights_by_loops(
        name, views=views, slices=N, labels=LABELS.tolist(), positions=POSITIONS.tolist(), sigma=sigma
    )
    expected = weighted_contrastive_by_loops(z.numpy(), weights, temperature=0.2, reduction=reduction)
    assert CHILDREN[name](z, temperature=0.2, reduction=reduction).item() == pytest.approx(expected, abs=1e-10)
    general = weighted_contrastive_loss(z, torch.from_numpy(weights), temperature=0.2, reduction=reduction)
    assert general.item() == pytest.approx(expected, abs=1e-10)


def test_any_weights_agree_with_loops_diagonal_and_empty_rows_included():
    z, weights = embed(), torch.rand(N * V, N * V, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights[weights < 0.5] = 0
    weights[4] = 0
    weights[9] = 0
    weights[9, 9] = 5  # on the diagonal only: a row without weight
    for reduction in ("mean", "sum"):
        expected = weighted_contrastive_by_loops(z.numpy(), weights.numpy(), temperature=0.1, reduction=reduction)
        loss = weighted_contrastive_loss(z, weights, reduction=reduction)
        assert loss.item() == pytest.approx(expected, abs=1e-10)
    scaled = weights * torch.logspace(-30, 30, N * V, dtype=torch.float64)[:, None]
    torch.testing.assert_close(weighted_contrastive_loss(z, scaled), weighted_contrastive_loss(z, weights))
    diagonal = weights.clone().fill_diagonal_(1e6)
    assert weighted_contrastive_loss(z, diagonal).item() == weighted_contrastive_loss(z, weights).item()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_weight_at_all_gives_zero_attached_to_the_graph(reduction):
    z = embed().requires_grad_()
    loss = weighted_contrastive_loss(z, torch.eye(N * V), reduction=reduction)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_a_class_of_one_slice_with_one_view_does_not_count():
    z, labels = embed(4, 1), torch.tensor([0, 0, 1, 2])
    total = supcon_loss(z, labels, reduction="sum")
    torch.testing.assert_close(supcon_loss(z, labels), total / 2)


@pytest.mark.parametrize("views", [2, 3])
class TestLimits:
    """WSP is its relatives at the ends of its parameters, to 1e-10 in float64."""

    @staticmethod
    def same(a, b):
        assert a.item() == pytest.approx(b.item(), abs=1e-10)

    @pytest.mark.parametrize("sigma", [1e7, math.inf])
    def test_wide_kernel_is_supcon(self, views, sigma):
        z = embed(v=views)
        self.same(wsp_loss(z, LABELS, POSITIONS, sigma=sigma), supcon_loss(z, LABELS))

    @pytest.mark.parametrize("sigma", [1e-3, 1e-12, 1e-200])
    def test_narrow_kernel_with_distinct_depths_is_simclr(self, views, sigma):
        z = embed(v=views)
        self.same(wsp_loss(z, LABELS, POSITIONS, sigma=sigma), simclr_loss(z))
        self.same(depth_aware_loss(z, POSITIONS, sigma=sigma), simclr_loss(z))

    def test_one_class_is_depth_aware(self, views):
        z = embed(v=views)
        self.same(wsp_loss(z, torch.zeros(N), POSITIONS), depth_aware_loss(z, POSITIONS))

    def test_a_class_for_every_slice_is_simclr(self, views):
        z = embed(v=views)
        self.same(wsp_loss(z, torch.arange(N), POSITIONS), simclr_loss(z))
        self.same(supcon_loss(z, torch.arange(N)), simclr_loss(z))


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_simclr_agrees_with_monai(temperature):
    z = embed(dtype=torch.float32)
    expected = ContrastiveLoss(temperature=temperature)(z[:, 0], z[:, 1])
    torch.testing.assert_close(simclr_loss(z, temperature=temperature), expected, rtol=1e-4, atol=1e-5)


@every_child
def test_views_may_be_swapped_and_embeddings_scaled(name):
    z, loss = embed(), CHILDREN[name]
    torch.testing.assert_close(loss(z.flip(1)), loss(z))
    scale = torch.logspace(-6, 6, N * V, dtype=torch.float64).reshape(N, V, 1)
    torch.testing.assert_close(loss(scale * z), loss(z))


def test_order_of_the_slices_does_not_matter():
    z, order = embed(), torch.randperm(N, generator=torch.Generator().manual_seed(1))
    for reduction in ("mean", "sum"):
        torch.testing.assert_close(
            wsp_loss(z[order], LABELS[order], POSITIONS[order], reduction=reduction),
            wsp_loss(z, LABELS, POSITIONS, reduction=reduction),
        )


def test_only_differences_of_positions_matter():
    z = embed()
    torch.testing.assert_close(wsp_loss(z, LABELS, 1 - POSITIONS), wsp_loss(z, LABELS, POSITIONS))


@every_child
def test_gradient_is_right(name):
    z = embed(f=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: CHILDREN[name](x, temperature=0.5), (z,))


def test_gradient_reaches_the_weights():
    weights = torch.rand(N * V, N * V, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights[0, 3] = 0
    weights.requires_grad_()
    weighted_contrastive_loss(embed(), weights).backward()
    assert torch.isfinite(weights.grad).all()


@every_child
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_finite_at_a_temperature_of_one_hundredth(name, dtype):
    z = embed(dtype=dtype)
    z[:, 1] = -z[:, 0]  # the views of a slice point apart: the hardest positives
    z.requires_grad_()
    loss = CHILDREN[name](z, temperature=0.01)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@every_child
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(name, dtype):
    z = embed(dtype=torch.float32)
    expected = CHILDREN[name](z, temperature=0.01)
    with torch.autocast("cpu", dtype=dtype):
        assert CHILDREN[name](z, temperature=0.01).item() == expected.item()


def test_a_zero_embedding_has_a_finite_gradient():
    z = embed(dtype=torch.float32)
    z[0, 0] = 0
    z.requires_grad_()
    wsp_loss(z, LABELS, POSITIONS).backward()
    assert torch.isfinite(z.grad).all()


def test_modules_are_their_functions():
    z = embed()
    assert SimCLRLoss(temperature=0.2)(z) == simclr_loss(z, temperature=0.2)
    assert SupConLoss(temperature=0.2)(z, LABELS) == supcon_loss(z, LABELS, temperature=0.2)
    assert DepthAwareLoss(sigma=0.3)(z, POSITIONS) == depth_aware_loss(z, POSITIONS, sigma=0.3)
    assert WSPLoss(sigma=0.3, reduction="sum")(z, LABELS, POSITIONS) == wsp_loss(
        z, LABELS, POSITIONS, sigma=0.3, reduction="sum"
    )


def test_wrong_arguments_are_named():
    z = embed()
    with pytest.raises(ValueError, match=r"embeddings must be \(N, V, F\) with N·V >= 2, got \(7, 2\)"):
        simclr_loss(z[..., 0])
    with pytest.raises(ValueError, match=r"at least 2 views of a slice.*got \(7, 1, 5\)"):
        simclr_loss(z[:, :1])
    with pytest.raises(ValueError, match=r"weights must be \(14, 14\).*got \(7, 7\)"):
        weighted_contrastive_loss(z, torch.ones(7, 7))
    with pytest.raises(ValueError, match=r"log_weights must be \(14, 14\), got \(7, 7\)"):
        log_weighted_contrastive_loss(z, torch.ones(7, 7))
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="weights must be >= 0 and finite"):
            weighted_contrastive_loss(z, torch.full((14, 14), bad))
    with pytest.raises(ValueError, match=r"labels must be \(7,\), one per slice, got \(14,\)"):
        supcon_loss(z, torch.zeros(14))
    with pytest.raises(ValueError, match=r"positions must be \(7,\), one per slice, got \(7, 1\)"):
        wsp_loss(z, LABELS, POSITIONS[:, None])
    with pytest.raises(ValueError, match=r"sigma must be > 0, got -1\.0"):
        wsp_loss(z, LABELS, POSITIONS, sigma=-1.0)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        simclr_loss(z, temperature=0)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, got 'none'"):
        simclr_loss(z, reduction="none")


def test_modules_check_their_hyper_parameters_when_made():
    with pytest.raises(ValueError, match=r"sigma must be > 0, got -1\.0"):
        WSPLoss(sigma=-1.0)
    with pytest.raises(ValueError, match="temperature must be > 0, got nan"):
        SimCLRLoss(temperature=math.nan)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, got 'none'"):
        SupConLoss(reduction="none")
