"""What MONAI's workflows hold beyond what Ignite declares; Ignite takes a batch and an output for integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from ignite.engine import Engine
from torch import nn


class WorkflowState(Protocol):
    """The state of a trainer or an evaluator.

    Attributes:
        iteration: of the run, from 1.
        epoch: of the run, from 1.
        epoch_length: iterations of an epoch.
        batch: what the loader gave, a mapping or a list of items.
        output: what the iteration gave, a mapping or, after post-processing, a list of items.
        dataloader: of the running epoch.
        device: that the workflow computes on.
        metric_details: of an evaluator, by the names of its metrics.
        best_metric: of an evaluator, so far; -1 before the first epoch.
        best_metric_epoch: its epoch; -1 before the first.
        step_skipped: of a trainer with `StepGuard`: whether it left out this iteration's step.
        part: of a trainer with `accumulated_step`: the part of the batch that is computed, from 0.
        checked_loss: of a trainer with `StepGuard`: the loss of the last iteration that it has read.
    """

    iteration: int
    epoch: int
    epoch_length: int
    batch: Any
    output: Any
    dataloader: Any
    device: torch.device
    metric_details: dict[str, Any]
    best_metric: float
    best_metric_epoch: int
    step_skipped: bool
    checked_loss: float
    part: int


def state_of(engine: Engine) -> WorkflowState:
    """The state of an engine, with the types it has in a workflow of MONAI.

    Args:
        engine: a trainer or an evaluator.
    """
    return cast(WorkflowState, engine.state)


class TrainerParts(Protocol):
    """What a trainer computes with.

    Attributes:
        network: that is trained.
        loss_function: of its outputs and the targets.
        scaler: of mixed precision; None without it.
        amp_kwargs: of ``torch.autocast``.
    """

    network: nn.Module
    loss_function: Callable[..., Any]
    scaler: torch.amp.GradScaler | None
    amp_kwargs: dict[str, Any]


def parts_of(engine: Engine) -> TrainerParts:
    """An engine, with the types of what it has in a training.

    Args:
        engine: a trainer.
    """
    return cast(TrainerParts, engine)
