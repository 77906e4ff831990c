"""BYOL's target follows its online network after every step of the optimiser."""

from __future__ import annotations

from ignite.engine import Engine, Events

from monai_cl.networks import BYOLNet


class MomentumUpdate:
    """Handler: calls `BYOLNet.update_target` at the end of each iteration, when the optimiser has stepped.

    Where `StepGuard` left the step out the target stays, and its momentum too, which counts the moves.

    Args:
        network: the bare `BYOLNet` (not its DDP wrapper).
    """

    def __init__(self, *, network: BYOLNet) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on a trainer; attach it before the checkpoints, so that they hold the moved target."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._follow)

    def _follow(self, engine: Engine) -> None:
        if not getattr(engine.state, "step_skipped", False):
            self.network.update_target()
