"""Two real processes learn what one process with both batches learns, in value and in gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl.losses import (
    DepthAwareLoss,
    GatheredLoss,
    SimCLRLoss,
    SliceSegmentationLoss,
    SupConLoss,
    WSPLoss,
    gather_with_gradient,
    simclr_loss,
)
from tests.ranks import run_ranks

WORLD, B, V, PIXELS = 2, 4, 2, 12
LABELS = torch.tensor([0, 1, 1, 0, 2, 1, 0, 2])
MASK = torch.tensor([[0, 1], [2, 2], [4, -100], [-100, -100], [1, 0], [3, 0], [0, 0], [4, 2]])
POSITIONS = torch.tensor([0.1, 0.15, 0.3, 0.4, 0.42, 0.6, 0.8, 0.95], dtype=torch.float64)


class OfSlices(nn.Module):
    """The supervised loss of slices on vectors (B, V, C): Dice is not a mean over slices, and pixels may be unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = SliceSegmentationLoss(dice_weight=1)
        self.gathers = self.loss.gathers

    def forward(self, z: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.loss(z.mT[..., None], mask[..., None])


def images() -> torch.Tensor:
    return torch.randn(WORLD * B, V, PIXELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(PIXELS, 9), nn.Tanh(), nn.Linear(9, 5)).double()


def losses() -> dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    return {
        "simclr": (SimCLRLoss(), ()),
        "supcon": (SupConLoss(), (LABELS,)),
        "depth": (DepthAwareLoss(sigma=0.1), (POSITIONS,)),
        "wsp": (WSPLoss(sigma=0.1, temperature=0.1), (LABELS, POSITIONS)),
        "slices": (OfSlices(), (MASK,)),
    }


def own(tensor: torch.Tensor, rank: int) -> torch.Tensor:
    return tensor[rank * B : (rank + 1) * B]


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters()]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    found: dict = {}
    for name, (loss, targets) in losses().items():
        model = DistributedDataParallel(network())
        gathered = GatheredLoss(loss) if loss.gathers else loss
        value = gathered(model(own(images(), rank)), *(own(t, rank) for t in targets))
        value.backward()
        found[name] = (value.detach(), gradients(model.module))
    # A loss that differs from rank to rank: each gets the gradient of the sum.
    z = own(images(), rank).requires_grad_()
    ((rank + 1) * simclr_loss(gather_with_gradient(z))).backward()
    found["own loss"] = z.grad
    # Every dtype that a batch has, not contiguous, in the order of the ranks.
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.uint8, torch.bool):
        tensor = (torch.arange(6).reshape(3, 2).T + 10 * rank).to(dtype)
        found[str(dtype)] = gather_with_gradient(tensor)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.barrier()
    del model  # before the group: what holds that to the last ends it with the interpreter locked
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(work, str(folder))
    return [torch.load(Path(folder) / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("name", list(losses()))
def test_two_ranks_are_one_process_in_value_and_gradient(ranks, name):
    loss, targets = losses()[name]
    model = network()
    expected = loss(model(images()), *targets)
    expected.backward()
    for rank in ranks:
        value, grads = rank[name]
        torch.testing.assert_close(value, expected.detach(), rtol=0, atol=1e-10)
        for got, wanted in zip(grads, gradients(model)):
            assert wanted.abs().max() > 1e-4
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


def test_without_gathering_two_ranks_learn_something_else():
    whole, halves = network(), network()
    simclr_loss(whole(images())).backward()
    (sum(simclr_loss(halves(own(images(), rank))) for rank in range(WORLD)) / WORLD).backward()
    assert (gradients(whole)[0] - gradients(halves)[0]).abs().max() > 1e-3


def test_losses_that_differ_between_ranks_add_up(ranks):
    z = images().requires_grad_()
    (3 * simclr_loss(z)).backward()
    got = torch.cat([rank["own loss"] for rank in ranks])
    torch.testing.assert_close(got, z.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64", "uint8", "bool"])
def test_every_dtype_is_gathered_in_the_order_of_the_ranks(ranks, dtype):
    first = torch.arange(6).reshape(3, 2).T
    expected = torch.cat([first, first + 10]).to(getattr(torch, dtype))
    for rank in ranks:
        assert torch.equal(rank[f"torch.{dtype}"], expected)


def test_a_single_process_keeps_its_tensor():
    z = torch.zeros(2, 3)
    assert gather_with_gradient(z) is z
    torch.testing.assert_close(GatheredLoss(SimCLRLoss())(images()), simclr_loss(images()))


def test_a_scalar_is_refused():
    with pytest.raises(ValueError, match="first axis to gather along, got a scalar"):
        gather_with_gradient(torch.tensor(1.0))
