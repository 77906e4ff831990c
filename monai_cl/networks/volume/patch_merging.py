"""SwinUNETR's patch merging as it was in MONAI up to 1.4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.nets.swin_unetr import PatchMergingV2
from torch import Tensor

# offsets along the three axes, in the order of the norm's and the linear layer's weights
_OFFSETS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class EarlierPatchMerging(PatchMergingV2):
    """Halves the grid of tokens as MONAI 0.9 to 1.4 did: of eight neighbours two are left out and two taken twice.

    MONAI kept this fault for the sake of trained weights; from 1.5 on, its ``merging`` takes all eight, in another
    order. Names and shapes of the weights are the same, so that weights trained with one load into the other, and give
    other features there without a word.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, D, H, W, C) on a grid of half the size: (B, ⌈D/2⌉, ⌈H/2⌉, ⌈W/2⌉, 2C).

        Args:
            x: tokens.
        """
        _, d, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2, 0, d % 2))
        merged = torch.cat([x[:, i::2, j::2, k::2] for i, j, k in _OFFSETS], dim=-1)
        reduced: Tensor = self.reduction(self.norm(merged))
        return reduced
