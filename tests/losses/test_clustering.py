"""Online clustering: closed forms, loops, limits, invariances, precision, and two real processes against one."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from monai_cl.losses import sinkhorn, swapped_prediction_loss
from tests.oracles import sinkhorn_by_loops, swapped_prediction_by_loops
from tests.ranks import run_ranks

B, K, F = 6, 4, 5


def unit_rows(rows: int, seed: int, size: int = F, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    x = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x / x.norm(dim=1, keepdim=True)).to(dtype)


def cosines(seed: int, rows: int = B, prototypes: int = K, size: int = F) -> torch.Tensor:
    return unit_rows(rows, seed, size) @ unit_rows(prototypes, 99, size).T


@pytest.mark.parametrize("epsilon", [0.03, 0.05, 0.5])
@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_codes_agree_with_loops(epsilon, iterations):
    found = sinkhorn(cosines(0), epsilon=epsilon, iterations=iterations)
    expected = sinkhorn_by_loops(cosines(0).tolist(), epsilon=epsilon, iterations=iterations)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(B, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("assign", [(0, 1), (0,), (2, 0)])
@pytest.mark.parametrize("queued", [0, 7])
def test_the_loss_agrees_with_loops(assign, queued):
    scores = [cosines(seed) for seed in range(3)]
    queue = [cosines(10 + number, rows=queued) for number in range(len(assign))] if queued else None
    options = dict(assign=assign, temperature=0.1, epsilon=0.05, iterations=3)
    lists = [s.tolist() for s in scores], None if queue is None else [s.tolist() for s in queue]
    terms = swapped_prediction_by_loops(lists[0], queue=lists[1], **options)
    assert swapped_prediction_loss(scores, queue=queue, **options).item() == pytest.approx(np.mean(terms), abs=1e-10)
    total = swapped_prediction_loss(scores, queue=queue, reduction="sum", **options)
    assert total.item() == pytest.approx(sum(terms), abs=1e-10)


@pytest.mark.parametrize("k", [2, 3, 8])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("epsilon", [0.03, 0.3])
def test_a_sample_on_each_prototype_has_a_closed_form(k, temperature, epsilon):
    scores = torch.eye(k, dtype=torch.float64)
    q = math.exp(1 / epsilon) / (math.exp(1 / epsilon) + k - 1)
    expected = math.log(math.exp(1 / temperature) + k - 1) - q / temperature
    found = swapped_prediction_loss([scores, scores], temperature=temperature, epsilon=epsilon)
    assert found.item() == pytest.approx(expected, abs=1e-10)
    if k == 2:
        other = math.log1p(math.exp(-1 / temperature)) + (1 - q) / temperature
        assert found.item() == pytest.approx(other, abs=1e-10)


def test_one_prototype_costs_nothing_and_equal_scores_the_logarithm_of_their_number():
    assert swapped_prediction_loss([cosines(0, prototypes=1), cosines(1, prototypes=1)]).item() == 0
    equal = torch.full((B, K), 0.3, dtype=torch.float64)
    assert swapped_prediction_loss([equal, equal]).item() == pytest.approx(math.log(K), abs=1e-12)


def test_collapse_gives_even_codes_and_a_loss_above_the_logarithm():
    row = cosines(3, rows=1)
    scores = row.expand(B, K)
    torch.testing.assert_close(sinkhorn(scores, iterations=1), torch.full((B, K), 1 / K, dtype=torch.float64))
    expected = torch.logsumexp(row / 0.1, dim=1).item() - row.mean().item() / 0.1
    assert swapped_prediction_loss([scores, scores]).item() == pytest.approx(expected, abs=1e-10)
    assert expected > math.log(K)


def test_a_large_epsilon_gives_even_codes_and_a_small_one_the_best_balanced_assignment():
    scores = cosines(5, rows=8)
    torch.testing.assert_close(sinkhorn(scores, epsilon=1e9), torch.full((8, K), 1 / K, dtype=torch.float64))
    found = sinkhorn(scores, epsilon=0.005, iterations=2000).argmax(dim=1).tolist()
    balanced = {p for p in itertools.permutations([0, 0, 1, 1, 2, 2, 3, 3])}
    best = max(balanced, key=lambda p: sum(float(scores[b, k]) for b, k in enumerate(p)))
    assert found == list(best)


def test_many_iterations_give_every_prototype_its_share():
    assert torch.allclose(sinkhorn(cosines(5), iterations=500).sum(dim=0), torch.full((K,), B / K).double())


def test_a_constant_of_a_prototype_changes_no_code_but_one_of_a_sample_does():
    scores = cosines(5)
    per_prototype = torch.tensor([0.1, -0.2, 0.05, 0.3], dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(scores + per_prototype), sinkhorn(scores), rtol=0, atol=1e-12)
    per_sample = torch.linspace(-0.2, 0.2, B, dtype=torch.float64)[:, None]
    assert (sinkhorn(scores + per_sample) - sinkhorn(scores)).abs().max() > 1e-3


def test_codes_are_finite_where_exponentials_underflow():
    scores = cosines(0).float()
    found = sinkhorn(scores, epsilon=0.004)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), sinkhorn(cosines(0), epsilon=0.004), rtol=0, atol=1e-4)


def test_neither_views_nor_samples_nor_prototypes_have_an_order():
    z = [unit_rows(B, seed) for seed in range(2)]
    c = unit_rows(K, 99)
    expected = swapped_prediction_loss([x @ c.T for x in z])
    turn = torch.linalg.qr(torch.randn(F, F, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    rows, columns = torch.randperm(B), torch.randperm(K)
    for scores in (
        [x @ c.T for x in z[::-1]],
        [(x @ c.T)[rows] for x in z],
        [(x @ c.T)[:, columns] for x in z],
        [(x @ turn) @ (c @ turn).T for x in z],
    ):
        torch.testing.assert_close(swapped_prediction_loss(scores), expected, rtol=0, atol=1e-12)


def test_the_loss_is_at_least_the_mean_entropy_of_the_codes():
    scores = [cosines(0), cosines(1)]
    codes = [sinkhorn(s) for s in scores]
    entropy = sum(-torch.special.xlogy(q, q).sum(dim=1).mean() for q in codes) / 2
    assert swapped_prediction_loss(scores) >= entropy


def test_the_gradient_is_that_of_a_cross_entropy_with_constant_codes():
    s0, s1 = cosines(0), cosines(1).requires_grad_()
    swapped_prediction_loss([s0, s1], assign=(0,), temperature=0.1).backward()
    expected = (torch.softmax(s1.detach() / 0.1, dim=1) - sinkhorn(s0)) / (0.1 * B)
    torch.testing.assert_close(s1.grad, expected, rtol=0, atol=1e-12)
    own = cosines(0).requires_grad_()
    assert not swapped_prediction_loss([own, cosines(1)], assign=(0,)).requires_grad  # it only gives the code


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_are_computed_in_float32(dtype):
    scores = [cosines(seed).to(dtype) for seed in range(2)]
    expected = swapped_prediction_loss([s.double() for s in scores])
    found = swapped_prediction_loss(scores)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert swapped_prediction_loss(scores) == found


def test_wrong_arguments_are_named():
    s = cosines(0)
    for arguments, message in [
        (([s],), "two crops or more"),
        (([s, s[:3]],), "of one shape"),
        (([s * 2, s],), r"scores must lie in \[-1, 1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            swapped_prediction_loss(*arguments)
    for options, message in [
        ({"assign": ()}, "assign must name crops of 0 ... 1"),
        ({"assign": (0, 2)}, "assign must name"),
        ({"assign": (0, 0)}, "each once"),
        ({"temperature": 0}, "temperature must be > 0, got 0"),
        ({"epsilon": 0}, "epsilon must be > 0, got 0"),
        ({"iterations": 0}, "iterations must be >= 1, got 0"),
        ({"reduction": "max"}, "reduction must be one of mean, sum, got 'max'"),
        ({"queue": [s]}, r"queue must be \(Q, 4\) for each of 2 crops"),
        ({"queue": [s[:, :2], s[:, :2]]}, "queue must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            swapped_prediction_loss([s, s], **options)
    with pytest.raises(ValueError, match=r"scores must be \(B, K\)"):
        sinkhorn(torch.zeros(3))
    with pytest.raises(ValueError, match="at least one row"):
        sinkhorn(torch.zeros(0, K))


WORLD, QUEUED = 2, 5


def embeddings() -> list[torch.Tensor]:
    return [unit_rows(WORLD * B, seed) for seed in range(3)]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    c = unit_rows(K, 99).requires_grad_()
    own = [z[rank * B : (rank + 1) * B] @ c.T for z in embeddings()]
    queue = [cosines(20 + i, rows=QUEUED)[rank::WORLD] for i in range(2)]
    loss = swapped_prediction_loss(own, queue=queue)
    loss.backward()
    rows = cosines(7, rows=3) if rank else cosines(7, rows=3)[:0]  # a rank without rows
    torch.save((loss.detach(), c.grad, sinkhorn(rows)), f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_are_one_process_in_value_and_gradient(tmp_path):
    run_ranks(work, str(tmp_path))
    ranks = [torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]
    c = unit_rows(K, 99).requires_grad_()
    queue = [cosines(20 + i, rows=QUEUED) for i in range(2)]
    expected = swapped_prediction_loss([z @ c.T for z in embeddings()], queue=queue)
    expected.backward()
    torch.testing.assert_close(sum(r[0] for r in ranks) / WORLD, expected.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(sum(r[1] for r in ranks) / WORLD, c.grad, rtol=0, atol=1e-10)
    torch.testing.assert_close(torch.cat([r[2] for r in ranks]), sinkhorn(cosines(7, rows=3)), rtol=0, atol=1e-10)
