"""A run with meta-labels: the pace of each iteration; each label's terms, and whether their gradients agree."""

from __future__ import annotations

import logging
from itertools import combinations
from typing import Protocol

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn

from monai_cl.engines.handlers.attaching import Turn, take_turn
from monai_cl.engines.handlers.measures import flat_gradients
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.losses import MetaLabelLoss, SummedLoss
from monai_cl.processes import rank, world_size

logger = logging.getLogger(__name__)


class HasEncoder(Protocol):
    """A network of which a part is pre-trained."""

    encoder: nn.Module


class MetaLabelPace:
    """Handler: sets the loss's ``progress`` to e/E, from the iteration alone, so that a resumed run has the same pace.

    Args:
        loss: a `MetaLabelLoss`, or a sum that holds one; another loss is left alone.
        iterations: of the whole run; E is ``iterations / epoch_length``.
        epoch_length: iterations of an epoch, within which the pace stays.
    """

    def __init__(self, *, loss: nn.Module, iterations: int, epoch_length: int) -> None:
        self.loss, self.iterations, self.epoch_length = _meta_label_loss(loss), int(iterations), int(epoch_length)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        take_turn(engine, self, Turn.STEP)
        if self.loss is not None:
            engine.add_event_handler(Events.ITERATION_STARTED, self._set, self.loss)

    def _set(self, engine: Engine, loss: MetaLabelLoss) -> None:
        epoch = (engine.state.iteration - 1) // self.epoch_length
        loss.progress = epoch * self.epoch_length / self.iterations


class MetaLabelDiagnostics:
    """Handler: logs what explains a run with meta-labels through the run's recorder.

    Each iteration ``meta_label/<name>`` (L_k) and the loss's diagnostics. Every ``every`` iterations, on the encoder
    and over all processes: ``encoder_gradient/<name>``, the norm of λ_k L_k's gradient, and
    ``gradient_cosine/<name>,<name>`` between the gradients of two labels: below 0 they contradict each other. A label
    all of whose pairs have weight 0 for a whole epoch is warned of, once.

    Args:
        network: has the ``encoder`` (not its DDP wrapper).
        loss: a `MetaLabelLoss`, or a `SummedLoss`, whose terms are logged as ``loss/<term>``; nothing of another loss.
        recorder: the run's recorder.
        every: iterations between gradients (each costs a backward per label); 0 switches them off.
    """

    def __init__(self, *, network: HasEncoder, loss: nn.Module, recorder: RunRecorder, every: int = 50) -> None:
        self.network, self.recorder, self.every = network, recorder, int(every)
        self.sum, self.loss = loss, _meta_label_loss(loss)
        self._dead: dict[str, Tensor] = {}  # without a pair that counts, in this epoch so far
        self._warned: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Register between loss and backward; before the recorder."""
        take_turn(engine, self, Turn.STEP)
        if isinstance(self.sum, SummedLoss):
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._terms, self.sum)
        if self.loss is not None:
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._before_backward, self.loss)
            engine.add_event_handler(Events.EPOCH_STARTED, lambda: self._dead.clear())
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._warn, self.loss)

    def _terms(self, engine: Engine, total: SummedLoss) -> None:
        for name, value in total.terms.items():
            self.recorder.add_to_mean(f"loss/{name}", value)

    def _before_backward(self, engine: Engine, loss: MetaLabelLoss) -> None:
        for name, term in loss.terms.items():
            self.recorder.add_to_mean(f"meta_label/{name}", term)
            dead = torch.as_tensor(loss.diagnostics[f"mean_weight/{name}"]) == 0
            self._dead[name] = dead & self._dead.get(name, dead)
        for name, value in loss.diagnostics.items():
            self.recorder.add_to_mean(name, value)
        iteration = engine.state.iteration
        if self.every and (iteration - 1) % self.every == 0:
            gradients = self._gradients(loss)
            for name, gradient in gradients.items():
                norm = loss.weights[name] * gradient.norm().double()
                self.recorder.add(f"encoder_gradient/{name}", iteration, norm)
            for one, other in combinations(gradients, 2):
                cosine = torch.cosine_similarity(gradients[one], gradients[other], dim=0)
                self.recorder.add(f"gradient_cosine/{one},{other}", iteration, cosine)

    def _gradients(self, loss: MetaLabelLoss) -> dict[str, Tensor]:
        parameters = [p for p in self.network.encoder.parameters() if p.requires_grad]
        gradients = flat_gradients(loss.terms, parameters)
        for gradient in gradients.values() if world_size() > 1 else ():
            dist.all_reduce(gradient)
            gradient /= world_size()
        return gradients

    def _warn(self, engine: Engine, loss: MetaLabelLoss) -> None:
        for name, dead in self._dead.items():
            if name not in self._warned and loss.weights[name] and rank() == 0 and bool(dead):
                self._warned.add(name)
                told = loss.diagnostics
                logger.warning(
                    "meta_labels.%s: no pair had a weight above 0 in epoch %d: gamma is %.2f, the mean loss of its "
                    "pairs %.2f, log|P| %.2f. Raise its first gamma",
                    name,
                    engine.state.epoch,
                    *(told[f"{quantity}/{name}"] for quantity in ("gamma", "mean_pair_loss", "floor")),
                )


def _meta_label_loss(loss: nn.Module) -> MetaLabelLoss | None:
    return next((module for module in loss.modules() if isinstance(module, MetaLabelLoss)), None)
