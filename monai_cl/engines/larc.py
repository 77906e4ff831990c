"""LARC: stochastic gradient descent whose step on each tensor is in proportion to the tensor's own length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import Tensor

_EPSILON = 1e-8


class LARC(torch.optim.SGD):
    """SGD with ``g ← (g + λ p) · trust · ‖p‖ / (‖g‖ + λ ‖p‖)`` for each tensor p, λ the weight decay; no clipping.

    A step then moves a tensor by about lr · trust of its length, whatever the loss is multiplied by. A tensor of zeros
    (fresh biases), or one with a gradient of zeros, takes its gradient as it is.

    Args:
        params: as for `torch.optim.SGD`.
        lr: learning rate, applied after the factor above.
        momentum: of SGD.
        weight_decay: λ.
        trust: share of the length.
        exclude_1d: leave tensors of one axis (biases, batch norm) to plain SGD without weight decay. False: all alike.
        options: further ones of `torch.optim.SGD`.

    Raises:
        ValueError: ``trust`` not above 0, or an option that SGD refuses.

    Source: You, Gitman, Ginsburg, "Large batch training of convolutional networks", arXiv 1708.03888.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.6,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        exclude_1d: bool = True,
        **options: Any,
    ) -> None:
        if not trust > 0:
            raise ValueError(f"trust must be > 0, got {trust}")
        self.trust, self.exclude_1d = float(trust), bool(exclude_1d)
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, **options)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """A step; gradients must be unscaled before, as AMP's scaler does.

        Args:
            closure: evaluates the loss again, with gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not (self.exclude_1d and parameter.ndim < 2):
                    self._adapt(parameter, parameter.grad, group["weight_decay"])
            group["weight_decay"] = 0.0  # it is in the gradient
        try:
            super().step()
        finally:
            for group, decay in zip(self.param_groups, decays):
                group["weight_decay"] = decay
        return loss

    def _adapt(self, parameter: Tensor, gradient: Tensor, decay: float) -> None:
        """Change a gradient in place; without a look at a number, for which an accelerator would wait."""
        length, slope = parameter.norm(), gradient.norm()
        factor = self.trust * length / (slope + decay * length + _EPSILON)
        adapted = (gradient + decay * parameter) * factor
        gradient.copy_(torch.where((length > 0) & (slope > 0), adapted, gradient))


def clustering_optimizer(
    name: str,
    params: Iterable[Any],
    *,
    lr: float,
    weight_decay: float,
    fused: bool | None = None,
    larc: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """The optimiser of a pre-training by clustering.

    Args:
        name: ``larc``, as the paper's, or ``adamw``, for short runs.
        params: as for `torch.optim.SGD`.
        lr: learning rate.
        weight_decay: λ.
        fused: AdamW in one kernel for all parameters.
        larc: ``momentum``, ``trust`` and ``exclude_1d`` of `LARC`.

    Raises:
        ValueError: another name.
    """
    if name == "larc":
        return LARC(params, lr=lr, weight_decay=weight_decay, **(larc or {}))
    if name == "adamw":
        return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay, fused=fused)
    raise ValueError(f"optimizer must be larc or adamw, got {name!r}")
