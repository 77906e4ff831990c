"""Which of the processes of a run this one is; of one alone the first."""

from __future__ import annotations

import torch.distributed as dist


def rank() -> int:
    """This process's number, 0 when it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def writes(is_writer: bool | None) -> bool:
    """Whether this process writes: the answer that was given or, where none was, whether it is rank 0."""
    return rank() == 0 if is_writer is None else is_writer
