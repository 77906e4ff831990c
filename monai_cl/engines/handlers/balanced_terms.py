"""Terms of a loss that pull at the encoder as strongly as their weights say, by their measured gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import Tensor

from monai_cl.engines.distributed.collectives import mean_over_processes
from monai_cl.engines.handlers.attaching import Turn, keep_state, take_turn
from monai_cl.engines.handlers.measures import gradient_norms
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from monai_cl.losses import MixCLLoss
    from monai_cl.networks import MixCLNet

_LIMIT = 1000.0  # of a factor and its inverse: a term that has no gradient yet must not come to rule the others


def balance(norms: Tensor, weights: Tensor) -> Tensor:
    """Factors with which gradients of these lengths become as long as the weights say, among each other.

    ``f_t = exp(Σ_s w_s log n_s / Σ_s w_s) / n_t``: every ``f_t n_t`` is the weighted geometric mean of the lengths, so
    that ``w_t f_t n_t`` is proportional to w_t and the whole keeps its order of magnitude.

    Args:
        norms: (T,) lengths n of the terms' own gradients; 0 where a term has none, whose factor is then 1.
        weights: (T,) w, above 0.

    Returns:
        (T,), each within [1/1000, 1000].
    """
    there = norms > 0
    logs = torch.where(there, norms, 1).log()
    share = torch.where(there, weights, 0)
    mean = (share * logs).sum() / share.sum().clamp_min(1e-12)
    return torch.where(there, (mean - logs).exp().clamp(1 / _LIMIT, _LIMIT), 1)


class BalancedTerms:
    """Handler: measures each term's gradient on the encoder now and then, and sets the loss's ``balance`` by it.

    The lengths are means over processes and, geometrically, over the measurements so far, of which each earlier one
    counts 0.8 times as much as the next. They are in the checkpoints. The factors hold from the iteration that follows;
    each measurement costs a backward pass for each term. Where a step accumulates, the first part of its batch is
    measured. Nothing waits for the device.

    Args:
        network: the `MixCLNet` itself (not its DDP wrapper).
        loss: the `MixCLLoss` of the trainer, whose weights become shares.
        recorder: the run's recorder; the curves are ``balance/<term>``.
        every: iterations between measurements; 0: the weights are as they are.

    Raises:
        UserError: ``every`` is not an integer of at least 0.
    """

    decay = 0.8

    def __init__(
        self, *, network: MixCLNet, loss: MixCLLoss, recorder: RunRecorder | None = None, every: int = 0
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 0:
            raise UserError("balance_every", expected="an integer >= 0, iterations", found=repr(every))
        self.network, self.loss, self.recorder, self.every = network, loss, recorder, every
        self.names = [name for name, weight in loss.weights.items() if weight > 0]
        self._logs = torch.zeros(len(self.names))  # discounted sums of log n, and of 1 where it was measured
        self._counts = torch.zeros(len(self.names))

    def state_dict(self) -> dict[str, Tensor]:
        """The measurements so far."""
        return {"logs": self._logs, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore them, and the factors that follow."""
        self._logs, self._counts = state["logs"], state["counts"]
        self._set()

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, between loss and backward."""
        take_turn(engine, self, Turn.STEP)
        if self.every:
            keep_state(engine, "balanced_terms", self)
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._measure)

    def _measure(self, engine: Engine) -> None:
        if (engine.state.iteration - 1) % self.every or getattr(engine.state, "part", 0):
            return
        found = gradient_norms({name: self.loss.terms[name] for name in self.names}, self.network.encoder_parameters())
        device = next(iter(self.loss.terms.values())).device
        nothing = torch.zeros((), device=device)
        norms = mean_over_processes(torch.stack([found.get(name, nothing) for name in self.names]))
        there = (norms > 0) & norms.isfinite()
        self._logs = self.decay * self._logs.to(device) + torch.where(there, norms, 1).log()
        self._counts = self.decay * self._counts.to(device) + there
        self._set()
        if self.recorder is not None:
            for name, factor in self.loss.balance.items():
                self.recorder.add(f"balance/{name}", engine.state.iteration, factor)

    def _set(self) -> None:
        norms = torch.where(self._counts > 0, (self._logs / self._counts.clamp_min(1e-12)).exp(), 0)
        weights = torch.tensor([self.loss.weights[name] for name in self.names], device=norms.device)
        self.loss.balance = dict(zip(self.names, balance(norms, weights).unbind()))
