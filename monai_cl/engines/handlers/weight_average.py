"""A moving average of a network's weights over the steps of a training, which is what is validated and deployed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.handlers.attaching import Turn, keep_state, take_turn
from monai_cl.engines.training_options import check_training_options
from monai_cl.networks.momentum import HostCount, follow


class WeightAverage:
    """Handler: an exponential moving average of the weights, ``θ̄ ← m θ̄ + (1 − m) θ`` behind each step.

    ``m = min(1 − 1/(t + 1), momentum)`` at step t, from 0: after few steps it is their plain mean, so that the first
    weights, which nothing was learned in, do not stay in it. Buffers are averaged as well; integers are copied. A step
    that `StepGuard` leaves out does not count. The average is in the checkpoints, beside the weights that a resumed run
    continues with, and is what is read from them for everything else.

    Args:
        network: that is trained, inside its DDP wrapper or not.
        momentum: largest m, in [0, 1); 0 makes no average: ``network`` is then the trained one itself.

    Raises:
        UserError: a momentum outside [0, 1).

    Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017 (the schedule of m); Polyak and
    Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    network: nn.Module
    """To validate and to deploy."""

    def __init__(self, network: nn.Module, *, momentum: float) -> None:
        check_training_options(weight_average=momentum)
        self.trained, self.momentum = unwrap_ddp(network), float(momentum)
        self.network = copy.deepcopy(self.trained).requires_grad_(False).eval() if momentum else self.trained
        self.steps, self._count = torch.tensor(0), HostCount()

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the validation and the checkpoints."""
        take_turn(engine, self, Turn.STEP)
        if self.momentum:
            keep_state(engine, "weight_average", self)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._after)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._before_validation)

    def _after(self, engine: Engine) -> None:
        if not getattr(engine.state, "step_skipped", False):
            follow(self.network, self.trained, self.steps, count=self._count, momentum=self.momentum)

    def _before_validation(self, engine: Engine) -> None:
        if self._count.of(self.steps) == 0:  # continued from a run without it, whose validation was pending
            self.network.load_state_dict(self.trained.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """The average, and how many steps are in it."""
        return {"network": self.network.state_dict(), "steps": int(self.steps)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from another's `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.steps.fill_(state["steps"])
