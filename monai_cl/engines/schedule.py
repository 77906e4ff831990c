"""Iterations, epochs and the learning rate: small typed functions the bundles call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from monai_cl.engines.training_options import check_training_options
from monai_cl.errors import UserError


def epochs_of(iterations: int, epoch_length: int, val_interval: int = 1) -> int:
    """Epochs of a run counted in iterations: an "epoch" is ``epoch_length`` iterations, then a run validates and saves.

    Args:
        iterations: training iterations of the whole run.
        epoch_length: iterations of an epoch; it must divide ``iterations``.
        val_interval: epochs from one validation to the next; it must divide the number of epochs.

    Raises:
        UserError: when they do not divide, since the last model would be neither validated nor saved.
    """
    for name, value in (("iterations", iterations), ("epoch_length", epoch_length), ("val_interval", val_interval)):
        if not isinstance(value, (int, float)) or int(value) != value or value < 1:
            raise UserError(f"{name} must be an integer >= 1, got {value!r}")
    step = epoch_length * val_interval
    if iterations % step:
        raise UserError(
            f"iterations={iterations} is not a multiple of epoch_length={epoch_length} times "
            f"val_interval={val_interval}: the end of the run would not be validated; use "
            f"{math.ceil(iterations / step) * step}"
        )
    return int(iterations // epoch_length)


def cosine_schedule(
    optimizer: torch.optim.Optimizer, *, iterations: int, warmup: int = 0, final_rate: float = 0.0
) -> LambdaLR:
    """Cosine decay over ``iterations`` steps after a linear warm-up of ``warmup`` steps.

    Loading a state brings the step and the initial rates. Length, warm-up and final fraction stay those given here: a
    run that is extended continues at the rates of its new length.

    Args:
        optimizer: whose learning rates are scheduled, each parameter group from its own initial rate.
        iterations: training iterations of the whole run, warm-up included.
        warmup: iterations in which the rate rises linearly from near 0; 0: none.
        final_rate: the learning rate at the end, of every group.

    Raises:
        UserError: a warm-up that leaves no iteration after it, a final rate above an initial one.
    """
    if not 0 <= warmup < iterations:
        raise UserError(f"warmup must be in [0, iterations), got {warmup} of {iterations}")
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    for rate in rates:
        check_training_options(learning_rate=rate)
        if not 0 <= final_rate <= rate:
            raise UserError(
                "learning_rate", expected=f"at least the {final_rate:g} that is left at the end", found=rate
            )
    return _CosineSchedule(
        optimizer, [_Cosine(iterations, warmup, final_rate / rate if rate else 0.0) for rate in rates]
    )


class _CosineSchedule(LambdaLR):
    """LambdaLR saves the fields of its callable, and would overwrite the new length with the old one."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({**state, "lr_lambdas": [None] * len(self.lr_lambdas)})
        self._last_lr = [rate * scale(self.last_epoch) for rate, scale in zip(self.base_lrs, self.lr_lambdas)]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr):
            group["lr"] = rate  # of the next step; the optimiser's state has that of the old length


class _Cosine:
    """A callable object instead of a closure: it pickles."""

    def __init__(self, iterations: int, warmup: int, final_fraction: float) -> None:
        self.iterations, self.warmup, self.final_fraction = iterations, warmup, final_fraction

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        progress = min((step - self.warmup) / max(self.iterations - self.warmup, 1), 1.0)
        return self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
