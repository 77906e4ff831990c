"""What a network does to itself after a step of the optimiser: move a momentum target, normalise prototypes."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn

from monai_cl.engines.handlers.attaching import Turn, take_turn


class AfterStep:
    """Handler: calls the network's ``after_step()``, if it has one, when the optimiser has stepped.

    Where `StepGuard` left the step out it is not called: a target stays, and its momentum too, which counts the moves.

    Args:
        network: the bare network (not its DDP wrapper).
    """

    def __init__(self, *, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the checkpoints, so that they hold what it did."""
        take_turn(engine, self, Turn.STEP)
        if hasattr(self.network, "after_step"):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._call)

    def _call(self, engine: Engine) -> None:
        if not getattr(engine.state, "step_skipped", False):
            self.network.after_step()


MomentumUpdate = AfterStep
"""Its name in configs of earlier versions, where it was attached for BYOL only."""
