"""The diagnostics of a MixCL run: every loss term, level-wise correlation, gradient norms, ranks, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor

from monai_cl.engines.handlers.attaching import Turn, take_turn
from monai_cl.engines.handlers.measures import effective_rank, gradient_norms
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.workflow_types import state_of

if TYPE_CHECKING:
    from monai_cl.losses import MixCLLoss
    from monai_cl.networks import MixCLNet


class MixCLDiagnostics:
    """Handler: logs what explains a MixCL run through the run's recorder.

    Each iteration: every term before its weight, and the loss's diagnostics (per level mean diagonal and off-diagonal
    correlation, share of pairs with a positive). Every ``every`` iterations: the gradient norm of each weighted term on
    the encoder and the effective rank of each projected level (of a batch in parts: of its first). Every 100: input and
    reconstruction slices.

    Args:
        network: the `MixCLNet` itself (not its DDP wrapper).
        loss: the `MixCLLoss` of the trainer.
        recorder: the run's recorder.
        every: iterations between gradient norms (each costs a backward per term); 0 switches them off.
    """

    images_every = 100

    def __init__(self, *, network: MixCLNet, loss: MixCLLoss, recorder: RunRecorder, every: int = 50) -> None:
        self.network, self.loss, self.recorder, self.every = network, loss, recorder, int(every)

    def attach(self, engine: Engine) -> None:
        """Register between loss and backward, and after the step; before the recorder."""
        take_turn(engine, self, Turn.STEP)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._before_backward)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)

    def _before_backward(self, engine: Engine) -> None:
        for name, value in {**self.loss.terms, **self.loss.diagnostics}.items():
            self.recorder.add_to_mean(name, value)
        iteration = engine.state.iteration
        if not self.every or (iteration - 1) % self.every or getattr(engine.state, "part", 0):
            return
        for name, norm in gradient_norms(self.loss.terms, self.network.encoder_parameters()).items():
            weight = self.loss.weights[name] * self.loss.factors[name] * self.loss.balance.get(name, 1.0)
            self.recorder.add(f"encoder_gradient/{name}", iteration, weight * norm.double())
        for level, z in enumerate(state_of(engine).output["pred"]["levels"]):
            if z is None:
                continue
            rank = effective_rank(rearrange(z[:1], "b c h w d -> (b h w d) c"))
            self.recorder.add(f"effective_rank/level{level}", iteration, rank)

    def _after_step(self, engine: Engine) -> None:
        writer, iteration = self.recorder.writer, engine.state.iteration
        if writer is None or (iteration - 1) % self.images_every:
            return
        output = state_of(engine).output
        rows = [output["image"][0, 0]]
        if "reconstruction" in output["pred"]:
            rows += [output["pred"]["reconstruction"][0, 0], output["label"]["clean"][0, 0]]
        picture = torch.cat([slice_row(volume) for volume in rows])
        writer.add_image("view, reconstruction, truth", picture.clamp(0, 1).cpu(), iteration, dataformats="HW")


def slice_row(volume: Tensor, *, slices: int = 4) -> Tensor:
    """A row of evenly spaced axial slices of a volume (H, W, D), anterior up: (W, slices·H)."""
    depth = volume.shape[-1]
    chosen = [int((k + 0.5) * depth / slices) for k in range(slices)]
    return rearrange(volume.detach().float()[..., chosen], "h w k -> w (k h)").flip(0)
