"""A network for several processes: wrapping in DDP, its buffers, and unwrapping."""

from __future__ import annotations

import weakref
from typing import TypeVar

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.compat import release_group
from monai_cl.engines.distributed.acceleration import accelerate
from monai_cl.engines.distributed.collectives import world_size

T = TypeVar("T")
_wrappers: weakref.WeakSet[nn.parallel.DistributedDataParallel] = weakref.WeakSet()


def distribute(network: nn.Module, device: torch.device, **acceleration: bool) -> nn.Module:
    """Bring a network to its device, and wrap it for data-parallel training where there are several processes.

    Parameters that never get a gradient (UNETR's ``norm_cross_attn``) are frozen first: DDP fails on them. One process
    freezes them too, so that its optimiser, and with it its checkpoint, fits several. On GPUs batch norms take their
    statistics from all processes, as one process with the whole batch would; PyTorch cannot on CPUs.

    Args:
        network: not wrapped.
        device: of this process.
        acceleration: options of `accelerate`.
    """
    for name, parameter in network.named_parameters():
        if "norm_cross_attn" in name:
            parameter.requires_grad_(False)
    network = accelerate(network.to(device), **acceleration)
    if world_size() == 1:
        return network
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return data_parallel(network, device)


def data_parallel(network: nn.Module, device: torch.device) -> nn.parallel.DistributedDataParallel:
    """A network of the group's processes, on their devices, until `stop_process_group`."""
    device_ids = [device.index] if device.type == "cuda" else None
    wrapper = nn.parallel.DistributedDataParallel(network, device_ids=device_ids)
    _wrappers.add(wrapper)
    return wrapper


def release_wrappers() -> None:
    """Make every wrapper release its group, before the group ends."""
    for wrapper in list(_wrappers):
        release_group(wrapper)
    _wrappers.clear()


def unwrap_ddp(network: T) -> T:
    """The network inside its DDP wrapper; anything else as it is.

    For evaluators: processes have different numbers of cases, and the wrapper's forward may wait for the others. And
    for state dicts, whose names are then those of one process.

    Args:
        network: a network, or its ``DistributedDataParallel`` wrapper.
    """
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


class BroadcastBuffers:
    """Handler of an evaluator: before it runs, all processes take the buffers (batch norm's statistics) of rank 0.

    So that a validation divided among processes is that of the network which rank 0 saves.

    Args:
        network: wrapped or not.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = unwrap_ddp(network)

    def attach(self, engine: Engine) -> None:
        """Register on ``STARTED``."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if world_size() > 1:
            for buffer in self.network.buffers():
                dist.broadcast(buffer, 0)
