"""One process or many: the same config keys for both."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist


def start_process_group() -> None:
    """Join the group that ``torchrun`` laid out: nccl with CUDA, gloo without; does nothing in a single process."""
    if "RANK" in os.environ and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop_process_group() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 when it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def gather(values: list) -> list:
    """The lists of all processes, one after the other by rank; every process must call it."""
    if world_size() == 1:
        return list(values)
    lists: list[list] = [[] for _ in range(world_size())]
    dist.all_gather_object(lists, list(values))
    return [value for own in lists for value in own]


def local_device() -> torch.device:
    """The device of this process: its own GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def distribute(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Wrap a network for data-parallel training where there are several processes.

    Parameters that never get a gradient (UNETR's ``norm_cross_attn``) are frozen first: DDP dies on them.
    """
    network = network.to(device)
    if world_size() == 1:
        return network
    for name, parameter in network.named_parameters():
        if "norm_cross_attn" in name:
            parameter.requires_grad_(False)
    return torch.nn.parallel.DistributedDataParallel(
        network, device_ids=[device.index] if device.type == "cuda" else None
    )
