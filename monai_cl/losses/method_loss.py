"""A loss of plain tensors, called as a trainer calls it: with what a network gives and what is known of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from monai_cl.losses.gather import GatheredLoss


class DeclaredLoss(Protocol):
    """A loss that says what it takes; it is called with those tensors in this order, outputs first.

    Attributes:
        outputs: keys of the network's outputs, such as ``("embedding",)``.
        targets: keys of the batch, such as ``("label", "depth")``; () where it needs none.
        gathers: True for a loss over pairs of samples, which has to see the samples of all processes. False for a mean
            over samples, of which the mean that DDP takes over processes is the same, and for a loss that agrees with
            the other processes by itself.
    """

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def targets(self) -> tuple[str, ...]: ...

    @property
    def gathers(self) -> bool: ...

    def __call__(self, *tensors: Tensor) -> Tensor: ...


class MethodLoss(nn.Module):
    """The loss of a method, fed by name from a network's outputs and a batch's targets.

    Args:
        loss: says by its attributes what it takes, see `DeclaredLoss`.

    Attributes:
        outputs, targets: of ``loss``.

    Raises:
        ValueError: a loss that does not say what it takes.
    """

    def __init__(self, loss: DeclaredLoss) -> None:
        super().__init__()
        absent = [name for name in ("outputs", "targets", "gathers") if not hasattr(loss, name)]
        if absent:
            raise ValueError(f"loss must have the attributes outputs, targets and gathers, {absent[0]} is missing")
        self.name = type(loss).__name__
        self.outputs, self.targets = tuple(loss.outputs), tuple(loss.targets)
        self.loss = GatheredLoss(loss) if loss.gathers else loss

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            outputs: of the network; more than the loss takes may be among them.
            targets: of the batch, likewise.

        Raises:
            ValueError: something that the loss takes is not there.
        """
        for parts, where, names in ((outputs, "outputs", self.outputs), (targets, "targets", self.targets)):
            if any(name not in parts for name in names):
                raise ValueError(f"{self.name} needs {where} {', '.join(names)}, got {', '.join(parts) or 'none'}")
        return self.loss(*(outputs[name] for name in self.outputs), *(targets[name] for name in self.targets))

    @property
    def batchwise(self) -> str:
        """What is not a mean over the samples of a batch, see `monai_cl.engines.accumulated_step`."""
        return getattr(self._bare, "batchwise", f"{self.name} is not known to be a mean over samples")

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """Detached scalars of the last call, of a loss that gives some."""
        return getattr(self._bare, "diagnostics", {})

    def after_step(self) -> None:
        """Pass on that the optimiser has stepped, to a loss that keeps something between steps."""
        if hasattr(self._bare, "after_step"):
            self._bare.after_step()

    @property
    def _bare(self) -> Any:
        return self.loss.loss if isinstance(self.loss, GatheredLoss) else self.loss
