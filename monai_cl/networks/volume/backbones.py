"""Backbones by name, and which of them a network or a file of weights is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from monai_cl.errors import UserError
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.monai_backbones import (
    DynUNetBackbone,
    EarlierSwinUNETRBackbone,
    SegResNetBackbone,
    SwinUNETRBackbone,
    SwinUNETRV2Backbone,
    UNETRBackbone,
)

BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        UNETRBackbone(),
        SwinUNETRV2Backbone(),  # whose names of tensors are those of the next two and more
        EarlierSwinUNETRBackbone(),
        SwinUNETRBackbone(),
        SegResNetBackbone(),
        DynUNetBackbone(),
    )
}


def find_backbone(backbone: str | Backbone) -> Backbone:
    """A backbone by name; one of your own is returned as it is, and known from then on.

    Args:
        backbone: one of `BACKBONES`, or a `Backbone`.

    Raises:
        UserError: an unknown name.
    """
    if isinstance(backbone, Backbone):
        _own[backbone.name] = backbone
        return backbone
    known = {own.name: own for own in reversed(known_backbones())}
    if backbone not in known:
        raise UserError("backbone", expected=f"one of {', '.join(known)}, or a Backbone", found=repr(backbone))
    return known[backbone]


INNER = ("unetr", "network")
"""What a `MixCLNet` calls the network in it: a UNETR, as files of earlier versions have it, and any other."""
_own: dict[str, Backbone] = {}


def segmentation_network(
    *,
    backbone: str | Backbone = "unetr",
    img_size: Sequence[int],
    in_channels: int = 1,
    out_channels: int,
    **sizes: Any,
) -> nn.Module:
    """A stock segmentation network of MONAI, as a bundle's config describes it.

    Args:
        backbone: one of `BACKBONES`, or a `Backbone`.
        img_size: patch, in voxels.
        in_channels: of the image.
        out_channels: classes, background included.
        **sizes: ``feature_size``, channels of the finest level; of a UNETR also its other arguments.

    Raises:
        UserError: an unknown backbone, or a size that it cannot take.
    """
    found = find_backbone(backbone)
    try:
        size = found.patch(img_size)  # the network itself fails in its first forward
        return found.build(img_size=size, in_channels=in_channels, out_channels=out_channels, **sizes)
    except ValueError as error:
        raise UserError(f"{error}") from None


def network_within(network: nn.Module) -> nn.Module:
    """The segmentation network in a `MixCLNet`; any other network as it is.

    Args:
        network: any module.
    """
    parts = (getattr(network, name, None) for name in INNER)
    return next((part for part in parts if isinstance(part, nn.Module) and backbone_of(part)), network)


def backbone_of(network: object) -> Backbone | None:
    """Of which kind a network is; None where it is of no known one.

    Args:
        network: any module.
    """
    return next((backbone for backbone in known_backbones() if backbone.fits(network)), None)


def backbone_of_weights(names: Collection[str]) -> Backbone | None:
    """Of which kind the network is that has tensors of these names; None where its encoder is not wholly there.

    Args:
        names: in the network, without a prefix.
    """
    found = (b for b in known_backbones() if all(any(name.startswith(part) for name in names) for part in b.encoder))
    return next(found, None)


def known_backbones() -> tuple[Backbone, ...]:
    """Those of your own that have been used, then MONAI's."""
    return (*_own.values(), *BACKBONES.values())
