"""The processes of one job, without the seconds that their imports take: one process has imported, and forks them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing


def run_ranks(work: Callable[..., None], *arguments: Any, count: int = 2) -> None:
    """``work(rank, *arguments)`` in ``count`` processes, until all have ended; fails where one of them does.

    A forked process has nothing of this one: as by spawn, it imports the module of ``work`` and unpickles the rest.
    """
    multiprocessing.set_forkserver_preload(["tests.imported"])
    torch.multiprocessing.start_processes(work, args=arguments, nprocs=count, start_method="forkserver")
