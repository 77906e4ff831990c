"""The labels' part of the hybrid loss: against loops and torch, what is not known, its two means, and two processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from monai_cl.losses import HybridLoss, MethodLoss, known_label_losses
from tests.ranks import run_ranks

WORLD = 2


class Clustering(nn.Module):
    """Stands for a clustering: the mean of its input."""

    outputs, targets, gathers = ("scores",), ("modality",), False

    def __init__(self) -> None:
        super().__init__()
        self.diagnostics, self.steps = {"code_perplexity": torch.tensor(3.0)}, 0

    def forward(self, scores: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        return scores.mean()

    def after_step(self) -> None:
        self.steps += 1


def logits(columns: int, rows: int = 4) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(columns), dtype=torch.float64)


def test_classes_are_taught_by_cross_entropy_and_two_by_one_logit():
    found, known = known_label_losses(logits(3), torch.tensor([2, -1, 0, 1]))
    assert known.tolist() == [True, False, True, True]
    assert float(found[0]) == pytest.approx(float(logits(3)[0].logsumexp(0) - logits(3)[0, 2]))
    assert float(found[1]) == 0
    found, known = known_label_losses(logits(1), torch.tensor([1, 0, -1, 0]))
    expected = [math.log1p(math.exp(-float(logits(1)[0]))), math.log1p(math.exp(float(logits(1)[1]))), 0]
    assert found[:3].tolist() == pytest.approx(expected)
    assert known.tolist() == [True, True, False, True]


def test_of_findings_the_known_ones_count_alike():
    z, y = logits(3), torch.tensor([[1, -1, 0], [-1, -1, -1], [0, 0, 1], [-1, 1, -1]])
    found, known = known_label_losses(z, y)
    for row in range(4):
        terms = [math.log1p(math.exp(float(z[row, c]) * (1 - 2 * int(y[row, c])))) for c in range(3) if y[row, c] >= 0]
        assert float(found[row]) == pytest.approx(sum(terms) / max(len(terms), 1))
        assert bool(known[row]) == bool(terms)


@pytest.mark.parametrize("mean", ["all", "labelled"])
def test_the_total_is_weighted_and_divided_by_all_or_by_the_labelled(mean):
    loss = HybridLoss(Clustering(), heads=("target", "findings"), alpha=0.5, beta=2.0, supervised_mean=mean)
    target, findings = torch.tensor([0, -1, -1, 1]), torch.tensor([[1, 0], [-1, -1], [-1, 1], [0, 0]])
    call = {"scores": logits(5), "logits_target": logits(1), "logits_findings": logits(2)}
    given = {"modality": torch.zeros(4), "label": target, "findings": findings}
    found = MethodLoss(loss)(call, given)
    (one, _), (two, _) = known_label_losses(logits(1), target), known_label_losses(logits(2), findings)
    parts = one.sum() / (4 if mean == "all" else 2) + two.sum() / (4 if mean == "all" else 3)
    torch.testing.assert_close(found, 0.5 * logits(5).mean() + 2.0 * parts)
    assert float(loss.diagnostics["labelled_target"]) == 0.5
    assert float(loss.diagnostics["loss_findings"]) == pytest.approx(float(two.sum() / 3))
    assert float(loss.diagnostics["code_perplexity"]) == 3
    loss.after_step()
    assert loss.clustering.steps == 1


def test_of_slices_the_known_ones_count_alike_and_a_scan_without_any_costs_nothing():
    y = torch.tensor([[1, -1, 0], [-1, -1, -1], [0, 0, 1], [-1, 1, -1]])
    loss, z = HybridLoss(Clustering(), heads=("slice_findings",)), logits(3).requires_grad_()
    assert (loss.outputs, loss.targets) == (("scores", "logits_slice_findings"), ("modality", "slice_findings"))
    total = loss(logits(5), z, torch.zeros(4), y)
    total.backward()
    expected = 0.0
    for row in range(4):
        terms = [
            math.log1p(math.exp(float(logits(3)[row, d]) * (1 - 2 * int(y[row, d]))))
            for d in range(3)
            if y[row, d] >= 0
        ]
        expected += sum(terms) / max(len(terms), 1) / 4
    assert float(total.detach()) == pytest.approx(float(logits(5).mean()) + expected)
    assert torch.equal(z.grad == 0, y < 0)
    assert float(loss.diagnostics["labelled_slice_findings"]) == 0.75


@pytest.mark.parametrize("mean", ["all", "labelled"])
def test_without_labels_it_is_clustering_and_every_parameter_has_a_gradient(mean):
    loss, z = HybridLoss(Clustering(), supervised_mean=mean), logits(1).requires_grad_()
    total = loss(logits(5), z, torch.zeros(4), torch.full((4,), -1))
    assert total == logits(5).mean()
    total.backward()
    assert torch.equal(z.grad, torch.zeros_like(z))
    assert loss.diagnostics["loss_target"].isnan()


def test_its_gradient_is_exact_and_half_precision_is_computed_in_float32():
    y = torch.tensor([[1, -1], [0, 1], [-1, -1], [1, 1]])
    assert torch.autograd.gradcheck(lambda z: known_label_losses(z, y)[0], logits(2).requires_grad_())
    found, _ = known_label_losses(logits(2).half() * 100, y)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()


def test_wrong_options_are_named():
    for options, message in (
        ({"heads": ("slices",)}, "heads must be among target, findings, slice_findings, got 'slices'"),
        ({"supervised_mean": "some"}, "supervised_mean must be one of all, labelled, got 'some'"),
        ({"beta": -1}, "alpha and beta must be >= 0, got 1.0 and -1"),
    ):
        with pytest.raises(ValueError, match=message):
            HybridLoss(Clustering(), **options)
    with pytest.raises(
        ValueError, match=r"labels must be \(N,\) or \(N, C\) for logits \(N, C\), got \(4, 3\) and \(4, 2\)"
    ):
        known_label_losses(logits(2), torch.zeros(4, 3))


LABELS = torch.tensor([1, 0, -1, -1, 1, -1, -1, -1])


def divided(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    own = slice(rank * 4, rank * 4 + 4)
    z = logits(1, rows=8)[own].requires_grad_()
    loss = HybridLoss(Clustering(), supervised_mean="labelled")
    value = loss(torch.zeros(4, 1), z, torch.zeros(4), LABELS[own])
    value.backward()
    torch.save((value.detach(), z.grad), f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_the_mean_over_the_labelled_is_that_of_all_processes(tmp_path):
    run_ranks(divided, str(tmp_path))
    ranks = [torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]
    z = logits(1, rows=8).requires_grad_()
    expected = HybridLoss(Clustering(), supervised_mean="labelled")(torch.zeros(8, 1), z, torch.zeros(8), LABELS)
    expected.backward()
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / WORLD, expected.detach())
    torch.testing.assert_close(torch.cat([gradient for _, gradient in ranks]) / WORLD, z.grad)
