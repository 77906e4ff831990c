"""Clustering of several modalities: one is the plain loss, several are its mean; queues, ranks, resumed runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from monai_cl.losses import MethodLoss, ModalityClusteringLoss, SwappedPredictionLoss
from tests.losses.test_clustering import unit_rows
from tests.ranks import run_ranks

N, V, F, WORLD = 8, 3, 6, 2
K = {"CT": 4, "MR": 3}
OPTIONS = {"epsilon": 0.05, "queue_start": 1}


def batch(step: int) -> torch.Tensor:
    """Unit vectors of a step, (N, V, F), float32."""
    return unit_rows(N * V, 100 + step, F, torch.float32).reshape(N, V, F)


def prototypes(count: int = 7) -> torch.Tensor:
    return unit_rows(count, 7, F, torch.float32)


def go(loss, steps: range, *, part: slice = slice(None), modalities: int = 2, count: int = 7) -> torch.Tensor:
    """The loss of every step, whose embeddings are then pushed."""
    losses, c = [], prototypes(count)
    for step in steps:
        z = batch(step)[part]
        arguments = (z @ c.T, z, c, torch.arange(len(z)) % modalities)
        losses.append(loss(*arguments[: len(loss.outputs) + len(loss.targets)]))
        loss.after_step()
    return torch.stack(losses)


def test_one_modality_is_the_plain_loss_bit_for_bit():
    one, plain = ModalityClusteringLoss({"CT": 5}, queue_length=20, **OPTIONS), SwappedPredictionLoss(
        queue_length=20, **OPTIONS
    )  # fmt: skip
    assert torch.equal(go(one, range(6), modalities=1, count=5), go(plain, range(6), count=5))
    assert one.diagnostics.keys() == plain.diagnostics.keys()
    for name, value in plain.diagnostics.items():
        assert float(one.diagnostics[name]) == float(value), name
    gradients = []
    for loss in (one, plain):
        z, c = batch(9).requires_grad_(), prototypes(5).requires_grad_()
        arguments = (z @ c.T, z, c, torch.zeros(N, dtype=torch.long))
        loss(*arguments[: len(loss.outputs) + len(loss.targets)]).backward()
        gradients.append((z.grad, c.grad))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients))


@pytest.mark.parametrize("queue_length", [0, 17])
def test_it_is_the_mean_over_modalities_of_prototypes_codes_and_queues_of_their_own(queue_length):
    both = ModalityClusteringLoss(K, queue_length=queue_length, **OPTIONS)
    found = go(both, range(5))
    expected = []
    for index, columns in enumerate((slice(0, 4), slice(4, 7))):
        alone, losses = SwappedPredictionLoss(queue_length=queue_length // 2, **OPTIONS), []
        for step in range(5):
            z, c = batch(step)[index::2], prototypes()[columns]
            losses.append(alone(z @ c.T, z, c))
            alone.after_step()
        expected.append(torch.stack(losses))
        assert float(both.diagnostics[f"loss_{list(K)[index]}"]) == pytest.approx(float(losses[-1]))
    torch.testing.assert_close(found, torch.stack(expected).mean(dim=0))
    if queue_length:
        assert [len(member.queue.rows[0]) for member in both.members] == [8, 8]  # 17 // 2, whole batches of four


def test_the_order_of_the_batch_changes_nothing():
    loss, z, c = ModalityClusteringLoss(K), batch(0), prototypes()
    modality, order = torch.arange(N) % 2, torch.randperm(N)
    expected = loss(z @ c.T, z, c, modality)
    torch.testing.assert_close(loss((z @ c.T)[order], z[order], c, modality[order]), expected)


def test_prototypes_learn_from_their_own_modality_alone():
    z, c = batch(0).requires_grad_(), prototypes().requires_grad_()
    loss = ModalityClusteringLoss(K)
    loss(z @ c.T, z, c, torch.arange(N) % 2)
    loss.members[1].forward = lambda *_: torch.tensor(0.0)
    loss(z @ c.T, z, c, torch.arange(N) % 2).backward()
    assert c.grad[:4].abs().max() > 0
    assert c.grad[4:].abs().max() == 0
    assert z.grad[1::2].abs().max() == 0


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_half_filled_queues_are_restored(stop):
    whole, first, second = (MethodLoss(ModalityClusteringLoss(K, queue_length=16, **OPTIONS)) for _ in range(3))
    expected = go(whole.loss, range(6))[stop:]
    go(first.loss, range(stop))
    second.load_state_dict(first.state_dict())
    assert torch.equal(go(second.loss, range(stop, 6)), expected)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"prototypes must be at least one number >= 1, got \{\}"):
        ModalityClusteringLoss({})
    with pytest.raises(ValueError, match="queue_length must be 0 or at least 2, one for each modality, got 1"):
        ModalityClusteringLoss(K, queue_length=1)
    # by the length that was asked for, not by a modality's part of it; and before a step is taken
    with pytest.raises(ValueError, match="queue_length must be 0 or at least 8, the batch of all processes, got 6"):
        go(ModalityClusteringLoss(K, queue_length=6, epsilon=0.05), range(1))
    with pytest.raises(ValueError, match="queue_length must be 0 or at least 8, the batch of all processes, got 6"):
        ModalityClusteringLoss(K, queue_length=6).check_count(8, 7)
    go(ModalityClusteringLoss(K, queue_length=8, epsilon=0.05), range(2))
    z, c = batch(0), prototypes()
    with pytest.raises(ValueError, match="as many samples of each of the modalities CT, MR, got 3, 5 of 8"):
        ModalityClusteringLoss(K)(z @ c.T, z, c, torch.arange(N) // 3 != 0)
    with pytest.raises(ValueError, match="the network must have 7 prototypes, got 5"):
        ModalityClusteringLoss(K)(z @ c[:5].T, z, c[:5], torch.arange(N) % 2)


def divided(rank: int, folder: str) -> None:
    """Steps 2 ... 5 on two ranks, continued from the state that one process left."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    loss = MethodLoss(ModalityClusteringLoss(K, queue_length=32, **OPTIONS))
    loss.load_state_dict(torch.load(f"{folder}/state.pt", weights_only=True))
    losses = go(loss.loss, range(2, 6), part=slice(rank * N // WORLD, (rank + 1) * N // WORLD))
    torch.save((losses, loss.state_dict()), f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_continue_the_run_of_one_with_half_filled_queues(tmp_path):
    one = MethodLoss(ModalityClusteringLoss(K, queue_length=32, **OPTIONS))
    go(one.loss, range(2))
    assert not one.loss.members[0].queue.full
    torch.save(one.state_dict(), tmp_path / "state.pt")
    run_ranks(divided, str(tmp_path))
    expected = go(one.loss, range(2, 6))
    ranks = [torch.load(Path(tmp_path) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / WORLD, expected, rtol=0, atol=1e-6)
    for _, state in ranks:
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(state[name], tensor)
