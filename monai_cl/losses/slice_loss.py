"""The losses of pre-training on slices by the name of their method, each fed what it needs of outputs and targets."""

from __future__ import annotations

from collections.abc import Mapping

import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from monai_cl.losses.byol import BYOLLoss
from monai_cl.losses.contrastive import DepthAwareLoss, SimCLRLoss, SupConLoss, WSPLoss
from monai_cl.losses.gather import GatheredLoss

# method -> its loss, whether that has a kernel in depth, and what it needs of the targets
CONTRASTIVE = {
    "simclr": (SimCLRLoss, False, ()),
    "supcon": (SupConLoss, False, ("label",)),
    "depth_aware": (DepthAwareLoss, True, ("depth",)),
    "wsp": (WSPLoss, True, ("label", "depth")),
}
METHODS = (*CONTRASTIVE, "byol", "supervised")


class SliceLoss(nn.Module):
    """The loss of a method, called with what a network of slices gives and what is known of the slices.

    The contrastive losses see the slices of all processes (`GatheredLoss`); BYOL and cross-entropy are means over
    slices, for which the mean that DDP takes is enough.

    Args:
        method: ``simclr``, ``supcon``, ``depth_aware``, ``wsp``, ``byol`` or ``supervised`` (cross-entropy of an
            encoder whose head ends in a number for each class).
        sigma: width of the kernel in depth, of ``depth_aware`` and ``wsp``.
        temperature: τ of the four contrastive losses.
        group: the processes; None for all.

    Raises:
        ValueError: an unknown method, ``sigma`` or ``temperature`` not above 0.
    """

    def __init__(
        self,
        method: str,
        *,
        sigma: float = 0.1,
        temperature: float = 0.1,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.method = method
        self.loss: nn.Module | None = BYOLLoss() if method == "byol" else None
        self.targets: tuple[str, ...] = ("label",) if method == "supervised" else ()
        if method in CONTRASTIVE:
            make, kernel, self.targets = CONTRASTIVE[method]
            options = {"temperature": temperature, **({"sigma": sigma} if kernel else {})}
            self.loss = GatheredLoss(make(**options), group=group)

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """The method's loss.

        Args:
            outputs: ``embedding`` (N, V, F); for ``byol`` ``prediction`` and ``target`` (N, V, F) instead.
            targets: ``label`` (N,) classes from 0 and ``depth`` (N,) in [0, 1], where the method needs them.

        Raises:
            ValueError: something that the method needs is not there.
        """
        for given, where, names in ((outputs, "outputs", self.needs), (targets, "targets", self.targets)):
            absent = [name for name in names if name not in given]
            if absent:
                raise ValueError(f"{self.method} needs {where} {', '.join(names)}, got {', '.join(given) or 'none'}")
        tensors = [*(outputs[name] for name in self.needs), *(targets[name] for name in self.targets)]
        return cross_entropy(*tensors) if self.loss is None else self.loss(*tensors)

    @property
    def needs(self) -> tuple[str, ...]:
        """The outputs of the network that the method uses."""
        return ("prediction", "target") if self.method == "byol" else ("embedding",)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy, in float32 or better, of V views of N slices: logits (N, V, classes), labels (N,)."""
    if logits.ndim != 3 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits must be (N, V, classes) and labels (N,), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    views = repeat(labels, "n -> (n v)", v=logits.shape[1])
    rows = rearrange(logits, "n v k -> (n v) k")
    return F.cross_entropy(rows if rows.dtype.itemsize > 2 else rows.float(), views)
