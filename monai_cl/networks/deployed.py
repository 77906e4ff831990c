"""Networks for deployment: one tensor in, one tensor out, and a training's ``model.pt`` loads unchanged.

MONAI's tools (``verify_net_in_out``, ``ckpt_export``, ``onnx_export``) and model servers need that. These networks are
not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.networks.backbones import slice_encoder
from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.slice_transfer import slice_encoder_weights
from monai_cl.networks.volume.backbones import INNER, segmentation_network


def reconstruction_network(*, out_channels: int = 1, **options: Any) -> nn.Module:
    """The network within a `MixCLNet`: patches (B, 1, H, W, D) to their reconstructions.

    It loads the state dict of a network of its kind, or that of a `MixCLNet` without its projectors and heads.

    Args:
        out_channels: channels of the image.
        **options: of `segmentation_network`.

    Raises:
        UserError: see `segmentation_network`.
    """
    network = segmentation_network(out_channels=out_channels, **options)
    network.register_load_state_dict_pre_hook(_take_what_is_within)
    return network


def _take_what_is_within(network: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    inner = next((f"{name}." for name in INNER if any(key.startswith(f"{name}.") for key in state_dict)), None)
    if inner and not prefix:
        found = {name.removeprefix(inner): tensor for name, tensor in state_dict.items() if name.startswith(inner)}
        state_dict.clear()
        state_dict.update(found)


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
