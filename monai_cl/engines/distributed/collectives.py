"""What the processes of one run exchange; each function works in a single process too."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.processes import rank, world_size

T = TypeVar("T")


def gather(values: list) -> list:
    """The lists of all processes, one after the other by rank; every process must call it."""
    if world_size() == 1:
        return list(values)
    lists: list[list] = [[] for _ in range(world_size())]
    dist.all_gather_object(lists, list(values))
    return [value for rank_values in lists for value in rank_values]


def mean_over_processes(values: Tensor) -> Tensor:
    """Each number's mean over all processes, which must all call it with as many numbers; stays on its device."""
    if world_size() == 1 or not len(values):
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def largest_of_processes(values: Tensor) -> Tensor:
    """Each number's largest value in any process, which must all call it; stays on its device."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def any_process(flag: bool, device: torch.device | None = None) -> bool:
    """Whether the flag is set in any process: the same answer for all, at the same step; every one must call it."""
    if world_size() == 1:
        return flag
    raised = torch.tensor(int(flag), device=device if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised)


def on_rank_zero(function: Callable[[], T]) -> T:
    """The result of a function on rank 0, for all processes; it runs only there, and every process must call this.

    Raises:
        UserError: where the function raised one on rank 0, in every process.
    """
    if world_size() == 1:
        return function()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = function()
        except UserError as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def require_single_process(what: str) -> None:
    """Refuse to run as one of several processes.

    Args:
        what: what is about to run, as the message's subject, such as "the probe".

    Raises:
        UserError: ``torchrun`` started more than one.
    """
    started = max(world_size(), int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1)
    if started > 1:
        raise UserError(f"{what} runs in one process, but torchrun started {started}; run it without torchrun")


def local_device() -> torch.device:
    """The device of this process: its own GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def shard_indices(count: int) -> list[int]:
    """Which of ``count`` cases this process measures: every world-size-th; all of them where some would have none.

    An engine cannot run on zero cases: with fewer cases than processes each measures all.

    Args:
        count: number of cases that the processes divide.
    """
    return list(range(count)) if count < world_size() else list(range(rank(), count, world_size()))
