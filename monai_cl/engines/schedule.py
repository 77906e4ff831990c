"""Iterations, epochs and the learning rate: small typed functions the bundles call."""

from __future__ import annotations

import math

import torch

from monai_cl.errors import UserError


def epochs_of(iterations: int, epoch_length: int, val_interval: int = 1) -> int:
    """Epochs of a run counted in iterations: an "epoch" is ``epoch_length`` iterations, then a run validates and saves.

    Raises:
        UserError: when they do not divide, since the last model would be neither validated nor saved.
    """
    for name, value in (("iterations", iterations), ("epoch_length", epoch_length), ("val_interval", val_interval)):
        if not isinstance(value, (int, float)) or int(value) != value or value < 1:
            raise UserError(f"{name} must be a whole number >= 1, got {value!r}")
    step = epoch_length * val_interval
    if iterations % step:
        raise UserError(
            f"iterations={iterations} is no multiple of epoch_length={epoch_length} times val_interval={val_interval}: "
            f"the end of the run would not be validated; use {math.ceil(iterations / step) * step}"
        )
    return int(iterations // epoch_length)


def cosine_schedule(
    optimizer: torch.optim.Optimizer, *, iterations: int, warmup: int = 0, final_fraction: float = 0.0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Cosine decay over ``iterations`` steps after a linear warm-up of ``warmup`` steps.

    Args:
        final_fraction: fraction of the initial rate that is left at the end.

    Raises:
        UserError: a warm-up that leaves no iteration after it.
    """
    if not 0 <= warmup < iterations:
        raise UserError(f"warmup must be in [0, iterations), got {warmup} of {iterations}")
    return torch.optim.lr_scheduler.LambdaLR(optimizer, _Cosine(iterations, warmup, final_fraction))


class _Cosine:
    """A callable object instead of a closure: it pickles."""

    def __init__(self, iterations: int, warmup: int, final_fraction: float) -> None:
        self.iterations, self.warmup, self.final_fraction = iterations, warmup, final_fraction

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        progress = min((step - self.warmup) / max(self.iterations - self.warmup, 1), 1.0)
        return self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
