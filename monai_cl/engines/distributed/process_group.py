"""One process or many: the same config keys for both."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import ignite.distributed as idist
import torch
import torch.distributed as dist

from monai_cl.engines.distributed.agreement import require_same_start
from monai_cl.engines.distributed.wrapping import release_wrappers
from monai_cl.engines.launch.error_report import report_errors
from monai_cl.errors import UserError

TIMEOUT = 1800.0  # PyTorch's own for gloo; nccl's is 600


def start_process_group(*, timeout: float = TIMEOUT) -> None:
    """Join the group that ``torchrun`` laid out: nccl with CUDA, gloo without; does nothing in a single process.

    Args:
        timeout: seconds that a process waits for the others, in any exchange, before it ends with an error.

    Raises:
        UserError: more processes on this machine than GPUs, or processes that were started differently.
    """
    report_errors()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise UserError("process_timeout", expected="a number of seconds > 0", found=f"{timeout!r}")
    if "RANK" not in os.environ or dist.is_initialized():
        return
    local_rank = os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(own_gpu(int(local_rank), torch.cuda.device_count()))
    dist.init_process_group(backend(), timeout=timedelta(seconds=timeout))
    _tell_ignite()
    require_same_start()


def stop_process_group() -> None:
    """Leave the group; networks that `distribute` wrapped for it can no longer train."""
    if not dist.is_initialized():
        return
    release_wrappers()
    dist.destroy_process_group()
    _tell_ignite()


def _tell_ignite() -> None:
    """Let ignite, through which MONAI's metrics gather, join the group now that all processes are present.

    By default it forms another group with another time-out in the first validation, in which the processes that arrive
    first do not notice the loss of one that has yet to arrive. Under Slurm it takes the number among a machine's
    processes from a variable that is the same for all of torchrun's.
    """
    if "SLURM_JOB_ID" in os.environ and "LOCAL_RANK" in os.environ:
        os.environ["SLURM_LOCALID"] = os.environ["LOCAL_RANK"]
    idist.sync()


def backend() -> str:
    """The backend for exchanging tensors: nccl with CUDA, gloo without."""
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
