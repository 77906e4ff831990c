"""Supervision from the labels that exist: means over samples with a known one, nothing from the others."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from monai_cl.losses import KnownLabelsLoss
from tests.ranks import run_ranks

Batch = dict[str, torch.Tensor]


def draw(seed: int = 0) -> tuple[Batch, Batch]:
    g = torch.Generator().manual_seed(seed)
    sizes = {"target": 1, "findings": 3, "slice_findings": 5}
    logits = {name: torch.randn(4, n, generator=g, dtype=torch.float64) for name, n in sizes.items()}
    labels = {
        "target": torch.tensor([1.0, -1, 0, 1]),
        "findings": torch.tensor([[1.0, 0, -1], [-1, -1, -1], [0, 0, 1], [1, -1, -1]]),
        "slice_findings": torch.randint(-1, 2, (4, 5), generator=g).float(),
    }
    return logits, labels


def oracle(logits: Batch, labels: Batch, weights: dict[str, float]) -> float:
    total = 0.0
    for name, x in logits.items():
        samples = []
        for row, own in zip(x, labels[name].reshape(len(x), -1)):
            known = [(float(a), float(b)) for a, b in zip(row, own) if b >= 0]
            entries = [max(a, 0) - a * b + math.log1p(math.exp(-abs(a))) for a, b in known]
            samples += [sum(entries) / len(entries)] if entries else []
        total += weights.get(name, 1.0) * sum(samples) / len(samples)
    return total


@pytest.mark.parametrize("weights", [{}, {"findings": 0.5, "slice_findings": 0.0}])
def test_it_is_the_sum_over_heads_of_the_mean_over_samples_with_a_known_label(weights):
    logits, labels = draw()
    value = KnownLabelsLoss(weights=weights)(logits, labels)
    assert value.item() == pytest.approx(oracle(logits, labels, weights), abs=1e-12)


def test_with_every_label_known_it_is_the_plain_cross_entropy():
    logits, labels = draw()
    for name in ("findings", "slice_findings"):
        full = labels[name].clamp(min=0).double()
        value = KnownLabelsLoss()({name: logits[name]}, {name: full})
        torch.testing.assert_close(value, binary_cross_entropy_with_logits(logits[name], full))
    several, classes = torch.randn(4, 3), torch.tensor([0.0, 2, 1, -1])
    value = KnownLabelsLoss()({"target": several}, {"target": classes})
    torch.testing.assert_close(value, cross_entropy(several[:3], classes[:3].long()))


def test_unknown_labels_leave_no_gradient_and_a_batch_without_any_costs_nothing():
    logits, labels = draw()
    x = logits["findings"].requires_grad_()
    KnownLabelsLoss()({"findings": x}, labels).backward()
    assert ((x.grad == 0) == (labels["findings"] < 0)).all()
    x.grad = None
    nothing = KnownLabelsLoss()({"findings": x}, {"findings": torch.full((4, 3), -1.0)})
    nothing.backward()
    assert nothing.item() == 0
    assert (x.grad == 0).all()  # there all the same: every process of a run has the same parameters with gradients


def test_gradients_in_double_precision():
    logits, labels = draw()
    x = logits["slice_findings"].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: KnownLabelsLoss()({"slice_findings": v}, labels), x)


def test_large_logits_in_half_precision_are_finite():
    logits, labels = draw()
    for dtype in (torch.float16, torch.bfloat16):
        value = KnownLabelsLoss()({name: (1000 * x).to(dtype) for name, x in logits.items()}, labels)
        assert value.dtype == torch.float32
        assert value.isfinite()


def test_the_module_says_what_each_head_costs_and_how_much_is_known():
    logits, labels = draw()
    loss = KnownLabelsLoss(weights={"target": 2.0})
    value = loss({**logits, "representation": torch.zeros(4, 8)}, labels)
    parts = {name: float(loss.diagnostics[f"loss_{name}"]) for name in logits}
    assert value.item() == pytest.approx(2 * parts["target"] + parts["findings"] + parts["slice_findings"])
    assert float(loss.diagnostics["labelled_target"]) == 0.75


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"other": torch.zeros(4)}, "expected labels of target, findings, slice_findings, got other"),
        ({"findings": torch.zeros(4, 2)}, r"labels must be .* got \(4, 2\) and \(4, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        KnownLabelsLoss()(draw()[0], labels)


def in_parts(logits: Batch, labels: Batch, parts: int) -> torch.Tensor:
    """The mean loss of the parts of a batch; of one part, the loss of the batch."""
    loss = KnownLabelsLoss(weights={"findings": 0.5})
    told = loss.whole_batch(labels, parts) if parts > 1 else {}
    size = len(labels["target"]) // parts
    return torch.stack(
        [
            loss(
                {name: x[i : i + size] for name, x in logits.items()},
                {name: y[i : i + size] for name, y in labels.items()},
                **told,
            )
            for i in range(0, len(labels["target"]), size)
        ]
    ).mean()


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_that_know_more_or_fewer_labels_are_together_the_batch(parts):
    found = []
    for number in (1, parts):
        logits, labels = draw()
        labels["slice_findings"][:2] = -1  # none in the first half
        own = {name: x.requires_grad_() for name, x in logits.items()}
        value = in_parts(own, labels, number)
        value.backward()
        found.append({"value": value.detach(), **{name: x.grad for name, x in own.items()}})
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=0, atol=1e-12)


def on_a_rank(rank: int, folder: str, parts: int) -> None:
    """The loss and the gradients of one of two processes, which have unlike numbers of known labels."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    logits, labels = draw()
    part = slice(2 * rank, 2 * rank + 2)
    own = {name: x[part].clone().requires_grad_() for name, x in logits.items()}
    value = in_parts(own, {name: y[part] for name, y in labels.items()}, parts)
    value.backward()
    torch.save((value.detach(), {name: x.grad for name, x in own.items()}), f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_two_processes_are_one_in_value_and_gradient(tmp_path, parts):
    run_ranks(on_a_rank, str(tmp_path), parts)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    logits, labels = draw()
    whole = {name: x.clone().requires_grad_() for name, x in logits.items()}
    value = in_parts(whole, labels, 1)
    value.backward()
    torch.testing.assert_close(torch.stack([loss for loss, _ in ranks]).mean(), value.detach(), rtol=0, atol=1e-6)
    for name, x in whole.items():
        together = torch.cat([gradients[name] for _, gradients in ranks]) / 2  # as DDP averages
        torch.testing.assert_close(together, x.grad, rtol=0, atol=1e-6)
