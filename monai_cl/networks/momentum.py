"""A network that follows another as a moving average of its weights: the target of BYOL."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


def momentum_at(iteration: int, *, iterations: int, start: float = 0.996) -> float:
    """``1 − (1 − start) · (cos(π k/K) + 1) / 2``: ``start`` at iteration k = 0, 1 from k = K on.

    Args:
        iteration: k, the updates made so far.
        iterations: K, the updates of the whole run.
        start: momentum at the first step, in [0, 1].

    Raises:
        ValueError: ``iterations`` below 1, a negative ``iteration``, ``start`` outside [0, 1].

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020, §3.2.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be >= 1, got {iterations}")
    if iteration < 0:
        raise ValueError(f"iteration must be >= 0, got {iteration}")
    if not 0 <= start <= 1:
        raise ValueError(f"start must be in [0, 1], got {start}")
    return 1 - (1 - start) * (math.cos(math.pi * min(iteration / iterations, 1)) + 1) / 2


@torch.no_grad()
def move_towards(target: nn.Module, online: nn.Module, *, momentum: float) -> None:
    """``ξ ← m ξ + (1 − m) θ`` in place, for parameters and buffers; integers (counters) are copied.

    Args:
        target: ξ, the network that follows; changed in place.
        online: θ, the network that is trained, of the same tensors.
        momentum: m, the share of ``target`` that is kept, in [0, 1].

    Raises:
        ValueError: networks with different tensors, ``momentum`` outside [0, 1].
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be in [0, 1], got {momentum}")
    xi = {**dict(target.named_parameters()), **dict(target.named_buffers())}
    theta = {**dict(online.named_parameters()), **dict(online.named_buffers())}
    if xi.keys() != theta.keys():
        odd = sorted(xi.keys() ^ theta.keys())
        raise ValueError(f"target and online network must have the same tensors, got {odd[:3]} in one of them only")
    for name, x in xi.items():
        if x.is_floating_point():
            x.lerp_(theta[name].to(x.dtype), 1 - momentum)
        else:
            x.copy_(theta[name])


class HostCount:
    """What an integer buffer holds: read from its device only after something else than `advance` changed it."""

    def __init__(self) -> None:
        self._value = 0
        self._seen: tuple[int, int] | None = None  # address and version of the buffer when it held the value

    def of(self, counter: Tensor) -> int:
        """The counter's value."""
        if self._seen != _mark(counter):
            self._value, self._seen = int(counter), _mark(counter)
        return self._value

    def advance(self, counter: Tensor) -> None:
        """Count one more, in place."""
        value = self.of(counter) + 1
        counter += 1
        self._value, self._seen = value, _mark(counter)


def _mark(counter: Tensor) -> tuple[int, int]:
    return counter.data_ptr(), counter._version


def follow(teacher: nn.Module, student: nn.Module, steps: Tensor, *, count: HostCount, momentum: float = 0.999) -> None:
    """One step of a mean teacher: `move_towards` with ``m = min(1 - 1/(t + 1), momentum)``, then t + 1.

    Args:
        teacher: changed in place.
        student: of the same tensors.
        steps: t, an integer; changed in place.
        count: of ``steps``.
        momentum: largest m, in [0, 1].

    Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """
    move_towards(teacher, student, momentum=min(1 - 1 / (count.of(steps) + 1), momentum))
    count.advance(steps)


class MomentumEncoder(nn.Module):
    """A copy of ``online`` without gradient that follows it by `move_towards` with the momentum of `momentum_at`.

    Its normalisation uses the statistics of its own batch in training, as BYOL's does, but its *running* statistics
    are averages of the online network's, like every other buffer. The number of updates made is part of the state
    dict: a resumed run continues where it was.

    Args:
        online: the network to follow.
        iterations: updates of the whole run.
        start: momentum at the first update.

    Raises:
        ValueError: see `momentum_at`.
    """

    updates: Tensor

    def __init__(self, online: nn.Module, *, iterations: int, start: float = 0.996) -> None:
        super().__init__()
        momentum_at(0, iterations=iterations, start=start)  # errors now, not at the first update
        self.iterations, self.start = int(iterations), float(start)
        self.target = copy.deepcopy(online).requires_grad_(False)
        for module in self.target.modules():
            if hasattr(module, "running_mean"):
                # the weight of a batch in the running statistics; nn.Module declares only tensors and modules
                module.momentum = 0.0  # type: ignore[assignment]
        self.register_buffer("updates", torch.tensor(0))
        self._count = HostCount()

    @property
    def momentum(self) -> float:
        """Momentum of the next update."""
        return momentum_at(self._count.of(self.updates), iterations=self.iterations, start=self.start)

    @torch.no_grad()
    def forward(self, *args: Tensor) -> Tensor | dict[str, Tensor]:
        """The target's output, outside of the graph."""
        return self.target(*args)

    def update(self, online: nn.Module) -> None:
        """Update towards ``online`` by one step; call it after the optimiser's step."""
        move_towards(self.target, online, momentum=self.momentum)
        self._count.advance(self.updates)
