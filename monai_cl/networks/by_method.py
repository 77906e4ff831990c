"""`slice_network`, for configs of earlier versions: there a method's network was chosen by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from monai_cl.networks.backbones import slice_encoder
from monai_cl.networks.byol_net import BYOLNet
from monai_cl.networks.projected import ProjectedEncoder


def slice_network(
    method: str,
    backbone: str | nn.Module = "tinynet",
    *,
    iterations: int,
    classes: int = 2,
    momentum: float = 0.996,
    hidden: int | None = None,
    **options: Any,
) -> ProjectedEncoder:
    """The network of one of the six methods of version 0; new methods say in their config which they train.

    Args:
        method: ``byol`` gets predictor and momentum encoder, and batch norm in the head; ``supervised`` a linear
            layer to ``classes`` as head; any other method the paper's head.
        backbone: see `slice_encoder`.
        iterations: of BYOL: steps of the whole run, see `BYOLNet`.
        classes: of ``supervised``.
        momentum: of BYOL: the target's momentum at the first step.
        hidden: of BYOL: size of the predictor's hidden layer, see `predictor`; None: its default.
        **options: of `slice_encoder`.

    Raises:
        ValueError, UserError: see `slice_encoder` and `BYOLNet`.
    """
    if method == "supervised":
        return ProjectedEncoder(slice_encoder(backbone, **{**options, "head": (classes,)}))
    if method == "byol":
        online = ProjectedEncoder(slice_encoder(backbone, **{"head_norm": True, **options}))
        return BYOLNet(online, iterations=iterations, momentum=momentum, hidden=hidden)
    return ProjectedEncoder(slice_encoder(backbone, **options))
