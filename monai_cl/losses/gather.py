"""The batch of all processes, with gradient: so that N ranks of batch B learn what one process of batch N·B learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from monai_cl.processes import rank, world_size


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Concatenate a tensor of every rank along the first axis, in the order of the ranks.

    The gradient of the result is summed over the ranks and each rank gets its own part. If every rank computes the
    same loss from what was gathered, a parameter's gradient on rank r is world size × the part that went through r's
    batch, and the mean over ranks that `DistributedDataParallel` takes is the gradient of one process with the
    whole batch: no factor is needed.

    Args:
        tensor: (B, …), of one shape and dtype on all ranks; any dtype (labels have no gradient). In a single process
            it is returned itself.

    Returns:
        (world size · B, …).

    Raises:
        ValueError: a tensor without a first axis.
    """
    if tensor.ndim < 1:
        raise ValueError("tensor must have a first axis to gather along, got a scalar")
    return tensor if world_size() == 1 else _Gather.apply(tensor)


class GatheredLoss(nn.Module):
    """A loss over the batch of all processes: its arguments are gathered, then the loss is computed as usual.

    Args:
        loss: a module (or function) of tensors with the batch as first axis; it needs no process group.
    """

    def __init__(self, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.loss(*(gather_with_gradient(tensor) for tensor in tensors))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]
