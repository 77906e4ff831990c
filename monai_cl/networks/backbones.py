"""The encoders that are shipped, by name, and any other 2D network, from the plain options of a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from monai_cl.networks.encoder import MEAN, STD, SliceEncoder, representation_size
from monai_cl.networks.heads import projection_head
from monai_cl.networks.resnet import RESNETS, slice_resnet
from monai_cl.networks.tinynet import TinyNet

BACKBONES = ("tinynet", *RESNETS)


def slice_encoder(
    backbone: str | nn.Module = "tinynet",
    *,
    in_channels: int = 1,
    width: float = 1.0,
    head: Sequence[int] | None = None,
    head_norm: bool = False,
    weights: str | Path | None = None,
    image_size: int | Sequence[int] = 224,
    mean: float = MEAN,
    std: float = STD,
) -> SliceEncoder:
    """Build a `SliceEncoder` from plain options, as a config gives them.

    Args:
        backbone: ``tinynet``, a name of `slice_resnet` such as ``resnet18``, or a 2D network that takes
            ``in_channels``.
        in_channels: 1, or 2k + 1 for k neighbours on either side.
        width: factor on the channels of TinyNet and of ResNets.
        head: sizes behind the representation F; None takes F/2, F/4: 128, 64 for TinyNet, 256, 128 for ResNet-18; ()
            leaves the head out.
        head_norm: batch norm in the head, see `projection_head`.
        weights: a file of ImageNet weights for a ResNet, see `load_imagenet`.
        image_size: pixels, for testing a network of the user; the others do not need it.
        mean: mean of the windowed slices, see `SliceEncoder`.
        std: standard deviation of the windowed slices, see `SliceEncoder`.

    Returns:
        The encoder; its ``representation_size`` is F.

    Raises:
        ValueError: an unknown name, or an option that the backbone does not have.
        UserError: a weights file that does not fit.
    """
    residual = isinstance(backbone, str) and backbone in RESNETS
    if weights is not None and not residual:
        raise ValueError(f"weights are of ImageNet's ResNet-18 and its relatives and need resnet18, got {backbone!r}")
    if width != 1 and isinstance(backbone, nn.Module):
        raise ValueError(f"width is an option of tinynet and ResNets, got {width} with {type(backbone).__name__}")
    if backbone == "tinynet":
        network: nn.Module = TinyNet(in_channels=in_channels, width=width)
    elif isinstance(backbone, str) and residual:
        network = slice_resnet(backbone, in_channels=in_channels, width=width, weights=weights)
    elif isinstance(backbone, nn.Module):
        network = backbone
    else:
        raise ValueError(f"backbone must be one of {', '.join(BACKBONES)} or a 2D network, got {backbone!r}")
    size = getattr(network, "representation_size", None)
    if not isinstance(size, int):
        size = representation_size(network, in_channels=in_channels, image_size=image_size)
    sizes = (size // 2, size // 4) if head is None else tuple(head)
    layers = projection_head((size, *sizes), norm=head_norm) if sizes else None
    encoder = SliceEncoder(network, layers, mean=mean, std=std)
    encoder.representation_size = size
    name = backbone if isinstance(backbone, str) else type(backbone).__name__
    own = getattr(backbone, "arguments", {})
    encoder.arguments = {"backbone": name, "in_channels": in_channels, "width": width, **own}
    encoder.imagenet_weights = None if weights is None else str(weights)
    return encoder
