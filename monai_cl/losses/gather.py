"""The batch of all processes, with gradient: so that N ranks of batch B learn what one process of batch N·B learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def gather_with_gradient(tensor: Tensor, *, group: dist.ProcessGroup | None = None) -> Tensor:
    """Concatenate a tensor of every rank along the first axis, in the order of the ranks.

    The gradient of the result is summed over the ranks and each rank gets its own part. If every rank computes the
    same loss from what was gathered, a parameter's gradient on rank r is world size × the part that went through r's
    batch, and the mean over ranks that `DistributedDataParallel` takes is the gradient of one process with the
    whole batch: no factor is needed.

    Args:
        tensor: (B, …), of one shape and dtype on all ranks; any dtype (labels have no gradient).
        group: the processes; None for all. In a single process the tensor itself is returned.

    Returns:
        (world size · B, …).

    Raises:
        ValueError: a tensor without a first axis.
    """
    if tensor.ndim < 1:
        raise ValueError("tensor must have a first axis to gather along, got a scalar")
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size(group) == 1:
        return tensor
    return _Gather.apply(tensor, group)


class GatheredLoss(nn.Module):
    """A loss over the batch of all processes: its arguments are gathered, then the loss is computed as usual.

    Args:
        loss: a module (or function) of tensors with the batch as first axis; it needs no process group.
        group: the processes; None for all.
    """

    def __init__(self, loss: Callable[..., Tensor], *, group: dist.ProcessGroup | None = None) -> None:
        super().__init__()
        self.loss, self.group = loss, group

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.loss(*(gather_with_gradient(tensor, group=self.group) for tensor in tensors))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        parts = [
            torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))
        ]
        dist.all_gather(parts, tensor.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total.chunk(dist.get_world_size(ctx.group))[dist.get_rank(ctx.group)], None
