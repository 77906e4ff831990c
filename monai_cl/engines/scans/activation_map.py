"""Which voxels of a scan a classifier uses: Grad-CAM on the finest map that all later layers depend on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl.networks import ScanClassifier
from monai_cl.networks.modes import evaluation_mode

_BLOCK = 2  # its map has all slices; those of later blocks have half and a quarter of them


def volume_activation(network: ScanClassifier, volume: Tensor, *, positive: bool) -> Tensor:
    """Grad-CAM of the decision between class 0 and 1.

    Args:
        network: used in evaluation mode, whatever mode it is in; gradients of its parameters are not touched.
        volume: (1, 1, D, H, W) in [0, 1].
        positive: explain class 1, otherwise class 0.

    Returns:
        (D, H, W) in [0, 1]: evidence for the class, relative to the largest of the volume; 0 where there is none.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017.
    """
    with evaluation_mode(network), torch.enable_grad():
        standardised = ((volume.detach() - network.mean) / network.std).requires_grad_()
        maps = network.backbone.maps(standardised)
        logit = network.head.target(network.backbone.pooled(maps[-1])).sum()
        (gradient,) = torch.autograd.grad(logit if positive else -logit, maps[_BLOCK])
    weights = gradient.mean((2, 3, 4), keepdim=True)
    evidence = (weights * maps[_BLOCK].detach()).sum(1, keepdim=True).clamp(min=0)
    evidence = nn.functional.interpolate(evidence, volume.shape[2:], mode="trilinear", align_corners=False)[0, 0]
    return evidence / evidence.max().clamp(min=torch.finfo(evidence.dtype).tiny)
