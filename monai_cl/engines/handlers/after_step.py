"""What network and loss do beside a step of the optimiser: move a momentum target, freeze prototypes, fill a queue."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn

from monai_cl.engines.handlers.attaching import Turn, take_turn


class AfterStep:
    """Handler: calls ``before_step()`` and ``after_step()`` of the network, and ``after_step()`` of the trainer's loss.

    Each is called where it exists: before a step of the optimiser when the gradients are there, and behind it. Where
    `StepGuard` left the step out nothing is called behind it: a target stays, and its momentum too, which counts the
    moves.

    Args:
        network: the bare network (not its DDP wrapper).
    """

    def __init__(self, *, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the checkpoints, so that they hold what it did."""
        take_turn(engine, self, Turn.STEP)
        if (before := getattr(self.network, "before_step", None)) is not None:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, lambda engine: before())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after)

    def _after(self, engine: Engine) -> None:
        if getattr(engine.state, "step_skipped", False):
            return
        for part in (self.network, getattr(engine, "loss_function", None)):  # a trainer has it once all is attached
            if (after := getattr(part, "after_step", None)) is not None:
                after()


MomentumUpdate = AfterStep
"""Its name in configs of earlier versions, where it was attached for BYOL only."""
