"""`SliceLoss`, for configs of earlier versions: there a method's loss was chosen by name."""

from __future__ import annotations

from collections.abc import Callable

from monai_cl.losses.byol import BYOLLoss
from monai_cl.losses.contrastive import DepthAwareLoss, SimCLRLoss, SupConLoss, WSPLoss
from monai_cl.losses.cross_entropy import CrossEntropyLoss
from monai_cl.losses.method_loss import DeclaredLoss, MethodLoss

# method -> its loss, and which of the two hyper-parameters it has
_LOSSES: dict[str, tuple[Callable[..., DeclaredLoss], tuple[str, ...]]] = {
    "simclr": (SimCLRLoss, ("temperature",)),
    "supcon": (SupConLoss, ("temperature",)),
    "depth_aware": (DepthAwareLoss, ("sigma", "temperature")),
    "wsp": (WSPLoss, ("sigma", "temperature")),
    "byol": (BYOLLoss, ()),
    "supervised": (CrossEntropyLoss, ()),
}


class SliceLoss(MethodLoss):
    """`MethodLoss` of one of the six methods of version 0; new methods are chosen by their config.

    Args:
        method: ``simclr``, ``supcon``, ``depth_aware``, ``wsp``, ``byol`` or ``supervised``.
        sigma: width of the kernel in depth, of ``depth_aware`` and ``wsp``.
        temperature: τ of the four contrastive losses.

    Raises:
        ValueError: an unknown method, ``sigma`` or ``temperature`` not above 0.
    """

    def __init__(self, method: str, *, sigma: float = 0.1, temperature: float = 0.1) -> None:
        if method not in _LOSSES:
            raise ValueError(f"method must be one of {', '.join(_LOSSES)}, got {method!r}")
        make, names = _LOSSES[method]
        options = {"sigma": sigma, "temperature": temperature}
        super().__init__(make(**{name: options[name] for name in names}))
        self.name = self.method = method
