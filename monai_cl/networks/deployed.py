"""Networks for deployment: one tensor in, one tensor out, and a training's ``model.pt`` loads unchanged.

MONAI's tools (``verify_net_in_out``, ``ckpt_export``, ``onnx_export``) and model servers need that. These networks are
not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.nets import UNETR
from torch import Tensor, nn

from monai_cl.networks.backbones import slice_encoder
from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.slice_transfer import slice_encoder_weights

_UNETR = "unetr."


class ReconstructionUNETR(UNETR):
    """The UNETR within a `MixCLNet`: patches (B, 1, H, W, D) to their reconstructions; arguments are UNETR's own."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict of a UNETR, or that of a `MixCLNet` without its projectors and heads."""
        if any(name.startswith(_UNETR) for name in state_dict):
            inner = {name: tensor for name, tensor in state_dict.items() if name.startswith(_UNETR)}
            state_dict = {name.removeprefix(_UNETR): tensor for name, tensor in inner.items()}
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


class SliceRepresentation(SliceEncoder):
    """A pre-trained encoder without its head: slices (B, C, H, W) to representations (B, F), float32."""

    # one tensor instead of a dictionary is what a deployed network is for
    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return self._represent(images)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the state dict of a pre-training by any method, without what is not the (online) encoder."""
        return super().load_state_dict(slice_encoder_weights(state_dict), strict=strict, assign=assign)


class SliceProbability(SliceEncoder):
    """A classifier of slices (B, C, H, W): probability of class 1 (B, 1), float32.

    The state dict is that of the classifier that was trained; `SliceEncoder.outputs` gives the logits.
    """

    # see SliceRepresentation
    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(self.head(self._represent(images))).float()


def slice_representation(backbone: str | nn.Module = "tinynet", **options: Any) -> SliceRepresentation:
    """Build a `SliceRepresentation` from plain options.

    Args:
        backbone: see `slice_encoder`.
        **options: further options of `slice_encoder`, without ``head``.

    Raises:
        ValueError, UserError: see `slice_encoder`.
    """
    made = slice_encoder(backbone, **options)
    deployed = SliceRepresentation(made.backbone, mean=float(made.mean), std=float(made.std))
    deployed.arguments = made.arguments
    return deployed
