"""Scalars that stay on their device until all are read together: each read waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class UnreadScalars:
    """Scalars of one device, and what is done with each as soon as it is a number of the host."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Sequence[Callable[[float], None]], Tensor]] = []

    def append(self, then: Sequence[Callable[[float], None]], values: Tensor) -> None:
        """Keep scalars.

        Args:
            then: for each a function that is called with its value when it is read.
            values: (n,), of `stack_scalars`.
        """
        self._waiting.append((then, values))

    def read(self) -> None:
        """Read all by one transfer, and pass on their values in the order in which they came."""
        waiting, self._waiting = self._waiting, []
        values = torch.cat([values for _, values in waiting]).tolist() if waiting else []
        for function, value in zip((function for then, _ in waiting for function in then), values, strict=True):
            function(value)


def stack_scalars(values: Sequence[float | Tensor], device: torch.device) -> Tensor:
    """Numbers as one float64 tensor (n,) of a device, a copy, without waiting for it.

    Args:
        values: numbers of the host, or tensors of one element.
        device: where the result lies.
    """
    return torch.stack(
        [
            value.detach().to(device, non_blocking=True).reshape(())
            if isinstance(value, Tensor)
            else torch.full((), value, dtype=torch.float64, device=device)
            for value in values
        ]
    ).double()
