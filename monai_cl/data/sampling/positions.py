"""Order and content by address: a dataset is asked for a global sample position and draws everything from it.

So what is trained on depends neither on the number of workers nor on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

from monai_cl import processes
from monai_cl.addressing import Stream, address_generator, address_rng, address_seed

__all__ = ["PositionSampler", "Stream", "address_generator", "address_rng", "address_seed", "permutation"]


@lru_cache(maxsize=64)
def permutation(seed: int, epoch: int, n: int, *address: int) -> np.ndarray:
    """The order of ``n`` cases in an epoch.

    Args:
        seed: the run's seed.
        epoch: 0-based; every epoch has its own order.
        n: number of cases, at least 1.
        *address: further numbers that distinguish several orders, e.g. the index of a data set.

    Returns:
        (n,) int64, read-only: the array is cached and shared.
    """
    if n < 1:
        raise ValueError(f"n must be >= 1, got {n}")
    order = address_rng(seed, Stream.CASES, epoch, n, *address).permutation(n)
    order.setflags(write=False)
    return order


class EndlessSampler(Sampler[int]):
    """The share of one rank in an endless sequence of iterations that can be entered anywhere.

    Args:
        batch_size: samples of one rank in an iteration.
        seed: the run's seed.
        rank: this process, in [0, world_size); None: its own number.
        world_size: number of processes; None: of this run.
        start: first iteration; a resumed run sets it (also as an attribute, before the loader is iterated).

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        start: int = 0,
    ) -> None:
        rank = processes.rank() if rank is None else rank
        world_size = processes.world_size() if world_size is None else world_size
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        if world_size < 1:
            raise ValueError(f"world_size must be >= 1, got {world_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in [0, {world_size}), got {rank}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.batch_size, self.rank, self.world_size = int(batch_size), int(rank), int(world_size)
        self.seed = int(seed)
        self.start = start

    @property
    def start(self) -> int:
        """The iteration that the next ``iter()`` begins with."""
        return self._start

    @start.setter
    def start(self, iteration: int) -> None:
        if iteration < 0:
            raise ValueError(f"start must be >= 0, got {iteration}")
        self._start = int(iteration)

    def batch(self, iteration: int) -> Sequence[int]:
        """The samples of all processes in an iteration; process r has the r-th part of ``batch_size``."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        iteration, first = self._start, self.rank * self.batch_size
        while True:
            yield from self.batch(iteration)[first : first + self.batch_size]
            iteration += 1


class PositionSampler(EndlessSampler):
    """Endless global sample positions of one rank, for datasets that take a position in ``__getitem__``.

    Iteration k (0-based) of rank r takes positions ``(k · world_size + r) · batch_size + [0, batch_size)``: together
    the ranks visit every position once, in order. Give it to a `DataLoader` with the same ``batch_size``.

    Args:
        batch_size: samples of one rank in an iteration, as the loader's.
        rank: this process, in [0, world_size); None: its own number.
        world_size: number of processes; None: that of this run.
        start: first iteration; a resumed run sets it (also as an attribute, before the loader is iterated).
    """

    def batch(self, iteration: int) -> Sequence[int]:
        """The positions of all processes in an iteration."""
        count = self.world_size * self.batch_size
        return range(iteration * count, (iteration + 1) * count)
