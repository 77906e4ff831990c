"""Gradient accumulation: a step's batch goes through the network in parts, with the memory of one part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_cl.engines.workflow_types import parts_of, state_of
from monai_cl.errors import UserError
from monai_cl.processes import rank

logger = logging.getLogger(__name__)


def check_accumulation(parts: int, *, loss: Any, batch_size: int) -> None:
    """Refuse what `accumulated_step` refuses, before anything is prepared.

    Args:
        parts: in how many parts a batch goes through the network.
        loss: of the trainer, or its class.
        batch_size: samples of a process and step.

    Raises:
        UserError: as `accumulated_step`.
    """
    if not isinstance(parts, int) or parts < 1 or batch_size % parts:
        raise UserError(
            "accumulate",
            expected=f"a divisor of batch_size={batch_size}",
            found=repr(parts),
            remedy="batch_size is the number of samples of a step, which is divided; choose them together",
        )
    if parts == 1:
        return
    batchwise = getattr(loss, "batchwise", f"{type(loss).__name__} is not known to be a mean over samples")
    if batchwise:
        raise UserError(
            "accumulate",
            expected="a loss that is a mean over the samples of a batch, or 1",
            found=f"{parts}, and {batchwise}: the mean over parts would be another loss",
            remedy="set --accumulate 1",
        )


def accumulated_step(
    parts: int, *, loss: nn.Module, batch_size: int, network: nn.Module | None = None
) -> Callable[[Engine, Any], Any] | None:
    """``iteration_update`` of MONAI's `SupervisedTrainer`; None, its own, where the batch is not divided.

    A step stays a step: of the same samples, with one update of the weights. Schedule, checkpoints, guard and
    randomness do not notice. Batch norm is the exception: its statistics are those of a part; the log says so.

    Args:
        parts: in how many parts a batch goes through the network.
        loss: of the trainer; its ``batchwise`` says what of it is taken over the whole batch, "" where it is a mean
            over samples. One that divides by numbers of the whole batch gives them by ``whole_batch(targets, parts)``:
            keyword arguments of its calls, with which the mean over the parts is the loss of the batch.
        batch_size: samples of a process and step, a multiple of ``parts``.
        network: that is trained, looked at for batch norm; None: nothing is known of it.

    Raises:
        UserError: parts that do not divide the batch, a loss whose mean over parts is another loss.
    """
    check_accumulation(parts, loss=loss, batch_size=batch_size)
    if parts == 1:
        return None
    norms = [] if network is None else [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if norms and rank() == 0:
        logger.warning(
            "accumulate: the network has batch norm (%d layers), whose statistics are of a part of %d samples, not of "
            "the batch of %d: the step differs from that of --accumulate 1",
            len(norms), batch_size // parts, batch_size,
        )  # fmt: skip
    return _AccumulatedStep(parts, batch_size)


class _AccumulatedStep:
    def __init__(self, parts: int, batch_size: int) -> None:
        self.parts, self.batch_size = parts, batch_size

    def __call__(self, engine: Any, batch: Any) -> Any:
        """As `SupervisedTrainer._iteration`; forward, loss and backward are repeated for each part.

        The output's ``loss`` is the mean, all else in it is the last part's. A handler of LOSS_COMPLETED is called for
        each part, and finds its number, from 0, in ``engine.state.part``.
        """
        prepared = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        scaler = parts_of(engine).scaler if engine.amp else None
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
        whole_batch = getattr(engine.loss_function, "whole_batch", None)
        options = {} if whole_batch is None else whole_batch(prepared[1], self.parts)
        losses = []
        for part in range(self.parts):
            inputs, targets = (self._part(whole, part) for whole in prepared)
            output = state_of(engine).output = {"image": inputs, "label": targets}
            state_of(engine).part = part
            last = part == self.parts - 1
            # several processes exchange gradients once
            with nullcontext() if last else getattr(engine.network, "no_sync", nullcontext)():
                with nullcontext() if scaler is None else torch.autocast("cuda", **engine.amp_kwargs):
                    output["pred"] = engine.inferer(inputs, engine.network)
                    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
                    output["loss"] = engine.loss_function(output["pred"], targets, **options).mean()
                    engine.fire_event(IterationEvents.LOSS_COMPLETED)
                share = output["loss"] / self.parts
                (share if scaler is None else scaler.scale(share)).backward()
            losses.append(output["loss"].detach())
        output["loss"] = torch.stack(losses).mean()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if scaler is None:
            engine.optimizer.step()
        else:
            scaler.step(engine.optimizer)
            scaler.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return output

    def _part(self, whole: Any, part: int) -> Any:
        """The rows of a part; of k rows per sample, which lie batch after batch, k as well."""
        if isinstance(whole, Mapping):
            return {name: self._part(value, part) for name, value in whole.items()}
        assert isinstance(whole, Tensor), type(whole)
        size = self.batch_size // self.parts
        rows = whole.unflatten(0, (-1, self.batch_size))[:, part * size : (part + 1) * size]
        return rows.flatten(0, 1)
