"""One process or many: the same config keys for both."""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.engines.distributed.acceleration import accelerate
from monai_cl.errors import UserError

T = TypeVar("T")
TIMEOUT = 1800.0  # PyTorch's own for gloo; nccl's is 600

_wrappers: weakref.WeakSet[nn.parallel.DistributedDataParallel] = weakref.WeakSet()


def start_process_group(*, timeout: float = TIMEOUT) -> None:
    """Join the group that ``torchrun`` laid out: nccl with CUDA, gloo without; does nothing in a single process.

    Args:
        timeout: seconds that a process waits for the others, in any exchange, before it ends with an error.

    Raises:
        UserError: more processes on this machine than GPUs, or processes that were started differently.
    """
    # late: both look at this process's number
    from monai_cl.engines.distributed.agreement import require_same_start
    from monai_cl.engines.launch.startup import report_errors

    report_errors()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise UserError(f"process_timeout: expected a number of seconds > 0, got {timeout!r}")
    if "RANK" not in os.environ or dist.is_initialized():
        return
    local_rank = os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(own_gpu(int(local_rank), torch.cuda.device_count()))
    dist.init_process_group(backend(), timeout=timedelta(seconds=timeout))
    _tell_ignite()
    require_same_start()


def stop_process_group() -> None:
    """Leave the group; networks that `distribute` wrapped for it cannot train any more."""
    if not dist.is_initialized():
        return
    # A wrapper's reducer that holds the group to the last ends it without giving up the interpreter's lock, waiting for
    # gloo's threads; and one of those may wait for the lock, to let go of a tensor. Python's own references give it up.
    for wrapper in list(_wrappers):
        wrapper.reducer = wrapper.logger = None
        wrapper.process_group = None  # else the threads live on, and one that comes late aborts an ending interpreter
    _wrappers.clear()
    dist.destroy_process_group()
    _tell_ignite()


def _tell_ignite() -> None:
    """Let ignite, through which MONAI's metrics gather, look at the group now that all processes are here.

    By itself it does so in the first validation, by a group of its own with another time-out, in which the processes
    that come first do not notice the loss of one that has yet to come. Under Slurm it takes the number among a
    machine's processes from a variable that is the same for all of torchrun's.
    """
    if "SLURM_JOB_ID" in os.environ and "LOCAL_RANK" in os.environ:
        os.environ["SLURM_LOCALID"] = os.environ["LOCAL_RANK"]
    idist.sync()


def backend() -> str:
    """What processes exchange tensors by: nccl with CUDA, gloo without."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def own_gpu(local_rank: int, count: int) -> int:
    """The GPU of a machine's process ``local_rank`` among ``count``.

    Raises:
        UserError: there are more processes than GPUs.
    """
    if local_rank >= count:
        raise UserError(
            f"process {local_rank} of machine {socket.gethostname()} has no GPU of its own: {count} visible; start "
            f"torchrun with --nproc_per_node={count} or less, or set CUDA_VISIBLE_DEVICES="
            '"" to run on the CPU'
        )
    return local_rank


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


def mean_over_processes(values: Sequence[float]) -> list[float]:
    """Each number's mean over all processes, which must all call it with as many numbers."""
    if world_size() == 1 or not values:
        return list(values)
    total = torch.tensor(list(values), dtype=torch.float64, device=local_device())
    dist.all_reduce(total)
    return (total / world_size()).tolist()


def any_process(flag: bool, device: torch.device | None = None) -> bool:
    """Whether the flag is set in any process: all of them learn the same, at the same step; every one must call it."""
    if world_size() == 1:
        return flag
    found = torch.tensor(int(flag), device=device if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found)


def as_the_first(function: Callable[[], T]) -> T:
    """What a function gives on rank 0, for all processes; it runs there alone, and every process must call this.

    Raises:
        UserError: where the function raised one on rank 0, in every process.
    """
    if world_size() == 1:
        return function()
    told: list[Any] = [None, None]
    if rank() == 0:
        try:
            told[0] = function()
        except UserError as error:
            told[1] = str(error)
    dist.broadcast_object_list(told)
    if told[1] is not None:
        raise UserError(told[1])
    return told[0]


def require_alone(what: str) -> None:
    """Refuse to be one of several processes.

    Raises:
        UserError: ``torchrun`` started more than one.
    """
    started = max(world_size(), int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1)
    if started > 1:
        raise UserError(f"{what} is a matter of one process, and torchrun started {started}; run it without torchrun")


def local_device() -> torch.device:
    """The device of this process: its own GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def distribute(network: nn.Module, device: torch.device, **acceleration: bool) -> nn.Module:
    """Bring a network to its device, and wrap it for data-parallel training where there are several processes.

    Parameters that never get a gradient (UNETR's ``norm_cross_attn``) are frozen first: DDP dies on them. One process
    freezes them too, so that its optimiser, and with it its checkpoint, fits several. On GPUs batch norms take their
    statistics from all processes, as one process with the whole batch would; PyTorch cannot on CPUs.

    Args:
        network: bare.
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


def bare(network: nn.Module) -> nn.Module:
    """The network inside its DDP wrapper, for evaluators: processes have different numbers of cases, and a forward of
    the wrapper may wait for the others."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


class SameBuffers:
    """Handler of an evaluator: before it runs, all processes take the buffers (batch norm's statistics) of rank 0.

    So that a validation divided among processes is that of the network which rank 0 saves.

    Args:
        network: bare or wrapped.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = bare(network)

    def attach(self, engine: Engine) -> None:
        """Register on ``STARTED``."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if world_size() > 1:
            for buffer in self.network.buffers():
                dist.broadcast(buffer, 0)


def own_share(count: int) -> list[int]:
    """Which of ``count`` cases this process measures: every world-size-th; all of them where some would have none.

    An engine cannot run on no case, so that with fewer cases than processes each measures all.
    """
    return list(range(count)) if count < world_size() else list(range(rank(), count, world_size()))
